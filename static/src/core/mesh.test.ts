import { beforeEach, describe, expect, test } from 'vitest';
import type { LeaveReason, Peer as Entry } from '../protocol/messages';
import { Mesh } from './mesh';
import { FakeClock, settled } from './testing/clock';
import { ADA, GRACE, peer, roster, welcome, ZOE } from './testing/fixtures';
import { fakeMedia, FakeNetwork, FakeTrack } from './testing/rtc';
import { chromiumStats } from './testing/stats';

/** One page, and the signals queued at its socket. */
interface Page {
  readonly id: string;
  readonly mesh: Mesh;
  online: boolean;
}

let network: FakeNetwork;
let clock: FakeClock;
let errors: unknown[];
let pages: Map<string, Page>;
let wire: { from: string; to: string; data: unknown }[];

function page(id: string): Page {
  const made: Page = {
    id,
    online: true,
    mesh: new Mesh({
      media: fakeMedia(network),
      clock,
      send: (to, data) => {
        if (made.online) wire.push({ from: made.id, to, data });
      },
      onChannel: () => undefined,
      onChange: () => undefined,
      onError: (error) => errors.push(error),
    }),
  };
  pages.set(id, made);
  return made;
}

function enter(at: Page, others: Entry[], resumed = false): void {
  at.online = true;
  at.mesh.start(at.id, []);
  at.mesh.reconcile(others, welcome(at.id, { peers: others, resumed }));
}

function joined(at: Page, others: Entry[]): void {
  const last = others.at(-1) ?? peer('nobody');
  at.mesh.reconcile(others, { type: 'peer_joined', version: 1, peer: last });
}

function left(at: Page, id: string, reason: LeaveReason, others: Entry[] = []): void {
  at.mesh.reconcile(others, { type: 'peer_left', version: 1, id, reason });
}

async function talk(): Promise<void> {
  await settled();
  while (wire.length > 0) {
    for (const { from, to, data } of wire.splice(0)) {
      const page = pages.get(to);
      if (page?.online) page.mesh.handle(from, data);
    }
    await settled();
  }
}

function shown(at: Page): string[] {
  return at.mesh.members.map(
    ({ entry, away, peer: { link } }) => `${entry.name} ${link}${away ? ' away' : ''}`,
  );
}

let ada: Page;
let grace: Page;

beforeEach(async () => {
  network = new FakeNetwork();
  clock = new FakeClock();
  errors = [];
  pages = new Map();
  wire = [];
  ada = page(ADA);
  grace = page(GRACE);
  enter(grace, []);
  joined(grace, [peer(ADA)]);
  enter(ada, [peer(GRACE)]);
  await talk();
});

test('whoever is in the roster has a connection, three in a full mesh', async () => {
  const zoe = page(ZOE);
  joined(ada, [peer(GRACE), peer(ZOE)]);
  joined(grace, [peer(ADA), peer(ZOE)]);
  enter(zoe, [peer(GRACE), peer(ADA)]);
  await talk();
  expect(shown(ada)).toEqual(['Gra connected', 'Zoe connected']);
  expect(shown(grace)).toEqual(['Ada connected', 'Zoe connected']);
  expect(shown(zoe)).toEqual(['Gra connected', 'Ada connected']);
  expect(network.connections).toHaveLength(6);
  expect(errors).toEqual([]);
});

