import { beforeEach, expect, test, vi } from 'vitest';
import { hostKeyOf, keepHostKey, takeToken } from './invitation';

let store: Map<string, string>;
let shown: string;

beforeEach(() => {
  store = new Map();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => store.get(key) ?? null,
    setItem: (key: string, value: string) => store.set(key, value),
  });
  vi.stubGlobal('history', {
    state: null,
    replaceState: (_state: unknown, _title: string, url: string) => {
      shown = url;
    },
  });
  shown = 'as it was';
});

function at(hash: string): void {
  vi.stubGlobal('location', { pathname: '/r/standup', search: '?name=Ada', hash });
}

test('R58 the token is taken out of the address', () => {
  at('#token=a.b-_.c');
  expect(takeToken()).toBe('a.b-_.c');
  expect(shown).toBe('/r/standup?name=Ada');
});

test.each(['', '#', '#token=', '#top'])('%j has no token, and the address stays', (hash) => {
  at(hash);
  expect(takeToken()).toBeUndefined();
  expect(shown).toBe('as it was');
});

test('R57 host keys are kept by room, the latest fifty', () => {
  expect(hostKeyOf('a')).toBeUndefined();
  keepHostKey('a', 'old');
  keepHostKey('a', 'new');
  expect(hostKeyOf('a')).toBe('new');
  for (let room = 0; room < 50; room += 1) keepHostKey(`room-${room}`, `key-${room}`);
  expect(hostKeyOf('a')).toBeUndefined();
  expect(hostKeyOf('room-0')).toBe('key-0');
});

test.each(['', '{', '7', '[["a"]]', '[["a",7]]'])('a store with %j in it is an empty one', (text) => {
  store.set('roundtable.host-keys', text);
  expect(hostKeyOf('a')).toBeUndefined();
  keepHostKey('a', 'key');
  expect(hostKeyOf('a')).toBe('key');
});
