import { beforeEach, describe, expect, test } from 'vitest';
import { Peer, refusal, type SignalData } from './peer';
import { MAX_CANDIDATES, MAX_PAIR } from './signalLimits';
import { FakeDataChannel } from './testing/channel';
import { FakeClock, settled } from './testing/clock';
import { ADA, GRACE } from './testing/fixtures';
import { fakeMedia, FakeNetwork } from './testing/rtc';

const SECONDS = 30;

let network: FakeNetwork;
let clock: FakeClock;
let sent: SignalData[];
let errors: unknown[];
/** Number of times that a changed request was applied. */
let receptions: number;

/** Creates a page that is flooded with signals. */
function victim(selfId: string, id: string): Peer {
  return new Peer({
    selfId,
    id,
    configuration: {},
    tracks: { mic: null, camera: null, screen: null, screenSound: null },
    media: fakeMedia(network),
    clock,
    send: (data) => sent.push(data),
    onLink: () => undefined,
    onFingerprints: () => undefined,
    onWanted: () => (receptions += 1),
    onChannel: () => undefined,
    onError: (error) => errors.push(error),
  });
}

/** Acts at a rate for half a minute. */
async function flood(perSecond: number, act: (at: number) => void): Promise<void> {
  for (let at = 0; at < SECONDS * perSecond; at++) {
    act(at);
    await settled();
    clock.advance(1_000 / perSecond);
  }
  await settled();
}

/** Returns the rate of descriptions that the page has sent. */
function descriptionsPerSecond(): number {
  const names = sent.map((data) => ('description' in data ? data.pair : undefined));
  return names.filter((pair) => pair !== undefined).length / SECONDS;
}

/** Creates an offer of another connection. */
async function offerFrom(pc: RTCPeerConnection): Promise<RTCSessionDescriptionInit> {
  for (const kind of ['audio', 'video', 'video', 'audio']) pc.addTransceiver(kind, { direction: 'sendrecv' });
  pc.createDataChannel('chat', { negotiated: true, id: 0 });
  await pc.setLocalDescription();
  await settled();
  return JSON.parse(JSON.stringify(pc.localDescription)) as RTCSessionDescriptionInit;
}

beforeEach(() => {
  network = new FakeNetwork();
  clock = new FakeClock();
  sent = [];
  errors = [];
  receptions = 0;
});

describe('offers a second stay few', () => {
  test('with a peer that answers each first offer with reset', async () => {
    const ada = victim(ADA, GRACE);
    // As fast as a server 50 ms away relays signals.
    await flood(20, () => {
      const last = sent.findLast((data) => 'description' in data);
      if (last) ada.handle({ pair: last.pair, reset: true });
    });
    expect(descriptionsPerSecond()).toBeLessThan(0.5);
    expect(errors).toEqual([]);
  });

  test('with a peer that sends first offers without end', async () => {
    const grace = victim(GRACE, ADA);
    const description = await offerFrom(network.newConnection() as unknown as RTCPeerConnection);
    await flood(8, (at) => {
      grace.handle({ pair: `pair-${String(at)}`, first: true, description });
    });
    expect(descriptionsPerSecond()).toBeLessThan(0.5);
    expect(errors).toEqual([]);
    // The last offer is answered eventually.
    clock.advance(20_000);
    await settled();
    expect(sent.findLast((data) => 'description' in data)?.pair).toBe(`pair-${String(SECONDS * 8 - 1)}`);
  });

  test('with a peer that offers again and again in one connection', async () => {
    const grace = victim(GRACE, ADA);
    const pc = network.newConnection() as unknown as RTCPeerConnection;
    const description = await offerFrom(pc);
    await flood(8, () => {
      grace.handle({ pair: 'x', first: true, description });
    });
    expect(descriptionsPerSecond()).toBeLessThan(1);
    expect(errors.map(String)).toEqual([expect.stringContaining('too many signals')]);
  });

  test('and so do answers to what belongs to no connection', async () => {
    const grace = victim(GRACE, ADA);
    await flood(100, (at) => {
      grace.handle({ pair: `pair-${String(at)}`, candidate: { candidate: '' } });
    });
    expect(sent.length / SECONDS).toBeLessThan(2);
  });
});

test('a peer that comes back a few times is answered at once', async () => {
  const grace = victim(GRACE, ADA);
  const description = await offerFrom(network.newConnection() as unknown as RTCPeerConnection);
  for (const pair of ['a', 'b', 'c', 'd']) {
    grace.handle({ pair, first: true, description });
    await settled();
  }
  const answered = sent.flatMap((data) => ('description' in data ? [data.pair] : []));
  expect(answered).toEqual(['a', 'b', 'c', 'd']);
});

