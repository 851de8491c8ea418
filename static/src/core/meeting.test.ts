import { beforeEach, describe, expect, test } from 'vitest';
import { Meeting } from './meeting';
import { settled } from './testing/clock';
import { FakeStore } from './testing/files';
import { ADA, GRACE, open, peer, roster, types, welcome, ZOE } from './testing/fixtures';
import {
  address,
  begin,
  clock,
  devices,
  enter,
  environment,
  meeting,
  network,
  page,
  prepare,
  problems,
  sockets,
} from './testing/meeting';
import { FakeStudio } from './testing/studio';
import type { MeetingView } from './types';

beforeEach(prepare);

test('the lobby has no socket and nobody in it', () => {
  expect(meeting.view).toEqual({
    room: 'standup',
    phase: { kind: 'lobby' },
    recorded: false,
    recordingPlaces: ['device'],
    writer: 'participant',
    signaling: 'closed',
    mic: { on: false, pending: false },
    camera: { on: false, pending: false },
    screen: { available: true, on: false, pending: false },
    people: [],
    changedAbsent: [],
    role: 'participant',
    settings: open,
    speaking: false,
    hand: false,
    hands: [],
    quality: 'auto',
    waiting: [],
    degraded: false,
    reactions: [],
    chat: [],
    choices: { mic: [], camera: [], speaker: [] },
    loudspeaker: '',
  });
  expect(sockets.all).toEqual([]);
});

test('whoever subscribes has the present view at once, and later ones until the end', () => {
  const views: MeetingView[] = [];
  const unsubscribe = meeting.subscribe((view) => views.push(view));
  expect(views).toEqual([meeting.view]);
  meeting.join('Ada');
  expect(views.at(-1)).toBe(meeting.view);
  expect(meeting.view.phase.kind).toBe('joining');
  const count = views.length;
  unsubscribe();
  meeting.leave();
  expect(views).toHaveLength(count);
});

test('from the lobby into the room, with the devices that are on', async () => {
  await meeting.setCamera(true);
  expect(meeting.view.preview?.getTracks()).toEqual(devices.tracks);
  meeting.join('Ada');
  expect(sockets.last.url).toBe('wss://a.example/meet/signal-api/ws?room=standup');
  sockets.last.open();
  expect(sockets.last.sent).toEqual([
    {
      type: 'join',
      name: 'Ada',
      state: { mic: false, camera: true, screen: false, hand: false, recording: false },
    },
  ]);
  sockets.last.receive(welcome(ADA, { peers: [peer(GRACE, { mic: true })] }));
  expect(meeting.view).toMatchObject({ phase: { kind: 'joined', selfId: ADA }, signaling: 'open' });
  expect(meeting.view.people).toMatchObject([
    { id: GRACE, name: 'Gra', mic: true, camera: false, link: 'connecting', away: false },
  ]);
  await settled();
  expect(network.connections[0]?.transceivers[1]?.sender.track).toBe(devices.tracks[0]);
});

test('people come and go in the order in which they joined, and keep their streams', () => {
  enter({ peers: [peer(ZOE)] });
  const stream = meeting.view.people[0]?.stream;
  sockets.last.receive({ type: 'peer_joined', version: 2, peer: peer(GRACE) });
  sockets.last.receive({ type: 'state', version: 3, id: ZOE, state: { camera: true } });
  expect(meeting.view.people.map(({ id, camera }) => [id, camera])).toEqual([
    [ZOE, true],
    [GRACE, false],
  ]);
  expect(meeting.view.people[0]?.stream).toBe(stream);
  sockets.last.receive({ type: 'peer_left', version: 4, id: ZOE, reason: 'left' });
  expect(meeting.view.people.map(({ id }) => id)).toEqual([GRACE]);
});

test('people and the list of them are the same objects until something of them changes', () => {
  enter({ peers: [peer(ZOE), peer(GRACE)] });
  const { people, chat } = meeting.view;
  meeting.setHand(true);
  sockets.last.receive({ type: 'state', version: 2, id: ZOE, state: { unknown: 1 } });
  expect(meeting.view.people).toBe(people);
  expect(meeting.view.chat).toBe(chat);
  sockets.last.receive({ type: 'state', version: 3, id: ZOE, state: { hand: true } });
  expect(meeting.view.people).not.toBe(people);
  expect(meeting.view.people.map((person) => people.includes(person))).toEqual([false, true]);
});

