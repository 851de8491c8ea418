// The page that looks for what is wrong between a browser and its meetings.

import { chromium } from '@playwright/test';
import http from 'node:http';
import { once } from 'node:events';
import { executablePath, fakeDevices, quiet } from './lib/chromium.js';
import { block } from './lib/net.js';
import { expect, test as base } from './lib/test.js';
import { Turn } from './lib/turn.js';

const test = base.extend({
  /** What the server believes to be the relay's secret; its own, where nothing is said. */
  secret: [undefined, { option: true }],

  turn: async ({}, use) => {
    const turn = await Turn.start();
    await use(turn);
    await turn.stop();
  },

  settings: async ({ turn, secret }, use) => {
    const urls = [`stun:${turn.host}:${turn.port}`, turn.url('udp'), turn.url('tcp')];
    await use({
      ROUNDTABLE_ICE_URLS: urls.join(),
      ROUNDTABLE_TURN_SECRET: secret ?? turn.secret,
    });
  },
});

/** Opens the page and waits until it has looked at everything. */
async function looked(page, address) {
  await page.goto(new URL('diag', address).href);
  await expect(page.locator('[data-diag=ready]')).toBeVisible({
    timeout: 60_000,
  });
}

/** What it found, in order. */
function findings(page) {
  const all = page.locator('[data-finding]');
  return all.evaluateAll((items) => items.map((item) => item.dataset.finding));
}

test('all is well: server, relays and devices; the report says so and no secret', async ({
  server,
  person,
}) => {
  const { page } = await person('Ada', {
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  await page.goto(server.url);
  await page.locator('a[href$="/diag"]').click();
  await expect(page.locator('[data-diag=ready]')).toBeVisible({
    timeout: 60_000,
  });
  expect(await findings(page)).toEqual([]);
  await expect(page.locator('.summary')).toHaveText('All well.');
  await expect(page.locator('[data-look=relay]')).toHaveCount(2);

  await page.locator('[data-action=try-devices]').press('Enter');
  await expect(page.locator('[data-look=devices]')).toBeVisible();
  expect(await findings(page)).toEqual([]);

  await page.locator('[data-action=copy-report]').click();
  await expect(page.locator('[data-action=copy-report]')).toHaveText('Copied');
  const report = await page.evaluate(() => navigator.clipboard.readText());
  expect(report).toMatch(/ok · relay · turn:.*transport=tcp · .*relay\/udp/);
  expect(report).not.toMatch(/credential|\d{10}:/);
});

test.describe('another secret', () => {
  test.use({ secret: 'another-secret-than-its' });

  test('is found, in both languages', async ({ server, person }) => {
    const { page } = await person('Ada', { locale: 'zh-CN' });
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['relay_secret_wrong', 'relay_secret_wrong']);
    await expect(page.locator('[data-finding]').first()).toContainText('中继不接受凭据。');
  });
});

test('a relay whose ports are shut', async ({ server, turn, person }) => {
  const { page } = await person('Ada');
  const unblock = await block([`${turn.port + 1}:${turn.port + 40}`]);
  try {
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['relay_ports_closed', 'relay_ports_closed']);
  } finally {
    await unblock();
  }
});

test('a proxy that passes no WebSocket on, one that changes the host, and one without a server', async ({
  server,
  person,
}) => {
  const { page } = await person('Ada');
  const cases = [
    ['upgrade_headers_missing', server.port, {}],
    ['origin_refused', server.port, { host: 'elsewhere.example' }],
    ['server_down', 1, {}],
  ];
  for (const [name, port, headers] of cases) {
    // Without a listener for upgrades it takes them for requests, and passes their headers on as few proxies do.
    const proxy = http.createServer((request, response) => {
      const api = request.url.startsWith('/signal-api/');
      const { upgrade, connection, ...rest } = request.headers;
      const to = {
        port: api ? port : server.port,
        path: request.url,
        method: request.method,
      };
      const asked = http.request({ ...to, headers: { ...rest, ...headers } }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      asked.on('error', () => response.writeHead(502).end());
      request.pipe(asked);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    await looked(page, `http://localhost:${proxy.address().port}/`);
    expect(await findings(page)).toEqual([name]);
    proxy.close();
    proxy.closeAllConnections();
  }
});

test('a clock that is an hour behind', async ({ server, person }) => {
  const { page } = await person('Ada');
  await page.addInitScript(() => {
    const now = Date.now;
    Date.now = () => now() - 3_600_000;
  });
  await looked(page, server.url);
  expect(await findings(page)).toEqual(['clock_skew']);
});

test('plain http on another name than localhost, and devices that are refused', async ({ server }) => {
  const args = [...quiet, ...fakeDevices, '--host-resolver-rules=MAP meeting.test 127.0.0.1'];
  const browser = await chromium.launch({
    executablePath,
    args: [...args, '--deny-permission-prompts'],
  });
  const page = await browser.newPage();
  await looked(page, `http://meeting.test:${server.port}/`);
  expect(await findings(page)).toEqual(['plain_http']);
  await expect(page.locator('[data-action=try-devices]')).toHaveCount(0);
  // Nothing is copied for a page that is not secure: there it is shown.
  await page.locator('[data-action=copy-report]').click();
  await expect(page.locator('textarea')).toHaveValue(/plain_http · secure/);

  await looked(page, server.url);
  await page.locator('[data-action=try-devices]').click();
  await expect(page.locator('[data-finding=devices_blocked]')).toBeVisible();
  await browser.close();
});
