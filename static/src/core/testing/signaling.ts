/** A signaling client with fakes, created again before each test. */
import type { ServerMessage } from '../../protocol/messages';
import { SignalingClient, type SignalingOptions } from '../signaling';
import type { Failure, SignalingState } from '../types';
import { FakeClock, settled } from './clock';
import { ADA, welcome } from './fixtures';
import { FakeSockets } from './socket';

/** Conditions that a test may change. */
export const given = {
  /** HTTP response body; an error if there is no response. */
  http: new Error('refused') as string | Error,
  status: 200,
  retryAfter: {} as Record<string, string>,
  /** Announced state of the microphone. */
  mic: false,
};

export let clock: FakeClock;
export let sockets: FakeSockets;
export let requests: string[];
export let posts: [url: string, text: string][];
export let client: SignalingClient;
export let states: SignalingState[];
export let troubles: (string | undefined)[];
export let waited: (number | undefined)[];
export let refusals: Failure[];
export let problems: unknown[];
export let messages: ServerMessage[];

/** Setup of each test: `beforeEach(prepare)`. */
export function prepare(): void {
  clock = new FakeClock();
  sockets = new FakeSockets();
  Object.assign(given, { http: new Error('refused'), status: 200, retryAfter: {}, mic: false });
  [requests, states, troubles, refusals, problems, messages] = [[], [], [], [], [], []];
  posts = [];
  client = clientOf({});
  client.events.on('state', (state) => states.push(state));
  waited = [];
  client.events.on('trouble', (trouble) => {
    troubles.push(trouble?.code);
    waited.push(trouble?.retryMs);
  });
  client.events.on('refused', (failure) => refusals.push(failure));
  client.events.on('problem', (problem) => problems.push(problem));
  client.events.on('message', (message) => messages.push(message));
}

/** Creates a client, replacing some of the fakes. */
export function clientOf(changes: Partial<SignalingOptions>): SignalingClient {
  return new SignalingClient({
    url: 'wss://a.example/signal-api/ws?room=x',
    checkUrl: 'https://a.example/signal-api/v1/check',
    leaveUrl: 'https://a.example/signal-api/v1/leave',
    room: 'x',
    post: (url, text) => posts.push([url, text]),
    connect: sockets.connect,
    fetch: (url, { method }) => {
      requests.push(`${method} ${url}`);
      return typeof given.http === 'string'
        ? Promise.resolve(new Response(given.http, { status: given.status, headers: given.retryAfter }))
        : Promise.reject(given.http);
    },
    clock,
    hello: () => ({ name: 'Ada', state: { mic: given.mic } }),
    ...changes,
  });
}

export function enter(resume = 'secret'): void {
  sockets.last.open();
  sockets.last.receive(welcome(ADA, { resume }));
}

export async function fail(): Promise<void> {
  sockets.last.end();
  await settled();
}

export function nextTry(): number {
  const wait = clock.waits[0] ?? NaN;
  clock.advance(wait);
  return wait;
}
