/** Figures as people read them. */
import type { Quality } from './api';

/** A duration by its two largest units, of which the text of `unit` makes a sentence. */
export interface Span {
  readonly unit: 'days' | 'hours' | 'minutes';
  readonly large: number;
  readonly small: number;
}

export function span(seconds: number): Span {
  const [minutes, hours, days] = [60, 3_600, 86_400].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (days > 0) return { unit: 'days', large: days, small: hours % 24 };
  if (hours > 0) return { unit: 'hours', large: hours, small: minutes % 60 };
  return { unit: 'minutes', large: minutes, small: seconds % 60 };
}

/** The time of day in the server's own zone, which a browser elsewhere would show in its own. */
export function timeOfDay(timestamp: string): string {
  return timestamp.slice(11, 19);
}

/** Its offset, as `+08:00`. */
export function offset(timestamp: string): string {
  return timestamp.slice(-6);
}

/** Enough of a server's id to tell a handful of them apart. */
export function shortId(server: string): string {
  return server.slice(0, 6);
}

/** One figure of call quality, in the unit of its text; `bad` is what only one in twenty was worse than. */
export interface QualityFigure {
  readonly name: 'roundTrip' | 'loss' | 'jitter' | 'frozen' | 'fps' | 'relayed';
  readonly unit: 'ms' | 'percent' | 'seconds' | 'perSecond';
  readonly usual: string;
  readonly bad?: string;
}

/** What there is to show of the reports, in the order in which it is shown. */
export function qualityFigures(quality: Quality): QualityFigure[] {
  const rows = [
    ['roundTrip', 'ms', quality.round_trip_ms, 1, 0, 'p95'],
    ['loss', 'percent', quality.loss_percent, 1, 1, 'p95'],
    ['jitter', 'ms', quality.jitter_ms, 1, 0, 'p95'],
    ['frozen', 'seconds', quality.frozen_ms, 1_000, 1, 'p95'],
    // Many pictures are good: the bad end is the low one.
    ['fps', 'perSecond', quality.fps, 1, 0, 'p5'],
  ] as const;
  const figures: QualityFigure[] = rows.flatMap(([name, unit, usual, per, digits, end]) => {
    const say = (value: number): string => (value / per).toFixed(digits);
    return usual ? [{ name, unit, usual: say(usual.median), bad: say(usual[end]) }] : [];
  });
  if (quality.relayed_percent !== undefined) {
    figures.push({ name: 'relayed', unit: 'percent', usual: quality.relayed_percent.toFixed(0) });
  }
  return figures;
}
