/** Origin proofs (R92). */
import { beforeEach, describe, expect, test } from 'vitest';
import { addressOf } from './address';
import { fetchOriginProof } from './diagnosis';
import type { SignalingClient } from './signaling';
import { settled } from './testing/clock';
import { ADA, types, welcome } from './testing/fixtures';
import {
  begin,
  environment,
  meeting,
  prepare as prepareMeeting,
  sockets as meetingSockets,
} from './testing/meeting';
import { clientOf, clock, fail, nextTry, prepare, requests, sockets } from './testing/signaling';
import type { Failure } from './types';

const URL = 'https://a.example/signal-api/v1/origin-proof';
const REJECTED = { type: 'error', code: 'origin_not_allowed', message: 'no', re: 'join' } as const;

beforeEach(prepare);

describe('the client', () => {
  let client: SignalingClient;
  let answers: (() => Promise<string | undefined>)[];
  let refusals: Failure[];
  let troubles: (Failure | undefined)[];

  beforeEach(() => {
    answers = [];
    [refusals, troubles] = [[], []];
    client = clientOf({ proof: () => answers.shift()?.() ?? Promise.resolve(undefined) });
    client.events.on('refused', (failure) => refusals.push(failure));
    client.events.on('trouble', (trouble) => troubles.push(trouble));
  });

  test('sends the proof that came while the socket opened', async () => {
    answers = [() => Promise.resolve('one')];
    client.start();
    sockets.last.open();
    await settled();
    expect(sockets.last.sent).toEqual([{ type: 'join', name: 'Ada', state: { mic: false }, proof: 'one' }]);
  });

  test('waits for a proof that is later than the socket, and joins without one where there is none', async () => {
    let give: (proof: string | undefined) => void = () => undefined;
    answers = [() => new Promise((resolve) => (give = resolve))];
    client.start();
    sockets.last.open();
    await settled();
    expect(sockets.last.sent).toEqual([]);
    give(undefined);
    await settled();
    expect(sockets.last.sent).toEqual([{ type: 'join', name: 'Ada', state: { mic: false } }]);
  });

  test('fetches a new proof for each attempt', async () => {
    answers = ['one', 'two', 'three'].map((proof) => () => Promise.resolve(proof));
    client.start();
    await fail();
    for (const proof of ['two', 'three']) {
      nextTry();
      sockets.last.open();
      await settled();
      expect(sockets.last.sent).toMatchObject([{ proof }]);
      sockets.last.receive(welcome(ADA));
      sockets.last.end();
    }
  });

  test('a proof that comes after its socket has ended joins nothing', async () => {
    answers = [() => settled().then(() => 'late'), () => Promise.resolve('next')];
    client.start();
    const first = sockets.last;
    first.open();
    first.end();
    await settled();
    await settled();
    expect(first.sent).toEqual([]);
    nextTry();
    sockets.last.open();
    await settled();
    expect(sockets.last.sent).toMatchObject([{ proof: 'next' }]);
  });

  test('a rejected page says so, asks nobody why, and tries again soon with another proof', async () => {
    answers = ['old', 'new'].map((proof) => () => Promise.resolve(proof));
    client.start();
    sockets.last.open();
    await settled();
    sockets.last.receive(REJECTED);
    sockets.last.end(4012);
    await settled();
    expect(troubles).toEqual([{ code: 'origin_refused', detail: 'no' }]);
    expect([refusals, requests, client.state]).toEqual([[], [], 'connecting']);
    expect(nextTry()).toBeLessThan(10_000);
    sockets.last.open();
    await settled();
    expect(sockets.last.sent).toMatchObject([{ proof: 'new' }]);
    sockets.last.receive(welcome(ADA));
    expect([client.state, troubles.at(-1)]).toEqual(['open', undefined]);
  });

  test('a page that leaves before its proof came says goodbye and nothing else', async () => {
    answers = [() => settled().then(() => 'late')];
    client.start();
    sockets.last.open();
    client.leave();
    await settled();
    await settled();
    expect(types(sockets.last.sent)).toEqual(['leave']);
  });
});

describe('fetching', () => {
  const answered = (body: string, status = 200): ReturnType<typeof fetchOriginProof> =>
    fetchOriginProof(() => Promise.resolve(new Response(body, { status })), URL, clock);

  test('takes the proof out of its envelope', async () => {
    expect(await answered('{"code":"SUCCESS","data":{"proof":"p","expires_in_seconds":120}}')).toBe('p');
  });

  test.each([
    ['an older server', '{"code":"NOT_FOUND","message":"no"}', 404],
    ['a web page', '<!doctype html>', 200],
    ['another program', '{"code":"SUCCESS","data":{"proof":7}}', 200],
    ['a server that refuses', '{"code":"ORIGIN_NOT_ALLOWED","message":"no"}', 403],
  ])('there is none from %s', async (_, body, status) => {
    expect(await answered(body, status)).toBeUndefined();
  });

  test('is given up before the server gives the socket up', async () => {
    const proof = fetchOriginProof(
      (_, { method, signal }) =>
        new Promise((__, reject) => {
          expect(method).toBe('GET');
          signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
        }),
      URL,
      clock,
    );
    clock.advance(4_000);
    expect(await proof).toBeUndefined();
    expect(clock.waits).toEqual([]);
  });
});

test('a meeting fetches its proof from its own server', async () => {
  prepareMeeting();
  const asked: string[] = [];
  const fetch = (url: string): Promise<Response> => {
    asked.push(url);
    return Promise.resolve(new Response('{"code":"SUCCESS","data":{"proof":"p"}}'));
  };
  const address = addressOf('https://a.example/meet/r/standup', '../');
  begin({ address, environment: { ...environment, fetch } });
  meeting.join('Ada');
  meetingSockets.last.open();
  await settled();
  expect(asked).toEqual(['https://a.example/meet/signal-api/v1/origin-proof']);
  expect(meetingSockets.last.sent).toMatchObject([{ type: 'join', proof: 'p' }]);
});
