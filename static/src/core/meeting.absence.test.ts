import { beforeEach, describe, expect, test } from 'vitest';
import { settled } from './testing/clock';
import { ADA, GRACE, peer, roster, types, welcome } from './testing/fixtures';
import {
  begin,
  clock,
  devices,
  enter,
  meeting,
  network,
  page,
  posts,
  prepare,
  sockets,
} from './testing/meeting';

beforeEach(prepare);

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
    // Nothing prevents the browser from restoring the page.
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

test('a page that is older than the server it comes back to says so, and goes on', () => {
  begin({ version: '0.1.0' });
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
