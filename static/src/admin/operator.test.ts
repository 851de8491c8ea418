import { expect, it } from 'vitest';
import { FakeClock, settled } from '../core/testing/clock';
import { AdminError, type RoomDetail, type RoomPage, type ServerOverview, type Trouble } from './api';
import { Operator, type OperatorView } from './operator';

const SERVER: ServerOverview = {
  version: '1',
  time: '2026-01-02T11:04:05.678+08:00',
  zone: 'Asia/Shanghai',
  uptime_seconds: 1,
  sockets: 0,
  rooms: 0,
  members: 0,
  draining: false,
};
const settings = { locked: false, lobby: false, talk: false };

/** A server that gives preset answers and records the requests. */
class FakeServer {
  asked: string[] = [];
  trouble: Trouble | undefined;
  gone = false;
  people: Pick<RoomDetail, 'members' | 'waiting'> = { members: [], waiting: [] };
  names = ['a', 'b', 'c'];
  /** While set, the list waits for it. */
  held: Promise<void> | undefined;

  server = (): Promise<ServerOverview> => this.#answer('server', SERVER);

  rooms = async (search: string, after: string | undefined): Promise<RoomPage> => {
    const rooms = this.names.filter((name) => name.includes(search) && name > (after ?? '')).slice(0, 2);
    const next = rooms.length === 2 ? rooms[1] : undefined;
    const answer = this.#answer(`rooms ${search}>${after ?? ''}`, {
      rooms: rooms.map((room) => ({ room, members: 1, waiting: 0, settings })),
      total: this.names.length,
      ...(next !== undefined && { next }),
    });
    await this.held;
    return answer;
  };

  room = (room: string): Promise<RoomDetail> =>
    this.gone
      ? Promise.reject(new AdminError({ kind: 'gone' }))
      : this.#answer(`room ${room}`, { room, settings, ...this.people });

  remove = (room: string, id: string): Promise<void> => this.#answer(`remove ${room} ${id}`, undefined);
  end = (room: string): Promise<void> => this.#answer(`end ${room}`, undefined);
  drain = (): Promise<void> => this.#answer('drain', undefined);

  #answer<Data>(question: string, data: Data): Promise<Data> {
    this.asked.push(question);
    return this.trouble ? Promise.reject(new AdminError(this.trouble)) : Promise.resolve(data);
  }
}

function start(): {
  clock: FakeClock;
  server: FakeServer;
  operator: Operator;
  view: () => OperatorView;
  tokens: string[];
} {
  const [clock, server, tokens, views] = [
    new FakeClock(),
    new FakeServer(),
    [] as string[],
    [] as OperatorView[],
  ];
  const connect = (token: string): FakeServer => {
    tokens.push(token);
    return server;
  };
  const operator = new Operator(connect, clock, (next) => views.push(next));
  return {
    clock,
    server,
    operator,
    tokens,
    view: () => views.at(-1) ?? { phase: 'out', search: '', before: 0 },
  };
}

async function opened(): Promise<ReturnType<typeof start>> {
  const all = start();
  all.operator.open('secret');
  await settled();
  return all;
}

it('asks again two seconds after each answer, and not while nobody looks', async () => {
  const { clock, server, operator, view, tokens } = await opened();
  expect(tokens).toEqual(['secret']);
  expect(view()).toMatchObject({ phase: 'in', server: SERVER });
  expect(clock.waits).toEqual([2_000]);
  server.asked = [];
  clock.advance(2_000);
  await settled();
  expect(server.asked).toEqual(['server', 'rooms >']);

  operator.setVisible(false);
  expect(clock.waits).toEqual([]);
  server.asked = [];
  operator.setVisible(true);
  await settled();
  expect(server.asked).toEqual(['server', 'rooms >']);
  expect(clock.waits).toEqual([2_000]);
});

it('tells people apart whose names look the same, as the room does', async () => {
  const { server, operator, view } = await opened();
  const person = (id: string, name: string) => ({ id, name, role: 'participant', state: {} }) as const;
  server.people = {
    members: [person('1234567', 'Ada'), person('abcdefg', 'ada\u200b'), person('7654321', 'Grace')],
    waiting: [{ id: 'zyxwvut', name: 'Grace' }],
  };
  operator.choose('a');
  await settled();
  expect(view().room).toMatchObject({
    members: [{ name: 'Ada (1234)' }, { name: 'ada\u200b (abcd)' }, { name: 'Grace' }],
    waiting: [{ id: 'zyxwvut', name: 'Grace (zyxw)' }],
  });
});

