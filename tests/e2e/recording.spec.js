// Recording to a local file, announced to everybody.

import { readFile } from 'node:fs/promises';
import { Firefox } from './lib/firefox.js';
import { play, playBytes } from './lib/play.js';
import { Person, expect, expectPictures, expectSound, test as base } from './lib/test.js';

const test = base.extend({
  /** A person with a Firefox that has additional preferences. */
  fox: async ({}, use) => {
    const firefoxes = [];
    await use(async (name, preferences) => {
      const firefox = await Firefox.launch(preferences);
      firefoxes.push(firefox);
      return Person.at(firefox, name);
    });
    await Promise.all(firefoxes.map((firefox) => firefox.close()));
  },
});

/** Makes a page's save dialog return a location of its own, since a headless browser has no dialogs. */
const withPlace = () => {
  window.showSaveFilePicker = async ({ suggestedName }) => {
    window.asked = suggestedName;
    const folder = await navigator.storage.getDirectory();
    return folder.getFileHandle(suggestedName, { create: true });
  };
};

/** Makes the user cancel the save dialog. */
const withoutWill = () => {
  window.showSaveFilePicker = () =>
    Promise.reject(new DOMException('The user aborted a request.', 'AbortError'));
};

/** Makes a page keep files in memory, as in browsers that cannot write to disk. */
const withoutPicker = () => delete window.showSaveFilePicker;

/** Emulates a full disk. */
const withFullDisk = () => {
  window.showSaveFilePicker = async () => ({
    createWritable: async () => ({
      write: () => Promise.reject(new DOMException('full', 'QuotaExceededError')),
      close: () => Promise.reject(new TypeError('errored')),
      abort: () => Promise.resolve(),
    }),
  });
};

/** Records a page's video elements: those drawn into the file are not in the document. */
const withVideos = () => {
  window.videos = [];
  const createElement = document.createElement.bind(document);
  document.createElement = (name, ...rest) => {
    const element = createElement(name, ...rest);
    if (name === 'video') window.videos.push(element);
    return element;
  };
};

/** Waits until this many videos are drawn into the file. */
const expectDrawn = (person, count) =>
  expect
    .poll(() =>
      person.page.evaluate(
        () => window.videos.filter(({ isConnected, readyState }) => !isConnected && readyState >= 2).length,
      ),
    )
    .toBe(count);

const sign = (person) => person.page.locator('[data-recording]');

async function record(person) {
  await person.page.keyboard.press('r');
  await person.button('confirm').click();
}

/** Joins a person who records. */
async function recorder(person, server, room, script, options = { audio: true }) {
  const ada = await person('Ada');
  await ada.page.addInitScript(script);
  await ada.page.addInitScript(withVideos);
  await ada.join(server.url, room, options);
  await expect(ada.ownTile).toBeVisible();
  return ada;
}

/**
 * Waits while these are drawn into the file. Returns the middle of that time on the page's clock, far enough from
 * either end that the exact start and end of the file do not matter.
 */
async function aWhile(person, of, count) {
  const now = () => person.page.evaluate(() => performance.now());
  await expectDrawn(person, count);
  const begun = await now();
  for (let times = 0; times < 3; times++) await expectPictures(person, of);
  const ended = await now();
  return { begun, ended, middle: (begun + ended) / 2 };
}

test('a recording holds everyone, and everyone is told', { tag: '@alone' }, async ({ join, person, server }) => {
  const ada = await recorder(person, server, 'rec', withPlace);
  const grace = await join('Grace', 'rec', { audio: true });
  await expectPictures(ada, 'Grace');
  await expectSound(ada, 'Grace');
  // The sound in the file is Grace's, not Ada's own.
  await ada.button('mic').click();
  await record(ada);

  await expect(sign(ada)).toContainText('Recorded by: You');
  await expect(sign(grace)).toContainText('Recorded by: Ada');
  await expect(grace.tile('Ada')).toHaveAttribute('data-records', '');
  await expect(grace.page.getByRole('status').filter({ hasText: 'Recorded by: Ada' })).toHaveCount(1);

  const two = await aWhile(ada, 'Grace', 2);
  // A later member is informed, too, and is in the recording.
  const kofi = await join('Kofi', 'rec');
  await expect(sign(kofi)).toContainText('Recorded by: Ada');
  await expectPictures(ada, 'Kofi');
  // Replacing a device does not end the recording.
  await grace.button('camera').click();
  await grace.button('camera').click();
  await expectPictures(ada, 'Grace');
  const three = await aWhile(ada, 'Kofi', 3);
  await ada.page.keyboard.press('r');
  await expect(sign(ada)).toHaveCount(0);
  await expect(sign(grace)).toHaveCount(0);
  await expect(ada.page.locator('.saving')).toHaveCount(0);

  const name = await ada.page.evaluate(() => window.asked);
  expect(name).toMatch(/^rec \d{4}-\d\d-\d\d \d\d\.\d\d\.(mp4|webm)$/);
  // Two tiles are side by side; of three, the third is below.
  const places = [
    [320, 200],
    [960, 200],
    [640, 660],
  ];
  const beforeEnd = [two, three].map(({ middle }) => (three.ended - middle) / 1_000);
  const { seen, ...file } = await ada.page.evaluate(play, { name, places, beforeEnd });
  expect(file).toMatchObject({ width: 1280, height: 720 });
  // The last frame has no duration of its own; on a busy machine it lasts some tenths of a second.
  expect(file.seconds).toBeGreaterThan((three.ended - two.begun) / 1_000 - 1);
  expect(Math.abs(file.seconds - file.soundSeconds)).toBeLessThan(1);
  // The cameras are green.
  const green = ([red, green, blue]) => green > 60 && green > 1.4 * red && green > 1.4 * blue;
  expect(seen.map((colours) => colours.map(green))).toEqual([
    [true, true, false],
    [true, true, true],
  ]);
  expect(file.loudness).toBeGreaterThan(0.02);
});

