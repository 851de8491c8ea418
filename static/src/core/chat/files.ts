/** The files that are offered, here and from elsewhere. */
import type { Clock } from '../clock';
import type { FileSource, Transfer } from '../types';
import { Download } from './download';
import type { Line } from './line';
import type { FileStore } from './save';
import { Upload } from './upload';
import type { Chunk, FileFacts, WireMessage } from './wire';

/** How many files of one peer may be offered or moving; of one's own, how many in all. */
export const FILES_AT_ONCE = 16;
/** How often progress is shown. */
const PROGRESS_MS = 200;

/** A peer, and the way to it. */
export interface Contact {
  readonly id: string;
  readonly name: string;
  readonly line: Line;
}

/** All transfers of a meeting. */
export class Files {
  readonly #clock: Clock;
  readonly #store: FileStore;
  readonly #onChange: () => void;
  /** One's own, by the number of the offer; each with a copy for each receiver. */
  readonly #uploads = new Map<number, Map<string, Upload>>();
  /** Those of others, by whose and which. */
  readonly #downloads = new Map<string, Map<number, Download>>();
  #progress: number | undefined;

  constructor(options: { clock: Clock; store: FileStore; onChange: () => void }) {
    this.#clock = options.clock;
    this.#store = options.store;
    this.#onChange = options.onChange;
  }

  /** Offers a file. Says whether it did: not more than `FILES_AT_ONCE` at a time. */
  offer(id: number, source: FileSource, file: FileFacts, to: readonly Contact[], secret: boolean): boolean {
    const open = [...this.#uploads.values()].filter((copies) => [...copies.values()].some(isOpen));
    if (open.length >= FILES_AT_ONCE) return false;
    const copies = to.map(({ line, ...peer }): [string, Upload] => [
      peer.id,
      new Upload({ id, source, line, peer, ...this.#listeners }),
    ]);
    this.#uploads.set(id, new Map(copies));
    for (const { line } of to) {
      line.tell({ type: 'offer', id, ...file, ...(secret && { private: true as const }) });
    }
    return true;
  }

  /** Takes note of an offer. Says whether it did. */
  offered({ line, ...peer }: Contact, id: number, file: FileFacts): boolean {
    const all = this.#downloads.get(peer.id) ?? new Map<number, Download>();
    if (all.has(id)) return false;
    if ([...all.values()].filter(isOpen).length >= FILES_AT_ONCE) {
      line.tell({ type: 'refuse', id });
      return false;
    }
    this.#downloads.set(peer.id, all);
    all.set(id, new Download({ id, file, line, peer, store: this.#store, ...this.#listeners }));
    return true;
  }

  /** Takes what a peer says about a file, or a piece of one. Returns whether a file waits for it. */
  handle(peerId: string, message: Exclude<WireMessage, { type: 'text' | 'offer' }> | Chunk): boolean {
    const upload = this.#uploads.get(message.id)?.get(peerId);
    const download = this.#downloads.get(peerId)?.get(message.id);
    switch (message.type) {
      case 'accept':
        return upload?.accepted() ?? false;
      case 'got':
        return upload?.got(message.bytes) ?? false;
      case 'refuse':
        return upload?.refused() ?? false;
      case 'withdraw':
        return download?.withdrawn() ?? false;
      case 'chunk':
        return download?.chunk(message.bytes) ?? false;
    }
  }

  /** Takes a file of someone else. */
  accept(peerId: string, id: number): void {
    void this.#downloads.get(peerId)?.get(id)?.accept();
  }

  /** Stops one's own file, or one of someone else. */
  stop(peerId: string | undefined, id: number): void {
    for (const transfer of this.#all(peerId, id)) transfer.stop();
  }

  /** There seems to be no path to a peer. */
  lose(peerId: string): void {
    for (const copies of this.#uploads.values()) copies.get(peerId)?.stop('lost');
    for (const download of this.#downloads.get(peerId)?.values() ?? []) download.stop('lost');
  }

  /** Where a file stands. */
  transfers(peerId: string | undefined, id: number): readonly Transfer[] {
    return this.#all(peerId, id).map(({ view }) => view);
  }

  /** Returns whether a file of this peer, or of one's own, is offered or moving. */
  isOpen(peerId: string | undefined, id: number): boolean {
    return this.#all(peerId, id).some(isOpen);
  }

  /** Nobody looks at a file any more; one that is under way is stopped. */
  forget(peerId: string | undefined, id: number): void {
    this.stop(peerId, id);
    if (peerId === undefined) this.#uploads.delete(id);
    else this.#downloads.get(peerId)?.delete(id);
  }

  /** Returns the transfer of a peer's file, or those of one's own. */
  #all(peerId: string | undefined, id: number): readonly (Upload | Download)[] {
    if (peerId === undefined) return [...(this.#uploads.get(id)?.values() ?? [])];
    const download = this.#downloads.get(peerId)?.get(id);
    return download ? [download] : [];
  }

  get #listeners(): { onState: () => void; onProgress: () => void } {
    return {
      onState: this.#onChange,
      onProgress: () => {
        if (this.#progress !== undefined) return;
        this.#progress = this.#clock.setTimeout(() => {
          this.#progress = undefined;
          this.#onChange();
        }, PROGRESS_MS);
      },
    };
  }
}

function isOpen(transfer: Upload | Download): boolean {
  return !transfer.isOver();
}
