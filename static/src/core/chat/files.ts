/** File transfers in both directions. */
import type { Clock } from '../clock';
import type { FileSource, Transfer } from '../types';
import { Download } from './download';
import type { Line } from './line';
import type { FileStore } from './save';
import { Upload } from './upload';
import type { Chunk, FileFacts, WireMessage } from './wire';

/** Maximum number of open files: per peer for incoming files, in total for outgoing ones. */
export const FILES_AT_ONCE = 16;
/** Interval between progress updates. */
const PROGRESS_MS = 200;

/** A peer with its data channel. */
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
  /** Outgoing files by offer number, each with one upload per receiver. */
  readonly #uploads = new Map<number, Map<string, Upload>>();
  /** Incoming files by peer id and offer number. */
  readonly #downloads = new Map<string, Map<number, Download>>();
  #progress: number | undefined;

  constructor(options: { clock: Clock; store: FileStore; onChange: () => void }) {
    this.#clock = options.clock;
    this.#store = options.store;
    this.#onChange = options.onChange;
  }

  /** Offers a file. Returns `false` if `FILES_AT_ONCE` are open. */
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

  /** Records an incoming offer. Returns whether it was accepted for display. */
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

  /** Handles a peer's message about a file, or a chunk of one. Returns whether a transfer expected it. */
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

  /** Accepts a file that a peer offers. */
  accept(peerId: string, id: number): void {
    void this.#downloads.get(peerId)?.get(id)?.accept();
  }

  /** Stops an outgoing file (`peerId` undefined) or an incoming one. */
  stop(peerId: string | undefined, id: number): void {
    for (const transfer of this.#all(peerId, id)) transfer.stop();
  }

  /** Ends all transfers with a peer to which no path was found. */
  lose(peerId: string): void {
    for (const copies of this.#uploads.values()) copies.get(peerId)?.stop('lost');
    for (const download of this.#downloads.get(peerId)?.values() ?? []) download.stop('lost');
  }

  /** Returns the state of a file's transfers. */
  transfers(peerId: string | undefined, id: number): readonly Transfer[] {
    return this.#all(peerId, id).map(({ view }) => view);
  }

  /** Returns whether an incoming file of this peer, or an outgoing one, is offered or in progress. */
  isOpen(peerId: string | undefined, id: number): boolean {
    return this.#all(peerId, id).some(isOpen);
  }

  /** Removes a file whose entry was dropped; stops it if it is in progress. */
  forget(peerId: string | undefined, id: number): void {
    this.stop(peerId, id);
    if (peerId === undefined) this.#uploads.delete(id);
    else this.#downloads.get(peerId)?.delete(id);
  }

  /** Returns the transfer of an incoming file, or all transfers of an outgoing one. */
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
