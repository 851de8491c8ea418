// The stack with its relay, as `--profile turn` starts it, and the relay's image alone.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { TurnClient } from '../e2e/lib/stun.js';
import { Sandbox, beside, docker, healthy, inspect, logs, published, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { composer, startStack } from './lib/stack.js';
import { freePort } from './lib/web.js';

const sandbox = new Sandbox();
const secret = randomBytes(32).toString('hex');
const host = Object.values(networkInterfaces())
  .flat()
  .find(({ family, internal }) => family === 'IPv4' && !internal).address;
const RELAY_PORTS = 20;
const QUOTA = 8;

let folder, project, container, base, port, firstPort, member;

/** Returns the relay's address for a transport and a member's credentials, from the `welcome`. */
function serverOf(welcome, transport) {
  const [turn] = welcome.ice_servers.filter(({ username }) => username);
  assert.ok(turn.urls.includes(`turn:${host}:${port}?transport=${transport}`), turn.urls.join());
  return [{ host, port, transport }, turn];
}

async function connect(server, user) {
  const one = await TurnClient.connect(server, user);
  sandbox.undo(() => one.close());
  return one;
}

async function client(transport = 'udp') {
  const one = await connect(...serverOf(member.welcome, transport));
  assert.equal(await one.allocate(), 0);
  return one;
}

before(async () => {
  folder = await sandbox.folder();
  await writeFile(join(folder, 'secret'), `${secret}\n`, { mode: 0o444 });
  port = await freePort();
  firstPort = await freePort();
  const stack = await startStack(sandbox, {
    COMPOSE_PROFILES: 'turn',
    TURN_HOST: host,
    TURN_SECRET_FILE: join(folder, 'secret'),
    TURN_PORT: `${port}`,
    TURN_TLS_PORT: `${await freePort()}`,
    TURN_USER_QUOTA: `${QUOTA}`,
    // All requests come from the gateway of the containers' network, so trust its `X-Forwarded-For`.
    ROUNDTABLE_TRUSTED_PROXIES: '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16',
    TURN_RELAY_PORTS: `${firstPort}-${firstPort + RELAY_PORTS - 1}`,
  });
  ({ project, container, base } = stack);
  await healthy((await container('turn')).Id);
  member = await Member.join(base, 'standup', 'Ada');
});
after(() => sandbox.clear());

test('the stack’s secret is in its file alone: in no image, no container’s settings, no log', async () => {
  const key = (await beside((await container('server')).Id, 'cat', '/var/lib/roundtable/resume.key')).trim();
  assert.ok(key.length >= 32);
  const secrets = [secret, key];
  const clean = (what, text) => {
    assert.ok(text.length > 100, `${what} says nothing`);
    for (const one of secrets) assert.ok(!text.includes(one), what);
  };
  for (const service of ['server', 'nginx', 'turn']) {
    const { Id } = await container(service);
    clean(`inspect ${service}`, await docker('inspect', Id));
    clean(`logs ${service}`, await logs(Id));
  }
  // Each image with a text that a file in one of its layers contains.
  for (const [image, there] of [
    ['roundtable', 'a secret is not empty'],
    ['roundtable-nginx', 'Chooses the certificate: the one mounted at /certs'],
    ['roundtable-turn', 'address by which browsers reach this machine'],
  ]) {
    clean(`history ${image}`, await docker('history', '--no-trunc', image));
    // The known text must be found the same way. Otherwise the search would be void: an engine may save layers
    // compressed.
    const words = [there, ...secrets].map((one) => `-e '${one}'`).join(' ');
    const found = await run('sh', ['-c', `docker save ${image} | grep -a -o -F ${words} | sort -u`]);
    assert.equal(found, there, image);
  }
});

test('it runs without rights, writes into memory alone, and is not in the server’s network', async () => {
  const { Id, Config, HostConfig, NetworkSettings } = await container('turn');
  assert.equal(Config.User, '65534:65534');
  assert.equal(HostConfig.ReadonlyRootfs, true);
  assert.deepEqual(HostConfig.CapDrop, ['ALL']);
  assert.match(HostConfig.SecurityOpt.join(), /no-new-privileges/);
  assert.deepEqual(Object.keys(NetworkSettings.Networks), [`${project}_turn`]);
  assert.equal(await docker('exec', Id, 'id', '-u'), '65534');
  assert.match(await docker('exec', Id, 'grep', 'CapEff', '/proc/1/status'), /:\s*0+$/);
  await assert.rejects(docker('exec', Id, 'touch', '/var/x'), /Read-only file system/);
  assert.match(await docker('exec', Id, 'stat', '-fc', '%T', '/tmp/turnserver.conf'), /tmpfs/);
  assert.equal(await docker('exec', Id, 'stat', '-c', '%a', '/tmp/turnserver.conf'), '600');
});

test('the secret is read from its file, and seen nowhere else', async () => {
  for (const service of ['turn', 'server']) {
    const { Id } = await container(service);
    assert.match(await beside(Id, 'cat', '/run/secrets/turn_secret'), new RegExp(secret));
    const seen = [JSON.stringify(await inspect(Id)), await docker('top', Id, 'axeww'), await logs(Id)];
    for (const text of seen) assert.ok(text.length > 100 && !text.includes(secret), service);
  }
});

for (const transport of ['udp', 'tcp']) {
  test(`over ${transport}, two who have the server’s credentials reach each other from relay to relay`, async () => {
    const [ada, grace] = [await client(transport), await client(transport)];
    for (const one of [ada, grace]) {
      assert.equal(one.relayed.host, host);
      const place = one.relayed.port - firstPort;
      assert.ok(place >= 0 && place < RELAY_PORTS, `${one.relayed.port}`);
      assert.equal(await one.permit(host), 0);
    }
    // The other side's permission takes a moment, and datagrams may be lost.
    const again = setInterval(() => ada.send(grace.relayed, 'hello'), 200);
    assert.deepEqual(await grace.next(), { from: ada.relayed, text: 'hello' });
    clearInterval(again);
    await Promise.all([ada.close(), grace.close()]);
  });
}

test('public addresses are relayed to, private ones are not', async () => {
  const ada = await client();
  const inside = [
    ...['10.1.2.3', '172.16.0.1', '172.17.0.1', '192.168.1.1', '127.0.0.1', '0.0.0.0', '169.254.169.254'],
    ...['100.64.0.1', '224.0.0.1', '239.255.255.250', '255.255.255.255', '192.0.0.1', '198.18.0.1'],
    // Metadata services of clouds: Azure, Alibaba Cloud, Oracle, IBM Cloud.
    ...['168.63.129.16', '100.100.100.200', '192.0.0.192', '161.26.0.10', '166.8.0.1', '166.11.255.255'],
  ];
  const { NetworkSettings } = await container('server');
  for (const { IPAddress, Gateway } of Object.values(NetworkSettings.Networks)) inside.push(IPAddress, Gateway);
  for (const address of inside) assert.equal(await ada.permit(address), 403, address);
  const outside = ['8.8.8.8', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.255.255'];
  outside.push('168.63.129.15', '168.63.129.17', '161.25.255.255', '161.27.0.0', '166.7.255.255', '166.12.0.0');
  for (const address of [...outside, '172.32.0.0', '192.167.255.255', '192.169.0.0', '223.255.255.255']) {
    assert.equal(await ada.permit(address), 0, address);
  }
  await ada.close();
});

test('whoever does not know the secret gets nothing, and nobody gets all', async () => {
  const [server, user] = serverOf(member.welcome, 'udp');
  const stranger = await connect(server, { ...user, credential: 'north' });
  assert.equal(await stranger.allocate(), 401);
  await stranger.close();

  // A new member each time, always from the same address.
  const all = [];
  for (let count = 0; count <= QUOTA; count++) {
    const greedy = await Member.join(base, 'standup', 'Grace', {}, { 'x-forwarded-for': '198.51.100.7' });
    const one = await connect(...serverOf(greedy.welcome, 'udp'));
    all.push(await one.allocate());
  }
  assert.deepEqual(all, [...Array(QUOTA).fill(0), 486]);
  // A member at another address.
  await client();
});

const hardened = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--tmpfs=/tmp'];
const withSecret = () => ['-v', `${join(folder, 'secret')}:/run/secrets/turn_secret:ro`];

test('a setting that could not work is named, with what would be right', async () => {
  const start = (...args) => docker('run', '--rm', ...hardened, ...args, 'roundtable-turn');
  await writeFile(join(folder, 'short'), 'north');
  await writeFile(join(folder, 'private'), secret, { mode: 0o400 });
  const named = (file) => ['-v', `${join(folder, file)}:/run/secrets/turn_secret:ro`, '-e', 'TURN_HOST=192.0.2.1'];
  for (const [args, says] of [
    [withSecret(), /TURN_HOST is not set/],
    [[...withSecret(), '-e', 'TURN_HOST=127.0.0.1'], /only this machine itself/],
    [[...withSecret(), '-e', 'TURN_HOST=turn:a'], /no IPv4 address|without scheme/],
    [[...withSecret(), '-e', 'TURN_HOST=192.0.2.1', '-e', 'TURN_ADDRESS_INTERVAL=1m'], /TURN_ADDRESS_INTERVAL is '1m'/],
    [[...withSecret(), '-e', 'TURN_HOST=192.0.2.1', '-e', 'TURN_RELAY_PORTS=5-1'], /TURN_RELAY_PORTS is 5; .* 1024/],
    [['-e', 'TURN_HOST=192.0.2.1'], /missing or not readable for user 65534/],
    [named('private'), /missing or not readable for user 65534/],
    [named('short'), /shorter than 32/],
  ]) {
    await assert.rejects(start(...args), says);
  }
});

/** Returns the name in the certificate that is presented at a port. */
async function shown(port) {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await new Promise((resolve, reject) => socket.on('secureConnect', resolve).on('error', reject));
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return CN;
}

test('with a certificate it speaks TLS, takes up a new one, and a certificate needs its key', async () => {
  const certs = await sandbox.folder();
  const certify = (name) =>
    run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj',
      `/CN=${name}`, '-keyout', join(certs, 'tls.key'), '-out', join(certs, 'tls.crt')]);
  const start = () =>
    sandbox.start(...hardened, ...withSecret(), '-e', `TURN_HOST=${host}`, '-v', `${certs}:/certs:ro`,
      '-p', '127.0.0.1::5349', 'roundtable-turn');
  await certify('turn.example');
  const blind = await start();
  await until('it ends', async () => !(await inspect(blind)).State.Running);
  assert.match(await logs(blind), /tls\.key is missing or not readable for user 65534/);

  await run('chmod', ['444', join(certs, 'tls.key')]);
  const seeing = await start();
  await healthy(seeing);
  const own = await published(seeing, 5349);
  assert.equal(await shown(own), 'turn.example');
  await certify('new.example');
  await run('chmod', ['444', join(certs, 'tls.key')]);
  await docker('kill', '-s', 'USR2', seeing);
  await until('the new one is shown', async () => (await shown(own)) === 'new.example', 20);
});

