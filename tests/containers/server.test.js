// The image `roundtable` alone, as `docker run` starts it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { Sandbox, beside, docker, healthy, inspect, logs, published, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { freePort, get, script } from './lib/web.js';

const sandbox = new Sandbox();
const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
const anyPort = ['-p', '127.0.0.1::18080'];

let name;
const base = async (container = name) => `http://127.0.0.1:${await published(container, 18080)}/`;

before(async () => {
  const state = ['-v', `${await sandbox.volume()}:/var/lib/roundtable`];
  name = await sandbox.start(...hardened, ...state, ...anyPort, 'roundtable');
  await healthy(name);
});
after(() => sandbox.clear());

test('the image says what it is', async () => {
  const { Config } = await inspect('roundtable');
  assert.equal(Config.User, '10001:10001');
  assert.deepEqual(Object.keys(Config.ExposedPorts), ['18080/tcp']);
  assert.ok(Config.Env.includes('TZ=Asia/Shanghai'));
  assert.deepEqual(Config.Healthcheck.Test, ['CMD', 'roundtable', 'health']);
  assert.equal(Config.StopSignal, 'SIGTERM');
});

test('the images say their version, commit, time and licence', async () => {
  const [, version] = /^version = "(.+)"$/m.exec(await readFile(new URL('../../Cargo.toml', import.meta.url), 'utf8'));
  for (const image of ['roundtable', 'roundtable-nginx', 'roundtable-turn']) {
    const { Labels } = (await inspect(image)).Config;
    const said = (what) => Labels[`org.opencontainers.image.${what}`];
    assert.equal(said('title'), image);
    assert.equal(said('version'), version, image);
    assert.match(said('revision'), /^[0-9a-f]{40}(-dirty)?$/, image);
    assert.match(said('created'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, image);
    assert.ok(said('licenses') && said('description') && said('source') !== undefined, image);
  }
});

test('the whole image of the server is under 100 MB', async (t) => {
  // The sizes of the other images depend on their base images, so they are only reported.
  for (const image of ['roundtable', 'roundtable-nginx', 'roundtable-turn']) {
    t.diagnostic(`${image}: ${((await inspect(image)).Size / 1e6).toFixed(1)} MB`);
  }
  assert.ok((await inspect('roundtable')).Size < 100e6);
});

test('it has the server, the page, what the server is linked to, whose that is, and nothing else', async () => {
  // Exclude what `docker create` adds to an exported file system.
  const own = /^(dev|proc|sys|etc\/(hosts|hostname|resolv\.conf|mtab)|\.dockerenv)(\/|$)/;
  const made = await docker('create', 'roundtable');
  sandbox.undo(() => docker('rm', '-v', made));
  const files = (await run('sh', ['-c', `docker export ${made} | tar -t`])).split('\n');
  const there = files.filter((file) => !file.endsWith('/') && !own.test(file) && !file.startsWith('usr/share/roundtable/'));
  const expected = [
    ...['etc/nsswitch.conf', 'etc/os-release', 'usr/local/bin/roundtable'],
    ...['libc6', 'libgcc-s1'].flatMap((one) => [`usr/share/doc/${one}/copyright`, `var/lib/dpkg/status.d/${one}`]),
  ];
  const libraries = there.filter((file) => !expected.includes(file));
  assert.deepEqual(there.filter((file) => expected.includes(file)).sort(), expected.sort());
  assert.deepEqual(libraries.map((file) => file.split('/').at(-1).replace(/^ld-linux.*/, 'loader')).sort(), [
    ...['libc.so.6', 'libgcc_s.so.1', 'libm.so.6', 'loader'],
  ]);
  assert.ok(files.includes('usr/share/roundtable/index.html'));
  await assert.rejects(docker('run', '--rm', '--entrypoint', 'sh', 'roundtable'), /executable file not found/);
});

test('of each image make sbom has the Debian packages, and a scan that gets no list says so', async () => {
  const folder = await sandbox.folder();
  await run('scripts/sbom', ['-o', folder, 'images']);
  const packages = async (image) => {
    const { components } = JSON.parse(await readFile(`${folder}/image-${image}.cdx.json`, 'utf8'));
    return components.map((one) => one.name);
  };
  assert.deepEqual(await packages('roundtable'), ['libc6', 'libgcc-s1']);
  for (const image of ['roundtable-nginx', 'roundtable-turn']) {
    const names = await packages(image);
    assert.ok(names.length > 50 && names.includes('libc6'), image);
  }
  const scan = 'DEBIAN_MIRROR=http://127.0.0.1:1 scripts/scan holes || echo $?';
  const said = (await run('sh', ['-c', scan])).split('\n');
  assert.equal(said.filter((line) => /^NOT LOOKED AT: holes of the image .*gets no list of http:\/\/127/.test(line)).length, 3);
  assert.doesNotMatch(said.join('\n'), /packages of the image/);
});

test('it finds names in DNS and in /etc/hosts, which comes first', async () => {
  const network = sandbox.name('n');
  sandbox.undo(() => docker('network', 'rm', network));
  await docker('network', 'create', network);
  await sandbox.start('--network', network, '--network-alias', 'inside', 'roundtable');
  const found = async (...options) => {
    const ask = 'docker run --rm "$@" roundtable doctor --json --quick http://inside:18080 || true';
    const { findings, not_looked_at } = JSON.parse(await run('sh', ['-c', ask, 'sh', ...options]));
    return [...findings.map(({ name }) => name), ...not_looked_at.map(({ said }) => said)].join();
  };
  const there = ['--network', network];
  await until('DNS has it, and the server answers', async () => (await found(...there)) === 'plain_http');
  // In a container, names and addresses may resolve differently than for visitors: neither is a finding.
  assert.match(await found(...there, '--add-host', 'inside:127.0.0.1'), /127\.0\.0\.1:18080: Connection refused .*in a container/);
  assert.match(await found('--network', 'none'), /inside: failed to lookup .*in a container/);
});

test('behind a proxy of this machine, whose word comes through the bridge, it takes the proxy’s page for its own', async () => {
  const page = { origin: 'https://meet.example.org', 'x-forwarded-host': 'meet.example.org' };
  assert.equal(await Member.joinAs(await base(), page), 'origin_not_allowed');
  // docs/NETWORKING.md has this line.
  const trusting = await sandbox.start(...anyPort, '-e', 'ROUNDTABLE_TRUSTED_PROXIES=172.16.0.0/12', 'roundtable');
  await healthy(trusting);
  assert.equal(await Member.joinAs(await base(trusting), page), 'welcome');
});

test('in the host’s network it listens on the loopback, as it is told', async () => {
  const [port, ops] = [await freePort(), await freePort()];
  const listen = ['-e', `ROUNDTABLE_LISTEN=127.0.0.1:${port}`, '-e', `ROUNDTABLE_OPS_LISTEN=127.0.0.1:${ops}`];
  const there = await sandbox.start(...hardened, '--network', 'host', ...listen, 'roundtable');
  await healthy(there);
  await (await Member.join(`http://127.0.0.1:${port}/`, 'standup', 'Ada')).leave();
  assert.match((await get(`http://127.0.0.1:${ops}/metrics`)).body, /# TYPE/);
  const outside = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal);
  for (const one of [port, ops]) {
    await assert.rejects(get(`http://${outside.address}:${one}/`), { code: 'ECONNREFUSED' });
  }
});

test('the health check finds a port that is set by a flag, also behind an init program', async () => {
  for (const options of [[], ['--init']]) {
    // Nothing listens at the port in the environment.
    const env = ['-e', 'ROUNDTABLE_OPS_LISTEN=127.0.0.1:18082'];
    const there = await sandbox.start(...hardened, ...options, ...env, 'roundtable', '--ops-listen', '127.0.0.1:18083');
    await healthy(there);
    assert.match(await docker('exec', there, 'roundtable', 'health', '--ops-listen', '127.0.0.1:18083'), /^$/);
    await assert.rejects(docker('exec', there, 'roundtable', 'health', '--ops-listen', '127.0.0.1:18082'), /refused/);
  }
});

test('a user without rights on a read-only root serves the page and the API, and keeps its key in a volume that is its own', async () => {
  const status = await beside(name, 'cat', '/proc/1/status');
  assert.match(status, /^Uid:\s*10001\b/m);
  assert.match(status, /^CapEff:\s*0+$/m);
  assert.equal(await beside(name, 'stat', '-c', '%u %a', '/proc/1/root/var/lib/roundtable/resume.key'), '10001 600');
  await assert.rejects(beside(name, 'touch', '/proc/1/root/usr/share/roundtable/x'), /Read-only file system/);

  const room = `${await base()}r/standup`;
  assert.equal((await get(room)).status, 200);
  const asset = await get(await script(room), { headers: { 'accept-encoding': 'br' } });
  assert.equal(asset.headers['content-encoding'], 'br');
  assert.match(asset.headers['cache-control'], /immutable/);

  const { data } = JSON.parse((await get(`${await base()}signal-api/v1/welcome`)).body);
  assert.equal(data.name, 'roundtable');
  assert.match(data.time, /\+08:00$/);
});

test('log lines carry the zone of TZ', async () => {
  const stamp = (offset) => new RegExp(`\\d\\d:\\d\\d:\\d\\d[.\\d]*${offset}`);
  assert.match(await logs(name), stamp('\\+08:00'));

  const elsewhere = await sandbox.start('-e', 'TZ=America/St_Johns', 'roundtable');
  await until('it logs in the zone of St. John’s', async () => stamp('-0[23]:30').test(await logs(elsewhere)));
});

test('metrics are not on the port that is published', async () => {
  const { body } = await get(`${await base()}metrics`);
  assert.doesNotMatch(body, /# (TYPE|HELP)/);
});

// README's line, with the name and the port replaced, which may be taken on this machine.
test('docker run -d --name roundtable --restart=always -p 18080:18080 roundtable', async () => {
  const lasting = await sandbox.start('--restart=always', ...anyPort, 'roundtable');
  await healthy(lasting);
  await docker('restart', lasting);
  await healthy(lasting);
  await (await Member.join(await base(lasting), 'standup', 'Ada')).leave();

  // Killed from outside: `docker kill` would count as a stop by the user.
  const { Pid } = (await inspect(lasting)).State;
  await docker('run', '--rm', '--pid=host', '--user=0', '--entrypoint=sh', 'roundtable-nginx', '-c', `kill -9 ${Pid}`);
  await until('it runs again', async () => {
    const { State } = await inspect(lasting);
    return State.Running && State.Pid !== Pid;
  });
  await healthy(lasting);
  await (await Member.join(await base(lasting), 'standup', 'Ada')).leave();
});

test('at SIGTERM members are told, and the process is out within 10 s', async () => {
  const stopped = await sandbox.start(...anyPort, 'roundtable');
  await healthy(stopped);
  const ada = await Member.join(await base(stopped), 'standup', 'Ada');

  const started = Date.now();
  const stop = docker('stop', '-t', '30', stopped);
  const { reason, reconnect_ms } = await ada.next('go_away');
  assert.equal(reason, 'shutdown');
  assert.ok(reconnect_ms >= 500 && reconnect_ms <= 5000, `${reconnect_ms}`);
  assert.equal(await ada.closed, 1012);
  await stop;
  assert.ok(Date.now() - started < 10_000, `${Date.now() - started} ms`);
  assert.equal((await inspect(stopped)).State.ExitCode, 0);
});
