// For everyone: by keyboard alone, with a screen reader, in the dark and in the light.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { expect, expectPictures, test } from './lib/test.js';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong: rule and elements. */
async function flaws({ page }) {
  // Not as a script of the page, which its policy forbids.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(', ')}`);
}

/** Goes on with the Tab key until a button or field has the focus. */
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

/** What is opened over the room or beside it, by the buttons that lead there. */
const OVER_THE_ROOM = [
  ['more'],
  ['more', 'shortcuts'],
  ['more', 'devices'],
  ['invite'],
  ['people'],
  ['chat'],
  ['link'],
  ['link', 'statistics'],
  ['link', 'safety'],
];

for (const colorScheme of ['dark', 'light']) {
  for (const locale of ['en-US', 'zh-CN']) {
    test(`axe finds nothing: ${colorScheme}, ${locale}`, async ({ join, person, server }) => {
      const ada = await join('Ada', 'axe', { video: false });
      const grace = await person('Grace', { colorScheme, locale });
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
      await expect(grace.tile('Ada')).toHaveAttribute('data-link', 'connected');
      expect(await flaws(grace)).toEqual([]);

      for (const path of OVER_THE_ROOM) {
        for (const action of path) await grace.button(action).first().click();
        const over = grace.page.locator('[data-panel], :popover-open').last();
        await expect(over).toBeVisible();
        // What is opened may load first what is in it.
        await grace.page.waitForLoadState('networkidle');
        expect(await flaws(grace), path.join(' → ')).toEqual([]);
        await over.press('Escape');
        await expect(over).toBeHidden();
      }

      await ada.button('leave').click();
      await expect(grace.button('copy-link')).toBeVisible();
      expect(await flaws(grace)).toEqual([]);

      await grace.button('leave').click();
      await expect(grace.button('rejoin')).toBeVisible();
      expect(await flaws(grace)).toEqual([]);
    });
  }
}
