// A reload interrupts a meeting: nobody leaves by it, and nobody else becomes host.

import { Person, expect, expectAllSeen, expectPictures, test as base } from './lib/test.js';

/**
 * Time for which the server waits for a reload (R114), in milliseconds. A busy machine may need longer: then it
 * counts as leaving.
 */
const RELOAD_MS = 4_000;

const test = base.extend({
  /** A person in a room with the browser of this name. */
  enter: async ({ open, server }, use) => {
    await use(async (browser, name, room, options = {}) => {
      const someone = await Person.at(await open(browser), name);
      await someone.join(server.url, room, options);
      return someone;
    });
  },
});

/** Polls a page until a script returns a value; Firefox has no locators. */
const becomes = (person, script, value) => expect.poll(() => person.page.evaluate(script)).toEqual(value);
const inside = (person) =>
  becomes(person, () => document.querySelector('[data-self]') !== null, true);
const click = (person, action) =>
  person.page.evaluate((action) => document.querySelector(`[data-action="${action}"]`).click(), action);
const departures = (person, name) => person.page.evaluate((name) => window.probe.departures(name), name);
const idOf = (person, name) => person.tile(name).getAttribute('data-peer-id');
/** Locates the notice about a person's role. */
const told = (person) => person.page.locator('[data-notice=role]');
const row = (person, name) => person.page.locator(`[data-person="${name}"]`);

for (const browser of ['Chromium', 'Firefox']) {
  test(`${browser}: a host that reloads is the same host, and nobody has left`, async ({ enter, join }) => {
    test.setTimeout(180_000);
    const ada = await enter(browser, 'Ada', 'again');
    await inside(ada);
    await click(ada, 'people');
    await becomes(ada, () => document.querySelector('[data-action=lobby]') !== null, true);
    const grace = await join('Grace', 'again');
    await expectAllSeen([ada, grace]);
    await click(ada, 'lobby');
    await becomes(ada, () => document.querySelector('[data-action=lobby]').checked, true);
    const alan = await join('Alan', 'again');
    const id = await idOf(grace, 'Ada');

    for (let quick = 0; quick < 2;) {
      const [begun, before] = [Date.now(), await departures(grace, 'Ada')];
      await ada.page.reload();
      await inside(ada);
      const isQuick = Date.now() - begun < RELOAD_MS;
      await expectAllSeen([ada, grace]);
      expect(await idOf(grace, 'Ada')).toBe(id);
      if (!isQuick) continue;
      expect(await departures(grace, 'Ada')).toBe(before);
      quick += 1;
    }
    await expect(told(grace)).toHaveCount(0);
    await expect(grace.tiles).toHaveCount(1);

    // The lobby is still on, and the person in it still waits.
    await expect(alan.button('leave')).toBeVisible();
    await expect(alan.ownTile).toHaveCount(0);
    await becomes(ada, () => document.querySelector('[data-action=admit]') !== null, true);
    await click(ada, 'admit');
    await expect(alan.ownTile).toBeVisible();
  });
}

test('a reload keeps what was on, and asks for no name', async ({ join, person, server }) => {
  const grace = await join('Grace', 'kept');
  const ada = await person('Ada');
  await ada.page.goto(`${server.url}r/kept`);
  await ada.page.locator('input[name=name]').fill('Ada');
  await ada.button('join').click();
  await expectAllSeen([ada, grace]);
  await ada.button('mic').click();
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'off');
  await ada.page.reload();
  await expect(ada.ownTile).toBeVisible();
  await expectPictures(grace, 'Ada');
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'off');
  // After leaving, the page asks again before joining.
  await ada.button('leave').click();
  await ada.page.reload();
  await expect(ada.page.locator('input[name=name]')).toHaveValue('Ada');
  await expect(grace.tiles).toHaveCount(0);
});

test('a duplicated tab is a second person, and the first one stays', async ({ join }) => {
  const ada = await join('Ada', 'twin', { video: false });
  const grace = await join('Grace', 'twin', { video: false });
  await expect(grace.tiles).toHaveCount(1);
  const id = await idOf(grace, 'Ada');
  // Browsers copy the tab's storage for a page that it opens, as for a duplicated tab.
  const opened = ada.page.waitForEvent('popup');
  await ada.page.evaluate(() => void window.open(location.href));
  const twin = new Person(await opened, 'Ada');
  await expect(twin.ownTile).toBeVisible();
  expect(await twin.page.evaluate(() => sessionStorage.length)).toBeGreaterThan(0);
  await expect(grace.tiles).toHaveCount(2);
  await expect(grace.page.locator(`[data-peer-id="${id}"]`)).toHaveCount(1);
  await expect(ada.page.locator('html')).toHaveAttribute('data-signaling', 'open');
  // Each is the same member after a reload.
  await twin.page.reload();
  await expect(twin.ownTile).toBeVisible();
  await ada.page.reload();
  await expect(ada.ownTile).toBeVisible();
  await expect(grace.page.locator(`[data-peer-id="${id}"]`)).toHaveCount(1);
  await expect(grace.tiles).toHaveCount(2);
});

test.describe('after the window of a host', () => {
  test.use({ settings: { ROUNDTABLE_RESUME_WINDOW: '6s' } });

  test('a substitute takes its place, and gives it back', async ({ join }) => {
    const ada = await join('Ada', 'gone', { video: false });
    const grace = await join('Grace', 'gone', { video: false });
    await expect(ada.tiles).toHaveCount(1);
    const url = ada.page.url();
    await ada.page.goto('about:blank');
    await expect(grace.tiles).toHaveCount(0);
    await expect(told(grace)).toContainText('The host has left. You are now the host.');
    await grace.button('people').click();
    await expect(grace.button('end')).toBeVisible();

    await ada.page.goto(url);
    await expect(ada.ownTile).toBeVisible();
    await expect(told(ada)).toContainText('You are the host again.');
    await expect(told(grace)).toContainText('The host is back. You are no longer a host.');
    await expect(row(grace, 'Ada')).toHaveAttribute('data-role', 'host');
    await expect(grace.button('end')).toHaveCount(0);
  });

  test('a talk without a host says so, until the host returns', async ({ join }) => {
    const ada = await join('Ada', 'talk', { video: false, query: { talk: '1' } });
    const grace = await join('Grace', 'talk', { video: false });
    await expect(grace.page.getByText('You are a listener.')).toBeVisible();
    const url = ada.page.url();
    await ada.page.goto('about:blank');
    await expect(grace.page.getByText('There is no host in this meeting')).toBeVisible();
    await expect(told(grace)).toHaveCount(0);
    await ada.page.goto(url);
    await expect(grace.page.getByText('You are a listener.')).toBeVisible();
    await ada.button('people').click();
    await expect(ada.button('end')).toBeVisible();
  });
});

test.describe('in a room that everybody has left', () => {
  test.use({ settings: { ROUNDTABLE_EMPTY_ROOM_GRACE: '3s' } });

  test('whoever waits is told that nobody came back', async ({ join }) => {
    const ada = await join('Ada', 'empty', { video: false });
    await ada.button('people').click();
    await ada.button('lobby').click();
    await expect(ada.button('lobby')).toBeChecked();
    const grace = await join('Grace', 'empty', { video: false });
    await ada.button('leave').click();
    await expect(grace.failure('host_absent')).toContainText('has not come back');
  });
});
