/** Microphone and camera, opened separately, so that either may be missing (W3C Media Capture §10). */
import type { Quality } from './adaptation';
import { Emitter } from './emitter';
import type { DeviceView, Failure, FailureCode } from './types';

/** The part of `navigator.mediaDevices` that the core uses. Browsers do not provide it in an insecure context. */
export interface MediaDevicesLike extends Pick<MediaDevices, 'getUserMedia' | 'enumerateDevices'> {
  addEventListener(type: 'devicechange', listener: () => void): void;
  removeEventListener(type: 'devicechange', listener: () => void): void;
}

const MIC: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
/** In a mesh the picture is encoded once per peer, so it is not larger than a tile needs. */
const USUAL_SIZE: MediaTrackConstraints = { width: { ideal: 640 }, height: { ideal: 360 } };
const HIGH_SIZE: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 } };
const CAMERA: MediaTrackConstraints = {
  ...USUAL_SIZE,
  frameRate: { ideal: 30 },
  facingMode: 'user',
};

/** The direction of a phone's camera: towards the user or away (W3C Media Capture §4.3.8). */
export type Facing = NonNullable<DeviceView['facing']>;

const FAILURES: Readonly<Record<string, FailureCode>> = {
  NotAllowedError: 'permission_denied',
  SecurityError: 'permission_denied',
  NotFoundError: 'no_device',
  OverconstrainedError: 'no_device',
  NotReadableError: 'device_busy',
  AbortError: 'device_failed',
};

/** Number of times that an ended device is replaced automatically, until the user acts. */
const MOST_FALLS = 4;

/** A microphone or a camera. */
export class Device {
  readonly events = new Emitter<{ change: undefined }>();
  /** The browser's devices, or the reason why it provides none. */
  readonly #media: MediaDevicesLike | FailureCode;
  readonly #kind: 'audio' | 'video';
  #constraints: MediaTrackConstraints;
  /** Turning off mutes the track instead of closing the device. */
  readonly #mutes: boolean;
  #view: DeviceView = { on: false, pending: false };
  #track: MediaStreamTrack | null = null;
  /** Id of the requested device; `undefined` lets the browser choose. */
  #chosen: string | undefined;
  /** Requested camera direction, if the user has chosen one. */
  #facing: Facing | undefined;
  /** Counts requests, so that a device that opens after a newer request is closed again. */
  #wish = 0;
  #opening: Promise<void> | undefined;
  #falls = 0;

  constructor(
    media: MediaDevicesLike | FailureCode,
    kind: 'audio' | 'video',
    constraints: MediaTrackConstraints,
    mutes: boolean,
  ) {
    this.#media = media;
    this.#kind = kind;
    this.#constraints = constraints;
    this.#mutes = mutes;
  }

  get view(): DeviceView {
    return this.#view;
  }

  /** The track that is sent to the peers. */
  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  /** Turns the device on or off. Resolves when that is done or has failed, and never rejects. */
  async set(on: boolean): Promise<void> {
    this.#falls = 0;
    if (on) await this.#turnOn();
    else this.#turnOff(this.#mutes);
  }

