// Failures are explained in plain words, and everyone who can be admitted gets in.

import { readdir } from 'node:fs/promises';
import { chromium } from '@playwright/test';
import { executablePath, fakeDevices, quiet } from './lib/chromium.js';
import { subPath, website } from './lib/net.js';
import { DIST } from './lib/server.js';
import { Person, expect, expectPictures, expectSignaling, test as base } from './lib/test.js';

const test = base.extend({
  /** A person whose Chromium has other flags. */
  strange: async ({}, use) => {
    const browsers = [];
    await use(async (name, args) => {
      const browser = await chromium.launch({ executablePath, args: [...quiet, ...args] });
      browsers.push(browser);
      return Person.at(await browser.newPage(), name);
    });
    for (const browser of browsers) await browser.close();
  },
});

/** Joins from the lobby without devices, and sees another person. */
async function expectWelcome(person, other) {
  await person.page.locator('input[name=name]').fill(person.name);
  await person.button('join').click();
  await expectPictures(person, other.name);
  await expect(other.tile(person.name)).toHaveAttribute('data-camera', 'off');
}

test.describe('a room for two', () => {
  test.use({ settings: { ROUNDTABLE_ROOM_MEMBERS: '2' } });

  test('the third is told that it is full, and gets in when someone leaves', async ({ join }) => {
    await join('Ada', 'full');
    const grace = await join('Grace', 'full');
    const alan = await join('Alan', 'full');
    await expect(alan.failure('room_full')).toContainText('This meeting is full.');
    await expectSignaling(alan, 'closed');

    await grace.button('leave').click();
    await alan.button('rejoin').click();
    await expectPictures(alan, 'Ada');
  });
});

test('plain http on another name than localhost: said, and joined without devices', async ({
  join,
  server,
  strange,
}) => {
  const ada = await join('Ada', 'plain');
  const grace = await strange('Grace', [...fakeDevices, '--host-resolver-rules=MAP meeting.test 127.0.0.1']);
  await grace.page.goto(`http://meeting.test:${server.port}/r/plain`);
  await expect(grace.failure('insecure_context')).toContainText('https://');
  await expectWelcome(grace, ada);
});

test('permission denied: said, and joined without devices', async ({ join, server, strange }) => {
  const ada = await join('Ada', 'denied');
  const grace = await strange('Grace', [...fakeDevices, '--deny-permission-prompts']);
  await grace.page.goto(`${server.url}r/denied`);
  await expect(grace.failure('permission_denied')).toContainText('the camera and the microphone');
  await expectWelcome(grace, ada);
});

test('no camera and no microphone: said, and joined without', async ({ join, server, strange }) => {
  const ada = await join('Ada', 'bare');
  const grace = await strange('Grace', ['--use-fake-ui-for-media-stream']);
  await grace.page.goto(`${server.url}r/bare`);
  await expect(grace.failure('no_device')).toContainText('cannot find the camera and the microphone');
  await expectWelcome(grace, ada);
});

test('a room’s name that cannot be is refused at once', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.goto(`${server.url}r/${'x'.repeat(65)}`);
  await expect(ada.failure('room_invalid')).toBeVisible();
  await ada.button('home').click();
  await expect(ada.page).toHaveURL(server.url);
});

test('the server is gone before the join: said, and joined when it is back', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.goto(`${server.url}r/early`);
  await ada.page.locator('input[name=name]').fill('Ada');
  await server.kill();
  await ada.button('join').click();
  await expect(ada.failure('server_unreachable')).toContainText('cannot be reached');
  await expectSignaling(ada, 'connecting');

  await server.start();
  await expect(ada.ownTile).toBeVisible();
  await expectSignaling(ada, 'open');
});