test('R14 a gap asks for the roster, once', () => {
  enter();
  sockets.last.receive({ type: 'peer_joined', version: 3, peer: peer(GRACE) });
  sockets.last.receive({ type: 'peer_joined', version: 4, peer: peer(ZOE) });
  expect(types(sockets.last.sent)).toEqual(['join', 'sync']);
  expect(meeting.view.people).toEqual([]);
  sockets.last.receive(roster(4, [peer(GRACE), peer(ZOE)]));
  expect(meeting.view.people).toHaveLength(2);
});

test("R21 one's own state is told when it changes, and only then", async () => {
  enter();
  await meeting.setMic(true);
  await meeting.setMic(true);
  await meeting.setMic(false);
  expect(types(sockets.last.sent)).toEqual(['join', 'state', 'state']);
  expect(sockets.last.sent.at(-1)).toMatchObject({ state: { mic: false } });
});

test('a camera that gives nothing is off for the others, until it gives again', async () => {
  enter();
  await meeting.setCamera(true);
  const told = (): unknown => sockets.last.sent.at(-1);
  devices.tracks[0]?.onmute?.();
  expect(meeting.view.camera).toMatchObject({ on: true, failure: { code: 'device_paused' } });
  expect(told()).toMatchObject({ type: 'state', state: { camera: false } });
  devices.tracks[0]?.onunmute?.();
  expect(told()).toMatchObject({ type: 'state', state: { camera: true } });
});

test('a device that was turned on between join and welcome is told', async () => {
  meeting.join('Ada');
  sockets.last.open();
  await meeting.setMic(true);
  sockets.last.receive(welcome(ADA));
  expect(sockets.last.sent.at(-1)).toMatchObject({ type: 'state', state: { mic: true } });
});

test.each([
  [true, 'devices_unavailable'],
  [false, 'insecure_context'],
])('a browser without devices, in a secure page or not: %s', async (isSecure, code) => {
  begin({ environment: { ...environment, isSecure, mediaDevices: undefined } });
  await meeting.setMic(true);
  await meeting.setCamera(true);
  expect([meeting.view.mic.failure?.code, meeting.view.camera.failure?.code]).toEqual([code, code]);
});

describe('refused', () => {
  test('a room name that no server takes', () => {
    begin({ room: 'a/b' });
    expect(meeting.view.phase).toEqual({ kind: 'refused', failure: { code: 'room_invalid' } });
    meeting.join('Ada');
    expect(meeting.view.phase).toEqual({ kind: 'refused', failure: { code: 'room_invalid' } });
    expect(sockets.all).toEqual([]);
  });

  test.each(['connect', 'media'] as const)('a browser without %s', (part) => {
    begin({ environment: { ...environment, [part]: undefined } });
    expect(meeting.view.phase.kind).toBe('refused');
    meeting.join('Ada');
    expect(meeting.view.phase).toEqual({ kind: 'refused', failure: { code: 'browser_unsupported' } });
  });

  test('superseded: people and devices are let go', async () => {
    await meeting.setCamera(true);
    enter({ peers: [peer(GRACE)] });
    sockets.last.end(4004);
    expect(meeting.view).toMatchObject({
      phase: { kind: 'refused', failure: { code: 'superseded' } },
      signaling: 'closed',
      people: [],
      camera: { on: false },
    });
    expect(devices.tracks[0]?.stopped).toBe(true);
  });

  test('a full room: no device stays on behind the page that says so', async () => {
    await meeting.setMic(true);
    await meeting.setCamera(true);
    meeting.join('Ada');
    sockets.last.open();
    sockets.last.receive({ type: 'error', code: 'room_full', message: 'full', re: 'join' });
    expect(meeting.view).toMatchObject({
      phase: { kind: 'refused', failure: { code: 'room_full' } },
      mic: { on: false },
      camera: { on: false },
    });
    expect(devices.tracks.map(({ stopped }) => stopped)).toEqual([true, true]);
  });

  test('a wrong name may be mended: the devices stay on, and join works again', async () => {
    await meeting.setMic(true);
    meeting.join('\u0007');
    sockets.last.open();
    sockets.last.receive({ type: 'error', code: 'name_invalid', message: 'no', re: 'join' });
    expect(meeting.view).toMatchObject({ phase: { kind: 'refused' }, mic: { on: true } });
    enter();
    expect(meeting.view.phase.kind).toBe('joined');
  });
});

