import type { Transfer, TransferState } from '../types';
import type { Line } from './line';
import type { FileSink, FileStore } from './save';
import { BLOCK_BYTES, CHUNK_BYTES, type FileFacts, WINDOW_BYTES } from './wire';

/** Options of a `Download`. */
export interface DownloadOptions {
  readonly id: number;
  readonly file: FileFacts;
  readonly line: Line;
  readonly peer: { readonly id: string; readonly name: string };
  readonly store: FileStore;
  /** Called when the state has changed. */
  readonly onState: () => void;
  /** Called when more bytes have been stored. */
  readonly onProgress: () => void;
}

/** A file that a peer offers. */
export class Download {
  readonly #options: DownloadOptions;
  readonly #unlisten: () => void;
  #state: TransferState = 'offered';
  /** The user is choosing where to save the file. */
  #choosing = false;
  #sink: FileSink | undefined;
  #received = 0;
  #stored = 0;
  /** Received chunks that are not written yet. Writing each one separately would be slow. */
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #piecesBytes = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: DownloadOptions) {
    this.#options = options;
    this.#unlisten = options.line.events.on('down', () => {
      this.#end('lost');
    });
    if (!options.store.canSave(options.file.size)) this.stop('too_large');
  }

  isOver(): boolean {
    return this.#state !== 'offered' && this.#state !== 'moving';
  }

  get view(): Transfer {
    const { id, name } = this.#options.peer;
    return { peerId: id, name, state: this.#state, bytes: this.#stored };
  }

  /** Asks where to save the file, then accepts it. Browsers show the picker only during a user gesture. */
  async accept(): Promise<void> {
    if (this.#state !== 'offered' || this.#choosing) return;
    const { id, file, line, store } = this.#options;
    this.#choosing = true;
    let sink: FileSink | undefined;
    try {
      sink = await store.save(file.name);
    } catch {
      this.stop('unwritable');
    }
    this.#choosing = false;
    if (!sink) return; // The user cancelled: the offer stands.
    if (this.isOver()) {
      sink.abort();
      return;
    }
    this.#sink = sink;
    this.#state = 'moving';
    line.tell({ type: 'accept', id });
    this.#options.onState();
    if (file.size === 0) this.#flush();
  }

  /** Takes a chunk. Returns whether it is the expected next one. */
  chunk(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (this.#state !== 'moving') return false;
    const { size } = this.#options.file;
    const isNext = bytes.length === Math.min(CHUNK_BYTES, size - this.#received);
    this.#received += bytes.length;
    if (!isNext || this.#received - this.#stored > WINDOW_BYTES) {
      // More than announced, in smaller chunks, or beyond the window: it is not the file that was offered.
      this.stop('broken');
      return false;
    }
    this.#pieces.push(bytes);
    this.#piecesBytes += bytes.length;
    if (this.#piecesBytes >= BLOCK_BYTES || this.#received === size) this.#flush();
    return true;
  }

  /** Handles the sender's withdrawal. Returns whether the transfer was still open. */
  withdrawn(): boolean {
    return this.#end('withdrawn');
  }

  /** Ends the transfer from this side. `lost`: no path to the peer was found. */
  stop(state: 'refused' | 'too_large' | 'unwritable' | 'broken' | 'lost' = 'refused'): void {
    if (this.isOver()) return;
    this.#options.line.tell({ type: 'refuse', id: this.#options.id });
    this.#end(state);
  }

  #flush(): void {
    const pieces = this.#pieces;
    const bytes = this.#piecesBytes;
    this.#pieces = [];
    this.#piecesBytes = 0;
    this.#writing = this.#writing.then(() => this.#write(pieces, bytes));
  }

  async #write(pieces: Uint8Array<ArrayBuffer>[], bytes: number): Promise<void> {
    const { id, file, line } = this.#options;
    const sink = this.#sink;
    if (!sink || this.isOver()) return;
    try {
      if (bytes > 0) await sink.write(pieces);
      if (this.#stored + bytes === file.size) await sink.close();
    } catch {
      this.stop('unwritable');
      return;
    }
    // It may have ended in the meantime.
    if (this.isOver()) return;
    this.#stored += bytes;
    line.tell({ type: 'got', id, bytes: this.#stored });
    if (this.#stored === file.size) this.#end('done');
    else this.#options.onProgress();
  }

  /** Ends the transfer. Returns whether it was still open. */
  #end(state: TransferState): boolean {
    if (this.isOver()) return false;
    this.#state = state;
    this.#unlisten();
    this.#pieces = [];
    if (state !== 'done') this.#sink?.abort();
    this.#sink = undefined;
    this.#options.onState();
    return true;
  }
}
