// The page that diagnoses the connection between a browser and its meetings.

import { chromium } from '@playwright/test';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import WebSocket from 'ws';
import { allowDevices, executablePath, fakeDevices, quiet } from './lib/chromium.js';
import { Firefox } from './lib/firefox.js';
import { block } from './lib/net.js';
import { nginx } from './lib/nginx.js';
import { DIST, Server } from './lib/server.js';
import { expect, test } from './lib/test.js';
import { Turn, ownAddress } from './lib/turn.js';

/** With a relay. */
const relayed = test.extend({
  /** Additional settings of the server. */
  more: [{}, { option: true }],

  /** The relay's misconfiguration: options of `Turn.start`. */
  mistake: [{}, { option: true }],

  turn: async ({ mistake }, use) => {
    const turn = await Turn.start(mistake);
    await use(turn);
    await turn.stop();
  },

  settings: async ({ turn, more }, use) => {
    const urls = [`stun:${turn.host}:${turn.port}`, turn.url('udp'), turn.url('tcp')];
    await use({
      ROUNDTABLE_ICE_URLS: urls.join(),
      ROUNDTABLE_TURN_SECRET: turn.secret,
      ...more,
    });
  },
});

/** Waits until all checks have finished. */
async function ready(page) {
  await expect(page.locator('[data-diag=ready]')).toBeVisible({
    timeout: 60_000,
  });
}

/** Opens the page and waits until all checks have finished. */
async function looked(page, address) {
  await page.goto(new URL('diag', address).href);
  await ready(page);
}

/** Returns the findings in order. */
function findings(page) {
  const all = page.locator('[data-finding]');
  return all.evaluateAll((items) => items.map((item) => item.dataset.finding));
}

relayed(
  'all is well: server, relays and devices; the report says so and no secret',
  async ({ server, person }) => {
    const { page } = await person('Ada', {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await page.goto(server.url);
    await page.locator('a[href$="?diag"]').click();
    await ready(page);
    expect(await findings(page)).toEqual([]);
    await expect(page.locator('.summary')).toHaveText('No problems found.');
    await expect(page.locator('[data-look=relay]')).toHaveCount(2);

    await page.locator('[data-action=try-devices]').press('Enter');
    await expect(page.locator('[data-look=devices]')).toBeVisible();
    expect(await findings(page)).toEqual([]);

    await page.locator('[data-action=copy-report]').click();
    await expect(page.locator('[data-action=copy-report]')).toHaveText('Copied');
    const report = await page.evaluate(() => navigator.clipboard.readText());
    expect(report).toMatch(/ok · relay · turn:.*transport=tcp · .*relay\/udp/);
    expect(report).not.toMatch(/credential|\d{10}:/);
  },
);

relayed.describe('another secret', () => {
  relayed.use({ more: { ROUNDTABLE_TURN_SECRET: 'another-secret-than-its-and-as-long' } });

  relayed('is found, in both languages', async ({ server, person }) => {
    const { page } = await person('Ada', { locale: 'zh-CN' });
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['relay_secret_wrong', 'relay_secret_wrong']);
    await expect(page.locator('[data-finding]').first()).toContainText('中继服务器拒绝了凭据。');
  });
});

relayed('a relay whose ports are shut', async ({ server, turn, person }) => {
  const { page } = await person('Ada');
  const unblock = await block([`${turn.port + 1}:${turn.port + 40}`]);
  try {
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['relay_ports_closed', 'relay_ports_closed']);
  } finally {
    await unblock();
  }
});

relayed('a relay whose UDP port is shut', async ({ server, turn }) => {
  // A browser without device permission, which reveals only one network.
  const browser = await chromium.launch({ executablePath, args: quiet });
  const page = await browser.newPage();
  const unblock = await block([`${turn.port}`]);
  try {
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['stun_unreachable', 'relay_unreachable']);
    const udp = page.locator('[data-finding=relay_unreachable]');
    await expect(udp).toHaveAttribute('data-about', turn.url('udp'));
  } finally {
    await unblock();
    await browser.close();
  }
});

