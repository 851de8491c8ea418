// deploy/host-nginx, as it is given away, in a real nginx: only names, ports and folders are replaced, as its README says.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startAcme } from '../containers/lib/acme.js';
import { Sandbox, run, until } from '../containers/lib/docker.js';
import { Member } from '../containers/lib/member.js';
import { freePort, get, handshake, upgrade } from '../containers/lib/web.js';

const root = new URL('../../', import.meta.url).pathname;
const given = join(root, 'deploy/host-nginx');
const hasV6 = Object.values(networkInterfaces()).flat().some(({ address }) => address === '::1');

const sandbox = new Sandbox();
let folder, http, https, ports, base, plain, acme;

/** A program until the test ends. */
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

/** A server that says by the size of its rooms which one it is. */
function server(port, size) {
  return start(process.env.SERVER, [], {
    ROUNDTABLE_LISTEN: `127.0.0.1:${port}`,
    ROUNDTABLE_OPS_LISTEN: '127.0.0.1:0',
    ROUNDTABLE_ROOM_MEMBERS: `${size}`,
    ROUNDTABLE_ADDRESS_JOINS: '0',
    ROUNDTABLE_PING_INTERVAL: '2s',
    ROUNDTABLE_STATIC_DIR: join(folder, 'page'),
    ROUNDTABLE_DRAIN_TIMEOUT: '1s',
    ROUNDTABLE_LOG: 'error',
    ROUNDTABLE_RECORDINGS_DIR: join(folder, 'recordings'),
  });
}

