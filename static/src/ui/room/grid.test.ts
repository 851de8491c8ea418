import { describe, expect, it } from 'vitest';
import { bestGrid } from './grid';

const screens = [
  { name: 'laptop', width: 1256, height: 640 },
  { name: 'phone', width: 366, height: 640 },
  { name: 'phone on its side', width: 740, height: 340 },
];

describe.each(screens)('on a $name', ({ width, height }) => {
  it.each(Array.from({ length: 50 }, (_, i) => i + 1))('fits %i tiles without scrolling', (count) => {
    const { columns, tileWidth, tileHeight } = bestGrid(width, height, count, 10);
    const rows = Math.ceil(count / columns);
    expect(tileWidth).toBeGreaterThan(0);
    expect(columns * tileWidth + (columns - 1) * 10).toBeLessThanOrEqual(width);
    expect(rows * tileHeight + (rows - 1) * 10).toBeLessThanOrEqual(height);
  });

  it.each([1, 2, 3, 5, 9, 16])('keeps the shape of %i tiles within bounds', (count) => {
    const { tileWidth, tileHeight } = bestGrid(width, height, count, 10);
    expect(tileWidth / tileHeight).toBeGreaterThan(0.74);
    expect(tileWidth / tileHeight).toBeLessThan(1.8);
  });
});

describe('bestGrid', () => {
  it('puts two beside each other on a wide screen and above each other on an upright one', () => {
    expect(bestGrid(1200, 600, 2, 10).columns).toBe(2);
    expect(bestGrid(360, 640, 2, 10).columns).toBe(1);
  });

  it('has an answer before it was measured', () => {
    expect(bestGrid(0, 0, 3, 10)).toEqual({ columns: 1, tileWidth: 0, tileHeight: 0 });
  });
});
