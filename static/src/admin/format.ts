/** Figures as people read them. */

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
