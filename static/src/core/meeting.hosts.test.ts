import { beforeEach, describe, expect, test } from 'vitest';
import { settled } from './testing/clock';
import { FakeStore } from './testing/files';
import { ADA, GRACE, open, peer, roster, types, welcome, ZOE } from './testing/fixtures';
import {
  begin,
  clock,
  devices,
  enter,
  environment,
  meeting,
  network,
  prepare,
  sockets,
} from './testing/meeting';
import { FakeStudio } from './testing/studio';

beforeEach(prepare);

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
    begin({
      environment: { ...environment, files: new FakeStore(), recording: new FakeStudio() },
    });
    enter({ peers: [peer(GRACE)] });
    await meeting.recording.start(() => ({ tiles: [], sounds: [] }));
    expect(meeting.view.recording).toMatchObject({ state: 'on' });
    // The server has restarted and created the room again, with a lobby.
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

  test('R97 whoever has the name of somebody inside is told apart, in the lobby and in the room', () => {
    const named = (): unknown => meeting.view.people.map(({ name, nameFromToken }) => [name, nameFromToken]);
    enter({ role: 'host', peers: [{ ...peer(GRACE), name: 'Grace', name_from_token: true }] });
    expect(named()).toEqual([['Grace', true]]);
    sockets.last.receive({ type: 'lobby', waiting: [{ id: ZOE, name: 'grace' }] });
    expect(meeting.view.waiting).toEqual([{ id: ZOE, name: 'grace (ZoeZ)' }]);
    sockets.last.receive({ type: 'peer_joined', version: 2, peer: { ...peer(ZOE), name: 'grace' } });
    expect(named()).toEqual([
      ['Grace (Grac)', true],
      ['grace (ZoeZ)', false],
    ]);
    sockets.last.receive({ type: 'peer_left', version: 3, id: ZOE, reason: 'left' });
    expect(named()).toEqual([['Grace', true]]);
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
    [4013, 'host_absent'],
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
    // The other listener now receives this member's media.
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

describe('the order of raised hands', () => {
  let version: number;
  const raise = (id: string, hand = true): void => {
    version += 1;
    sockets.last.receive({ type: 'state', version, id, state: { hand } });
  };
  beforeEach(() => {
    version = 1;
  });

  test('is that of the announcements, one’s own included', () => {
    enter({ peers: [peer(GRACE), peer(ZOE)] });
    raise(ZOE);
    meeting.setHand(true);
    expect(meeting.view.hands).toEqual([ZOE]);
    raise(GRACE);
    raise(ADA);
    expect(meeting.view.hands).toEqual([ZOE, GRACE, ADA]);

    // A hand that is lowered and raised again is last.
    raise(ZOE, false);
    expect(meeting.view.hands).toEqual([GRACE, ADA]);
    raise(ZOE);
    expect(meeting.view.hands).toEqual([GRACE, ADA, ZOE]);
    sockets.last.receive({ type: 'peer_left', version: version + 1, id: GRACE, reason: 'left' });
    expect(meeting.view.hands).toEqual([ADA, ZOE]);
  });

  test('R21 is in a snapshot, for whoever joins later', () => {
    const raised = (id: string, since: number) => ({ ...peer(id, { hand: true }), hand_since: since });
    version = 7;
    enter({ version, peers: [raised(GRACE, 6), peer('Alan'), raised(ZOE, 3)] });
    expect(meeting.view.hands).toEqual([ZOE, GRACE]);
    meeting.setHand(true);
    raise(ADA);
    raise('Alan');
    // Other state changes keep a hand's place.
    raise(ZOE);
    expect(meeting.view.hands).toEqual([ZOE, GRACE, ADA, 'Alan']);

    // Missed changes: Grace has left and returned, and the own hand was announced before.
    const peers = [raised('Alan', 9), raised(ZOE, 3), raised(GRACE, 15)];
    sockets.last.receive({ ...roster(20, peers), hand_since: 8 });
    expect(meeting.view.hands).toEqual([ZOE, ADA, 'Alan', GRACE]);
    // A restarted server knows the hand from the `join`.
    sockets.last.receive(welcome(ADA, { version: 2, hand_since: 2, peers: [raised(ZOE, 1)] }));
    expect(meeting.view.hands).toEqual([ZOE, ADA]);
    meeting.leave();
    expect(meeting.view.hands).toEqual([]);
  });

  test('begins with the hands that an older server does not order', () => {
    enter({ peers: [peer(GRACE, { hand: true }), peer(ZOE), peer('Alan', { hand: true })] });
    raise(ZOE);
    expect(meeting.view.hands).toEqual([GRACE, 'Alan', ZOE]);
  });
});

describe('R112 a host that returns', () => {
  test('is told that its substitute steps down, and still sees who waits', () => {
    enter({ role: 'host', peers: [peer(GRACE, {}, 'host')] });
    sockets.last.receive({ type: 'lobby', waiting: [{ id: ZOE, name: 'Zoe' }] });
    sockets.last.receive({
      type: 'role',
      version: 2,
      id: GRACE,
      role: 'participant',
      reason: 'host_returned',
    });
    expect(meeting.view).toMatchObject({
      notice: { kind: 'role', role: 'host', before: 'host', reason: 'host_returned' },
      waiting: [{ id: ZOE }],
      people: [{ role: 'participant' }],
    });
  });

  test('takes the role from its substitute, which is told why', () => {
    enter({ peers: [peer(GRACE)] });
    sockets.last.receive({ type: 'role', version: 2, id: ADA, role: 'host', reason: 'host_absent' });
    expect(meeting.view.notice).toMatchObject({ role: 'host', reason: 'host_absent' });
    sockets.last.receive({ type: 'role', version: 3, id: ADA, role: 'participant', reason: 'host_returned' });
    expect(meeting.view).toMatchObject({
      role: 'participant',
      notice: { role: 'participant', before: 'host', reason: 'host_returned' },
    });
  });

  test('is no news for the others', () => {
    enter({ peers: [peer(GRACE, {}, 'host')] });
    sockets.last.receive({
      type: 'role',
      version: 2,
      id: GRACE,
      role: 'participant',
      reason: 'host_returned',
    });
    expect(meeting.view).not.toHaveProperty('notice');
  });
});
