import { beforeEach, describe, expect, test } from 'vitest';
import type { ServerMessage } from '../protocol/messages';
import { settled } from './testing/clock';
import { ADA, fixture, GRACE, types, welcome } from './testing/fixtures';
import {
  client,
  clientOf,
  clock,
  enter,
  fail,
  given,
  messages,
  nextTry,
  posts,
  prepare,
  problems,
  refusals,
  requests,
  sockets,
  states,
  troubles,
  waited,
} from './testing/signaling';

beforeEach(prepare);

describe('joining', () => {
  test('R5 join is the first message, and the welcome opens', () => {
    client.start();
    expect(sockets.last.sent).toEqual([]);
    sockets.last.open();
    expect(sockets.last.sent).toEqual([{ type: 'join', name: 'Ada', state: { mic: false } }]);
    expect(states).toEqual(['connecting']);
    sockets.last.receive(welcome(ADA));
    expect(states).toEqual(['connecting', 'open']);
    expect(types(messages)).toEqual(['welcome']);
  });

  test('every golden message of the server is understood', () => {
    client.start();
    enter();
    const golden = fixture('messages') as { direction: string; message: ServerMessage }[];
    const all = golden.filter(({ direction }) => direction === 'server').map(({ message }) => message);
    for (const message of all) sockets.last.receive(message);
    expect(messages.slice(1)).toEqual(all.filter(({ type }) => type !== 'pong' && type !== 'ack'));
    expect(problems).toEqual([]);
  });

  test('R3 a frame that is no message is a problem and disturbs nothing', () => {
    client.start();
    enter();
    for (const frame of ['', 'null', '[]', '{"type":7}', '{']) sockets.last.receiveText(frame);
    sockets.last.receive({ type: 'broadcast', from: GRACE, data: null });
    expect(problems).toHaveLength(5);
    expect(types(messages)).toEqual(['welcome', 'broadcast']);
    expect(client.state).toBe('open');
  });

  test('a socket that never opens is given up after 10 s', () => {
    client.start();
    clock.advance(10_000);
    expect(sockets.last.closed).toBe(true);
    nextTry();
    expect(sockets.all).toHaveLength(2);
  });

  test('a server that never welcomes is given up, but not before it says that it is busy (R78)', () => {
    client.start();
    sockets.last.open();
    clock.advance(14_999);
    expect(sockets.last.closed).toBe(false);
    clock.advance(1);
    expect(sockets.last.closed).toBe(true);
    nextTry();
    expect(sockets.all).toHaveLength(2);
  });

  test('a browser that refuses the socket is tried again', async () => {
    let tries = 0;
    const stubborn = clientOf({
      connect: () => {
        tries += 1;
        throw new Error('blocked');
      },
    });
    stubborn.start();
    await settled();
    clock.advance(500);
    expect(tries).toBe(2);
  });
});

describe('refusals are final', () => {
  test.each(['name_invalid', 'room_full'] as const)('%s', (code) => {
    client.start();
    sockets.last.open();
    sockets.last.receive({ type: 'error', code, message: 'no', re: 'join' });
    expect(refusals).toEqual([{ code, detail: 'no' }]);
    expect(client.state).toBe('closed');
    expect(clock.waits).toEqual([]);
  });

  test('another error on join is a defect', () => {
    client.start();
    sockets.last.open();
    sockets.last.receive({ type: 'error', code: 'state_invalid', message: 'no', re: 'join' });
    expect(refusals).toEqual([{ code: 'protocol_error', detail: 'state_invalid: no' }]);
  });

  test.each([
    [4003, 'room_full'],
    [4004, 'superseded'],
  ])('close code %i is %s', (close, code) => {
    client.start();
    enter();
    sockets.last.end(close);
    expect(refusals).toEqual([{ code }]);
    expect([states.at(-1), clock.waits]).toEqual(['closed', []]);
  });
});

describe('heartbeat', () => {
  test('R27 asks each interval of the welcome and is lost after two silent ones', () => {
    client.start();
    sockets.last.open();
    sockets.last.receive(welcome(ADA, { heartbeat_seconds: 10 }));
    const first = sockets.last;
    clock.advance(10_000);
    expect(types(first.sent)).toEqual(['join', 'ping']);
    first.receive({ type: 'pong' });
    clock.advance(19_999);
    expect(client.state).toBe('open');
    clock.advance(1);
    expect([client.state, first.closed]).toEqual(['lost', true]);
    expect(types(messages)).toEqual(['welcome']);
  });

  test('a page that wakes asks first', () => {
    client.start();
    enter();
    client.wake();
    expect(types(sockets.last.sent)).toEqual(['join', 'ping']);
    sockets.last.receive({ type: 'pong' });
    clock.advance(6_000);
    expect(client.state).toBe('open');
  });
});

