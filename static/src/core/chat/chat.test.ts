import { beforeEach, describe, expect, test } from 'vitest';
import type { Role } from '../../protocol/messages';
import type { ChatEntry, ChatText } from '../types';
import { FakeDataChannel } from '../testing/channel';
import { FakeClock, settled } from '../testing/clock';
import { FakeStore } from '../testing/files';
import { Chat, HISTORY } from './chat';
import { HEARD, SAID, STRAYS } from './line';
import { writerOf } from './rights';

let clock: FakeClock;
let ada: Chat;
let grace: Chat;
let channels: [FakeDataChannel, FakeDataChannel];
let changes: number;

const newChat = (): Chat => new Chat({ clock, store: new FakeStore(), onChange: () => (changes += 1) });
const texts = (chat: Chat): string[] =>
  chat.entries.map((entry) => (entry.kind === 'text' ? entry.text : entry.file));
const last = (chat: Chat): ChatEntry => {
  const entry = chat.entries.at(-1);
  if (!entry) throw new Error('nothing was said');
  return entry;
};

/** Returns the number of the file that Ada offered last. */
const fileNumber = (): number => {
  const offer = channels[0].sent.findLast((frame) => typeof frame === 'string' && frame.includes('"offer"'));
  return (JSON.parse(offer as string) as { id: number }).id;
};

/** Connects two chats over new channels that are not open yet. */
function meet(one: [string, Chat], other: [string, Chat]): [FakeDataChannel, FakeDataChannel] {
  const pair = FakeDataChannel.pair();
  one[1].attach(other[0], pair[0] as unknown as RTCDataChannel);
  other[1].attach(one[0], pair[1] as unknown as RTCDataChannel);
  other[1].setOthers([
    { id: one[0], name: 'Ada', link: 'connecting', resting: false, writer: 'participant' },
  ]);
  return pair;
}

function open([one, other]: [FakeDataChannel, FakeDataChannel]): void {
  one.connect(other);
  other.connect(one);
}

