// The server is upgraded while pages are open.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, expectAllSeen, expectPictures, expectSignaling, expectSound, STALL_MS, test } from './lib/test.js';

const note = (person) => person.failure('page_outdated');

test('a page that is older than the server asks to be loaded anew, and the call goes on', async ({
  join,
  person,
  server,
}) => {
  const grace = await join('Grace', 'upgrade');
  const ada = await person('Ada');
  // A proxy that changes the announced version at the upgrade, and cuts the socket then, as a restart does.
  let version;
  let cut;
  await ada.page.routeWebSocket(/signal-api\/ws/, (page) => {
    const upstream = page.connectToServer();
    upstream.onMessage((frame) => {
      const message = JSON.parse(frame);
      if (message.type === 'welcome' && version) message.server.version = version;
      page.send(JSON.stringify(message));
    });
    cut = async () => {
      await upstream.close({ code: 1000 });
      await page.close({ code: 1012, reason: '' });
    };
  });
  await ada.join(server.url, 'upgrade');
  await expectPictures(ada, 'Grace');
  const signaling = ada.page.locator('html');
  const reconnect = async () => {
    await cut();
    await expect(signaling).toHaveAttribute('data-signaling', 'lost');
    await expect(signaling).toHaveAttribute('data-signaling', 'open');
  };

  // The same version: no note.
  await reconnect();
  await expectPictures(ada, 'Grace');
  await expect(note(ada)).toHaveCount(0);

  version = '99.0.0';
  await reconnect();
  await expect(note(ada)).toBeVisible();
  await expectPictures(ada, 'Grace');
  await expectPictures(grace, 'Ada');
  // The page does not reload by itself; once dismissed, the note stays away until the next version.
  await note(ada).locator('[data-action=dismiss]').click();
  await reconnect();
  await expectPictures(ada, 'Grace');
  await expect(note(ada)).toHaveCount(0);

  version = '99.1.0';
  await reconnect();
  const loaded = ada.page.waitForEvent('load');
  await note(ada).locator('[data-action=reload]').click();
  await loaded;
});

test('a part of the page that is gone asks for it too', async ({ server, person }) => {
  const ada = await person('Ada');
  await ada.page.route(/assets\/SettingsDialog-/, (route) => route.fulfill({ status: 404 }));
  await ada.join(server.url, 'parts');
  await expect(ada.ownTile).toBeVisible();
  // Parts are prefetched in order; a failure to prefetch an unused part is not reported.
  await expect
    .poll(() => ada.page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name)))
    .toContainEqual(expect.stringContaining('ShortcutList'));
  await expect(note(ada)).toHaveCount(0);
  await ada.button('more').click();
  await ada.button('devices').click();
  await expect(note(ada)).toBeVisible();
  await note(ada).locator('[data-action=dismiss]').click();
  await expect(note(ada)).toHaveCount(0);

  // In the lobby; and instead of the room, if the room's own code is gone.
  const grace = await person('Grace');
  await grace.page.route(/assets\/RoomView-/, (route) => route.fulfill({ status: 404 }));
  await grace.page.goto(`${server.url}r/parts`);
  await expect(note(grace)).toBeVisible();
  await note(grace).locator('[data-action=dismiss]').click();
  await grace.page.locator('[name=name]').fill('Grace');
  await grace.button('join').click();
  await expect(note(grace)).toBeVisible();
  await expect(note(grace).locator('[data-action=reload]')).toBeVisible();
});

test(
  'a stack is upgraded under a call: pictures and sound go on by the same connections',
  { tag: ['@stack', '@upgrade'] },
  async ({ join }) => {
    test.setTimeout(240_000);
    const people = [
      await join('Ada', 'upgraded', { audio: true }),
      await join('Grace', 'upgraded', { audio: true }),
    ];
    const [ada, grace] = people;
    await expectAllSeen(people);
    const connected = () =>
      Promise.all(
        people.map(({ page }) =>
          page.evaluate(() => [window.probe.connections.length, ...window.probe.roster()].join()),
        ),
      );
    const before = await connected();
    for (const { page } of people) await page.evaluate(() => window.probe.watch());

    await promisify(execFile)('bash', ['-c', process.env.UPGRADE], { cwd: '../..' });

    for (const person of people) {
      await expectSignaling(person, 'open');
      await expect
        .poll(() =>
          person.page.evaluate(() => window.probe.watched().messages.some(({ type }) => type === 'welcome')),
        )
        .toBe(true);
      await expect(person.tiles).toHaveCount(1);
    }
    await grace.button('mic').click();
    await expect(ada.tile('Grace')).toHaveAttribute('data-mic', 'off');
    await expectSound(grace, 'Ada');
    expect(await connected()).toEqual(before);
    for (const [one, other] of [people, people.toReversed()]) {
      const { stalled } = await one.page.evaluate(() => window.probe.watched());
      console.log(`${other.name}’s picture stood still for ${Math.round(stalled[other.name])} ms at most`);
      expect(stalled[other.name]).toBeLessThan(STALL_MS);
    }
  },
);
