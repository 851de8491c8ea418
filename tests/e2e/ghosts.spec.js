// Members that leave in any way disappear, and returning members appear once.

import { CLOSED_TAB_MS, expect, expectAllSeen, expectPictures, test } from './lib/test.js';

/** Longest acceptable flicker in milliseconds; anything longer counts as a ghost. */
const MOMENT = 3_000;

test('a reload leaves no ghost', async ({ join }) => {
  const ada = await join('Ada', 'reload');
  const grace = await join('Grace', 'reload');
  await expectAllSeen([ada, grace]);
  for (let times = 0; times < 3; times++) {
    const id = await ada.tile('Grace').getAttribute('data-peer-id');
    await grace.page.reload();
    await expectAllSeen([ada, grace]);
    expect(await ada.tile('Grace').getAttribute('data-peer-id')).toBe(id);
    await expect(ada.tiles).toHaveCount(1);
  }
  expect(await ada.doubled('Grace')).toBeLessThan(MOMENT);
});

test('a closed tab leaves no ghost', { tag: '@stack' }, async ({ join }) => {
  const ada = await join('Ada', 'close');
  const grace = await join('Grace', 'close');
  await expectAllSeen([ada, grace]);
  await grace.closeTab();
  await expect(ada.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
});

test('a crashed tab is gone when its media stops', async ({ join }) => {
  const ada = await join('Ada', 'crash');
  const grace = await join('Grace', 'crash');
  await expectAllSeen([ada, grace]);
  const devtools = await grace.page.context().newCDPSession(grace.page);
  const crashed = grace.page.waitForEvent('crash');
  // The page that should answer is gone.
  devtools.send('Page.crash').catch(() => {});
  await crashed;
  await expect(ada.tiles).toHaveCount(0);

  const again = await join('Grace', 'crash');
  await expectPictures(ada, 'Grace');
  await expectPictures(again, 'Ada');
  await expect(ada.tiles).toHaveCount(1);
  expect(await ada.doubled('Grace')).toBe(0);
});

test('the same person in two tabs is two people', async ({ join }) => {
  const ada = await join('Ada', 'twice', { video: false });
  await join('Grace', 'twice', { video: false });
  const second = await join('Grace', 'twice', { video: false });
  // Each has the start of its ID appended to the name.
  await expect(ada.page.getByRole('article', { name: /^Grace \([\w-]{4}\)$/ })).toHaveCount(2);
  await second.button('leave').click();
  await expect(ada.tile('Grace')).toHaveCount(1);
});

test('whoever goes back to a page that the browser has not kept is in the meeting again', async ({
  join,
  person,
  server,
}) => {
  const ada = await join('Ada', 'back');
  const grace = await person('Grace');
  await grace.page.goto(`${server.url}r/back`);
  await grace.page.locator('input[name=name]').fill('Grace');
  await grace.button('join').click();
  await expectAllSeen([ada, grace]);
  await grace.page.goto('about:blank');
  await expect(ada.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
  await grace.page.goBack();
  await expectAllSeen([ada, grace]);
  await expect(ada.tiles).toHaveCount(1);
  expect(await ada.doubled('Grace')).toBe(0);
});
