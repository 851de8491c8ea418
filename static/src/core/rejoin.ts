/** The membership that a page leaves in `sessionStorage` for the next page of its tab. */
import type { SessionStore } from './chat/archive';

/** Name and devices with which a reloaded page joins again. */
export interface RejoinAs {
  readonly name: string;
  readonly mic: boolean;
  readonly camera: boolean;
}

/** Format of the entry in `sessionStorage`. */
export interface SavedMembership extends Partial<RejoinAs> {
  /** Name of the lock held by the page with this membership. */
  readonly claim: string;
  /** Resume secret of the membership (R11). */
  readonly resume?: string;
  /** When the page ended, in milliseconds since 1970. Absent while it lives, and after a crash. */
  readonly ended?: number | undefined;
}

/**
 * Time after its end within which a reloaded page rejoins without asking: as long as the server keeps an empty room
 * (R111).
 */
const REJOIN_MS = 60_000;

/** Returns the key in `sessionStorage` for a room. */
export const membershipItem = (room: string): string => `roundtable.membership.${room}`;

/** Reads this tab's membership in a room. */
export function savedMembership(session: () => SessionStore, room: string): SavedMembership | undefined {
  try {
    return JSON.parse(session().getItem(membershipItem(room)) ?? '') as SavedMembership;
  } catch {
    return undefined;
  }
}

/** Returns how to rejoin without asking, if the previous page ended a moment ago. */
export function rejoinAs(saved: SavedMembership | undefined, now: number): RejoinAs | undefined {
  if (saved?.ended === undefined || Math.abs(now - saved.ended) > REJOIN_MS) return undefined;
  const { name, mic = false, camera = false } = saved;
  return name === undefined ? undefined : { name, mic, camera };
}
