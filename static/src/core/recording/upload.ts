/**
 * Uploads a recording to the server while it is made (R84 to R86). Unacknowledged data is kept, so that the upload
 * continues after a lost response, a restart or a network change. If the server accepts no more, the rest stays on
 * this device and is saved at the end.
 */
import type { FileSink } from '../chat/save';
import type { FailureCode } from '../types';
import { seekable } from './seekable';
import { type Answer, ask, type RecordingServer } from './server';
import { WebmReader } from './webm';

/**
 * Upload size per request: the initial maximum, and the minimum for connections so slow that the server times out.
 */
const PIECE_BYTES = 1024 ** 2;
const SMALL_PIECE_BYTES = 64 * 1024;
const PIECE_MS = 35_000;
/** Requests faster than this allow larger ones. */
const QUICK_MS = 8_000;
/** Maximum amount of unacknowledged data: three minutes, longer than the server waits. */
const WAITING_BYTES = 64 * 1024 ** 2;
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 8_000;
/** Age of unacknowledged data at which the user is informed, and below which the message disappears. */
const BEHIND_MS = 10_000;
const CAUGHT_UP_MS = 5_000;
/** Maximum wait for a server that accepts nothing, when a recording is closed. */
const CLOSE_MS = 30_000;
/** Maximum length of a file's head. */
const HEAD_BYTES = 64 * 1024;
/**
 * Maximum amount of acknowledged data that the rest file repeats so that it starts with a key frame. Key frames occur
 * more often than this.
 */
const OVERLAP_BYTES = 4 * 1024 ** 2;

/** Failures of permanent refusals. */
const REFUSALS: ReadonlyMap<unknown, FailureCode> = new Map([
  ['STORAGE_FULL', 'upload_full'],
  ['QUOTA_EXCEEDED', 'upload_full'],
  ['RECORDING_TOO_LARGE', 'upload_limit'],
]);

type Bytes = Uint8Array<ArrayBuffer>;

/** Callbacks and limits of an `Upload`. */
export interface UploadListener {
  /** Called when the upload has fallen behind or caught up. */
  readonly onBehind: (behind: boolean) => void;
  /** Reports the number of unacknowledged bytes while closing. */
  readonly onLeft: (bytes: number) => void;
  /** From now on all data stays on this device. */
  readonly onLocal: (code: FailureCode) => void;
  /** The limit for data kept on this device was reached. */
  readonly onFull: () => void;
  /** Saves the data that the server does not have. */
  readonly saveRest: (rest: Blob) => void;
  /** Maximum number of bytes kept on this device. */
  readonly limit: number;
}

/** A chunk of the file, with its offset and the time it was written. */
interface Piece {
  readonly bytes: Bytes;
  readonly at: number;
  readonly since: number;
}

interface Begun {
  readonly id: string;
  readonly upload: string;
}

/** Begins an upload, or returns why the server accepts none. */
export async function beginUpload(
  server: RecordingServer,
  resume: string,
  listener: UploadListener,
): Promise<Upload | FailureCode> {
  const { address, room } = server;
  // The room is for load balancers that keep a room on one server. The secret is only in the body.
  const query = `?room=${encodeURIComponent(room)}`;
  const { data, code } = await ask<Begun>(server, address.http(`recordings${query}`), {
    method: 'POST',
    body: JSON.stringify({ room, resume }),
  });
  if (data) return new Upload(server, data, listener);
  return REFUSALS.get(code) === 'upload_full' ? 'upload_no_room' : 'upload_refused';
}

/** A file on the server that is being written. */
export class Upload implements FileSink {
  readonly #server: RecordingServer;
  readonly #begun: Begun;
  readonly #listener: UploadListener;
  readonly #reader = new WebmReader();
  /** Beginning of the file, with its head. */
  #head: Bytes = new Uint8Array();
  /** Total length of the file, and how much of it the server has acknowledged. */
  #length = 0;
  #acknowledged = 0;
  /** Unacknowledged chunks, preceded by the acknowledged ones that the rest file starts with; oldest first. */
  #pieces: Piece[] = [];
  #behind = false;
  /** Current upload size per request. */
  #pieceBytes = PIECE_BYTES;
  #local = false;
  #running: Promise<void> | undefined;
  /** Timeout for closing while the server accepts nothing. */
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

  /** Starts or restarts the timeout for closing. */
  #hurry(): void {
    const { clock } = this.#server;
    clock.clearTimeout(this.#closing);
    this.#closing = clock.setTimeout(() => {
      this.#stay('upload_lost');
    }, CLOSE_MS);
    this.#listener.onLeft(this.#left);
  }

  /** Checks whether the upload has fallen behind or caught up. */
  #look(): void {
    const oldest = this.#pieces.find((piece) => end(piece) > this.#acknowledged);
    const age = oldest === undefined || this.#local ? 0 : this.#server.clock.now() - oldest.since;
    const behind = age > (this.#behind ? CAUGHT_UP_MS : BEHIND_MS);
    if (behind === this.#behind) return;
    this.#behind = behind;
    this.#listener.onBehind(behind);
  }

  /** Sends the unacknowledged data, one request after another. */
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
        // The connection may be so slow that the request timed out.
        this.#pieceBytes = Math.max(this.#pieceBytes / 2, SMALL_PIECE_BYTES);
        await this.#wait(pause);
        pause = Math.min(pause * 2, LONGEST_RETRY_MS);
      } else {
        this.#stay(REFUSALS.get(answer.code) ?? 'upload_lost');
      }
    }
  }

  /** Number of unacknowledged bytes. */
  get #left(): number {
    return this.#length - this.#acknowledged;
  }

  /** A method, because the value may change during an `await` and the compiler assumes otherwise. */
  #isLocal(): boolean {
    return this.#local;
  }

  #put(): Promise<Answer<{ length: number }>> {
    const pieces: Bytes[] = [];
    let size = 0;
    for (const { bytes, at } of this.#pieces) {
      const fresh = bytes.subarray(Math.max(this.#acknowledged - at, 0));
      if (size + fresh.length > this.#pieceBytes) {
        // Whole chunks only, except for a single one that is too large.
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

  /** Handles an acknowledgement of everything up to `length`. */
  #has(length: number): void {
    if (length < this.#acknowledged || length > this.#length) {
      // The server has lost acknowledged data.
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

  /**
   * Offset at which the rest file starts so that it plays by itself: the last key frame the server has, unless that
   * repeats too much data.
   */
  get #restStart(): number {
    const { keys } = this.#reader;
    const before = keys.findLast((key) => key <= this.#acknowledged) ?? 0;
    if (this.#acknowledged - before <= OVERLAP_BYTES) return before;
    return keys.find((key) => key > this.#acknowledged) ?? this.#acknowledged;
  }

  /** Keeps the rest of the recording on this device. */
  #stay(code: FailureCode): void {
    if (this.#local) return;
    this.#local = true;
    this.#wake();
    this.#look();
    this.#listener.onLocal(code);
    void this.#finish();
  }

  /** Tells the server that its file is complete. If the request is lost, the server detects that by itself (R88). */
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

/**
 * Returns whether the same data may be accepted later: on a restored connection, by a restarted server, or in smaller
 * requests.
 */
function isForNow({ status, code }: Answer<unknown>): boolean {
  if (status === 0 || status >= 500) return !REFUSALS.has(code);
  return [408, 429].includes(status) || code === 'BODY_INVALID' || code === 'PIECE_REPLACED';
}
