// The page behind another nginx: the configuration that tutorials print, and common variants.

import { readFileSync } from 'node:fs';
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join as pathOf } from 'node:path';
import { Firefox } from './lib/firefox.js';
import { ownNginx } from './lib/nginx.js';
import { DIST, Server } from './lib/server.js';
import { Person, expect, expectAllSeen, expectSignaling, test as base } from './lib/test.js';
import { tutorial } from './lib/tutorial.js';

// Each test has its own server and nginx, so both workers run them.
base.describe.configure({ mode: 'parallel' });

/** Returns README.md's addition to the tutorial's configuration for addresses like `/r/standup`. */
function locationOfReadme() {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  return /location ~ \^\/r\/[^}]*\}/.exec(readme)[0];
}

const test = base.extend({
  /** nginx with the tutorial's configuration in front of the test's server. */
  site: async ({ server }, use) => {
    const sites = [];
    await use(async (options = {}) => {
      const site = await tutorial(server, options);
      sites.push(site);
      return site;
    });
    await Promise.all(sites.map((site) => site.stop()));
  },

  /** A person with Firefox. */
  fox: async ({}, use) => {
    const firefoxes = [];
    await use(async (name) => {
      const firefox = await Firefox.launch();
      firefoxes.push(firefox);
      return Person.at(firefox, name);
    });
    await Promise.all(firefoxes.map((firefox) => firefox.close()));
  },
});

/** Enters a name in the lobby and joins; works for a Playwright page and for Firefox. */
async function joinFromLobby(person) {
  const { page, name } = person;
  if (page.locator) {
    await page.locator('input[name=name]').fill(name);
    await person.button('join').click();
    return;
  }
  const join = (name) => {
    const field = document.querySelector('input[name=name]');
    if (field === null) return false;
    field.value = name;
    field.dispatchEvent(new Event('input', { bubbles: true }));
    document.querySelector('[data-action=join]').click();
    return true;
  };
  await expect.poll(() => page.evaluate(join, name), { message: `${name} is in the lobby` }).toBe(true);
}

/** Creates a meeting on the landing page and joins it. Returns the invitation link that the page offers. */
async function makeMeeting(person, url) {
  await person.page.goto(url);
  await person.button('create').click();
  await joinFromLobby(person);
  await expect(person.ownTile).toBeVisible();
  await person.page.keyboard.press('i');
  const invitation = await person.page.getByRole('dialog').locator('input[readonly]').inputValue();
  await person.page.keyboard.press('Escape');
  return invitation;
}

const signalingOf = ({ page }) => page.evaluate(() => document.documentElement.dataset.signaling);

