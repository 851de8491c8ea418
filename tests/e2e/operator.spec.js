// The operator's page: its displays are correct, and its actions take effect.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { loseForGood, subPath, Wire } from './lib/net.js';
import { expect, expectAllSeen, expectPictures, expectSignaling, test } from './lib/test.js';

const TOKEN = 'north-north-north-north-north-north';

// A disconnected member stays disconnected during the test.
test.use({
  settings: { ROUNDTABLE_ADMIN_TOKEN: TOKEN, ROUNDTABLE_RESUME_WINDOW: '10m' },
});

const at = (base) => new URL('signal-api/v1/admin/', base).href;
const room = (operator, name) => operator.page.locator(`[data-room="${name}"]`);
const member = (operator, name) => operator.page.locator(`[data-member="${name}"]`);
const figure = (operator, name) => operator.page.locator(`[data-figure=${name}]`);
const note = (operator, name) => operator.page.locator(`[data-note=${name}]`);

async function signIn(operator, token = TOKEN) {
  await operator.page.locator('input[name=token]').fill(token);
  await operator.button('open').click();
}

/** Confirms an action in its dialog. */
async function confirm(operator) {
  const dialog = operator.page.getByRole('dialog');
  await expect(dialog).toBeVisible();
  await dialog.locator('[data-action=confirm]').click();
  await expect(dialog).toHaveCount(0);
}

test('the page as a file of the dist leads to the server', async ({ person, server }) => {
  const operator = await person('Grace');
  await operator.page.goto(new URL('admin.html', server.url).href);
  await expect(operator.page).toHaveURL(at(server.url));
  await signIn(operator);
  await expect(figure(operator, 'rooms')).toBeVisible();
});

test('a browser that cannot run the page is told so', async ({ person, server }) => {
  for (const address of [at(server.url), new URL('admin.html', server.url).href]) {
    const operator = await person('Grace');
    await operator.page.addInitScript(() => delete window.Proxy);
    await operator.page.goto(address);
    await expect(operator.page.getByRole('alert')).toContainText('Use a current');
    await expect(operator.page.getByRole('alert')).toContainText('此浏览器无法显示本页');
    expect(await operator.page.evaluate(() => window.probe.violations)).toEqual([]);
  }
});

test('an operator sees a call and a lost link, removes, ends and drains', async ({
  join,
  person,
  server,
}) => {
  const wire = await Wire.to(server);
  const ada = await join('Ada', 'standup', { audio: true });
  const grace = await join('Grace', 'standup', { base: wire.url });
  await expectAllSeen([ada, grace]);

  const operator = await person('operator');
  const requests = [];
  operator.page.on('request', (request) => requests.push(request.url()));
  await operator.page.goto(at(server.url));
  await signIn(operator);
  await expect(figure(operator, 'rooms')).toHaveText('1');
  await expect(figure(operator, 'members')).toHaveText('2');
  await expect(figure(operator, 'sockets')).toHaveText('2');
  await room(operator, 'standup').click();
  await expect(member(operator, 'Ada')).toContainText('Host');
  await expect(member(operator, 'Ada').locator('[data-state=mic]')).toBeVisible();
  await expect(member(operator, 'Grace').locator('[data-state=camera]')).toBeVisible();
  await expect(member(operator, 'Grace').locator('[data-state=mic-off]')).toBeVisible();

  // Updates live, without interaction.
  await ada.button('mic').click();
  await expect(member(operator, 'Ada').locator('[data-state=mic-off]')).toBeVisible();
  await expect(member(operator, 'Grace')).toHaveAttribute('data-link', 'ok');
  await loseForGood(grace, wire);
  await expect(member(operator, 'Grace')).toHaveAttribute('data-link', 'lost');
  await expect(member(operator, 'Grace')).toContainText('Disconnected');
  await expect(member(operator, 'Ada')).toHaveAttribute('data-link', 'ok');

  await member(operator, 'Grace').locator('[data-action=remove]').click();
  await operator.button('cancel').click();
  await expect(member(operator, 'Grace')).toBeVisible();
  await member(operator, 'Grace').locator('[data-action=remove]').click();
  await confirm(operator);
  await expect(note(operator, 'outcome')).toContainText('Grace was removed');
  await expect(member(operator, 'Grace')).toHaveCount(0);
  await expect(ada.tiles).toHaveCount(0);

  await operator.button('end').click();
  await confirm(operator);
  await expect(ada.failure('ended')).toBeVisible();
  await expect(note(operator, 'outcome')).toContainText('has ended');
  await expect(room(operator, 'standup')).toHaveCount(0);
  await expect(operator.page.locator('[data-detail=standup]')).toContainText('This meeting is empty');

  const zoe = await join('Zoe', 'other', { video: false });
  await expect(room(operator, 'other')).toBeVisible();
  await operator.button('drain').click();
  await confirm(operator);
  await expect(operator.page.locator('[data-draining]')).toBeVisible();
  await expect(operator.button('drain')).toHaveCount(0);
  await expectSignaling(zoe, 'lost');
  await expect(figure(operator, 'sockets')).toHaveText('0');
  expect(requests.filter((url) => url.includes(TOKEN))).toEqual([]);
  expect(await operator.page.evaluate(() => window.probe.violations)).toEqual([]);
  wire.close();
});

