// The stack's nginx for visitors over IPv6, with and without docker-compose.ipv6.yml.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, test } from 'node:test';
import { Sandbox, inspect, logs, until } from './lib/docker.js';
import { composer } from './lib/stack.js';
import { freePort, get } from './lib/web.js';

const sandbox = new Sandbox();
const hasIPv6 = Object.values(networkInterfaces()).flat().some(({ address }) => address === '::1');
after(() => sandbox.clear());

/**
 * Starts only nginx with these Compose files and requests it at this host. Returns the container's addresses and the
 * client address it saw.
 */
async function visit(host, files) {
  const env = {
    ...{ HTTPS_PORT: `${await freePort()}`, HTTP_PORT: `${await freePort()}` },
    ...{ COMPOSE_FILE: files, IPV6_SUBNET: `fd${randomBytes(1).toString('hex')}:${randomBytes(2).toString('hex')}::/64` },
  };
  const compose = composer(sandbox.name('ipv6'), env);
  sandbox.undo(() => compose('down', '-v'));
  await compose('up', '-d', '--no-build', '--no-deps', 'nginx');
  const id = await compose('ps', '-q', 'nginx');
  await until('the page is there', async () => (await get(`https://${host}:${env.HTTPS_PORT}/visit`)).status === 200);
  assert.equal((await get(`http://${host}:${env.HTTP_PORT}/`)).status, 308);
  const seen = async () => /^\S+ (\S+) "GET \/visit /m.exec(await logs(id))?.[1];
  const [network] = Object.values((await inspect(id)).NetworkSettings.Networks);
  return { network, seen: await until('the visit is logged', seen) };
}

test('without the file, visitors over IPv6 come from the gateway’s IPv4 address, as the documents say', async () => {
  const { network, seen } = await visit(hasIPv6 ? '[::1]' : '127.0.0.1', 'docker-compose.yml');
  assert.equal(seen, network.Gateway);
});

test('with the file, as .env has it by the documents, the stack has IPv6, and nginx answers there', async () => {
  const documents = ['docs/NETWORKING.md', 'docker-compose.ipv6.yml'];
  const texts = await Promise.all(documents.map((name) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8')));
  const [files] = texts.map((text) => /COMPOSE_FILE=(\S+ipv6\.yml)/.exec(text)?.[1]);
  for (const text of texts) assert.ok(text.includes(`COMPOSE_FILE=${files}`));
  if (!hasIPv6) return void (await assert.rejects(visit('127.0.0.1', files), /ipv6/i));
  const { network, seen } = await visit('[::1]', files);
  assert.ok(isIPv6(network.GlobalIPv6Address), network.GlobalIPv6Address);
  // From this machine itself every request passes Docker's proxy process, whatever the Docker engine does for others.
  // The proxy uses another address of this machine while the gateway's is being checked for duplicates (RFC 4862
  // §5.4).
  const own = Object.values(networkInterfaces()).flat().map(({ address }) => address);
  assert.ok([network.IPv6Gateway, ...own].includes(seen), seen);
});
