// Losing a socket is not leaving, and killing the server has no visible effect on the call.

import { loseForGood, Wire } from './lib/net.js';
import { CLOSED_TAB_MS, expect, expectAllSeen, expectSignaling, STALL_MS, test } from './lib/test.js';

/** Number of times that the server is killed. */
const RESTARTS = 20;

test.use({ settings: { ROUNDTABLE_RESUME_KEY: 'a key that outlives the server, long enough' } });

test('a cut shorter than the window: the link is lost, nobody leaves, and nothing is negotiated anew', async ({
  join,
  server,
}) => {
  const wire = await Wire.to(server);
  const ada = await join('Ada', 'blink', { base: wire.url });
  const grace = await join('Grace', 'blink');
  await expectAllSeen([ada, grace]);
  const offers = ada.offers + grace.offers;
  await grace.page.evaluate(() => window.probe.watch());

  for (let times = 0; times < 2; times++) {
    wire.cut();
    await expect(grace.tile('Ada')).toHaveAttribute('data-away', '');
    await expectSignaling(ada, 'lost');
    wire.mend();
    await expect(grace.tile('Ada')).not.toHaveAttribute('data-away');
    await expectSignaling(ada, 'open');
  }
  const { messages, stalled } = await grace.page.evaluate(() => window.probe.watched());
  expect(messages.filter(({ type }) => type !== 'pong' && type !== 'ack')).toMatchObject([
    { type: 'link', link: 'lost' },
    { type: 'link', link: 'ok' },
    { type: 'link', link: 'lost' },
    { type: 'link', link: 'ok' },
  ]);
  expect(stalled.Ada).toBeLessThan(STALL_MS);
  expect(ada.offers + grace.offers).toBe(offers);
  wire.close();
});

test('R114 a closed tab is gone within five seconds', async ({ join }) => {
  const ada = await join('Ada', 'goodbye');
  for (let times = 0; times < 3; times++) {
    const grace = await join('Grace', 'goodbye');
    await expectAllSeen([ada, grace]);
    await grace.closeTab();
    await expect(ada.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
  }
});

test('R114 a closed tab whose socket is lost is gone within five seconds, too', async ({
  context,
  join,
  server,
}) => {
  const wire = await Wire.to(server);
  const ada = await join('Ada', 'dumb');
  const grace = await join('Grace', 'dumb', { base: wire.url });
  await expectAllSeen([ada, grace]);
  await loseForGood(grace, wire);
  await expect(ada.tile('Grace')).toHaveAttribute('data-away', '');
  await grace.closeTab();
  await expect(ada.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
  await context.close();
  wire.close();
});

test('who is removed while the socket is lost is told on the way back, and is not in again', async ({
  join,
  server,
}) => {
  const wire = await Wire.to(server);
  const ada = await join('Ada', 'meanwhile');
  const grace = await join('Grace', 'meanwhile', { base: wire.url });
  await expectAllSeen([ada, grace]);
  wire.cut();
  await expect(ada.tile('Grace')).toHaveAttribute('data-away', '');
  await ada.button('people').click();
  const row = ada.page.locator('[data-person="Grace"]');
  await row.locator('[data-action=person-actions]').click();
  await row.locator('[data-action=remove]').click();
  await ada.button('confirm').click();
  await expect(ada.tiles).toHaveCount(0);
  wire.mend();
  await expect(grace.failure('removed')).toBeVisible();
  await expectSignaling(grace, 'closed');
  await expect(ada.tiles).toHaveCount(0);
  wire.close();
});

test(`the server is killed ${RESTARTS} times in the middle of a call: pictures never stop, and the roster is exact each time`, async ({
  join,
  server,
}) => {
  test.setTimeout(60_000 + RESTARTS * 15_000);
  const names = ['Ada', 'Grace', 'Kofi'];
  const people = [];
  for (const name of names) people.push(await join(name, 'killed'));
  const tries = people.map(() => 0);
  for (const [index, { page }] of people.entries()) page.on('websocket', () => (tries[index] += 1));
  await expectAllSeen(people);
  const ids = (person) =>
    person.page
      .locator('[data-peer-id]')
      .evaluateAll((tiles) =>
        tiles
          .map((tile) => [tile.getAttribute('aria-label'), tile.dataset.peerId, 'away' in tile.dataset])
          .sort(),
      );
  const before = await Promise.all(people.map(ids));
  for (const { page } of people) await page.evaluate(() => window.probe.watch());
  const slowest = [];

  for (let times = 0; times < RESTARTS; times++) {
    // A negotiation is in progress; whose, and how far it gets, differs each time.
    const someone = people[times % people.length];
    await someone.page.evaluate(() => window.probe.connections.forEach((pc) => pc.restartIce()));
    await server.kill();
    for (const person of people) await expectSignaling(person, 'lost');
    // Down for a moment, or until everyone has failed to connect some times.
    const tried = [...tries];
    const more = () => Math.min(...tries.map((now, index) => now - tried[index]));
    await expect.poll(more).toBeGreaterThanOrEqual(times % 4);
    await server.start();
    const returned = performance.now();
    for (const [index, person] of people.entries()) {
      await expect
        .poll(
          async () =>
            (await person.page.locator('html').getAttribute('data-signaling')) === 'open' &&
            (await ids(person)),
          { message: person.name, intervals: [50] },
        )
        .toEqual(before[index]);
    }
    const roster = await Promise.all(people.map(({ page }) => page.evaluate(() => window.probe.roster())));
    for (const [index, known] of roster.entries()) {
      expect(known, 'what the server says, not only what is kept').toEqual(
        before[index].map(([, id]) => id).sort(),
      );
    }
    slowest.push(Math.round(performance.now() - returned));
    for (const { page, name } of people) {
      await expect
        .poll(() => page.evaluate(() => window.probe.connections.map((pc) => pc.signalingState)), {
          message: name,
        })
        .toEqual(['stable', 'stable']);
    }
  }
  await expectAllSeen(people);
  for (const [index, { page, name }] of people.entries()) {
    const { stalled } = await page.evaluate(() => window.probe.watched());
    for (const other of names.filter((other) => other !== name)) {
      expect(stalled[other], `${name} sees ${other}`).toBeLessThan(STALL_MS);
    }
    expect(await ids(people[index])).toEqual(before[index]);
  }
  test.info().annotations.push({ type: 'ms until the roster was exact', description: slowest.join(' ') });
  console.log(`    roster exact after ms: ${slowest.join(' ')}`);
});
