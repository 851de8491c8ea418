import { expect, test } from 'vitest';
import { block, clusterAt, HEAD } from '../testing/webm';
import { seekable, SeekableWebm } from './seekable';

const clusters = [
  clusterAt(0, block({ key: true }), block({ at: 40 })),
  clusterAt(500, block({ at: 0 }), block({ track: 1, key: true, at: 10 })),
  clusterAt(1_000, block({ key: true, at: -20 }), block({ at: 234 })),
];
const source = Uint8Array.from([...HEAD, ...clusters.flat()]);

interface Node {
  readonly id: string;
  readonly at: number;
  readonly content: Uint8Array;
}

/** Parses elements by the letter of RFC 8794, independently of the code under test. */
function read(file: Uint8Array, from: number, to: number): Node[] {
  const nodes: Node[] = [];
  for (let at = from; at < to;) {
    const length = (byte: number): number => Math.clz32(byte) - 23;
    const idLength = length(file[at] ?? 0);
    const id = [...file.subarray(at, at + idLength)]
      .map((byte) => byte.toString(16).padStart(2, '0'))
      .join('');
    const sizeAt = at + idLength;
    const sizeLength = length(file[sizeAt] ?? 0);
    const bytes = [...file.subarray(sizeAt, sizeAt + sizeLength)];
    const isUnknown = bytes.slice(1).every((byte) => byte === 0xff) && bytes.length === 8;
    const value = bytes.reduce(
      (sum, byte, index) => sum * 256 + (index === 0 ? byte & (0xff >> sizeLength) : byte),
      0,
    );
    const begin = sizeAt + sizeLength;
    // Clusters of unknown size are opened: their content follows.
    const end = isUnknown ? begin : begin + value;
    nodes.push({ id, at, content: file.subarray(begin, end) });
    at = end;
  }
  return nodes;
}

const inside = ({ content }: Node): Node[] => read(content, 0, content.length);
const find = (nodes: readonly Node[], id: string): Node => {
  const node = nodes.find((each) => each.id === id);
  if (!node) throw new Error(`no ${id}`);
  return node;
};
const uint = ({ content }: Node): number => content.reduce((sum, byte) => sum * 256 + byte, 0);

test.each([1, 3, 50, 1_000])('a file that came in pieces of %i bytes has a duration and an index', (size) => {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < source.length; at += size) parts.push(source.slice(at, at + size));
  const file = Uint8Array.from(seekable(parts).flatMap((part) => [...part]));

  const [ebml, segment, ...others] = read(file, 0, file.length);
  expect([ebml?.id, segment?.id, others]).toEqual(['1a45dfa3', '18538067', []]);
  if (!segment) return;
  const start = segment.content.byteOffset;
  const top = inside(segment);
  const duration = find(inside(find(top, '1549a966')), '4489').content;
  expect(new DataView(duration.buffer, duration.byteOffset).getFloat64(0)).toBe(1_234);

  const seek = inside(find(inside(find(top, '114d9b74')), '4dbb'));
  const cues = find(top, '1c53bb6b');
  expect([...find(seek, '53ab').content]).toEqual([0x1c, 0x53, 0xbb, 0x6b]);
  expect(uint(find(seek, '53ac'))).toBe(cues.at);
  const points = inside(cues).map((point) => {
    const positions = inside(find(inside(point), 'b7'));
    const at = start + uint(find(positions, 'f1'));
    return [uint(find(inside(point), 'b3')), uint(find(positions, 'f7')), file.subarray(at)];
  });
  const clusterOf = (time: number): unknown =>
    expect.objectContaining({ 0: 0x1f, 1: 0x43, 2: 0xb6, 3: 0x75, 13: 0x82, 14: time >> 8, 15: time & 0xff });
  expect(points).toEqual([
    [0, 2, clusterOf(0)],
    [980, 2, clusterOf(1_000)],
  ]);
  // The content is complete.
  expect(Buffer.from(file).includes(Buffer.from(clusters.flat()))).toBe(true);
});

test.each([
  ['is no WebM', new Uint8Array(200).fill(7)],
  ['ends in its head', source.slice(0, 20)],
  ['has no content', new Uint8Array()],
])('what %s stays as it is', (_name, bytes) => {
  expect(Uint8Array.from(seekable([bytes]).flatMap((part) => [...part]))).toEqual(bytes);
});

test('until it is complete, a file can be played as before: its duration is not zero', () => {
  const file = new SeekableWebm();
  const begun = file.push(source);
  const ids = read(begun, 0, begun.length).map(({ id }) => id);
  expect(ids).not.toContain('114d9b74');
  expect(Buffer.from(begun).includes(Buffer.from([0x44, 0x89, 0x88]))).toBe(false);
});
