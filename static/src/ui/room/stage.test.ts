import { describe, expect, it } from 'vitest';
import { placeInset, placeTiles, type Rect, tilesPerPage } from './stage';

const screens = [
  { name: 'laptop', width: 1256, height: 640 },
  { name: 'phone', width: 366, height: 640 },
  { name: 'phone on its side', width: 740, height: 340 },
];

const apart = (a: Rect, b: Rect): boolean =>
  a.x >= b.x + b.width || b.x >= a.x + a.width || a.y >= b.y + b.height || b.y >= a.y + a.height;
const area = ({ width, height }: Rect): number => width * height;

describe.each(screens)('on a $name', ({ width, height }) => {
  const counts = Array.from({ length: 18 }, (_, i) => i + 1);

  it.each(counts.flatMap((count) => [-1, 0, count - 1].map((large) => [count, large])))(
    '%i tiles, the large one %i, lie within it and beside one another',
    (count = 0, large) => {
      const places = placeTiles(width, height, count, 10, large);
      expect(places).toHaveLength(count);
      places.forEach((place, index) => {
        expect(Math.min(place.x, place.y)).toBeGreaterThanOrEqual(0);
        expect(place.x + place.width).toBeLessThanOrEqual(width);
        expect(place.y + place.height).toBeLessThanOrEqual(height);
        expect(Math.min(place.width, place.height)).toBeGreaterThanOrEqual(40);
        expect(places.slice(index + 1).every((other) => apart(place, other))).toBe(true);
      });
    },
  );

  it.each([2, 5, 16])('of %i tiles the large one has more than half of the room', (count) => {
    const [large, ...others] = placeTiles(width, height, count, 10, 0);
    expect(large && area(large)).toBeGreaterThan((width * height) / 2);
    expect(others.every((other) => large && area(other) < area(large) / 3)).toBe(true);
  });
});

describe.each([...screens, { name: 'phone at 320 px', width: 296, height: 420 }])(
  'a page on a $name',
  ({ width, height }) => {
    it.each([false, true])('has at most twelve tiles, each legible, beside a large one: %s', (hasLarge) => {
      const count = tilesPerPage(width, height, 10, hasLarge);
      const places = placeTiles(width, height, count + (hasLarge ? 1 : 0), 10, hasLarge ? 0 : -1);
      expect(count).toBeGreaterThan(1);
      expect(count).toBeLessThanOrEqual(12);
      for (const place of places.slice(hasLarge ? 1 : 0)) {
        expect(place.width).toBeGreaterThanOrEqual(96);
        expect(place.height).toBeGreaterThanOrEqual(72);
      }
    });

    it('keeps the inset of a call of two inside the picture of the other one, in each corner', () => {
      for (const right of [false, true]) {
        for (const bottom of [false, true]) {
          const { main, inset } = placeInset(width, height, 10, { right, bottom });
          expect(inset.x).toBeGreaterThanOrEqual(main.x);
          expect(inset.y).toBeGreaterThanOrEqual(main.y);
          expect(inset.x + inset.width).toBeLessThanOrEqual(main.x + main.width);
          expect(inset.y + inset.height).toBeLessThanOrEqual(main.y + main.height);
          expect(inset.x > main.x + main.width / 2 - inset.width / 2).toBe(right);
          expect(inset.y > main.y + main.height / 2 - inset.height / 2).toBe(bottom);
          expect(area(inset)).toBeLessThan(area(main) / 5);
        }
      }
    });
  },
);

it('twelve tiles are one page on a laptop and on a phone', () => {
  expect(tilesPerPage(1256, 640, 10, false)).toBe(12);
  expect(tilesPerPage(366, 640, 10, false)).toBe(12);
});

it('one that is alone has all of the room', () => {
  expect(placeTiles(800, 600, 1, 10, 0)).toEqual([{ x: 0, y: 0, width: 800, height: 600 }]);
});

it('one that is not there leaves the grid as it is', () => {
  expect(placeTiles(800, 600, 3, 10, 7)).toEqual(placeTiles(800, 600, 3, 10));
});
