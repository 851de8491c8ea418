// An operator's name, logo and colour from config.json; what systems read to install the page; and link previews.

import { chmod, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DIST, Server } from './lib/server.js';
import { expect, test as base } from './lib/test.js';

const LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9" fill="#0a7d55"/></svg>';

const test = base.extend({
  /** A server whose dist has this `config.json`, and a logo. */
  branded: async ({}, use) => {
    const dist = await mkdtemp(join(tmpdir(), 'roundtable-brand-'));
    await chmod(dist, 0o755);
    await cp(DIST, dist, { recursive: true });
    await writeFile(join(dist, 'logo.svg'), LOGO);
    const server = new Server({ ROUNDTABLE_STATIC_DIR: dist });
    await use(async (config) => {
      await writeFile(join(dist, 'config.json'), JSON.stringify(config));
      await server.start();
      return server;
    });
    await server.kill();
    await rm(dist, { recursive: true });
  },
});

test('a name, a logo and an accent colour, in both languages and both looks', async ({ branded, person }) => {
  const { url } = await branded({ name: 'Example & Co', logo: 'logo.svg', accent: '#0a7d55' });
  const violations = ({ page }) => page.evaluate(() => window.probe.violations);
  const ada = await person('Ada', { colorScheme: 'light' });
  await ada.page.goto(url);
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText('Example & Co');
  await expect(ada.page).toHaveTitle('Example & Co');
  const drawn = () => ada.page.locator('img.mark').evaluateAll((marks) => marks.map(({ naturalWidth }) => naturalWidth > 0));
  await expect.poll(drawn).toEqual([true, true]);
  await expect(ada.page.locator('link[rel=icon]')).toHaveAttribute('href', `${url}logo.svg`);
  const background = () => ada.button('create').evaluate((button) => getComputedStyle(button).backgroundColor);
  await expect.poll(background).toBe('rgb(10, 125, 85)');
  await ada.button('language').click();
  await expect(ada.page.locator('html')).toHaveAttribute('lang', 'zh-CN');
  await expect(ada.page.getByRole('heading', { level: 1 })).toHaveText('Example & Co');

  // Readers of the page that run no scripts: link previews, and systems that install the page.
  const html = await (await fetch(`${url}r/standup`)).text();
  expect(html).toContain('property="og:title" content="Example &amp; Co"');
  const { data } = await (await ada.page.context().newCDPSession(ada.page)).send('Page.getAppManifest');
  expect(JSON.parse(data)).toMatchObject({ name: 'Example & Co', short_name: 'Example & Co' });

  // The folder of a room is one level deeper.
  await ada.page.goto(`${url}r/standup`);
  await expect(ada.page).toHaveTitle('standup · Example & Co');
  await expect.poll(drawn).toEqual([true]);
  expect(await violations(ada)).toEqual([]);
});

test('the page can be installed, and a link shows the product and never the room', async ({ person, server }) => {
  for (const [path, base] of [
    ['', './'],
    ['r/secret-plan', '../'],
  ]) {
    const html = await (await fetch(server.url + path)).text();
    expect(html).toContain('property="og:title" content="Roundtable"');
    expect(html).not.toContain('secret-plan');
    expect(html).toContain(`rel="manifest" href="${base}manifest.webmanifest"`);
  }

  const ada = await person('Ada');
  await ada.page.goto(`${server.url}r/secret-plan`);
  const devtools = await ada.page.context().newCDPSession(ada.page);
  await expect.poll(async () => (await devtools.send('Page.getAppManifest')).url).toBe(`${server.url}manifest.webmanifest`);
  const { errors, data } = await devtools.send('Page.getAppManifest');
  expect(errors).toEqual([]);
  expect((await devtools.send('Page.getInstallabilityErrors')).installabilityErrors).toEqual([]);
  for (const { src, sizes, type } of JSON.parse(data).icons) {
    const response = await fetch(server.url + src);
    expect([src, response.status, response.headers.get('content-type')]).toEqual([src, 200, type]);
    const bytes = Buffer.from(await response.arrayBuffer());
    if (type === 'image/png') expect(`${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`).toBe(sizes);
  }
});

test('a calendar file for a later meeting', async ({ join: enter }) => {
  const ada = await enter('Ada', 'standup', { video: false });
  await expect(ada.ownTile).toBeVisible();
  await ada.page.keyboard.press('i');
  const dialog = ada.page.getByRole('dialog');
  await dialog.getByText('Schedule for later').click();
  await dialog.locator('[name=start]').fill('2027-03-01T09:30');
  await dialog.locator('[name=duration]').selectOption('45');
  const [download] = await Promise.all([ada.page.waitForEvent('download'), ada.button('save-calendar').click()]);
  expect(download.suggestedFilename()).toBe('standup.ics');
  const file = (await readFile(await download.path(), 'utf8')).replaceAll('\r\n ', '');
  const start = new Date('2027-03-01T09:30').toISOString().replaceAll(/[-:]|\.\d+/g, '');
  expect(file).toContain(`DTSTART:${start}\r\n`);
  expect(file).toContain(`URL:${await dialog.locator('input[readonly]').inputValue()}\r\n`);
});
