/**
 * Who else is in the room, by version (R14 to R17): snapshots replace, changes follow one another
 * without a gap.
 */
import type { Peer, Role, ServerMessage, Settings } from '../protocol/messages';

/** The messages that the roster is made of. */
export type RosterMessage = Extract<
  ServerMessage,
  { type: 'welcome' | 'roster' | 'peer_joined' | 'peer_left' | 'link' | 'state' | 'role' | 'settings' }
>;

/** The roster as far as it is known. */
export interface Roster {
  readonly version: number;
  /** Everybody else, in the order in which they joined. */
  readonly peers: readonly Peer[];
  /** Something was missed: nothing changes until a snapshot comes, which the client asks for with `sync`. */
  readonly resync: boolean;
  /** One's own role (R36). */
  readonly role: Role;
  /** The version with which one's own raised hand was announced (R21). */
  readonly handSince?: number | undefined;
  /** What the room is set to (R38). */
  readonly settings: Settings;
}

const TYPES = ['welcome', 'roster', 'peer_joined', 'peer_left', 'link', 'state', 'role', 'settings'];

/** Before the first `welcome`. */
export const emptyRoster: Roster = {
  version: 0,
  peers: [],
  resync: false,
  role: 'participant',
  settings: { locked: false, lobby: false, talk: false },
};

/** Whether a message belongs to the roster. */
export function isRosterMessage(message: ServerMessage): message is RosterMessage {
  return TYPES.includes(message.type);
}

/** The roster after a message; the same object where the message is stale. */
export function nextRoster(roster: Roster, message: RosterMessage): Roster {
  // A welcome begins a new count: the room may have ended and begun again meanwhile.
  if (message.type === 'welcome') return snapshot(message);
  if (message.type === 'roster') return message.version < roster.version ? roster : snapshot(message);
  if (message.version <= roster.version) return roster;
  if (message.version > roster.version + 1) return { ...roster, resync: true };
  return change({ ...roster, version: message.version }, message);
}

function snapshot(message: Extract<RosterMessage, { type: 'welcome' | 'roster' }>): Roster {
  const { version, peers, role, hand_since: handSince, settings } = message;
  return { version, peers, resync: false, role, handSince, settings };
}

function change(roster: Roster, message: Exclude<RosterMessage, { type: 'welcome' | 'roster' }>): Roster {
  const { peers } = roster;
  switch (message.type) {
    case 'peer_joined':
      return { ...roster, peers: [...peers.filter(({ id }) => id !== message.peer.id), message.peer] };
    case 'peer_left':
      return { ...roster, peers: peers.filter(({ id }) => id !== message.id) };
    case 'link':
      return { ...roster, peers: changed(peers, message.id, { link: message.link }) };
    case 'state':
      return stateChanged(roster, message);
    case 'role':
      // Whoever is in the room and is nobody else is oneself.
      return peers.some(({ id }) => id === message.id)
        ? { ...roster, peers: changed(peers, message.id, { role: message.role }) }
        : { ...roster, role: message.role };
    case 'settings':
      return { ...roster, settings: message.settings };
  }
}

/** One's own state comes too (R21): it counts as a version, and changes nobody else. */
function stateChanged(roster: Roster, message: Extract<RosterMessage, { type: 'state' }>): Roster {
  const { id, state, version } = message;
  const other = roster.peers.find((peer) => peer.id === id);
  const before = other ? other.hand_since : roster.handSince;
  const since = state.hand === true ? (before ?? version) : undefined;
  if (!other) return { ...roster, handSince: since };
  const peer: Peer = { ...other, state };
  if (since === undefined) delete peer.hand_since;
  else peer.hand_since = since;
  return { ...roster, peers: roster.peers.map((each) => (each === other ? peer : each)) };
}

function changed(peers: readonly Peer[], id: string, change: Partial<Peer>): readonly Peer[] {
  return peers.map((peer) => (peer.id === id ? { ...peer, ...change } : peer));
}
