// Rejected users keep their choices, and each button that is offered has an effect.

import { subPath } from './lib/net.js';
import { expect, expectPictures, expectSignaling, test } from './lib/test.js';

test.describe('a room for two', () => {
  test.use({ settings: { ROUNDTABLE_ROOM_MEMBERS: '2' } });

  test('what was switched off before a refusal stays off after it', async ({ join, person, server }) => {
    const ada = await join('Ada', 'full');
    const grace = await join('Grace', 'full');
    const alan = await person('Alan');
    await alan.page.goto(`${server.url}r/full`);
    for (const device of ['mic', 'camera']) {
      const button = alan.button(device);
      await expect(button).toHaveAttribute('aria-pressed', 'true');
      await button.click();
      await expect(button).toHaveAttribute('aria-pressed', 'false');
    }
    await alan.page.locator('input[name=name]').fill('Alan');
    await alan.button('join').click();
    await expect(alan.failure('room_full')).toBeVisible();

    await grace.button('leave').click();
    await expect(ada.tile('Grace')).toHaveCount(0);
    await alan.button('rejoin').click();
    await expectPictures(alan, 'Ada');
    for (const device of ['mic', 'camera']) {
      await expect(ada.tile('Alan')).toHaveAttribute(`data-${device}`, 'off');
      await expect(alan.button(device)).toHaveAttribute('aria-pressed', 'false');
    }
  });
});

/** Checks that the page displays the retry delay, and waits that long between the next two attempts. */
async function expectHintHeeded(person, code) {
  await expect(person.failure(code)).toContainText('Trying again in 5 s');
  await expect(person.failure(code).getByRole('button')).toHaveCount(0);
  const tries = () => person.page.evaluate(() => window.probe.tries);
  const { length } = await tries();
  await expect.poll(async () => (await tries()).length).toBeGreaterThan(length + 1);
  const [first, second] = (await tries()).slice(length);
  expect(second - first).toBeGreaterThan(4_900);
}

test.describe('a server for one', () => {
  test.use({ settings: { ROUNDTABLE_CONNECTIONS: '1' } });

  test('says that it is full, and takes whoever waits when there is a place', async ({ join }) => {
    const ada = await join('Ada', 'one');
    await expectSignaling(ada, 'open');
    const grace = await join('Grace', 'one');
    await expect(grace.failure('server_full')).toContainText('The server is full');
    await expectHintHeeded(grace, 'server_full');
    await ada.button('leave').click();
    await expectSignaling(grace, 'open');
  });
});

test.describe('few connections for an address', () => {
  // More than a browser opens to load a page.
  const CONNECTIONS = 12;
  test.use({ settings: { ROUNDTABLE_ADDRESS_CONNECTIONS: `${CONNECTIONS}` } });

  test('one too many is told so, and gets in when another one is closed', async ({
    join,
    person,
    server,
  }) => {
    const ada = await person('Ada');
    await ada.page.goto(server.url);
    await ada.page.evaluate(async (count) => {
      const open = () =>
        new Promise((resolve) => {
          const socket = new WebSocket(
            new URL('signal-api/ws?room=many', location.href.replace('http', 'ws')),
          );
          socket.onopen = () => socket.send(JSON.stringify({ type: 'join', name: 'Ada' }));
          socket.onmessage = () => resolve(socket);
        });
      window.held = await Promise.all(Array.from({ length: count }, open));
    }, CONNECTIONS);
    const grace = await join('Grace', 'one-too-many');
    await expect(grace.failure('too_many_connections')).toContainText('Your network');
    await expectHintHeeded(grace, 'too_many_connections');
    await ada.page.evaluate(() => window.held[0].close());
    await expectSignaling(grace, 'open');
  });
});

test('a proxy that hides the name of the server is no hindrance', async ({ person, server }) => {
  const proxy = await subPath(server.port, { host: `127.0.0.1:${server.port}` });
  const grace = await person('Grace');
  await grace.page.goto(`${proxy.url}r/hidden`);
  await expect(grace.page.locator('[data-path=none]')).toBeVisible();
  await grace.join(proxy.url, 'hidden');
  await expectSignaling(grace, 'open');
  proxy.close();
});

test('a page without a proof: said, with what would help, until there is one', async ({ person, server }) => {
  const proxy = await subPath(server.port, { host: `127.0.0.1:${server.port}` });
  const grace = await person('Grace');
  // As behind a proxy that forwards only the WebSocket.
  await grace.page.route('**/origin-proof', (route) => route.fulfill({ status: 404, body: 'Not Found' }));
  await grace.page.goto(`${proxy.url}r/foreign`);
  await expect(grace.page.locator('[data-path=failed]')).toContainText(
    'does not accept connections from this page',
  );
  await grace.join(proxy.url, 'foreign');
  await expect(grace.failure('origin_refused')).toContainText('ask the server’s administrator to allow this one');
  await expectSignaling(grace, 'connecting');
  // Automatically, without a reload.
  await grace.page.unroute('**/origin-proof');
  await expectSignaling(grace, 'open');
  proxy.close();
});

test.describe('under a name that the server does not have', () => {
  test.use({ settings: { ROUNDTABLE_SERVER_NAMES: 'meet.example' } });

  test('a page says so, with what would help', async ({ join, server }) => {
    const grace = await join('Grace', 'foreign');
    await expect(grace.failure('origin_refused')).toContainText('ask the server’s administrator to allow this one');
    await expectSignaling(grace, 'connecting');
    await server.kill();
    await server.start({ ROUNDTABLE_SERVER_NAMES: 'meet.example,localhost' });
    await grace.page.reload();
    await expectSignaling(grace, 'open');
  });
});

test('a page that the server does not understand can be reloaded', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.routeWebSocket(/signal-api/, (socket) => socket.close({ code: 1002 }));
  await ada.join(server.url, 'strange');
  await expect(ada.failure('protocol_error')).toBeVisible();
  const reloaded = ada.page.waitForEvent('load');
  await ada.button('reload').click();
  await reloaded;
});
