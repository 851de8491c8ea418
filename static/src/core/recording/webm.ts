/**
 * Where a WebM that comes piece by piece can be cut so that what follows plays by itself: before a cluster in which the
 * picture begins anew. Encoders begin clusters where they like, and a picture that follows others cannot be shown alone.
 */

/** What is read of a file: ids of its elements (RFC 9559 §5.1). */
const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const TRACK_NUMBER = 0xd7;
const TRACK_TYPE = 0x83;
const CLUSTER = 0x1f43b675;
const TIMESTAMP = 0xe7;
const SIMPLE_BLOCK = 0xa3;
/** Those whose content is read, too. */
const OPENED = new Set([SEGMENT, TRACKS, TRACK_ENTRY, CLUSTER]);
const VIDEO = 1;
/** A block's first bytes: its track's number (up to 127), its time, and flags, of which the first bit is for this. */
const BLOCK_HEAD = 4;
const KEY = 0x80;
/** The longest id and size together. */
const ELEMENT_HEAD = 12;

/** Reads a file once, from its beginning. */
export class WebmReader {
  /** Where the first cluster begins; what is before it, every part needs. */
  head: number | undefined;
  /** Where the clusters begin in which the picture begins anew, in order. */
  readonly keys: number[] = [];
  /** The times of those pictures, and the time of the last block, in the file's own units. */
  readonly keyTimes: number[] = [];
  lastTime = 0;
  /** What has come and is not read: less than an element's head and a block's. */
  #rest: Uint8Array = new Uint8Array();
  /** Where that begins in the file, and how much of what comes is of no interest. */
  #at = 0;
  #skip = 0;
  #cluster = 0;
  #clusterTime = 0;
  #track = 0;
  #video: number | undefined;
  /** It is no WebM, or one of another make: nothing is known of what follows. */
  #lost = false;

  /** The number of the track that has the picture. */
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

  /** Reads one element; whether there was enough for it. */
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
      // Relative to the cluster, in 16 bits with a sign.
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

/** Reads an unsigned number (RFC 8794 §7.2). */
function uint(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** A number that says by its first bits how long it is (RFC 8794 §4); an id keeps these. */
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
