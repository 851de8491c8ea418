import { beforeEach, describe, expect, test } from 'vitest';
import type { ClientMessage } from '../protocol/messages';
import type { Numbered } from './session';
import { ADA, GRACE, types, welcome } from './testing/fixtures';
import {
  client,
  clock,
  enter,
  fail,
  given,
  messages,
  nextTry,
  prepare,
  problems,
  refusals,
  sockets,
  troubles,
} from './testing/signaling';

beforeEach(prepare);

describe('coming back', () => {
  test('R11 resumes, with the present state', () => {
    client.start();
    enter('first secret');
    given.mic = true;
    sockets.last.end();
    expect(client.state).toBe('lost');
    nextTry();
    sockets.last.open();
    expect(sockets.last.sent).toEqual([
      { type: 'join', name: 'Ada', state: { mic: true }, resume: 'first secret', last_seq: 0 },
    ]);
    sockets.last.receive(welcome(ADA, { resume: 'second secret', resumed: false }));
    sockets.last.end();
    nextTry();
    sockets.last.open();
    expect(sockets.last.sent[0]).toMatchObject({ resume: 'second secret' });
  });

  test('delays double from 0.5 s to 10 s and never end', async () => {
    client.start();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      await fail();
      waits.push(nextTry());
    }
    expect(waits).toEqual([
      500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000,
    ]);
  });

  test('delays have full jitter', async () => {
    client.start();
    for (const [chance, expected] of [
      [0, 0],
      [0.5, 500],
      [0.25, 500],
    ] as const) {
      clock.chance = chance;
      await fail();
      expect(nextTry()).toBe(expected);
    }
  });

  test('a connection that held begins with short delays again, one that broke at once does not', () => {
    client.start();
    const waits: number[] = [];
    for (let round = 0; round < 4; round++) {
      enter();
      sockets.last.end();
      waits.push(nextTry());
    }
    expect(waits).toEqual([500, 1000, 1500, 1500]);
    enter();
    clock.advance(10_000);
    sockets.last.end();
    expect(nextTry()).toBe(500);
  });

  test('who was in a meeting tries every other moment for a minute, and then ever less', async () => {
    client.start();
    enter();
    clock.advance(10_000);
    sockets.last.end();
    let waited = 0;
    while (waited < 60_000) {
      const wait = nextTry();
      expect(wait).toBeLessThanOrEqual(1_500);
      waited += wait;
      await fail();
    }
    nextTry();
    await fail();
    expect(nextTry()).toBe(10_000);
  });

  test('R32 the hint of go_away is heeded', () => {
    client.start();
    enter();
    sockets.last.receive({ type: 'go_away', reason: 'shutdown', reconnect_ms: 1840 });
    sockets.last.end(1012);
    expect(nextTry()).toBe(1840);
  });

  test('at once when the page wakes', async () => {
    client.start();
    for (let attempt = 0; attempt < 6; attempt++) {
      await fail();
      if (attempt < 5) nextTry();
    }
    client.wake();
    expect(sockets.all).toHaveLength(7);
    // No second attempt while one is in progress.
    client.wake();
    expect(sockets.all).toHaveLength(7);
    await fail();
    expect(nextTry()).toBe(500);
  });

  test('before the first welcome nothing is sent', () => {
    client.start();
    client.send({ type: 'signal', to: GRACE, data: 1 });
    enter();
    expect(types(sockets.last.sent)).toEqual(['join']);
  });

  test('a late end of an old socket does not disturb the new one', () => {
    client.start();
    enter();
    const [old] = sockets.all;
    clock.advance(50_000);
    expect(client.state).toBe('lost');
    nextTry();
    enter();
    old?.end(4004);
    expect(client.state).toBe('open');
    expect(refusals).toEqual([]);
  });

  test('1002, 1007 and 1009 are a defect, and it comes back all the same', () => {
    client.start();
    for (const code of [1002, 1007, 1009]) {
      enter();
      sockets.last.end(code);
      expect(troubles.at(-1)).toBe('protocol_error');
      nextTry();
    }
    enter();
    expect(troubles.at(-1)).toBeUndefined();
  });
});

