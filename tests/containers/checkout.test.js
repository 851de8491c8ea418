// Images and projects of unusual checkouts: a strict umask, a folder without Latin letters.

import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Sandbox, docker, healthy, inspect, published, run } from './lib/docker.js';
import { get } from './lib/web.js';

const sandbox = new Sandbox();
const root = fileURLToPath(new URL('../../', import.meta.url));
const hardened = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--tmpfs=/tmp'];
let source;

/** Clones the current files, committed or not, with this umask. */
async function clone(name, umask) {
  const folder = join(await sandbox.folder(), name);
  await run('sh', ['-c', `umask ${umask} && git -c protocol.file.allow=always clone -q "$0" "$1"`, source, folder]);
  return folder;
}

before(async () => {
  source = join(await sandbox.folder(), 'source');
  await run('bash', [
    ...['-euo', 'pipefail', '-c'],
    `git -C "$0" ls-files -z --cached --others --exclude-standard --deduplicate | (cd "$0" && xargs -0 sh -c 'ls -d -- "$@" 2>/dev/null || true' sh) |
       tar -C "$0" -c -T - | (mkdir "$1" && tar -C "$1" -x)
     cd "$1" && git init -q && git add -A && git -c user.name=test -c user.email=test@example.org commit -q -m test`,
    ...[root, source],
  ]);
});
after(() => sandbox.clear());

test('images of a checkout with umask 077 are readable for their users', async () => {
  const folder = await clone('a clone', '077');
  // A minimal page, which does not take a minute to build. The test is about readability, whatever the modes of the
  // files.
  const page = join(folder, 'static');
  await rm(page, { recursive: true });
  await mkdir(join(page, 'public'), { recursive: true, mode: 0o700 });
  const build = 'mkdir -m 700 dist dist/assets && cp -p index.html dist && cp -p public/icon.svg dist/assets';
  const about = { name: 'page', version: '0.0.0' };
  for (const [name, text] of [
    ['.npmrc', ''],
    ['package.json', JSON.stringify({ ...about, scripts: { build } })],
    ['package-lock.json', JSON.stringify({ ...about, lockfileVersion: 3, packages: { '': about } })],
    ['index.html', 'a page'],
    ['public/icon.svg', '<svg/>'],
  ]) {
    await writeFile(join(page, name), text, { mode: 0o600 });
  }
  const [nginx, turn] = [sandbox.name('nginx'), sandbox.name('turn')];
  for (const image of [nginx, turn]) sandbox.undo(() => docker('rmi', '-f', image));
  await docker('build', '-q', '-t', nginx, '--target', 'nginx', folder);
  await docker('build', '-q', '-t', turn, join(folder, 'turn'));

  const id = await sandbox.start(...hardened, '-p', '127.0.0.1::19003', nginx);
  await healthy(id);
  const base = `https://127.0.0.1:${await published(id, 19003)}/`;
  assert.equal((await get(base)).body, 'a page');
  assert.equal((await get(`${base}assets/icon.svg`)).status, 200);
  assert.equal(await docker('exec', id, 'sh', '-c', 'find /usr/share/nginx /docker-entrypoint.d /etc/nginx /usr/local/bin ! -readable'), '');
  // It reports a missing setting, so its script was read and started.
  await assert.rejects(docker('run', '--rm', ...hardened, turn), /TURN_HOST is not set/);
});

test('in a folder without Latin letters the project has the name that the documents give it', async () => {
  const folder = await clone('会议', '022');
  const documents = ['OPERATIONS.md', 'OPERATIONS.zh-CN.md'].map((name) => readFile(join(folder, 'docs', name), 'utf8'));
  const lines = (await Promise.all(documents)).map((text) => /echo 'COMPOSE_PROJECT_NAME=\w+' >>\.env/.exec(text)?.[0]);
  assert.equal(lines[0], lines[1]);
  const project = sandbox.name('project');
  const script = `cd "$0"
    ${lines[0].replace('=roundtable', `=${project}`)}
    compose() { if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi; }
    compose "$@"`;
  const compose = (...args) => run('bash', ['-euc', script, folder, ...args]);
  sandbox.undo(() => compose('down', '-v'));
  await compose('up', '--no-start', '--no-build', 'nginx');
  const { Config } = await inspect(await compose('ps', '-a', '-q', 'nginx'));
  assert.equal(Config.Labels['com.docker.compose.project'], project);
});