/** One file that is given away, with everything replaced that belongs to a machine. */
async function install(name) {
  let text = await readFile(join(given, name), 'utf8');
  const replace = (from, to) => {
    text = text.replaceAll(from, to);
  };
  if (!hasV6) replace(/^ *listen \[::\].*\n/gm, '');
  replace(/listen (\[::\]:)?80;/g, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${http};`);
  replace(/listen (\[::\]:)?443 ssl;/g, (_, six) => `listen ${six ? '[::1]' : '127.0.0.1'}:${https} ssl;`);
  replace('/etc/letsencrypt', acme.LETSENCRYPT);
  replace('/var/www/acme', join(folder, 'acme'));
  replace('/var/log/nginx', folder);
  [18080, 18082, 18083].forEach((port, at) => replace(`127.0.0.1:${port} `, `127.0.0.1:${ports[at]} `));
  await writeFile(join(folder, 'conf.d', name.replace(/.*-servers?/, 'servers')), text);
}

/** nginx as it stands in the path of certbot's hook. */
const nginx = (...args) => run(join(folder, 'bin/nginx'), args);
const fingerprint = async () => (await handshake(https, 'TLSv1.3')).certificate.fingerprint256;

/** What certbot keeps for the name. */
const live = (name) => join(acme.LETSENCRYPT, 'live/meet.example.org', name);

/** certbot, as the README has it, asking another authority; its hooks find nginx where this test has it. */
const certbot = (line) => run('bash', ['-c', line], { ...acme, PATH: `${join(folder, 'bin')}:${process.env.PATH}` });

/** Asks for something of recordings, about a room; the answer. */
async function record(method, path, room, body, headers = {}) {
  const url = `${base}signal-api/v1/recordings${path}room=${room}`;
  const asked = request(url, { method, headers, rejectUnauthorized: false, agent: false });
  asked.end(body);
  const [answer] = await once(asked, 'response');
  return { status: answer.statusCode, ...JSON.parse(Buffer.concat(await answer.toArray()).toString()) };
}

const look = async (room) => JSON.parse((await get(`${base}signal-api/v1/rooms/${room}`)).body).data;
const whose = async (room) => (await look(room)).members_max;

before(async () => {
  folder = await sandbox.folder();
  [http, https] = [await freePort(), await freePort()];
  ports = [await freePort(), await freePort(), await freePort()];
  [base, plain] = [`https://localhost:${https}/`, `http://localhost:${http}/`];
  for (const name of ['bin', 'conf.d', 'page', 'acme/.well-known/acme-challenge']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${folder};`);
  await writeFile(
    join(folder, 'nginx.conf'),
    `pid ${folder}/nginx.pid; error_log ${folder}/error.log; worker_processes 2;
     events { worker_connections 768; }
     http { ${temp.join(' ')} include ${folder}/conf.d/*.conf; }`,
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
});

test('certbot gets one by the line of the README; with it page and sockets come through TLS, and who asks is passed on', async () => {
  const [line] = /certbot certonly .*/.exec(await readFile(join(given, 'README.md'), 'utf8'));
  const mine = line.replace('/var/www/acme', join(folder, 'acme')).replace('meet.your.domain', 'meet.example.org');
  // What it would ask a person, and whom it asks.
  await certbot(`${mine} -n --agree-tos -m you@example.org --server "$ACME_SERVER"`);
  await install('one-server.conf');
  await install('https.conf');
  await nginx('-t', '-q');
  await nginx('-s', 'reload');
  await until('the server answers through TLS', async () => (await get(`${base}signal-api/v1/welcome`)).status === 200);

  // The server is told the name and port that browsers know: a page from there is its own, one from elsewhere is not.
  assert.match((await handshake(https, 'TLSv1.3')).certificate.issuer.CN, /^Pebble Intermediate/);
  assert.equal(await upgrade(base, { origin: `https://localhost:${https}` }), 101);
  assert.equal(await upgrade(base, { origin: 'https://evil.example' }), 403);

  const ada = await Member.join(base, 'standup', 'Ada');
  const grace = await Member.join(base, 'standup', 'Grace');
  assert.deepEqual(grace.welcome.peers.map(({ name }) => name), ['Ada']);
  await grace.leave();
  await ada.leave();

  await get(`${base}signal-api/v1/admin/rooms/secret-room`);
  await get(`${base}r/secret-room?name=Ada`);
  const log = () => readFile(join(folder, 'roundtable.log'), 'utf8');
  await until('the log has it', async () => /"GET \/r\/- HTTP/.test(await log()));
  assert.match(await log(), /"GET \/signal-api\/v1\/admin\/rooms\/- HTTP/);
  assert.doesNotMatch(await log(), /secret-room|standup|name=Ada/);
});

test('the doctor finds nothing wrong with it but the name under which it looks', async () => {
  // That of the certificate leads here for the authority alone.
  const doctor = ['doctor', '--json', '--ca-file', live('chain.pem'), `${base}r/standup`];
  const said = await run('bash', ['-c', '"$0" "$@" || [ $? = 1 ]', process.env.SERVER, ...doctor]);
  const { findings, looked_at } = JSON.parse(said);
  assert.deepEqual(findings.map(({ name }) => name), ['certificate_name']);
  assert.ok(looked_at.some(({ look }) => look === 'ping'), said);
});

test('a renewed certificate is served when the hook has run, not before, and a call’s socket stays', async () => {
  const old = await fingerprint();
  const ada = await Member.join(base, 'standup', 'Ada');
  const hook = join(acme.LETSENCRYPT, 'renewal-hooks/deploy/roundtable');
  await copyFile(join(given, 'renewed'), hook);
  await chmod(hook, 0o755);
  // What its timer does, without the wait of some minutes.
  const renew = 'certbot renew --force-renewal --no-random-sleep-on-renew';
  await certbot(`${renew} --no-directory-hooks`);
  assert.equal(await fingerprint(), old);

  await certbot(renew);
  await until('the new one is served', async () => (await fingerprint()) !== old);

  // By the old worker, while who comes anew is on a new one.
  const grace = await Member.join(base, 'standup', 'Grace');
  assert.ok(ada.isOpen);
  assert.equal((await ada.next('peer_joined')).peer.id, grace.welcome.self);
  grace.send({ type: 'signal', to: ada.welcome.self, data: 'hello' });
  assert.equal((await ada.next('signal')).data, 'hello');

  // Half a renewal is refused by the hook, and nginx goes on with what it has.
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

  // A room's sockets go where the questions about it go.
  const room = rooms[first.indexOf(12)];
  const ada = await Member.join(base, room, 'Ada');
  assert.equal((await look(room)).members, 1);

  // A recording that a host makes there goes on at the next one: they have one folder.
  const wish = JSON.stringify({ room, resume: ada.welcome.resume });
  const { data: begun } = await record('POST', '?', room, wish);
  const put = (offset) =>
    record('PUT', `/${begun.id}?offset=${offset}&`, room, Buffer.alloc(1_000_000), {
      authorization: `Bearer ${begun.upload}`,
    });
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
  for (const name of ['http', 'https']) {
    await copyFile(join(given, `${name}.conf`), join(own, `roundtable-${name}.conf`));
  }
  const [line] = /^sudo sed .*roundtable-\*\.conf$/m.exec(await readFile(join(given, 'README.md'), 'utf8'));
  await run('sh', ['-c', line.replace('sudo ', '').replace('/etc/nginx/conf.d', own)]);
  for (const [name, listen] of [
    ['http', ['listen 80;']],
    ['https', ['listen 443 ssl;']],
  ]) {
    const text = await readFile(join(own, `roundtable-${name}.conf`), 'utf8');
    assert.deepEqual(text.match(/listen .*/g), listen);
  }
});
