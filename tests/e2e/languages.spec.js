// Chinese and English.

import { expect, test } from './lib/test.js';

const html = ({ page }) => page.locator('html');

test('a Chinese browser starts in Chinese, an English or other one in English', async ({
  person,
  server,
}) => {
  for (const [locale, lang, text] of [
    ['zh-CN', 'zh-CN', '圆桌'],
    ['zh-TW', 'zh-CN', '圆桌'],
    ['en-GB', 'en', 'Roundtable'],
    ['de-DE', 'en', 'Roundtable'],
  ]) {
    const someone = await person(locale, { locale });
    await someone.page.goto(server.url);
    await expect(html(someone)).toHaveAttribute('lang', lang);
    await expect(someone.page.getByRole('heading', { level: 1 })).toHaveText(text);
    await expect(someone.page).toHaveTitle(text);
  }
});

test('the language is switched in every phase, in the middle of a call too, and remembered', async ({
  person,
  server,
}) => {
  const ada = await person('Ada');
  await ada.page.goto(server.url);
  await ada.button('language').click();
  await expect(ada.button('create')).toHaveText('新建会议');

  await ada.button('create').click();
  await expect(html(ada)).toHaveAttribute('lang', 'zh-CN');
  await ada.page.locator('input[name=name]').fill('Ada');
  await ada.button('language').click();
  await expect(ada.button('join')).toHaveText('Join meeting');

  await ada.button('join').click();
  await expect(ada.button('leave')).toHaveText('Leave');
  await ada.button('language').click();
  await expect(ada.button('leave')).toHaveText('离开');
  await expect(ada.ownTile).toBeVisible();

  await ada.page.reload();
  await expect(html(ada)).toHaveAttribute('lang', 'zh-CN');
  await expect(ada.ownTile).toBeVisible();
  // The name is remembered too.
  await ada.button('leave').click();
  await ada.page.reload();
  await expect(ada.page.locator('input[name=name]')).toHaveValue('Ada');
});

test('a language that does not come is asked for again, and the page says so', async ({ person, server }) => {
  const ada = await person('Ada');
  let broken = true;
  await ada.page.route(/\/(en|zh-CN)-[^/]*\.js$/, (route) => (broken ? route.abort() : route.continue()));
  await ada.page.goto(server.url);
  await expect(ada.page.getByRole('alert')).toContainText('页面未能完全加载');
  await expect(ada.button('reload')).toBeVisible();
  broken = false;
  await expect(ada.button('create')).toHaveText('New meeting');

  broken = true;
  await ada.button('language').click();
  await expect(ada.button('language')).toHaveText('中文：请重试');
  broken = false;
  await ada.button('language').click();
  await expect(ada.button('create')).toHaveText('新建会议');
});
