/**
 * What two pages say to each other over the data channel of their pair (W3C WebRTC §6.2), which is
 * ordered, reliable and negotiated by layout: `negotiated`, id 0. Text frames are JSON objects:
 *
 * ```text
 * {"type":"text","id":7,"text":"…","private":true}                               said to this peer; private: to nobody else
 * {"type":"offer","id":8,"name":"…","size":20971520,"private":true}   sender → receiver
 * {"type":"accept","id":8}  {"type":"got","id":8,"bytes":262144}  {"type":"refuse","id":8}   receiver → sender
 * {"type":"withdraw","id":8}                                                     sender → receiver
 * ```
 *
 * An `id` is a number of 32 bits that the sender uses once. Binary frames are pieces of an accepted
 * file in their order: the id, big-endian, then 16 KiB, in the last piece what is left. A receiver
 * refuses a file in other pieces. `got` counts what is safely stored, block by block; a sender stays
 * less than `WINDOW_BYTES` ahead of it. The last `got` says that the file is whole. What is not of
 * these shapes, or out of its bounds, is ignored, and much of it ends the channel (`line.ts`).
 */
import { withoutStacks } from '../names';

/** The longest text, in UTF-8. */
export const TEXT_BYTES = 4_096;
/** The largest file. */
export const FILE_BYTES = 2 * 1024 ** 3;
/** The payload of a binary frame: every browser takes messages of this size (RFC 8831 §6.6). */
export const CHUNK_BYTES = 16_384;
/** How far a sender may be ahead of what the receiver has stored. */
export const WINDOW_BYTES = 4 * 1024 ** 2;
/** How much is read, written and acknowledged at a time. */
export const BLOCK_BYTES = 262_144;

const HEADER_BYTES = 4;
/** 4 KiB of text, each byte escaped as six, and the rest of the object. */
const FRAME_CHARS = 32_768;
const NAME_CHARS = 200;
/** What no file system takes, what makes a path, and what turns the direction of writing around. */
const NOT_IN_NAMES =
  // eslint-disable-next-line no-control-regex -- exactly these are meant
  /[\\/:*?"<>|\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** One text frame. */
export type WireMessage =
  | { readonly type: 'text'; readonly id: number; readonly text: string; readonly private?: true }
  | ({ readonly type: 'offer'; readonly id: number; readonly private?: true } & FileFacts)
  | { readonly type: 'accept' | 'refuse' | 'withdraw'; readonly id: number }
  | { readonly type: 'got'; readonly id: number; readonly bytes: number };

/** What is known of a file before it comes. */
export interface FileFacts {
  readonly name: string;
  readonly size: number;
}

/** One binary frame. */
export interface Chunk {
  readonly type: 'chunk';
  readonly id: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The length of a text, as its bound counts it. */
export function textBytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** A file's name, as it may be shown and suggested to a file system. */
export function safeName(name: string): string {
  const cleaned = [...withoutStacks(name).replace(NOT_IN_NAMES, '_').trim()].slice(-NAME_CHARS).join('');
  return cleaned.replace(/^[.\s]+|[.\s]+$/g, '') || 'file';
}

/** The frame of a piece of a file. */
export function chunkFrame(id: number, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEADER_BYTES + bytes.length);
  new DataView(frame.buffer).setUint32(0, id);
  frame.set(bytes, HEADER_BYTES);
  return frame;
}

/** What a frame says; nothing, where it is not of ours. */
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
