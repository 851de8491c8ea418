// Light and dark: the system's setting, or the user's choice, which is remembered.

import { expect, test } from './lib/test.js';

const LIGHT = 'rgb(245, 246, 249)';
const DARK = 'rgb(15, 18, 24)';

const ground = ({ page }) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
/** Returns the colour of the browser's frame. */
const frame = ({ page }) =>
  page.evaluate(() => [...document.querySelectorAll('meta[name=theme-color]')].find(({ media }) => matchMedia(media).matches)?.content);

test('goes through system, light and dark, on every page of this browser', async ({ person, server }) => {
  const ada = await person('Ada', { colorScheme: 'light' });
  await ada.page.goto(server.url);
  await expect(ada.button('theme')).toHaveAccessibleName('Appearance: system');
  expect([await ground(ada), await frame(ada)]).toEqual([LIGHT, '#f5f6f9']);
  await ada.page.emulateMedia({ colorScheme: 'dark' });
  expect([await ground(ada), await frame(ada)]).toEqual([DARK, '#0f1218']);

  await ada.button('theme').click();
  await expect(ada.button('theme')).toHaveAccessibleName('Appearance: light');
  expect([await ground(ada), await frame(ada)]).toEqual([LIGHT, '#f5f6f9']);
  await ada.button('theme').click();
  await ada.page.emulateMedia({ colorScheme: 'light' });
  expect([await ground(ada), await frame(ada)]).toEqual([DARK, '#0f1218']);

  await ada.join(server.url, 'theme', { video: false });
  expect([await ground(ada), await frame(ada)]).toEqual([DARK, '#0f1218']);
  await ada.button('more').click();
  await ada.button('devices').click();
  await expect(ada.page.locator('[data-theme=dark]')).toBeChecked();
  await ada.page.locator('[data-theme=light]').check();
  expect(await ground(ada)).toBe(LIGHT);
  await ada.page.locator('[data-theme=system]').check();
  await ada.page.emulateMedia({ colorScheme: 'dark' });
  expect([await ground(ada), await frame(ada)]).toEqual([DARK, '#0f1218']);
});
