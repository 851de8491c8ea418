import { beforeEach, expect, test } from 'vitest';
import type { Fetch } from './diagnosis';
import { checkPath } from './path';
import { FakeClock, settled } from './testing/clock';
import { ADA, types, welcome } from './testing/fixtures';
import { fakeMedia, FakeNetwork } from './testing/rtc';
import { FakeSockets } from './testing/socket';
import type { PathReport } from './types';

const TURN = { urls: ['turn:relay.example:3478'], username: 'u', credential: 'c' };

let clock: FakeClock;
let sockets: FakeSockets;
let network: FakeNetwork;
let answer: () => ReturnType<Fetch>;

beforeEach(() => {
  clock = new FakeClock();
  sockets = new FakeSockets();
  network = new FakeNetwork();
  answer = () => Promise.reject(new Error('refused'));
});

function tools(): Parameters<typeof checkPath>[0] {
  return {
    socketUrl: (room) => `wss://a.example/ws?room=${room}`,
    checkUrl: 'https://a.example/v1/check',
    connect: sockets.connect,
    fetch: () => answer(),
    media: fakeMedia(network),
    clock,
  };
}

function check(): Promise<PathReport> {
  return checkPath(tools());
}

test('it enters a room that nobody knows, and leaves it', async () => {
  const report = check();
  sockets.last.open();
  sockets.last.receive(welcome(ADA, { ice_servers: [{ urls: ['stun:relay.example'] }] }));
  expect(await report).toEqual({ state: 'ready', relay: 'none' });
  expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
  expect(sockets.last.url).toMatch(/room=check-.+/);
  expect([sockets.last.closed, clock.waits]).toEqual([true, []]);
});

test('R92 it brings an origin proof, and tells where the server does not accept it', async () => {
  const options = { ...tools(), proof: () => Promise.resolve('proof') };
  const report = checkPath(options);
  sockets.last.open();
  await settled();
  expect(sockets.last.sent).toEqual([{ type: 'join', name: 'path check', proof: 'proof' }]);
  sockets.last.receive({ type: 'error', code: 'origin_not_allowed', message: 'no', re: 'join' });
  expect(await report).toEqual({ state: 'failed', failure: { code: 'origin_refused' } });
  const late = checkPath({ ...tools(), proof: () => settled().then(() => 'proof') });
  sockets.last.open();
  sockets.last.end();
  expect(await late).toMatchObject({ state: 'failed' });
  await settled();
  expect(sockets.last.sent).toEqual([]);
});

test('a relay that gives a candidate is reached', async () => {
  const report = check();
  sockets.last.open();
  sockets.last.receive(welcome(ADA, { ice_servers: [{ urls: ['stun:relay.example'] }, TURN] }));
  expect(await report).toEqual({ state: 'ready', relay: 'reached' });
  expect(network.connections.map(({ configuration }) => configuration)).toEqual([
    { iceServers: [TURN], iceTransportPolicy: 'relay' },
  ]);
  expect([network.connections[0]?.signalingState, clock.waits]).toEqual(['closed', []]);
});

test('a relay that is silent is not', async () => {
  network.silent = true;
  const report = check();
  sockets.last.open();
  sockets.last.receive(welcome(ADA, { ice_servers: [TURN] }));
  await settled();
  clock.advance(8_000);
  expect(await report).toEqual({ state: 'ready', relay: 'unreachable' });
});

test('a server that lets nobody into such a room is reached, and its relay unknown', async () => {
  const report = check();
  sockets.last.open();
  sockets.last.receive({ type: 'error', code: 'join_first', message: 'no', re: 'join' });
  expect(await report).toEqual({ state: 'ready', relay: 'unknown' });
});

test('what is no message of the server is passed over', async () => {
  const report = check();
  sockets.last.open();
  sockets.last.receiveText('<html>');
  sockets.last.receive(welcome(ADA));
  expect(await report).toMatchObject({ state: 'ready' });
});

test.each(['closes', 'is silent'])('a socket that %s is told with its reason', async (how) => {
  const report = check();
  if (how === 'closes') sockets.last.end();
  else clock.advance(8_000);
  expect(await report).toMatchObject({ state: 'failed', failure: { code: 'server_unreachable' } });
  expect(clock.waits).toEqual([]);
});

test('a website is told to be the wrong address', async () => {
  answer = () => Promise.resolve(new Response('<html>'));
  const report = check();
  sockets.last.end();
  expect(await report).toMatchObject({ state: 'failed', failure: { code: 'wrong_address' } });
});

test('servers that take turns and share no rooms are apart', async () => {
  let asked = 0;
  answer = () =>
    Promise.resolve(
      Response.json({ code: 'SUCCESS', data: { instance: 'AB'[asked++ % 2], cluster: false } }),
    );
  const report = check();
  sockets.last.open();
  sockets.last.receive(welcome(ADA));
  expect(await report).toEqual({ state: 'apart' });
});
