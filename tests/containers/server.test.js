// The image `roundtable` alone, as `docker run` starts it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { Sandbox, docker, healthy, inspect, logs, published, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { freePort, get, script } from './lib/web.js';

const sandbox = new Sandbox();
const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
const anyPort = ['-p', '127.0.0.1::18080'];

let name;
const base = async (container = name) => `http://127.0.0.1:${await published(container, 18080)}/`;

before(async () => {
  name = await sandbox.start(...hardened, ...anyPort, 'roundtable');
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

test('the server’s own layers are under 100 MB', async (t) => {
  // What the image adds to its base: that one is a stand-in in some places, and no measure.
  const base = process.env.DEBIAN_IMAGE || 'debian:bookworm-slim';
  const [all, below] = [(await inspect('roundtable')).Size, (await inspect(base)).Size];
  t.diagnostic(`image ${(all / 1e6).toFixed(1)} MB, of which the base ${(below / 1e6).toFixed(1)} MB`);
  assert.ok(all > below, `${all} > ${below}`);
  assert.ok(all - below < 100e6, `${all - below} bytes`);
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

test('a user without rights on a read-only root serves the page and the API', async () => {
  assert.equal(await docker('exec', name, 'id', '-u'), '10001');
  assert.match(await docker('exec', name, 'grep', 'CapEff', '/proc/1/status'), /:\s*0+$/);
  await assert.rejects(docker('exec', name, 'touch', '/tmp/x'), /Read-only file system/);

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

// README's line, with a name and a port that may be taken on this machine replaced.
test('docker run -d --name roundtable --restart=always -p 18080:18080 roundtable', async () => {
  const lasting = await sandbox.start('--restart=always', ...anyPort, 'roundtable');
  await healthy(lasting);
  await docker('restart', lasting);
  await healthy(lasting);
  await (await Member.join(await base(lasting), 'standup', 'Ada')).leave();

  // Killed from outside: `docker kill` would count as a wish to stop.
  const { Pid } = (await inspect(lasting)).State;
  await docker('run', '--rm', '--pid=host', '--user=0', '--entrypoint=sh', 'roundtable', '-c', `kill -9 ${Pid}`);
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
