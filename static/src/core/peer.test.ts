import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { LocalTracks } from './connection';
import { Peer, type SignalData } from './peer';
import { FakeClock, settled } from './testing/clock';
import { ADA, GRACE } from './testing/fixtures';
import { FakeCertificate, fakeMedia, FakeNetwork, FakeTrack } from './testing/rtc';

const SILENT: LocalTracks = { mic: null, camera: null, screen: null, screenSound: null };

let network: FakeNetwork;
let clock: FakeClock;
let errors: unknown[];
/** Ada is the offerer. Undelivered signals of each side. */
let ada: Peer;
let grace: Peer;
let fromAda: SignalData[];
let fromGrace: SignalData[];

function newPeer(selfId: string, id: string, out: SignalData[], tracks = SILENT): Peer {
  return new Peer({
    selfId,
    id,
    configuration: {},
    tracks,
    media: fakeMedia(network),
    clock,
    send: (data) => out.push(data),
    onLink: () => undefined,
    onFingerprints: () => undefined,
    onChannel: () => undefined,
    onError: (error) => errors.push(error),
  });
}

/** Delivers signals as the server does, through JSON, until both sides have no more. */
async function talk(): Promise<void> {
  await settled();
  while (fromAda.length + fromGrace.length > 0) {
    for (const data of fromAda.splice(0)) grace.handle(JSON.parse(JSON.stringify(data)));
    for (const data of fromGrace.splice(0)) ada.handle(JSON.parse(JSON.stringify(data)));
    await settled();
  }
}

function expectConnected(): void {
  expect([ada.link, grace.link]).toEqual(['connected', 'connected']);
  expect(errors).toEqual([]);
}

function track(kind: string): MediaStreamTrack {
  return new FakeTrack(kind) as unknown as MediaStreamTrack;
}

let checks = 0;

/** Lets one more ICE check of Ada's current connection be answered, according to her page's statistics. */
async function answerCheck(): Promise<void> {
  checks += 1;
  const pc = network.connections.findLast(({ offers }) => offers > 0);
  if (pc) pc.stats = new Map([['pair', { type: 'candidate-pair', responsesReceived: checks }]]);
  await ada.stats();
}

beforeEach(() => {
  network = new FakeNetwork();
  clock = new FakeClock();
  errors = [];
  fromAda = [];
  fromGrace = [];
  ada = newPeer(ADA, GRACE, fromAda);
  grace = newPeer(GRACE, ADA, fromGrace);
});

describe('layout', () => {
  test('the smaller id offers four lines in their order, the other adds none', async () => {
    await talk();
    expectConnected();
    expect(network.connections).toHaveLength(2);
    for (const { transceivers, offers } of network.connections) {
      expect(transceivers.map(({ receiver }) => receiver.track.kind)).toEqual([
        'audio',
        'video',
        'video',
        'audio',
      ]);
      expect(transceivers.map(({ direction }) => direction)).toEqual(Array(4).fill('sendrecv'));
      expect(offers).toBeLessThanOrEqual(1);
    }
  });

  test('each side makes the same data channel, and it opens without an offer of its own', async () => {
    await talk();
    for (const { channels, offers } of network.connections) {
      expect(channels.map(({ options, readyState }) => [options, readyState])).toEqual([
        [{ negotiated: true, id: 0, ordered: true }, 'open'],
      ]);
      expect(offers).toBeLessThanOrEqual(1);
    }
  });

  test('microphone and camera come in one stream, the screen in another', async () => {
    await talk();
    for (const person of [ada, grace]) {
      expect(person.stream.getTracks().map(({ kind }) => kind)).toEqual(['audio', 'video']);
      expect(person.screen.getTracks().map(({ kind }) => kind)).toEqual(['video', 'audio']);
    }
  });

  test('tracks that were on before, and tracks that change, need no renegotiation', async () => {
    const [mic, camera] = [track('audio'), track('video')];
    grace.setTracks({ ...SILENT, mic });
    await talk();
    const senders = (index: number): unknown[] =>
      (network.connections[index]?.transceivers ?? []).map(({ sender }) => sender.track);
    expect(senders(1)).toEqual([mic, null, null, null]);
    grace.setTracks({ ...SILENT, mic, camera });
    ada.setTracks({ ...SILENT, camera });
    await settled();
    expect(senders(1)).toEqual([mic, camera, null, null]);
    expect(senders(0)).toEqual([null, camera, null, null]);
    expect([fromAda, fromGrace]).toEqual([[], []]);
  });
});

