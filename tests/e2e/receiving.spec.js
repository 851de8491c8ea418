// The quality menu for sending and receiving.

import { expect, expectNoPictures, expectPictures, test } from './lib/test.js';

async function choose(person, quality) {
  await person.button('more').click();
  await person.button('quality').click();
  const dialog = person.page.getByRole('dialog', { name: 'Quality' });
  await dialog.locator(`[data-quality=${quality}]`).check();
  await person.page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
}

/** Returns the maximum camera bitrate sent to each person, in bits per second; 0 if it is not sent. */
const sentCamera = ({ page }) =>
  page.evaluate(() =>
    window.probe.connections
      .filter(({ connectionState }) => connectionState === 'connected')
      .map((pc) => pc.getSenders()[1])
      .map((sender) => (sender.track ? sender.getParameters().encodings[0].maxBitrate : 0)),
  );

test('audio only: sound and screens arrive, cameras do not, and the choice is remembered', async ({ join }) => {
  const ada = await join('Ada', 'receive');
  const grace = await join('Grace', 'receive', { audio: true });
  await expectPictures(ada, 'Grace');
  await choose(ada, 'audio');
  await expectNoPictures(ada, 'Grace');
  await expect.poll(() => sentCamera(grace)).toEqual([0]);
  await expect(ada.tile('Grace').locator('video')).not.toHaveClass(/shown/);
  await expect(ada.page.locator('[data-audio-only]')).toContainText('camera video is not received');
  // The others' view does not change.
  await expectPictures(grace, 'Ada');

  await ada.page.reload();
  await expect(ada.page.locator('[data-audio-only]')).toBeVisible();
  await expectNoPictures(ada, 'Grace');
  await ada.button('change-quality').click();
  await ada.page.locator('[data-quality=auto]').check();
  await ada.page.keyboard.press('Escape');
  await expectPictures(ada, 'Grace');
});

test('a data saver sends and gets small pictures; high asks the camera for more', async ({ join }) => {
  const ada = await join('Ada', 'saver');
  const grace = await join('Grace', 'saver');
  await expectPictures(ada, 'Grace');
  await expectPictures(grace, 'Ada');
  await choose(ada, 'saver');
  for (const someone of [ada, grace]) {
    await expect.poll(async () => (await sentCamera(someone))[0]).toBeLessThanOrEqual(250_000);
  }
  await choose(ada, 'high');
  const wanted = () =>
    ada.page.evaluate(() => {
      const { height } = window.probe.connections[0].getSenders()[1].track.getConstraints();
      // Chromium omits `ideal`.
      return height.ideal ?? height;
    });
  await expect.poll(wanted).toBe(720);
  await expect.poll(async () => (await sentCamera(grace))[0]).toBeGreaterThan(250_000);
});