test('a style that another part has asked for in vain comes all the same', async ({ person, server }) => {
  const sheet = (await readdir(`${DIST}/assets`)).find((name) => /^RoomView-.*\.css$/.test(name));
  const ada = await person('Ada');
  // Its `link` exists, so the room does not request it again; then it fails.
  let fail;
  const failing = new Promise((resolve) => (fail = resolve));
  await ada.page.route(
    `**/${sheet}`,
    async (route) => {
      await failing;
      await route.abort();
    },
    { times: 1 },
  );
  await ada.page.addInitScript((href) => {
    const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
    document.addEventListener('DOMContentLoaded', () => document.head.append(link));
  }, `/assets/${sheet}`);
  await ada.page.goto(`${server.url}r/styles`, { waitUntil: 'commit' });
  await ada.page.locator('input[name=name]').fill('Ada');
  await ada.button('join').click();
  await expect(ada.ownTile).toBeAttached();
  await expect(ada.ownTile).toBeHidden();
  fail();
  await expect(ada.ownTile).toBeVisible();
});

/** Answers of proxies whose server is down: a common one's, and Roundtable's own nginx's. */
const bad = {
  'a proxy': '<html><h1>502 Bad Gateway</h1></html>',
  'our nginx': '{"code":"UNAVAILABLE","message":"The signaling server does not answer."}',
};
for (const [who, answer] of Object.entries(bad)) {
  test(`${who} answers for a server that is down: it is not called a wrong address`, async ({
    person,
    server,
  }) => {
    const proxy = await subPath(server.port, { down: answer });
    const ada = await person('Ada');
    await ada.page.goto(`${proxy.url}r/down`);
    await ada.page.locator('input[name=name]').fill('Ada');
    await server.kill();
    await ada.button('join').click();
    await expect(ada.failure('server_unreachable')).toBeVisible();
    await server.start();
    await expectSignaling(ada, 'open');
    proxy.close();
  });
}

test('a website that answers everything with its page is told to be the wrong address', async ({
  person,
}) => {
  const site = await website();
  const ada = await person('Ada');
  await ada.join(site.url, 'wrong');
  await expect(ada.failure('wrong_address')).toContainText('No signaling server answers here');
  await expectSignaling(ada, 'connecting');
  site.close();
});

/** Emulates a network that allows only relayed traffic, without a relay. */
function onlyByRelay() {
  const { RTCPeerConnection } = window;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: 'relay' });
    }
  };
}

test('no path between two people: said on the tile, with what would help', async ({
  join,
  person,
  server,
}) => {
  // One side gives up after two attempts of 20 s; the other side, whose limit restarts with each new offer, after a
  // third.
  test.slow();
  const ada = await person('Ada');
  await ada.page.addInitScript(onlyByRelay);
  await ada.join(server.url, 'walled', { video: false });
  const grace = await join('Grace', 'walled', { video: false });
  const note = ada.tile('Grace').locator('[data-failure=no_path]');
  await expect(note).toContainText('TURN', { timeout: 90_000 });
  await expect(grace.tile('Ada').locator('[data-failure=no_path]')).toBeVisible({ timeout: 90_000 });
});

test('a browser that is slow to answer is not reported as unreachable, and is connected in the end', async ({
  join,
  person,
  server,
}) => {
  const ada = await person('Ada');
  // Grace's answers arrive only when released, as from an overloaded machine.
  const held = [];
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await ada.page.routeWebSocket(/signal-api/, (page) => {
    const socket = page.connectToServer();
    socket.onMessage(async (message) => {
      if (JSON.parse(message).type === 'signal') held.push(message);
      // Keep the order of messages.
      if (held.length > 0) await released;
      page.send(message);
    });
  });
  await ada.page.clock.install();
  await ada.join(server.url, 'slow', { video: false });
  const grace = await join('Grace', 'slow', { video: false });
  const tile = ada.tile('Grace');
  await expect.poll(() => held.length).toBeGreaterThan(0);
  // Two time limits of a connection: 20 s each.
  for (let times = 0; times < 2; times++) await ada.page.clock.fastForward(20_000);
  await expect(tile).toHaveAttribute('data-link', 'slow');
  await expect(tile).toContainText('One of your devices or networks is slow');
  await expect(ada.failure('no_path')).toHaveCount(0);
  release();
  await expect(tile).toHaveAttribute('data-link', 'connected');
  await expect(grace.tile('Ada')).toHaveAttribute('data-link', 'connected');
});