/** Returns the relayed address that a relay announces to a client at the container's own address. */
async function relayedAt(id) {
  const [{ IPAddress }] = Object.values((await inspect(id)).NetworkSettings.Networks);
  const [, user] = serverOf(member.welcome, 'udp');
  const one = await TurnClient.connect({ host: IPAddress, port: 3478, transport: 'udp' }, user);
  try {
    assert.equal(await one.allocate(), 0);
    return one.relayed.host;
  } finally {
    await one.close();
  }
}

test('it follows its name and its own address to other ones, and stays when a name has several or none', async () => {
  const networks = [sandbox.name('n'), sandbox.name('n')];
  for (const network of networks) {
    sandbox.undo(() => docker('network', 'rm', network));
    await docker('network', 'create', network);
  }
  const settings = ['-e', 'TURN_HOST=relay.test', '-e', 'TURN_ADDRESS_INTERVAL=1', '--network', networks[0]];
  // Not read-only: this test edits the hosts file as a name server would change its answer.
  const id = await sandbox.start('--add-host', 'relay.test:198.51.100.1', ...withSecret(), ...settings, 'roundtable-turn');
  const name = (...addresses) => {
    const lines = addresses.map((address) => `echo ${address} relay.test`).join('; ');
    return docker('exec', '-u', '0', id, 'sh', '-c', `{ ${lines || ':'}; } >/etc/hosts`);
  };
  await healthy(id);
  assert.equal(await relayedAt(id), '198.51.100.1');

  await name('198.51.100.2');
  await until('it follows the name', async () => (await relayedAt(id)) === '198.51.100.2');

  // Lookups without a change, each observed at least twice before the next one.
  const waiting = () => docker('exec', id, 'sh', '-c', 'grep -lx sleep /proc/[0-9]*/comm || true');
  const twoLookups = async () => {
    const seen = new Set();
    await until('two lookups', async () => seen.add(await waiting()).size > 3);
  };
  await name();
  await twoLookups();
  await name('198.51.100.7', '198.51.100.2');
  await twoLookups();
  assert.equal(await relayedAt(id), '198.51.100.2');
  assert.equal((await logs(id)).match(/coturn is restarted/g).length, 1);

  const own = () => docker('exec', id, 'grep', '^relay-ip=', '/tmp/turnserver.conf');
  const before = await own();
  await docker('network', 'connect', networks[1], id);
  await docker('network', 'disconnect', networks[0], id);
  await name('198.51.100.2');
  await until('it has its new own address', async () => (await own()) !== before);
  await until('it relays there', async () => (await relayedAt(id)) === '198.51.100.2');
  assert.equal((await inspect(id)).RestartCount, 0);

  const began = Date.now();
  await docker('stop', '-t', '20', id);
  assert.ok(Date.now() - began < 15_000, 'it ends when it is told to');
});

