/**
 * A recording that goes to the server as it is made (R84 to R86). What the server has not acknowledged is kept: over
 * a lost answer, a restart and another network it goes on from there. Where the server takes no more, the rest stays
 * on this device and is saved in the end.
 */
import type { FileSink } from '../chat/save';
import type { FailureCode } from '../types';
import { seekable } from './seekable';
import { type Answer, ask, type RecordingServer } from './server';
import { WebmReader } from './webm';

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
/** No head of a file is longer. */
const HEAD_BYTES = 64 * 1024;
/** How much is kept of what the server has, for the rest to begin with: a picture begins anew more often. */
const OVERLAP_BYTES = 4 * 1024 ** 2;

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

/** A piece of the file: where it begins, and since when there is it. */
interface Piece {
  readonly bytes: Bytes;
  readonly at: number;
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
  readonly #reader = new WebmReader();
  /** The file's beginning, with its head. */
  #head: Bytes = new Uint8Array();
  /** How much there is, and how much of it the server has. */
  #length = 0;
  #acknowledged = 0;
  /** What the server has not, and before it what the rest is to begin with, the oldest first. */
  #pieces: Piece[] = [];
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
      this.#reader.push(bytes);
      if (this.#head.length < HEAD_BYTES) this.#head = joined(this.#head, bytes.subarray(0, HEAD_BYTES));
      this.#pieces.push({ bytes, at: this.#length, since });
      this.#length += bytes.length;
    }
    if (!this.#local && this.#left > WAITING_BYTES) this.#stay('upload_lost');
    if (this.#local && this.#left > this.#listener.limit) this.#listener.onFull();
    this.#look();
    this.#run();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    this.#hurry();
    this.#run();
    await this.#running;
    this.#server.clock.clearTimeout(this.#closing);
    if (this.#local && this.#left > 0) this.#listener.saveRest(this.#restFile());
    if (!this.#local) await this.#finish();
  }

  abort(): void {
    this.#pieces = [];
    this.#length = this.#acknowledged;
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
    this.#listener.onLeft(this.#left);
  }

  /** Looks whether it is behind. */
  #look(): void {
    const oldest = this.#pieces.find((piece) => end(piece) > this.#acknowledged);
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
    while (!this.#local && this.#left > 0) {
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

  /** Bytes that the server has not. */
  get #left(): number {
    return this.#length - this.#acknowledged;
  }

  /** Asked anew: it changes while an answer is awaited. */
  #isLocal(): boolean {
    return this.#local;
  }

  #put(): Promise<Answer<{ length: number }>> {
    const pieces: Bytes[] = [];
    let size = 0;
    for (const { bytes, at } of this.#pieces) {
      const fresh = bytes.subarray(Math.max(this.#acknowledged - at, 0));
      if (size + fresh.length > this.#pieceBytes) {
        // Whole ones, but where a single one is too large.
        if (size === 0) pieces.push(fresh.subarray(0, this.#pieceBytes));
        break;
      }
      pieces.push(fresh);
      size += fresh.length;
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
    if (length < this.#acknowledged || length > this.#length) {
      // It has lost what it had.
      this.#stay('upload_lost');
      return;
    }
    const progress = length > this.#acknowledged;
    this.#acknowledged = length;
    if (progress && this.#closing !== undefined) this.#hurry();
    const start = this.#restStart;
    this.#pieces = this.#pieces.filter((piece) => end(piece) > Math.min(start, length));
    this.#look();
  }

  /** Where the rest begins: so that it plays by itself, with what the server has already, if that is not too much. */
  get #restStart(): number {
    const { keys } = this.#reader;
    const before = keys.findLast((key) => key <= this.#acknowledged) ?? 0;
    if (this.#acknowledged - before <= OVERLAP_BYTES) return before;
    return keys.find((key) => key > this.#acknowledged) ?? this.#acknowledged;
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

  #restFile(): Blob {
    const start = this.#restStart;
    const rest = this.#pieces.filter((piece) => end(piece) > start);
    const parts = rest.map(({ bytes, at }) => bytes.subarray(Math.max(start - at, 0)));
    const head = start > 0 ? [this.#head.subarray(0, this.#reader.head ?? 0)] : [];
    return new Blob(seekable([...head, ...parts]), { type: 'video/webm' });
  }
}

function end({ bytes, at }: Piece): number {
  return at + bytes.length;
}

function joined(one: Bytes, other: Bytes): Bytes {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** Whether the same may be taken a little later: by a line that is back, a server that is, or in smaller pieces. */
function isForNow({ status, code }: Answer<unknown>): boolean {
  if (status === 0 || status >= 500) return !REFUSALS.has(code);
  return [408, 429].includes(status) || code === 'BODY_INVALID' || code === 'PIECE_REPLACED';
}
