// A certificate for the stack as in docs/OPERATIONS.md: real certbot requests it from a real ACME server, through the
// stack's own nginx.

import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startAcme } from './lib/acme.js';
import { Sandbox, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { freePort, get, handshake } from './lib/web.js';

const sandbox = new Sandbox();
const project = sandbox.name('stack');
let folder, https, acme;

/** Runs a shell line in the stack's folder. */
const shell = (line, more = {}) => run('bash', ['-euc', `cd '${folder}' && ${line}`], { COMPOSE_PROJECT_NAME: project, ...acme, ...more });
const compose = 'compose() { if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi; }; compose';
const certificate = async () => (await handshake(https, 'TLSv1.3')).certificate;

before(async () => {
  folder = await sandbox.folder();
  const http = await freePort();
  https = await freePort();
  await run('cp', ['-r', 'Makefile', 'docker-compose.yml', 'deploy', 'turn', 'scripts', folder]);
  await writeFile(join(folder, '.env'), `ROUNDTABLE_HOST=meet.example.org\nHTTPS_PORT=${https}\nHTTP_PORT=${http}\n`);
  acme = await startAcme(sandbox, http);
  sandbox.undo(() => shell(`${compose} down -v`));
  await shell(`${compose} up -d`);
});
after(() => sandbox.clear());

test('make certificate gets one by the webroot, which the stack then serves', async () => {
  // The line of OPERATIONS.md, word for word.
  const said = await readFile(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8');
  const [mount] = /mkdir -p -m 755 certs && .*override\.yml/.exec(said);
  await shell(`${mount} && ${compose} up -d`);
  await until('nginx answers', async () => (await certificate()).subject.CN === 'meet.example.org');
  assert.equal((await certificate()).issuer.CN, 'meet.example.org', 'it has signed its own');

  await shell('make certificate DOMAIN=meet.example.org EMAIL=you@example.org');

  assert.deepEqual(
    await Promise.all(['tls.crt', 'tls.key'].map(async (name) => {
      const { mode, uid } = await stat(join(folder, 'certs', name));
      return [name, (mode & 0o777).toString(8), uid];
    })),
    [['tls.crt', '644', 101], ['tls.key', '400', 101]],
  );
  const served = await until('nginx answers again', certificate);
  assert.match(served.issuer.CN, /^Pebble Intermediate/);
  assert.equal(served.subjectaltname, 'DNS:meet.example.org');
  assert.match(await shell('make certificate'), /DNS:meet\.example\.org/);
});

test('a renewal is served at once, and a call’s socket stays', async () => {
  const base = `https://127.0.0.1:${https}/`;
  await until('the server answers', async () => (await get(`${base}signal-api/v1/welcome`)).status === 200);
  const ada = await Member.join(base, 'standup', 'Ada');
  const { serialNumber } = await certificate();

  // The command of certbot's timer, before it is due and without its delay of some minutes.
  await shell('certbot renew --force-renewal --no-random-sleep-on-renew');
  const renewed = Date.now();

  await until('the new one is served', async () => (await certificate()).serialNumber !== serialNumber);
  // Waits a fixed time on purpose: nginx could be configured to end its old workers.
  const enough = new Promise((resolve) => setTimeout(resolve, renewed + 8_000 - Date.now(), 'still open'));
  assert.equal(await Promise.race([ada.closed, enough]), 'still open');
  const grace = await Member.join(base, 'standup', 'Grace');
  grace.send({ type: 'signal', to: ada.welcome.self, data: 'hello' });
  assert.equal((await ada.next('signal')).data, 'hello');
  await ada.leave();
  await grace.leave();
});

test('where the proof is not found, it says so, and what was served stays', async () => {
  const { serialNumber } = await certificate();
  const before = await readFile(join(folder, 'certs/tls.crt'), 'utf8');
  // As if port 80 of the name were not the stack's: nothing listens there.
  const elsewhere = await startAcme(sandbox, await freePort());
  const refused = shell('make certificate DOMAIN=meet.example.org EMAIL=you@example.org', elsewhere);
  await assert.rejects(refused, /Some challenges have failed/);
  assert.equal((await certificate()).serialNumber, serialNumber);
  assert.equal(await readFile(join(folder, 'certs/tls.crt'), 'utf8'), before);
});
