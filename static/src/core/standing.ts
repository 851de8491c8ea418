/**
 * The member's state in relation to the hosts, besides the roster: own hand, waiting list, and the last act of a host
 * (R40 to R44); and whether the room's servers are disconnected from each other (R77).
 */
import type { ErrorCode, ServerMessage } from '../protocol/messages';
import type { Roster } from './roster';
import type { FailureCode, Notice, Role, RoleReason, Waiting } from './types';

/** The member's own standing in the room. */
export interface Standing {
  readonly hand: boolean;
  readonly waiting: readonly Waiting[];
  readonly notice: Notice | undefined;
  readonly degraded: boolean;
}

/** Failures of a host's rejected moderation command. */
const REFUSED: Partial<Record<ErrorCode, FailureCode>> = {
  room_full: 'admit_full',
  peer_not_found: 'person_gone',
  not_allowed: 'hosts_only',
  busy: 'servers_busy',
};

/** Standing of a new member. */
export const newcomer: Standing = { hand: false, waiting: [], notice: undefined, degraded: false };

/**
 * Returns the standing after a message; the same object if it is not affected.
 *
 * @param roster the roster after the message
 * @param before the member's own role before the message, if there was one
 */
export function nextStanding(
  standing: Standing,
  message: ServerMessage,
  roster: Roster,
  before: Role | undefined,
): Standing {
  const nameOf = (host: string): string => roster.peers.find(({ id }) => id === host)?.name ?? '';
  switch (message.type) {
    case 'lobby':
      return { ...standing, waiting: message.waiting };
    case 'asked':
      return { ...standing, notice: { kind: 'asked', ask: message.ask, by: nameOf(message.from) } };
    case 'switched_off': {
      const notice: Notice = { kind: 'switched_off', what: message.what, by: nameOf(message.from) };
      return { ...standing, hand: standing.hand && message.what !== 'hand', notice };
    }
    case 'degraded':
      return { ...standing, degraded: message.active };
    case 'welcome':
      // A `degraded` message follows the welcome if it applies, and hosts then receive the waiting list if it is not
      // empty. A restarted server assigns the roles again.
      if (before === undefined || roster.role === before)
        return { ...standing, waiting: [], degraded: false };
      return roleChanged({ ...standing, degraded: false }, roster.role, before);
    case 'role': {
      // A returning host is informed that its substitute stepped down.
      const { reason } = message;
      const returned = reason === 'host_returned' && roster.role === 'host';
      if (before === undefined || (roster.role === before && !returned)) return standing;
      return roleChanged(standing, roster.role, before, reason);
    }
    case 'roster':
      if (before === undefined || roster.role === before) return standing;
      return roleChanged(standing, roster.role, before);

    case 'error': {
      const code = message.re === 'moderate' ? REFUSED[message.code] : undefined;
      if (code === undefined) return standing;
      return { ...standing, notice: { kind: 'failure', failure: { code, detail: message.message } } };
    }
    default:
      return standing;
  }
}

/** A role change lowers the hand: it was raised for the role, or has lost its purpose. */
function roleChanged(standing: Standing, role: Role, before: Role, reason?: RoleReason): Standing {
  const notice: Notice = { kind: 'role', role, before, ...(reason && { reason }) };
  if (role === before) return { ...standing, notice };
  return { ...standing, hand: false, waiting: [], notice };
}
