import { readFileSync } from 'node:fs';
import type {
  ClientMessage,
  IceServer,
  Peer,
  Role,
  ServerMessage,
  Settings,
  State,
  Welcome,
} from '../../protocol/messages';

/** Reads a file of `tests/fixtures`, which the server's tests read, too. */
export function fixture(name: string): unknown {
  return JSON.parse(
    readFileSync(new URL(`../../../../tests/fixtures/${name}.json`, import.meta.url), 'utf8'),
  );
}

/** Ids in alphabetical order: each one offers to those after it. */
export const ADA = 'AdaAdaAdaAdaAdaAda-1';
export const GRACE = 'GraceGraceGraceGra_2';
export const ZOE = 'ZoeZoeZoeZoeZoeZoe-3';

/** Settings of a room with nothing restricted. */
export const open: Settings = { locked: false, lobby: false, talk: false };

export function peer(id: string, state: State = {}, role: Role = 'participant'): Peer {
  return { id, name: id.slice(0, 3), role, state };
}

export function welcome(
  self: string,
  changes: Partial<Welcome> = {},
): Extract<ServerMessage, { type: 'welcome' }> {
  return {
    type: 'welcome',
    self,
    room: 'standup',
    version: 1,
    peers: [],
    role: 'participant',
    settings: open,
    resume: 'secret',
    resumed: false,
    ice_servers: [] as IceServer[],
    limits: { message_bytes: 65_536, name_chars: 64, state_keys: 16, room_members: 50 },
    heartbeat_seconds: 25,
    features: ['hosts', 'resume', 'session', 'state', 'sync'],
    server: {
      name: 'roundtable',
      version: '0.1.0',
      time: '2026-01-02T11:04:05.678+08:00',
      instance: '0123456789abcdef',
      cluster: false,
    },
    ...changes,
  };
}

/** Builds the answer to `sync`. */
export function roster(version: number, peers: Peer[] = []): Extract<ServerMessage, { type: 'roster' }> {
  const { role, settings } = welcome(ADA);
  return { type: 'roster', version, peers, role, settings };
}

/** Returns the types of messages, in order. */
export function types(messages: readonly (ClientMessage | ServerMessage)[]): string[] {
  return messages.map(({ type }) => type);
}
