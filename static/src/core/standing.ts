/**
 * What a person has to do with the hosts besides the roster: the own hand, who waits before the door,
 * and what a host did of late (R40 to R44); and whether the servers of the room are apart (R77).
 */
import type { ErrorCode, ServerMessage } from '../protocol/messages';
import type { Roster } from './roster';
import type { FailureCode, Notice, Role, RoleReason, Waiting } from './types';

/** One's own standing in the room. */
export interface Standing {
  readonly hand: boolean;
  readonly waiting: readonly Waiting[];
  readonly notice: Notice | undefined;
  readonly degraded: boolean;
}

/** Why the server did not do what a host asked for. */
const REFUSED: Partial<Record<ErrorCode, FailureCode>> = {
  room_full: 'admit_full',
  peer_not_found: 'person_gone',
  not_allowed: 'hosts_only',
  busy: 'servers_busy',
};

/** Of whoever has just come. */
export const newcomer: Standing = { hand: false, waiting: [], notice: undefined, degraded: false };

/**
 * The standing after a message; the same object where it has nothing to do with it.
 *
 * @param roster the roster with the message in it
 * @param before one's own role before it, where there was one
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
      // Who comes is told of servers apart after this. Hosts are shown the lobby anew, if there is anyone in it. A server that has begun anew gives the roles anew.
      if (before === undefined || roster.role === before)
        return { ...standing, waiting: [], degraded: false };
      return roleChanged({ ...standing, degraded: false }, roster.role, before);
    case 'role': {
      // A returning host is told that its substitute stepped down.
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

/** The hand was up for a role, or has lost its sense. */
function roleChanged(standing: Standing, role: Role, before: Role, reason?: RoleReason): Standing {
  const notice: Notice = { kind: 'role', role, before, ...(reason && { reason }) };
  if (role === before) return { ...standing, notice };
  return { ...standing, hand: false, waiting: [], notice };
}
