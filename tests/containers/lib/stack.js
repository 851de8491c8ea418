// docker-compose.yml as a user starts it, with its own project name and ports.

import { inspect, run, until } from './docker.js';
import { freePort, get } from './web.js';

const standalone = await run('docker', ['compose', 'version']).then(() => false, () => true);

/** Returns a function that runs Compose for one project, with these settings. */
export function composer(project, env) {
  const [program, ...first] = standalone ? ['docker-compose'] : ['docker', 'compose'];
  return (...args) => run(program, [...first, '-p', project, ...args], env);
}

/** Starts the stack, with further settings if any; the sandbox removes it. */
export async function startStack(sandbox, settings = {}) {
  const project = sandbox.name('stack');
  const env = { HTTPS_PORT: `${await freePort()}`, HTTP_PORT: `${await freePort()}`, ...settings };
  const base = `https://127.0.0.1:${env.HTTPS_PORT}/`;
  const compose = composer(project, env);
  const container = async (service) => inspect(await compose('ps', '-q', service));

  sandbox.undo(() => compose('down', '-v', '--remove-orphans'));
  await compose('up', '-d', '--build');
  await until('the page is there', async () => (await get(base)).status === 200);
  return { project, env, base, compose, container };
}
