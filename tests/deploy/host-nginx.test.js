// deploy/host-nginx as published, in a real nginx: only names, ports and folders are replaced, as its README says.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { startAcme } from '../containers/lib/acme.js';
import { Sandbox, run, until } from '../containers/lib/docker.js';
import { Member } from '../containers/lib/member.js';
import { loadStream } from '../containers/lib/nginx.js';
import { freePort, get, handshake } from '../containers/lib/web.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const given = join(root, 'deploy/host-nginx');
const hasV6 = Object.values(networkInterfaces()).flat().some(({ address }) => address === '::1');

const sandbox = new Sandbox();
// Connection limits of nginx: in total fewer than an attacker opens, and per address.
const [CONNECTIONS, PER_ADDRESS] = [768, 100];
// Numbers of concurrent requests that exceed the server's total limit and its limit per address.
const [REQUESTS, REQUESTS_PER_ADDRESS] = [90, 64];

let folder, http, https, other, ports, inner, base, plain, acme;

/** Runs a program until the test ends. */
function start(program, args, env) {
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const gone = once(child, 'exit');
  const end = async () => {
    child.kill('SIGTERM');
    await gone;
  };
  sandbox.undo(end);
  return { child, end };
}

/** Starts a server that is identified by its maximum room size. */
function server(port, size) {
  return start(process.env.SERVER, [], {
    ROUNDTABLE_LISTEN: `127.0.0.1:${port}`,
    ROUNDTABLE_OPS_LISTEN: '127.0.0.1:0',
    ROUNDTABLE_ROOM_MEMBERS: `${size}`,
    ROUNDTABLE_ADDRESS_JOINS: '0',
    ROUNDTABLE_REQUESTS: `${REQUESTS}`,
    ROUNDTABLE_ADDRESS_CONNECTIONS: `${REQUESTS_PER_ADDRESS}`,
    ROUNDTABLE_PING_INTERVAL: '2s',
    ROUNDTABLE_STATIC_DIR: join(folder, 'page'),
    ROUNDTABLE_DRAIN_TIMEOUT: '1s',
    ROUNDTABLE_LOG: 'error',
    ROUNDTABLE_RECORDINGS_DIR: join(folder, 'recordings'),
  });
}

/** Installs one of the published files, with machine-specific values replaced. */
async function install(name) {
  let text = await readFile(join(given, name), 'utf8');
  const replace = (from, to) => {
    text = text.replaceAll(from, to);
  };
  if (!hasV6) replace(/^ *listen \[::\].*\n/gm, '');
  replace(/listen (\[::\]:)?80 /g, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${http} `);
  replace(/listen (\[::\]:)?443 /g, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${https} `);
  replace('127.0.0.1:9080', `127.0.0.1:${inner[0]}`);
  replace('127.0.0.1:9443', `127.0.0.1:${inner[1]}`);
  replace('limit_conn roundtable_addresses 2048;', `limit_conn roundtable_addresses ${PER_ADDRESS};`);
  replace('/etc/letsencrypt', acme.LETSENCRYPT);
  replace('/var/www/acme', join(folder, 'acme'));
  replace('/var/log/nginx', folder);
  [18080, 18082, 18083].forEach((port, at) => replace(`127.0.0.1:${port} `, `127.0.0.1:${ports[at]} `));
  const where = name === 'front.conf' ? '.' : 'conf.d';
  await writeFile(join(folder, where, name.replace(/.*-servers?/, 'servers')), text);
}

/** Runs nginx as it is in the path of certbot's hook. */
const nginx = (...args) => run(join(folder, 'bin/nginx'), args);
const fingerprint = async () => (await handshake(https, 'TLSv1.3')).certificate.fingerprint256;

/** Returns the path of a file that certbot keeps for the name. */
const live = (name) => join(acme.LETSENCRYPT, 'live/meet.example.org', name);