test.describe('where few attempts are free', () => {
  test.use({
    settings: { ROUNDTABLE_ADMIN_TOKEN: TOKEN, ROUNDTABLE_ADDRESS_JOINS: '10' },
  });
  test('a wrong token is said to be wrong, and too many are answered with when to come again', async ({
    person,
    server,
  }) => {
    const operator = await person('operator');
    const alert = operator.page.getByRole('alert');
    await operator.page.goto(at(server.url));
    await operator.button('open').click();
    await expect(alert).toHaveText('Enter the token.');
    await signIn(operator, 'north');
    await expect(alert).toHaveText('The server does not accept this token.');
    await expect(figure(operator, 'rooms')).toHaveCount(0);
    await expect(async () => {
      await operator.button('open').click();
      await expect(alert).toHaveText(/Try again in \d+ s/, { timeout: 100 });
    }).toPass();
  });
});

test.describe('where hosts may record to the server', () => {
  test.use({
    settings: async ({}, use) => {
      const folder = await mkdtemp(path(tmpdir(), 'roundtable-operator-'));
      await use({
        ROUNDTABLE_ADMIN_TOKEN: TOKEN,
        ROUNDTABLE_RECORDINGS_DIR: folder,
        ROUNDTABLE_QUALITY_INTERVAL: '1s',
      });
      await rm(folder, { recursive: true, force: true });
    },
  });

  test('an operator sees how good calls are of late, and who records to the server and who does not', async ({
    join,
    person,
    server,
  }) => {
    const operator = await person('operator');
    await operator.page.goto(at(server.url));
    await signIn(operator);
    const reports = operator.page.locator('[data-reports]');
    await expect(reports).toHaveText('No reports in the last 5 minutes.');
    const ada = await join('Ada', 'kept', { audio: true });
    const grace = await person('Grace');
    // Saved to memory: no file is chosen.
    await grace.page.addInitScript(() => delete window.showSaveFilePicker);
    await grace.join(server.url, 'kept');
    await expectPictures(ada, 'Grace');
    await expectPictures(grace, 'Ada');
    const count = async () => parseInt(await reports.textContent(), 10);
    await expect(reports).toHaveText(/^\d+ reports in the last 5 minutes$/);
    const before = await count();
    await expect.poll(count).toBeGreaterThan(before);
    await expect(operator.page.locator('[data-quality=fps]')).toContainText('fps');

    await room(operator, 'kept').click();
    await expect(member(operator, 'Ada').locator('[data-state=mic]')).toBeVisible();
    const to = (name) => member(operator, name).locator('[data-state=recording]');
    await expect(to('Ada')).toHaveCount(0);
    await ada.page.keyboard.press('r');
    await ada.page.locator('[data-place="server"]').check();
    await ada.button('confirm').click();
    await expect(to('Ada')).toHaveText('Recording on the server');
    await expect(to('Grace')).toHaveCount(0);
    await grace.page.keyboard.press('r');
    await grace.button('confirm').click();
    await expect(to('Grace')).toHaveText('Recording on their own device');
    await ada.page.keyboard.press('r');
    await expect(to('Ada')).toHaveCount(0);
  });
});