relayed.describe('a relay that believes to be elsewhere', () => {
  relayed.use({ mistake: { settings: { TURN_HOST: '10.255.255.254' } } });

  relayed('tells a wrong address', async ({ server, person }) => {
    const { page } = await person('Ada');
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['relay_address_wrong', 'relay_address_wrong']);
  });
});

relayed.describe('a relay with one port for each', () => {
  relayed.use({ mistake: { settings: { TURN_USER_QUOTA: '1' } } });

  relayed('gives none to the second', async ({ server, person }) => {
    const { page } = await person('Ada');
    await looked(page, server.url);
    expect(new Set(await findings(page))).toEqual(new Set(['relay_refused']));
  });
});

// Another address of this machine: the relay blocks only its own address, and not the browser's.
const other = '198.18.0.7';
relayed.describe('a relay that lets this machine in and not itself', () => {
  const edit = (conf) => conf.replace(`allowed-peer-ip=${other}`, `allowed-peer-ip=${ownAddress()}`);
  relayed.use({
    mistake: {
      settings: { TURN_HOST: other, TURN_RELAY_ADDRESS: other },
      edit,
    },
    settings: ({ turn }, use) =>
      use({
        ROUNDTABLE_ICE_URLS: turn.url('udp'),
        ROUNDTABLE_TURN_SECRET: turn.secret,
      }),
  });

  relayed.beforeAll(() => addresses('replace'));
  relayed.afterAll(() => addresses('del'));

  function addresses(what) {
    const words = ['ip', 'address', what, `${other}/32`, 'dev', 'lo'];
    return promisify(execFile)('env', process.getuid() === 0 ? words : ['sudo', ...words]);
  }

  relayed('is found', async ({ server, person }) => {
    // A browser with device permission uses all addresses, so also others than the relay's own.
    const { page } = await person('Ada', {
      permissions: ['camera', 'microphone'],
    });
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['relay_not_to_itself']);
  });
});

/**
 * Returns the machine's default gateway: the address at which a proxy in a container sees all clients of
 * docker-proxy.
 */
function gateway() {
  const routes = readFileSync('/proc/net/route', 'utf8').split('\n');
  const hex = routes.map((line) => line.split('\t')).find(([, to]) => to === '00000000')?.[2];
  if (hex === undefined) throw new Error('This machine has no default route, which the test needs.');
  return [...Buffer.from(hex, 'hex')].reverse().join('.');
}

test('proxies that are set wrong', async ({ server, person }) => {
  const upstream = `127.0.0.1:${server.port}`;
  const right = `proxy_pass http://${upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    proxy_set_header X-Forwarded-For $remote_addr;`;
  const down = right.replace(`${server.port}`, '1');
  const page = `root ${DIST}; location = /diag { try_files $uri /index.html; }`;
  const cases = [
    [[], `location / { ${right} }`],
    [
      ['upgrade_headers_missing'],
      `location / { ${right.replace('proxy_set_header Upgrade $http_upgrade;', '')} }`,
    ],
    // The origin proof decides where `Host` does not.
    [[], `location / { ${right.replace('$http_host', '$host')} }`],
    [
      ['origin_refused'],
      `location / { ${right.replace('$http_host', '$host')} }
       location = /signal-api/v1/origin-proof { return 404; }`,
    ],
    [['server_down'], `location / { ${right} } location /signal-api/ { ${down} }`],
    // nginx answers 404 if the file of its error_page is missing.
    [
      ['server_down'],
      `${page} location /signal-api/ { ${down} } error_page 502 /50x.html; location = /50x.html { root /nonexistent; }`,
    ],
    [
      ['path_stripped'],
      `${page} location /signal-api/ { default_type application/json; return 404 '{"code":"PATH_STRIPPED","message":"…"}'; }`,
    ],
    [['no_history_fallback'], `${page} location /signal-api/ { ${right} }`],
    [
      ['shared_client_address'],
      `location / { ${right.replace('proxy_set_header X-Forwarded-For $remote_addr;', '')} }`,
    ],
    [['gateway_client_address'], `location / { ${right.replace('$remote_addr', gateway())} }`],
    [['wrong_path'], `location / { root ${DIST}; try_files $uri /index.html; }`],
    [['websocket_failed'], `location / { ${right} } location /signal-api/ws { return 403; }`],
  ];
  const proxy = await nginx(cases.map(([, block]) => block));
  try {
    const { page } = await person('Ada');
    for (const [at, [expected, block]] of cases.entries()) {
      await looked(page, proxy.urls[at]);
      expect(await findings(page), block).toEqual(expected);
    }
  } finally {
    await proxy.stop();
  }
});

