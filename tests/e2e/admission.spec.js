// Access control in browsers: host keys and tokens.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as path } from 'node:path';
import { BINARY } from './lib/server.js';
import { expect, expectAllSeen, test } from './lib/test.js';

const keys = path(mkdtempSync(path(tmpdir(), 'roundtable-keys-')), 'keys.json');
const run = (...args) => execFileSync(BINARY, [...args, '--key-file', keys], { encoding: 'utf8' }).trim();
run('token-key');

/** Opens a link to a room and joins by hand. */
async function enter(someone, link) {
  await someone.page.goto(link);
  await someone.page.locator('input[name=name]').fill(someone.name);
  await someone.button('join').click();
}

test('who made a meeting is its host, whoever comes first', async ({ person, server }) => {
  const [ada, grace] = [await person('Ada'), await person('Grace')];
  await ada.page.goto(server.url);
  await ada.button('create').click();
  await expect(ada.page.locator('input[name=name]')).toBeVisible();
  await enter(grace, ada.page.url());
  await expect(grace.ownTile).toBeVisible();
  // Later, in another tab of the same browser.
  await enter(ada, ada.page.url());
  await expectAllSeen([ada, grace]);
  for (const someone of [ada, grace]) await someone.button('people').click();
  await expect(grace.page.locator('[data-person="Ada"]')).toContainText(/host/i);
});

test.describe('with tokens', () => {
  test.use({ settings: { ROUNDTABLE_ACCESS: 'token', ROUNDTABLE_TOKEN_KEYS_FILE: keys } });

  test('a link with a token lets in, and the token leaves the address', async ({ person, server }) => {
    const ada = await person('Ada');
    const urls = [];
    ada.page.on('request', (request) => urls.push(request.url()));
    ada.page.on('websocket', (socket) => urls.push(socket.url()));
    const token = run('token', '--room', 'standup', '--name', 'Ada by token');
    await enter(ada, `${server.url}r/standup#token=${token}`);
    await expect(ada.ownTile).toBeVisible();
    expect(ada.page.url()).toBe(`${server.url}r/standup`);
    expect(urls.filter((url) => url.includes(token) && !url.includes('#'))).toEqual([]);
    expect(
      await ada.page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage })),
    ).not.toContain(token);

    const eve = await person('Eve');
    await enter(eve, `${server.url}r/standup`);
    await expect(eve.failure('token_missing')).toBeVisible();
    await enter(eve, `${server.url}r/other#token=${token}`);
    await expect(eve.failure('token_refused')).toBeVisible();
  });

  test('a token that ends is renewed through the address, or the call is over', async ({
    person,
    server,
  }) => {
    const [ada, grace] = [await person('Ada'), await person('Grace')];
    const short = () => run('token', '--room', 'short', '--ttl', '12s');
    await enter(ada, `${server.url}r/short#token=${short()}`);
    await enter(grace, `${server.url}r/short#token=${short()}`);
    await expectAllSeen([ada, grace]);
    const long = run('token', '--room', 'short');
    await ada.page.evaluate((token) => {
      location.hash = `token=${token}`;
    }, long);
    await expect.poll(() => ada.page.url()).toBe(`${server.url}r/short`);
    await expect(grace.failure('token_expired')).toBeVisible();
    await expect(ada.tile('Grace')).toHaveCount(0);
    await expect(ada.ownTile).toBeVisible();
  });

  test('a token that is revoked ends at once', async ({ person, server }) => {
    const ada = await person('Ada');
    await enter(ada, `${server.url}r/revoked#token=${run('token', '--room', 'revoked', '--jti', 'lost')}`);
    await expect(ada.ownTile).toBeVisible();
    const before = readFileSync(keys, 'utf8');
    writeFileSync(keys, JSON.stringify({ ...JSON.parse(before), revoked: ['lost'] }));
    await expect(ada.failure('token_refused')).toBeVisible();
    writeFileSync(keys, before);
  });
});
