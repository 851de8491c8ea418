// `autojoin=1` from another origin, in real browsers that have allowed camera and microphone before. There is no user
// activation on these tests' pages, and they lack `probe`, which pretends that there was.

import { ownNginx } from './lib/nginx.js';
import { DIST, Server } from './lib/server.js';
import { Person, expect, expectPictures, test } from './lib/test.js';

/** Calls a function in a page. Playwright's own `evaluate` counts as user activation. */
async function evaluate(page, script, argument) {
  if (!page.context) return page.evaluate(script, argument);
  const session = await page.context().newCDPSession(page);
  const expression = `(${script})(${JSON.stringify(argument)})`;
  const { result } = await session.send('Runtime.evaluate', { expression, awaitPromise: true });
  await session.detach();
  return result.value;
}

/** Polls a `data-` attribute of the page, by its `dataset` name; `undefined` during navigation. */
const shown = (page, name) =>
  expect.poll(() => evaluate(page, read, name).catch(() => undefined), { message: name });
const read = (name) => document.querySelector(`[data-${name}]`)?.dataset[name];

/** Ways in which a website sends its visitor to an address. Each runs in the website's page. */
const WAYS = {
  location: (url) => {
    location.href = url;
  },
  link: (url) => {
    Object.assign(document.createElement('a'), { href: url, rel: 'noreferrer' }).click();
  },
  window: (url) => {
    open(url);
  },
};

for (const browser of ['Chromium', 'Firefox']) {
  test(`another site does not bring a visitor’s camera into a room: ${browser}`, async ({
    open,
    join,
    server,
    website,
  }) => {
    const ada = await join('Ada', 'trap', { video: false });
    const page = await open(browser);
    const address = `${server.url}r/trap?name=Grace&autojoin=1`;
    // Firefox blocks windows that open without user activation.
    for (const way of browser === 'Firefox' ? ['location', 'link'] : ['location', 'link', 'window']) {
      await page.goto(website('127.0.0.1'));
      const popup = way === 'window' ? page.waitForEvent('popup') : undefined;
      await evaluate(page, WAYS[way], `${address}&audio=1&video=1`);
      const opened = (await popup) ?? page;
      await shown(opened, 'phase').toBe('lobby');
      // Only the visitor sees this picture: the camera was allowed.
      await shown(opened, 'camera').toBe('on');
      await expect(ada.tiles).toHaveCount(0);
    }

    await page.goto(website('127.0.0.1'));
    await evaluate(page, WAYS.location, `${address}&audio=0&video=0`);
    await shown(page, 'phase').toBe('joined');
    await expect(ada.tile('Grace')).toHaveAttribute('data-camera', 'off');

    // The name that the visitor has used in other meetings is not disclosed.
    await evaluate(page, () => localStorage.setItem('roundtable.name', 'Barbara'));
    await page.goto(website('127.0.0.1'));
    await expect(ada.tiles).toHaveCount(0);
    await evaluate(page, WAYS.location, `${server.url}r/trap?autojoin=1&audio=0&video=0`);
    await shown(page, 'phase').toBe('joined');
    await expect(ada.tile('Guest')).toBeVisible();
  });
}

for (const front of ['server', 'nginx']) {
  test(`a listed site frames a meeting that joins by itself, and another site cannot frame it: ${front}`, async ({
    open,
    person,
    website,
  }) => {
    const portal = website('127.0.0.1');
    const settings = { ROUNDTABLE_FRAME_ANCESTORS: new URL(portal).origin };
    const server = await new Server(settings).start();
    const nginx = front === 'nginx' ? await ownNginx(DIST, server, settings) : undefined;
    const { url } = nginx ?? server;
    try {
      const ada = await person('Ada');
      await ada.join(url, 'standup', { video: false });
      // Chromium before the server, Firefox before nginx: both code paths are covered in either.
      const page = await open(front === 'nginx' ? 'Firefox' : 'Chromium');
      const frame = (src) =>
        new Promise((resolve) => {
          const element = document.createElement('iframe');
          Object.assign(element, { src, allow: 'camera; microphone', onload: resolve });
          document.documentElement.append(element);
        });
      const address = `${url}r/standup?autojoin=1&audio=0&name=`;

      await page.goto(website('localhost'));
      await evaluate(page, frame, `${address}Eve`);
      await page.goto(portal);
      await evaluate(page, frame, `${address}Grace`);
      await expectPictures(ada, 'Grace');
      await expect(ada.tiles).toHaveCount(1);
    } finally {
      await nginx?.stop();
      await server.kill();
    }
  });
}

test('server and nginx send the same headers with pages, which keep rooms out of search engines', async ({
  server,
}) => {
  const settings = { ROUNDTABLE_FRAME_ANCESTORS: 'https://portal.example, https://Intranet.example:8443/' };
  await server.kill();
  await server.start(settings);
  const nginx = await ownNginx(DIST, server, settings);
  const headers = async (url) => {
    const { headers } = await fetch(url);
    return Object.fromEntries(
      [...headers].filter(([name]) => /polic|frame|robots|content-type-options|transport/.test(name)),
    );
  };
  try {
    const paths = ['', 'r/standup', '?room=standup', '?a=b', 'signal-api/v1/rooms/standup'];
    for (const path of paths) {
      const sent = await headers(server.url + path);
      expect(await headers(nginx.url + path), path).toEqual(sent);
      expect(sent['x-robots-tag'], path).toBe(/standup/.test(path) ? 'noindex' : undefined);
      const list = 'https://portal.example https://intranet.example:8443';
      expect(sent['content-security-policy']).toContain(`frame-ancestors 'self' ${list};`);
      expect(sent['permissions-policy']).toContain(
        'camera=(self "https://portal.example" "https://intranet.example:8443")',
      );
      expect(sent).not.toHaveProperty('x-frame-options');
    }
  } finally {
    await nginx.stop();
  }
});
