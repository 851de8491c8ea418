// The server under test, started as users start it, on free ports.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
/** The program under test. */
export const BINARY = process.env.E2E_SERVER ?? at('../../../target/debug/roundtable');

/** The folder of the built page. */
export const DIST = process.env.E2E_DIST ?? at('../../../static/dist');

/** A server that can be killed and restarted on the same port. */
export class Server {
  #env;
  #process;
  /** `127.0.0.1:<port>`; any free port at the first start. */
  #listen = '127.0.0.1:0';
  /** Address of the operations listener. */
  #ops;

  constructor(settings = {}) {
    this.#env = {
      PATH: process.env.PATH,
      ROUNDTABLE_STATIC_DIR: DIST,
      ROUNDTABLE_LOG_FORMAT: 'json',
      ...settings,
    };
  }

  get port() {
    return Number(this.#listen.split(':')[1]);
  }

  get url() {
    return `http://localhost:${this.port}/`;
  }

  /** Starts the server; resolves when it serves. Settings persist until replaced. */
  async start(settings = {}) {
    Object.assign(this.#env, settings);
    this.#process = spawn(BINARY, {
      env: {
        ...this.#env,
        ROUNDTABLE_LISTEN: this.#listen,
        ROUNDTABLE_OPS_LISTEN: '127.0.0.1:0',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface(this.#process.stdout);
    const serving = new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        const { message, listen, ops } = JSON.parse(line);
        if (message === 'serving') resolve([listen, ops]);
      });
      this.#process.once('error', reject);
      this.#process.once('exit', (code) => reject(new Error(`The server ended with ${code}.`)));
    });
    [this.#listen, this.#ops] = await serving;
    return this;
  }

  /** Returns one sample of the server's metrics; 0 if absent. */
  async metric(name) {
    const text = await (await fetch(`http://${this.#ops}/metrics`)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.split(' ')[1] ?? 0);
  }

  /** Kills it as a power failure does, without notifying anyone. */
  async kill() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }
}
