/** The membership that a page leaves in `sessionStorage` for the page that is loaded next in its tab. */
import type { SessionStore } from './chat/archive';

/** Name and devices with which a reloaded page joins again. */
export interface RejoinAs {
  readonly name: string;
  readonly mic: boolean;
  readonly camera: boolean;
}

/** The format in `sessionStorage`. */
export interface SavedMembership extends Partial<RejoinAs> {
  /** Name of the lock that the page with this membership holds. */
  readonly claim: string;
  /** The secret of the membership (R11). */
  readonly resume?: string;
  /** When the page ended, in milliseconds since 1970. Absent while it lives, and after a crash. */
  readonly ended?: number | undefined;
}

/** How long after its end a reloaded page joins without asking: as long as the server keeps an empty room (R111). */
const REJOIN_MS = 60_000;

/** Returns the key in `sessionStorage` for a room. */
export const membershipItem = (room: string): string => `roundtable.membership.${room}`;

/** Reads the membership of this tab in a room. */
export function savedMembership(session: () => SessionStore, room: string): SavedMembership | undefined {
  try {
    return JSON.parse(session().getItem(membershipItem(room)) ?? '') as SavedMembership;
  } catch {
    return undefined;
  }
}

/** Returns how to join again without asking, if the page before ended a moment ago. */
export function rejoinAs(saved: SavedMembership | undefined, now: number): RejoinAs | undefined {
  if (saved?.ended === undefined || Math.abs(now - saved.ended) > REJOIN_MS) return undefined;
  const { name, mic = false, camera = false } = saved;
  return name === undefined ? undefined : { name, mic, camera };
}
