// Voices reach people who only listen, even from someone who never had video.

import { expect, expectSound, test } from './lib/test.js';

test('a voice without a camera is heard by a listener without a microphone', async ({ join }) => {
  const ada = await join('Ada', 'voice', { video: false });
  const grace = await join('Grace', 'voice', { audio: true, video: false });
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await expectSound(ada, 'Grace');

  // The video comes and goes, the voice stays.
  await grace.button('camera').click();
  await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'on');
  await expectSound(ada, 'Grace');
  await grace.button('camera').click();
  await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'off');
  await expectSound(ada, 'Grace');
});

test('who speaks sees that it is heard, and not when the microphone is off', async ({ join }) => {
  const ada = await join('Ada', 'own-voice', { audio: true });
  await expect(ada.ownTile).toHaveAttribute('data-speaking', '');
  await ada.page.keyboard.press('m');
  await expect(ada.ownTile).not.toHaveAttribute('data-speaking');
  await ada.page.keyboard.press('m');
  await expect(ada.ownTile).toHaveAttribute('data-speaking', '');
});
