import { beforeEach, describe, expect, test } from 'vitest';
import { addressOf } from './address';
import type { Environment, PageListener } from './environment';
import { Meeting } from './meeting';
import { FakeClock, settled } from './testing/clock';
import { FakeDevices } from './testing/devices';
import { FakeStore } from './testing/files';
import { ADA, GRACE, open, peer, roster, types, welcome, ZOE } from './testing/fixtures';
import { fakeMedia, FakeNetwork } from './testing/rtc';
import { FakeStudio } from './testing/studio';
import { FakeSockets } from './testing/socket';
import type { MeetingView } from './types';

const address = addressOf('https://a.example/meet/r/standup', '../');

let clock: FakeClock;
let sockets: FakeSockets;
let network: FakeNetwork;
let devices: FakeDevices;
let page: PageListener | undefined;
let problems: unknown[];
let posts: [url: string, text: string][];
let environment: Environment;
let meeting: Meeting;

beforeEach(() => {
  clock = new FakeClock();
  sockets = new FakeSockets();
  network = new FakeNetwork();
  devices = new FakeDevices();
  page = undefined;
  problems = [];
  posts = [];
  environment = {
    connect: sockets.connect,
    fetch: () => Promise.reject(new Error('refused')),
    post: (url, text) => posts.push([url, text]),
    clock,
    mediaDevices: devices,
    display: devices,
    media: fakeMedia(network),
    files: { canSave: () => true, save: () => Promise.resolve(undefined), download: () => undefined },
    newLevelReader: () => ({ read: () => 0.1, close: () => undefined }),
    watchPage: (listener) => {
      page = listener;
      return () => (page = undefined);
    },
    report: (problem) => problems.push(problem),
  };
  meeting = new Meeting({ room: 'standup', address, environment });
});

function enter(changes: Parameters<typeof welcome>[1] = {}): void {
  meeting.join('Ada');
  sockets.last.open();
  sockets.last.receive(welcome(ADA, changes));
}

