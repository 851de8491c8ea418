import type { FileSource, Transfer, TransferState } from '../types';
import type { Line } from './line';
import { BLOCK_BYTES, CHUNK_BYTES, WINDOW_BYTES } from './wire';

/** Options of an `Upload`. */
export interface UploadOptions {
  readonly id: number;
  readonly source: FileSource;
  readonly line: Line;
  readonly peer: { readonly id: string; readonly name: string };
  /** Called when the state has changed. */
  readonly onState: () => void;
  /** Called when the receiver has stored more bytes. */
  readonly onProgress: () => void;
}

/** One receiver's copy of an offered file. */
export class Upload {
  readonly #options: UploadOptions;
  #state: TransferState = 'offered';
  #sent = 0;
  /** Bytes that the receiver has acknowledged as stored. */
  #got = 0;
  #wake: (() => void) | undefined;
  readonly #unlisten: (() => void)[];

  constructor(options: UploadOptions) {
    this.#options = options;
    const { events } = options.line;
    this.#unlisten = [
      events.on('room', () => this.#wake?.()),
      events.on('down', () => {
        this.#end('lost');
      }),
    ];
  }

  isOver(): boolean {
    return this.#state !== 'offered' && this.#state !== 'moving';
  }

  get view(): Transfer {
    const { id, name } = this.#options.peer;
    return { peerId: id, name, state: this.#state, bytes: this.#got };
  }

  /** Handles the receiver's acceptance. Returns whether the file was still offered. */
  accepted(): boolean {
    if (this.#state !== 'offered') return false;
    this.#state = 'moving';
    this.#options.onState();
    void this.#pump();
    return true;
  }

  /** Handles the receiver's acknowledgement. Returns whether it is for the next block or the rest of the file. */
  got(bytes: number): boolean {
    const { size } = this.#options.source;
    const isNext = bytes === Math.min(this.#got + BLOCK_BYTES, size);
    if (this.#state !== 'moving' || !isNext || bytes > this.#sent) return false;
    this.#got = bytes;
    if (bytes === size) this.#end('done');
    else this.#options.onProgress();
    this.#wake?.();
    return true;
  }

  /** Handles the receiver's refusal or cancellation. Returns whether the transfer was still open. */
  refused(): boolean {
    return this.#end('refused');
  }

  /** Ends the transfer from this side. `lost`: no path to the peer was found. */
  stop(state: 'withdrawn' | 'unreadable' | 'lost' = 'withdrawn'): void {
    if (this.isOver()) return;
    this.#options.line.tell({ type: 'withdraw', id: this.#options.id });
    this.#end(state);
  }

  async #pump(): Promise<void> {
    const { id, source, line } = this.#options;
    try {
      while (this.#sent < source.size) {
        await this.#room();
        if (this.isOver()) return;
        const length = Math.min(BLOCK_BYTES, source.size - this.#sent);
        const block = new Uint8Array(await source.slice(this.#sent, this.#sent + length).arrayBuffer());
        if (this.isOver()) return;
        if (block.length !== length) throw new Error('The file has changed.');
        for (let start = 0; start < length; start += CHUNK_BYTES) {
          line.sendChunk(id, block.subarray(start, start + CHUNK_BYTES));
        }
        this.#sent += length;
      }
    } catch {
      // The file was deleted, or has changed since it was offered.
      this.stop('unreadable');
    }
  }

  /** Resolves when both the channel and the receiver's window have room for a block. */
  async #room(): Promise<void> {
    const { line } = this.#options;
    while (!this.isOver() && (line.isFull || this.#sent + BLOCK_BYTES - this.#got > WINDOW_BYTES)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends the transfer. */
  #end(state: TransferState): boolean {
    if (this.isOver()) return false;
    this.#state = state;
    for (const unlisten of this.#unlisten) unlisten();
    this.#wake?.();
    this.#options.onState();
    return true;
  }
}
