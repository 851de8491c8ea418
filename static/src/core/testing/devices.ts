import type { MediaDevicesLike } from '../devices';
import type { DisplayMediaLike } from '../screen';
import { FakeStream, FakeTrack } from './rtc';

/** A microphone, a camera and a screen controlled by the test. */
export class FakeDevices implements MediaDevicesLike, DisplayMediaLike {
  readonly asked: MediaStreamConstraints[] = [];
  readonly tracks: FakeTrack[] = [];
  failure: Error | undefined;
  /** Opened tracks deliver no data. */
  muted = false;
  /** A camera's id gives its direction, and the camera with the requested direction is opened. */
  phone = false;
  /** Connected devices; while empty, there are devices without an id. */
  list: Pick<MediaDeviceInfo, 'kind' | 'deviceId' | 'label'>[] = [];
  /** Listeners for `devicechange`. */
  readonly watching = new Set<() => void>();
  #held: Promise<void> = Promise.resolve();

  /** Delays the user's answer until the returned function is called. */
  hold(): () => void {
    const { promise, resolve } = deferred();
    this.#held = promise;
    return resolve;
  }

  async getUserMedia(constraints: MediaStreamConstraints = {}): Promise<MediaStream> {
    this.asked.push(constraints);
    await this.#held;
    if (this.failure) throw this.failure;
    const kind = constraints.audio ? 'audio' : 'video';
    const deviceId = this.#find(kind, constraints[kind]);
    const track = new FakeTrack(kind, deviceId, this.phone ? deviceId : undefined);
    track.muted = this.muted;
    this.tracks.push(track);
    return new FakeStream([track]) as unknown as MediaStream;
  }

  /** Additional supported constraints of the browser. */
  supported: MediaTrackSupportedConstraints & { restrictOwnAudio?: boolean } = {};

  getSupportedConstraints(): MediaTrackSupportedConstraints {
    return this.supported;
  }

  async getDisplayMedia(constraints: DisplayMediaStreamOptions = {}): Promise<MediaStream> {
    this.asked.push(constraints);
    await this.#held;
    if (this.failure) throw this.failure;
    const tracks = [new FakeTrack('video'), new FakeTrack('audio')];
    this.tracks.push(...tracks);
    return new FakeStream(tracks) as unknown as MediaStream;
  }

  enumerateDevices(): Promise<MediaDeviceInfo[]> {
    return Promise.resolve([...this.list] as MediaDeviceInfo[]);
  }

  /** Replaces the connected devices. */
  plug(list: FakeDevices['list']): void {
    this.list = list;
    for (const listener of this.watching) listener();
  }

  addEventListener(_type: 'devicechange', listener: () => void): void {
    this.watching.add(listener);
  }

  removeEventListener(_type: 'devicechange', listener: () => void): void {
    this.watching.delete(listener);
  }

  #find(kind: 'audio' | 'video', wanted: MediaStreamConstraints['video']): string | undefined {
    const exact = typeof wanted === 'object' && (wanted.deviceId as { exact?: string } | undefined)?.exact;
    const fitting = this.list.filter((each) => each.kind === `${kind}input`);
    if (this.list.length === 0 && typeof exact !== 'string') return undefined;
    const facing = this.phone && typeof wanted === 'object' ? wanted.facingMode : undefined;
    const id = typeof exact === 'string' ? exact : facing;
    const found = fitting.find(({ deviceId }) => typeof id !== 'string' || deviceId === id);
    if (!found) throw new DOMException('no such device', exact ? 'OverconstrainedError' : 'NotFoundError');
    return found.deviceId;
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
