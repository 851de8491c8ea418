// The Redis server that several servers share, without persistence.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

export class Engine {
  // Below the ephemeral ports of outgoing connections.
  port = 20_000 + Math.floor(Math.random() * 12_000);
  #process;

  static async start() {
    const engine = new Engine();
    const words = ['--bind', '127.0.0.1', '--port', `${engine.port}`, '--save', '', '--appendonly', 'no'];
    engine.#process = spawn('redis-server', words, { stdio: 'ignore' });
    const failed = once(engine.#process, 'error').then(([error]) => Promise.reject(error));
    while (!(await Promise.race([engine.#answers(), failed]))) {
      if (engine.#process.exitCode !== null)
        throw new Error('redis-server does not start: is its port taken?');
    }
    return engine;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  stop() {
    this.#process.kill('SIGKILL');
  }

  #answers() {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1');
      socket.on('connect', () => resolve(true)).on('error', () => setTimeout(resolve, 50, false));
      socket.on('connect', () => socket.destroy());
    });
  }
}