describe('leaving', () => {
  test('who says leave is gone at once', () => {
    left(grace, ADA, 'left');
    expect(shown(grace)).toEqual([]);
    expect(network.connections[1]?.signalingState).toBe('closed');
  });

  test.each(['removed', 'closed', 'timeout'] as const)(
    'R52 who has had its time to come back is gone: %s',
    (reason) => {
      left(grace, ADA, reason);
      expect(shown(grace)).toEqual([]);
    },
  );

  test('R16 who may be back as the same stays while media flows, for 20 s', () => {
    for (const reason of ['slow_consumer', 'protocol_error'] as const) {
      left(grace, ADA, reason);
    }
    expect(shown(grace)).toEqual(['Ada connected away']);
    clock.advance(19_999);
    expect(shown(grace)).toEqual(['Ada connected away']);
    clock.advance(1);
    expect(shown(grace)).toEqual([]);
  });

  test('who is away is gone soon after the media', () => {
    left(grace, ADA, 'slow_consumer');
    ada.mesh.close();
    expect(shown(grace)).toEqual(['Ada interrupted away']);
    clock.advance(4_000);
    expect(shown(grace)).toEqual([]);
  });

  test('media that recovers while away keeps its 20 s, not more', () => {
    left(grace, ADA, 'slow_consumer');
    clock.advance(10_000);
    network.setUp(false);
    clock.advance(1_000);
    network.setUp(true);
    clock.advance(8_999);
    expect(shown(grace)).toEqual(['Ada connected away']);
    clock.advance(1);
    expect(shown(grace)).toEqual([]);
  });
});

describe('R52 a lost link', () => {
  const link = (state: 'lost' | 'ok'): void => {
    const cause = { type: 'link', version: 0, id: ADA, link: state } as const;
    grace.mesh.reconcile([{ ...peer(ADA), link: state }], cause);
  };

  test('is no departure: what is said waits in the server, and nothing is negotiated anew', async () => {
    const [one, other] = network.connections;
    link('lost');
    expect(shown(grace)).toEqual(['Ada connected']);
    grace.mesh.restart();
    await settled();
    expect(wire).not.toEqual([]);
    await talk();
    clock.advance(60_000);
    link('ok');
    await talk();
    expect(network.connections).toEqual([one, other]);
    expect(one?.offers).toBe(1);
    expect(errors).toEqual([]);
  });
});

describe('coming back', () => {
  test('R11 with the same id, media did not notice', async () => {
    const [one, other] = network.connections;
    ada.online = false;
    left(grace, ADA, 'slow_consumer');
    clock.advance(5_000);
    joined(grace, [peer(ADA)]);
    enter(ada, [peer(GRACE)], true);
    await talk();
    expect(shown(grace)).toEqual(['Ada connected']);
    expect(network.connections).toEqual([one, other]);
    expect([one?.offers, other?.offers]).toEqual([1, 0]);
    // Only the measurement timers remain.
    expect(clock.waits).toEqual([1_000, 1_000]);
  });

  test('R12 superseded with broken media: the same connection finds a new path', async () => {
    ada.online = false;
    network.setUp(false);
    clock.advance(4_000);
    await talk();
    left(grace, ADA, 'superseded');
    expect(wire).toEqual([]);
    grace.mesh.restart();
    await settled();
    expect(wire).toEqual([]);
    joined(grace, [peer(ADA)]);
    enter(ada, [peer(GRACE)], true);
    network.setUp(true);
    await talk();
    expect(shown(grace)).toEqual(['Ada connected']);
    expect(shown(ada)).toEqual(['Gra connected']);
    expect(network.connections).toHaveLength(2);
    expect(errors).toEqual([]);
  });

  test('an offer that was lost with the socket is made up for', async () => {
    const zoe = page(ZOE);
    ada.online = false;
    joined(ada, [peer(GRACE), peer(ZOE)]);
    enter(zoe, [peer(GRACE), peer(ADA)]);
    joined(grace, [peer(ADA), peer(ZOE)]);
    await talk();
    expect(shown(zoe)).toEqual(['Gra connected', 'Ada connecting']);
    enter(ada, [peer(GRACE), peer(ZOE)], true);
    await talk();
    expect(shown(zoe)).toEqual(['Gra connected', 'Ada connected']);
  });

  test('a fresh id makes every connection anew', async () => {
    const fresh = 'AdaAdaAdaAdaAdaAda-9';
    left(grace, ADA, 'slow_consumer');
    const again = page(fresh);
    ada.mesh.start(fresh, []);
    expect(network.connections[0]?.signalingState).toBe('closed');
    joined(grace, [peer(fresh)]);
    enter(again, [peer(GRACE)]);
    await talk();
    expect(shown(grace)).toEqual(['Ada interrupted away', 'Ada connected']);
    clock.advance(4_000);
    expect(shown(grace)).toEqual(['Ada connected']);
  });

  test('who was forgotten here, but not there, is connected anew', async () => {
    left(grace, ADA, 'slow_consumer');
    clock.advance(20_000);
    joined(grace, [peer(ADA)]);
    enter(ada, [peer(GRACE)], true);
    await talk();
    expect(shown(grace)).toEqual(['Ada connected']);
    expect(shown(ada)).toEqual(['Gra connected']);
  });

  test('R73 fresh TURN credentials are for links that stand and for those to come', () => {
    const relay = { urls: ['turn:a.example'], username: 'u', credential: 'new' };
    const made = (): number =>
      network.connections.filter(({ configuration }) => configuration.iceServers?.[0] === relay).length;
    ada.mesh.setIceServers([relay]);
    expect(made()).toBe(1);
    expect(shown(ada)).toEqual(['Gra connected']);
    joined(ada, [peer(GRACE), peer(ZOE)]);
    expect(made()).toBe(2);
  });

  test('TURN credentials are renewed by each welcome', () => {
    const relay = { urls: ['turn:a.example'], username: 'u', credential: 'new' };
    ada.mesh.start(ADA, [relay]);
    expect(network.connections.some(({ configuration }) => configuration.iceServers?.[0] === relay)).toBe(
      true,
    );
  });
});

