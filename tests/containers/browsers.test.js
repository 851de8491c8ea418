// Calls in real browsers through the stack. Not beside other tests: each container that comes or goes
// changes the host's networks, at which Chromium gives up what it is loading.

import { after, test } from 'node:test';
import { Sandbox, run } from './lib/docker.js';
import { startStack } from './lib/stack.js';

const sandbox = new Sandbox();
after(() => sandbox.clear());

test('people in real browsers see and hear each other', async () => {
  const { base } = await startStack(sandbox);
  // To the error stream, which is what is shown where it fails.
  await run('bash', ['-c', 'exec tests/e2e/run --base "$0" >&2', base]);
});
