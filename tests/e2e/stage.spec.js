// Large tiles: the current speaker, pinned tiles; and their shortcuts.

import { expect, expectPictures, test } from './lib/test.js';

/** A microphone whose voice the test turns on and off: `window.voice(true)`. */
function tone() {
  navigator.mediaDevices.getUserMedia = ((ask) => async (constraints) => {
    if (!constraints.audio) return ask.call(navigator.mediaDevices, constraints);
    const context = new AudioContext();
    const volume = new GainNode(context, { gain: 0 });
    const voice = new OscillatorNode(context, { frequency: 300 });
    const end = new MediaStreamAudioDestinationNode(context);
    voice.connect(volume).connect(end);
    voice.start();
    window.voice = (on) => (volume.gain.value = on ? 0.5 : 0);
    return end.stream;
  })(navigator.mediaDevices.getUserMedia);
}

const speak = ({ page }, on) => page.evaluate((on) => window.voice(on), on);

test('who speaks has a ring, and in the speaker layout is the large one', async ({ person, server }) => {
  const people = [];
  for (const name of ['Ada', 'Grace', 'Alan']) {
    const someone = await person(name);
    await someone.page.addInitScript(tone);
    await someone.join(server.url, 'floor', { audio: true, video: false });
    people.push(someone);
  }
  const [ada, grace, alan] = people;
  for (const name of ['Grace', 'Alan']) {
    await expect(ada.tile(name)).toHaveAttribute('data-link', 'connected');
  }
  await ada.page.keyboard.press('g');
  await speak(grace, true);
  await expect(ada.tile('Grace')).toHaveAttribute('data-speaking', '');
  await expect(ada.tile('Grace')).toHaveAttribute('data-large', '');
  await expect(ada.tile('Alan')).not.toHaveAttribute('data-speaking', '');

  // A second speaker is marked, too, but gets the floor only when it is free.
  await speak(alan, true);
  await expect(ada.tile('Alan')).toHaveAttribute('data-speaking', '');
  await expect(ada.tile('Grace')).toHaveAttribute('data-large', '');
  await speak(grace, false);
  await expect(ada.tile('Alan')).toHaveAttribute('data-large', '');
  await expect(ada.tile('Grace')).not.toHaveAttribute('data-speaking', '');

  await ada.page.keyboard.press('g');
  await expect(ada.page.locator('[data-large]')).toHaveCount(0);
});

test('pinned, hidden, and the list of keys, by keyboard and by menu', async ({ join }) => {
  const ada = await join('Ada', 'pins');
  await join('Grace', 'pins');
  await join('Alan', 'pins');
  await expectPictures(ada, 'Grace');
  await expectPictures(ada, 'Alan');

  await ada.tile('Grace').getByRole('button', { name: 'Pin Grace' }).click();
  await expect(ada.tile('Grace')).toHaveAttribute('data-large', '');
  await ada.page.keyboard.press('3');
  await expect(ada.tile('Alan')).toHaveAttribute('data-large', '');
  await expectPictures(ada, 'Grace');
  await ada.page.keyboard.press('0');
  await expect(ada.page.locator('[data-large]')).toHaveCount(0);

  await ada.button('more').click();
  await ada.button('hide-self').click();
  await expect(ada.ownTile).toHaveCount(0);
  await ada.page.keyboard.press('o');
  await expect(ada.ownTile).toBeVisible();

  await ada.page.keyboard.press('f');
  await expect.poll(() => ada.page.evaluate(() => document.fullscreenElement !== null)).toBe(true);
  await ada.page.keyboard.press('f');
  await expect.poll(() => ada.page.evaluate(() => document.fullscreenElement !== null)).toBe(false);

  await ada.page.keyboard.press('?');
  await expect(ada.page.getByRole('dialog')).toContainText('Microphone on or off');
  // Shortcuts do nothing behind a dialog.
  await ada.page.keyboard.press('o');
  await expect(ada.ownTile).toBeVisible();
  await ada.page.keyboard.press('Escape');
  await expect(ada.page.getByRole('dialog')).toHaveCount(0);
});

test('full screen and picture in picture, by their keys, and back', async ({ join }) => {
  const ada = await join('Ada', 'screenful');
  const grace = await join('Grace', 'screenful');
  await expectPictures(ada, 'Grace');
  const { keyboard } = ada.page;
  const isFull = () => ada.page.evaluate(() => document.fullscreenElement !== null);
  const inPicture = () => ada.page.evaluate(() => document.pictureInPictureElement !== null);
  await keyboard.press('f');
  await expect.poll(isFull).toBe(true);
  await keyboard.press('f');
  await expect.poll(isFull).toBe(false);

  await keyboard.press('p');
  await expect.poll(inPicture).toBe(true);
  await keyboard.press('p');
  await expect.poll(inPicture).toBe(false);
  // The person in the window leaves: the key works again for the next one.
  await keyboard.press('p');
  await expect.poll(inPicture).toBe(true);
  await grace.button('leave').click();
  await expect(ada.tiles).toHaveCount(0);
  await join('Zoe', 'screenful');
  await expectPictures(ada, 'Zoe');
  await expect.poll(inPicture).toBe(false);
  await keyboard.press('p');
  await expect.poll(inPicture).toBe(true);
});

test('entering puts the focus on the name of the room, and a dialog that is refused gives it back', async ({
  join,
}) => {
  const ada = await join('Ada', 'focus');
  await expect(ada.page.getByRole('heading', { level: 1, name: 'focus' })).toBeFocused();
  await ada.button('people').click();
  await ada.button('end').focus();
  await ada.page.keyboard.press('Enter');
  await ada.button('cancel').click();
  await expect(ada.button('end')).toBeFocused();
});

test('picture in picture is over when its person leaves', async ({ join }) => {
  const ada = await join('Ada', 'pip');
  const grace = await join('Grace', 'pip');
  await expectPictures(ada, 'Grace');
  await ada.button('more').click();
  const item = ada.button('picture-in-picture');
  await item.click();
  const shown = () => ada.page.evaluate(() => document.pictureInPictureElement !== null);
  await expect.poll(shown).toBe(true);
  await ada.button('more').click();
  await expect(item).toHaveAttribute('aria-pressed', 'true');
  await grace.button('leave').click();
  await expect(ada.tiles).toHaveCount(0);
  await expect.poll(shown, { timeout: 8000 }).toBe(false);
  await expect(item).toHaveAttribute('aria-pressed', 'false');
});
