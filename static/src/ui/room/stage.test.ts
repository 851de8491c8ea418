import { describe, expect, it } from 'vitest';
import { placeTiles, type Rect } from './stage';

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

it('one that is alone has all of the room', () => {
  expect(placeTiles(800, 600, 1, 10, 0)).toEqual([{ x: 0, y: 0, width: 800, height: 600 }]);
});

it('one that is not there leaves the grid as it is', () => {
  expect(placeTiles(800, 600, 3, 10, 7)).toEqual(placeTiles(800, 600, 3, 10));
});
