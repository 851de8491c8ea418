// The server's container on Docker's default bridge, started by the lines in the documentation, behind an nginx of
// this machine.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Sandbox, inspect, run, until } from './lib/docker.js';
import { loadStream } from './lib/nginx.js';
import { freePort, get, upgrade } from './lib/web.js';

const sandbox = new Sandbox();
const read = (name) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8');
const DOCUMENTS = ['README.md', 'README.zh-CN.md', 'docs/NETWORKING.md', 'deploy/host-nginx/README.md'];
const PROGRAM_PATH = `${process.env.PATH}:/usr/sbin`;

let port, base;

/** Returns the arguments of the line that starts the server behind the machine's nginx, as printed in a document. */
async function printed(name) {
  const text = (await read(name)).replace(/\\\n\s*/g, '');
  const lines = text.match(/docker run -d .*-p 127\.0\.0\.1:18080:18080.* roundtable$/gm);
  assert.equal(lines?.length, 1, `${name}: ${lines}`);
  return lines[0].trim().split(/\s+/).slice(3);
}

/** Starts it with a name, port and volume of this test, and one WebSocket per address. */
async function start(args) {
  const own = args.filter((arg, at) => arg !== '--name' && args[at - 1] !== '--name');
  const [image] = own.splice(-1);
  const place = (text) => text.replace('127.0.0.1:18080:', `127.0.0.1:${port}:`).replace('roundtable-state:', `${volume}:`);
  const volume = await sandbox.volume();
  const id = await sandbox.start(...own.map(place), '-e', 'ROUNDTABLE_ADDRESS_CONNECTIONS=1', image);
  await until('the server answers through nginx', async () => (await get(`${base}signal-api/v1/welcome`)).status === 200);
  return id;
}

/** Opens a WebSocket to nginx from this address and keeps it open. Returns the response status. */
const connect = (localAddress) => upgrade(base, {}, { localAddress, keepOpen: true });

before(async () => {
  const folder = await sandbox.folder();
  const [https, inner, plain, free] = [await freePort(), await freePort(), await freePort(), await freePort()];
  [port, base] = [free, `https://127.0.0.1:${https}/`];
  await mkdir(join(folder, 'conf.d'));
  await run('openssl', [
    ...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=meet.example.org'.split(' '),
    ...['-keyout', join(folder, 'privkey.pem'), '-out', join(folder, 'fullchain.pem')],
  ]);
  for (const name of ['front.conf', 'https.conf', 'one-server.conf']) {
    const text = (await read(`deploy/host-nginx/${name}`))
      .replace(/^ *listen \[::\].*\n/gm, '')
      .replace('listen 443 ', `listen 127.0.0.1:${https} `)
      .replace('listen 80 ', `listen 127.0.0.1:${plain} `)
      .replace('127.0.0.1:9443', `127.0.0.1:${inner}`)
      .replaceAll('/etc/letsencrypt/live/meet.example.org', folder)
      .replace('/var/log/nginx', folder)
      .replace('127.0.0.1:18080 ', `127.0.0.1:${port} `);
    await writeFile(join(folder, name === 'front.conf' ? '.' : 'conf.d', name), text);
  }
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${folder};`);
  await writeFile(
    join(folder, 'nginx.conf'),
    `${loadStream} pid ${folder}/pid; daemon off; events {} include ${folder}/front.conf;
     http { ${temp.join(' ')} include ${folder}/conf.d/*.conf; }`,
  );
  const nginx = spawn('nginx', ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')], {
    env: { ...process.env, PATH: PROGRAM_PATH },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const gone = once(nginx, 'exit');
  sandbox.undo(async () => {
    nginx.kill('SIGTERM');
    await gone;
  });
});
after(() => sandbox.clear());

test('all documents print the same lines', async () => {
  const [first, ...others] = await Promise.all(DOCUMENTS.map(printed));
  for (const other of others) assert.deepEqual(other, first);
});

test('as printed, everyone is counted by the address with which they come to nginx', async () => {
  const id = await start(await printed('deploy/host-nginx/README.md'));
  const { NetworkSettings } = await inspect(id);
  assert.deepEqual(Object.keys(NetworkSettings.Networks), ['bridge']);
  assert.equal(await connect('127.0.0.1'), 101);
  assert.equal(await connect('127.0.0.1'), 429);
  assert.equal(await connect('127.0.0.2'), 101);
  assert.equal(await connect('127.0.0.2'), 429);
  await run('docker', ['stop', '-t', '0', id]);
});

test('without the printed setting all of them are one address, which is what the setting is for', async () => {
  const args = await printed('deploy/host-nginx/README.md');
  const at = args.findIndex((arg) => arg.startsWith('ROUNDTABLE_TRUSTED_PROXIES='));
  const id = await start([...args.slice(0, at - 1), ...args.slice(at + 1)]);
  assert.equal(await connect('127.0.0.1'), 101);
  assert.equal(await connect('127.0.0.2'), 429);
  await run('docker', ['stop', '-t', '0', id]);
});
