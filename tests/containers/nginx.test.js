// The image `roundtable-nginx` alone: certificate, TLS, page, logs, and no server behind it.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Sandbox, docker, healthy, inspect, logs, published, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { get, handshake, script } from './lib/web.js';

const sandbox = new Sandbox();
after(() => sandbox.clear());

const hardened = ['--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
const made = '/var/lib/roundtable/certs';

const start = (...options) =>
  sandbox.start(...hardened, '-p', '127.0.0.1::19003', '-p', '127.0.0.1::19080', ...options, 'roundtable-nginx');
const base = async (name) => `https://127.0.0.1:${await published(name, 19003)}/`;
const certificate = async (name) => (await handshake(await published(name, 19003), 'TLSv1.3')).certificate;

const answering = (name) =>
  until(`${name} answers`, async () => {
    const port = await published(name, 19080);
    return (await get(`http://127.0.0.1:${port}/nginx-health`)).status === 204;
  });

/** A container that refuses to start: what it said. */
async function refusal(...options) {
  const name = await start(...options);
  await until('it gives up', async () => (await inspect(name)).State.Status === 'exited');
  assert.notEqual((await inspect(name)).State.ExitCode, 0);
  return logs(name);
}

test('a self-signed certificate is made in the volume and kept', async () => {
  const volume = await sandbox.volume();
  const on = (host) => ['-v', `${volume}:${made}`, '-e', `ROUNDTABLE_HOST=${host}`];

  const name = await start(...on('meet.example.org'));
  await answering(name);
  const first = await certificate(name);
  assert.equal(first.subjectaltname, 'DNS:meet.example.org, DNS:localhost, IP Address:127.0.0.1');
  assert.equal(await docker('exec', name, 'stat', '-c', '%a %u', `${made}/tls.key`), '600 101');
  assert.match(await logs(name), /made a self-signed one for DNS:meet\.example\.org/);

  await docker('restart', name);
  await answering(name);
  assert.equal((await certificate(name)).fingerprint256, first.fingerprint256);
  await docker('rm', '-f', name);

  const again = await start(...on('meet.example.org'));
  await answering(again);
  assert.equal((await certificate(again)).fingerprint256, first.fingerprint256);
  await docker('rm', '-f', again);

  const moved = await start(...on('192.0.2.7'));
  await answering(moved);
  const second = await certificate(moved);
  assert.notEqual(second.fingerprint256, first.fingerprint256);
  assert.equal(second.subjectaltname, 'IP Address:192.0.2.7, DNS:localhost, IP Address:127.0.0.1');

  // Twenty days left: it is remade at the next start.
  await docker('exec', moved, 'sh', '-c',
    `openssl req -x509 -key ${made}/tls.key -days 20 -subj /CN=192.0.2.7 -out ${made}/tls.crt`);
  await docker('restart', moved);
  await answering(moved);
  const left = new Date((await certificate(moved)).valid_to) - Date.now();
  assert.ok(left > 300 * 24 * 3600 * 1000);
});

test('no layer of the image has a key', async () => {
  const folder = await sandbox.folder();
  await run('sh', ['-c', `docker save roundtable-nginx | tar -xC ${folder}`]);
  // Layers are tars among other files, in a layout that differs between engines.
  const files = await run('sh', ['-c', `find ${folder} -type f -exec tar -tf {} \\; 2>/dev/null || true`]);
  assert.match(files, /usr\/share\/nginx\/html\/index\.html/);
  assert.doesNotMatch(files, /roundtable\/certs\/./);
  assert.doesNotMatch(files, /^certs\/|\.key$/m);
});

test('a mounted certificate is served', async () => {
  const folder = await sandbox.folder();
  await docker('run', '--rm', '--user=0', '-v', `${folder}:/certs`, '--entrypoint=sh', 'roundtable-nginx', '-c',
    `cd /certs && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
       -subj /CN=own.example.org -keyout tls.key -out tls.crt && chown 101 tls.*`);

  const name = await start('-v', `${folder}:/certs:ro`);
  await answering(name);
  assert.equal((await certificate(name)).subject.CN, 'own.example.org');
  assert.match(await logs(name), /using the mounted one.*own\.example\.org/);
  assert.equal(await docker('exec', name, 'ls', made), '');
});

test('before there is a certificate, the mounted folder has the proof for Let’s Encrypt, and nothing else of it is served', async () => {
  const folder = await sandbox.folder();
  await mkdir(join(folder, 'acme/.well-known/acme-challenge'), { recursive: true });
  await writeFile(join(folder, 'acme/.well-known/acme-challenge/token-1'), 'token-1.proof');
  const name = await start('-v', `${folder}:/certs:ro`);
  await answering(name);

  const at = `http://127.0.0.1:${await published(name, 19080)}/`;
  const { status, headers, body } = await get(`${at}.well-known/acme-challenge/token-1`);
  assert.deepEqual([status, headers['content-type'], body], [200, 'text/plain', 'token-1.proof']);
  assert.equal((await get(`${at}.well-known/acme-challenge/none`)).status, 404);
  assert.equal((await get(`${at}acme/.well-known/acme-challenge/token-1`)).status, 308);
});

test('half a certificate and a wrong host are refused in plain words', async () => {
  const folder = await sandbox.folder();
  await writeFile(join(folder, 'tls.crt'), 'x');
  assert.match(await refusal('-v', `${folder}:/certs:ro`), /\/certs\/tls\.key is missing or not readable for user 101/);
  assert.match(await refusal('-e', 'ROUNDTABLE_HOST=https://x'), /ROUNDTABLE_HOST is 'https:\/\/x'/);
});

test('a dist is mounted over the built-in one, and where it is empty there is a page that says so', async () => {
  const folder = await sandbox.folder();
  const name = await start('-v', `${folder}:/usr/share/nginx/html:ro`);
  await answering(name);

  for (const path of ['', 'r/standup']) {
    const { status, headers, body } = await get((await base(name)) + path);
    assert.equal(status, 500);
    assert.match(headers['content-type'], /text\/html/);
    assert.match(body, /not available[^]*无法访问/);
  }

  await writeFile(join(folder, 'index.html'), 'another page');
  assert.equal((await get(await base(name))).body, 'another page');
});

test('without a server nginx starts, is healthy, serves the page and says what is missing', async () => {
  const name = await start();
  await healthy(name);
  assert.equal((await get(`${await base(name)}r/standup`)).status, 200);
  const { status, headers, body } = await get(`${await base(name)}signal-api/v1/welcome`);
  assert.ok([502, 503, 504].includes(status), `${status}`);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(JSON.parse(body).code, 'UNAVAILABLE');
});

test('TLS 1.2 and 1.3 are spoken, 1.1 is refused', async () => {
  const name = await start();
  await answering(name);
  const port = await published(name, 19003);
  for (const version of ['TLSv1.2', 'TLSv1.3']) assert.equal((await handshake(port, version)).version, version);
  await assert.rejects(handshake(port, 'TLSv1.1'), { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
});

test('logs go to the console, and to files where a folder is mounted, in the zone of TZ and without a room’s name', async () => {
  const folder = await sandbox.folder(0o777);
  const name = await start('-v', `${folder}:/var/log/roundtable`, '-e', 'TZ=Asia/Kathmandu');
  await answering(name);
  // There is no server here: nginx's own error line names it all the same, which nothing can be done about.
  await get(`${await base(name)}signal-api/v1/admin/rooms/weekly`);
  await get(`${await base(name)}r/standup?name=Ada`);

  const line = /\+05:45 [\d.]+ "GET \/r\/- HTTP\/1\.1" 200 /;
  await until('the line is in the file', async () => line.test(await readFile(join(folder, 'access.log'), 'utf8')));
  const console = await logs(name);
  assert.match(console, line);
  assert.match(console, /"GET \/signal-api\/v1\/admin\/rooms\/- HTTP/);
  assert.doesNotMatch(console, /standup|name=Ada|nginx-health/);
});

test('the process has no rights, and its version is nobody’s business', async () => {
  const name = await start();
  await answering(name);
  assert.equal(await docker('exec', name, 'id', '-u'), '101');
  assert.match(await docker('exec', name, 'grep', 'CapEff', '/proc/1/status'), /:\s*0+$/);
  assert.equal((await get(await script(await base(name)))).headers.server, 'nginx');
});

test('of several servers a room has one, the next where that is gone, and its own again when it is back', async () => {
  const network = sandbox.name('n');
  sandbox.undo(() => docker('network', 'rm', network));
  await docker('network', 'create', network);
  // Each says by the size of its rooms who it is, and lets people ask for as many as they like.
  const server = (alias, size) => {
    const settings = ['-e', `ROUNDTABLE_ROOM_MEMBERS=${size}`, '-e', 'ROUNDTABLE_ADDRESS_JOINS=0'];
    return sandbox.start('--network', network, '--network-alias', alias, ...settings, 'roundtable');
  };
  const [, second] = [await server('one', 11), await server('two', 12)];
  const name = await start('--network', network, '-e', 'ROUNDTABLE_UPSTREAMS=one:18080 weight=2,two:18080');
  await answering(name);
  const address = await base(name);
  const look = async (room) => JSON.parse((await get(`${address}signal-api/v1/rooms/${room}`)).body).data;
  const whose = async (room) => (await look(room)).members_max;

  const rooms = Array.from({ length: 30 }, (_, number) => `room-${number}`);
  await until('both answer', async () => new Set(await Promise.all(rooms.map(whose))).size === 2);
  const first = await Promise.all(rooms.map(whose));
  assert.deepEqual(await Promise.all(rooms.map(whose)), first);
  assert.ok(first.filter((size) => size === 11).length > 15, `twice the weight, and ${first}`);

  // Sockets go where the questions about their room go.
  const [ones, twos] = [11, 12].map((size) => rooms[first.indexOf(size)]);
  const members = await Promise.all([ones, twos].map((room) => Member.join(address, room, 'Ada')));
  for (const room of [ones, twos]) assert.equal((await look(room)).members, 1);

  await docker('kill', second);
  await members[1].closed;
  assert.ok(members[0].isOpen);
  assert.deepEqual(new Set(await Promise.all(rooms.map(whose))), new Set([11]));
  await (await Member.join(address, twos, 'Ada')).leave();

  await docker('start', second);
  await until('each has its server again', async () => `${await Promise.all(rooms.map(whose))}` === `${first}`);
  await members[0].leave();
});

test('what is no list of servers is refused in plain words', async () => {
  const wrong = {
    one: "has 'one'",
    'one:18080,http://two:18080': "has 'http://two:18080'",
    'one:70000': 'has the port 70000',
    'one:18080 weight=0': "has 'weight=0'",
    'one:18080 weight=2 backup': "has 'one:18080 weight=2 backup'",
    'one:18080; }': "has 'one:18080;",
    'one:18080,one:18080': 'has one:18080 twice',
    ',': 'names no server',
  };
  await Promise.all(
    Object.entries(wrong).map(async ([value, why]) => {
      const said = await refusal('-e', `ROUNDTABLE_UPSTREAMS=${value}`);
      assert.ok(said.includes(`ROUNDTABLE_UPSTREAMS ${why}`), said);
      assert.match(said, /it should be servers as host:port, .*server1:18080 weight=2,server2:18080/);
    }),
  );
});
