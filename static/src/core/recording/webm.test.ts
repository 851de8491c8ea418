import { expect, test } from 'vitest';
import { block, cluster, HEAD } from '../testing/webm';
import { WebmReader } from './webm';

const sound = block({ key: true, track: 1 });
const clusters = [
  cluster(sound, block({ key: true }), block({})),
  cluster(sound, block({}), sound),
  cluster(block({}), block({ size: 300 }), block({ key: true }), block({ key: true })),
];
const file = Uint8Array.from([...HEAD, ...clusters.flat()]);
const starts = [HEAD.length, HEAD.length + (clusters[0]?.length ?? 0) + (clusters[1]?.length ?? 0)];

test.each([1, 2, 3, 7, 50, 1_000])('in pieces of %i bytes: where the picture begins anew', (size) => {
  const reader = new WebmReader();
  for (let at = 0; at < file.length; at += size) reader.push(file.subarray(at, at + size));
  expect([reader.head, reader.keys]).toEqual([HEAD.length, starts]);
});

test('of what is no WebM nothing is said', () => {
  const reader = new WebmReader();
  reader.push(new Uint8Array(100));
  reader.push(file);
  expect([reader.head, reader.keys]).toEqual([undefined, []]);
});
