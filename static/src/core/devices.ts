/** Microphone and camera, opened one by one, so that either may be missing (W3C Media Capture §10). */
import type { Quality } from './adaptation';
import { Emitter } from './emitter';
import type { DeviceView, Failure, FailureCode } from './types';

/** The part of `navigator.mediaDevices` that the core uses; browsers have none in an insecure context. */
export interface MediaDevicesLike extends Pick<MediaDevices, 'getUserMedia' | 'enumerateDevices'> {
  addEventListener(type: 'devicechange', listener: () => void): void;
  removeEventListener(type: 'devicechange', listener: () => void): void;
}

const MIC: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
/** In a mesh the picture is encoded for each peer: not more than what a tile needs. */
const USUAL_SIZE: MediaTrackConstraints = { width: { ideal: 640 }, height: { ideal: 360 } };
const HIGH_SIZE: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 } };
const CAMERA: MediaTrackConstraints = {
  ...USUAL_SIZE,
  frameRate: { ideal: 30 },
  facingMode: 'user',
};

/** Which way a camera of a phone looks: at the person, or away (W3C Media Capture §4.3.8). */
export type Facing = NonNullable<DeviceView['facing']>;

const FAILURES: Readonly<Record<string, FailureCode>> = {
  NotAllowedError: 'permission_denied',
  SecurityError: 'permission_denied',
  NotFoundError: 'no_device',
  OverconstrainedError: 'no_device',
  NotReadableError: 'device_busy',
  AbortError: 'device_failed',
};

/** How often a device that ends is followed by the next one, until the person says otherwise. */
const MOST_FALLS = 4;

/** One device. */
export class Device {
  readonly events = new Emitter<{ change: undefined }>();
  /** The browser's devices, or why it gives none. */
  readonly #media: MediaDevicesLike | FailureCode;
  readonly #kind: 'audio' | 'video';
  #constraints: MediaTrackConstraints;
  /** Off is a track that is silent, not a device that is closed. */
  readonly #mutes: boolean;
  #view: DeviceView = { on: false, pending: false };
  #track: MediaStreamTrack | null = null;
  /** Which one is asked for; `undefined` lets the browser choose. */
  #chosen: string | undefined;
  /** Which way the camera should look, if the person has said so. */
  #facing: Facing | undefined;
  /** Counts what was asked for, so that a device that opens too late is closed again. */
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

  /** What goes to the peers. */
  get track(): MediaStreamTrack | null {
    return this.#track;
  }

  /** Turns the device on or off. Resolves when that is done or has failed, and never rejects. */
  async set(on: boolean): Promise<void> {
    this.#falls = 0;
    if (on) await this.#turnOn();
    else this.#turnOff(this.#mutes);
  }

  /** Takes another device from now on; one that is open is exchanged, as quiet as it was. */
  async choose(id: string): Promise<void> {
    if (id === this.#chosen && id === this.#view.id) return;
    this.#chosen = id;
    if (this.#isOpen) await this.#exchange();
    else this.#show({ ...this.#view, id });
  }

  /** Takes the camera that looks the other way, on a phone. */
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

  /** Changes what is asked of the device, also of one that is open. Never rejects. */
  async refine(constraints: MediaTrackConstraints): Promise<void> {
    this.#constraints = { ...this.#constraints, ...constraints };
    if (this.#track?.readyState !== 'live') return;
    // A device that cannot do it goes on as it was.
    await this.#track.applyConstraints(this.#constraints).catch(() => undefined);
    this.events.emit('change', undefined);
  }

  /** The machine slept: a device that was lost meanwhile may not have said so. */
  recheck(): void {
    if (this.#track?.readyState === 'ended' && !this.#view.pending) this.#lost();
  }

  /** Lets the device go. */
  close(): void {
    this.#turnOff(false);
  }

  #turnOn(): Promise<void> {
    if (this.#view.pending && this.#opening) return this.#opening;
    // What its source holds back is not given by waiting: it is opened anew.
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
   * Opens the chosen device, in place of the one that is open.
   *
   * @param lost the device before it went away by itself
   */
  async #open(on: boolean, lost = false): Promise<void> {
    if (typeof this.#media === 'string') {
      this.#show({ on: false, pending: false, failure: { code: this.#media } });
      return;
    }
    this.#wish += 1;
    const wish = this.#wish;
    // The old one is closed first, because phones open one at a time; it stays what goes to the peers
    // until there is another, so that they are not told of a change that is none.
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
      // The chosen one is not here today.
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
    // One that is held back from the first moment does not say so later.
    const code = on && track.muted ? 'device_paused' : replaced ? 'device_replaced' : undefined;
    this.#show({
      on,
      pending: false,
      ...(id !== undefined && { id }),
      ...((facing === 'user' || facing === 'environment') && { facing }),
      ...(code && { failure: { code } }),
    });
  }

  /** Falls to the next device, or to the same one where it was away for a moment only. */
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

/** Muted by silence, because speech follows at once when it is turned on again. */
export function microphone(media: MediaDevicesLike | FailureCode): Device {
  return new Device(media, 'audio', MIC, true);
}

/** Turned off by closing the device, because its light must go out. */
export function camera(media: MediaDevicesLike | FailureCode): Device {
  return new Device(media, 'video', CAMERA, false);
}

/** What a camera gives for a quality. */
export function cameraSize(quality: Quality): MediaTrackConstraints {
  return quality === 'high' ? HIGH_SIZE : USUAL_SIZE;
}

/** Stops a track, which says nothing more. */
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
  // Chromium names the system in its message; nothing in the error's type tells it from a decision of the person.
  const code = name === 'NotAllowedError' && /system/i.test(detail) ? 'device_blocked' : FAILURES[name];
  return { code: code ?? 'device_failed', detail };
}
