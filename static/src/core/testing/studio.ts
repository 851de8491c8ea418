import type { RecordingAbility } from '../recording/local';
import type { EncoderListener, Projector, Studio } from '../recording/types';
import { FakeTrack } from './rtc';

/** A studio that records nothing and exposes its calls to the test. */
export class FakeStudio implements Studio, RecordingAbility {
  mimes = ['video/webm;codecs=vp8,opus'];
  /** All texts and pictures drawn. */
  drawn: unknown[] = [];
  /** Tracks currently mixed. */
  readonly heard = new Set<MediaStreamTrack>();
  /** Streams whose video is currently played. */
  readonly watched = new Set<MediaStream>();
  encoder: EncoderListener | undefined;
  stops = 0;
  faithful = true;
  /** Number of open canvases, mixers and timers. */
  open = 0;
  tick: () => void = () => undefined;

  supports(mime: string): boolean {
    return this.mimes.includes(mime);
  }

  load(): Promise<Studio> {
    return Promise.resolve(this);
  }

  isFaithful(): boolean {
    return this.faithful;
  }

  newCanvas() {
    this.open += 1;
    const brush = {
      drawImage: (image: unknown) => this.drawn.push(image),
      fillText: (text: string) => this.drawn.push(text),
      measureText: (text: string) => ({ width: text.length * 10 }),
    };
    const nothing = (): void => undefined;
    return {
      brush: new Proxy(brush as unknown as CanvasRenderingContext2D, {
        get: (target, key) => (key in brush ? Reflect.get(target, key) : nothing) as unknown,
      }),
      track: new FakeTrack('video') as unknown as MediaStreamTrack,
      close: () => (this.open -= 1),
    };
  }

  newMixer() {
    this.open += 1;
    return {
      track: new FakeTrack('audio') as unknown as MediaStreamTrack,
      add: (track: MediaStreamTrack) => {
        this.heard.add(track);
        return () => {
          this.heard.delete(track);
        };
      },
      close: () => (this.open -= 1),
    };
  }

  newProjector(stream: MediaStream): Projector {
    this.watched.add(stream);
    return {
      frame: { image: stream as unknown as CanvasImageSource, width: 640, height: 360 },
      close: () => this.watched.delete(stream),
    };
  }

  newEncoder(_tracks: readonly MediaStreamTrack[], _mime: string, listener: EncoderListener) {
    this.encoder = listener;
    return {
      stop: () => {
        this.stops += 1;
      },
    };
  }

  everySoOften(_milliseconds: number, call: () => void): () => void {
    this.open += 1;
    this.tick = call;
    return () => (this.open -= 1);
  }

  /** Emits a chunk of the file. */
  piece(size: number): void {
    this.encoder?.onPiece(new Blob([new Uint8Array(size)]));
  }
}