test('someone whose peer_joined was missed is heard in the end', async () => {
  const zoe = page(ZOE);
  enter(zoe, [peer(ADA)]);
  zoe.mesh.reconcile([], roster(1));
  clock.advance(2_000);
  joined(ada, [peer(GRACE), peer(ZOE)]);
  await settled();
  for (const { data } of wire.splice(0)) zoe.mesh.handle(ADA, data);
  zoe.mesh.reconcile([peer(ADA)], roster(2, [peer(ADA)]));
  await talk();
  expect(shown(zoe)).toEqual(['Ada connected']);
});

test('a defect in one peer disturbs no other', async () => {
  const zoe = page(ZOE);
  joined(ada, [peer(GRACE), peer(ZOE)]);
  enter(zoe, [peer(ADA)]);
  await talk();
  const broken = network.connections[0];
  if (broken) {
    broken.setConfiguration = () => {
      throw new Error('defect');
    };
  }
  ada.mesh.start(ADA, [{ urls: ['stun:a.example'] }]);
  ada.mesh.handle(GRACE, 'nonsense');
  expect(errors).toHaveLength(2);
  expect(shown(ada)).toEqual(['Gra connected', 'Zoe connected']);
  expect(network.connections.filter(({ configuration }) => configuration.iceServers?.length).length).toBe(1);
});

