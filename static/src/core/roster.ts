/**
 * Who else is in the room, by version (R14 to R17): snapshots replace, changes follow one another
 * without a gap.
 */
import type { Peer, ServerMessage } from '../protocol/messages';

/** The messages that the roster is made of. */
export type RosterMessage = Extract<
  ServerMessage,
  { type: 'welcome' | 'roster' | 'peer_joined' | 'peer_left' | 'state' }
>;

/** The roster as far as it is known. */
export interface Roster {
  readonly version: number;
  /** Everybody else, in the order in which they joined. */
  readonly peers: readonly Peer[];
  /** Something was missed: nothing changes until a snapshot comes, which the client asks for with `sync`. */
  readonly resync: boolean;
}

/** Before the first `welcome`. */
export const emptyRoster: Roster = { version: 0, peers: [], resync: false };

/** Whether a message belongs to the roster. */
export function isRosterMessage(message: ServerMessage): message is RosterMessage {
  return ['welcome', 'roster', 'peer_joined', 'peer_left', 'state'].includes(message.type);
}

/** The roster after a message; the same object where the message is stale. */
export function nextRoster(roster: Roster, message: RosterMessage): Roster {
  // A welcome begins a new count: the room may have ended and begun again meanwhile.
  if (message.type === 'welcome') return snapshot(message);
  if (message.type === 'roster') return message.version < roster.version ? roster : snapshot(message);
  if (message.version <= roster.version) return roster;
  if (message.version > roster.version + 1) return { ...roster, resync: true };
  return { ...roster, version: message.version, peers: nextPeers(roster.peers, message) };
}

function snapshot({ version, peers }: { version: number; peers: readonly Peer[] }): Roster {
  return { version, peers, resync: false };
}

function nextPeers(
  peers: readonly Peer[],
  message: Extract<RosterMessage, { type: 'peer_joined' | 'peer_left' | 'state' }>,
): readonly Peer[] {
  switch (message.type) {
    case 'peer_joined':
      return [...peers.filter(({ id }) => id !== message.peer.id), message.peer];
    case 'peer_left':
      return peers.filter(({ id }) => id !== message.id);
    case 'state':
      // One's own state comes too (R21): it counts as a version and changes nobody else.
      return peers.map((peer) => (peer.id === message.id ? { ...peer, state: message.state } : peer));
  }
}
