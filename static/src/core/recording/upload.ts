/**
 * A recording that goes to the server as it is made (R84 to R86). What the server has not acknowledged is kept: over
 * a lost answer, a restart and another network it goes on from there. Where the server takes no more, the rest stays
 * on this device and is saved in the end.
 */
import type { FileSink } from '../chat/save';
import type { FailureCode } from '../types';
import { type Answer, ask, type RecordingServer } from './server';

/** How much goes at a time: by a slow line, too, within the time that the server gives. */
const PIECE_BYTES = 1024 ** 2;
const PIECE_MS = 35_000;
/** What may wait for the server: three minutes, longer than it waits itself. */
const WAITING_BYTES = 64 * 1024 ** 2;
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 8_000;
/** How long the end of a recording waits for a server that does not answer. */
const CLOSE_MS = 30_000;
/** A WebM's cluster (RFC 9559 §5.1.3) begins with its id; what is before the first one, every part of a file needs. */
const CLUSTER = [0x1f, 0x43, 0xb6, 0x75];
/** No head is longer. */
const HEAD_BYTES = 64 * 1024;

/** What a refusal means, where it is for good. */
const REFUSALS: ReadonlyMap<unknown, FailureCode> = new Map([
  ['STORAGE_FULL', 'upload_full'],
  ['QUOTA_EXCEEDED', 'upload_full'],
  ['RECORDING_TOO_LARGE', 'upload_limit'],
]);

type Bytes = Uint8Array<ArrayBuffer>;

/** What an `Upload` tells, and needs. */
export interface UploadListener {
  /** From now on everything stays here. */
  readonly onLocal: (code: FailureCode) => void;
  /** As much is kept here as may be. */
  readonly onFull: () => void;
  /** Saves what the server has not got. */
  readonly saveRest: (rest: Blob) => void;
  /** The most that is kept here. */
  readonly limit: number;
}

interface Begun {
  readonly id: string;
  readonly upload: string;
}

/** Begins one; `undefined` where the server takes none. */
export async function beginUpload(
  server: RecordingServer,
  resume: string,
  listener: UploadListener,
): Promise<Upload | undefined> {
  const { address, room } = server;
  // For a balancer that keeps a room on one server; the secret is in the body alone.
  const query = `?room=${encodeURIComponent(room)}`;
  const { data } = await ask<Begun>(server, address.http(`recordings${query}`), {
    method: 'POST',
    body: JSON.stringify({ room, resume }),
  });
  return data && new Upload(server, data, listener);
}

/** A file of the server's that is being written. */
export class Upload implements FileSink {
  readonly #server: RecordingServer;
  readonly #begun: Begun;
  readonly #listener: UploadListener;
  /** What is before the first cluster, as far as it has come. */
  #head: Bytes = new Uint8Array();
  #headWhole = false;
  /** What the server has, and what it has not, the oldest first. */
  #acknowledged = 0;
  #rest: Bytes[] = [];
  #restBytes = 0;
  #local = false;
  #running: Promise<void> | undefined;
  /** Ends a pause between two attempts. */
  #wake: () => void = () => undefined;

  constructor(server: RecordingServer, begun: Begun, listener: UploadListener) {
    this.#server = server;
    this.#begun = begun;
    this.#listener = listener;
  }

