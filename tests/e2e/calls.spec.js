// Calls in which people see and hear each other.

import {
  expect,
  expectAllSeen,
  expectNoPictures,
  expectPictures,
  expectSignaling,
  expectSilence,
  expectSound,
  test,
} from './lib/test.js';

test(
  'two people meet through landing page and lobby, and see and hear each other',
  { tag: '@stack' },
  async ({ person, server }) => {
    const ada = await person('Ada');
    await ada.page.goto(server.url);
    await ada.button('create').click();
    await ada.page.locator('input[name=name]').fill('Ada');
    await ada.button('join').click();
    await expect(ada.ownTile).toHaveAttribute('data-camera', 'on');

    // Grace was sent the link, and pastes it.
    const grace = await person('Grace');
    await grace.page.goto(server.url);
    await grace.page.locator('input[name=room]').fill(ada.page.url());
    await grace.button('open').click();
    await grace.page.locator('input[name=name]').fill('Grace');
    await grace.button('join').click();

    await expect(ada.tile('Grace')).toBeVisible();
    await expect(grace.tile('Ada')).toBeVisible();
    await expectAllSeen([ada, grace]);
    await expectSound(ada, 'Grace');
    await expectSound(grace, 'Ada');
    for (const someone of [ada, grace]) {
      await expectSignaling(someone, 'open');
      await expect(someone.tiles).toHaveCount(1);
    }
  },
);

test('three people see each other; one leaves and is gone at once', async ({ join }) => {
  const [ada, grace, alan] = [
    await join('Ada', 'three'),
    await join('Grace', 'three'),
    await join('Alan', 'three'),
  ];
  await expectAllSeen([ada, grace, alan]);

  await alan.button('leave').click();
  for (const someone of [ada, grace]) await expect(someone.tile('Alan')).toHaveCount(0, { timeout: 3_000 });
  await expectSignaling(alan, 'closed');
  await expectAllSeen([ada, grace]);

  await alan.button('rejoin').click();
  await expectAllSeen([ada, grace, alan]);
});

test('mute and camera are seen by others and negotiate nothing', async ({ join }) => {
  const ada = await join('Ada', 'mute', { audio: true });
  const grace = await join('Grace', 'mute', { audio: true });
  await expectAllSeen([ada, grace]);
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'on');
  const offers = ada.offers + grace.offers;

  await ada.button('mic').click();
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'off');
  await expectSilence(grace, 'Ada');
  await ada.button('mic').click();
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'on');
  await expectSound(grace, 'Ada');

  await ada.button('camera').click();
  await expect(grace.tile('Ada')).toHaveAttribute('data-camera', 'off');
  await expect(ada.ownTile).toHaveAttribute('data-camera', 'off');
  await expectNoPictures(grace, 'Ada');
  await ada.button('camera').click();
  await expect(grace.tile('Ada')).toHaveAttribute('data-camera', 'on');
  await expectPictures(grace, 'Ada');

  expect(offers).toBeGreaterThan(0);
  expect(ada.offers + grace.offers).toBe(offers);
});

test('who comes without devices sees the others, and may turn them on later', async ({ join }) => {
  const ada = await join('Ada', 'later');
  const grace = await join('Grace', 'later', { video: false });
  await expectPictures(grace, 'Ada');
  await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'off');

  await grace.button('camera').click();
  await grace.button('mic').click();
  await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'on');
  await expectPictures(ada, 'Grace');
  await expectSound(ada, 'Grace');
});

test('where the browser wants a gesture before sound, the page asks for it', async ({
  join,
  person,
  server,
}) => {
  await join('Ada', 'gesture', { audio: true });
  const grace = await person('Grace');
  // Emulates a browser's autoplay policy without user activation; the tests themselves count as activation.
  await grace.page.addInitScript(() => {
    const play = HTMLMediaElement.prototype.play;
    let touched = false;
    window.addEventListener('pointerup', () => (touched = true), {
      capture: true,
    });
    HTMLMediaElement.prototype.play = function () {
      if (touched || this.muted) return play.call(this);
      return Promise.reject(new DOMException('play() needs a gesture', 'NotAllowedError'));
    };
  });
  await grace.join(server.url, 'gesture');
  await expectPictures(grace, 'Ada');
  await expect(grace.tile('Ada').locator('video')).toHaveJSProperty('muted', true);

  await grace.failure('sound_blocked').getByRole('button').click();
  await expect(grace.tile('Ada').locator('video')).toHaveJSProperty('muted', false);
  await expect(grace.failure('sound_blocked')).toHaveCount(0);
  await expectSound(grace, 'Ada');
});
