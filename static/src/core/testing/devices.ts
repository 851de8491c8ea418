import type { MediaDevicesLike } from '../devices';
import type { DisplayMediaLike } from '../screen';
import { FakeStream, FakeTrack } from './rtc';

/** A microphone, a camera and a screen that do what the test says. */
export class FakeDevices implements MediaDevicesLike, DisplayMediaLike {
  readonly asked: MediaStreamConstraints[] = [];
  readonly tracks: FakeTrack[] = [];
  failure: Error | undefined;
  #held: Promise<void> = Promise.resolve();

  /** Lets the person think; the returned function answers. */
  hold(): () => void {
    const { promise, resolve } = deferred();
    this.#held = promise;
    return resolve;
  }

  async getUserMedia(constraints: MediaStreamConstraints = {}): Promise<MediaStream> {
    this.asked.push(constraints);
    await this.#held;
    if (this.failure) throw this.failure;
    const track = new FakeTrack(constraints.audio ? 'audio' : 'video');
    this.tracks.push(track);
    return new FakeStream([track]) as unknown as MediaStream;
  }

  /** What the browser is said to know beside the rest. */
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
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