test('servers in turn that share no rooms, before the room and on the page', async ({ server, person }) => {
  const other = await new Server().start();
  const upstream = `upstream apart { server 127.0.0.1:${server.port}; server 127.0.0.1:${other.port}; }`;
  const block = `location / { proxy_pass http://apart; proxy_http_version 1.1; proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
    proxy_set_header X-Forwarded-For $remote_addr; }`;
  const proxy = await nginx([block], { lines: upstream });
  try {
    const { page } = await person('Ada', { locale: 'zh-CN' });
    await page.goto(`${proxy.urls[0]}r/standup`);
    await expect(page.locator('[data-path=apart]')).toContainText('互相看不到');
    await looked(page, proxy.urls[0]);
    expect(await findings(page)).toEqual(['servers_not_shared']);
    await page.goto(`${server.url}r/standup`);
    await expect(page.locator('[data-path=none]')).toBeVisible();
  } finally {
    await proxy.stop();
    await other.kill();
  }
});

test('a server that has ended meanwhile', async ({ server, person }) => {
  const { page } = await person('Ada');
  await looked(page, server.url);
  expect(await findings(page)).toEqual([]);
  await server.kill();
  await page.locator('[data-action=examine]').click();
  await expect(page.locator('[data-finding=port_closed]')).toBeVisible();
  await ready(page);
  expect(await findings(page)).toEqual(['port_closed']);
});

test.describe('a server that is full', () => {
  test.use({ settings: { ROUNDTABLE_CONNECTIONS: '1' } });

  test('takes no more', async ({ server, person }) => {
    const grace = new WebSocket(`ws://127.0.0.1:${server.port}/signal-api/ws?room=standup`);
    await once(grace, 'open');
    const { page } = await person('Ada');
    await looked(page, server.url);
    expect(await findings(page)).toEqual(['limit_reached']);
    grace.terminate();
  });
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
  // The clipboard is unavailable to an insecure page: the report is shown instead.
  await page.locator('[data-action=copy-report]').click();
  await expect(page.locator('textarea')).toHaveValue(/plain_http · secure/);

  await looked(page, server.url);
  await page.locator('[data-action=try-devices]').click();
  await expect(page.locator('[data-finding=devices_blocked]')).toBeVisible();
  await browser.close();
});

test('a machine without a camera', async ({ server }) => {
  const args = [...quiet, '--use-fake-device-for-media-stream=device-count=0', ...allowDevices];
  const browser = await chromium.launch({ executablePath, args });
  const page = await browser.newPage();
  await looked(page, server.url);
  await page.locator('[data-action=try-devices]').click();
  await expect(page.locator('[data-finding=devices_missing]')).toBeVisible();
  await browser.close();
});

test('a browser whose owner has switched WebRTC off', async ({ server }) => {
  const firefox = await Firefox.launch({
    'media.peerconnection.enabled': false,
  });
  await firefox.goto(new URL('diag', server.url).href);
  const found = () =>
    firefox.evaluate(() => {
      if (!document.querySelector('[data-diag=ready]')) return 'running';
      return [...document.querySelectorAll('[data-finding]')].map((item) => item.dataset.finding);
    });
  await expect.poll(found).toEqual(['webrtc_missing']);
  await firefox.close();
});
