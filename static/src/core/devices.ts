/** Microphone and camera, opened one by one, so that either may be missing (W3C Media Capture §10). */
import { Emitter } from './emitter';
import type { DeviceView, Failure, FailureCode } from './types';

/** The part of `navigator.mediaDevices` that the core uses; browsers have none in an insecure context. */
export type MediaDevicesLike = Pick<MediaDevices, 'getUserMedia'>;

const MIC: MediaStreamConstraints = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
};
/** In a mesh the picture is encoded for each peer: not more than what a tile needs. */
const CAMERA: MediaStreamConstraints = {
  video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 }, facingMode: 'user' },
};

const FAILURES: Readonly<Record<string, FailureCode>> = {
  NotAllowedError: 'permission_denied',
  SecurityError: 'permission_denied',
  NotFoundError: 'no_device',
  OverconstrainedError: 'no_device',
  NotReadableError: 'device_busy',
  AbortError: 'device_failed',
};

/** One device. */
export class Device {
  readonly events = new Emitter<{ change: undefined }>();
  readonly #media: MediaDevicesLike | undefined;
  readonly #constraints: MediaStreamConstraints;
  /** Off is a track that is silent, not a device that is closed. */
  readonly #mutes: boolean;
  #view: DeviceView = { on: false, pending: false };
  #track: MediaStreamTrack | null = null;
  /** Counts what was asked for, so that a device that opens too late is closed again. */
  #wish = 0;
  #opening: Promise<void> | undefined;

  constructor(media: MediaDevicesLike | undefined, constraints: MediaStreamConstraints, mutes: boolean) {
    this.#media = media;
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
    if (on) await this.#turnOn();
    else this.#turnOff(this.#mutes);
  }

  /** Lets the device go. */
  close(): void {
    this.#turnOff(false);
  }

  #turnOn(): Promise<void> {
    if (this.#view.pending && this.#opening) return this.#opening;
    if (this.#track) {
      this.#track.enabled = true;
      this.#show({ on: true, pending: false });
      return Promise.resolve();
    }
    this.#opening = this.#open();
    return this.#opening;
  }

  #turnOff(mute: boolean): void {
    this.#wish += 1;
    if (this.#track && mute) this.#track.enabled = false;
    else this.#letGo();
    this.#show({ on: false, pending: false });
  }

  async #open(): Promise<void> {
    if (!this.#media) {
      this.#show({ on: false, pending: false, failure: { code: 'insecure_context' } });
      return;
    }
    this.#wish += 1;
    const wish = this.#wish;
    this.#show({ on: false, pending: true });
    try {
      const stream = await this.#media.getUserMedia(this.#constraints);
      const [track] = stream.getTracks();
      if (wish !== this.#wish) track?.stop();
      else if (track) this.#use(track);
    } catch (error) {
      if (wish === this.#wish) this.#show({ on: false, pending: false, failure: failureOf(error) });
    }
  }

  #use(track: MediaStreamTrack): void {
    track.onended = () => {
      this.#letGo();
      this.#show({
        on: false,
        pending: false,
        failure: { code: 'device_failed', detail: 'the device ended' },
      });
    };
    this.#track = track;
    this.#show({ on: true, pending: false });
  }

  #letGo(): void {
    if (!this.#track) return;
    this.#track.onended = null;
    this.#track.stop();
    this.#track = null;
  }

  #show(view: DeviceView): void {
    this.#view = view;
    this.events.emit('change', undefined);
  }
}

/** Muted by silence, because speech follows at once when it is turned on again. */
export function microphone(media: MediaDevicesLike | undefined): Device {
  return new Device(media, MIC, true);
}

/** Turned off by closing the device, because its light must go out. */
export function camera(media: MediaDevicesLike | undefined): Device {
  return new Device(media, CAMERA, false);
}

function failureOf(error: unknown): Failure {
  const name = error instanceof Error ? error.name : '';
  return { code: FAILURES[name] ?? 'device_failed', detail: String(error) };
}
