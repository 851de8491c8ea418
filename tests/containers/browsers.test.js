// Calls in real browsers through the stack. Runs separately from other tests: each container that starts or stops
// changes the host's networks, at which Chromium aborts its loading.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Caller } from './lib/caller.js';
import { Sandbox, run, until } from './lib/docker.js';
import { startStack } from './lib/stack.js';

const sandbox = new Sandbox();
let project, env, base, container;

before(async () => {
  ({ project, env, base, container } = await startStack(sandbox));
});
after(() => sandbox.clear());

/**
 * Runs browser tests against the stack and returns their output. Copies it to the error stream, which is shown on
 * failure.
 */
const browse = (more, ...options) =>
  run('bash', ['-o', 'pipefail', '-c', 'tests/e2e/run --base "$@" | tee >(cat >&2)', 'run', base, ...options], more);

test('people in real browsers see and hear each other', () => browse());

test('make upgrade restarts the stack, and calls go on', async (t) => {
  const [ada, grace] = [await Caller.join(sandbox, base, 'callers', 'Ada'), await Caller.join(sandbox, base, 'callers', 'Grace')];
  const [adaWas, graceWas] = [ada.self, grace.self];
  const before = [await container('server'), await container('nginx')];

  // The browser test itself runs the upgrade, with people in a call.
  const upgrade = { ...env, COMPOSE_PROJECT_NAME: project, IMAGE_REVISION: 'c'.repeat(40) };
  const said = await browse({ ...upgrade, UPGRADE: 'make upgrade' }, '--grep', '@upgrade');
  for (const line of said.match(/.* stood still .*/g)) t.diagnostic(line);

  for (const { Id, Name } of [await container('server'), await container('nginx')]) {
    assert.ok(before.every((old) => old.Id !== Id), `${Name} is a new one`);
  }
  await until('both are back', () => ada.isHere && grace.isHere);
  for (const one of [ada, grace]) {
    t.diagnostic(`no signaling for ${one.absences.map((each) => `${(each / 1000).toFixed(1)} s`).join(' and ')}`);
  }
  assert.deepEqual([ada.self, grace.self], [adaWas, graceWas]);
  ada.say(grace.self, 1);
  grace.say(ada.self, 1);
  await until('they hear each other', () => ada.heard.length && grace.heard.length);
  assert.deepEqual([ada.heard.length, grace.heard.length, ...ada.errors, ...grace.errors], [1, 1]);
});
