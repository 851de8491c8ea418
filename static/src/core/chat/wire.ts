/**
 * Messages that two pages exchange over the data channel of their connection (W3C WebRTC §6.2), which is ordered,
 * reliable and negotiated by layout: `negotiated`, id 0. Text frames are JSON objects:
 *
 * ```text
 * {"type":"text","id":7,"text":"…","private":true}                    to this peer; private: to nobody else
 * {"type":"offer","id":8,"name":"…","size":20971520,"private":true}   sender → receiver
 * {"type":"accept","id":8}  {"type":"got","id":8,"bytes":262144}  {"type":"refuse","id":8}   receiver → sender
 * {"type":"withdraw","id":8}                                          sender → receiver
 * ```
 *
 * An `id` is a 32-bit number that the sender uses once. Binary frames are chunks of an accepted file in order: the
 * id, big-endian, then 16 KiB, or the remainder in the last chunk. A receiver refuses a file in chunks of other
 * sizes. `got` acknowledges the bytes that are safely stored, block by block; a sender stays within `WINDOW_BYTES` of
 * it. The last `got` confirms that the file is complete. Malformed or out-of-bounds frames are ignored; too many of
 * them close the channel (`line.ts`).
 */
import { withoutStacks } from '../names';

/** Maximum size of a text, in bytes of UTF-8. */
export const TEXT_BYTES = 4_096;
/** Maximum size of a file. */
export const FILE_BYTES = 2 * 1024 ** 3;
/** Payload of a binary frame. Every browser accepts messages of this size (RFC 8831 §6.6). */
export const CHUNK_BYTES = 16_384;
/** Maximum number of bytes sent but not acknowledged as stored. */
export const WINDOW_BYTES = 4 * 1024 ** 2;
/** Number of bytes read, written and acknowledged at a time. */
export const BLOCK_BYTES = 262_144;

const HEADER_BYTES = 4;
/** 4 KiB of text with each byte escaped as six characters, plus the rest of the object. */
const FRAME_CHARS = 32_768;
const NAME_CHARS = 200;
/** Characters that file systems reject, path separators, and bidirectional controls. */
const NOT_IN_NAMES =
  // eslint-disable-next-line no-control-regex -- exactly these are meant
  /[\\/:*?"<>|\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A text frame. */
export type WireMessage =
  | { readonly type: 'text'; readonly id: number; readonly text: string; readonly private?: true }
  | ({ readonly type: 'offer'; readonly id: number; readonly private?: true } & FileFacts)
  | { readonly type: 'accept' | 'refuse' | 'withdraw'; readonly id: number }
  | { readonly type: 'got'; readonly id: number; readonly bytes: number };

/** File metadata in an offer. */
export interface FileFacts {
  readonly name: string;
  readonly size: number;
}

/** A binary frame. */
export interface Chunk {
  readonly type: 'chunk';
  readonly id: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Returns the size of a text in bytes of UTF-8. */
export function textBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Returns a file name that is safe to display and to suggest to a file system. */
export function safeName(name: string): string {
  const cleaned = [...withoutStacks(name).replace(NOT_IN_NAMES, '_').trim()].slice(-NAME_CHARS).join('');
  return cleaned.replace(/^[.\s]+|[.\s]+$/g, '') || 'file';
}

/** Encodes a chunk of a file as a binary frame. */
export function chunkFrame(id: number, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEADER_BYTES + bytes.length);
  new DataView(frame.buffer).setUint32(0, id);
  frame.set(bytes, HEADER_BYTES);
  return frame;
}

/** Parses a frame; `undefined` if it is malformed. */
export function parseFrame(data: unknown): WireMessage | Chunk | undefined {
  if (data instanceof ArrayBuffer) return parseChunk(data);
  if (typeof data !== 'string' || data.length > FRAME_CHARS) return undefined;
  try {
    return parseMessage(JSON.parse(data));
  } catch {
    return undefined;
  }
}

function parseChunk(data: ArrayBuffer): Chunk | undefined {
  const length = data.byteLength - HEADER_BYTES;
  if (length < 1 || length > CHUNK_BYTES) return undefined;
  return { type: 'chunk', id: new DataView(data).getUint32(0), bytes: new Uint8Array(data, HEADER_BYTES) };
}

function parseMessage(value: unknown): WireMessage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { type, id, text, name, size, bytes, ...rest } = value as Record<string, unknown>;
  if (!isCount(id, 0xffff_ffff)) return undefined;
  const secret = rest.private === true ? ({ private: true } as const) : {};
  switch (type) {
    case 'text':
      if (typeof text !== 'string' || text.trim() === '' || textBytes(text) > TEXT_BYTES) return undefined;
      return { type, id, text: withoutStacks(text), ...secret };
    case 'offer':
      if (typeof name !== 'string' || !isCount(size, FILE_BYTES)) return undefined;
      return { type, id, name: safeName(name), size, ...secret };
    case 'accept':
    case 'refuse':
    case 'withdraw':
      return { type, id };
    case 'got':
      return isCount(bytes, FILE_BYTES) ? { type, id, bytes } : undefined;
    default:
      return undefined;
  }
}

function isCount(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