beforeEach(() => {
  clock = new FakeClock();
  changes = 0;
  ada = newChat();
  grace = newChat();
  channels = meet(['ada', ada], ['grace', grace]);
  ada.setOthers([{ id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' }]);
  grace.setOthers([{ id: 'ada', name: 'Ada', link: 'connected', resting: false, writer: 'participant' }]);
  open(channels);
});

describe('texts', () => {
  test('go both ways, with name and time', async () => {
    expect(ada.say('  hello\nthere ')).toBe(true);
    await settled();
    clock.advance(1000);
    grace.say('你好');
    await settled();
    expect(texts(ada)).toEqual(['hello\nthere', '你好']);
    expect(texts(grace)).toEqual(texts(ada));
    expect(grace.entries[0]).toMatchObject({ from: 'ada', name: 'Ada', at: 1_000_000 });
    expect(last(ada)).toMatchObject({ from: 'grace', name: 'Grace', at: 1_001_000 });
    expect(grace.entries[1]).not.toHaveProperty('from');
  });

  test('to one are seen by nobody else, and say so', async () => {
    const alan = newChat();
    open(meet(['ada', ada], ['alan', alan]));
    ada.say('psst', 'grace');
    await settled();
    expect([texts(grace), texts(alan)]).toEqual([['psst'], []]);
    expect([last(ada).privateWith, last(grace).privateWith]).toEqual(['Grace', 'Ada']);
    expect(ada.say('psst', 'nobody')).toBe(false);
  });

  test.each(['', '  \n', '圆'.repeat(1366)])('%.9j is not said', (text) => {
    expect(ada.say(text)).toBe(false);
    expect(texts(ada)).toEqual([]);
  });

  test('faster than the rate are not said, and not heard', async () => {
    for (let i = 0; i < SAID.burst; i++) expect(ada.say(`${i}`)).toBe(true);
    expect(ada.say('too much')).toBe(false);
    clock.advance(1000);
    expect(ada.say('later')).toBe(true);
    await settled();
    expect(grace.entries).toHaveLength(SAID.burst + 1);
    for (let i = 0; i < 2 * HEARD.burst; i++)
      channels[0].send(JSON.stringify({ type: 'text', id: i, text: 'flood' }));
    await settled();
    expect(grace.entries).toHaveLength(HEARD.burst);
  });

  test('that make no sense change nothing, and what follows is heard', async () => {
    for (const frame of ['', '{', '{"type":"text","id":1}', 'x'.repeat(100_000)]) channels[0].send(frame);
    for (const type of ['accept', 'got', 'refuse', 'withdraw']) {
      channels[0].send(JSON.stringify({ type, id: 5, bytes: 5 }));
    }
    channels[0].send(new Uint8Array(50));
    ada.say('still here');
    await settled();
    expect(texts(grace)).toEqual(['still here']);
  });

  test.each([
    ['malformed', () => '{'],
    ['of a type that nobody knows', () => '{"type":"wave","id":1}'],
    ['pieces of no file', () => new Uint8Array(5)],
    ['about no file', (at: number) => JSON.stringify({ type: 'withdraw', id: at })],
    ['about a file whose turn has passed', () => JSON.stringify({ type: 'accept', id: fileNumber() })],
    ['texts beyond the rate', (at: number) => JSON.stringify({ type: 'text', id: at, text: 'flood' })],
  ])('are heard beside some useless frames, and no longer beside a flood of them: %s', async (_, frame) => {
    ada.offer({ name: 'a.txt', size: 1, slice: () => new Blob(['x']) });
    await settled();
    for (let at = 0; at < STRAYS.burst; at++) channels[1].send(frame(at));
    await settled();
    clock.advance(1_000);
    channels[1].send('{"type":"text","id":4000000000,"text":"still here"}');
    await settled();
    expect(texts(ada).at(-1)).toBe('still here');
    expect(channels[0].readyState).toBe('open');
    for (let at = 0; at < 10 * STRAYS.perSecond; at++) channels[1].send(frame(at));
    await settled();
    expect(channels[0].readyState).toBe('closed');
    // The budget carries over to a new connection.
    clock.advance(1_000);
    open(meet(['grace', grace], ['ada', ada]));
    ada.say('again');
    await settled();
    expect(texts(grace).at(-1)).toBe('again');
  });

  test('have no stacks of marks, here and there, and neither have names of files', async () => {
    const [stack, marks] = [`a${'\u0301'.repeat(40)}`, `a${'\u0301'.repeat(4)}`];
    ada.say(stack);
    ada.offer({ name: `${stack}.txt`, size: 1, slice: () => new Blob(['x']) });
    channels[0].send(JSON.stringify({ type: 'text', id: 1, text: stack }));
    channels[0].send(JSON.stringify({ type: 'offer', id: 2, name: stack, size: 1 }));
    await settled();
    expect(texts(ada)).toEqual([marks, `${marks}.txt`]);
    expect(texts(grace)).toEqual([marks, `${marks}.txt`, marks, marks]);
  });

  test('are heard once, whatever a peer repeats', async () => {
    for (let i = 0; i < 3; i++) channels[0].send('{"type":"text","id":9,"text":"again"}');
    await settled();
    expect(texts(grace)).toEqual(['again']);
  });

  test('are kept up to a bound, the latest', async () => {
    for (let i = 0; i <= HISTORY; i++) {
      clock.advance(1000);
      ada.say(`${i}`);
      await settled();
    }
    for (const chat of [ada, grace]) {
      expect(chat.entries).toHaveLength(HISTORY);
      expect(texts(chat).at(-1)).toBe(`${HISTORY}`);
    }
  });

  test('and files of others survive a flood by one person', async () => {
    grace.say('from Grace');
    await settled();
    ada.offer({ name: 'a.txt', size: 1, slice: () => new Blob(['x']) });
    const pair = meet(['ada', ada], ['alan', newChat()]);
    ada.setOthers(
      ['grace', 'alan'].map((id) => ({
        id,
        name: id,
        link: 'connected',
        resting: false,
        writer: 'participant',
      })),
    );
    open(pair);
    for (let i = 0; i < HISTORY + 50; i++) {
      clock.advance(1000);
      pair[1].send(`{"type":"text","id":${i},"text":"flood ${i}"}`);
      await settled();
    }
    expect(ada.entries).toHaveLength(HISTORY);
    expect(texts(ada).slice(0, 2)).toEqual(['from Grace', 'a.txt']);
    expect(texts(ada).at(-1)).toBe(`flood ${HISTORY + 49}`);
    expect(ada.entries[1]).toMatchObject({ transfers: [{ state: 'offered' }] });
  });

  test('of the person with the most go before a file that this person offers', async () => {
    ada.offer({ name: 'a.txt', size: 1, slice: () => new Blob(['x']) });
    for (let i = 0; i < HISTORY; i++) {
      clock.advance(1000);
      ada.say(`${i}`);
      await settled();
    }
    for (const chat of [ada, grace]) {
      expect(chat.entries).toHaveLength(HISTORY);
      expect(texts(chat).slice(0, 2)).toEqual(['a.txt', '1']);
      expect(chat.entries[0]).toMatchObject({ transfers: [{ state: 'offered' }] });
    }
  });

  test('and a file with the number of a text are one entry', async () => {
    channels[0].send('{"type":"text","id":7,"text":"first"}');
    channels[0].send('{"type":"offer","id":7,"name":"a.txt","size":1}');
    await settled();
    expect(texts(grace)).toEqual(['first']);
  });
});

describe('an entry is the same object', () => {
  const present = (link: 'connected' | 'connecting' = 'connected') => [
    { id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' } as const,
    { id: 'alan', name: 'Alan', link, resting: false, writer: 'participant' } as const,
  ];

  test('until something of it changes, and so is the log', async () => {
    const alan = newChat();
    const pair = meet(['ada', ada], ['alan', alan]);
    ada.setOthers(present('connecting'));
    grace.say('hello');
    await settled();
    ada.say('waits for Alan');
    const log = ada.entries;
    const before = [...log];
    ada.setOthers(present());
    expect(ada.entries).toBe(log);
    open(pair);
    expect(ada.entries.map((entry) => before.includes(entry))).toEqual([true, false]);
    expect(last(ada)).toMatchObject({ text: 'waits for Alan', waiting: [] });
    const after = [...ada.entries];
    ada.say('next');
    expect(ada.entries.slice(0, 2).every((entry, at) => entry === after[at])).toBe(true);
    expect(ada.entries).toHaveLength(3);
  });

  test('whichever other entry is new or moves out of a full log', async () => {
    for (let i = 0; i < HISTORY; i++) {
      clock.advance(1000);
      ada.say(`${i}`);
      await settled();
    }
    const before = [...grace.entries];
    ada.say('one more');
    await settled();
    expect(grace.entries).toHaveLength(HISTORY);
    expect(grace.entries.slice(0, -1).every((entry, at) => entry === before[at + 1])).toBe(true);
  });

  test('while other files move', async () => {
    for (const name of ['a.txt', 'b.txt']) ada.offer({ name, size: 1, slice: () => new Blob(['x']) });
    await settled();
    const [first, second] = grace.entries;
    expect([first, second]).toMatchObject([{ file: 'a.txt' }, { file: 'b.txt' }]);
    grace.accept(last(grace).id);
    for (let turns = 0; turns < 50; turns++) await settled();
    expect(last(grace)).toMatchObject({ transfers: [{ state: 'done' }] });
    expect(grace.entries[0]).toBe(first);
    expect(grace.entries[1]).not.toBe(second);
  });
});

describe('someone who cannot be reached yet', () => {
  test('hears what was said when the channel opens, and until then it says whom it waits for', async () => {
    const alan = newChat();
    const pair = meet(['ada', ada], ['alan', alan]);
    ada.setOthers([
      { id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' },
      { id: 'alan', name: 'Alan', link: 'connecting', resting: false, writer: 'participant' },
    ]);
    ada.say('one');
    ada.say('two');
    expect((last(ada) as ChatText).waiting).toEqual(['Alan']);
    open(pair);
    await settled();
    expect(texts(alan)).toEqual(['one', 'two']);
    expect((last(ada) as ChatText).waiting).toEqual([]);
  });

  test('whoever rests is not spoken to, and hears nothing of it when they are called', async () => {
    const alan = newChat();
    const others = (resting: boolean) => [
      { id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' } as const,
      { id: 'alan', name: 'Alan', link: 'connecting', resting, writer: 'participant' } as const,
    ];
    ada.setOthers(others(false));
    ada.say('waits');
    ada.setOthers(others(true));
    expect((last(ada) as ChatText).waiting).toEqual([]);
    expect(ada.say('to those who listen')).toBe(true);
    expect((last(ada) as ChatText).waiting).toEqual([]);
    expect(ada.say('psst', 'alan')).toBe(false);
    ada.setOthers(others(false));
    open(meet(['ada', ada], ['alan', alan]));
    await settled();
    expect([texts(grace), texts(alan)]).toEqual([['waits', 'to those who listen'], []]);
  });

  test('who came later has not heard what was said before', async () => {
    ada.say('before');
    const alan = newChat();
    open(meet(['ada', ada], ['alan', alan]));
    ada.say('after');
    await settled();
    expect(texts(alan)).toEqual(['after']);
  });

  test('is not offered a file, and the sender is told', () => {
    const source = { name: 'a.txt', size: 3, slice: () => new Blob(['abc']) };
    ada.setOthers([
      { id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' },
      { id: 'alan', name: 'Alan', link: 'connecting', resting: false, writer: 'participant' },
      { id: 'zoe', name: 'Zoe', link: 'connecting', resting: true, writer: 'participant' },
    ]);
    expect(ada.offer(source)).toBe('offered');
    expect(last(ada)).toMatchObject({ transfers: [{ name: 'Grace' }], missed: ['Alan'] });
  });

  test('a new connection takes over', async () => {
    open(meet(['ada', ada], ['grace', grace]));
    ada.say('again');
    await settled();
    expect(texts(grace)).toEqual(['again']);
  });

  test('whoever is gone is not spoken to, and nobody waits for them', () => {
    ada.setOthers([]);
    expect(ada.say('anyone?')).toBe(true);
    expect((last(ada) as ChatText).waiting).toEqual([]);
    expect(channels[0].readyState).toBe('closed');
  });
});

test('a file says to whom it could not be offered', () => {
  ada.setOthers([
    { id: 'grace', name: 'Grace', link: 'connected', resting: false, writer: 'participant' },
    { id: 'alan', name: 'Alan', link: 'connecting', resting: false, writer: 'participant' },
  ]);
  const file = { name: 'a.txt', size: 1, slice: () => new Blob(['a']) };
  expect(ada.offer(file)).toBe('offered');
  expect(last(ada)).toMatchObject({ missed: ['Alan'], transfers: [{ name: 'Grace' }] });
});

describe('R108 roles and tokens', () => {
  type Kind = Role | 'silent';
  const writer = (kind: Kind) =>
    kind === 'silent' ? writerOf('participant', ['mic', 'camera']) : writerOf(kind);
  /** Sets the roles and permissions of both, as announced by the server. */
  const cast = (one: Kind, other: Kind): void => {
    const entry = { link: 'connected', resting: false } as const;
    [ada.writer, grace.writer] = [writer(one), writer(other)];
    ada.setOthers([{ id: 'grace', name: 'Grace', ...entry, writer: grace.writer }]);
    grace.setOthers([{ id: 'ada', name: 'Ada', ...entry, writer: ada.writer }]);
  };
  const offer = { type: 'offer', id: 3, name: 'a.txt', size: 1 };

  test.each<[Kind, Kind, string[]]>([
    ['participant', 'listener', ['public', 'private', 'a.txt']],
    ['host', 'participant', ['public', 'private', 'a.txt']],
    ['listener', 'host', ['private']],
    ['listener', 'participant', []],
    ['silent', 'host', []],
  ])(
    'what a %s sends by a page of its own making, a %s hears only as far as it may',
    async (one, other, heard) => {
      cast(one, other);
      channels[0].send(JSON.stringify({ type: 'text', id: 1, text: 'public' }));
      channels[0].send(JSON.stringify({ type: 'text', id: 2, text: 'private', private: true }));
      channels[0].send(JSON.stringify(offer));
      await settled();
      expect(texts(grace)).toEqual(heard);
    },
  );

  test.each<[Kind, 'all' | 'hosts' | 'nobody']>([
    ['host', 'all'],
    ['participant', 'all'],
    ['listener', 'hosts'],
    ['silent', 'nobody'],
  ])('the page of a %s writes to %s', async (kind, reach) => {
    cast(kind, 'host');
    expect(ada.say('hello')).toBe(reach !== 'nobody');
    await settled();
    expect(texts(grace)).toEqual(reach === 'nobody' ? [] : ['hello']);
    expect(grace.entries.some(({ privateWith }) => privateWith === 'Ada')).toBe(reach === 'hosts');
    const file = { name: 'a.txt', size: 1, slice: () => new Blob(['a']) };
    expect(ada.offer(file)).toBe(reach === 'all' ? 'offered' : 'not_permitted');
  });

  test('a listener writes to nobody where there is no host', () => {
    cast('listener', 'participant');
    expect([ada.say('hello'), ada.say('hello', 'grace')]).toEqual([false, false]);
  });

  test('a file of somebody who becomes a listener ends, and one takes files as a listener', async () => {
    channels[0].send(JSON.stringify(offer));
    await settled();
    grace.accept(last(grace).id);
    await settled();
    cast('listener', 'participant');
    channels[0].send(new Uint8Array([0, 0, 0, 3, 65]));
    await settled();
    expect(last(grace)).toMatchObject({ transfers: [{ state: 'withdrawn' }] });
    cast('participant', 'listener');
    ada.offer({ name: 'b.txt', size: 1, slice: () => new Blob(['b']) });
    await settled();
    grace.accept(last(grace).id);
    for (let turns = 0; turns < 50; turns++) await settled();
    expect(last(ada)).toMatchObject({ transfers: [{ state: 'done' }] });
  });
});