it('does not go on by itself where it is hidden while it waits for an answer', async () => {
  const { clock, operator } = await opened();
  clock.advance(2_000);
  operator.setVisible(false);
  await settled();
  expect(clock.waits).toEqual([]);
});

it('takes a wrong token for wrong, at once and later, and forgets what it saw', async () => {
  const { clock, server, operator, view } = start();
  server.trouble = { kind: 'token' };
  operator.open('guess');
  await settled();
  expect(view()).toMatchObject({ phase: 'out', trouble: { kind: 'token' } });
  expect(clock.waits).toEqual([]);

  server.trouble = undefined;
  operator.open('secret');
  await settled();
  expect(view().phase).toBe('in');
  server.trouble = { kind: 'token' };
  clock.advance(2_000);
  await settled();
  expect(view()).toEqual({ phase: 'out', search: '', before: 0, trouble: { kind: 'token' } });
});

it('asks ever more seldom while nobody answers, and shows what it knows', async () => {
  const { clock, server, view } = await opened();
  server.trouble = { kind: 'away' };
  clock.advance(2_000);
  await settled();
  for (const pause of [4_000, 8_000, 16_000, 30_000, 30_000]) {
    expect(view()).toMatchObject({ phase: 'in', server: SERVER, trouble: { kind: 'away' } });
    expect(clock.waits).toEqual([pause]);
    clock.advance(pause);
    await settled();
  }
  server.trouble = undefined;
  clock.advance(30_000);
  await settled();
  expect(view().trouble).toBeUndefined();
  expect(clock.waits).toEqual([2_000]);
});

it('waits as long as it is asked to', async () => {
  const { clock, server } = await opened();
  server.trouble = { kind: 'slow', seconds: 7 };
  clock.advance(2_000);
  await settled();
  expect(clock.waits).toEqual([7_000]);
});

it('turns pages, and goes back from one whose rooms have ended', async () => {
  const { clock, server, operator, view } = await opened();
  operator.turn('next');
  await settled();
  expect(view()).toMatchObject({ before: 1, rooms: { rooms: [{ room: 'c' }] } });
  operator.turn('previous');
  await settled();
  expect(view()).toMatchObject({ before: 0, rooms: { rooms: [{ room: 'a' }, { room: 'b' }] } });

  operator.turn('next');
  await settled();
  server.names = ['a'];
  clock.advance(2_000);
  await settled();
  expect(view()).toMatchObject({ before: 0, rooms: { rooms: [{ room: 'a' }] } });
});

it('shows the answer to the latest search alone', async () => {
  const { clock, server, operator, view } = await opened();
  let release = (): void => undefined;
  server.held = new Promise((resolve) => (release = resolve));
  clock.advance(2_000);
  server.held = undefined;
  operator.search('c');
  clock.advance(250);
  await settled();
  expect(view().rooms?.rooms.map(({ room }) => room)).toEqual(['c']);
  release();
  await settled();
  expect(view().rooms?.rooms.map(({ room }) => room)).toEqual(['c']);
});

it('searches in time, whatever is answered meanwhile', async () => {
  const { clock, server, operator, view } = await opened();
  let release = (): void => undefined;
  server.held = new Promise((resolve) => (release = resolve));
  clock.advance(2_000);
  server.held = undefined;
  operator.search('c');
  release();
  await settled();
  clock.advance(250);
  await settled();
  expect(view().rooms?.rooms.map(({ room }) => room)).toEqual(['c']);
});

it('looks at a room until nobody is there, and does not take that for an error', async () => {
  const { clock, server, operator, view } = await opened();
  operator.choose('a');
  await settled();
  expect(view().room).toMatchObject({ room: 'a' });
  server.gone = true;
  clock.advance(2_000);
  await settled();
  expect(view()).toMatchObject({ room: 'gone', trouble: undefined });
});

it('does what it is told, says what came in between, and looks at once', async () => {
  const { server, operator } = await opened();
  server.asked = [];
  expect(await operator.remove('a', 'id')).toBeUndefined();
  expect(server.asked).toEqual(['remove a id', 'server', 'rooms >']);
  server.trouble = { kind: 'away' };
  expect(await operator.end('a')).toEqual({ kind: 'away' });
  expect(await operator.drain()).toEqual({ kind: 'away' });
});
