// coturn with the stack's configuration (`turn/start`), in this machine's network.

import { execFile, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const START = fileURLToPath(new URL('../../../turn/start', import.meta.url));

/** Returns an address of this machine. A relay rejects a loopback address as its own. */
export function ownAddress() {
  const all = Object.values(networkInterfaces()).flat();
  const own = all.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (!own) throw new Error('The relay needs an IPv4 address of this machine beside 127.0.0.1.');
  return own.address;
}

function answers(port, host) {
  return new Promise((resolve) => {
    const socket = net.connect(port, host);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

/** A TURN server. */
export class Turn {
  host;
  secret = randomBytes(32).toString('hex');
  // Below the ephemeral ports of outgoing connections; forty relay ports follow.
  port = 20_000 + 41 * Math.floor(Math.random() * 290);
  #folder;
  #process;

  /**
   * @param flags additional flags of coturn
   * @param settings of `turn/start`, replacing the correct ones
   * @param edit modifies the configuration that `turn/start` has written
   */
  static async start({ flags = [], settings = {}, edit } = {}) {
    const turn = new Turn();
    try {
      await turn.#start(flags, settings, edit);
      return turn;
    } catch (error) {
      await turn.stop();
      throw error;
    }
  }

  async #start(flags, settings, edit) {
    // Its real address, not the one in a wrong configuration.
    this.host = settings.TURN_RELAY_ADDRESS ?? ownAddress();
    this.#folder = await mkdtemp(join(tmpdir(), 'roundtable-turn-'));
    const file = join(this.#folder, 'secret');
    await writeFile(file, this.secret);
    let said = '';
    const env = {
      PATH: process.env.PATH,
      TURNSERVER: 'turnserver',
      TURN_RUN_DIR: this.#folder,
      TURN_SECRET_FILE: file,
      TURN_HOST: this.host,
      TURN_RELAY_ADDRESS: this.host,
      TURN_PORT: `${this.port}`,
      TURN_RELAY_PORTS: `${this.port + 1}-${this.port + 40}`,
      ...settings,
    };
    if (edit) {
      await promisify(execFile)(START, { env: { ...env, TURNSERVER: 'true' } });
      const conf = join(this.#folder, 'turnserver.conf');
      await writeFile(conf, edit(await readFile(conf, 'utf8')));
      this.#process = spawn('turnserver', ['-c', conf, ...flags], { env });
    } else {
      this.#process = spawn(START, flags, { env });
    }
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on('data', (text) => (said = (said + text).slice(-10_000)));
    }
    const ended = once(this.#process, 'exit');
    const deadline = Date.now() + 10_000;
    while (!(await answers(this.port, this.host))) {
      const moment = new Promise((resolve) => setTimeout(resolve, 50, false));
      if (await Promise.race([ended, moment])) throw new Error(`coturn ended: ${said}`);
      if (Date.now() > deadline) throw new Error(`coturn does not answer: ${said}`);
    }
  }

  /** Returns the URL over `udp` or `tcp`. */
  url(transport) {
    return `turn:${this.host}:${this.port}?transport=${transport}`;
  }

  /** Returns credentials by the TURN REST scheme that expire in this many seconds. */
  credentials(seconds) {
    const username = `${Math.floor(Date.now() / 1000) + seconds}:test`;
    return {
      username,
      credential: createHmac('sha1', this.secret).update(username).digest('base64'),
    };
  }

  async stop() {
    if (this.#process?.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill('SIGKILL');
      await ended;
    }
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}
