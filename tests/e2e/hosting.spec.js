// Hosting: where the page is served, and that it requests nothing from elsewhere.

import jsQR from 'jsqr';
import { subPath } from './lib/net.js';
import { throughEach } from './lib/over.js';
import { expect, expectAllSeen, test } from './lib/test.js';

/** Records all requests and all errors of a page. */
function watch({ page }, requests, complaints) {
  page.on('request', (request) => requests.push(request.url()));
  page.on('websocket', (socket) => requests.push(socket.url()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
}

/** Decodes the QR code in an image. */
async function scanned(image) {
  const png = (await image.screenshot()).toString('base64');
  const { data, width, height } = await image.page().evaluate(async (png) => {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { data: [...data], width, height };
  }, png);
  return jsQR.default(Uint8ClampedArray.from(data), width, height)?.data;
}

test(
  'a whole meeting asks nobody but its server, and breaks no policy',
  { tag: '@stack' },
  async ({ person, server }) => {
    const people = [await person('Ada'), await person('Grace', { locale: 'zh-CN' })];
    const [requests, complaints] = [[], []];
    for (const someone of people) {
      watch(someone, requests, complaints);
      await someone.page.goto(server.url);
      await someone.page.locator('input[name=room]').fill('private');
      await someone.button('open').click();
      await someone.page.locator('input[name=name]').fill(someone.name);
      await someone.button('join').click();
    }
    await expectAllSeen(people);
    const [ada] = people;
    await ada.button('chat').click();
    await ada.page.locator('[data-panel=chat] textarea').fill('https://example.org is only a link');
    await ada.page.keyboard.press('Enter');
    await ada.page.keyboard.press('Escape');
    await throughEach(ada, async () => {});
    for (const someone of people) {
      await someone.button('language').click();
      await someone.button('camera').click();
      await expect(someone.ownTile).toHaveAttribute('data-camera', 'off');
      expect(await someone.page.evaluate(() => window.probe.violations)).toEqual([]);
      await someone.button('leave').click();
      await expect(someone.button('rejoin')).toBeVisible();
    }
    const { host } = new URL(server.url);
    expect(requests.some((url) => url.includes('/signal-api/ws'))).toBe(true);
    expect(requests.filter((url) => new URL(url).host !== host)).toEqual([]);
    expect(complaints).toEqual([]);
  },
);

test('under a path of another website all works', async ({ person, server }) => {
  const proxy = await subPath(server.port);
  const requests = [];
  const ada = await person('Ada');
  watch(ada, requests, []);
  await ada.page.goto(proxy.url);
  await ada.button('create').click();
  await expect(ada.page).toHaveURL(new RegExp(`^${proxy.url}r/[a-z-]+$`));
  await ada.page.locator('input[name=name]').fill('Ada');
  await ada.button('join').click();

  const grace = await person('Grace');
  watch(grace, requests, []);
  await grace.page.goto(ada.page.url());
  await grace.page.locator('input[name=name]').fill('Grace');
  await grace.button('join').click();
  await expectAllSeen([ada, grace]);

  await grace.button('leave').click();
  await grace.button('home').click();
  await expect(grace.page).toHaveURL(proxy.url);
  const outside = requests.filter((url) => !new URL(url).pathname.startsWith('/meet/'));
  expect(outside).toEqual([]);
  proxy.close();
});

test('an invitation leads to the room: by the copied link, and by its QR code', async ({ join, person }) => {
  const ada = await join('Ada', '圆桌 1', { video: false });
  await ada.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await expect(ada.ownTile).toBeVisible();
  await ada.page.keyboard.press('i');
  const dialog = ada.page.getByRole('dialog');
  await dialog.locator('[data-action="copy-link"]').click();
  await expect(dialog.locator('[data-action="copy-link"]')).toContainText('Copied');
  const link = await ada.page.evaluate(() => navigator.clipboard.readText());
  expect(await scanned(dialog.getByRole('img'))).toBe(link);

  const grace = await person('Grace');
  await grace.page.goto(link);
  await grace.page.locator('input[name=name]').fill('Grace');
  await grace.button('join').click();
  await expect(ada.tile('Grace')).toBeVisible();
});
