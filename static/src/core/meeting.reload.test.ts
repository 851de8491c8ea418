import { beforeEach, expect, test, vi } from 'vitest';
import { settled } from './testing/clock';
import { ADA, GRACE, peer, types, welcome } from './testing/fixtures';
import {
  begin,
  clock,
  devices,
  environment,
  meeting,
  page,
  posts,
  prepare,
  sockets,
} from './testing/meeting';
import { FakeLocks, FakeTab } from './testing/tab';
import { openTabMembership } from './tabMembership';

let locks: FakeLocks;
let names: number;

beforeEach(() => {
  prepare();
  locks = new FakeLocks();
  names = 0;
});

/** Loads the page in this tab: for the first time, or again. */
function load(tab: FakeTab, reloaded = false): void {
  const session = () => tab;
  begin({
    environment: {
      ...environment,
      session,
      tabMembership: (room) =>
        openTabMembership({
          room,
          session,
          claim: locks.claim,
          now: () => clock.now(),
          newName: () => `${++names}`,
        }),
      reloaded,
    },
  });
}

async function enter(name = 'Ada', changes: Parameters<typeof welcome>[1] = {}): Promise<void> {
  meeting.join(name);
  await settled();
  sockets.last.open();
  sockets.last.receive(welcome(ADA, changes));
}

test('R114 a page that is loaded again goes on as who it was', async () => {
  const tab = new FakeTab();
  load(tab);
  expect(meeting.rejoinAs).toBeUndefined();
  await meeting.setCamera(true);
  await enter('Ada', { resume: 'first' });
  expect(sockets.last.sent[0]).not.toHaveProperty('resume');

  page?.onHide(false);
  expect(types(sockets.last.sent)).toEqual(['join']);
  expect(sockets.last.code).toBe(3002);
  expect(posts.map(([, text]) => JSON.parse(text) as unknown)).toEqual([
    { room: 'standup', resume: 'first', may_return: true },
  ]);
  expect(devices.tracks[0]?.stopped).toBe(true);

  clock.advance(3_000);
  load(tab, true);
  expect(meeting.rejoinAs).toEqual({ name: 'Ada', mic: false, camera: true });
  await enter('Ada', { resume: 'second' });
  const [join] = sockets.last.sent;
  expect(join).toMatchObject({ resume: 'first' });
  expect(join).not.toHaveProperty('last_seq');

  page?.onHide(false);
  load(tab, true);
  await enter();
  expect(sockets.last.sent[0]).toMatchObject({ resume: 'second' });
});

test('a page that was opened by an address, or long after, waits in the lobby and is known all the same', async () => {
  const tab = new FakeTab();
  load(tab);
  await enter('Ada', { resume: 'first' });
  page?.onHide(false);
  load(tab);
  expect(meeting.rejoinAs).toBeUndefined();
  clock.advance(61_000);
  load(tab, true);
  expect(meeting.rejoinAs).toBeUndefined();
  await enter();
  expect(sockets.last.sent[0]).toMatchObject({ resume: 'first' });
});

test('a page that crashed is known, and does not join by itself', async () => {
  const tab = new FakeTab();
  load(tab);
  await enter('Ada', { resume: 'first' });
  // The browser releases the page's locks.
  locks = new FakeLocks();
  load(tab, true);
  expect(meeting.rejoinAs).toBeUndefined();
  await enter();
  expect(sockets.last.sent[0]).toMatchObject({ resume: 'first' });
});

test('a duplicated tab is somebody else, and the first one stays who it is', async () => {
  const tab = new FakeTab([['roundtable.identity.standup', 'certificate']]);
  load(tab);
  await enter('Ada', { resume: 'first' });
  const first = { meeting, socket: sockets.last, page };

  const copy = tab.duplicate();
  load(copy, true);
  expect(meeting.rejoinAs).toBeUndefined();
  meeting.join('Ada');
  await settled();
  expect(sockets.last).toBe(first.socket);
  locks.giveUp();
  await settled();
  sockets.last.open();
  expect(sockets.last.sent[0]).not.toHaveProperty('resume');
  expect(copy.getItem('roundtable.identity.standup')).toBeNull();
  sockets.last.receive(welcome(GRACE, { resume: 'other' }));

  // Each continues as its own member.
  page?.onHide(false);
  load(copy, true);
  await enter();
  expect(sockets.last.sent[0]).toMatchObject({ resume: 'other' });
  first.page?.onHide(false);
  load(tab, true);
  await enter();
  expect(sockets.last.sent[0]).toMatchObject({ resume: 'first' });
});

test('whoever leaves, or is sent away, comes back as somebody else', async () => {
  const tab = new FakeTab();
  load(tab);
  await enter('Ada', { resume: 'first' });
  meeting.leave();
  expect(locks.held).toEqual([]);
  expect(tab.items.size).toBe(0);
  await enter('Ada', { resume: 'second' });
  expect(sockets.last.sent[0]).not.toHaveProperty('resume');
  sockets.last.end(4008);
  expect(tab.getItem('roundtable.membership.standup')).toBeNull();
  await enter();
  expect(sockets.last.sent[0]).not.toHaveProperty('resume');
});

test('a page that was left in the lobby of a room waits again', async () => {
  const tab = new FakeTab();
  load(tab);
  meeting.join('Ada');
  await settled();
  sockets.last.open();
  sockets.last.receive({ type: 'waiting' });
  page?.onHide(false);
  load(tab, true);
  expect(meeting.rejoinAs).toEqual({ name: 'Ada', mic: false, camera: false });
});

test('R12 a restored page does not take a membership that another page has', async () => {
  const tab = new FakeTab();
  load(tab);
  await enter('Ada', { resume: 'first', peers: [peer(GRACE)] });
  const kept = { meeting, page };
  page?.onHide(true);
  expect(sockets.last.code).toBe(3002);
  expect(locks.held).toEqual([]);

  load(tab, true);
  await enter('Ada', { resume: 'second' });
  const sockets_ = sockets.all.length;
  kept.page?.onOnline();
  kept.page?.onVisible();
  kept.page?.onRestore();
  locks.giveUp();
  await settled();
  expect(kept.meeting.view.phase).toEqual({ kind: 'refused', failure: { code: 'superseded' } });
  expect(sockets.all).toHaveLength(sockets_);
});

test('a restored page comes back as the same where no other page has its membership', async () => {
  const tab = new FakeTab();
  load(tab);
  await enter('Ada', { resume: 'first' });
  page?.onHide(true);
  page?.onVisible();
  expect(sockets.all).toHaveLength(1);
  page?.onRestore();
  await settled();
  sockets.last.open();
  expect(sockets.last.sent[0]).toMatchObject({ resume: 'first' });
});

test('a page that gets no membership does not open the certificate of another page', async () => {
  const verification = vi.fn(() => Promise.reject(new Error('not expected')));
  begin({ environment: { ...environment, tabMembership: () => Promise.resolve(undefined), verification } });
  await enter();
  expect(verification).not.toHaveBeenCalled();
});

test('where storage is closed, the page says goodbye as ever', async () => {
  const session = (): never => {
    throw new DOMException('no', 'SecurityError');
  };
  begin({
    environment: {
      ...environment,
      session,
      tabMembership: (room) =>
        openTabMembership({
          room,
          session,
          claim: () => Promise.resolve(undefined),
          now: () => clock.now(),
          newName: () => '1',
        }),
      reloaded: true,
    },
  });
  await enter();
  page?.onHide(false);
  expect(types(sockets.last.sent)).toEqual(['join', 'leave']);
  expect(posts[0]?.[1]).not.toContain('may_return');
});
