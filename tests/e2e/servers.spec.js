// Two people in one call, on different servers, one of which is killed.

import { expect, expectAllSeen, expectSignaling, expectSound, STALL_MS, test } from './lib/test.js';

test('the server of one of two is killed: nobody sees it in the call, and who mutes then is seen to be muted', async ({
  pair: { servers, wires },
  person,
}) => {
  const [ada, grace] = [await person('Ada'), await person('Grace')];
  await ada.join(wires[0].url, 'apart', { audio: true });
  await grace.join(wires[1].url, 'apart', { audio: true });
  await expectAllSeen([ada, grace]);
  await expectSound(grace, 'Ada');
  const ids = () =>
    Promise.all(
      [ada, grace].map(({ page }) =>
        page.locator('[data-peer-id]').evaluateAll((tiles) => tiles.map((tile) => tile.dataset.peerId)),
      ),
    );
  const before = await ids();
  for (const { page } of [ada, grace]) await page.evaluate(() => window.probe.watch());

  await servers[0].kill();
  await expectSignaling(ada, 'lost');
  wires[0].lead(servers[1]);
  await expectSignaling(ada, 'open');
  await expect(grace.tile('Ada')).not.toHaveAttribute('data-away');

  for (const [one, other] of [
    [ada, grace],
    [grace, ada],
  ]) {
    await one.button('mic').click();
    await expect(other.tile(one.name)).toHaveAttribute('data-mic', 'off');
    await one.button('mic').click();
    await expect(other.tile(one.name)).toHaveAttribute('data-mic', 'on');
    const { stalled } = await one.page.evaluate(() => window.probe.watched());
    expect(stalled[other.name], `${one.name} sees ${other.name}`).toBeLessThan(STALL_MS);
  }
  await expectSound(grace, 'Ada');
  expect(await ids()).toEqual(before);
});