test('the wish of a talk goes with the join', () => {
  begin({ settings: { talk: true } });
  meeting.join('Ada');
  sockets.last.open();
  expect(sockets.last.sent[0]).toMatchObject({ type: 'join', settings: { talk: true } });
});

test('another camera goes to everyone at once, and nothing is negotiated', async () => {
  devices.plug([
    { kind: 'videoinput', deviceId: 'front', label: 'Front' },
    { kind: 'videoinput', deviceId: 'back', label: 'Back' },
  ]);
  await meeting.setCamera(true);
  enter({ peers: [peer(GRACE)] });
  await settled();
  expect(meeting.view.camera.id).toBe('front');
  const [connection] = network.connections;
  const offers = connection?.offers;
  const states = sockets.last.sent.filter(({ type }) => type === 'state').length;

  await meeting.choose('camera', 'back');
  expect(meeting.view.camera).toEqual({ on: true, pending: false, id: 'back' });
  expect(connection?.transceivers[1]?.sender.track).toBe(devices.tracks[1]);
  expect(meeting.view.preview?.getTracks()).toEqual([devices.tracks[1]]);
  expect(connection?.offers).toBe(offers);
  expect(sockets.last.sent.filter(({ type }) => type === 'state')).toHaveLength(states);
});

test('the path may be looked at in the lobby, once at a time', async () => {
  const looking = meeting.checkPath();
  expect(meeting.view.path).toEqual({ state: 'checking' });
  await meeting.checkPath();
  expect(sockets.all).toHaveLength(1);
  sockets.last.open();
  sockets.last.receive(welcome(ADA));
  await looking;
  expect(meeting.view).toMatchObject({ phase: { kind: 'lobby' }, path: { state: 'ready', relay: 'none' } });
});

test('errors that answer a message are for developers', () => {
  enter();
  sockets.last.receive({ type: 'error', code: 'peer_not_found', message: 'left', re: 'signal' });
  expect(problems).toHaveLength(1);
  expect(meeting.view.phase.kind).toBe('joined');
  expect(meeting.view).not.toHaveProperty('notice');
});

test('two meetings hear, see and read each other', async () => {
  const other = new Meeting({ room: 'standup', address, environment });
  enter();
  const ada = sockets.last;
  other.join('Grace');
  const grace = sockets.last;
  grace.open();
  grace.receive(welcome(GRACE, { version: 2, peers: [peer(ADA)] }));
  ada.receive({ type: 'peer_joined', version: 2, peer: peer(GRACE) });
  await meeting.setMic(true);
  const relay = (from: typeof ada, to: typeof ada, id: string): number => {
    const signals = from.sent.splice(0).filter((message) => message.type === 'signal');
    for (const { data } of signals) to.receive({ type: 'signal', from: id, data });
    return signals.length;
  };
  do await settled();
  while (relay(ada, grace, ADA) + relay(grace, ada, GRACE) > 0);
  expect(meeting.view.people.map(({ link }) => link)).toEqual(['connected']);
  expect(other.view.people.map(({ link }) => link)).toEqual(['connected']);
  meeting.chat.say('hello');
  await settled();
  expect(other.view.chat).toMatchObject([{ kind: 'text', from: ADA, name: 'Ada', text: 'hello' }]);
  expect(problems).toEqual([]);

  // A network change without an event: signaling is probed at once, and found dead within 5 s.
  network.setUp(false);
  expect(types(ada.sent)).toContain('ping');
  expect(meeting.view.signaling).toBe('open');
  clock.advance(5_000);
  expect(meeting.view.signaling).toBe('lost');
});

describe('screens', () => {
  test('one is sent on the fixed lines without a camera, announced, and ended by leaving', async () => {
    enter({ peers: [peer(GRACE)] });
    await meeting.setScreen(true);
    const [screen, sound] = devices.tracks;
    await settled();
    const senders = network.connections[0]?.transceivers.map(({ sender }) => sender.track);
    expect(senders).toEqual([null, null, screen, sound]);
    const told = () => sockets.last.sent.filter(({ type }) => type === 'state').at(-1);
    expect(told()).toMatchObject({ state: { camera: false, screen: true } });
    const offers = network.connections[0]?.offers;
    await meeting.setScreen(false);
    await settled();
    expect(told()).toMatchObject({ state: { screen: false } });
    expect(network.connections[0]?.offers).toBe(offers);

    await meeting.setScreen(true);
    meeting.leave();
    expect(meeting.view.screen.on).toBe(false);
    expect(devices.tracks.every(({ stopped }) => stopped)).toBe(true);
  });

  test("someone's is there while their state says so", () => {
    enter({ peers: [peer(GRACE)] });
    expect(meeting.view.people[0]?.screen).toBeUndefined();
    sockets.last.receive({ type: 'state', version: 2, id: GRACE, state: { screen: true } });
    expect(meeting.view.people[0]?.screen).toBeDefined();
    expect(meeting.view.people[0]?.screen).not.toBe(meeting.view.people[0]?.stream);
    sockets.last.receive({ type: 'state', version: 3, id: GRACE, state: { screen: false } });
    expect(meeting.view.people[0]?.screen).toBeUndefined();
  });
});

