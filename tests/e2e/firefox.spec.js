// Browsers of different vendors in one call.

import { Firefox } from './lib/firefox.js';
import { Wire } from './lib/net.js';
import {
  Person,
  expect,
  expectAllSeen,
  expectPictures,
  expectSound,
  glare,
  test as base,
} from './lib/test.js';

const test = base.extend({
  /** A person with Firefox. */
  fox: async ({}, use) => {
    const firefoxes = [];
    await use(async (name) => {
      const firefox = await Firefox.launch();
      firefoxes.push(firefox);
      return Person.at(firefox, name);
    });
    await Promise.all(firefoxes.map((firefox) => firefox.close()));
  },
});

const click = (action) => (person) =>
  person.page.evaluate((action) => document.querySelector(`[data-action="${action}"]`).click(), action);
const signalingOf = (person) => person.page.evaluate(() => document.documentElement.dataset.signaling);

test(
  'Chromium and Firefox see and hear each other, whoever comes first',
  { tag: '@stack' },
  async ({ fox, join, server }) => {
    const ada = await join('Ada', 'mixed', { audio: true });
    const grace = await fox('Grace');
    await grace.join(server.url, 'mixed', { audio: true });
    await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
    await expectAllSeen([ada, grace]);
    await expectSound(ada, 'Grace');
    await expectSound(grace, 'Ada');

    // Firefox joins first, and another Chromium joins: the smaller id, and thus the offerer, is random.
    const alan = await join('Alan', 'mixed', { audio: true });
    await expectAllSeen([ada, grace, alan]);

    await click('camera')(grace);
    await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'off');
    await click('camera')(grace);
    await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'on');
    await expectPictures(ada, 'Grace');

    await click('leave')(grace);
    await expect(ada.tiles).toHaveCount(1);
  },
);

test('Chromium and Firefox offer at once, and lose the server, and the call stands', async ({
  fox,
  join,
  server,
}) => {
  const between = await Wire.to(server);
  const ada = await join('Ada', 'mixed', { base: between.url });
  const grace = await fox('Grace');
  await grace.join(between.url, 'mixed');
  const people = [ada, grace];
  await expectAllSeen(people);

  for (let times = 0; times < 3; times++) await glare(between, people);
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await expectAllSeen(people);

  between.cut();
  for (const person of people) await expect.poll(() => signalingOf(person)).toBe('lost');
  await expectAllSeen(people);
  between.mend();
  for (const person of people) await expect.poll(() => signalingOf(person)).toBe('open');
  await expectAllSeen(people);
  for (const [person, other] of [
    [ada, 'Grace'],
    [grace, 'Ada'],
  ])
    expect(await person.doubled(other)).toBe(0);
  between.close();
});

/** Restarts ICE; resolves when the other side has answered. */
async function restart({ page, name }) {
  const ufrag = () =>
    page.evaluate(() => {
      const [{ signalingState, localDescription }] = window.probe.connections;
      return signalingState === 'stable' && /a=ice-ufrag:(.*)/.exec(localDescription.sdp)[1];
    });
  const before = await ufrag();
  await page.evaluate(() => window.probe.connections[0].restartIce());
  await expect.poll(async () => [false, before].includes(await ufrag()), { message: name }).toBe(false);
}

/** Checks that Chromium sends between the newest addresses of both sides. */
async function expectNewPath({ page }) {
  await expect
    .poll(() =>
      page.evaluate(async () => {
        const [pc] = window.probe.connections;
        const stats = await pc.getStats();
        const { selectedCandidatePairId } = [...stats.values()].find(({ type }) => type === 'transport');
        const pair = stats.get(selectedCandidatePairId);
        return [
          [pair?.localCandidateId, pc.localDescription],
          [pair?.remoteCandidateId, pc.remoteDescription],
        ].map(([id, { sdp }]) => sdp.includes(`a=ice-ufrag:${stats.get(id)?.usernameFragment}\r\n`));
      }),
    )
    .toEqual([true, true]);
}

// With a slow server, ICE checks arrive before the answer that contains their source. Which browser makes the first
// offer is random; one half of the defect needed Chromium as the offerer, the other half Firefox.
for (const first of ['Chromium', 'Firefox']) {
  test(`Chromium and Firefox look for a new path by a slow server, ${first} first, and the call stands`, async ({
    fox,
    join,
    server,
  }) => {
    const between = await Wire.to(server);
    const ada = await join('Ada', 'mixed', { base: between.url });
    const grace = await fox('Grace');
    await grace.join(between.url, 'mixed');
    const people = [ada, grace];
    await expectAllSeen(people);
    between.delay = 150;
    const restarting = first === 'Chromium' ? [ada, grace, ada] : [grace, ada, grace];
    for (const person of restarting) {
      await restart(person);
      await expectNewPath(ada);
      await expectAllSeen(people);
    }
    between.close();
  });
}