describe('measuring and adapting', () => {
  /** Lets this many measurements pass. */
  async function measure(times: number): Promise<void> {
    for (let time = 0; time < times; time++) {
      clock.advance(2_000);
      await settled();
    }
  }
  const cameraBitrate = (index: number): number | undefined =>
    network.connections[index]?.transceivers[1]?.sender.encodings[0]?.maxBitrate;

  test('bars and statistics come from what the browser counts', async () => {
    const pc = network.connections[0];
    for (const [time, lost] of [10, 30, 50, 70].entries()) {
      if (pc) pc.stats = chromiumStats({ bytes: 100_000 * time, packets: 100 * time, lost });
      await measure(1);
    }
    expect(ada.mesh.members[0]?.quality).toEqual({ bars: 1, reason: 'loss' });
    const [link] = ada.mesh.statistics;
    expect([link?.id, link?.name, link?.samples.length]).toEqual([GRACE, 'Gra', 4]);
    expect(link?.samples[1]?.received).toMatchObject({ kbps: 440, lossPercent: 16.7 });
    expect(grace.mesh.members[0]?.quality).toEqual({ bars: 3 });
  });

  test('states of others do not make the page query its senders', () => {
    let looks = 0;
    for (const { sender } of network.connections.flatMap(({ transceivers }) => transceivers)) {
      const { getParameters } = sender;
      sender.getParameters = () => {
        looks += 1;
        return getParameters();
      };
    }
    for (let version = 2; version < 50; version++) {
      const entry = peer(GRACE, { hand: version % 2 === 0 });
      ada.mesh.reconcile([entry], { type: 'state', version, id: GRACE, state: entry.state });
    }
    expect(looks).toBe(0);
    joined(ada, [peer(GRACE), peer(ZOE)]);
    expect(looks).toBeGreaterThan(0);
  });

  test('a link that breaks has no bars, and one measurement that fails breaks nothing', async () => {
    const pc = network.connections[0];
    if (pc) pc.getStats = () => Promise.reject(new Error('closed'));
    await measure(1);
    expect(errors.splice(0)).toHaveLength(1);
    if (pc) pc.getStats = () => Promise.resolve(new Map());
    network.setUp(false);
    await measure(1);
    expect(ada.mesh.members[0]?.quality).toEqual({ bars: 0, reason: 'no_connection' });
  });

  test('three minutes are kept, and those of people who left are not', async () => {
    await measure(100);
    expect(ada.mesh.statistics[0]?.samples).toHaveLength(90);
    left(ada, GRACE, 'left');
    await measure(1);
    expect(ada.mesh.statistics).toEqual([]);
    grace.mesh.close();
    expect(clock.waits).toEqual([]);
  });

  test('each copy shrinks as people come, grows as they leave, and is set once', async () => {
    expect(cameraBitrate(0)).toBe(1_500_000);
    const zoe = page(ZOE);
    joined(ada, [peer(GRACE), peer(ZOE)]);
    joined(grace, [peer(ADA), peer(ZOE)]);
    enter(zoe, [peer(ADA), peer(GRACE)]);
    await talk();
    for (let other = 3; other < 8; other++)
      joined(ada, ada.mesh.members.map(({ entry }) => entry).concat(peer(`x${other}`)));
    await settled();
    expect(cameraBitrate(0)).toBe(410_000);
    const changes = network.connections[0]?.transceivers[1]?.sender.changes;
    await measure(3);
    expect(network.connections[0]?.transceivers[1]?.sender.changes).toBe(changes);
    left(ada, ZOE, 'left', [peer(GRACE)]);
    for (let other = 3; other < 8; other++) left(ada, `x${other}`, 'left', [peer(GRACE)]);
    await measure(13);
    expect(cameraBitrate(0)).toBe(1_500_000);
  });

  test('a narrow way to one person shrinks the picture for that person', async () => {
    const pc = network.connections[0];
    if (pc) pc.stats = chromiumStats({ available: 300_000 });
    await measure(3);
    expect(cameraBitrate(0)).toBe(1_500_000);
    await measure(1);
    expect(cameraBitrate(0)).toBe(230_000);
    expect(pc?.transceivers[0]?.sender.encodings[0]).toEqual({ maxBitrate: 40_000, priority: 'high' });
    expect(cameraBitrate(1)).toBe(1_500_000);
  });
});

test('R42 two listeners have no connection until one of them may speak', async () => {
  const [host, listener] = [peer(GRACE, {}, 'host'), peer(ZOE, {}, 'listener')];
  const alan = page('AlanAlanAlanAlanAln4');
  alan.mesh.start(alan.id, []);
  alan.mesh.reconcile([host, listener], welcome(alan.id), 'listener');
  expect(alan.mesh.members.map(({ entry: { id } }) => id)).toEqual([GRACE, ZOE]);
  await settled();
  expect(new Set(wire.splice(0).map(({ to }) => to))).toEqual(new Set([GRACE]));
  const role = { type: 'role', version: 2, id: ZOE, role: 'participant' } as const;
  alan.mesh.reconcile([host, peer(ZOE)], role, 'listener');
  await settled();
  expect(new Set(wire.splice(0).map(({ to }) => to))).toEqual(new Set([ZOE]));
  alan.mesh.reconcile([host, listener], { ...role, role: 'listener' }, 'listener');
  expect(network.connections.at(-1)?.signalingState).toBe('closed');
});