/** Copies the dist with this `config.json`, for a server of this repository. */
async function distWith(config) {
  const folder = await mkdtemp(pathOf(tmpdir(), 'roundtable-dist-'));
  await chmod(folder, 0o755);
  await cp(DIST, folder, { recursive: true });
  await writeFile(pathOf(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

/** Returns a web server's response status, its redirect target, and one of its headers. */
async function answer(url, header = 'content-security-policy') {
  const { status, headers } = await fetch(url, { redirect: 'manual' });
  return [status, headers.get('location'), headers.get(header)];
}

test('the configuration of the tutorial carries a call from the landing page over a restart of nginx', async ({
  fox,
  person,
  site,
}) => {
  const front = await site();
  const ada = await person('Ada');
  const invitation = await makeMeeting(ada, front.url);
  expect(invitation).toMatch(new RegExp(`^${front.url}\\?room=[a-z-]+$`));
  expect(ada.page.url()).toBe(invitation);

  const grace = await fox('Grace');
  await grace.page.goto(invitation);
  await joinFromLobby(grace);
  const people = [ada, grace];
  await expectAllSeen(people);

  await ada.page.reload();
  await expectAllSeen(people);

  await front.kill();
  for (const one of people) await expect.poll(() => signalingOf(one)).toBe('lost');
  await expectAllSeen(people);
  await front.start();
  for (const one of people) await expect.poll(() => signalingOf(one)).toBe('open');
  await expectAllSeen(people);
  for (const [one, other] of [people, people.toReversed()]) expect(await one.doubled(other.name)).toBe(0);

  // The diagnostics page is found, too.
  const alan = await person('Alan');
  await alan.page.goto(front.url);
  await alan.page.getByRole('link', { name: 'Check your connection' }).click();
  await expect(alan.page.locator('[data-look=websocket]:not([data-finding])')).toBeVisible();
});

for (const [name, options, link] of [
  ['below a path', { base: '/meet/' }, '?room='],
  ['with HTTP/2 to the browser', { http2: true }, '?room='],
  ['with a dist of index.html alone', { only: true }, '?room='],
  ['with a fallback to index.html', { fallback: 'try_files $uri $uri/ /index.html;' }, '?room='],
  ['with the location of the README', { more: locationOfReadme() }, 'r/'],
  [
    'with another path that config.json names',
    { path: '/rtc/', pass: '/signal-api/', config: { signal_api: 'rtc/' } },
    '?room=',
  ],
]) {
  test(`${name} a meeting is made, and an invitation leads there`, async ({ person, site }) => {
    const front = await site(options);
    const ada = await person('Ada');
    const invitation = await makeMeeting(ada, front.url);
    expect(invitation.startsWith(front.url + link)).toBe(true);
    const grace = await person('Grace');
    await grace.page.goto(invitation);
    await joinFromLobby(grace);
    await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
    await grace.page.reload();
    await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
    if (options.http2) {
      const protocol = () => performance.getEntriesByType('navigation')[0].nextHopProtocol;
      expect(await ada.page.evaluate(protocol)).toBe('h2');
    }
    await grace.button('leave').click();
    await grace.button('home').click();
    await expect(grace.page).toHaveURL(front.url);
  });
}

test('a room typed as a path opens where a fallback answers every path with index.html', async ({
  fox,
  person,
  site,
}) => {
  const front = await site({ fallback: 'try_files $uri $uri/ /index.html;' });
  const ada = await person('Ada');
  for (const path of ['r/a+b%26c?name=Ada&audio=0#later', 'r/a+b%26c/?name=Ada&audio=0#later']) {
    await ada.page.goto(front.url + path);
    await expect(ada.page.locator('input[name=name]')).toHaveValue('Ada');
    const { origin, pathname, searchParams, hash } = new URL(ada.page.url());
    expect([`${origin}${pathname}`, searchParams.get('room'), searchParams.get('audio'), hash]).toEqual([
      front.url,
      'a+b&c',
      '0',
      '#later',
    ]);
  }
  const grace = await fox('Grace');
  await grace.page.goto(`${front.url}r/standup`);
  await expect.poll(() => grace.page.evaluate(() => location.search)).toBe('?room=standup');
  await joinFromLobby(grace);
});

test('a pasted link of any form opens the room and keeps its parameters', async ({ person, site }) => {
  const front = await site();
  const ada = await person('Ada');
  for (const link of [
    `${front.url}r/standup?audio=0`,
    `${front.url}r/standup/?audio=0`,
    `${front.url}?audio=0&room=standup`,
  ]) {
    await ada.page.goto(front.url);
    await ada.page.locator('input[name=room]').fill(link);
    await ada.button('open').click();
    await expect(ada.page).toHaveURL(`${front.url}?room=standup&audio=0`);
    await expect(ada.page.locator('input[name=name]')).toBeVisible();
  }
});

for (const [name, options, english, chinese] of [
  [
    'a proxy_pass with a slash',
    { pass: '/' },
    'its proxy_pass must end with /signal-api/',
    'proxy_pass 必须以 /signal-api/ 结尾',
  ],
  [
    'another path that is passed on as it is',
    { path: '/rtc/', config: { signal_api: 'rtc/' } },
    'its proxy_pass must end with /signal-api/',
    'proxy_pass 必须以 /signal-api/ 结尾',
  ],
  [
    'another path that config.json does not name',
    { path: '/rtc/' },
    'the proxy must pass /signal-api/ to it, or config.json must name its path',
    '代理必须把 /signal-api/ 转发给它，或在 config.json 中写明它的路径',
  ],
]) {
  test(`${name}: the page says what to change`, async ({ person, site }) => {
    const front = await site(options);
    for (const [locale, text] of [
      ['en-US', english],
      ['zh-CN', chinese],
    ]) {
      const ada = await person('Ada', { locale });
      await ada.page.goto(`${front.url}?room=standup`);
      await expect(ada.page.locator('[data-path=failed]')).toContainText(text);
      await joinFromLobby(ada);
      await expect(ada.page.locator('[data-failure]')).toContainText(text);
    }
  });
}

test('over plain HTTP on a LAN the page says what is missing, and one joins without devices', async ({
  person,
  site,
}) => {
  const lan = Object.values(networkInterfaces())
    .flat()
    .find(({ family, internal }) => family === 'IPv4' && !internal);
  expect(lan, 'this machine has an address besides 127.0.0.1').toBeDefined();
  const front = await site({ tls: false, host: lan.address });
  const ada = await person('Ada');
  await ada.page.goto(front.url);
  await ada.button('create').click();
  await expect(ada.failure('insecure_context')).toContainText('https://');
  await joinFromLobby(ada);
  const grace = await person('Grace');
  await grace.page.goto(ada.page.url());
  await joinFromLobby(grace);
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
});

test('page and server are on two origins behind the tutorial’s nginx', async ({ person, server, site }) => {
  const front = await site({ apart: true });
  await writeFile(
    pathOf(front.dist, 'config.json'),
    JSON.stringify({ signal_api: `${front.api}/signal-api/` }),
  );
  const ada = await person('Ada');
  await ada.page.goto(`${front.url}?room=standup`);
  await expect(ada.page.locator('[data-path=failed]')).toBeVisible();

  await server.kill();
  await server.start({ ROUNDTABLE_ALLOWED_ORIGINS: front.origin });
  const invitation = await makeMeeting(ada, front.url);
  expect(invitation.startsWith(`${front.url}?room=`)).toBe(true);
  const grace = await person('Grace');
  await grace.page.goto(invitation);
  await joinFromLobby(grace);
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  // A page that is closed posts its leave request to the other origin, too.
  await grace.page.close();
  await expect(ada.tiles).toHaveCount(0);
});

test('the server’s own page uses a server on another origin: its policy and the other’s CORS allow it', async ({
  person,
  server,
}) => {
  const dist = await distWith({ signal_api: new URL('signal-api/', server.url).href });
  const site = await new Server({ ROUNDTABLE_STATIC_DIR: dist }).start();
  await server.kill();
  await server.start({ ROUNDTABLE_ALLOWED_ORIGINS: new URL(site.url).origin });
  const ada = await person('Ada');
  const requests = [];
  ada.page.on('request', (request) => requests.push(request));
  const invitation = await makeMeeting(ada, site.url);
  const grace = await person('Grace');
  await grace.page.goto(invitation);
  await joinFromLobby(grace);
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  expect(await ada.page.evaluate(() => window.probe.violations)).toEqual([]);
  const asked = requests
    .map((request) => new URL(request.url()))
    .filter(({ pathname }) => /^.signal-api/.test(pathname));
  expect(asked.length).toBeGreaterThan(0);
  expect(asked.filter(({ origin }) => origin !== new URL(server.url).origin)).toEqual([]);

  // A recording's requests, with headers that need a CORS preflight.
  const piece = (api) =>
    fetch(`${api}signal-api/v1/recordings/none?offset=0`, {
      method: 'PUT',
      headers: { authorization: 'Bearer x', 'content-type': 'application/octet-stream' },
      body: 'x',
    }).then(
      (answer) => answer.status,
      () => 'blocked',
    );
  expect(await ada.page.evaluate(piece, server.url)).toBe(404);
  await server.kill();
  await server.start({ ROUNDTABLE_ALLOWED_ORIGINS: 'https://elsewhere.example' });
  expect(await ada.page.evaluate(piece, server.url)).toBe('blocked');
  await site.kill();
  await rm(dist, { recursive: true, force: true });
});

test('a config.json that is wrong is named, in both languages', async ({ person, site }) => {
  const front = await site();
  const ada = await person('Ada');
  const grace = await person('Grace', { locale: 'zh-CN' });
  for (const [config, english, chinese] of [
    ['{"signal_api": "rtc/",}', 'is not valid JSON', '不是有效的 JSON'],
    ['{"signalApi": "rtc/"}', 'unknown key “signalApi”; the keys are “signal_api”, “name”', '未知的键“signalApi”'],
    ['{"signal_api": "wss://a/"}', '“signal_api” is "wss://a/"; it should be a path', '的值是 "wss://a/"'],
    ['{"accent": "green"}', '“accent” is "green"; it should be a colour', '“accent” 的值是 "green"'],
    ['{"signal_api": "http://a/"}', 'can only use a server over HTTPS', '只能连接 https 服务器'],
  ]) {
    await writeFile(pathOf(front.dist, 'config.json'), config);
    for (const [someone, text] of [
      [ada, english],
      [grace, chinese],
    ]) {
      await someone.page.goto(`${front.url}?room=standup`);
      await expect(someone.page.locator('[data-config]')).toContainText(text);
    }
  }
  await rm(pathOf(front.dist, 'config.json'));
  await ada.page.goto(`${front.url}?room=standup`);
  await joinFromLobby(ada);
  await expectSignaling(ada, 'open');
});

test('the nginx of this repository understands each form of a link, and follows config.json', async ({
  server,
}) => {
  const dist = await distWith({ signal_api: 'https://api.example:8443/signal-api/' });
  const front = await ownNginx(dist, server);
  for (const [path, status, location] of [
    ['r/standup/', 302, '../standup'],
    ['r/v1.2/?name=Ada&audio=0', 302, '../v1.2?name=Ada&audio=0'],
    ['r/%E5%9C%86%E6%A1%8C/', 302, '../%E5%9C%86%E6%A1%8C'],
    ['a/b/c?room=standup', 302, '../../?room=standup'],
    ['r/standup', 200, null],
    ['?room=standup', 200, null],
    ['diag', 200, null],
  ])
    expect([path, ...(await answer(front.url + path)).slice(0, 2)]).toEqual([path, status, location]);
  const [, , policy] = await answer(front.url);
  expect(policy).toContain("connect-src 'self' https://api.example:8443 wss://api.example:8443;");
  expect((await answer(`${front.url}config.json`, 'cache-control'))[2]).toBe('no-cache');
  // A page that a browser has cached with another policy is sent again.
  const date = (await answer(front.url, 'last-modified'))[2];
  expect((await fetch(front.url, { headers: { 'if-modified-since': date } })).status).toBe(200);

  await rm(pathOf(dist, 'r'), { recursive: true });
  for (const [path, location] of [
    ['r/standup', '../?room=standup'],
    ['r/standup?name=Ada&audio=0', '../?room=standup&name=Ada&audio=0'],
    ['r/a&b', '../?room=a%26b'],
    ['r/a+b%2526c', '../?room=a%2Bb%2526c'],
    ['r/%E5%9C%86%20%0A', '../?room=%E5%9C%86%20%0A'],
    ['a/b?x=1', '../?x=1'],
  ])
    expect([path, ...(await answer(front.url + path)).slice(0, 2)]).toEqual([path, 302, location]);
  await front.stop();
  await rm(dist, { recursive: true, force: true });
});