test('who speaks is shown, and has the floor', async () => {
  enter({ peers: [peer(GRACE, { mic: true }), peer(ZOE)] });
  await settled();
  const [grace, zoe] = network.connections.map(({ transceivers }) => transceivers[0]);
  if (!grace || !zoe) throw new Error('no connections');
  grace.level = 0.3;
  zoe.level = 0.3;
  clock.advance(1_000);
  // A member announced as muted does not speak, whatever arrives.
  expect(meeting.view.people.map(({ speaking }) => speaking)).toEqual([true, false]);
  expect(meeting.view.speaker).toBe(GRACE);
});

describe('R58 with a token', () => {
  test('each join shows the latest one, and it is renewed in time', () => {
    const expiring: number[] = [];
    const onTokenExpiring = (left: number): void => {
      expiring.push(left);
    };
    begin({
      token: 't1',
      hostKey: 'k',
      onTokenExpiring,
    });
    enter();
    expect(sockets.last.sent).toMatchObject([{ type: 'join', token: 't1', host_key: 'k' }]);
    sockets.last.receive({ type: 'token_expiring', expires_in_ms: 60_000 });
    expect(expiring).toEqual([60_000]);
    meeting.setToken('t2');
    expect(sockets.last.sent.at(-1)).toEqual({ type: 'renew', token: 't2' });
    sockets.last.end();
    page?.onVisible();
    sockets.last.open();
    expect(sockets.last.sent).toMatchObject([{ type: 'join', token: 't2', host_key: 'k' }]);
  });
});

test('R59 what a token does not permit goes off and stays off', async () => {
  await meeting.setMic(true);
  await meeting.setCamera(true);
  enter({ permissions: ['camera'] });
  await settled();
  await meeting.setMic(true);
  await meeting.setScreen(true);
  expect(meeting.view).toMatchObject({
    mic: { on: false, failure: { code: 'not_permitted' } },
    camera: { on: true },
    screen: { on: false, available: false },
  });
  expect(meeting.view.camera.failure).toBeUndefined();
  // The failure object stays the same across views.
  const { failure } = meeting.view.mic;
  meeting.setHand(true);
  expect(meeting.view.mic.failure).toBe(failure);
  expect(sockets.last.sent.at(-1)).toMatchObject({
    type: 'state',
    state: { mic: false, camera: true, hand: true },
  });
});

test('R73 fresh credentials go to the connections, and nothing else happens', () => {
  enter({ peers: [peer(GRACE)] });
  const sent = sockets.last.sent.length;
  const relay = { urls: ['turn:a.example'], username: 'u', credential: 'new' };
  sockets.last.receive({ type: 'ice_servers', ice_servers: [relay] });
  expect(network.connections.map(({ configuration }) => configuration.iceServers)).toEqual([[relay]]);
  expect([sockets.last.sent.length, meeting.view.phase.kind, problems]).toEqual([sent, 'joined', []]);
});