test('the lobby has no socket and nobody in it', () => {
  expect(meeting.view).toEqual({
    room: 'standup',
    phase: { kind: 'lobby' },
    recorded: false,
    recordingPlaces: ['device'],
    signaling: 'closed',
    mic: { on: false, pending: false },
    camera: { on: false, pending: false },
    screen: { available: true, on: false, pending: false },
    people: [],
    role: 'participant',
    settings: open,
    speaking: false,
    hand: false,
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

test('R52 who is lost is shown as away, with the last state', () => {
  enter({ peers: [peer(GRACE, { mic: true })] });
  const away = (): unknown => meeting.view.people.map((person) => [person.mic, person.away]);
  sockets.last.receive({ type: 'link', version: 2, id: GRACE, link: 'lost' });
  expect(away()).toEqual([[true, true]]);
  sockets.last.receive({ type: 'link', version: 3, id: GRACE, link: 'ok' });
  expect(away()).toEqual([[true, false]]);
});

test('R53 what changed while the socket was lost is told when the session goes on', async () => {
  enter();
  sockets.last.end();
  await meeting.setMic(true);
  page?.onOnline();
  sockets.last.open();
  sockets.last.receive({ type: 'resumed', self: ADA, ack: 0 });
  const state = { mic: true, camera: false, screen: false, hand: false, recording: false };
  expect(sockets.last.sent.slice(1)).toEqual([{ type: 'state', state }]);
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

describe('when signaling drops', () => {
  test('people stay, and the way back brings the present state', async () => {
    enter({ peers: [peer(GRACE)] });
    sockets.last.end();
    expect(meeting.view).toMatchObject({ phase: { kind: 'joined' }, signaling: 'lost' });
    expect(meeting.view.people).toHaveLength(1);
    const stream = meeting.view.people[0]?.stream;
    await meeting.setMic(true);
    page?.onOnline();
    sockets.last.open();
    expect(sockets.last.sent[0]).toMatchObject({ resume: 'secret', state: { mic: true } });
    sockets.last.receive(welcome(ADA, { resumed: true, peers: [peer(GRACE)] }));
    expect(meeting.view.people[0]?.stream).toBe(stream);
    expect(network.connections).toHaveLength(1);
  });

  test('a fresh id makes all connections anew', () => {
    enter({ peers: [peer(GRACE)] });
    sockets.last.end();
    page?.onVisible();
    sockets.last.open();
    sockets.last.receive(welcome('AdaAdaAdaAdaAdaAda-9', { peers: [peer(GRACE)] }));
    expect(network.connections.map(({ signalingState }) => signalingState)).toEqual(['closed', 'stable']);
    expect(meeting.view.phase).toEqual({ kind: 'joined', selfId: 'AdaAdaAdaAdaAdaAda-9' });
  });

  test('R25 R36 whoever has another role afterwards is told', () => {
    const comeBack = (role: 'host' | 'participant'): void => {
      sockets.last.end();
      page?.onOnline();
      sockets.last.open();
      sockets.last.receive(welcome(ADA, { role }));
    };
    enter({ role: 'host' });
    expect(meeting.view).not.toHaveProperty('notice');
    comeBack('host');
    expect(meeting.view).not.toHaveProperty('notice');
    comeBack('participant');
    expect(meeting.view.notice).toEqual({ kind: 'role', role: 'participant', before: 'host' });
    comeBack('host');
    expect(meeting.view.notice).toEqual({ kind: 'role', role: 'host', before: 'participant' });
    meeting.leave();
    enter();
    expect(meeting.view).not.toHaveProperty('notice');
  });

  test('the trouble is shown while it lasts', async () => {
    meeting.join('Ada');
    sockets.last.end();
    await settled();
    expect(meeting.view.trouble?.code).toBe('server_unreachable');
    page?.onRestore();
    sockets.last.open();
    sockets.last.receive(welcome(ADA));
    expect(meeting.view).not.toHaveProperty('trouble');
  });
});

describe('refused', () => {
  test('a room name that no server takes', () => {
    const wrong = new Meeting({ room: 'a/b', address, environment });
    wrong.join('Ada');
    expect(wrong.view.phase).toEqual({ kind: 'refused', failure: { code: 'room_invalid' } });
    expect(sockets.all).toEqual([]);
  });

  test.each(['connect', 'media'] as const)('a browser without %s', (part) => {
    const old = new Meeting({ room: 'standup', address, environment: { ...environment, [part]: undefined } });
    old.join('Ada');
    expect(old.view.phase).toEqual({ kind: 'refused', failure: { code: 'browser_unsupported' } });
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

describe('leaving', () => {
  test('says so, lets everything go, and one may come back', async () => {
    await meeting.setMic(true);
    enter({ peers: [peer(GRACE)] });
    meeting.leave();
    expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
    expect(meeting.view).toMatchObject({ phase: { kind: 'left' }, people: [], mic: { on: false } });
    expect(devices.tracks[0]?.stopped).toBe(true);
    expect([page, clock.waits]).toEqual([undefined, []]);
    enter();
    expect(sockets.last.sent[0]).not.toHaveProperty('resume');
    expect(meeting.view.phase.kind).toBe('joined');
  });

  test('a page that is gone for good says so', () => {
    enter();
    page?.onHide(false);
    expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
    expect([posts.length, meeting.view.phase.kind, page]).toEqual([1, 'left', undefined]);
  });

  test('a page that may be restored says so too, and comes back as the same, with what was on', async () => {
    await meeting.setCamera(true);
    enter({ peers: [peer(GRACE)] });
    page?.onHide(true);
    expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
    expect([posts.length, sockets.last.code]).toEqual([1, 1000]);
    expect(meeting.view).toMatchObject({ phase: { kind: 'joining' }, people: [], camera: { on: false } });
    // Nothing keeps the browser from restoring it.
    expect(network.connections.map(({ signalingState }) => signalingState)).toEqual(['closed']);
    expect(devices.tracks.map(({ stopped }) => stopped)).toEqual([true]);
    clock.advance(60_000);
    expect(sockets.all).toHaveLength(1);

    page?.onRestore();
    await settled();
    sockets.last.open();
    const [join] = sockets.last.sent;
    expect(join).toMatchObject({
      type: 'join',
      name: 'Ada',
      resume: 'secret',
      state: { camera: true, mic: false },
    });
    expect(join).not.toHaveProperty('last_seq');
    sockets.last.receive(welcome(ADA, { resumed: true, peers: [peer(GRACE)] }));
    expect(meeting.view).toMatchObject({
      phase: { kind: 'joined' },
      people: [{ id: GRACE }],
      camera: { on: true },
    });
    page?.onHide(false);
    expect(posts).toHaveLength(2);
  });

  test('in the lobby lets the devices go', async () => {
    await meeting.setCamera(true);
    meeting.leave();
    expect(meeting.view).toMatchObject({ phase: { kind: 'lobby' }, camera: { on: false } });
    expect(meeting.view).not.toHaveProperty('preview');
  });
});

test('the wish of a talk goes with the join', () => {
  const talk = new Meeting({ room: 'standup', address, environment, settings: { talk: true } });
  talk.join('Ada');
  sockets.last.open();
  expect(sockets.last.sent[0]).toMatchObject({ type: 'join', settings: { talk: true } });
});

describe('R40 the lobby', () => {
  test('waits, is admitted, and may leave before', () => {
    meeting.join('Ada');
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    expect(meeting.view.phase).toEqual({ kind: 'waiting' });
    sockets.last.receive(welcome(ADA));
    expect(meeting.view.phase.kind).toBe('joined');
    meeting.leave();
    meeting.join('Ada');
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    meeting.leave();
    expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
    expect(meeting.view.phase).toEqual({ kind: 'left' });
  });

  test('thrown back into it, one records nothing and sees nobody', async () => {
    meeting = new Meeting({
      room: 'standup',
      address,
      environment: { ...environment, files: new FakeStore(), recording: new FakeStudio() },
    });
    enter({ peers: [peer(GRACE)] });
    await meeting.recording.start(() => ({ tiles: [], sounds: [] }));
    expect(meeting.view.recording).toMatchObject({ state: 'on' });
    // The server has forgotten the room, which has begun again with a lobby.
    sockets.last.end();
    clock.advance(10_000);
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    expect(meeting.view.phase).toEqual({ kind: 'waiting' });
    expect(meeting.view.recording).toMatchObject({ state: 'saving' });
    expect(meeting.view.people).toEqual([]);
  });

  test('whoever is refused has no camera on', async () => {
    await meeting.setCamera(true);
    meeting.join('Ada');
    sockets.last.open();
    sockets.last.receive({ type: 'waiting' });
    sockets.last.end(4007);
    expect(meeting.view).toMatchObject({
      phase: { kind: 'refused', failure: { code: 'lobby_refused' } },
      camera: { on: false },
    });
    expect(devices.tracks[0]?.stopped).toBe(true);
  });

  test('hosts see who waits', () => {
    enter({ role: 'host' });
    sockets.last.receive({ type: 'lobby', waiting: [{ id: GRACE, name: 'Grace' }] });
    expect(meeting.view.waiting).toEqual([{ id: GRACE, name: 'Grace' }]);
    meeting.moderate({ action: 'admit', to: GRACE });
    expect(sockets.last.sent.at(-1)).toEqual({ type: 'moderate', action: 'admit', to: GRACE });
    sockets.last.receive({ type: 'lobby', waiting: [] });
    expect(meeting.view.waiting).toEqual([]);
  });
});

describe('what hosts do to others', () => {
  test.each([
    ['room_full', 'admit_full'],
    ['peer_not_found', 'person_gone'],
    ['not_allowed', 'hosts_only'],
    ['busy', 'servers_busy'],
  ] as const)('R37 an act that is refused with %s is told as %s', (code, told) => {
    enter({ role: 'host' });
    meeting.moderate({ action: 'admit', to: GRACE });
    sockets.last.receive({ type: 'error', code, message: 'no', re: 'moderate' });
    expect(meeting.view).toMatchObject({
      phase: { kind: 'joined' },
      notice: { kind: 'failure', failure: { code: told, detail: 'no' } },
    });
  });

  test('R43 asking is told, and changes nothing', async () => {
    await meeting.setMic(true);
    enter({ peers: [peer(GRACE, {}, 'host')] });
    sockets.last.receive({ type: 'asked', from: GRACE, ask: 'mute' });
    expect(meeting.view).toMatchObject({
      mic: { on: true },
      notice: { kind: 'asked', ask: 'mute', by: 'Gra' },
    });
    meeting.dismissNotice();
    expect(meeting.view).not.toHaveProperty('notice');
  });

  test('R44 what is switched off is off at once', async () => {
    await meeting.setMic(true);
    await meeting.setCamera(true);
    enter({ peers: [peer(GRACE, {}, 'host')] });
    meeting.setHand(true);
    for (const what of ['mic', 'camera', 'hand'] as const) {
      sockets.last.receive({ type: 'switched_off', from: GRACE, what });
      expect(meeting.view.notice).toMatchObject({ kind: 'switched_off', what });
    }
    expect(meeting.view).toMatchObject({ mic: { on: false }, camera: { on: false }, hand: false });
    expect(devices.tracks.map(({ enabled, stopped }) => enabled && !stopped)).toEqual([false, false]);
    expect(sockets.last.sent.at(-1)).toMatchObject({ state: { mic: false, camera: false, hand: false } });
  });

  test.each([
    [4006, 'room_locked'],
    [4008, 'removed'],
    [4009, 'ended'],
  ])('close code %i ends as %s, and is not tried again', async (close, code) => {
    await meeting.setMic(true);
    enter();
    sockets.last.end(close);
    expect(meeting.view).toMatchObject({ phase: { kind: 'refused', failure: { code } }, mic: { on: false } });
    expect(clock.waits).toEqual([]);
  });
});

describe('R42 a listener', () => {
  const talk = { ...open, talk: true };

  test('sends nothing: the devices are closed and stay so', async () => {
    await meeting.setMic(true);
    enter({ role: 'listener', settings: talk, peers: [peer(GRACE, {}, 'host')] });
    await settled();
    expect(devices.tracks[0]?.stopped).toBe(true);
    await meeting.setMic(true);
    await meeting.setCamera(true);
    expect(meeting.view).toMatchObject({ role: 'listener', mic: { on: false }, camera: { on: false } });
    const senders = network.connections[0]?.transceivers.map(({ direction, sender }) => [
      direction,
      sender.track,
    ]);
    expect(senders).toEqual(Array(4).fill(['sendrecv', null]));
  });

  test('applies, is granted, and it is taken back', async () => {
    enter({ role: 'listener', settings: talk, peers: [peer(GRACE, {}, 'host'), peer(ZOE, {}, 'listener')] });
    meeting.setHand(true);
    expect(sockets.last.sent.at(-1)).toMatchObject({ type: 'state', state: { hand: true } });
    expect(network.connections).toHaveLength(1);
    expect(meeting.view.people.map(({ resting }) => resting)).toEqual([false, true]);
    meeting.chat.say('a question');
    expect(meeting.view.chat).toMatchObject([{ waiting: ['Gra'] }]);

    sockets.last.receive({ type: 'role', version: 2, id: ADA, role: 'participant' });
    expect(meeting.view).toMatchObject({
      role: 'participant',
      hand: false,
      notice: { kind: 'role', role: 'participant', before: 'listener' },
    });
    // The other listener hears this person from now on.
    expect(network.connections).toHaveLength(2);
    await meeting.setMic(true);
    expect(meeting.view.mic.on).toBe(true);

    sockets.last.receive({ type: 'role', version: 3, id: ADA, role: 'listener' });
    expect(meeting.view).toMatchObject({ role: 'listener', mic: { on: false } });
    expect(devices.tracks[0]?.stopped).toBe(true);
    expect(network.connections.map(({ signalingState }) => signalingState === 'closed')).toEqual([
      false,
      true,
    ]);
  });

  test('is not shown as sending, whatever the state says', () => {
    enter({ peers: [peer(GRACE, { mic: true, camera: true }, 'listener')] });
    expect(meeting.view.people).toMatchObject([{ role: 'listener', mic: false, camera: false }]);
  });
});

describe('a room on several servers', () => {
  test('R77 that they are apart is shown until it is over, or one is back elsewhere', () => {
    enter({ peers: [peer(GRACE)] });
    sockets.last.receive({ type: 'degraded', active: true });
    expect(meeting.view).toMatchObject({ degraded: true, people: [{ id: GRACE }] });
    sockets.last.receive({ type: 'degraded', active: false });
    expect(meeting.view.degraded).toBe(false);

    sockets.last.receive({ type: 'degraded', active: true });
    sockets.last.end();
    clock.advance(60_000);
    sockets.last.open();
    sockets.last.receive({ type: 'resumed', self: ADA, ack: 0 });
    expect(meeting.view.degraded).toBe(true);
    sockets.last.end();
    clock.advance(60_000);
    sockets.last.open();
    sockets.last.receive(welcome(ADA, { peers: [peer(GRACE)] }));
    expect(meeting.view.degraded).toBe(false);
  });

  test('R78 what they did not take is made up for after the hint, once for all of it', () => {
    enter({ peers: [peer(GRACE)] });
    const said = sockets.last.sent.length;
    for (const re of ['signal', 'state', 'signal'] as const) {
      sockets.last.receive({ type: 'error', code: 'busy', message: 'later', re, retry_after_ms: 2_000 });
    }
    clock.advance(1_999);
    expect(sockets.last.sent).toHaveLength(said);
    clock.advance(1);
    expect(types(sockets.last.sent.slice(said))).toEqual(['state', 'sync']);
    sockets.last.receive(roster(1, [peer(GRACE)]));
    expect(network.connections[0]?.restarts).toBe(1);
  });

  test('R78 who has left makes up for nothing', () => {
    enter();
    sockets.last.receive({
      type: 'error',
      code: 'busy',
      message: 'later',
      re: 'state',
      retry_after_ms: 2_000,
    });
    const said = sockets.last.sent.length;
    meeting.leave();
    clock.advance(60_000);
    expect(types(sockets.last.sent.slice(said))).toEqual(['leave']);
  });
});

describe('a machine that slept', () => {
  test('says so once, and everything is looked after', async () => {
    await meeting.setCamera(true);
    enter({ peers: [peer(GRACE)] });
    await settled();
    network.connections[0]?.enter('connected');
    const lost = devices.tracks[0];
    if (lost) lost.stopped = true;
    const sent = sockets.last.sent.length;
    clock.sleep(600_000);
    await settled();
    expect(meeting.view).toMatchObject({
      notice: { kind: 'failure', failure: { code: 'page_slept', detail: '600 s' } },
      camera: { on: true },
    });
    expect(devices.tracks.map(({ stopped }) => stopped)).toEqual([true, false]);
    expect(network.connections[0]?.restarts).toBe(1);
    expect(sockets.last.sent.length).toBeGreaterThan(sent);

    meeting.dismissNotice();
    expect(meeting.view).not.toHaveProperty('notice');
  });

  test('a hidden page whose timers are slow has not slept', () => {
    enter();
    for (let minute = 0; minute < 5; minute++) clock.sleep(60_000);
    expect(meeting.view).not.toHaveProperty('notice');
  });
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

  // A network that changed without a word: signaling is asked at once, and found dead in 5 s.
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
  // Who is said to be muted does not speak, whatever arrives.
  expect(meeting.view.people.map(({ speaking }) => speaking)).toEqual([true, false]);
  expect(meeting.view.speaker).toBe(GRACE);
});

describe('R58 with a token', () => {
  test('each join shows the latest one, and it is renewed in time', () => {
    const expiring: number[] = [];
    const onTokenExpiring = (left: number): void => {
      expiring.push(left);
    };
    meeting = new Meeting({
      room: 'standup',
      address,
      environment,
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
  // Said once, and not anew with each view.
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
  meeting = new Meeting({
    room: 'standup',
    address,
    environment: { ...environment, files, recording: studio },
  });
  enter({ peers: [peer(GRACE, { recording: true })] });
  expect(meeting.view.people).toMatchObject([{ recording: true }]);
  const told = (): unknown[] =>
    sockets.last.sent.flatMap((message) => (message.type === 'state' ? message.state.recording : []));

  await meeting.recording.start(() => ({ tiles: [], sounds: [] }));
  expect(meeting.view.recording).toMatchObject({ state: 'on' });
  // A server that has ended its part took the sign back, and this goes on (R87); of others it is news.
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

  // So does a room that has begun again, with a lobby: there is no sign of it there.
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

  // Leaving ends it, and it is saved all the same.
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

test('a page that is older than the server it comes back to says so, and goes on', () => {
  meeting = new Meeting({ room: 'standup', address, environment, version: '0.1.0' });
  enter();
  const { server } = welcome(ADA);
  const comeBack = (version: string): void => {
    sockets.last.end(1006);
    clock.advance(10_000);
    sockets.last.open();
    sockets.last.receive(welcome(ADA, { server: { ...server, version }, resumed: true }));
  };
  comeBack('0.1.0');
  expect(meeting.view.outdated).toBeUndefined();
  comeBack('0.2.0');
  expect(meeting.view).toMatchObject({ outdated: '0.2.0', phase: { kind: 'joined' } });
});
