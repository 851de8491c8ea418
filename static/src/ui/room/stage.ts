import { bestGrid } from './grid';

/** A rectangle on the stage, in CSS pixels. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Thickness of the strip beside a large tile, as a share of the longer side: the first one with legible tiles is
 * used.
 */
const STRIP = [0.18, 0.22, 0.26, 0.3];
/** Smallest tile with space for a name below its buttons, in CSS pixels. */
const LEGIBLE = { width: 96, height: 72 };
/** Maximum number of tiles on a page, not counting a large one. */
export const MAX_TILES_PER_PAGE = 12;
/** Height of the page buttons, in CSS pixels. */
export const PAGER_HEIGHT = 48;

/** A corner of the stage. */
export interface Corner {
  readonly right: boolean;
  readonly bottom: boolean;
}

/**
 * Places `count` tiles without scrolling: all equal, or, with `large`, that one as large as possible and the others
 * in a strip at its right, or below it on an upright screen.
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
    if (places.every(isLegible)) break;
  }
  places.splice(large, 0, wide ? { ...whole, width: rest.x - gap } : { ...whole, height: rest.y - gap });
  return places;
}

/** Returns how many tiles, in addition to a large one, are legible on one page: at least one. */
export function tilesPerPage(width: number, height: number, gap: number, hasLarge: boolean): number {
  const first = hasLarge ? 1 : 0;
  for (let count = MAX_TILES_PER_PAGE; count > 1; count--) {
    const places = placeTiles(width, height, count + first, gap, first - 1);
    if (places.slice(first).every(isLegible)) return count;
  }
  return 1;
}

/** Places the other participant of a call of two on the whole stage, and the local video in a corner of it. */
export function placeInset(
  width: number,
  height: number,
  gap: number,
  corner: Corner,
): { readonly main: Rect; readonly inset: Rect } {
  const upright = height > width;
  const [grid] = placeTiles(width, height, 1, gap);
  const whole = { x: 0, y: 0, width, height };
  const main = upright ? whole : (grid ?? whole);
  const insetWidth = Math.round(Math.min(Math.max(main.width * 0.22, 110), 260, main.width / 2));
  const insetHeight = Math.round(insetWidth * (upright ? 4 / 3 : 9 / 16));
  return {
    main,
    inset: {
      x: corner.right ? main.x + main.width - insetWidth - gap : main.x + gap,
      y: corner.bottom ? main.y + main.height - insetHeight - gap : main.y + gap,
      width: insetWidth,
      height: insetHeight,
    },
  };
}

function isLegible({ width, height }: Rect): boolean {
  return width >= LEGIBLE.width && height >= LEGIBLE.height;
}

/** Places tiles of equal size, with each row and all rows centred. */
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