test('certbot’s file names are taken, and a key of another certificate is refused with the fix', async () => {
  const certs = await sandbox.folder();
  const [certificate, key] = ['fullchain.pem', 'privkey.pem'].map((name) => join(certs, name));
  const make = (kind, ...out) => run('openssl', ['req', '-x509', '-newkey', ...kind, '-nodes', '-subj', '/CN=turn.example', ...out]);
  const ec = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const start = () =>
    sandbox.start(...hardened, ...withSecret(), '-e', `TURN_HOST=${host}`, '-v', `${certs}:/certs:ro`,
      '-p', '127.0.0.1::5349', 'roundtable-turn');
  await make(ec, '-keyout', key, '-out', certificate);
  await run('chmod', ['444', key]);
  const named = await start();
  await healthy(named);
  assert.equal(await shown(await published(named, 5349)), 'turn.example');

  // coturn would start with it, but every handshake would fail.
  await make(['rsa:2048'], '-keyout', join(certs, '.other'), '-out', certificate);
  const mixed = await start();
  await until('it ends', async () => !(await inspect(mixed)).State.Running);
  assert.match(await logs(mixed), /privkey\.pem \(EC prime256v1\) is not the key of \/certs\/fullchain\.pem \(RSA 2048\): use the key/);
});

test('in the network of the machine itself it is reached, and reaches no other private address', async () => {
  const [own, first] = [await freePort(), await freePort()];
  const compose = composer(sandbox.name('host'), {
    TURN_HOST: host,
    TURN_RELAY_ADDRESS: host,
    TURN_SECRET_FILE: join(folder, 'secret'),
    TURN_PORT: `${own}`,
    TURN_TLS_PORT: `${await freePort()}`,
    TURN_RELAY_PORTS: `${first}-${first + 9}`,
  });
  const file = ['-f', 'docker-compose.turn-host.yml'];
  sandbox.undo(() => compose(...file, 'down', '-v'));
  await compose(...file, 'up', '-d', '--build');
  const { Id, Config, HostConfig } = await inspect(await compose(...file, 'ps', '-q', 'turn'));
  assert.deepEqual([Config.User, HostConfig.ReadonlyRootfs, HostConfig.CapDrop], ['65534:65534', true, ['ALL']]);
  assert.equal(HostConfig.NetworkMode, 'host');
  await healthy(Id);

  const [server, user] = serverOf(member.welcome, 'udp');
  const [ada, grace] = [await connect({ ...server, port: own }, user), await connect({ ...server, port: own }, user)];
  for (const one of [ada, grace]) {
    assert.equal(await one.allocate(), 0);
    assert.ok(one.relayed.port >= first && one.relayed.port < first + 10, `${one.relayed.port}`);
    assert.equal(await one.permit(host), 0);
    assert.equal(await one.permit('172.17.0.1'), 403);
  }
  const again = setInterval(() => ada.send(grace.relayed, 'hello'), 200);
  assert.deepEqual(await grace.next(), { from: ada.relayed, text: 'hello' });
  clearInterval(again);
});