test('on a phone, in Chinese, by the keyboard, under a path of another website', async ({
  join,
  person,
  server,
}) => {
  const proxy = await subPath(server.port);
  await join('Ada', 'a-name-of-a-meeting-that-is-as-long-as-a-name-of-one-may-be-64', { video: false });
  await join('Grace', '圆桌 1', { video: false });
  const operator = await person('operator', {
    locale: 'zh-CN',
    viewport: { width: 390, height: 844 },
    colorScheme: 'dark',
  });
  const { page } = operator;
  const expectNothingAside = async () => {
    const excess = () => page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
    expect(await excess()).toBeLessThanOrEqual(0);
  };
  /** Presses Tab until a matching element has the focus. */
  const tabTo = async (selector) => {
    const there = () => page.evaluate((selector) => document.activeElement.matches(selector), selector);
    for (let steps = 0; !(await there()); steps += 1) {
      expect(steps, selector).toBeLessThan(20);
      await page.keyboard.press('Tab');
    }
  };
  await page.goto(at(proxy.url));
  await expect(page.locator('input[name=token]')).toBeFocused();
  await expectNothingAside();
  await page.keyboard.type(TOKEN);
  await page.keyboard.press('Enter');
  await expect(figure(operator, 'rooms')).toHaveText('2');
  await expect(page.locator('html')).toHaveAttribute('lang', 'zh-CN');
  await expectNothingAside();

  await tabTo('input[name=search]');
  await page.keyboard.type('圆');
  await expect(page.locator('[data-room]')).toHaveCount(1);
  await tabTo('[data-room]');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: '圆桌 1' })).toBeFocused();
  await expect(member(operator, 'Grace')).toContainText('连接正常');
  await expectNothingAside();
  await tabTo('[data-action=remove]');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog')).toContainText('要移出 Grace 吗');
  await expectNothingAside();
  await page.keyboard.press('Escape');
  await expect(page.locator('[data-action=remove]')).toBeFocused();
  await page.keyboard.press('Shift+Tab');
  await tabTo('[data-action=end]');
  await page.keyboard.press('Enter');
  await tabTo('[data-action=confirm]');
  await page.keyboard.press('Enter');
  await expect(note(operator, 'outcome')).toContainText('已结束“圆桌 1”');
  await operator.button('back').click();
  await page.locator('input[name=search]').fill('');
  await expect(
    room(operator, 'a-name-of-a-meeting-that-is-as-long-as-a-name-of-one-may-be-64'),
  ).toBeVisible();
  await expectNothingAside();

  // Known values stay visible while the server does not answer, with a note.
  await server.kill();
  await expect(note(operator, 'old')).toContainText('服务器没有响应');
  await expect(figure(operator, 'members')).toHaveText('1');
  await server.start();
  await expect(note(operator, 'old')).toHaveCount(0, { timeout: 40_000 });
  await operator.button('sign-out').click();
  await expect(page.locator('input[name=token]')).toHaveValue('');
  proxy.close();
});

test.describe('without a token', () => {
  test.use({ settings: {} });
  test('there is no such page', async ({ person, server }) => {
    const operator = await person('operator');
    const answer = await operator.page.goto(at(server.url));
    expect(answer.status()).toBe(404);
    expect((await answer.json()).code).toBe('NOT_FOUND');
  });
});