describe('why it does not connect', () => {
  test.each([
    ['nothing answers', new Error('refused'), 'server_unreachable'],
    ['a web page answers', '<!doctype html>', 'wrong_address'],
    ['JSON of something else answers', '{"status":"ok"}', 'wrong_address'],
    [
      'another program with the same envelope answers',
      '{"code":"SUCCESS","data":{"name":"other"}}',
      'wrong_address',
    ],
    ['null answers', 'null', 'wrong_address'],
    ['the server is full', '{"code":"SERVER_FULL","message":"…"}', 'server_full', 503],
    ['this network has too many', '{"code":"TOO_MANY_CONNECTIONS"}', 'too_many_connections', 429],
    ['this page may not', '{"code":"ORIGIN_NOT_ALLOWED"}', 'origin_refused', 403],
    ['the server shuts down', '{"code":"DRAINING","message":"…"}', 'server_unreachable', 503],
    ['a proxy answers for it', '<h1>Bad Gateway</h1>', 'server_unreachable', 502],
    ['only WebSocket fails', '{"code":"SUCCESS","data":{"name":"roundtable"}}', 'server_unreachable'],
  ])('R76 %s', async (_, answer, code, answered = 200) => {
    given.http = answer;
    given.status = answered;
    client.start();
    await fail();
    expect(requests).toEqual(['POST https://a.example/signal-api/v1/check']);
    expect(troubles).toEqual([code]);
    expect(client.state).toBe('connecting');
    nextTry();
    enter();
    expect(troubles.at(-1)).toBeUndefined();
  });

  test.each(['<html>', '{"code":"ORIGIN_NOT_ALLOWED"}'])(
    'what answers %s is tried slowly',
    async (answer) => {
      given.http = answer;
      client.start();
      await fail();
      nextTry();
      await fail();
      expect(nextTry()).toBe(30_000);
    },
  );

  test('a web page in place of a server that was there is a server that stopped, and is tried soon', async () => {
    given.http = '<h1>404 Not Found</h1>';
    given.status = 404;
    client.start();
    enter();
    await fail();
    nextTry();
    await fail();
    expect(troubles.at(-1)).toBe('server_unreachable');
    expect(nextTry()).toBeLessThan(30_000);
  });

  test('R76 the hint of the refusal is heeded, and told', async () => {
    given.http = '{"code":"TOO_MANY_CONNECTIONS"}';
    [given.status, given.retryAfter] = [429, { 'retry-after': '7' }];
    client.start();
    for (let tries = 1; tries <= 3; tries++) {
      await fail();
      expect([waited.at(-1), clock.waits.length, requests.length]).toEqual([7_000, 1, tries]);
      const wait = nextTry();
      expect(wait).toBeGreaterThanOrEqual(7_000);
      expect(wait).toBeLessThanOrEqual(8_000);
    }
    // The requested delay applies once.
    given.http = new Error('refused');
    await fail();
    expect([troubles.at(-1), waited.at(-1)]).toEqual(['server_unreachable', undefined]);
    expect(nextTry()).toBeLessThan(7_000);
  });

  test('R76 an answer that comes while the next try is on holds for the one after', async () => {
    given.http = '{"code":"SERVER_FULL"}';
    [given.status, given.retryAfter] = [503, { 'retry-after': '5' }];
    client.start();
    sockets.last.end();
    nextTry();
    await settled();
    expect([sockets.all.length, troubles]).toEqual([2, ['server_full']]);
    sockets.last.end();
    expect(nextTry()).toBeGreaterThanOrEqual(5_000);
  });

  test('an answer that comes after the welcome is of no interest', async () => {
    client.start();
    sockets.last.end();
    nextTry();
    enter();
    await settled();
    expect(troubles).toEqual([]);
  });
});

describe('leaving', () => {
  test('R24 says so and is over', () => {
    client.start();
    enter();
    client.leave();
    expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
    expect(sockets.last.closed).toBe(true);
    expect([client.state, clock.waits]).toEqual(['closed', []]);
  });

  test('R55 over HTTP, where the page ends or the socket is lost', () => {
    const goodbye = ['https://a.example/signal-api/v1/leave', '{"room":"x","resume":"secret"}'];
    client.start();
    enter();
    client.leave();
    expect(posts).toEqual([]);
    client.start();
    enter();
    client.leave(true);
    expect(posts).toEqual([goodbye]);
    client.start();
    enter();
    sockets.last.end();
    client.leave();
    expect(posts).toEqual([goodbye, goodbye]);
  });

  test('while it waits for the next try', () => {
    client.start();
    sockets.last.end();
    client.leave();
    clock.advance(60_000);
    client.wake();
    expect(sockets.all).toHaveLength(1);
  });
});

