/** Minimal WebM files. */

const UNKNOWN_SIZE = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/** Everything before the first cluster: the video is track 2, the audio track 1. */
export const HEAD: readonly number[] = [
  ...[0x1a, 0x45, 0xdf, 0xa3, 0x83, 1, 2, 3],
  ...[0x18, 0x53, 0x80, 0x67, ...UNKNOWN_SIZE],
  // Timestamp scale of one millisecond.
  ...[0x15, 0x49, 0xa9, 0x66, 0x87, 0x2a, 0xd7, 0xb1, 0x83, 0x0f, 0x42, 0x40],
  ...[0x16, 0x54, 0xae, 0x6b, 0x90],
  ...[0xae, 0x86, 0xd7, 0x81, 1, 0x83, 0x81, 2],
  ...[0xae, 0x86, 0xd7, 0x81, 2, 0x83, 0x81, 1],
];

/** Builds a cluster with these blocks. */
export function cluster(...blocks: readonly (readonly number[])[]): number[] {
  return clusterAt(7, ...blocks);
}

/** Builds a cluster that begins at this time, in milliseconds. */
export function clusterAt(time: number, ...blocks: readonly (readonly number[])[]): number[] {
  // The size is unknown while the cluster grows.
  return [0x1f, 0x43, 0xb6, 0x75, ...UNKNOWN_SIZE, 0xe7, 0x82, time >> 8, time & 0xff, ...blocks.flat()];
}

/** Builds a block; `key` marks a key frame, and is set for all audio. */
export function block({ key = false, track = 2, size = 1, at = 0 }): number[] {
  const length = size + 4;
  const bytes = [0, 1, 2, 3].map((byte) => (length >> (8 * (3 - byte))) & 0xff);
  const content = new Array<number>(size).fill(0xa3);
  return [0xa3, 0x08, ...bytes, 0x80 | track, (at >> 8) & 0xff, at & 0xff, key ? 0x80 : 0, ...content];
}
