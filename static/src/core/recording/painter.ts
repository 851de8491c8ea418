/** Paints a scene as the stage shows it. */
import { type Brush, PICTURE, type Place, type Projector, type SceneTile } from './types';

const GROUND = '#10131a';
const RADIUS = 12;
const FONT = 'system-ui, sans-serif';
/** Distance of a name plate from the tile's edge, and of the text from the plate's edge. */
const MARGIN = 8;
const PADDING = 9;

/** Paints all tiles over the previous picture. */
export function paint(
  brush: Brush,
  tiles: readonly SceneTile[],
  frameOf: (tile: SceneTile) => Projector['frame'],
): void {
  brush.fillStyle = GROUND;
  brush.fillRect(0, 0, PICTURE.width, PICTURE.height);
  for (const tile of tiles) {
    brush.save();
    const { x, y, width, height } = tile.place;
    brush.beginPath();
    brush.roundRect(x, y, width, height, RADIUS);
    brush.clip();
    paintTile(brush, tile, frameOf(tile));
    brush.restore();
  }
}

function paintTile(brush: Brush, tile: SceneTile, frame: Projector['frame']): void {
  const { x, y, width, height } = tile.place;
  brush.fillStyle = tile.whole ? '#000' : `hsl(${tile.hue} 30% 22%)`;
  brush.fillRect(x, y, width, height);
  if (frame) {
    const to = fitted(frame, tile.place, tile.whole);
    brush.drawImage(frame.image, to.x, to.y, to.width, to.height);
  } else if (!tile.whole) {
    paintInitials(brush, tile);
  }
  if (tile.speaking) {
    brush.strokeStyle = '#3ecf8e';
    brush.lineWidth = 6;
    brush.beginPath();
    brush.roundRect(x, y, width, height, RADIUS);
    brush.stroke();
  }
  paintName(brush, tile);
}

/** Returns where to draw a picture: entirely within the place, or filling it and cropped. */
export function fitted(
  size: { readonly width: number; readonly height: number },
  place: Place,
  whole: boolean,
): Place {
  const across = place.width / size.width;
  const down = place.height / size.height;
  const scale = whole ? Math.min(across, down) : Math.max(across, down);
  const width = size.width * scale;
  const height = size.height * scale;
  return {
    x: place.x + (place.width - width) / 2,
    y: place.y + (place.height - height) / 2,
    width,
    height,
  };
}

function paintInitials(brush: Brush, { place, initials, hue }: SceneTile): void {
  const { x, y, width, height } = place;
  const radius = Math.min(width, height) * 0.17;
  brush.fillStyle = `hsl(${hue} 38% 42%)`;
  brush.beginPath();
  brush.roundRect(x + width / 2 - radius, y + height / 2 - radius, radius * 2, radius * 2, radius);
  brush.fill();
  brush.fillStyle = '#fff';
  brush.font = `600 ${Math.round(radius * 0.8)}px ${FONT}`;
  brush.textAlign = 'center';
  brush.textBaseline = 'middle';
  brush.fillText(initials, x + width / 2, y + height / 2);
}

function paintName(brush: Brush, { place, name, muted }: SceneTile): void {
  const size = Math.max(13, Math.min(20, Math.round(place.height * 0.05)));
  brush.font = `500 ${size}px ${FONT}`;
  const dot = muted ? size : 0;
  const letters = shortened(brush, name, place.width - 2 * MARGIN - 2 * PADDING - dot);
  const width = brush.measureText(letters).width + 2 * PADDING + dot;
  const height = size + PADDING;
  const left = place.x + MARGIN;
  const top = place.y + place.height - MARGIN - height;
  brush.fillStyle = 'rgb(12 15 22 / 72%)';
  brush.beginPath();
  brush.roundRect(left, top, width, height, PADDING);
  brush.fill();
  if (muted) {
    const radius = size * 0.28;
    brush.fillStyle = '#ff9aa1';
    brush.beginPath();
    brush.roundRect(left + PADDING, top + height / 2 - radius, radius * 2, radius * 2, radius);
    brush.fill();
  }
  brush.fillStyle = '#fff';
  brush.textAlign = 'left';
  brush.textBaseline = 'middle';
  brush.fillText(letters, left + PADDING + dot, top + height / 2);
}

/** Truncates a text to a width. */
function shortened(brush: Brush, text: string, width: number): string {
  const letters = [...text];
  if (brush.measureText(text).width <= width) return text;
  while (letters.length > 1 && brush.measureText(`${letters.join('')}…`).width > width) letters.pop();
  return `${letters.join('')}…`;
}
