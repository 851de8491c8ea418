// Accessibility: keyboard only, screen readers, dark and light themes.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { throughEach } from './lib/over.js';
import { expect, expectPictures, test } from './lib/test.js';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Returns axe's violations: rule and elements. */
async function flaws({ page }) {
  // Evaluated by the browser: the page's Content-Security-Policy forbids it as a script.
  if (await page.evaluate(() => !('axe' in window))) await page.evaluate(axe);
  const violations = await page.evaluate(
    async () => (await window.axe.run({ resultTypes: ['violations'] })).violations,
  );
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`);
}

/** Presses Tab until an element has the focus. */
async function tabTo({ page }, selector) {
  const target = page.locator(selector);
  await expect(target).toBeVisible();
  const focused = () => target.evaluate((element) => element === document.activeElement);
  for (let steps = 0; steps < 25 && !(await focused()); steps++) await page.keyboard.press('Tab');
  await expect(target).toBeFocused();
}

test('a meeting by keyboard alone', async ({ join, person, server }) => {
  const ada = await join('Ada', 'keys');
  const grace = await person('Grace');
  const { keyboard } = grace.page;
  await grace.page.goto(server.url);
  await tabTo(grace, '[name=room]');
  await keyboard.type('keys');
  await keyboard.press('Enter');

  await tabTo(grace, '[name=name]');
  await keyboard.type('Grace');
  await keyboard.press('Enter');
  await expectPictures(grace, 'Ada');
  await expect(ada.tile('Grace')).toHaveAttribute('data-mic', 'on');

  // By shortcut, and by the buttons.
  for (const [device, key] of [
    ['mic', 'm'],
    ['camera', 'v'],
  ]) {
    await keyboard.press(key);
    await expect(ada.tile('Grace')).toHaveAttribute(`data-${device}`, 'off');
    await tabTo(grace, `[data-action=${device}]`);
    await keyboard.press('Space');
    await expect(ada.tile('Grace')).toHaveAttribute(`data-${device}`, 'on');
  }

  await tabTo(grace, '[data-action=chat]');
  await keyboard.press('Enter');
  await expect(grace.page.locator('[data-panel=chat] textarea')).toBeFocused();
  await keyboard.type('Hello Ada');
  await keyboard.press('Enter');
  await expect(ada.button('chat')).toContainText('1');
  await keyboard.press('Escape');
  await expect(grace.button('chat')).toBeFocused();

  await tabTo(grace, '[data-action=leave]');
  await keyboard.press('Enter');
  await expect(ada.tiles).toHaveCount(0);
  await expect(grace.page.getByRole('heading', { name: 'You left the meeting' })).toBeFocused();

  await tabTo(grace, '[data-action=rejoin]');
  await keyboard.press('Enter');
  await expect(ada.tile('Grace')).toBeVisible();
});

for (const [colorScheme, locale, viewport] of [
  ['dark', 'en-US', { width: 1280, height: 800 }],
  ['light', 'zh-CN', { width: 1280, height: 800 }],
  ['dark', 'zh-CN', { width: 390, height: 844 }],
  ['light', 'en-US', { width: 844, height: 390 }],
  // 1280 px at 400 % (WCAG 1.4.10).
  ['dark', 'en-US', { width: 320, height: 568 }],
]) {
  const look = `${colorScheme}, ${locale}, ${viewport.width}×${viewport.height}`;
  test(`axe finds nothing: ${look}`, async ({ person, server }) => {
    // Every page and every dialog, each checked as a whole.
    test.slow();
    const options = { colorScheme, locale, viewport };
    const grace = await person('Grace', options);
    await grace.page.goto(server.url);
    await expect(grace.button('create')).toBeVisible();
    expect(await flaws(grace)).toEqual([]);
    await grace.button('open').click();
    await expect(grace.page.locator('[name=room]')).toHaveAttribute('aria-invalid', 'true');
    expect(await flaws(grace)).toEqual([]);

    await grace.page.goto(`${server.url}r/axe`);
    await expect(grace.button('camera')).toHaveAttribute('aria-pressed', 'true');
    expect(await flaws(grace)).toEqual([]);

    await grace.page.locator('[name=name]').fill('Grace');
    await grace.button('join').click();
    await expect(grace.button('copy-link')).toBeVisible();
    expect(await flaws(grace)).toEqual([]);

    const ada = await person('Ada', options);
    await ada.join(server.url, 'axe', { video: false });
    await expect(grace.tile('Ada')).toHaveAttribute('data-link', 'connected');
    expect(await flaws(grace)).toEqual([]);
    // The first member is host, and sees the most.
    await throughEach(grace, async (where) => {
      expect(await flaws(grace), where).toEqual([]);
    });

    await ada.button('leave').click();
    await expect(ada.button('rejoin')).toBeVisible();
    expect(await flaws(ada)).toEqual([]);
    await grace.button('people').click();
    await grace.button('lobby').click();
    await ada.button('rejoin').click();
    await expect(ada.page.locator('[data-phase=waiting]')).toBeVisible();
    expect(await flaws(ada)).toEqual([]);
    await grace.button('close-panel').click();
    await expect(grace.page.locator('[data-request]')).toBeVisible();
    expect(await flaws(grace)).toEqual([]);
    await grace.page.locator('[data-request] [data-action=refuse]').click();
    await expect(ada.failure('lobby_refused')).toBeVisible();
    expect(await flaws(ada)).toEqual([]);
  });
}