/** Runs a certbot line of the README against another certificate authority; its hooks find this test's nginx. */
const certbot = (line) => run('bash', ['-c', line], { ...acme, PATH: `${join(folder, 'bin')}:${process.env.PATH}` });

/** Sends a request about a room's recordings. Returns the response. */
async function record(method, path, room, body, headers = {}) {
  const url = `${base}signal-api/v1/recordings${path}room=${room}`;
  const asked = request(url, { method, headers, rejectUnauthorized: false, agent: false });
  asked.end(body);
  const [answer] = await once(asked, 'response');
  return { status: answer.statusCode, ...JSON.parse(Buffer.concat(await answer.toArray()).toString()) };
}

/** What all logs of nginx together say. */
async function logs() {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.log'));
  return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('');
}

const look = async (room) => JSON.parse((await get(`${base}signal-api/v1/rooms/${room}`)).body).data;
const whose = async (room) => (await look(room)).members_max;

before(async () => {
  folder = await sandbox.folder();
  [http, https, other] = [await freePort(), await freePort(), await freePort()];
  ports = [await freePort(), await freePort(), await freePort()];
  inner = [await freePort(), await freePort()];
  [base, plain] = [`https://localhost:${https}/`, `http://localhost:${http}/`];
  for (const name of ['bin', 'conf.d', 'page', 'acme/.well-known/acme-challenge']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${folder};`);
  await writeFile(
    join(folder, 'nginx.conf'),
    `${loadStream} pid ${folder}/nginx.pid; error_log ${folder}/error.log; worker_processes 2;
     events { worker_connections ${CONNECTIONS}; }
     include ${folder}/front.conf;
     http { ${temp.join(' ')} access_log ${folder}/access.log; include ${folder}/conf.d/*.conf; }`,
  );
  const program = (await run('sh', ['-c', 'PATH=$PATH:/usr/sbin command -v nginx'])).trim();
  await writeFile(
    join(folder, 'bin/nginx'),
    `#!/bin/sh\nexec ${program} -p ${folder} -e ${folder}/error.log -c ${folder}/nginx.conf "$@"\n`,
  );
  await chmod(join(folder, 'bin/nginx'), 0o755);
  await writeFile(join(folder, 'page/index.html'), '<title>Roundtable</title>');
  server(ports[0], 11);
  acme = await startAcme(sandbox, http);
});
after(() => sandbox.clear());

test('before there is a certificate, port 80 has the proof for Let’s Encrypt and redirects all else', async () => {
  await install('front.conf');
  await install('http.conf');
  await nginx('-t', '-q');
  start(join(folder, 'bin/nginx'), ['-g', 'daemon off;']);
  await until('nginx answers', () => get(plain));

  await writeFile(join(folder, 'acme/.well-known/acme-challenge/token-1'), 'token-1.proof');
  const proof = await get(`${plain}.well-known/acme-challenge/token-1`);
  assert.deepEqual([proof.status, proof.body], [200, 'token-1.proof']);
  assert.match(proof.headers['content-type'], /^text\/plain/);
  assert.equal((await get(`${plain}.well-known/acme-challenge/none`)).status, 404);

  const { status, headers } = await get(`${plain}r/standup?name=Ada`);
  assert.deepEqual([status, headers.location], [301, 'https://localhost/r/standup?name=Ada']);

  // The log of Debian's nginx.conf, which an unknown name is in, has what comes to a server that says nothing of logs.
  await writeFile(
    join(folder, 'conf.d/other.conf'),
    `server { listen 127.0.0.1:${other}; location / { return 204; } }`,
  );
  await nginx('-s', 'reload');
  await until('the other server answers', () => get(`http://127.0.0.1:${other}/`));
  for (const path of ['r/secret-room', '?room=secret-room', 'signal-api/ws?room=secret-room']) await get(plain + path);
  await get(`http://127.0.0.1:${other}/last`);
  await until('the log has the last request', async () => /GET \/last HTTP/.test(await logs()));
  assert.doesNotMatch(await logs(), /secret-room|standup|name=Ada/);
});

test('certbot gets one by the line of the README; with it page and sockets come through TLS, and who asks is passed on', async () => {
  const [line] = /certbot certonly .*/.exec(await readFile(join(given, 'README.md'), 'utf8'));
  const mine = line.replace('/var/www/acme', join(folder, 'acme')).replace('meet.your.domain', 'meet.example.org');
  // Answers to certbot's prompts, and the certificate authority.
  await certbot(`${mine} -n --agree-tos -m you@example.org --server "$ACME_SERVER"`);
  await install('one-server.conf');
  await install('https.conf');
  await nginx('-t', '-q');
  await nginx('-s', 'reload');
  await until('the server answers through TLS', async () => (await get(`${base}signal-api/v1/welcome`)).status === 200);

  // The server receives the host and port that browsers use: it accepts a page from there and rejects one from
  // elsewhere.
  assert.match((await handshake(https, 'TLSv1.3')).certificate.issuer.CN, /^Pebble Intermediate/);
  assert.equal(await Member.joinAs(base, { origin: `https://localhost:${https}` }), 'welcome');
  assert.equal(await Member.joinAs(base, { origin: 'https://evil.example' }), 'origin_not_allowed');

  const ada = await Member.join(base, 'standup', 'Ada');
  const grace = await Member.join(base, 'standup', 'Grace');
  assert.deepEqual(grace.welcome.peers.map(({ name }) => name), ['Ada']);
  await grace.leave();
  await ada.leave();

  await get(`${base}signal-api/v1/admin/rooms/secret-room`);
  await get(`${base}r/secret-room?name=Ada`);
  await until('the log has it', async () => /"GET \/r\/- HTTP/.test(await logs()));
  assert.match(await logs(), /"GET \/signal-api\/v1\/admin\/rooms\/- HTTP/);
  assert.doesNotMatch(await logs(), /secret-room|standup|name=Ada/);
});

test('under a sub-path of an nginx with the usual log no room is in that log', async () => {
  const given = await readFile(join(root, 'nginx/sub-path.conf'), 'utf8');
  await writeFile(join(folder, 'sub-path.conf'), given.replace('https://nginx:19003/', `http://127.0.0.1:${ports[0]}/`));
  await writeFile(
    join(folder, 'conf.d/other.conf'),
    `server { listen 127.0.0.1:${other}; include ${folder}/sub-path.conf; location / { return 204; } }`,
  );
  await nginx('-t', '-q');
  await nginx('-s', 'reload');
  const outer = `http://127.0.0.1:${other}/meet`;
  await until('the page is there', async () => (await get(`${outer}/`)).status === 200);
  assert.equal((await get(`${outer}?room=secret-room`)).status, 308);
  // The page of this test has no file for rooms.
  assert.equal((await get(`${outer}/r/secret-room`)).status, 307);
  await (await Member.join(`${outer}/`, 'secret-room', 'Ada')).leave();
  await get(`http://127.0.0.1:${other}/after`);
  await until('the log has the last request', async () => /GET \/after HTTP/.test(await logs()));
  assert.doesNotMatch(await logs(), /secret-room/);
});

test('the doctor finds nothing wrong with it but the name under which it looks', async () => {
  // The certificate's name resolves to this machine only for the certificate authority.
  const doctor = ['doctor', '--json', '--ca-file', live('chain.pem'), `${base}r/standup`];
  const said = await run('bash', ['-c', '"$0" "$@" || [ $? = 1 ]', process.env.SERVER, ...doctor]);
  const { findings, looked_at } = JSON.parse(said);
  assert.deepEqual(findings.map(({ name }) => name), ['certificate_name']);
  assert.ok(looked_at.some(({ look }) => look === 'ping'), said);
});

/** Opens connections, and waits for an event or the end of each. Returns a function that closes them. */
async function attack(count, event, open) {
  const sockets = Array.from({ length: count }, open);
  const end = () => sockets.forEach((socket) => socket.destroy());
  sandbox.undo(async () => end());
  const held = (socket) => new Promise((resolve) => socket.on('error', resolve).on('close', resolve).once(event, resolve));
  await Promise.all(sockets.map(held));
  return end;
}

test('a body longer than a goodbye is refused before any of it is kept', async () => {
  const asked = request(`${base}signal-api/v1/leave`, { method: 'POST', rejectUnauthorized: false, agent: false });
  asked.end(Buffer.alloc(5 * 1024));
  const [answer] = await once(asked, 'response');
  assert.equal(answer.statusCode, 413);
  assert.match(Buffer.concat(await answer.toArray()).toString(), /nginx/, 'by nginx, not by the server behind it');
});

test('whatever one address holds open, a newcomer from another one joins within a second', async () => {
  // Each attack from another address, because the connections of the previous one end with a delay.
  const from = (localAddress, port) => ({ host: '127.0.0.1', localAddress, port, rejectUnauthorized: false });
  await writeFile(join(folder, 'page/large.bin'), Buffer.alloc(16 << 20));
  const half = (address, port) => () => {
    const socket = net.connect(from(address, port));
    socket.on('connect', () => socket.write('GET / HTTP/1.1\r\nHost: '));
    return socket;
  };
  const unread = () => {
    const socket = tls.connect(from('127.0.0.4', https));
    socket.on('secureConnect', () => {
      socket.write('GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n');
      socket.once('data', () => socket.pause());
    });
    return socket;
  };
  for (const [what, count, event, open] of [
    ['half-sent heads on port 80', 2 * CONNECTIONS + 100, 'connect', half('127.0.0.2', http)],
    ['half-sent heads on port 443', 2 * CONNECTIONS + 100, 'connect', half('127.0.0.3', https)],
    ['unread answers', REQUESTS + 10, 'data', unread],
  ]) {
    const end = await attack(count, event, open);
    // Three measurements, as the first may be delayed by remaining work of this process.
    const waits = [];
    for (let at = 0; at < 3; at++) {
      const begun = Date.now();
      await (await Member.join(base, 'standup', 'Ada')).leave();
      waits.push(Date.now() - begun);
    }
    assert.ok(Math.min(...waits) < 1_000, `${what}: newcomers waited ${waits} ms`);
    end();
  }
});

test('a renewed certificate is served when the hook has run, not before, and a call’s socket stays', async () => {
  const old = await fingerprint();
  const ada = await Member.join(base, 'standup', 'Ada');
  const hook = join(acme.LETSENCRYPT, 'renewal-hooks/deploy/roundtable');
  await copyFile(join(given, 'renewed'), hook);
  await chmod(hook, 0o755);
  // The command of certbot's timer, without its delay of some minutes.
  const renew = 'certbot renew --force-renewal --no-random-sleep-on-renew';
  await certbot(`${renew} --no-directory-hooks`);
  assert.equal(await fingerprint(), old);

  await certbot(renew);
  await until('the new one is served', async () => (await fingerprint()) !== old);

  // Through the old worker, while new connections go to a new one.
  const grace = await Member.join(base, 'standup', 'Grace');
  assert.ok(ada.isOpen);
  assert.equal((await ada.next('peer_joined')).peer.id, grace.welcome.self);
  grace.send({ type: 'signal', to: ada.welcome.self, data: 'hello' });
  assert.equal((await ada.next('signal')).data, 'hello');

  // The hook refuses an incomplete renewal, and nginx keeps its certificate.
  const served = await fingerprint();
  const key = await readFile(live('privkey.pem'));
  await writeFile(live('privkey.pem'), 'broken');
  await assert.rejects(certbot(`'${hook}'`), /PEM|key/i);
  assert.equal(await fingerprint(), served);
  await writeFile(live('privkey.pem'), key);
  await ada.leave();
  await grace.leave();
});

test('of three weighted servers a room has one, the next where that is gone, and its own again', async () => {
  const second = server(ports[1], 12);
  server(ports[2], 13);
  for (const port of ports) {
    await until('the server itself answers', () => get(`http://127.0.0.1:${port}/signal-api/v1/welcome`));
  }
  await install('three-servers.conf');
  await nginx('-t', '-q');
  await nginx('-s', 'reload');

  const rooms = Array.from({ length: 60 }, (_, number) => `room-${number}`);
  const all = () => Promise.all(rooms.map(whose));
  const first = await until('all three answer', async () => {
    // An old worker may still have answered some.
    const [sizes, again] = [await all(), await all()];
    return new Set(sizes).size === 3 && `${sizes}` === `${again}` && sizes;
  });
  assert.deepEqual(await all(), first);
  const share = (size) => first.filter((one) => one === size).length;
  assert.ok(share(11) > share(12) && share(11) > share(13), `twice the weight: ${[11, 12, 13].map(share)}`);

  // A room's sockets go to the same server as requests about it.
  const room = rooms[first.indexOf(12)];
  const ada = await Member.join(base, room, 'Ada');
  assert.equal((await look(room)).members, 1);

  // A recording that a host makes there continues on the next server, since they share one folder.
  const wish = JSON.stringify({ room, resume: ada.welcome.resume });
  const { data: begun } = await record('POST', '?', room, wish);
  const header = '1a45dfa39f4286810142f7810142f2810442f381084282847765626d4287810442858102';
  const put = (offset) => {
    const piece = Buffer.alloc(1_000_000);
    if (offset === 0) piece.write(header, 'hex');
    const headers = { authorization: `Bearer ${begun.upload}` };
    return record('PUT', `/${begun.id}?offset=${offset}&`, room, piece, headers);
  };
  assert.equal((await put(0)).data.length, 1_000_000);

  await second.end();
  await ada.closed;
  assert.equal((await put(1_000_000)).data.length, 2_000_000);
  const without = await all();
  assert.ok(!without.includes(12));
  first.forEach((size, at) => size !== 12 && assert.equal(without[at], size, rooms[at]));
  await (await Member.join(base, room, 'Ada')).leave();

  server(ports[1], 12);
  await until('each room has its own again', async () => `${await all()}` === `${first}`);
});

test('where there is no IPv6, the README’s line takes out what nginx would not start with', async () => {
  const own = await sandbox.folder();
  await copyFile(join(given, 'front.conf'), join(own, 'roundtable-front.conf'));
  const [line] = /^sudo sed .*d' \S*roundtable-front\.conf$/m.exec(await readFile(join(given, 'README.md'), 'utf8'));
  await run('sh', ['-c', line.replace('sudo ', '').replace('/etc/nginx', own)]);
  const text = await readFile(join(own, 'roundtable-front.conf'), 'utf8');
  assert.deepEqual(text.match(/listen .*/g), ['listen 80 backlog=4096;', 'listen 443 backlog=4096;']);
});

test('the README’s lines make Debian’s nginx include the front, with enough connections', async () => {
  const own = await sandbox.folder();
  const readme = await readFile(join(given, 'README.md'), 'utf8');
  const [line] = /^ *sudo sed .*nginx\.conf$/m.exec(readme);
  const debian = 'user www-data;\nevents {\n\tworker_connections 768;\n}\nhttp {\n}\n';
  await writeFile(join(own, 'nginx.conf'), debian);
  await run('sh', ['-c', line.replace('sudo ', '').replace(/\/etc\/nginx\/nginx\.conf$/, join(own, 'nginx.conf'))]);
  const expected = debian.replace('768', '32768') + 'include /etc/nginx/roundtable-front.conf;\n';
  assert.equal(await readFile(join(own, 'nginx.conf'), 'utf8'), expected);
});
