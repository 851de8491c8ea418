/**
 * One recording, from the first chunk to the end of its file: paints the scene, mixes the sound, and writes the
 * encoder's output. It asks for the scene at each frame, and thus follows people who join and leave and devices that
 * change.
 */
import type { FileSink } from '../chat/save';
import { paint } from './painter';
import { SeekableWebm } from './seekable';
import {
  type Canvas,
  type Encoder,
  type Mixer,
  PICTURE,
  type Projector,
  type Scene,
  type SceneTile,
  type Studio,
} from './types';

/** A mesh leaves little CPU time. 20 is enough for faces, and screens are sent at 15 anyway. */
const FPS = 20;
/** Maximum backlog of disk writes; about two minutes. */
const BEHIND_BYTES = 32 * 1024 ** 2;
/**
 * Data is made crash-safe when there is this much of it, and this large a share of the whole. Each time copies the
 * file, so a recording is written at most five times, and four fifths of it survive a crash.
 */
const KEEP_BYTES = 24 * 1024 ** 2;
const KEEP_PART = 1 / 4;

/** Outcome of a recording. */
export type RecordingEnd =
  | 'saved' // stopped as requested
  | 'limit' // complete, at the maximum size
  | 'cut' // disk writes failed; the file holds what was kept before
  | 'failed'; // there is no file

/** Options of a `Recording`. */
export interface RecordingOptions {
  readonly studio: Studio;
  readonly mime: string;
  readonly sink: FileSink;
  /** Maximum size of the file, in bytes. */
  readonly limit: number;
  /** Returns the current scene; called for each frame. */
  readonly scene: () => Scene;
  /** Called once, when the file is closed or abandoned. */
  readonly onEnd: (end: RecordingEnd, error?: unknown) => void;
}

/** Records from its construction until it ends. */
export class Recording {
  readonly #options: RecordingOptions;
  readonly #canvas: Canvas;
  readonly #mixer: Mixer;
  readonly #encoder: Encoder;
  /** Cleanup functions, last acquired first. */
  readonly #closing: (() => void)[] = [];
  readonly #projectors = new Map<MediaStream, Projector>();
  readonly #heard = new Map<MediaStreamTrack, () => void>();
  /** Absent if the head of the file cannot be rewritten at the end. */
  readonly #webm: SeekableWebm | undefined;
  /** Chain of the writes to the sink. */
  #written: Promise<void> = Promise.resolve();
  /** Bytes received, not yet written, written, and of these the crash-safe ones. */
  #bytes = 0;
  #behind = 0;
  #stored = 0;
  #kept = 0;
  #stopping = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: RecordingOptions) {
    this.#options = options;
    const { studio, mime, sink } = options;
    if (mime.startsWith('video/webm') && sink.replaceStart) this.#webm = new SeekableWebm();
    try {
      const canvas = (this.#canvas = studio.newCanvas(PICTURE.width, PICTURE.height, FPS));
      this.#closing.unshift(() => {
        canvas.close();
      });
      const mixer = (this.#mixer = studio.newMixer());
      this.#closing.unshift(() => {
        mixer.close();
      });
      this.#draw();
      this.#closing.unshift(
        studio.everySoOften(1000 / FPS, () => {
          this.#draw();
        }),
      );
      this.#encoder = studio.newEncoder([canvas.track, mixer.track], mime, {
        onPiece: (piece) => {
          this.#take(piece);
        },
        onEnd: (error) => {
          void this.#finish(error);
        },
      });
    } catch (error) {
      // The caller gets no object to stop, so release everything here.
      this.#release();
      throw error;
    }
  }

  /** Stops recording; `onEnd` is called when the file is complete. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#encoder.stop();
  }

  #draw(): void {
    const { tiles, sounds } = this.#options.scene();
    this.#listen(sounds);
    this.#watch(tiles);
    paint(this.#canvas.brush, tiles, ({ picture }) => picture && this.#projectors.get(picture)?.frame);
  }

  #listen(sounds: readonly MediaStreamTrack[]): void {
    const present = new Set(sounds);
    for (const [track, remove] of this.#heard) {
      if (present.has(track)) continue;
      remove();
      this.#heard.delete(track);
    }
    for (const track of present) {
      if (!this.#heard.has(track) && track.readyState === 'live') this.#heard.set(track, this.#add(track));
    }
  }

  /** Adds a track to the mix. A track that the browser cannot add is skipped and not tried again. */
  #add(track: MediaStreamTrack): () => void {
    try {
      return this.#mixer.add(track);
    } catch {
      return () => undefined;
    }
  }

  #watch(tiles: readonly SceneTile[]): void {
    const present = new Set(tiles.flatMap(({ picture }) => picture ?? []));
    for (const [stream, projector] of this.#projectors) {
      if (present.has(stream)) continue;
      projector.close();
      this.#projectors.delete(stream);
    }
    for (const stream of present) {
      if (!this.#projectors.has(stream))
        this.#projectors.set(stream, this.#options.studio.newProjector(stream));
    }
  }

  #take(piece: Blob): void {
    if (piece.size === 0 || this.#failure) return;
    this.#bytes += piece.size;
    this.#behind += piece.size;
    if (this.#behind > BEHIND_BYTES) {
      this.#fail(new Error('The disk is too slow.'));
      return;
    }
    this.#written = this.#written.then(() => this.#store(piece));
    // The last chunk is still written, so that the file is complete.
    if (this.#bytes >= this.#options.limit) this.stop();
  }

  async #store(piece: Blob): Promise<void> {
    if (this.#failure) return;
    const { sink } = this.#options;
    try {
      const bytes = new Uint8Array(await piece.arrayBuffer());
      await sink.write([this.#webm?.push(bytes) ?? bytes]);
      this.#behind -= piece.size;
      this.#stored += piece.size;
      const fresh = this.#stored - this.#kept;
      if (fresh < KEEP_BYTES || fresh < this.#stored * KEEP_PART) return;
      await sink.keep?.(() => {
        this.#kept = this.#stored;
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.stop();
  }

  async #finish(error: unknown): Promise<void> {
    const { sink, limit, onEnd } = this.#options;
    this.#stopping = true;
    this.#release();
    await this.#written;
    try {
      if (this.#failure) throw this.#failure.error;
      await this.#complete();
      await sink.close();
      // An encoder that failed has left a playable file.
      onEnd(this.#bytes >= limit ? 'limit' : error === undefined ? 'saved' : 'cut', error);
    } catch (problem) {
      sink.abort();
      onEnd(this.#kept > 0 ? 'cut' : 'failed', problem);
    }
  }

  /** Makes the file seekable. */
  async #complete(): Promise<void> {
    const { sink } = this.#options;
    if (!this.#webm) return;
    const { tail, head } = this.#webm.finish();
    await sink.write([tail]);
    if (head) await sink.replaceStart?.(head);
  }

  #release(): void {
    this.#listen([]);
    this.#watch([]);
    for (const close of this.#closing.splice(0)) close();
  }
}
