// A host records to the server: everybody is informed, a restart loses nothing, and the recording can be played.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { playBytes } from './lib/play.js';
import { expect, expectPictures, expectSignaling, expectSound, test as base } from './lib/test.js';

const TOKEN = 'north-north-north-north-north-north';

/** Servers that keep recordings, in one folder per test. */
const test = base.extend({
  /** Additional settings of the servers. */
  more: [{}, { option: true }],

  settings: async ({ more }, use) => {
    const folder = await mkdtemp(path(tmpdir(), 'roundtable-recordings-'));
    await use({
      ROUNDTABLE_RECORDINGS_DIR: folder,
      ROUNDTABLE_ADMIN_TOKEN: TOKEN,
      ROUNDTABLE_RESUME_KEY: 'a key that stays, and is long enough',
      ...more,
    });
    await rm(folder, { recursive: true, force: true });
  },
});

const sign = (person) => person.page.locator('[data-recording]');
const consent = (person) => person.page.locator('[data-consent]');

function admin(server, way) {
  const headers = { authorization: `Bearer ${TOKEN}` };
  return fetch(new URL(`signal-api/v1/admin/recordings${way}`, server.url), { headers });
}

/** Returns the only recording. */
async function recording(server) {
  const { data } = await (await admin(server, '')).json();
  expect(data.recordings).toHaveLength(1);
  return data.recordings[0];
}

async function file(server, id) {
  return Buffer.from(await (await admin(server, `/${id}/file`)).arrayBuffer());
}

async function recordToServer(person) {
  await person.page.keyboard.press('r');
  await person.page.locator('[data-place="server"]').check();
  await expect(person.page.getByRole('dialog')).toContainText('The server’s administrator has access');
  await person.button('confirm').click();
}

test('everybody knows, the server is killed meanwhile, and the file plays from the beginning to the end', { tag: '@alone' }, async ({
  join,
  person,
  server,
}) => {
  const ada = await join('Ada', 'kept', { audio: true });
  const grace = await join('Grace', 'kept', { audio: true });
  await expectPictures(ada, 'Grace');
  await expectSound(ada, 'Grace');
  // Only hosts can choose the destination.
  await grace.page.keyboard.press('r');
  await expect(grace.button('confirm')).toBeVisible();
  await expect(grace.page.locator('[data-place]')).toHaveCount(0);
  await grace.button('cancel').click();

  await recordToServer(ada);
  await expect(sign(ada)).toContainText('Recorded by: You');
  const started = performance.now();
  await expect(sign(grace)).toContainText('Recorded by: Ada');
  await expect(consent(grace)).toContainText('Ada is recording this meeting on the server');
  await expect(consent(ada)).toHaveCount(0);
  await grace.button('dismiss-consent').click();
  await expect(consent(grace)).toHaveCount(0);
  const kofi = await person('Kofi');
  await kofi.page.goto(new URL('r/kept', server.url).href);
  await expect(kofi.page.locator('[data-recorded]')).toContainText('By joining, you agree');

  const bytes = async () => (await recording(server)).bytes;
  // On a busy machine Chromium's first chunk is a single byte.
  await expect.poll(bytes).toBeGreaterThan(1_000);
  await server.kill();
  await expectSignaling(ada, 'lost');
  await server.start();
  const before = await bytes();
  // The part recorded so far can be played by itself.
  const cut = await playBytes(grace.page, await file(server, (await recording(server)).id));
  expect(cut).toMatchObject({ width: 1280, height: 720 });
  expect(cut.seconds).toBeGreaterThan(0);
  await expectSignaling(ada, 'open');
  await expectSignaling(grace, 'open');
  await expect.poll(bytes).toBeGreaterThan(before);
  await expect(sign(grace)).toContainText('Recorded by: Ada');

  // On a busy machine the first and the last frame may be some tenths of a second from the ends; a lost chunk of a
  // second would still be detected.
  const least = (performance.now() - started) / 1_000 - 1.5;
  await ada.page.keyboard.press('r');
  await expect(sign(ada)).toHaveCount(0);
  await expect(sign(grace)).toHaveCount(0);
  await expect(ada.page.locator('.saving, [data-failure]')).toHaveCount(0);
  const { id, ended, bytes: size } = await recording(server);
  expect(ended).not.toBeNull();
  const whole = await file(server, id);
  expect(whole).toHaveLength(size);
  const { seen, ...played } = await playBytes(ada.page, whole);
  expect(played).toMatchObject({ width: 1280, height: 720 });
  expect(played.seconds).toBeGreaterThan(least);
  expect(Math.abs(played.seconds - played.soundSeconds)).toBeLessThan(1);
  expect(played.loudness).toBeGreaterThan(0.02);
  // There is a picture before and after the point at which the server was killed.
  expect(seen.flat().every((colours) => Math.max(...colours) > 30)).toBe(true);
});

test('of two servers the one is killed: the recording goes on at the other, in the same file', { tag: '@alone' }, async ({
  pair: { servers, wires },
  person,
}) => {
  const [ada, grace] = [await person('Ada'), await person('Grace')];
  await ada.join(wires[0].url, 'moving');
  await grace.join(wires[1].url, 'moving');
  await expectPictures(ada, 'Grace');
  await recordToServer(ada);
  await expect(sign(grace)).toContainText('Recorded by: Ada');
  const bytes = async () => (await recording(servers[1])).bytes;
  await expect.poll(bytes).toBeGreaterThan(0);

  await servers[0].kill();
  await expectSignaling(ada, 'lost');
  const before = await bytes();
  wires[0].lead(servers[1]);
  await expect.poll(bytes).toBeGreaterThan(before);
  await expectSignaling(ada, 'open');
  await expect(sign(grace)).toContainText('Recorded by: Ada');
  await ada.page.keyboard.press('r');
  await expect(sign(ada)).toHaveCount(0);
  await expect(sign(grace)).toHaveCount(0);
  await expect(ada.page.locator('.saving, [data-failure]')).toHaveCount(0);
  const played = await playBytes(grace.page, await file(servers[1], (await recording(servers[1])).id));
  expect(played).toMatchObject({ width: 1280, height: 720 });
});

test.describe('a server whose room for recordings ends', () => {
  test.use({ more: { ROUNDTABLE_RECORDINGS_QUOTA: '300000' } });

  test('the rest stays on the device, and can be played by itself', { tag: '@alone' }, async ({ join, server }) => {
    const ada = await join('Ada', 'full', { audio: true });
    await expect(ada.ownTile).toBeVisible();
    await recordToServer(ada);
    await expect(ada.failure('upload_full')).toContainText('The rest is kept on this device');
    // The recording continues, and its sign stays.
    await expect(sign(ada)).toContainText('Recorded by: You');
    const now = await ada.page.evaluate(() => performance.now());
    await ada.page.waitForFunction((from) => performance.now() > from + 2_500, now);
    const download = ada.page.waitForEvent('download');
    await ada.page.keyboard.press('r');
    const rest = await playBytes(ada.page, await readFile(await (await download).path()));
    expect(rest.error).toBeUndefined();
    expect(rest).toMatchObject({ width: 1280, height: 720 });
    expect(rest.seconds).toBeGreaterThan(2);
    // The server's part ends there, and plays, too.
    await expect.poll(async () => (await recording(server)).ended).not.toBeNull();
    const { id } = await recording(server);
    const first = await playBytes(ada.page, await file(server, id));
    expect(first.error).toBeUndefined();
    expect(first.width).toBe(1280);
  });
});