describe('what one connection takes is bounded', () => {
  test('m-lines and candidates of a description', async () => {
    const grace = victim(GRACE, ADA);
    const { type, sdp = '' } = await offerFrom(network.newConnection() as unknown as RTCPeerConnection);
    for (const [at, line] of [
      'm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n',
      'a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n',
    ].entries()) {
      const description = { type, sdp: sdp + line.repeat(MAX_CANDIDATES + 1) };
      grace.handle({ pair: `pair-${String(at)}`, first: true, description });
      await settled();
    }
    expect(sent).toEqual([]);
    expect(errors).toHaveLength(2);
  });

  test('candidates, early ones too', async () => {
    const grace = victim(GRACE, ADA);
    const description = await offerFrom(network.newConnection() as unknown as RTCPeerConnection);
    grace.handle({ pair: 'x', first: true, description });
    await settled();
    const pc = network.connections.at(-1);
    const candidate = { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', sdpMid: '0' };
    let taken = 0;
    if (pc) {
      pc.addIceCandidate = (): Promise<void> => {
        taken += 1;
        return Promise.resolve();
      };
    }
    for (let at = 0; at < 1_000; at++) {
      grace.handle({ pair: 'x', candidate });
      if (at % 10 === 0) await settled();
    }
    await settled();
    expect(taken).toBe(MAX_CANDIDATES);

    const ada = victim(ADA, GRACE);
    await settled();
    const { pair = '' } = sent.findLast((data) => 'first' in data) ?? {};
    const early = network.connections.at(-1);
    for (let at = 0; at < 1_000; at++) ada.handle({ pair, candidate });
    await settled();
    if (early) early.addIceCandidate = (): Promise<void> => Promise.resolve(void (taken += 1));
    taken = 0;
    const answerer = new FakeNetwork().newConnection() as unknown as RTCPeerConnection;
    const { description: offer } = sent.findLast((data) => 'first' in data) as {
      description: RTCSessionDescriptionInit;
    };
    await answerer.setRemoteDescription(offer);
    await answerer.setLocalDescription();
    ada.handle({ pair, description: JSON.parse(JSON.stringify(answerer.localDescription)) as object });
    await settled();
    expect([taken, errors]).toEqual([MAX_CANDIDATES, []]);
  });
});

test('what the other side wants is applied a few times a second, and the last wish in the end', async () => {
  const grace = victim(GRACE, ADA);
  const description = await offerFrom(network.newConnection() as unknown as RTCPeerConnection);
  grace.handle({ pair: 'x', first: true, description });
  const wish = (receive: string): void => {
    grace.handle({ pair: 'x', receive });
  };
  for (const receive of ['less', 'no_camera', 'all', 'no_camera']) {
    wish(receive);
    expect(grace.wanted).toBe(receive);
  }
  await flood(20, (at) => {
    wish(at % 2 === 0 ? 'less' : 'all');
  });
  expect(receptions / SECONDS).toBeLessThan(1);
  wish('no_camera');
  clock.advance(10_000);
  expect(grace.wanted).toBe('no_camera');
  // Nothing carries over to the next connection.
  for (let at = 0; at < 40; at++) wish(at % 2 === 0 ? 'less' : 'all');
  wish('less');
  grace.handle({ pair: 'y', first: true, description });
  clock.advance(10_000);
  expect(grace.wanted).toBe('all');
});

test('data channels that the other side opens are closed', async () => {
  const grace = victim(GRACE, ADA);
  const description = await offerFrom(network.newConnection() as unknown as RTCPeerConnection);
  grace.handle({ pair: 'x', first: true, description });
  await settled();
  const pc = network.connections.at(-1);
  const foreign = Array.from({ length: 3 }, () => new FakeDataChannel());
  for (const channel of foreign) pc?.ondatachannel?.({ channel });
  expect(foreign.map(({ readyState }) => readyState)).toEqual(['closed', 'closed', 'closed']);
  expect(pc?.channels.map(({ readyState }) => readyState)).toEqual(['connecting']);
});

test('an id of a connection that is too long is not repeated', async () => {
  const grace = victim(GRACE, ADA);
  const candidate = { candidate: '', sdpMid: '0' };
  for (const [length, answers] of [
    [MAX_PAIR, 1],
    [MAX_PAIR + 1, 0],
  ] as const) {
    const signal = { pair: 'x'.repeat(length), candidate };
    sent = [];
    grace.handle(signal);
    await settled();
    expect([sent.length, refusal(signal) ? 1 : 0]).toEqual([answers, answers]);
  }
});
