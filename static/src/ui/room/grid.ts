/** Tiles of equal size in a number of columns. Sizes in CSS pixels. */
export interface Grid {
  readonly columns: number;
  readonly tileWidth: number;
  readonly tileHeight: number;
}

const WIDEST = 16 / 9;

/**
 * Returns the grid in which `count` tiles are largest within `width` × `height`, without scrolling. Tiles are 16:9 if
 * possible. To fill the space better they may be as narrow as 4:3, or 3:4 on an upright screen, where pictures are
 * cropped at their sides.
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
