// WebKitGTK, Debian's build of Safari's engine, controlled by WebDriver (W3C). The build has no WebRTC.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from './nginx.js';

/** One WebKitGTK with one page, on a virtual screen. */
export class WebKit {
  #screen;
  #driver;
  #address;

  static async launch() {
    const webkit = new WebKit();
    try {
      await webkit.#start();
      return webkit;
    } catch (error) {
      await webkit.close();
      throw error;
    }
  }

  async #start() {
    this.#screen = spawn('Xvfb', ['-displayfd', '3', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const [display] = await Promise.race([
      once(this.#screen.stdio[3], 'data'),
      once(this.#screen, 'exit').then(([code]) => Promise.reject(new Error(`Xvfb ended with ${code}.`))),
    ]);
    const port = await freePort();
    this.#driver = spawn('WebKitWebDriver', [`--port=${port}`], {
      env: { ...process.env, DISPLAY: `:${String(display).trim()}` },
      stdio: 'ignore',
    });
    await once(this.#driver, 'spawn');
    const driver = `http://127.0.0.1:${port}/session`;
    // Retry until it listens.
    const session = async () => {
      for (;;) {
        try {
          return await this.#command(driver, { capabilities: {} });
        } catch (error) {
          if (error.cause?.code !== 'ECONNREFUSED' || this.#driver.exitCode !== null) throw error;
        }
      }
    };
    this.#address = `${driver}/${(await session()).sessionId}`;
  }

  goto(url) {
    return this.#command(`${this.#address}/url`, { url });
  }

  /** Calls a function in the page; arguments and results are JSON. */
  evaluate(script, argument) {
    return this.#command(`${this.#address}/execute/sync`, {
      script: `return (${script})(arguments[0])`,
      args: argument === undefined ? [] : [argument],
    });
  }

  async close() {
    for (const each of [this.#driver, this.#screen]) {
      if (each?.pid === undefined || each.exitCode !== null || each.signalCode !== null) continue;
      const ended = once(each, 'exit');
      each.kill();
      await ended;
    }
  }

  async #command(address, body) {
    const response = await fetch(address, { method: 'POST', body: JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
  }
}