describe('sessions', () => {
  const signal = (data: unknown): ClientMessage => ({ type: 'signal', to: GRACE, data });
  const said = (seq: number, data: unknown = seq): Numbered => ({
    type: 'broadcast',
    from: GRACE,
    data,
    seq,
  });
  const heard = (): unknown[] => messages.flatMap((message) => ('data' in message ? [message.data] : []));

  /** Loses the socket and opens the next one. */
  function cut(): void {
    sockets.last.end();
    nextTry();
    sockets.last.open();
  }

  test('R49 messages are numbered from 1, and acknowledge', () => {
    client.start();
    enter();
    client.send(signal('a'));
    sockets.last.receive(said(1));
    sockets.last.receive(said(2));
    client.send(signal('b'));
    expect(sockets.last.numbers).toEqual([
      [1, 0],
      [2, 2],
    ]);
  });

  test('R48 who says nothing acknowledges after a second, or 32 messages', () => {
    client.start();
    enter();
    sockets.last.receive(said(1));
    sockets.last.receive(said(2));
    expect(types(sockets.last.sent)).toEqual(['join']);
    clock.advance(1_000);
    expect(sockets.last.sent.slice(1)).toEqual([{ type: 'ack', ack: 2 }]);
    for (let seq = 3; seq < 35; seq++) sockets.last.receive(said(seq));
    expect(sockets.last.sent.slice(2)).toEqual([{ type: 'ack', ack: 34 }]);
    clock.advance(10_000);
    expect(types(sockets.last.sent)).toEqual(['join', 'ack', 'ack']);
  });

  test('R53 goes on where it was: what the server lacks is said again, what comes twice is dropped', () => {
    client.start();
    enter();
    for (const data of ['a', 'b', 'c']) client.send(signal(data));
    sockets.last.receive({ type: 'ack', ack: 1 });
    sockets.last.receive(said(1));
    sockets.last.end();
    expect(client.state).toBe('lost');
    client.send(signal('d'));
    nextTry();
    sockets.last.open();
    client.send(signal('e'));
    expect(sockets.last.sent).toMatchObject([{ type: 'join', resume: 'secret', last_seq: 1 }]);
    sockets.last.receive({ type: 'resumed', self: ADA, ack: 2 });
    expect(client.state).toBe('open');
    expect(sockets.last.sent.slice(1)).toEqual([signal('c'), signal('d'), signal('e')]);
    expect(sockets.last.numbers.map(([seq]) => seq)).toEqual([3, 4, 5]);
    for (const seq of [1, 2, 2, 3]) sockets.last.receive(said(seq));
    expect(heard()).toEqual([1, 2, 3]);
    expect(problems).toEqual([]);
  });

  test('R54 a welcome begins afresh: what waited is dropped, and numbers begin anew', () => {
    client.start();
    enter();
    client.send(signal('a'));
    sockets.last.receive(said(1));
    cut();
    client.send(signal('b'));
    sockets.last.receive(welcome(ADA, { not_resumed: 'resume_expired', resumed: true }));
    client.send(signal('c'));
    expect(sockets.last.sent.slice(1)).toEqual([signal('c')]);
    expect(sockets.last.numbers).toEqual([[1, 0]]);
    sockets.last.receive(said(1, 'new'));
    expect(heard()).toEqual([1, 'new']);
  });

  test('a gap is a defect, and mended by a fresh join', () => {
    client.start();
    enter();
    sockets.last.receive(said(2));
    expect([problems.length, client.state, sockets.last.closed]).toEqual([1, 'lost', true]);
    nextTry();
    sockets.last.open();
    expect(sockets.last.sent[0]).not.toHaveProperty('last_seq');
    expect(heard()).toEqual([]);
  });

  test('what is kept is bounded; who has more to say joins afresh', () => {
    client.start();
    enter();
    sockets.last.end();
    for (let count = 0; count < 513; count++) client.send(signal(count));
    nextTry();
    sockets.last.open();
    expect(sockets.last.sent[0]).not.toHaveProperty('last_seq');
  });

  test('a server without sessions is told no numbers', () => {
    client.start();
    sockets.last.open();
    sockets.last.receive(welcome(ADA, { features: ['resume', 'state', 'sync'] }));
    client.send(signal('a'));
    expect(sockets.last.numbers).toEqual([]);
    expect(types(sockets.last.sent)).toEqual(['join', 'signal']);
  });

  test('R52 a socket that is given up is not closed as a goodbye', () => {
    client.start();
    enter();
    const [first] = sockets.all;
    clock.advance(50_000);
    expect(first?.code).toBe(3001);
  });
});