describe('R40 in the lobby', () => {
  test('waits longer than for a welcome, asks whether the server lives, and is welcomed', () => {
    let waiting = 0;
    client.events.on('waiting', () => (waiting += 1));
    client.start();
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    clock.advance(25_000);
    expect(types(sockets.last.sent)).toEqual(['join', 'ping']);
    sockets.last.receive({ type: 'pong' });
    expect([waiting, sockets.all.length]).toEqual([1, 1]);
    client.send({ type: 'broadcast', data: null });
    expect(types(sockets.last.sent)).toEqual(['join', 'ping']);
    sockets.last.receive(welcome(ADA));
    expect(states.at(-1)).toBe('open');
  });

  test('a connection that breaks meanwhile is made anew', async () => {
    client.start();
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    await fail();
    nextTry();
    sockets.last.open();
    expect(types(sockets.last.sent)).toEqual(['join']);
  });

  test.each([
    [4006, 'room_locked'],
    [4007, 'lobby_refused'],
    [4008, 'removed'],
    [4009, 'ended'],
  ])('close code %i means %s, for good', (close, code) => {
    client.start();
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    sockets.last.end(close);
    expect(refusals).toEqual([{ code }]);
    expect([client.state, clock.waits]).toEqual(['closed', []]);
  });
});

test.each([
  ['token_missing', 'token_missing'],
  ['token_expired', 'token_expired'],
  ['token_wrong_room', 'token_refused'],
  ['token_in_use', 'token_refused'],
] as const)('R58 a join refused with %s ends as %s', (code, failure) => {
  client.start();
  sockets.last.open();
  sockets.last.receive({ type: 'error', code, message: 'no', re: 'join' });
  expect(refusals).toEqual([{ code: failure, detail: 'no' }]);
  expect(clock.waits).toEqual([]);
});

test.each([
  ['token_expired', 'token_expired'],
  ['token_revoked', 'token_refused'],
] as const)('R62 who is closed after %s is told %s, for good', (code, failure) => {
  client.start();
  enter();
  // The error of a failed renewal does not end the membership.
  sockets.last.receive({ type: 'error', code: 'token_invalid', message: 'bad', re: 'renew' });
  sockets.last.receive({ type: 'error', code, message: 'over' });
  sockets.last.end(4010);
  expect(refusals).toEqual([{ code: failure, detail: 'over' }]);
  expect([client.state, clock.waits]).toEqual(['closed', []]);
});

test.each([
  ['too_many_attempts', 'too_many_attempts'],
  ['server_full', 'server_full'],
  ['busy', 'servers_busy'],
] as const)('R66, R67, R78 %s is tried again after the hint', (code, told) => {
  client.start();
  sockets.last.open();
  sockets.last.receive({ type: 'error', code, message: 'later', re: 'join', retry_after_ms: 12_000 });
  sockets.last.end(4011);
  expect([refusals, requests, troubles, waited]).toEqual([[], [], [told], [12_000]]);
  expect(nextTry()).toBe(12_000);
  enter();
  expect([client.state, troubles]).toEqual(['open', [told, undefined]]);
});

test('R75 who sent too much comes back after the hint', () => {
  client.start();
  enter();
  sockets.last.receive({
    type: 'error',
    code: 'rate_limited',
    message: 'later',
    retry_after_ms: 11_000,
    seq: 1,
  });
  sockets.last.end(4011);
  expect([client.state, troubles]).toEqual(['lost', ['rate_limited']]);
  expect(nextTry()).toBe(11_000);
});

test('who was asked to wait does so, also when the page wakes', () => {
  client.start();
  enter();
  sockets.last.receive({ type: 'go_away', reconnect_ms: 4_000, reason: 'shutdown' });
  sockets.last.end(1001);
  client.wake();
  clock.advance(3_999);
  client.wake();
  expect(sockets.all).toHaveLength(1);
  clock.advance(1);
  expect(sockets.all).toHaveLength(2);
  sockets.last.end();
  client.wake();
  expect(sockets.all).toHaveLength(3);
});

test('R62 a token that was renewed in time is not why one is sent out later', () => {
  client.start();
  enter();
  sockets.last.receive({ type: 'error', code: 'token_expired', message: 'over' });
  sockets.last.end();
  client.wake();
  enter();
  sockets.last.end(4008);
  expect(refusals).toEqual([{ code: 'removed' }]);
});

test('R39 a locked room says so', () => {
  client.start();
  sockets.last.open();
  sockets.last.receive({ type: 'error', code: 'room_locked', message: 'no', re: 'join' });
  expect(refusals).toEqual([{ code: 'room_locked', detail: 'no' }]);
});
