/**
 * Finds the points at which a WebM stream can be cut so that the rest plays by itself: clusters that start with a key
 * frame. Encoders start clusters anywhere, and a dependent frame cannot be shown alone.
 */

/** Ids of the elements that are read (RFC 9559 §5.1). */
const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const TRACK_NUMBER = 0xd7;
const TRACK_TYPE = 0x83;
const CLUSTER = 0x1f43b675;
const TIMESTAMP = 0xe7;
const SIMPLE_BLOCK = 0xa3;
/** Elements whose content is parsed. */
const OPENED = new Set([SEGMENT, TRACKS, TRACK_ENTRY, CLUSTER]);
const VIDEO = 1;
/** Size of a block's header: track number (up to 127), time, and flags, whose first bit marks a key frame. */
const BLOCK_HEAD = 4;
const KEY = 0x80;
/** Maximum length of an element's id and size together. */
const ELEMENT_HEAD = 12;

/** Parses a file once, from its beginning. */
export class WebmReader {
  /** Offset of the first cluster. Every part of the file needs what precedes it. */
  head: number | undefined;
  /** Offsets of the clusters that start with a key frame, in order. */
  readonly keys: number[] = [];
  /** Times of those key frames, and of the last block, in the file's own units. */
  readonly keyTimes: number[] = [];
  lastTime = 0;
  /** Unparsed data: less than the headers of an element and a block. */
  #rest: Uint8Array = new Uint8Array();
  /** Offset of the unparsed data in the file, and the number of following bytes to skip. */
  #at = 0;
  #skip = 0;
  #cluster = 0;
  #clusterTime = 0;
  #track = 0;
  #video: number | undefined;
  /** The file is not WebM or has an unknown structure; the rest is ignored. */
  #lost = false;

  /** Number of the video track. */
  get video(): number | undefined {
    return this.#video;
  }

  push(piece: Uint8Array): void {
    if (this.#lost) return;
    const passed = Math.min(this.#skip, piece.length);
    this.#skip -= passed;
    this.#at += passed;
    if (passed === piece.length) return;
    const bytes = new Uint8Array(this.#rest.length + piece.length - passed);
    bytes.set(this.#rest);
    bytes.set(piece.subarray(passed), this.#rest.length);
    this.#rest = bytes;
    while (this.#read());
  }

  /** Parses one element. Returns whether there was enough data for it. */
  #read(): boolean {
    const id = vint(this.#rest, 0, true);
    const size = id && vint(this.#rest, id.length, false);
    if (id === undefined || size === undefined) {
      this.#lost = this.#rest.length >= ELEMENT_HEAD;
      return false;
    }
    const begin = id.length + size.length;
    const content = this.#rest.subarray(begin);
    if (id.value === CLUSTER) {
      this.#cluster = this.#at;
      this.head ??= this.#at;
    }
    if (OPENED.has(id.value)) {
      this.#advance(begin);
      return true;
    }
    if (id.value === SIMPLE_BLOCK) {
      const [track = 0, high = 0, low = 0, flags] = content;
      if (flags === undefined || content.length < BLOCK_HEAD) return false;
      // Relative to the cluster, as a signed 16-bit number.
      const time = this.#clusterTime + (((high << 24) | (low << 16)) >> 16);
      this.lastTime = Math.max(this.lastTime, time);
      if ((track & 0x7f) === this.#video && (flags & KEY) !== 0 && this.keys.at(-1) !== this.#cluster) {
        this.keys.push(this.#cluster);
        this.keyTimes.push(time);
      }
    } else if (id.value === TIMESTAMP) {
      if (content.length < size.value) return false;
      this.#clusterTime = uint(content.subarray(0, size.value));
    } else if (id.value === TRACK_NUMBER || id.value === TRACK_TYPE) {
      const [value] = content;
      if (value === undefined) return false;
      if (id.value === TRACK_NUMBER) this.#track = value;
      else if (value === VIDEO) this.#video = this.#track;
    }
    this.#advance(begin + size.value);
    return true;
  }

  #advance(length: number): void {
    const here = Math.min(length, this.#rest.length);
    this.#rest = this.#rest.subarray(here);
    this.#skip = length - here;
    this.#at += here;
  }
}

/** Decodes an unsigned integer (RFC 8794 §7.2). */
function uint(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** Decodes a variable-size integer, whose leading bits give its length (RFC 8794 §4). An id keeps these bits. */
export function vint(
  bytes: Uint8Array,
  at: number,
  isId: boolean,
): { value: number; length: number } | undefined {
  const first = bytes[at];
  if (first === undefined || first === 0) return undefined;
  const length = Math.clz32(first) - 23;
  if (bytes.length < at + length) return undefined;
  let value = isId ? first : first & (0xff >> length);
  for (const byte of bytes.subarray(at + 1, at + length)) value = value * 256 + byte;
  return { value, length };
}