describe('pairs', () => {
  test('a first offer with a new pair replaces the connection, in the same stream', async () => {
    await talk();
    const stream = grace.stream;
    const [old] = stream.getTracks();
    ada.close();
    ada = newPeer(ADA, GRACE, fromAda);
    await talk();
    expectConnected();
    expect(network.connections[1]?.signalingState).toBe('closed');
    expect(grace.stream).toBe(stream);
    expect(stream.getTracks()).toHaveLength(2);
    expect(stream.getTracks()).not.toContain(old);
  });

  test('a polite side that forgot its connection asks for a new one, once', async () => {
    await talk();
    grace.close();
    grace = newPeer(GRACE, ADA, fromGrace);
    ada.restart();
    await talk();
    expectConnected();
    expect(network.connections).toHaveLength(4);
  });

  test('a first offer whose answer was lost is as good as new', async () => {
    await settled();
    for (const data of fromAda.splice(0)) grace.handle(data);
    await settled();
    fromGrace.length = 0;
    grace.close();
    grace = newPeer(GRACE, ADA, fromGrace);
    ada.recheck();
    await talk();
    expectConnected();
    expect(network.connections).toHaveLength(3);
  });

  test('what belongs to an older pair is ignored by the offerer', async () => {
    await talk();
    const description = network.connections[1]?.localDescription;
    for (const pair of ['older', 'pair-0']) {
      ada.handle({ pair, reset: true });
      ada.handle({ pair, description });
      ada.handle({ pair, candidate: { candidate: 'x' } });
    }
    await talk();
    expectConnected();
    expect(network.connections).toHaveLength(2);
  });

  test('data of another program is an error and nothing else', async () => {
    await talk();
    const strange = [
      null,
      7,
      'x',
      [],
      {},
      { pair: 1 },
      { pair: 'x' },
      { pair: 'x', reset: 1 },
      { pair: 'x', candidate: 'y' },
    ];
    for (const data of strange) grace.handle(data);
    expect(errors).toHaveLength(strange.length);
    expect(fromGrace).toEqual([]);
    expect(grace.link).toBe('connected');
  });
});

