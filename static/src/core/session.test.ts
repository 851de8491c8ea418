/** Checks the client against a model of the server: no message is lost or duplicated, wherever sockets are cut. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { Numbered } from './session';
import { type Socket, SignalingClient } from './signaling';
import { FakeClock } from './testing/clock';
import { ADA, GRACE, welcome } from './testing/fixtures';

/** Maximum number of messages that a page keeps; beyond it, a session starts over. */
const KEEP_MESSAGES = 512;

/** One socket, with the messages in flight. */
class Line implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  readonly up: string[] = [];
  readonly down: string[] = [];
  /** Neither accepted nor abandoned. */
  fresh = true;
  #closed = false;

  send(text: string): void {
    this.up.push(text);
  }

  close(): void {
    this.#closed = true;
    this.fresh = false;
  }

  open(): void {
    this.fresh = false;
    this.onopen?.call(this as unknown as WebSocket, {} as Event);
  }

  /** Delivers messages to the client. */
  deliver(count: number): void {
    for (const data of this.down.splice(0, count)) {
      if (!this.#closed) this.onmessage?.call(this as unknown as WebSocket, { data } as MessageEvent);
    }
  }

  end(): void {
    if (!this.#closed) this.onclose?.call(this as unknown as WebSocket, { code: 1006 } as CloseEvent);
    this.close();
  }
}

/** The server's view of one session. Each message is its number, from 1. */
interface Stay {
  said: number;
  acknowledged: number;
  heard: number;
}

/** A server for one member as specified in docs/PROTOCOL.md, R47 to R54. */
class ModelServer {
  readonly stays: Stay[] = [];
  /** The socket that the server considers current. */
  line: Line | undefined;
  #forgotten = false;

  get #stay(): Stay | undefined {
    return this.#forgotten ? undefined : this.stays.at(-1);
  }

  /** Restarts, as after kill -9. */
  restart(): void {
    this.line = undefined;
    this.#forgotten = true;
  }

  accept(line: Line): void {
    this.line = line;
    line.open();
  }

  say(): void {
    const stay = this.#stay;
    if (!stay) return;
    stay.said += 1;
    this.#write(this.#numbered(stay.said));
  }

  acknowledge(): void {
    const stay = this.#stay;
    if (stay) this.#write({ type: 'ack', ack: stay.heard });
  }

  /** Delivers messages to the server. */
  take(count: number): void {
    for (const text of this.line?.up.splice(0, count) ?? []) {
      this.#read(JSON.parse(text) as ClientMessage & { seq?: number; ack?: number });
    }
  }

  #read(message: ClientMessage & { seq?: number; ack?: number }): void {
    if (message.type === 'join') {
      this.#join(message);
      return;
    }
    if (message.type === 'ping') this.#write({ type: 'pong' });
    const stay = this.#stay;
    if (!stay) throw new Error('said before the join was answered');
    if (message.ack !== undefined) {
      expect(message.ack, 'only what was said is acknowledged').toBeLessThanOrEqual(stay.said);
      stay.acknowledged = Math.max(stay.acknowledged, message.ack);
    }
    if (message.type !== 'broadcast' || message.seq === undefined || message.seq <= stay.heard) return;
    expect(message.seq, 'no gap').toBe(stay.heard + 1);
    expect(message.data, 'the message of that number, of this stay').toEqual([
      this.stays.length,
      message.seq,
    ]);
    stay.heard = message.seq;
  }

  #join({ resume, last_seq }: Extract<ClientMessage, { type: 'join' }>): void {
    const stay = this.#stay;
    if (!stay || last_seq === undefined || resume !== String(this.stays.length)) {
      this.#forgotten = false;
      this.stays.push({ said: 0, acknowledged: 0, heard: 0 });
      this.#write(welcome(ADA, { resume: String(this.stays.length) }));
      return;
    }
    expect(last_seq, 'what was acknowledged has arrived').toBeGreaterThanOrEqual(stay.acknowledged);
    stay.acknowledged = last_seq;
    this.#write({ type: 'resumed', self: ADA, ack: stay.heard });
    for (let seq = last_seq + 1; seq <= stay.said; seq++) this.#write(this.#numbered(seq));
  }

  #numbered(seq: number): Numbered {
    return { type: 'broadcast', from: GRACE, data: [this.stays.length, seq], seq };
  }

  #write(message: Numbered | ServerMessage): void {
    this.line?.down.push(JSON.stringify(message));
  }
}

type Step =
  | { readonly kind: 'clientSays' | 'serverSays' | 'up' | 'down'; readonly count: number }
  | { readonly kind: 'acknowledge' | 'accept' | 'restart' }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Cuts the socket after this many more messages at each end; the server may not notice. */
  | { readonly kind: 'cut'; readonly up: number; readonly down: number; readonly serverKnows: boolean };

const few = fc.integer({ min: 1, max: 5 });
const some = fc.oneof({ weight: 3, arbitrary: few }, { weight: 1, arbitrary: fc.constant(1_000) });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('clientSays' as const), count: few }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('serverSays' as const), count: few }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('up' as const, 'down' as const), count: some }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('acknowledge' as const, 'accept' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ max: 12_000, min: 1 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('cut' as const),
      up: fc.nat({ max: 6 }),
      down: fc.nat({ max: 6 }),
      serverKnows: fc.boolean(),
    }),
  },
  // Overflows and server restarts: rare, or little else would be tested.
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.constant({ kind: 'restart' as const }),
      fc.record({ kind: fc.constant('clientSays' as const), count: fc.constantFrom(200, KEEP_MESSAGES) }),
    ),
  },
);

