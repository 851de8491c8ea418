// R64 and R92 in real browsers, behind an nginx with the tutorial's configuration: the meeting's own page joins, and
// a page of another origin can neither read a proof nor join.

import { Person, expect, test } from './lib/test.js';
import { tutorial } from './lib/tutorial.js';

const BROWSERS = ['Chromium', 'Firefox'];

/** Only the page's own location differs from the tutorial: links to rooms are covered by another test. */
const ROOMS = 'rewrite ^/r/[^/]+$ /r/index.html break;';

/** Common alternatives to forwarding no `Host` at all. */
const PROXIES = [
  ['without Host', ''],
  ['with $host, which has no port', 'proxy_set_header Host $host;'],
];

/** Runs in the malicious page: tries every way to get a proof, and joins with the results. */
async function attack(target) {
  const proofUrl = `${target}signal-api/v1/origin-proof`;
  const found = {};
  const take = (text) => /[0-9a-f]{64}/.exec(text ?? '')?.[0];
  for (const mode of ['cors', 'no-cors']) {
    found[mode] = await fetch(proofUrl, { mode, cache: 'no-store' }).then(
      async (response) => take(await response.text()) ?? 'unreadable',
      () => 'refused',
    );
  }
  found.credentials = await fetch(proofUrl, { credentials: 'include' }).then(
    async (response) => take(await response.text()) ?? 'unreadable',
    () => 'refused',
  );

  const errors = [];
  addEventListener('error', ({ message }) => errors.push(message));
  const load = async (tag, attribute) => {
    const element = document.createElement(tag);
    if (tag === 'link') element.rel = 'stylesheet';
    element[attribute] = proofUrl;
    await new Promise((resolve) => {
      element.onload = element.onerror = resolve;
      // Some browsers do not report blocked elements.
      setTimeout(resolve, 2_000);
      document.documentElement.append(element);
    });
    try {
      found[tag] = take(element.contentDocument?.documentElement.textContent) ?? 'unreadable';
    } catch {
      found[tag] = 'unreadable';
    }
  };
  await Promise.all([
    load('script', 'src'),
    load('link', 'href'),
    load('iframe', 'src'),
    load('object', 'data'),
  ]);
  found.errors = take(errors.join()) ?? 'unreadable';

  const join = (proof) =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${target.replace('http', 'ws')}signal-api/ws?room=private`);
      let told = 'nothing';
      socket.onopen = () => socket.send(JSON.stringify({ type: 'join', name: 'Eve', proof }));
      socket.onmessage = ({ data }) => {
        const { type, code } = JSON.parse(data);
        told = code ?? type;
        if (type === 'welcome') socket.close();
      };
      socket.onclose = ({ code }) => resolve(`${told} ${code}`);
    });
  const proof = Object.values(found).find((what) => take(what));
  return {
    found,
    joins: [await join(proof), await join('0'.repeat(64)), await join('')],
  };
}

// Nine pages attack, one after another, and Firefox takes long to start.
test.describe.configure({ timeout: 180_000 });

for (const browser of BROWSERS) {
  for (const [how, proxy] of PROXIES) {
    test(`the meeting joins behind a proxy ${how}: ${browser}`, async ({ open, join, server }) => {
      const front = await tutorial(server, { proxy, fallback: ROOMS });
      try {
        const ada = await Person.at(await open(browser), 'Ada');
        await ada.join(front.url, 'standup');
        const signaling = () => ada.page.evaluate(() => document.documentElement.dataset.signaling);
        await expect.poll(signaling).toBe('open');
        const grace = await join('Grace', 'standup', { base: front.url });
        await expect(grace.tile('Ada')).toBeVisible();
        expect(await server.metric('roundtable_errors_total{code="origin_not_allowed"}')).toBe(0);
      } finally {
        await front.stop();
      }
    });
  }

  test(`a page of another origin can neither read a proof nor join: ${browser}`, async ({
    open,
    join,
    server,
    website,
  }) => {
    // Also if browsers do not send the site of a request, as over plain HTTP.
    const silent = 'proxy_set_header Sec-Fetch-Site "";';
    const proxies = [...PROXIES.map(([, proxy]) => proxy), silent];
    const fronts = await Promise.all(proxies.map((proxy) => tutorial(server, { proxy, fallback: ROOMS })));
    try {
      const ada = await join('Ada', 'private', { base: fronts[0].url });
      await expect(ada.page.locator('html')).toHaveAttribute('data-signaling', 'open');
      const page = await open(browser);
      for (const front of fronts) {
        const meeting = `https://127.0.0.1:${new URL(front.url).port}/`;
        // Another port; another host name and port; another host name with the same port as the meeting's own page.
        for (const site of [
          website('127.0.0.1'),
          website('localhost'),
          `https://localhost:${new URL(front.url).port}/50x.html`,
        ]) {
          await page.goto(site);
          const { found, joins } = await page.evaluate(attack, meeting);
          for (const [way, what] of Object.entries(found))
            expect(['refused', 'unreadable'], `${way} at ${site}`).toContain(what);
          expect(joins, site).toEqual(Array(3).fill('origin_not_allowed 4012'));
        }
      }
      await expect(ada.tiles).toHaveCount(0);
    } finally {
      await Promise.all(fronts.map((front) => front.stop()));
    }
  });

  test(`the attack fails where a proxy adds CORS headers, and succeeds where it hides the origin, too: ${browser}`, async ({
    open,
    server,
    website,
  }) => {
    const careless = `proxy_set_header Sec-Fetch-Site ""; proxy_hide_header Cross-Origin-Resource-Policy;
      add_header Access-Control-Allow-Origin * always;`;
    const hiding = `${careless} proxy_set_header Origin "";`;
    const fronts = await Promise.all([careless, hiding].map((proxy) => tutorial(server, { proxy })));
    try {
      const page = await open(browser);
      await page.goto(website('127.0.0.1'));
      const { joins } = await page.evaluate(attack, fronts[0].url);
      expect(joins).toEqual(Array(3).fill('origin_not_allowed 4012'));
      const { found, joins: hidden } = await page.evaluate(attack, fronts[1].url);
      expect(found.cors).toMatch(/^[0-9a-f]{64}$/);
      expect(hidden[0]).toMatch(/^welcome/);
    } finally {
      await Promise.all(fronts.map((front) => front.stop()));
    }
  });
}
