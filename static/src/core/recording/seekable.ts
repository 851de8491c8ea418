/**
 * Makes a WebM file seekable. `MediaRecorder` writes files progressively, without a duration and an index. Space for
 * both is reserved in the head of the file and filled when the file is complete (RFC 9559 §5.1).
 */
import { vint, WebmReader } from './webm';

type Bytes = Uint8Array<ArrayBuffer>;

const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;
const SEEK_HEAD = 0x114d9b74;
const SEEK = 0x4dbb;
const SEEK_ID = 0x53ab;
const SEEK_POSITION = 0x53ac;
const INFO = 0x1549a966;
const TIMESTAMP_SCALE = 0x2ad7b1;
const DURATION = 0x4489;
const CUES = 0x1c53bb6b;
const CUE_POINT = 0xbb;
const CUE_TIME = 0xb3;
const CUE_POSITIONS = 0xb7;
const CUE_TRACK = 0xf7;
const CUE_CLUSTER = 0xf1;
const VOID = 0xec;
const CRC = 0xbf;
/** Elements that would be wrong after the head has changed, or that are written again. */
const DROPPED = new Set([SEEK_HEAD, VOID, CRC, DURATION]);

/** Unknown and known sizes both take eight bytes. */
const UNKNOWN_SIZE = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/** Maximum length of a file's head. */
const HEAD_BYTES = 64 * 1024;

/** A file head with reserved space. */
interface Head {
  readonly bytes: Bytes;
  /** Start of the segment's content, which positions in the file are relative to. */
  readonly segment: number;
  readonly duration: number;
}

/** Rewriter for one file, from its first chunk to its last. */
export class SeekableWebm {
  readonly #reader = new WebmReader();
  /** Data received before the head is complete. */
  #held: Bytes = new Uint8Array();
  #head: Head | undefined;
  /** The head was written or could not be parsed; chunks are passed through. */
  #begun = false;
  /** Number of bytes by which the head has grown. */
  #shift = 0;
  #length = 0;

  /** Returns the bytes to write for the next chunk. */
  push(piece: Bytes): Bytes {
    this.#reader.push(piece);
    return this.#count(this.#begun ? piece : this.#begin(piece));
  }