  /** Selects another device. An open one is replaced and keeps its muted state. */
  async choose(id: string): Promise<void> {
    if (id === this.#chosen && id === this.#view.id) return;
    this.#chosen = id;
    if (this.#isOpen) await this.#exchange();
    else this.#show({ ...this.#view, id });
  }

  /** Switches to the camera that faces the other way, on a phone. */
  async flip(): Promise<void> {
    this.#facing = this.#view.facing === 'environment' ? 'user' : 'environment';
    this.#chosen = undefined;
    if (this.#isOpen) await this.#exchange();
  }

  get #isOpen(): boolean {
    return this.#track !== null || this.#view.pending;
  }

  async #exchange(): Promise<void> {
    this.#falls = 0;
    this.#opening = this.#open(this.#view.on || this.#view.pending);
    await this.#opening;
  }

  /** Changes the constraints, also of an open device. Never rejects. */
  async refine(constraints: MediaTrackConstraints): Promise<void> {
    this.#constraints = { ...this.#constraints, ...constraints };
    if (this.#track?.readyState !== 'live') return;
    // A device that cannot satisfy the constraints continues unchanged.
    await this.#track.applyConstraints(this.#constraints).catch(() => undefined);
    this.events.emit('change', undefined);
  }

  /** Checks for a device that ended while the machine slept, without an event. */
  recheck(): void {
    if (this.#track?.readyState === 'ended' && !this.#view.pending) this.#lost();
  }

  /** Closes the device. */
  close(): void {
    this.#turnOff(false);
  }

  #turnOn(): Promise<void> {
    if (this.#view.pending && this.#opening) return this.#opening;
    // A track that its source has muted does not recover by waiting: open the device again.
    if (this.#track?.readyState === 'live' && !this.#track.muted) {
      this.#track.enabled = true;
      this.#show({ ...this.#view, on: true, pending: false });
      return Promise.resolve();
    }
    this.#opening = this.#open(true);
    return this.#opening;
  }

  #turnOff(mute: boolean): void {
    this.#wish += 1;
    if (this.#track?.readyState === 'live' && mute) this.#track.enabled = false;
    else this.#letGo();
    this.#show({ ...deviceOf(this.#view), on: false, pending: false });
  }

  /**
   * Opens the chosen device, replacing the open one.
   *
   * @param lost the previous device ended by itself
   */
  async #open(on: boolean, lost = false): Promise<void> {
    if (typeof this.#media === 'string') {
      this.#show({ on: false, pending: false, failure: { code: this.#media } });
      return;
    }
    this.#wish += 1;
    const wish = this.#wish;
    // The old track is stopped first, because phones open one device at a time. It remains the sent track until there
    // is a new one, so that the peers are not told of a change that is none.
    if (this.#track) silence(this.#track);
    this.#show({ ...deviceOf(this.#view), on: this.#track !== null && on, pending: true });
    try {
      const track = await this.#request(this.#media);
      if (wish !== this.#wish) track?.stop();
      else if (track) this.#use(track, on, lost);
    } catch (error) {
      if (wish !== this.#wish) return;
      this.#letGo();
      const failure = failureOf(error);
      if (lost && failure.code === 'no_device') this.#fail({ ...failure, code: 'device_unplugged' });
      else this.#fail(failure);
    }
  }

  async #request(media: MediaDevicesLike): Promise<MediaStreamTrack | undefined> {
    const get = async (constraints: MediaTrackConstraints): Promise<MediaStreamTrack | undefined> =>
      (await media.getUserMedia({ [this.#kind]: constraints })).getTracks()[0];
    const facing = this.#facing && { facingMode: this.#facing };
    if (this.#chosen === undefined) return get({ ...this.#constraints, ...facing });
    try {
      return await get({ ...this.#constraints, facingMode: {}, deviceId: { exact: this.#chosen } });
    } catch (error) {
      // The chosen device is currently not connected.
      if (failureOf(error).code !== 'no_device') throw error;
      return get(this.#constraints);
    }
  }

  #use(track: MediaStreamTrack, on: boolean, lost: boolean): void {
    track.enabled = on;
    track.onended = () => {
      this.#lost();
    };
    track.onmute = () => {
      if (this.#view.on) this.#show({ ...this.#view, failure: { code: 'device_paused' } });
    };
    track.onunmute = () => {
      this.#show({ ...deviceOf(this.#view), on: this.#view.on, pending: this.#view.pending });
    };
    this.#track = track;
    const { deviceId: id, facingMode: facing } = track.getSettings();
    const replaced = lost && id !== this.#view.id;
    // A track that is muted from the start fires no event.
    const code = on && track.muted ? 'device_paused' : replaced ? 'device_replaced' : undefined;
    this.#show({
      on,
      pending: false,
      ...(id !== undefined && { id }),
      ...((facing === 'user' || facing === 'environment') && { facing }),
      ...(code && { failure: { code } }),
    });
  }

  /** Falls back to the next device, or to the same one if it was gone only for a moment. */
  #lost(): void {
    this.#falls += 1;
    if (this.#falls <= MOST_FALLS) {
      this.#opening = this.#open(this.#view.on, true);
    } else {
      this.#letGo();
      this.#fail({ code: 'device_failed', detail: `ended ${this.#falls} times` });
    }
  }

  #fail(failure: Failure): void {
    this.#show({ ...deviceOf(this.#view), on: false, pending: false, failure });
  }

  #letGo(): void {
    if (!this.#track) return;
    silence(this.#track);
    this.#track = null;
  }

  #show(view: DeviceView): void {
    this.#view = view;
    this.events.emit('change', undefined);
  }
}

/**
 * Creates the microphone. It is muted without closing the device, so that speech is sent at once when it is unmuted.
 */
export function microphone(media: MediaDevicesLike | FailureCode): Device {
  return new Device(media, 'audio', MIC, true);
}

/** Creates the camera. It is turned off by closing the device, so that its light goes out. */
export function camera(media: MediaDevicesLike | FailureCode): Device {
  return new Device(media, 'video', CAMERA, false);
}

/** Returns the camera constraints for a quality setting. */
export function cameraSize(quality: Quality): MediaTrackConstraints {
  return quality === 'high' ? HIGH_SIZE : USUAL_SIZE;
}

/** Stops a track and removes its event handlers. */
function silence(track: MediaStreamTrack): void {
  track.onended = null;
  track.onmute = null;
  track.onunmute = null;
  track.stop();
}

function deviceOf({ id, facing }: DeviceView): Pick<DeviceView, 'id' | 'facing'> {
  return { ...(id !== undefined && { id }), ...(facing && { facing }) };
}

function failureOf(error: unknown): Failure {
  const name = error instanceof Error ? error.name : '';
  const detail = String(error);
  // Chromium mentions the system in its message. The error's type does not distinguish this from a denial by the
  // user.
  const code = name === 'NotAllowedError' && /system/i.test(detail) ? 'device_blocked' : FAILURES[name];
  return { code: code ?? 'device_failed', detail };
}