  write(pieces: readonly Bytes[]): Promise<void> {
    for (const piece of pieces) {
      this.#learnHead(piece);
      this.#rest.push(piece);
      this.#restBytes += piece.length;
    }
    if (!this.#local && this.#restBytes > WAITING_BYTES) this.#stay('upload_lost');
    if (this.#local && this.#restBytes > this.#listener.limit) this.#listener.onFull();
    this.#run();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    const { clock } = this.#server;
    const timer = clock.setTimeout(() => {
      this.#stay('upload_lost');
    }, CLOSE_MS);
    this.#run();
    await this.#running;
    clock.clearTimeout(timer);
    if (this.#local && this.#restBytes > 0) this.#listener.saveRest(this.#restFile());
    if (!this.#local) await this.#finish();
  }

  abort(): void {
    this.#rest = [];
    if (this.#local) return;
    this.#local = true;
    this.#wake();
    void this.#finish();
  }

  /** Sends what there is, one piece after the other. */
  #run(): void {
    this.#running ??= this.#send().finally(() => {
      this.#running = undefined;
    });
  }

  async #send(): Promise<void> {
    let pause = RETRY_MS;
    while (!this.#local && this.#rest.length > 0) {
      const answer = await this.#put().catch((): Answer<{ length: number }> => ({ status: 0 }));
      if (this.#isLocal()) return;
      const length = answer.data?.length;
      if (length !== undefined) {
        pause = RETRY_MS;
        this.#has(length);
      } else if (
        answer.status === 0 || answer.status >= 500
          ? !REFUSALS.has(answer.code)
          : [408, 429].includes(answer.status)
      ) {
        await this.#wait(pause);
        pause = Math.min(pause * 2, LONGEST_RETRY_MS);
      } else {
        this.#stay(REFUSALS.get(answer.code) ?? 'upload_lost');
      }
    }
  }

  /** Asked anew: it changes while an answer is awaited. */
  #isLocal(): boolean {
    return this.#local;
  }

  #put(): Promise<Answer<{ length: number }>> {
    const pieces: Bytes[] = [];
    let size = 0;
    for (const piece of this.#rest) {
      if (size + piece.length > PIECE_BYTES) {
        // Whole ones, but where a single one is too large.
        if (size === 0) pieces.push(piece.subarray(0, PIECE_BYTES));
        break;
      }
      pieces.push(piece);
      size += piece.length;
    }
    return this.#ask<{ length: number }>('PUT', '', new Blob(pieces), PIECE_MS);
  }

  #ask<T>(method: 'PUT' | 'POST', path: string, body: Blob, milliseconds?: number): Promise<Answer<T>> {
    const { address, room } = this.#server;
    const { id, upload } = this.#begun;
    const query = `?offset=${this.#acknowledged}&room=${encodeURIComponent(room)}`;
    const headers = { authorization: `Bearer ${upload}`, 'content-type': 'application/octet-stream' };
    const url = address.http(`recordings/${id}${path}${query}`);
    return ask(this.#server, url, { method, headers, body }, milliseconds);
  }

  /** The server has so much. */
  #has(length: number): void {
    let fresh = length - this.#acknowledged;
    if (fresh < 0 || fresh > this.#restBytes) {
      // It has lost what it had.
      this.#stay('upload_lost');
      return;
    }
    this.#acknowledged = length;
    this.#restBytes -= fresh;
    while (fresh > 0) {
      const [first] = this.#rest;
      if (first === undefined) return;
      if (first.length > fresh) this.#rest[0] = first.subarray(fresh);
      else this.#rest.shift();
      fresh -= Math.min(first.length, fresh);
    }
  }

  /** The rest stays on this device. */
  #stay(code: FailureCode): void {
    if (this.#local) return;
    this.#local = true;
    this.#wake();
    this.#listener.onLocal(code);
    void this.#finish();
  }

  /** What the server has is whole; where it does not hear of it, it finds that out by itself (R88). */
  async #finish(): Promise<void> {
    await this.#ask('POST', '/finish', new Blob()).catch(() => undefined);
  }

  #wait(milliseconds: number): Promise<void> {
    const { clock } = this.#server;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(resolve, milliseconds * (1 + clock.random() / 2));
      this.#wake = () => {
        clock.clearTimeout(timer);
        resolve();
      };
    });
  }

  #learnHead(piece: Bytes): void {
    if (this.#headWhole) return;
    const end = clusterIn(piece);
    const more = piece.subarray(0, end ?? piece.length);
    const head = new Uint8Array(this.#head.length + more.length);
    head.set(this.#head);
    head.set(more, this.#head.length);
    this.#head = head;
    this.#headWhole = end !== undefined || head.length > HEAD_BYTES;
  }

  /** Can be played by itself: begins with the first whole cluster. */
  #restFile(): Blob {
    const type = 'video/webm';
    if (this.#acknowledged === 0) return new Blob(this.#rest, { type });
    for (const [index, piece] of this.#rest.entries()) {
      const start = clusterIn(piece);
      if (start !== undefined)
        return new Blob([this.#head, piece.subarray(start), ...this.#rest.slice(index + 1)], { type });
    }
    return new Blob([this.#head, ...this.#rest], { type });
  }
}

/** Where the first cluster begins. */
function clusterIn(bytes: Bytes): number | undefined {
  for (let at = bytes.indexOf(0x1f); at !== -1; at = bytes.indexOf(0x1f, at + 1)) {
    if (CLUSTER.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return undefined;
}