test('everyone is told who records, from the first picture to the last', async () => {
  const studio = new FakeStudio();
  const files = new FakeStore();
  begin({
    environment: { ...environment, files, recording: studio },
  });
  enter({ peers: [peer(GRACE, { recording: true })] });
  expect(meeting.view.people).toMatchObject([{ recording: true }]);
  const told = (): unknown[] =>
    sockets.last.sent.flatMap((message) => (message.type === 'state' ? message.state.recording : []));

  await meeting.recording.start(() => ({ tiles: [], sounds: [] }));
  expect(meeting.view.recording).toMatchObject({ state: 'on' });
  // A server that ended its part of a recording cleared the state, while the local recording continues (R87). Of
  // other members it is ordinary news.
  sockets.last.receive({ type: 'state', version: 2, id: GRACE, state: {} });
  expect(told()).toEqual([true]);
  sockets.last.receive({ type: 'state', version: 3, id: ADA, state: { mic: false } });
  expect(told()).toEqual([true, true]);
  sockets.last.receive({ type: 'state', version: 4, id: ADA, state: { recording: true } });
  meeting.recording.stop();
  expect(told()).toEqual([true, true, false]);
  studio.encoder?.onEnd();
  await settled();
  expect(meeting.view.recording).toBeUndefined();

  // A room that was created again, with a lobby, ends the recording as well: its members would not see that it is
  // recorded.
  await meeting.recording.start(() => ({ tiles: [], sounds: [] }));
  meeting.reactions.react('🎉');
  meeting.chat.say('is anyone there?');
  expect(meeting.view).toMatchObject({ recording: { state: 'on' }, chat: [{ waiting: ['Gra'] }] });
  sockets.last.end();
  page?.onOnline();
  sockets.last.open();
  sockets.last.receive({ type: 'waiting' });
  expect(meeting.view).toMatchObject({
    phase: { kind: 'waiting' },
    recording: { state: 'saving' },
    reactions: [],
    chat: [{ waiting: [] }],
  });
  studio.encoder?.onEnd();
  await settled();
  sockets.last.receive(welcome(ADA));

  // Leaving ends the recording, which is saved all the same.
  await meeting.recording.start(() => ({ tiles: [], sounds: [] }));
  studio.piece(10);
  meeting.leave();
  expect(meeting.view).toMatchObject({ phase: { kind: 'left' }, recording: { state: 'saving' } });
  studio.encoder?.onEnd();
  await settled();
  expect(files.saved).toHaveLength(3);
});

test('reactions go to everyone and come from everyone, but a listener sends none (R42)', () => {
  enter({ peers: [peer(GRACE)] });
  meeting.reactions.react('🎉');
  expect(sockets.last.sent.at(-1)).toEqual({ type: 'broadcast', data: { reaction: '🎉' } });
  sockets.last.receive({ type: 'broadcast', from: GRACE, data: { reaction: '👏' } });
  sockets.last.receive({ type: 'broadcast', from: GRACE, data: 'something else' });
  expect(meeting.view.reactions).toMatchObject([{ sign: '🎉' }, { sign: '👏', from: GRACE }]);

  sockets.last.receive({ type: 'role', version: 2, id: ADA, role: 'listener' });
  const sent = sockets.last.sent.length;
  meeting.reactions.react('🎉');
  expect(sockets.last.sent.slice(sent)).toEqual([]);
  meeting.leave();
  expect(meeting.view.reactions).toEqual([]);
});

test('one’s own voice is seen, and takes the floor from nobody', async () => {
  enter();
  await meeting.setMic(true);
  clock.advance(1_000);
  expect(meeting.view.speaking).toBe(true);
  expect(meeting.view.speaker).toBeUndefined();
  await meeting.setMic(false);
  clock.advance(200);
  expect(meeting.view.speaking).toBe(false);
});

describe('hiding network addresses', () => {
  const policies = (): unknown[] =>
    network.connections.map(({ configuration }) => configuration.iceTransportPolicy);
  const withGrace = { peers: [peer(GRACE)] };

  test('R106 a server that asks for relays only is obeyed from the first connection on', () => {
    enter({ ...withGrace, relay_only: true });
    expect(policies()).toEqual(['relay']);
    // New credentials do not change the policy.
    sockets.last.receive({ type: 'ice_servers', ice_servers: [] });
    expect(policies()).toEqual(['relay']);
  });

  test('who chooses relays only connects by nothing else', () => {
    begin({ relayOnly: () => true });
    enter(withGrace);
    expect(policies()).toEqual(['relay']);
  });

  test('R106 a choice to connect through relays only applies from the next join on', () => {
    let relayOnly = false;
    begin({ relayOnly: () => relayOnly });
    enter(withGrace);
    relayOnly = true;
    sockets.last.receive({ type: 'ice_servers', ice_servers: [] });
    expect(policies()).toEqual(['all']);
    meeting.leave();
    enter(withGrace);
    expect(policies()).toEqual(['all', 'relay']);
  });

  test('otherwise every path is taken', () => {
    enter(withGrace);
    expect(policies()).toEqual(['all']);
  });
});
