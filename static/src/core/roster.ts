/**
 * The other members of the room, by version (R14 to R17): snapshots replace the roster, changes must be consecutive.
 */
import type { Peer, Role, ServerMessage, Settings } from '../protocol/messages';

/** Messages that change the roster. */
export type RosterMessage = Extract<
  ServerMessage,
  { type: 'welcome' | 'roster' | 'peer_joined' | 'peer_left' | 'link' | 'state' | 'role' | 'settings' }
>;

/** The roster as known to this page. */
export interface Roster {
  readonly version: number;
  /** All other members, in join order. */
  readonly peers: readonly Peer[];
  /** A change was missed: nothing changes until the next snapshot, which the client requests with `sync`. */
  readonly resync: boolean;
  /** The member's own role (R36). */
  readonly role: Role;
  /** Version that announced the member's own raised hand (R21). */
  readonly handSince?: number | undefined;
  /** Settings of the room (R38). */
  readonly settings: Settings;
}

const TYPES = ['welcome', 'roster', 'peer_joined', 'peer_left', 'link', 'state', 'role', 'settings'];

/** The roster before the first `welcome`. */
export const emptyRoster: Roster = {
  version: 0,
  peers: [],
  resync: false,
  role: 'participant',
  settings: { locked: false, lobby: false, talk: false },
};

/** Returns whether a message changes the roster. */
export function isRosterMessage(message: ServerMessage): message is RosterMessage {
  return TYPES.includes(message.type);
}

/** Returns the roster after a message; the same object if the message is stale. */
export function nextRoster(roster: Roster, message: RosterMessage): Roster {
  // A `welcome` restarts the versions, because the room may have ended and been created again.
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
      // An id that is not among the peers is the member's own.
      return peers.some(({ id }) => id === message.id)
        ? { ...roster, peers: changed(peers, message.id, { role: message.role }) }
        : { ...roster, role: message.role };
    case 'settings':
      return { ...roster, settings: message.settings };
  }
}

/** Applies a state change. The member's own state counts as a version, too (R21), and changes no peer. */
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
