import { beforeEach, expect, test } from 'vitest';
import { FakeDataChannel } from '../testing/channel';
import { FakeClock, settled } from '../testing/clock';
import { FakeStore } from '../testing/files';
import type { ChatEntry } from '../types';
import { Archive, type SessionStore } from './archive';
import { Chat } from './chat';

let clock: FakeClock;
let items: Map<string, string>;

const store = (): SessionStore => ({
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => void items.set(key, value),
  removeItem: (key) => void items.delete(key),
});
const load = (room = 'room', open = store): Chat =>
  new Chat({ clock, store: new FakeStore(), archive: new Archive(open, room), onChange: () => undefined });

/** Connects the page to Grace and returns her end of the channel. */
function withGrace(chat: Chat): FakeDataChannel {
  const [own, hers] = FakeDataChannel.pair();
  chat.attach('grace', own as unknown as RTCDataChannel);
  chat.setOthers([{ id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' }]);
  own.connect(hers);
  hers.connect(own);
  return hers;
}

beforeEach(() => {
  clock = new FakeClock();
  items = new Map();
});

test('a reload keeps messages, private ones as such, and ends files that were under way', async () => {
  const before = load();
  before.begin(true);
  const began = before.since;
  const hers = withGrace(before);
  before.say('hello');
  before.say('psst', 'grace');
  before.offer({ name: 'a.bin', size: 5, slice: () => new Blob(['hello']) });
  hers.send(JSON.stringify({ type: 'text', id: 7, text: 'hi' }));
  await settled();
  before.save();

  clock.advance(1_000);
  const after = load();
  // The first join of this page is not the first one of the log.
  after.begin(true);
  expect(after.since).toBe(began);
  const shape = ({ id, at, from, ...entry }: ChatEntry) => ({
    id,
    at,
    from,
    secret: entry.privateWith,
    said: entry.kind === 'text' ? entry.text : entry.transfers.map(({ state }) => state),
  });
  expect(after.entries.map(shape)).toEqual(
    before.entries.map((entry) => ({ ...shape(entry), ...(entry.kind === 'file' && { said: ['lost'] }) })),
  );
  expect(after.entries).toHaveLength(4);

  // A message that arrives twice, because its sender does not know of the reload, is shown once.
  withGrace(after).send(JSON.stringify({ type: 'text', id: 7, text: 'hi' }));
  await settled();
  expect(after.entries).toHaveLength(4);
});

test('a deliberate leave deletes the saved log; another room has its own', () => {
  const chat = load();
  chat.say('hello');
  chat.save();
  expect(load('other').entries).toEqual([]);
  expect(load().entries).toHaveLength(1);
  chat.discard();
  expect(load().entries).toEqual([]);
});

test('the log has a start only where others were there before', () => {
  const first = load();
  first.begin(false);
  first.begin(true);
  expect(first.since).toBeUndefined();
  const late = load();
  late.begin(true);
  expect(late.since).toBe(clock.now());
});

test.each(['', '{}', 'null', '{"history":[1]}', '{"history":[{"number":1}]}'])(
  'a saved log of %j is ignored',
  (saved) => {
    items.set('roundtable.chat.room', saved);
    expect(load().entries).toEqual([]);
  },
);

test('a log that does not fit is saved without the entries of whoever has written most', async () => {
  const full = (): SessionStore => ({
    ...store(),
    setItem: (key, value) => {
      if (value.length > 10_000) throw new DOMException('full', 'QuotaExceededError');
      items.set(key, value);
    },
  });
  const chat = load('room', full);
  const grace = withGrace(chat);
  chat.say('short');
  for (let id = 0; id < 5; id++)
    grace.send(JSON.stringify({ type: 'text', id, text: `${'\u0001'.repeat(2_000)}x` }));
  await settled();
  expect(chat.entries).toHaveLength(6);
  chat.save();
  expect(load().entries.map((entry) => entry.kind === 'text' && entry.text)).toEqual(['short']);
});

test('without storage the chat works as before', () => {
  const chat = load('room', () => {
    throw new DOMException('closed', 'SecurityError');
  });
  chat.say('hello');
  chat.save();
  chat.discard();
  expect(chat.entries).toHaveLength(1);
});