test('R44 what a state says is off is not played, whatever arrives', async () => {
  const playing = (): boolean[] =>
    [...(ada.mesh.members[0]?.peer.stream.getTracks() ?? [])].map(({ enabled }) => enabled);
  joined(ada, [peer(GRACE, { mic: true })]);
  enter(grace, [peer(ADA)]);
  await talk();
  expect(playing()).toEqual([true, false]);
  joined(ada, [peer(GRACE, { mic: false, camera: true })]);
  expect(playing()).toEqual([false, true]);
  joined(ada, [peer(GRACE, { mic: true, camera: true }, 'listener')]);
  expect(playing()).toEqual([false, false]);
});

describe('what people choose to receive', () => {
  const [mic, camera, screen] = ['audio', 'video', 'video'].map(
    (kind) => new FakeTrack(kind),
  ) as unknown as MediaStreamTrack[];
  const tracks = { mic: mic ?? null, camera: camera ?? null, screen: screen ?? null, screenSound: null };
  const sent = (index: number): unknown[] =>
    network.connections[index]?.transceivers.map(({ sender }) => sender.track) ?? [];
  const receives = (): unknown[] =>
    wire.flatMap(({ from, data }) => (isReceive(data) ? [[from, data.receive]] : []));
  const isReceive = (data: unknown): data is { receive: string } =>
    typeof data === 'object' && data !== null && 'receive' in data;

  test('audio only ends the camera of the others, not their screens, until it is over', async () => {
    grace.mesh.setTracks(tracks);
    await settled();
    expect(sent(1)).toEqual([mic, camera, screen, null]);
    ada.mesh.setQuality('audio');
    await talk();
    expect(sent(1)).toEqual([mic, null, screen, null]);
    // Other changes meanwhile do not restore the camera.
    grace.mesh.setTracks({ ...tracks, screen: null });
    await settled();
    expect(sent(1)).toEqual([mic, null, null, null]);
    ada.mesh.setQuality('auto');
    await talk();
    expect(sent(1)).toEqual([mic, camera, null, null]);
  });

  test('a page that is loaded again begins with everything', async () => {
    grace.mesh.setTracks(tracks);
    ada.mesh.setQuality('audio');
    await talk();
    ada.mesh.close();
    enter(page(ADA), [peer(GRACE)]);
    await talk();
    const last = network.connections.findLastIndex(({ signalingState }) => signalingState !== 'closed');
    expect(sent(last)).toEqual([mic, camera, screen, null]);
    grace.mesh.setTracks({ ...tracks, screen: null });
    await settled();
    expect(sent(last)).toEqual([mic, camera, null, null]);
  });

  test('a data saver gets a small picture, by a new connection too; nothing is said to others', async () => {
    const rate = (index: number): number | undefined =>
      network.connections[index]?.transceivers[1]?.sender.encodings[0]?.maxBitrate;
    ada.mesh.setQuality('saver');
    expect(receives()).toEqual([[ADA, 'less']]);
    await talk();
    expect([rate(0), rate(1)]).toEqual([250_000, 250_000]);

    // Ada's page creates a new connection: Grace's page forgets the request for the old one.
    grace.mesh.close();
    enter(grace, [peer(ADA)]);
    await talk();
    expect(errors).toEqual([]);
    expect(rate(network.connections.length - 1)).toBe(250_000);
  });

  test('it is said again after a snapshot, and not while there is no connection', async () => {
    ada.mesh.setQuality('audio');
    await talk();
    ada.mesh.reconcile([peer(GRACE)], roster(9, [peer(GRACE)]));
    await settled();
    expect(receives()).toEqual([[ADA, 'no_camera']]);
    await talk();
    network.setUp(false);
    ada.mesh.setQuality('saver');
    expect(receives()).toEqual([]);
    network.setUp(true);
    await settled();
    expect(receives()).toEqual([[ADA, 'less']]);
  });

  test('what is none of ours is no wish', async () => {
    grace.mesh.setTracks(tracks);
    ada.mesh.setQuality('audio');
    const [wish] = wire.splice(0).map(({ data }) => data as { pair: string });
    for (const data of [
      { ...wish, pair: 'another' },
      { ...wish, receive: 'nothing' },
    ])
      grace.mesh.handle(ADA, data);
    await settled();
    expect(sent(1)).toEqual([mic, camera, screen, null]);
  });
});
