// Reactions on the sender's tile.

import { expect, test } from './lib/test.js';

const shown = (tile) => tile.locator('[data-shown]');
const palette = (person) => person.page.locator('[data-reaction]');
const news = (person) => person.page.locator('[data-reaction-news]');

test('by key and arrows, seen by all for a moment, and told', async ({ join, person, server }) => {
  const ada = await person('Ada', { reducedMotion: 'reduce' });
  await ada.join(server.url, 'react');
  const grace = await join('Grace', 'react');
  await expect(grace.tile('Ada')).toHaveAttribute('data-link', 'connected');
  const { keyboard } = ada.page;

  await expect(palette(ada).first()).toBeHidden();
  await keyboard.press('e');
  await expect(palette(ada).first()).toBeFocused();
  await keyboard.press('ArrowLeft');
  await expect(palette(ada).last()).toBeFocused();
  await keyboard.press('ArrowRight');
  await keyboard.press('ArrowRight');
  await keyboard.press('Enter');
  await expect(shown(ada.ownTile)).toHaveText('❤️');
  await expect(shown(grace.tile('Ada'))).toHaveText('❤️');
  await expect(shown(grace.ownTile)).toHaveCount(0);
  await expect(news(grace)).toHaveText('Ada: heart');
  // No animation with reduced motion.
  expect(await shown(ada.ownTile).evaluate((sign) => getComputedStyle(sign).animationName)).toBe('none');
  expect(await shown(grace.tile('Ada')).evaluate((sign) => sign.getAnimations().length)).toBe(1);

  // Another one from the palette, which is still open; then it is closed.
  await palette(ada).last().click();
  await expect(shown(grace.tile('Ada')).last()).toHaveText('😮');
  await keyboard.press('e');
  await expect(palette(ada).first()).toBeHidden();
  await expect(shown(grace.tile('Ada'))).toHaveCount(0);
  await expect(shown(ada.ownTile)).toHaveCount(0);
});

test('a page that floods is not let to, and what is no reaction is not shown', async ({
  join,
  person,
  server,
}) => {
  const ada = await join('Ada', 'flood');
  const mallory = await person('Mallory');
  await mallory.page.addInitScript(() => {
    window.WebSocket = class extends WebSocket {
      constructor(...args) {
        super(...args);
        window.socket = this;
      }
    };
  });
  await mallory.join(server.url, 'flood');
  await expect(ada.tile('Mallory')).toHaveAttribute('data-link', 'connected');
  await mallory.page.evaluate(() => {
    const say = (data) => window.socket.send(JSON.stringify({ type: 'broadcast', data }));
    for (const data of [{ reaction: '<b>💣</b>' }, { reaction: null }, null, 'x']) say(data);
    for (let times = 0; times < 100; times++) say({ reaction: '👏' });
  });
  await expect(shown(ada.tile('Mallory'))).toHaveText(Array(5).fill('👏'));
  await expect(news(ada)).toHaveText('Mallory: applause ×5');
});

test('listeners, who send nothing, have none', async ({ join, person, server }) => {
  const ada = await join('Ada', 'talk', { query: { talk: '1' } });
  await expect(ada.button('react')).toBeVisible();
  const grace = await person('Grace');
  await grace.join(server.url, 'talk', { video: false });
  await expect(grace.button('hand')).toBeVisible();
  await expect(grace.button('react')).toHaveCount(0);
  await grace.page.keyboard.press('e');
  await expect(palette(grace)).toHaveCount(0);
});

test('in the menu of a telephone', async ({ person, server }) => {
  const ada = await person('Ada', { viewport: { width: 390, height: 844 } });
  await ada.join(server.url, 'narrow');
  await ada.button('more').click();
  await ada.button('menu-react').click();
  await palette(ada).first().click();
  await expect(shown(ada.ownTile)).toHaveText('👍');
});
