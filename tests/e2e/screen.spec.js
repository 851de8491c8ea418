// Screen sharing: beside the camera and without one, shown large, and how it ends.

import { expect, expectPictures, expectSound, test } from './lib/test.js';

/** Locates the tile with a person's screen. */
const screenOf = (person, name) => person.page.locator(`[data-screen-of][aria-label="${name}’s screen"]`);

/** Waits for newly decoded frames of a video. */
async function expectFrames(tile) {
  const count = () =>
    tile.locator('video').evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames);
  const before = await count();
  await expect.poll(count).toBeGreaterThan(before + 3);
}

/** Returns the ratio of two tiles' areas. */
async function ratio(tile, other) {
  const [a, b] = await Promise.all([tile.boundingBox(), other.boundingBox()]);
  return (a.width * a.height) / (b.width * b.height);
}

async function expectNoScrolling({ page }) {
  const excess = await page.evaluate(() => {
    const { scrollWidth, scrollHeight } = document.scrollingElement;
    return [scrollWidth - innerWidth, scrollHeight - innerHeight];
  });
  expect(Math.max(...excess)).toBeLessThanOrEqual(0);
}

test(
  'a screen is seen large beside the camera, negotiates nothing, and goes with the button',
  { tag: '@stack' },
  async ({ join }) => {
    const ada = await join('Ada', 'share');
    const grace = await join('Grace', 'share');
    const alan = await join('Alan', 'share');
    await expectPictures(grace, 'Ada');
    await expectPictures(ada, 'Alan');
    const offers = ada.offers + grace.offers + alan.offers;

    await ada.button('screen').click();
    for (const someone of [grace, alan]) {
      const screen = screenOf(someone, 'Ada');
      await expectFrames(screen);
      await expectPictures(someone, 'Ada');
      for (const size of [
        { width: 390, height: 844 },
        { width: 844, height: 390 },
        { width: 1280, height: 800 },
      ]) {
        await someone.page.setViewportSize(size);
        await expect.poll(() => ratio(screen, someone.tile('Ada'))).toBeGreaterThan(3);
        await expect(someone.tile('Ada')).toBeInViewport({ ratio: 1 });
        await expect(someone.ownTile).toBeInViewport({ ratio: 1 });
        await expectNoScrolling(someone);
      }
    }
    // The presenter does not hear the screen's sound, and still sees the others.
    await expect(ada.page.locator('[data-screen-of=self] video')).toHaveJSProperty('muted', true);
    await expectPictures(ada, 'Grace');

    await ada.button('screen').click();
    await expect(grace.page.locator('[data-screen-of]')).toHaveCount(0);
    await expect(ada.page.locator('[data-screen-of]')).toHaveCount(0);
    await expectPictures(grace, 'Ada');
    expect(ada.offers + grace.offers + alan.offers).toBe(offers);
  },
);

test('without camera and microphone too, with its sound, by the key; who comes later sees it', async ({
  join,
}) => {
  const ada = await join('Ada', 'bare', { video: false });
  await join('Grace', 'bare', { video: false });
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await ada.page.keyboard.press('s');

  const alan = await join('Alan', 'bare', { video: false });
  await expectFrames(screenOf(alan, 'Ada'));
  await expect(alan.tile('Ada')).toHaveAttribute('data-camera', 'off');
  // Sound and picture of the screen are one stream, separate from the person's.
  const energy = () =>
    alan.page.evaluate(async () => {
      const [sound] = document.querySelector('[data-screen-of] video').srcObject.getAudioTracks();
      const [pc] = window.probe.connections.filter((each) =>
        each.getReceivers().some(({ track }) => track === sound),
      );
      const reports = [...(await pc.getStats(sound)).values()];
      return reports.find(({ type }) => type === 'inbound-rtp')?.totalAudioEnergy ?? 0;
    });
  await expect.poll(energy).toBeGreaterThan(0);
  await expect(screenOf(alan, 'Ada').locator('video')).toHaveJSProperty('muted', false);
});

test("the browser's own stop button ends the share for all; the latest of two is the large one", async ({
  join,
}) => {
  const ada = await join('Ada', 'stop');
  const grace = await join('Grace', 'stop');
  const alan = await join('Alan', 'stop', { audio: true });
  await expectPictures(alan, 'Ada');
  await ada.button('screen').click();
  await expectFrames(screenOf(alan, 'Ada'));
  await grace.button('screen').click();
  await expectFrames(screenOf(alan, 'Grace'));
  await expect(screenOf(alan, 'Grace')).toHaveAttribute('data-large', '');
  await expect(screenOf(alan, 'Ada')).not.toHaveAttribute('data-large', '');

  // Emulates the browser's own stop button: the track ends with an event.
  await grace.page.evaluate(() => {
    const [track] = document.querySelector('[data-screen-of=self] video').srcObject.getVideoTracks();
    track.stop();
    track.dispatchEvent(new Event('ended'));
  });
  await expect(screenOf(alan, 'Grace')).toHaveCount(0);
  await expect(screenOf(alan, 'Ada')).toHaveAttribute('data-large', '');
  await expect(grace.button('screen')).toContainText('Share');
  await expectSound(grace, 'Alan');
});