  /**
   * Completes the file.
   *
   * @returns what to write at the end, and what to overwrite the beginning with
   */
  finish(): { readonly tail: Bytes; readonly head?: Bytes } {
    const { keys, keyTimes, video, lastTime } = this.#reader;
    if (!this.#head || video === undefined) return { tail: this.#begun ? new Uint8Array() : this.#held };
    const { bytes, segment, duration } = this.#head;
    const cues = element(
      CUES,
      keys.flatMap((key, index) => {
        const positions = [
          ...element(CUE_TRACK, [video]),
          ...element(CUE_CLUSTER, number(key + this.#shift - segment)),
        ];
        const time = element(CUE_TIME, number(keyTimes[index] ?? 0));
        return element(CUE_POINT, [...time, ...element(CUE_POSITIONS, positions)]);
      }),
    );
    const head = bytes.slice();
    head.set(size(this.#length + cues.length - segment), segment - UNKNOWN_SIZE.length);
    head.set(seekHead(this.#length - segment), segment);
    head.set(durationElement(lastTime), duration);
    return { tail: Uint8Array.from(cues), head };
  }

  /** Rewrites the head as soon as it is complete. */
  #begin(piece: Bytes): Bytes {
    const held = Uint8Array.from([...this.#held, ...piece]);
    const end = this.#reader.head;
    if (end === undefined && held.length < HEAD_BYTES) {
      this.#held = held;
      return new Uint8Array();
    }
    this.#begun = true;
    this.#head = end === undefined ? undefined : withRoom(held.subarray(0, end));
    if (!this.#head || end === undefined) return held;
    this.#shift = this.#head.bytes.length - end;
    return Uint8Array.from([...this.#head.bytes, ...held.subarray(end)]);
  }

  #count(bytes: Bytes): Bytes {
    this.#length += bytes.length;
    return bytes;
  }
}

/** Makes a complete file seekable. */
export function seekable(parts: readonly Bytes[]): Bytes[] {
  const file = new SeekableWebm();
  const written = parts.map((part) => file.push(part));
  const { tail, head } = file.finish();
  if (!head) return [...written, tail];
  // The head replaces the start of the first non-empty part.
  const first = written.findIndex(({ length }) => length > 0);
  return [
    head,
    ...written.slice(first).map((part, at) => (at === 0 ? part.subarray(head.length) : part)),
    tail,
  ];
}

/** Reserves space in a file head; `undefined` if its structure is not as expected. */
function withRoom(old: Uint8Array): Head | undefined {
  const [ebml, segment] = elements(old);
  if (ebml?.id !== EBML || segment?.id !== SEGMENT) return undefined;
  const start = [...ebml.whole, ...bytesOf(SEGMENT), ...UNKNOWN_SIZE];
  const inside = elements(old.subarray(segment.begin)).filter(({ id }) => !DROPPED.has(id));
  const info = inside.find(({ id }) => id === INFO);
  if (!info) return undefined;
  const kept = elements(info.content).filter(({ id }) => !DROPPED.has(id));
  // The unit of block times and of the duration, in nanoseconds.
  if (!kept.some(({ id }) => id === TIMESTAMP_SCALE)) return undefined;
  const durationBytes = durationElement(0).length;
  const newInfo = element(INFO, [...kept.flatMap(({ whole }) => [...whole]), ...filler(durationBytes)]);
  const beforeInfo = [...start, ...filler(seekHead(0).length)];
  const others = inside.filter(({ id }) => id !== INFO).flatMap(({ whole }) => [...whole]);
  return {
    bytes: Uint8Array.from([...beforeInfo, ...newInfo, ...others]),
    segment: start.length,
    duration: beforeInfo.length + newInfo.length - durationBytes,
  };
}

/** Encodes a pointer to the index, relative to the start of the segment's content. */
function seekHead(cues: number): number[] {
  const position = element(SEEK_POSITION, number(cues));
  return element(SEEK_HEAD, element(SEEK, [...element(SEEK_ID, bytesOf(CUES)), ...position]));
}

function durationElement(duration: number): number[] {
  const float = new DataView(new ArrayBuffer(8));
  float.setFloat64(0, duration);
  return element(DURATION, [...new Uint8Array(float.buffer)], 1);
}

interface Element {
  readonly id: number;
  readonly whole: Uint8Array;
  readonly content: Uint8Array;
  /** Offset of the content. */
  readonly begin: number;
}

/** Parses consecutive elements; the last one may be truncated or of unknown size. */
function elements(bytes: Uint8Array): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const id = vint(bytes, at, true);
    const length = id && vint(bytes, at + id.length, false);
    if (!id || !length) return found;
    const begin = at + id.length + length.length;
    const end = Math.min(begin + length.value, bytes.length);
    found.push({ id: id.value, whole: bytes.subarray(at, end), content: bytes.subarray(begin, end), begin });
    at = end;
  }
  return found;
}

/** Encodes an element, with a size field of eight bytes or one. */
function element(id: number, content: readonly number[], sizeBytes: 1 | 8 = 8): number[] {
  return [...bytesOf(id), ...(sizeBytes === 1 ? [0x80 | content.length] : size(content.length)), ...content];
}

function size(value: number): number[] {
  return [0x01, ...number(value).slice(1)];
}

/** Encodes a number in eight bytes. */
function number(value: number): number[] {
  return Array.from({ length: 8 }, (_, at) => Math.floor(value / 256 ** (7 - at)) % 256);
}

/** Encodes an id without leading zeros. */
function bytesOf(id: number): number[] {
  const bytes = number(id);
  return bytes.slice(bytes.findIndex((byte) => byte !== 0));
}

/** Encodes a padding element of this length. */
function filler(length: number): number[] {
  return element(VOID, new Array<number>(length - 2).fill(0), 1);
}
