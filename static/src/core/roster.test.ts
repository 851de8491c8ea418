import { describe, expect, test } from 'vitest';
import type { ServerMessage } from '../protocol/messages';
import { emptyRoster, isRosterMessage, nextRoster, type Roster } from './roster';
import { fixture, open, peer, roster, welcome } from './testing/fixtures';

interface Script {
  readonly name: string;
  readonly frames: ServerMessage[];
  readonly expect: Roster;
}

function play(frames: readonly ServerMessage[]): Roster {
  return frames.filter(isRosterMessage).reduce(nextRoster, emptyRoster);
}

describe('R14 to R17, R21, R23: the golden scripts', () => {
  test.each(fixture('roster') as Script[])('$name', (script) => {
    expect(play(script.frames)).toEqual(script.expect);
  });
});

test('wherever one change is lost, the roster says so, and a snapshot mends it', () => {
  const changes: ServerMessage[] = [];
  for (let version = 2; version < 20; version++) {
    const id = `peer-${version % 5}`;
    const present = play([welcome('me'), ...changes]).peers.some((other) => other.id === id);
    changes.push(
      present
        ? { type: 'peer_left', version, id, reason: 'closed' }
        : { type: 'peer_joined', version, peer: peer(id) },
    );
  }
  const whole = play([welcome('me'), ...changes]);
  expect(whole.resync).toBe(false);
  for (let lost = 0; lost < changes.length - 1; lost++) {
    const frames = [welcome('me'), ...changes.filter((_, index) => index !== lost)];
    expect(play(frames).resync).toBe(true);
    const snapshot = roster(whole.version, [...whole.peers]);
    expect(play([...frames, snapshot])).toEqual(whole);
  }
});

test('the golden messages of the server that belong to the roster', () => {
  const golden = fixture('messages') as { direction: string; message: ServerMessage }[];
  const messages = golden.filter(({ direction }) => direction === 'server').map(({ message }) => message);
  const found = new Set(messages.filter(isRosterMessage).map(({ type }) => type));
  expect([...found].sort()).toEqual([
    'link',
    'peer_joined',
    'peer_left',
    'role',
    'roster',
    'settings',
    'state',
    'welcome',
  ]);
});

test('R36 R38 roles and settings: of others, and one’s own', () => {
  const locked = { ...open, locked: true };
  const state = play([
    welcome('me', { peers: [peer('other')] }),
    { type: 'role', version: 2, id: 'other', role: 'host' },
    { type: 'role', version: 3, id: 'me', role: 'listener' },
    { type: 'settings', version: 4, settings: locked },
  ]);
  expect(state).toMatchObject({ role: 'listener', settings: locked, peers: [{ role: 'host' }] });
});
