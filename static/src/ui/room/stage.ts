import { bestGrid } from './grid';

/** A place in the room, in CSS pixels. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** How thick the strip beside a large tile is, as parts of the longer side: the first that makes its tiles legible. */
const STRIP = [0.18, 0.22, 0.26, 0.3];
/** In CSS pixels, both ways. */
const LEGIBLE = 64;

/**
 * Where `count` tiles stand without scrolling: all alike, or, with `large`, that one as large as can be and the
 * others in a strip at its right, on an upright screen below it.
 */
export function placeTiles(width: number, height: number, count: number, gap: number, large = -1): Rect[] {
  const whole = { x: 0, y: 0, width, height };
  if (large < 0 || large >= count) return placeGrid(whole, count, gap);
  if (count === 1) return [whole];
  const wide = width >= height;
  let rest = whole;
  let places: Rect[] = [];
  for (const share of STRIP) {
    const thick = Math.round(share * (wide ? width : height));
    rest = wide
      ? { ...whole, x: width - thick, width: thick }
      : { ...whole, y: height - thick, height: thick };
    places = placeGrid(rest, count - 1, gap);
    if (places.every((place) => Math.min(place.width, place.height) >= LEGIBLE)) break;
  }
  places.splice(large, 0, wide ? { ...whole, width: rest.x - gap } : { ...whole, height: rest.y - gap });
  return places;
}

/** Tiles of one size, each row and all rows in the middle. */
function placeGrid(area: Rect, count: number, gap: number): Rect[] {
  const { columns, tileWidth, tileHeight } = bestGrid(area.width, area.height, count, gap);
  const rows = Math.ceil(count / columns);
  const top = area.y + (area.height - rows * tileHeight - (rows - 1) * gap) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, count - row * columns);
    const left = area.x + (area.width - inRow * tileWidth - (inRow - 1) * gap) / 2;
    return {
      x: left + (index % columns) * (tileWidth + gap),
      y: top + row * (tileHeight + gap),
      width: tileWidth,
      height: tileHeight,
    };
  });
}
