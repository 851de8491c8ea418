/** Derives colours from an operator's accent colour. Pure. */

type Rgb = readonly [number, number, number];

/** Surfaces of src/ui/styles/tokens.css on which the accent appears. */
const SURFACES = { light: '#ffffff', dark: '#191d26' } as const;
/** Minimum contrast of a control with its surroundings (WCAG 1.4.11). */
const CONTROL_CONTRAST = 3;
const WHITE: Rgb = [255, 255, 255];
const BLACK: Rgb = [0, 0, 0];

/** Accent colours of one theme. */
export interface AccentColours {
  readonly accent: string;
  readonly hover: string;
  readonly soft: string;
  /** Colour of text on the accent. */
  readonly on: string;
}

/**
 * Returns the accent colours for a theme: lighter or darker than requested if the contrast with the surface is too
 * low.
 */
export function accentFor(look: keyof typeof SURFACES, asked: string): AccentColours {
  const surface = parse(SURFACES[look]);
  const away = look === 'light' ? BLACK : WHITE;
  let accent = parse(asked);
  for (let share = 0; contrast(accent, surface) < CONTROL_CONTRAST; share += 0.05)
    accent = mix(parse(asked), away, share);
  const on = contrast(accent, WHITE) >= contrast(accent, BLACK) ? WHITE : BLACK;
  return {
    accent: format(accent),
    // Shifted away from the text colour, so that the contrast does not decrease.
    hover: format(mix(accent, on === WHITE ? BLACK : WHITE, 0.15)),
    soft: format(mix(surface, accent, 0.15)),
    on: format(on),
  };
}

/** Returns the contrast of two colours given as `#rrggbb` (WCAG 2.2, "contrast ratio"). */
export function contrastOf(one: string, other: string): number {
  return contrast(parse(one), parse(other));
}

function contrast(one: Rgb, other: Rgb): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(colour: Rgb): number {
  const [red = 0, green = 0, blue = 0] = colour.map((value) => {
    const share = value / 255;
    return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const [red, green, blue] = from.map((value, at) => value + ((to[at] ?? 0) - value) * share);
  return [red ?? 0, green ?? 0, blue ?? 0];
}

function parse(hex: string): Rgb {
  const at = (index: number): number => Number.parseInt(hex.slice(index, index + 2), 16);
  return [at(1), at(3), at(5)];
}

function format(colour: Rgb): string {
  return `#${colour.map((value) => Math.round(value).toString(16).padStart(2, '0')).join('')}`;
}
