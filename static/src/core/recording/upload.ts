/**
 * A recording that goes to the server as it is made (R84 to R86). What the server has not acknowledged is kept: over
 * a lost answer, a restart and another network it goes on from there. Where the server takes no more, the rest stays
 * on this device and is saved in the end.
 */
import type { FileSink } from '../chat/save';
import type { FailureCode } from '../types';
import { type Answer, ask, type RecordingServer } from './server';

/** How much goes at a time at most, and at least where the line is so slow that the server does not wait for more. */
const PIECE_BYTES = 1024 ** 2;
const SMALL_PIECE_BYTES = 64 * 1024;
const PIECE_MS = 35_000;
/** What goes so quickly may be larger. */
const QUICK_MS = 8_000;
/** What may wait for the server: three minutes, longer than it waits itself. */
const WAITING_BYTES = 64 * 1024 ** 2;
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 8_000;
/** What waits for so long is told, until all that waits is newer than this. */
const BEHIND_MS = 10_000;
const CAUGHT_UP_MS = 5_000;
/** How long the end of a recording waits for a server that takes nothing. */
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
  /** Whether much has not come to the server that was made a while ago. */
  readonly onBehind: (behind: boolean) => void;
  /** So many bytes have not come to it, while it is being closed. */
  readonly onLeft: (bytes: number) => void;
  /** From now on everything stays here. */
  readonly onLocal: (code: FailureCode) => void;
  /** As much is kept here as may be. */
  readonly onFull: () => void;
  /** Saves what the server has not got. */
  readonly saveRest: (rest: Blob) => void;
  /** The most that is kept here. */
  readonly limit: number;
}

/** What the server has not got, and since when there is that. */
interface Waiting {
  readonly bytes: Bytes;
  readonly since: number;
}

interface Begun {
  readonly id: string;
  readonly upload: string;
}

/** Begins one, or says why the server takes none. */
export async function beginUpload(
  server: RecordingServer,
  resume: string,
  listener: UploadListener,
): Promise<Upload | FailureCode> {
  const { address, room } = server;
  // For a balancer that keeps a room on one server; the secret is in the body alone.
  const query = `?room=${encodeURIComponent(room)}`;
  const { data, code } = await ask<Begun>(server, address.http(`recordings${query}`), {
    method: 'POST',
    body: JSON.stringify({ room, resume }),
  });
  if (data) return new Upload(server, data, listener);
  return REFUSALS.get(code) === 'upload_full' ? 'upload_no_room' : 'upload_refused';
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
  #rest: Waiting[] = [];
  #restBytes = 0;
  #behind = false;
  /** How much goes at a time. */
  #pieceBytes = PIECE_BYTES;
  #local = false;
  #running: Promise<void> | undefined;
  /** The end of its closing, while it closes and the server takes nothing. */
  #closing: number | undefined;
  /** Ends a pause between two attempts. */
  #wake: () => void = () => undefined;

  constructor(server: RecordingServer, begun: Begun, listener: UploadListener) {
    this.#server = server;
    this.#begun = begun;
    this.#listener = listener;
  }

  write(pieces: readonly Bytes[]): Promise<void> {
    const since = this.#server.clock.now();
    for (const bytes of pieces) {
      this.#learnHead(bytes);
      this.#rest.push({ bytes, since });
      this.#restBytes += bytes.length;
    }
    if (!this.#local && this.#restBytes > WAITING_BYTES) this.#stay('upload_lost');
    if (this.#local && this.#restBytes > this.#listener.limit) this.#listener.onFull();
    this.#look();
    this.#run();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.#hurry();
    this.#run();
    await this.#running;
    this.#server.clock.clearTimeout(this.#closing);
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

  /** From now on the server is waited for so long, unless it takes something. */
  #hurry(): void {
    const { clock } = this.#server;
    clock.clearTimeout(this.#closing);
    this.#closing = clock.setTimeout(() => {
      this.#stay('upload_lost');
    }, CLOSE_MS);
    this.#listener.onLeft(this.#restBytes);
  }

  /** Looks whether it is behind. */
  #look(): void {
    const [oldest] = this.#rest;
    const age = oldest === undefined || this.#local ? 0 : this.#server.clock.now() - oldest.since;
    const behind = age > (this.#behind ? CAUGHT_UP_MS : BEHIND_MS);
    if (behind === this.#behind) return;
    this.#behind = behind;
    this.#listener.onBehind(behind);
  }

  /** Sends what there is, one piece after the other. */
  #run(): void {
    this.#running ??= this.#send().finally(() => {
      this.#running = undefined;
    });
  }

  async #send(): Promise<void> {
    const { clock } = this.#server;
    let pause = RETRY_MS;
    while (!this.#local && this.#rest.length > 0) {
      const begun = clock.now();
      const answer = await this.#put().catch((): Answer<{ length: number }> => ({ status: 0 }));
      if (this.#isLocal()) return;
      const length = answer.data?.length;
      if (length !== undefined) {
        pause = RETRY_MS;
        if (clock.now() - begun < QUICK_MS) this.#pieceBytes = Math.min(this.#pieceBytes * 2, PIECE_BYTES);
        this.#has(length);
      } else if (isForNow(answer)) {
        // The line may be so slow that the piece did not come in time.
        this.#pieceBytes = Math.max(this.#pieceBytes / 2, SMALL_PIECE_BYTES);
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
    for (const { bytes } of this.#rest) {
      if (size + bytes.length > this.#pieceBytes) {
        // Whole ones, but where a single one is too large.
        if (size === 0) pieces.push(bytes.subarray(0, this.#pieceBytes));
        break;
      }
      pieces.push(bytes);
      size += bytes.length;
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
    if (fresh > 0 && this.#closing !== undefined) this.#hurry();
    while (fresh > 0) {
      const [first] = this.#rest;
      if (first === undefined) break;
      const { bytes, since } = first;
      if (bytes.length > fresh) this.#rest[0] = { bytes: bytes.subarray(fresh), since };
      else this.#rest.shift();
      fresh -= Math.min(bytes.length, fresh);
    }
    this.#look();
  }

  /** The rest stays on this device. */
  #stay(code: FailureCode): void {
    if (this.#local) return;
    this.#local = true;
    this.#wake();
    this.#look();
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
    const rest = this.#rest.map(({ bytes }) => bytes);
    if (this.#acknowledged === 0) return new Blob(rest, { type });
    for (const [index, piece] of rest.entries()) {
      const start = clusterIn(piece);
      if (start !== undefined)
        return new Blob([this.#head, piece.subarray(start), ...rest.slice(index + 1)], { type });
    }
    return new Blob([this.#head, ...rest], { type });
  }
}

/** Whether the same may be taken a little later: by a line that is back, a server that is, or in smaller pieces. */
function isForNow({ status, code }: Answer<unknown>): boolean {
  if (status === 0 || status >= 500) return !REFUSALS.has(code);
  return [408, 429].includes(status) || code === 'BODY_INVALID';
}

/** Where the first cluster begins. */
function clusterIn(bytes: Bytes): number | undefined {
  for (let at = bytes.indexOf(0x1f); at !== -1; at = bytes.indexOf(0x1f, at + 1)) {
    if (CLUSTER.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return undefined;
}
