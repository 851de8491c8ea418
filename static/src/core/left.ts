/** What a page that was loaded again knows of the one before it in the same tab. */
import type { SessionStore } from './chat/archive';

/** As whom a page has left. */
export interface Left {
  readonly name: string;
  readonly mic: boolean;
  readonly camera: boolean;
}

/** What is kept in `sessionStorage`. */
export interface Saved extends Partial<Left> {
  /** Names the lock of whoever uses it. */
  readonly claim: string;
  /** The secret of the membership (R11). */
  readonly resume?: string;
  /** When the page ended; in milliseconds since 1970. Absent while it lives. */
  readonly ended?: number | undefined;
}

/** For how long a page that is loaded again joins by itself: as long as an empty room is kept (R111). */
const RETURN_MS = 60_000;

/** The item of a room. */
export const savedItem = (room: string): string => `roundtable.stay.${room}`;

/** Reads what is kept. */
export function left(session: () => SessionStore, room: string): Saved | undefined {
  try {
    return JSON.parse(session().getItem(savedItem(room)) ?? '') as Saved;
  } catch {
    return undefined;
  }
}

/** Returns as whom the page before has left a moment ago. */
export function justLeft(saved: Saved | undefined, now: number): Left | undefined {
  if (saved?.ended === undefined || Math.abs(now - saved.ended) > RETURN_MS) return undefined;
  const { name, mic = false, camera = false } = saved;
  return name === undefined ? undefined : { name, mic, camera };
}
