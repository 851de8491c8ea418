// Warning before a meeting has more videos than browsers can handle.

import { crowd } from './lib/crowd.js';
import { expect, test } from './lib/test.js';

test('people are warned before there are too many videos, and not before', async ({ join, server }) => {
  const ada = await join('Ada', 'crowd');
  const note = ada.page.locator('[data-crowd]');
  const leave = await crowd(server, 'crowd', 6);
  await expect(ada.tiles).toHaveCount(6);
  await expect(note).toHaveCount(0);
  const leaveToo = await crowd(server, 'crowd', 1);
  await expect(note).toContainText('Turn off cameras that are not needed');
  await ada.button('dismiss-crowd').click();
  await expect(note).toHaveCount(0);
  leave();
  leaveToo();
});