describe('link', () => {
  test('interrupted, then no path after the second failure, then well again', async () => {
    await talk();
    network.setUp(false);
    expect(ada.link).toBe('interrupted');
    const pc = network.connections[0];
    pc?.enter('failed');
    expect(ada.link).toBe('interrupted');
    pc?.enter('disconnected');
    pc?.enter('failed');
    expect(ada.link).toBe('failed');
    network.setUp(true);
    await talk();
    expectConnected();
  });

  test('a connection that is replaced is not connected until the new one is', async () => {
    await talk();
    ada.close();
    ada = newPeer(ADA, GRACE, fromAda);
    await settled();
    for (const data of fromAda.splice(0)) grace.handle(data);
    expect(grace.link).toBe('interrupted');
    await talk();
    expectConnected();
  });

  test('who never answers is offered a second connection after 20 s, and then is slow', async () => {
    await settled();
    const pairs = (): Set<string> => new Set(fromAda.map(({ pair }) => pair));
    clock.advance(19_999);
    await settled();
    expect([ada.link, pairs().size]).toEqual(['connecting', 1]);
    clock.advance(1);
    await settled();
    expect([ada.link, pairs().size]).toEqual(['connecting', 2]);
    clock.advance(20_000);
    await settled();
    expect([ada.link, grace.link, pairs().size, clock.waits]).toEqual(['slow', 'slow', 2, []]);
    // A late connection still succeeds.
    await talk();
    expectConnected();
  });

  test('there is no path if both answer and no check is answered, twice', async () => {
    network.setUp(false);
    await talk();
    clock.advance(20_000);
    await talk();
    expect([ada.link, grace.link]).toEqual(['connecting', 'connecting']);
    clock.advance(20_000);
    expect([ada.link, grace.link, clock.waits]).toEqual(['failed', 'failed', []]);
    network.setUp(true);
    expectConnected();
  });

  test('the time limit counts from the last description: a late answer does not replace the connection', async () => {
    await settled();
    clock.advance(19_000);
    network.setUp(false);
    await talk();
    clock.advance(19_000);
    await talk();
    network.setUp(true);
    expectConnected();
    expect(network.connections).toHaveLength(2);
  });

  test('whose checks are answered is slow and not unreachable', async () => {
    network.setUp(false);
    await talk();
    clock.advance(20_000);
    await talk();
    await answerCheck();
    clock.advance(20_000);
    expect(ada.link).toBe('slow');
  });

  test('an answered check takes back that there is no path', async () => {
    network.setUp(false);
    await talk();
    clock.advance(20_000);
    await talk();
    clock.advance(20_000);
    expect(ada.link).toBe('failed');
    await answerCheck();
    expect(ada.link).toBe('slow');
  });

  test('an ICE failure counts only if no check was answered since the last one', async () => {
    await talk();
    await answerCheck();
    network.setUp(false);
    for (let times = 0; times < 3; times++) {
      await answerCheck();
      network.connections[0]?.enter('failed');
      network.connections[0]?.enter('disconnected');
    }
    expect(ada.link).toBe('interrupted');
    for (let times = 0; times < 2; times++) {
      network.connections[0]?.enter('failed');
      network.connections[0]?.enter('disconnected');
    }
    expect(ada.link).toBe('failed');
  });

  test('DTLS that fails while ICE works gets a new connection', async () => {
    await settled();
    for (const data of fromAda.splice(0)) grace.handle(data);
    await settled();
    const broken = network.connections.slice(0, 2);
    for (const pc of broken) {
      pc.enter = (): void => {
        pc.connectionState = 'failed';
        pc.iceConnectionState = 'connected';
        pc.onconnectionstatechange?.();
        pc.enter = (): void => undefined;
      };
    }
    await talk();
    expect([ada.link, grace.link]).toEqual(['connecting', 'connecting']);
    clock.advance(20_000);
    await talk();
    expectConnected();
    expect(clock.waits).toEqual([]);
  });

  test('a polite side that does not get connected asks for another connection', async () => {
    await settled();
    const pair = fromAda[0]?.pair;
    for (const data of fromAda.splice(0)) grace.handle(data);
    clock.advance(20_000);
    expect(fromGrace).toContainEqual({ pair, reset: true });
  });

  test('a browser that gives no connection is a failed link, not an exception', () => {
    const media = {
      ...fakeMedia(network),
      newPeerConnection: () => {
        throw new Error('too many');
      },
    };
    const peer = new Peer({
      selfId: ADA,
      id: GRACE,
      configuration: {},
      tracks: SILENT,
      media,
      clock,
      send: () => undefined,
      onLink: () => undefined,
      onFingerprints: () => undefined,
      onChannel: () => undefined,
      onError: (error) => errors.push(error),
    });
    expect([peer.link, errors.length]).toEqual(['failed', 1]);
  });
});

test('whoever rests is not connected, and begins again as at first', async () => {
  await talk();
  expectConnected();
  for (const peer of [ada, grace]) peer.setResting(true);
  expect([ada.link, grace.link]).toEqual(['connecting', 'connecting']);
  for (const peer of [ada, grace]) peer.setResting(false);
  expect([ada.link, grace.link]).toEqual(['connecting', 'connecting']);
  await talk();
  expectConnected();
});

describe('certificates', () => {
  const identified = (): Promise<void> =>
    vi.waitFor(() => {
      expect(ada.fingerprints).toBeDefined();
      expect(grace.fingerprints).toBe(ada.fingerprints);
    });

  test('both ends have the fingerprints of the certificates that DTLS has verified', async () => {
    expect(ada.fingerprints).toBeUndefined();
    await talk();
    await identified();
    const certificates = network.connections.map(({ certificate }) => certificate.fingerprint);
    expect(ada.fingerprints).toBe(certificates.sort().join('\n'));
  });

  test('a transport whose state was reset to an older one does not hide them', async () => {
    await talk();
    await identified();
    const [pc] = network.connections;
    if (pc) pc.transport.state = 'connecting';
    pc?.onconnectionstatechange?.();
    await new Promise(setImmediate);
    expect(ada.fingerprints).toBe(grace.fingerprints);
  });

  test('there are none while DTLS connects again, and then those of the new other end', async () => {
    await talk();
    await identified();
    const transport = network.connections[0]?.transport;
    transport?.enter(undefined);
    expect(ada.fingerprints).toBeUndefined();
    const eve = new FakeCertificate('Eve');
    transport?.enter(eve);
    await vi.waitFor(() => {
      expect(ada.fingerprints).toContain(eve.fingerprint);
    });
  });

  test('a new connection has none until it is connected', async () => {
    const pair = fromAda[0]?.pair ?? '';
    await talk();
    await identified();
    ada.handle({ pair, reset: true });
    expect(ada.fingerprints).toBeUndefined();
    await talk();
    await identified();
  });
});
