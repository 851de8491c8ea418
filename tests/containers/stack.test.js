// docker-compose.yml as a user starts it: everything passes through nginx and TLS.

import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Sandbox, beside, docker, holdingTags, inspect, published, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { composer, startStack } from './lib/stack.js';
import { freePort, get, handshake, script } from './lib/web.js';

const sandbox = new Sandbox();
let project, env, base, compose, container;

// Opened first and checked late: it is silent while the other tests run.
let idle;

before(async () => {
  ({ project, env, base, compose, container } = await startStack(sandbox));
  idle = { member: await Member.join(base, 'idle', 'Ida'), since: Date.now() };
});
after(() => sandbox.clear());

test('nginx starts when the server is healthy, and both run without rights', async () => {
  const [server, nginx] = [await container('server'), await container('nginx')];
  assert.equal(server.State.Health.Status, 'healthy');
  assert.ok(new Date(nginx.State.StartedAt) > new Date(server.State.StartedAt));
  for (const { HostConfig } of [server, nginx]) {
    assert.equal(HostConfig.ReadonlyRootfs, true);
    assert.deepEqual(HostConfig.CapDrop, ['ALL']);
    assert.match(HostConfig.SecurityOpt.join(), /no-new-privileges/);
    assert.equal(HostConfig.RestartPolicy.Name, 'unless-stopped');
    assert.equal(HostConfig.LogConfig.Config['max-size'], '10m');
  }
});

test('only nginx is published', async () => {
  const { Id, HostConfig } = await container('server');
  assert.equal(await docker('port', Id), '');
  assert.equal(HostConfig.NetworkMode, `${project}_roundtable`);
});

test('plain http only redirects', async () => {
  const { status, headers } = await get(`http://127.0.0.1:${env.HTTP_PORT}/r/standup?name=Ada`);
  assert.equal(status, 308);
  assert.equal(headers.location, `${base}r/standup?name=Ada`);
});

test('TLS 1.2 and 1.3 are spoken', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    assert.equal((await handshake(Number(env.HTTPS_PORT), version)).version, version);
  }
});

