// Navigating to another page leaves the meeting, and the browser's Back button returns to it.

import { executablePath, allowDevices, fakeDevices, quiet } from './lib/chromium.js';
import { loseForGood, Wire, website } from './lib/net.js';
import { CLOSED_TAB_MS, expect, expectAllSeen, expectPictures, test as base } from './lib/test.js';

const test = base.extend({
  /** A page of another site. */
  elsewhere: async ({}, use) => {
    const site = await website();
    await use(`${site.url.replace('localhost', '127.0.0.1')}favicon.svg`);
    site.close();
  },
});
test.use({
  // Playwright disables this cache, which users have.
  launchOptions: {
    executablePath,
    args: [...quiet, ...fakeDevices, ...allowDevices],
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
  },
});

test('a page that the browser has kept is in the meeting again, as who it was', async ({
  elsewhere,
  join,
}) => {
  // Without a camera, whose end occasionally comes too late for the browser to keep the page.
  const ada = await join('Ada', 'kept', { video: false });
  const grace = await join('Grace', 'kept');
  await expectPictures(ada, 'Grace');
  const id = await grace.tile('Ada').getAttribute('data-peer-id');
  for (let times = 0; times < 2; times++) {
    await ada.page.evaluate(() => (window.left = true));
    await ada.page.goto(elsewhere);
    await expect(grace.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
    await ada.page.goBack({ waitUntil: 'commit' });
    expect(await ada.page.evaluate(() => window.left), 'it is the page that was left').toBe(true);
    await expectPictures(ada, 'Grace');
    expect(await grace.tile('Ada').getAttribute('data-peer-id')).toBe(id);
    for (const someone of [ada, grace]) await expect(someone.tiles).toHaveCount(1);
  }
  expect(await grace.doubled('Ada')).toBe(0);
  // She is still the host, as nobody else became one.
  await ada.button('people').click();
  await expect(ada.button('end')).toBeVisible();
});

test('whether the browser keeps a page that sends or not: it is in again, once, with what was on', async ({
  elsewhere,
  join,
}) => {
  const ada = await join('Ada', 'either');
  const grace = await join('Grace', 'either', { audio: true });
  await expectAllSeen([ada, grace]);
  for (let times = 0; times < 3; times++) {
    await grace.page.goto(elsewhere);
    await expect(ada.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
    await grace.page.goBack({ waitUntil: 'commit' });
    await expectAllSeen([ada, grace]);
    await expect(ada.tile('Grace')).toHaveAttribute('data-mic', 'on');
    for (const someone of [ada, grace]) await expect(someone.tiles).toHaveCount(1);
  }
  expect(await ada.doubled('Grace')).toBe(0);
});

test('who goes while the socket is lost is gone, too', async ({ elsewhere, join, server }) => {
  const wire = await Wire.to(server);
  const ada = await join('Ada', 'lost');
  const grace = await join('Grace', 'lost', { base: wire.url });
  await expectAllSeen([ada, grace]);
  await loseForGood(grace, wire);
  await expect(ada.tile('Grace')).toHaveAttribute('data-away', '');
  await grace.page.goto(elsewhere);
  await expect(ada.tiles).toHaveCount(0, { timeout: CLOSED_TAB_MS });
  wire.close();
});
