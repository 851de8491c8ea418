// The signaling socket breaks, without effect on the call.

import { block, Wire } from './lib/net.js';
import { expect, expectAllSeen, expectSignaling, glare, test as base } from './lib/test.js';

const test = base.extend({
  /** A separate wire to the server. */
  wire: async ({ server }, use) => {
    const wires = [];
    await use(async () => {
      const wire = await Wire.to(server);
      wires.push(wire);
      return wire;
    });
    for (const wire of wires) wire.close();
  },
});
test.use({ settings: { ROUNDTABLE_RESUME_KEY: 'a key that outlives the server, long enough' } });

/** Records the tiles that two people have of each other. Returns a check that they are unchanged. */
async function tilesOf(ada, grace) {
  const tiles = [await ada.tile('Grace').elementHandle(), await grace.tile('Ada').elementHandle()];
  return async () => {
    for (const tile of tiles) expect(await tile.evaluate((element) => element.isConnected)).toBe(true);
    for (const [person, other] of [
      [ada, 'Grace'],
      [grace, 'Ada'],
    ]) {
      await expect(person.tiles).toHaveCount(1);
      expect(await person.doubled(other)).toBe(0);
    }
  };
}

/** Checks that states announced during and after the interruption reached the others. */
async function expectStatesHeard(ada, grace) {
  await expect(grace.tile('Ada')).toHaveAttribute('data-camera', 'on');
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'off');
  await ada.button('mic').click();
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'on');
  await grace.button('mic').click();
  await expect(ada.tile('Grace')).toHaveAttribute('data-mic', 'off');
}

test('the server is killed and comes back: the call goes on all the while', async ({ join, server }) => {
  const ada = await join('Ada', 'killed', { audio: true });
  const grace = await join('Grace', 'killed', { audio: true });
  await expectAllSeen([ada, grace]);
  const expectSameTiles = await tilesOf(ada, grace);

  await server.kill();
  for (const someone of [ada, grace]) await expectSignaling(someone, 'lost');
  await expectAllSeen([ada, grace]);
  await ada.button('mic').click();
  await expect(ada.ownTile).toHaveAttribute('data-mic', 'off');
  for (const someone of [ada, grace]) await expect(someone.failure('server_unreachable')).toBeVisible();
  await expectAllSeen([ada, grace]);

  await server.start();
  for (const someone of [ada, grace]) await expectSignaling(someone, 'open');
  await expectStatesHeard(ada, grace);
  await expectAllSeen([ada, grace]);
  await expectSameTiles();
});

test('one person’s wire is cut and mended: the call goes on all the while', async ({
  join,
  server,
  wire,
}) => {
  const thin = await wire();
  const ada = await join('Ada', 'cut', { base: thin.url, audio: true });
  const grace = await join('Grace', 'cut', { audio: true });
  await expectAllSeen([ada, grace]);
  const expectSameTiles = await tilesOf(ada, grace);

  thin.cut();
  await expectSignaling(ada, 'lost');
  await expect(ada.page.getByText('Your call continues')).toBeVisible();
  await expect(grace.tile('Ada')).toHaveAttribute('data-away', '');
  // Beside the name, because she is still seen and heard.
  await expect(grace.tile('Ada').getByRole('img', { name: 'Disconnected, may return' })).toBeVisible();
  await expect(grace.tile('Ada').locator('.state')).toHaveCount(0);
  await expectSignaling(grace, 'open');
  await expectAllSeen([ada, grace]);
  await ada.button('mic').click();

  thin.mend();
  await expectSignaling(ada, 'open');
  await expect(grace.tile('Ada')).not.toHaveAttribute('data-away');
  await expectStatesHeard(ada, grace);
  await expectAllSeen([ada, grace]);
  await expectSameTiles();
});

test('the network changes: a new path is looked for at once, and the call goes on', async ({ join }) => {
  const ada = await join('Ada', 'moved');
  const grace = await join('Grace', 'moved');
  await expectAllSeen([ada, grace]);
  const fragment = () =>
    ada.page.evaluate(() => /a=ice-ufrag:(.*)/.exec(window.probe.connections[0].localDescription.sdp)[1]);
  const before = await fragment();
  await ada.page.context().setOffline(true);
  await ada.page.context().setOffline(false);
  await expect.poll(fragment).not.toBe(before);
  await expectSignaling(ada, 'open');
  await expectAllSeen([ada, grace]);
});

test('the path between two people breaks: the tile says so, and another path is found', async ({
  join,
  wire,
}) => {
  const thin = await wire();
  const ada = await join('Ada', 'narrow', { base: thin.url });
  const grace = await join('Grace', 'narrow');
  await expectAllSeen([ada, grace]);
  const ports = await ada.page.evaluate(async () => {
    const stats = await window.probe.connections[0].getStats();
    return [...stats.values()]
      .filter(({ type, protocol }) => type === 'local-candidate' && protocol === 'udp')
      .map(({ port }) => port);
  });
  const unblock = await block([...new Set(ports)]);
  try {
    await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'interrupted');
    await expect(ada.tile('Grace').getByRole('status')).toBeVisible();
    // With the server lost as well, the whole network is down.
    thin.cut();
    await expect(ada.page.getByText('Your network connection is interrupted')).toBeVisible();
    thin.mend();
    for (const [someone, other] of [
      [ada, 'Grace'],
      [grace, 'Ada'],
    ])
      await expect(someone.tile(other)).toHaveAttribute('data-link', 'connected');
    await expectAllSeen([ada, grace]);
  } finally {
    await unblock();
  }
});

test('a server that comes back with another key is joined afresh, without ghosts', async ({
  join,
  server,
}) => {
  const ada = await join('Ada', 'fresh');
  const grace = await join('Grace', 'fresh');
  await expectAllSeen([ada, grace]);
  await server.kill();
  for (const someone of [ada, grace]) await expectSignaling(someone, 'lost');
  await server.start({ ROUNDTABLE_RESUME_KEY: 'another key, which is as long as the first' });
  for (const someone of [ada, grace]) await expectSignaling(someone, 'open');
  await expectAllSeen([ada, grace]);
  for (const someone of [ada, grace]) await expect(someone.tiles).toHaveCount(1);
});

test('both offer at once, again and again: one yields, and the call stands', async ({ join, wire }) => {
  const between = await wire();
  const ada = await join('Ada', 'glare', { base: between.url });
  const grace = await join('Grace', 'glare', { base: between.url });
  const people = [ada, grace];
  await expectAllSeen(people);
  for (let times = 0; times < 5; times++) {
    const offers = ada.offers + grace.offers;
    await glare(between, people);
    // The side that yielded makes its offer again: its restart is not forgotten.
    expect(ada.offers + grace.offers).toBeGreaterThanOrEqual(offers + 2);
  }
  for (const person of people) await expect(person.tiles).toHaveAttribute('data-link', 'connected');
  await expectAllSeen(people);
});
