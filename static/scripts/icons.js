/** Draws the icons of public/manifest.webmanifest, with the shapes of public/favicon.svg: `node scripts/icons.js`. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';

/** Samples per pixel in each direction. */
const SAMPLES = 4;
const CENTRE = [16, 16, 7, [0x4f, 0x63, 0xe7]];
const SEATS = Array.from({ length: 6 }, (_, index) => {
  const angle = (index * Math.PI) / 3 - Math.PI / 2;
  return [16 + 12 * Math.cos(angle), 16 + 12 * Math.sin(angle), 3, [0x8b, 0x9b, 0xff]];
});

/** Returns the colour at a point of the drawing, whose side is 32; `undefined` outside the shapes. */
function colourAt(x, y) {
  return [CENTRE, ...SEATS].find(([cx, cy, r]) => (x - cx) ** 2 + (y - cy) ** 2 <= r ** 2)?.[3];
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** Encodes a PNG. The drawing takes `share` of it, on white if less than all. */
function png(size, share) {
  const ground = share < 1 ? [255, 255, 255, 255] : [0, 0, 0, 0];
  const rows = Array.from({ length: size }, (_, row) => {
    const pixels = Array.from({ length: size }, (_, column) => {
      const sum = [0, 0, 0, 0];
      for (let sample = 0; sample < SAMPLES ** 2; sample++) {
        const [dx, dy] = [sample % SAMPLES, Math.floor(sample / SAMPLES)].map((at) => (at + 0.5) / SAMPLES);
        const [x, y] = [column + dx, row + dy].map((at) => 16 + ((at / size - 0.5) * 32) / share);
        const colour = colourAt(x, y);
        const [r, g, b, a] = colour ? [...colour, 255] : ground;
        [r * a, g * a, b * a, a].forEach((value, index) => (sum[index] += value));
      }
      const alpha = sum[3] || 1;
      return [
        ...sum.slice(0, 3).map((value) => Math.round(value / alpha)),
        Math.round(sum[3] / SAMPLES ** 2),
      ];
    });
    return [0, ...pixels.flat()];
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  // Eight bits each for red, green, blue and alpha.
  header.set([8, 6], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.from(rows.flat()), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const folder = resolve(import.meta.dirname, '../public');
for (const [name, size, share] of [
  ['icon-192.png', 192, 1],
  ['icon-512.png', 512, 1],
  // Systems crop a maskable icon; the safe zone is a circle of four fifths.
  ['icon-maskable.png', 512, 0.66],
]) {
  writeFileSync(resolve(folder, name), png(size, share));
}
