// Containers, networks, volumes and folders of one test file, and their cleanup.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);
const options = { cwd: new URL('../../../', import.meta.url), maxBuffer: 256 * 1024 * 1024 };

/** Runs a program in the repository's root. Returns its standard output. */
export async function run(program, args, env = {}) {
  try {
    const { stdout } = await exec(program, args, { ...options, env: { ...process.env, ...env } });
    return stdout.trim();
  } catch ({ stderr, code }) {
    // Without the data that exec adds: the standard output of a whole build.
    throw new Error(`${[program, ...args].join(' ')} ended with ${code}: ${stderr.trim()}`);
  }
}

export const docker = (...args) => run('docker', args);

/** Runs `use` while no other test moves the image tags, as an upgrade does. */
export async function holdingTags(use) {
  const lock = spawn('flock', [join(tmpdir(), 'roundtable-tags.lock'), 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    await once(lock.stdout, 'data');
    await use();
  } finally {
    lock.stdin.end();
  }
}

export async function inspect(name) {
  return JSON.parse(await docker('inspect', name))[0];
}

/** Returns both output streams of a container; each keeps its own order. */
export async function logs(name) {
  const { stdout, stderr } = await exec('docker', ['logs', name], options);
  return stdout + stderr;
}

/** Polls until the result is truthy: waits for a condition instead of a fixed time. */
export async function until(what, probe, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      const answer = await probe();
      if (answer) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * Runs a program of nginx's image beside the server's container, whose own image has no programs: it shares the
 * server's processes (the server's files are in /proc/1/root), network and volumes. docs/OPERATIONS.md has the same.
 */
export const beside = (name, ...command) =>
  docker('run', '--rm', '--pid', `container:${name}`, '--network', `container:${name}`, '--volumes-from', name,
    '--user', '10001:10001', '--entrypoint', 'env', 'roundtable-nginx', ...command);

export const healthy = (name) =>
  until(`${name} is healthy`, async () => (await inspect(name)).State.Health.Status === 'healthy');

/** Returns the port on this machine where a container's port is published. */
export async function published(name, port) {
  const address = await docker('port', name, String(port));
  return Number(address.split('\n')[0].split(':').at(-1));
}

/** Resources of one test file, all of which are removed at its end. */
export class Sandbox {
  #prefix = `roundtable-test-${process.pid}`;
  #made = [];
  #count = 0;

  name(what) {
    return `${this.#prefix}-${what}-${++this.#count}`;
  }

  undo(step) {
    this.#made.push(step);
  }

  /** Runs `docker run -d` with these options, image and command. */
  async start(...args) {
    const name = this.name('c');
    this.undo(() => docker('rm', '-f', '-v', name));
    await docker('run', '-d', '--name', name, ...args);
    return name;
  }

  async volume() {
    const name = this.name('v');
    this.undo(() => docker('volume', 'rm', '-f', name));
    return docker('volume', 'create', name);
  }

  /** Creates an empty folder that a container's user can read, or also write. */
  async folder(mode = 0o755) {
    const path = await mkdtemp(join(tmpdir(), 'roundtable-test-'));
    this.undo(() => rm(path, { recursive: true, force: true }));
    await chmod(path, mode);
    return path;
  }

  async clear() {
    const failed = [];
    for (const step of this.#made.reverse()) await step().catch((error) => failed.push(error));
    if (failed.length > 0) throw new AggregateError(failed, 'not everything could be removed');
  }
}
