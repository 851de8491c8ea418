/** Formats figures for display. */
import type { Quality } from './api';

/** A duration in its two largest units; `unit` selects the text. */
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

/** Returns the time of day in the server's time zone, not the browser's. */
export function timeOfDay(timestamp: string): string {
  return timestamp.slice(11, 19);
}

/** Returns the UTC offset, such as `+08:00`. */
export function offset(timestamp: string): string {
  return timestamp.slice(-6);
}

/** Shortens a server's id; enough to distinguish a handful of servers. */
export function shortId(server: string): string {
  return server.slice(0, 6);
}

/** One call quality metric for display; `bad` is the value that only one report in twenty exceeds. */
export interface QualityFigure {
  readonly name: 'roundTrip' | 'loss' | 'jitter' | 'frozen' | 'fps' | 'relayed';
  readonly unit: 'ms' | 'percent' | 'seconds' | 'perSecond';
  readonly usual: string;
  readonly bad?: string;
}

/** Returns the available metrics in display order. */
export function qualityFigures(quality: Quality): QualityFigure[] {
  const rows = [
    ['roundTrip', 'ms', quality.round_trip_ms, 1, 0, 'p95'],
    ['loss', 'percent', quality.loss_percent, 1, 1, 'p95'],
    ['jitter', 'ms', quality.jitter_ms, 1, 0, 'p95'],
    ['frozen', 'seconds', quality.frozen_ms, 1_000, 1, 'p95'],
    // A high frame rate is good, so the bad end is the low one.
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