test('documents are looked up again each time, with the careful headers', async () => {
  for (const path of ['', 'r/standup', 'r/v1.2', 'r/%E5%9C%86%E6%A1%8C']) {
    const { status, headers, body } = await get(base + path);
    assert.equal(status, 200, path);
    assert.match(headers['content-type'], /^text\/html/);
    assert.match(body, /<!doctype html>/i);
    assert.equal(headers['cache-control'], 'no-cache');
    assert.match(headers['content-security-policy'], /default-src 'self'/);
    assert.match(headers['permissions-policy'], /camera=\(self\)/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.equal(headers['strict-transport-security'], undefined);
  }
});

test('assets are kept for ever, come compressed, and a missing one is missing', async () => {
  const asset = await script(`${base}r/standup`);
  const { status, headers } = await get(asset, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(status, 200);
  assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal(headers['content-encoding'], 'gzip');
  assert.match(headers.vary, /accept-encoding/i);

  for (const path of ['assets/gone-12345678.js', 'gone.png', 'r/x/gone.js']) {
    const missing = await get(base + path);
    assert.equal(missing.status, 404, path);
    assert.equal(missing.headers['cache-control'], undefined);
  }
});

test('an address that no page has leads to one whose relative links fit', async () => {
  for (const path of ['r', 'about', 'a/b']) {
    assert.equal((await get(base + path)).status, 200, path);
    assert.equal((await get(await script(base + path))).status, 200, path);
  }
  // The last one redirects up to the address of a room.
  const addresses = { 'r/': '', 'a/b/': '', 'a/b/c': '', 'a/b/c/d/e': '', 'r/x/y.1/z/': 'r/x' };
  for (const [path, end] of Object.entries(addresses)) {
    let url = base + path;
    for (let steps = 0; steps < 5; steps++) {
      const { status, headers } = await get(url);
      if (status === 200) break;
      assert.equal(status, 302, url);
      url = new URL(headers.location, url).href;
    }
    assert.equal(url, base + end, path);
  }
});

test('the API answers once with each header, and the server’s own errors pass', async () => {
  const welcome = await get(`${base}signal-api/v1/welcome`);
  assert.equal(JSON.parse(welcome.body).data.name, 'roundtable');
  assert.equal(welcome.headers['referrer-policy'], 'no-referrer');
  assert.equal(welcome.headers['x-content-type-options'], 'nosniff');

  const unknown = await get(`${base}signal-api/v1/nothing`);
  assert.equal(unknown.status, 404);
  assert.equal(JSON.parse(unknown.body).code, 'NOT_FOUND');
});

test('metrics and health stay inside', async () => {
  for (const path of ['/metrics', '/healthz', '/readyz', '/signal-api/../metrics', '/signal-api/%2e%2e/metrics']) {
    assert.equal((await get(base, { path })).status, 404, path);
  }
  for (const path of ['/signal-api/metrics', '/signal-api/healthz', '//metrics']) {
    assert.doesNotMatch((await get(base, { path })).body, /# (TYPE|HELP)/, path);
  }
});

test('two members meet and signal', async () => {
  const ada = await Member.join(base, 'standup', 'Ada');
  const grace = await Member.join(base, 'standup', 'Grace');
  assert.deepEqual(grace.welcome.peers.map(({ name }) => name), ['Ada']);
  assert.equal((await ada.next('peer_joined')).peer.id, grace.welcome.self);

  const data = { description: { type: 'offer', sdp: 'v=0\r\n' } };
  grace.send({ type: 'signal', to: ada.welcome.self, data });
  // The second numbered message to Ada (R47), after `peer_joined`.
  assert.deepEqual(await ada.next('signal'), { seq: 2, type: 'signal', from: grace.welcome.self, data });

  assert.equal(await grace.leave(), 1000);
  assert.equal((await ada.next('peer_left')).reason, 'left');
  await ada.leave();
});

test('under a sub-path of another nginx page, asset and socket work', async () => {
  const folder = await sandbox.folder();
  await writeFile(join(folder, 'outer.conf'), 'server { listen 8080; include /sub-path.conf; }\n');
  // A copy: in a checkout made with umask 077 nginx's user cannot read the file itself.
  await writeFile(join(folder, 'sub-path.conf'), await readFile(new URL('../../nginx/sub-path.conf', import.meta.url)));
  const outer = await sandbox.start(
    '--network', `${project}_roundtable`,
    '-p', '127.0.0.1::8080',
    '-v', `${join(folder, 'outer.conf')}:/etc/nginx/conf.d/default.conf:ro`,
    '-v', `${join(folder, 'sub-path.conf')}:/sub-path.conf:ro`,
    process.env.NGINX_IMAGE || 'nginxinc/nginx-unprivileged:1.28.3',
  );
  const meet = `http://127.0.0.1:${await published(outer, 8080)}/meet/`;
  await until('it answers', async () => (await get(meet)).status === 200);

  for (const page of [meet, `${meet}r/standup`]) {
    const asset = await script(page);
    assert.ok(asset.startsWith(`${meet}assets/`), asset);
    assert.equal((await get(asset)).status, 200);
  }
  const { headers } = await get(`${meet}a/b/c`);
  assert.equal(new URL(headers.location, `${meet}a/b/c`).href, meet);
  await (await Member.join(meet, 'standup', 'Ada')).leave();
});

test('the doctor finds nothing wrong, neither from outside, until the ping, nor in the server’s container', async () => {
  const folder = await sandbox.folder();
  const { certificate } = await handshake(Number(env.HTTPS_PORT), 'TLSv1.3');
  const lines = certificate.raw.toString('base64').replace(/.{64}/g, '$&\n');
  await writeFile(join(folder, 'ca.pem'), `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
  const mounted = ['--network', 'host', '-v', `${folder}:/ca:ro`];
  const { Image } = await container('server');
  // Exit code 2: something could not be determined from here.
  const ask = 'docker run --rm "$@" || [ $? = 2 ]';
  const outside = await run('sh', ['-c', ask, 'sh', ...mounted, Image, 'doctor', '--json', '--ca-file', '/ca/ca.pem', base]);
  // The limit on open files depends on the machine.
  const few = ['-e', 'ROUNDTABLE_CONNECTIONS=1000', '-e', 'ROUNDTABLE_REQUESTS=100'];
  const inside = await compose('exec', '-T', ...few, 'server', 'roundtable', 'doctor', '--json');
  // nginx sees this machine with the gateway address of the containers' network, and the doctor cannot tell how it
  // sees others.
  for (const [said, looks, missed] of [
    [outside, ['certificate', 'page', 'websocket', 'ping'], [/gateway/]],
    [inside, ['files', 'listener'], []],
  ]) {
    const { findings, looked_at, not_looked_at } = JSON.parse(said);
    assert.deepEqual([findings, not_looked_at.length], [[], missed.length], said);
    for (const [at, { said: why }] of not_looked_at.entries()) assert.match(why, missed[at]);
    for (const look of looks) assert.ok(looked_at.some((one) => one.look === look), `${look}: ${said}`);
  }
});

test('a backup has the key, the certificate and what is the owner’s here, and says why where it has not', async () => {
  const [folder, there] = [await sandbox.folder(), await sandbox.folder()];
  const root = fileURLToPath(new URL('../../', import.meta.url));
  for (const name of ['scripts', 'secrets', 'logs']) await mkdir(join(folder, name));
  for (const name of ['Makefile', 'scripts/backup']) await copyFile(join(root, name), join(folder, name));
  for (const name of ['.env', 'secrets/turn', 'logs/access.log']) await writeFile(join(folder, name), name);
  const settings = { ...env, COMPOSE_PROJECT_NAME: project, COMPOSE_FILE: join(root, 'docker-compose.yml') };
  const backup = (to, more) => run('make', ['-s', '-C', folder, 'backup', `TO=${to}`], { ...settings, ...more });

  const archive = await backup(there);
  assert.deepEqual(await readdir(there), [archive.slice(there.length + 1)]);
  assert.equal((await stat(archive)).mode & 0o777, 0o600);
  const kept = (await run('tar', ['-tzf', archive])).split('\n').filter((name) => !name.endsWith('/'));
  assert.deepEqual(kept.sort(), [
    ...['.env', 'certificates/names', 'certificates/tls.crt', 'certificates/tls.key'],
    ...['secrets/turn', 'state/resume.key'],
  ]);
  await run('tar', ['-xpzf', archive, '-C', there]);
  const { Id } = await container('server');
  await docker('cp', `${Id}:/var/lib/roundtable/resume.key`, join(folder, 'resume.key'));
  const key = (file) => readFile(file, 'utf8');
  assert.equal(await key(join(there, 'state/resume.key')), await key(join(folder, 'resume.key')));

  await assert.rejects(backup(join(there, 'nowhere')), /nowhere is no folder/);
  await assert.rejects(backup(there, { COMPOSE_PROJECT_NAME: sandbox.name('none') }), /start the stack first/);
  assert.equal((await readdir(there)).filter((name) => name.endsWith('.gz')).length, 1);
});

test('a socket stays open that is silent for longer than a proxy’s usual 60 s', async () => {
  const { member, since } = idle;
  // Waits a fixed time on purpose: there is no condition to wait for.
  const enough = new Promise((resolve) => setTimeout(resolve, since + 70_000 - Date.now(), 'still open'));
  assert.equal(await Promise.race([member.closed, enough]), 'still open');
  member.send({ type: 'ping', ref: 1 });
  assert.equal((await member.next('pong')).ref, 1);
});

test('the server exports until when nginx’s certificate is valid', async () => {
  const { Id } = await container('server');
  const metrics = () => beside(Id, 'curl', '-fsS', 'http://127.0.0.1:18081/metrics');
  // The first probe ran before nginx was up; the next one follows a minute later.
  const exported = await until('a probe succeeds', async () => {
    const text = await metrics();
    return text.includes('roundtable_certificate_probe_success{endpoint="nginx:19003"} 1') && text;
  }, 90);
  const [, seconds] = /roundtable_certificate_not_after_timestamp_seconds\{endpoint="nginx:19003"\} (\d+)/.exec(exported);
  const { certificate } = await handshake(Number(env.HTTPS_PORT), 'TLSv1.3');
  assert.equal(Number(seconds) * 1000, Date.parse(certificate.valid_to));
});

test('make restore puts key and certificate back before the server starts, so that sessions survive the loss of all volumes', async () => {
  // A copy that its owner can write to.
  const folder = await sandbox.folder();
  await run('cp', ['-r', 'Makefile', 'docker-compose.yml', 'deploy', 'turn', 'scripts', folder]);
  const shell = (lines) => run('bash', ['-euc', `cd '${folder}'\n${lines}`], { ...env, COMPOSE_PROJECT_NAME: project });
  const whose = async () => {
    const { mode, uid } = await stat(folder);
    return [mode, uid];
  };
  const owner = await whose();
  const ada = await Member.join(base, 'standup', 'Ada');
  const archive = await shell('make -s backup');
  assert.deepEqual(await whose(), owner);

  const serial = async () => (await handshake(Number(env.HTTPS_PORT), 'TLSv1.3')).certificate.serialNumber;
  const known = await serial();
  await writeFile(join(folder, '.env'), 'ROUNDTABLE_LOG=debug\n');

  // As a page does: it tries again and again, and forgets the old session once it has a new one.
  const attempts = async () => {
    for (;;) {
      const back = Member.join(base, 'standup', 'Ada', { resume: ada.welcome.resume });
      const member = await Promise.race([back.catch(() => null), delay(2_000, null)]);
      if (member) return member;
      await delay(50);
    }
  };
  for (const lost of ['the volumes', 'nothing, but a new stack has made its own']) {
    // Not `down`: a container of another test is still in the network.
    await compose('rm', '-fs');
    await docker('volume', 'rm', `${project}_state`, `${project}_certificates`);
    if (lost !== 'the volumes') {
      await compose('up', '-d');
      await until('the new one is served', async () => (await serial()) !== known);
    }
    const restored = shell(`make restore FROM=${archive}`);
    await until('nginx is stopped', () => get(base).then(() => false, ({ code }) => code === 'ECONNREFUSED'));
    const back = attempts();
    await restored;
    const { welcome } = await back;
    assert.deepEqual([welcome.not_resumed, welcome.self], [undefined, ada.welcome.self], lost);
    assert.equal(await serial(), known, lost);
  }
  const { Id } = await container('server');
  assert.equal(await beside(Id, 'stat', '-c', '%u %a', '/var/lib/roundtable/resume.key'), '10001 600');
  // The archive does not contain it, so it stays.
  assert.equal(await readFile(join(folder, '.env'), 'utf8'), 'ROUNDTABLE_LOG=debug\n');
  assert.deepEqual((await readdir(folder)).filter((name) => /restore-/.test(name)), []);

  await writeFile(join(folder, 'other.tar.gz'), 'x');
  for (const [from, why] of [['', /no archive is named/], ['none.tar.gz', /none\.tar\.gz is missing/], ['other.tar.gz', /not an archive of scripts\/backup/]]) {
    await assert.rejects(shell(`make restore FROM=${from}`), why);
  }
});

/** Runs `scripts/upgrade` for this stack, with an additional Compose file that changes the services. */
async function upgrade(services) {
  const folder = await sandbox.folder();
  const file = join(folder, 'change.yml');
  await writeFile(file, JSON.stringify({ version: '3.8', services }));
  const root = fileURLToPath(new URL('../../', import.meta.url));
  return run(join(root, 'scripts/upgrade'), [], {
    ...{ ...env, COMPOSE_PROJECT_NAME: project, COMPOSE_FILE: `${join(root, 'docker-compose.yml')}:${file}` },
    ...{ IMAGE_REVISION: 'c'.repeat(40) },
  });
}

test('an upgrade with settings that the new version refuses restarts nothing', () => holdingTags(async () => {
  const before = await Promise.all(['server', 'nginx'].map(async (service) => (await container(service)).Id));
  const image = (await inspect('roundtable')).Id;
  const ada = await Member.join(base, 'standup', 'Ada');
  for (const [services, why] of [
    [{ server: { environment: { ROUNDTABLE_ROOM_MEMBERS: '0' } } }, /ROUNDTABLE_ROOM_MEMBERS.*the new server does not start/s],
    [{ nginx: { environment: { ROUNDTABLE_HOST: 'meet..org' } } }, /ROUNDTABLE_HOST is 'meet\.\.org'.*the new nginx does not start/s],
  ]) {
    await assert.rejects(upgrade(services), (error) => {
      assert.match(error.message, why);
      assert.match(error.message, /Nothing was restarted/);
      return true;
    });
  }
  assert.deepEqual(await Promise.all(['server', 'nginx'].map(async (service) => (await container(service)).Id)), before);
  assert.equal((await inspect('roundtable')).Id, image, 'a later docker compose up does not bring it either');
  assert.ok(ada.isOpen);
  await ada.leave();
}));

test('a new version that does not become healthy is rolled back, with its settings', () => holdingTags(async () => {
  const [{ Image, Config }, nginx] = [await container('server'), await container('nginx')];
  const ada = await Member.join(base, 'standup', 'Ada');
  // No folder can be created there, which is detected only at the start.
  const environment = { ROUNDTABLE_RECORDINGS_DIR: '/proc/none', ROUNDTABLE_LOG: 'debug' };
  await assert.rejects(upgrade({ server: { environment } }), (error) => {
    assert.match(error.message, /\/proc\/none/);
    assert.match(error.message, /the new server does not become healthy .*rolled back: server/s);
    return true;
  });
  const after = await container('server');
  assert.deepEqual([after.Image, after.State.Health.Status], [Image, 'healthy']);
  const set = ({ Env }) => Env.filter((one) => /=./.test(one)).sort();
  assert.deepEqual(set(after.Config), set(Config));
  assert.equal((await container('nginx')).Id, nginx.Id);
  assert.equal((await inspect('roundtable')).Id, Image);
  const back = await Member.join(base, 'standup', 'Ada', { resume: ada.welcome.resume });
  assert.equal(back.welcome.self, ada.welcome.self);
  await back.leave();
}));

test('by the lines of README.md only those with a token come in', async () => {
  const lines = (readme) => /^echo 'ROUNDTABLE_ACCESS=token'.*?(?=^```)/ms.exec(readme)[0];
  const [english, chinese] = await Promise.all(
    ['README.md', 'README.zh-CN.md'].map((name) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8').then(lines)),
  );
  assert.equal(english, chinese);
  const folder = await sandbox.folder();
  await run('cp', ['-r', 'docker-compose.yml', 'deploy', 'turn', folder]);
  const own = { HTTPS_PORT: `${await freePort()}`, HTTP_PORT: `${await freePort()}`, COMPOSE_PROJECT_NAME: sandbox.name('tokens') };
  sandbox.undo(() => composer(own.COMPOSE_PROJECT_NAME, own)('down', '-v', '--remove-orphans'));
  // A test has no terminal.
  const here = `docker() {
    [ "$1" = compose ] || { command docker "$@"; return; }
    shift
    case $1 in run | exec) set -- "$1" -T "\${@:2}" ;; esac
    if command docker compose version >/dev/null 2>&1; then command docker compose "$@"; else docker-compose "$@"; fi
  }`;
  const token = (await run('bash', ['-euc', `cd '${folder}'\n${here}\n${english}`], own)).split('\n').at(-1);
  const there = `https://127.0.0.1:${own.HTTPS_PORT}/`;
  await until('the page is there', async () => (await get(there)).status === 200);
  const ada = await Member.join(there, 'standup', 'Ada', { token });
  assert.equal(ada.welcome.role, 'host');
  const stranger = new Member(new URL('signal-api/ws?room=standup', there));
  await stranger.opened;
  stranger.send({ type: 'join', name: 'Eve' });
  assert.equal((await stranger.next('error')).code, 'token_missing');
});

test('nginx outlives the server, and finds it again at another address', async () => {
  const network = `${project}_roundtable`;
  const address = async (name) => (await inspect(name)).NetworkSettings.Networks[network].IPAddress;
  const { Id } = await container('server');
  const old = await address(Id);

  await docker('rm', '-f', Id);
  await idle.member.closed;
  const { status, body } = await get(`${base}signal-api/v1/welcome`);
  assert.ok([502, 503, 504].includes(status), `${status}`);
  assert.equal(JSON.parse(body).code, 'UNAVAILABLE');
  assert.equal((await get(`${base}r/standup`)).status, 200);

  // Another container takes the freed address.
  await sandbox.start('--network', network, '--entrypoint', 'sleep', 'roundtable-nginx', 'infinity');
  await compose('up', '-d', 'server');
  assert.notEqual(await address((await container('server')).Id), old);
  await until('it is found', async () => (await get(`${base}signal-api/v1/welcome`)).status === 200);
  await (await Member.join(base, 'standup', 'Ada')).leave();
});