test('without a disk it is kept in memory, says so before, and is saved on leaving', { tag: '@alone' }, async ({
  person,
  server,
}) => {
  const ada = await recorder(person, server, 'memory', withoutPicker);
  await ada.page.keyboard.press('r');
  await expect(ada.page.getByRole('dialog')).toContainText('up to 512 MB (about 28 minutes)');
  await ada.button('confirm').click();
  await expect(sign(ada)).toBeVisible();
  const download = ada.page.waitForEvent('download');
  // Long enough for a second of recording.
  const now = await ada.page.evaluate(() => performance.now());
  await ada.page.waitForFunction((from) => performance.now() > from + 2_000, now);
  await ada.button('leave').click();
  await expect(ada.button('rejoin')).toBeVisible();
  const saved = await download;
  expect(saved.suggestedFilename()).toMatch(/^memory .*\.(mp4|webm)$/);
  const bytes = await readFile(await saved.path());
  const { duration, at } = await ada.page.evaluate(jump, bytes.toString('base64'));
  expect(duration).toBeGreaterThan(1.5);
  expect(duration).toBeLessThan(60);
  expect(at).toBeCloseTo(0.5, 1);
  const file = await playBytes(ada.page, bytes);
  expect(file).toMatchObject({ width: 1280, height: 720 });
  expect(file.seconds).toBeGreaterThan(1.5);
  expect(file.loudness).toBeGreaterThan(0.02);
});

test('who closes the dialog records nothing; what cannot be written is told', async ({ person, server }) => {
  const ada = await recorder(person, server, 'will', withoutWill);
  await ada.page.keyboard.press('r');
  await ada.button('cancel').click();
  await expect(ada.page.getByRole('dialog')).toHaveCount(0);
  await record(ada);
  await expect(ada.page.getByRole('dialog')).toHaveCount(0);
  await expect(sign(ada)).toHaveCount(0);
  await expect(ada.page.locator('.saving, [data-failure^=recording]')).toHaveCount(0);

  const grace = await recorder(person, server, 'full', withFullDisk);
  await record(grace);
  await expect(grace.failure('recording_failed')).toBeVisible();
  await expect(sign(grace)).toHaveCount(0);
  await grace.button('dismiss').click();
  await expect(grace.failure('recording_failed')).toHaveCount(0);
});

test('a browser that cannot record says so', async ({ person, server }) => {
  const ada = await recorder(person, server, 'cannot', () => delete window.MediaRecorder);
  await record(ada);
  await expect(ada.failure('recording_unsupported')).toBeVisible();
});

/** Waits until an element exists or not, in a Firefox, which has no locators here. */
const expectThere = (person, what, there = true) =>
  expect
    .poll(() => person.page.evaluate((what) => document.querySelector(what) !== null, what), { message: what })
    .toBe(there);

/** Clicks in a Firefox. */
async function press(person, action) {
  await expectThere(person, `[data-action="${action}"]`);
  await person.page.evaluate((action) => document.querySelector(`[data-action="${action}"]`).click(), action);
}

/** Keeps the page's downloads for inspection. */
const withDownloads = () => {
  const createObjectURL = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (blob) => {
    if (blob.size > 10_000) window.saved = blob;
    return createObjectURL(blob);
  };
};

/** Returns a file's duration before playback, and the position after seeking; runs in a page. */
async function jump(base64) {
  const video = Object.assign(document.createElement('video'), { muted: true });
  const once = (event) => new Promise((resolve) => video.addEventListener(event, resolve, { once: true }));
  const loaded = once('loadedmetadata');
  video.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(base64), (each) => each.charCodeAt(0))]));
  await loaded;
  const { duration } = video;
  const seeked = once('seeked');
  video.currentTime = duration / 2;
  await seeked;
  return { duration, at: video.currentTime / duration };
}

test('a recording of Firefox says how long it is, and can be jumped in', { tag: '@alone' }, async ({ fox, page, server }) => {
  const ada = await fox('Ada');
  await ada.page.addInitScript(withDownloads);
  await ada.join(server.url, 'fox', { audio: true });
  await press(ada, 'record');
  await press(ada, 'confirm');
  await expectThere(ada, '[data-recording]');
  const begun = await ada.page.evaluate(() => performance.now());
  await expect.poll(() => ada.page.evaluate(() => performance.now())).toBeGreaterThan(begun + 4_000);
  await press(ada, 'record');
  await expect.poll(() => ada.page.evaluate(() => window.saved !== undefined)).toBe(true);
  const bytes = await ada.page.evaluate(async () => {
    const file = new Uint8Array(await window.saved.arrayBuffer());
    return btoa(Array.from(file, (byte) => String.fromCharCode(byte)).join(''));
  });
  // Firefox determines the duration of a complete file by itself; Chromium relies on the file's header.
  await page.goto(server.url);
  const { duration, at } = await page.evaluate(jump, bytes);
  expect(duration).toBeGreaterThan(3);
  expect(duration).toBeLessThan(60);
  expect(at).toBeCloseTo(0.5, 1);
});

test('a browser that falsifies canvases says so, and records nothing', async ({ fox, server }) => {
  const ada = await fox('Ada', { 'privacy.resistFingerprinting': true });
  await ada.join(server.url, 'falsified', { audio: true });
  await press(ada, 'record');
  await press(ada, 'confirm');
  await expectThere(ada, '[data-failure=recording_falsified]');
  await expectThere(ada, '[data-recording]', false);
});
