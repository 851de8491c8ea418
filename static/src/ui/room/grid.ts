/** Tiles of one size, in so many columns. Sizes in CSS pixels. */
export interface Grid {
  readonly columns: number;
  readonly tileWidth: number;
  readonly tileHeight: number;
}

const WIDEST = 16 / 9;

/**
 * The grid in which `count` tiles are largest within `width` × `height`, without scrolling. Tiles are
 * 16:9 where they can be; to fill the space better they may get as narrow as 4:3, on an upright
 * screen 3:4, where pictures are cropped at their sides.
 */
export function bestGrid(width: number, height: number, count: number, gap: number): Grid {
  const narrowest = width < height ? 3 / 4 : 4 / 3;
  let best: Grid = { columns: 1, tileWidth: 0, tileHeight: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (width - gap * (columns - 1)) / columns;
    const cellHeight = (height - gap * (rows - 1)) / rows;
    if (cellWidth <= 0 || cellHeight <= 0) continue;
    const tileWidth = Math.floor(Math.min(cellWidth, cellHeight * WIDEST));
    const tileHeight = Math.floor(Math.min(cellHeight, tileWidth / narrowest));
    if (tileWidth * tileHeight > best.tileWidth * best.tileHeight) best = { columns, tileWidth, tileHeight };
  }
  return best;
}