/** A client and its server, step by step. */
class Run {
  readonly clock = new FakeClock();
  readonly server = new ModelServer();
  readonly lines: Line[] = [];
  readonly problems: unknown[] = [];
  /** Sessions known to the client: their numbers, and how many messages were sent and received in each. */
  readonly stays: { readonly number: number; said: number; heard: number }[] = [];
  /** Maximum number of messages retransmitted at one reconnect. */
  again = 0;
  readonly client: SignalingClient;

  constructor() {
    this.client = new SignalingClient({
      url: '',
      checkUrl: '',
      leaveUrl: '',
      room: '',
      post: () => undefined,
      connect: () => {
        const line = new Line();
        this.lines.push(line);
        return line;
      },
      fetch: () => new Promise(() => undefined),
      clock: this.clock,
      hello: () => ({ name: 'Ada', state: {} }),
    });
    this.client.events.on('problem', (problem) => this.problems.push(problem));
    this.client.events.on('refused', (failure) => this.problems.push(failure));
    this.client.events.on('message', (message) => {
      this.#hear(message);
    });
    this.client.start();
  }

  get line(): Line | undefined {
    return this.lines.at(-1);
  }

  do(step: Step): void {
    const { server, client, clock } = this;
    switch (step.kind) {
      case 'clientSays':
        for (let count = 0; count < step.count; count++) this.#say(client);
        break;
      case 'serverSays':
        for (let count = 0; count < step.count; count++) server.say();
        break;
      case 'up':
        server.take(step.count);
        break;
      case 'down':
        this.line?.deliver(step.count);
        break;
      case 'acknowledge':
        server.acknowledge();
        break;
      case 'accept':
        if (this.line?.fresh) server.accept(this.line);
        break;
      case 'restart':
        server.restart();
        this.line?.end();
        break;
      case 'wait':
        clock.advance(step.ms);
        break;
      case 'cut':
        if (this.line === server.line) server.take(step.up);
        this.line?.deliver(step.down);
        if (step.serverKnows) server.line = undefined;
        this.line?.end();
    }
  }

  /** Ends the cuts: eventually everything has arrived. */
  settle(): void {
    const quiet = (): boolean =>
      this.client.state === 'open' &&
      this.line === this.server.line &&
      this.line?.up.length === 0 &&
      this.line.down.length === 0;
    for (let rounds = 0; rounds < 20; rounds++) {
      this.do({ kind: 'accept' });
      this.do({ kind: 'up', count: Infinity });
      this.do({ kind: 'acknowledge' });
      this.do({ kind: 'down', count: Infinity });
      if (quiet() && rounds > 3) return;
      this.do({ kind: 'wait', ms: 2_000 });
    }
    throw new Error(`never quiet: ${this.client.state}`);
  }

  #say(client: SignalingClient): void {
    const stay = this.stays.at(-1);
    if (stay) stay.said += 1;
    client.send({ type: 'broadcast', data: [stay?.number, stay?.said] });
  }

  #hear(message: ServerMessage): void {
    if (message.type === 'welcome') {
      this.stays.push({ number: Number(message.resume), said: 0, heard: 0 });
    } else if (message.type === 'resumed') {
      const again = this.line?.up.filter((text) => text.includes('"broadcast"')).length ?? 0;
      this.again = Math.max(this.again, again);
    } else if (message.type === 'broadcast') {
      const stay = this.stays.at(-1);
      if (stay) stay.heard += 1;
      expect(message.data, 'once, in order, of this stay').toEqual([stay?.number, stay?.heard]);
    }
  }
}

/** The client announces that it can resume, and then sends more than it keeps. */
const OVERFLOWN_WHILE_JOINING: Step[] = [
  { kind: 'accept' },
  { kind: 'cut', up: 1, down: 1, serverKnows: false },
  { kind: 'wait', ms: 500 },
  { kind: 'accept' },
  { kind: 'clientSays', count: KEEP_MESSAGES + 1 },
];

// Takes longer than the usual five seconds on a busy machine.
test('R53 wherever it is cut: once, in order, whole; and no more is kept than may be', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
      const run = new Run();
      for (const each of steps) run.do(each);
      run.settle();
      expect(run.problems).toEqual([]);
      const stay = run.server.stays.at(-1);
      expect(run.stays.at(-1)).toEqual({
        number: run.server.stays.length,
        said: stay?.heard,
        heard: stay?.said,
      });
      expect(run.again).toBeLessThanOrEqual(KEEP_MESSAGES);
      // A session ends only if the server has restarted, or if more messages were sent than are kept.
      const restarts = steps.filter(({ kind }) => kind === 'restart').length;
      const spoken = steps.reduce((sum, each) => sum + (each.kind === 'clientSays' ? each.count : 0), 0);
      if (restarts === 0 && spoken <= KEEP_MESSAGES) expect(run.stays).toHaveLength(1);

      // Messages that both sides have acknowledged are not kept.
      run.again = 0;
      run.do({ kind: 'cut', up: 0, down: 0, serverKnows: true });
      run.settle();
      expect([run.again, run.server.stays.at(-1)]).toEqual([0, stay]);
    }),
    { numRuns: 500, examples: [[OVERFLOWN_WHILE_JOINING]] },
  );
}, 60_000);
