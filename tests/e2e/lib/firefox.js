// The system's Firefox, controlled by WebDriver BiDi. Playwright supports only its own build of Firefox.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  // The other browser is on this machine, where multicast DNS may be unavailable.
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // Otherwise it would download a codec that the calls do not need.
  'media.gmp-manager.updateEnabled': false,
  'app.normandy.enabled': false,
  'services.settings.server': 'data:,',
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** One Firefox with one page, with as much of Playwright's page interface as `Person` needs. */
export class Firefox {
  #process;
  #profile;
  #socket;
  #context;
  #sent = 0;
  #waiting = new Map();

  /** @param more additional preferences */
  static async launch(more = {}) {
    const firefox = new Firefox();
    try {
      await firefox.#start({ ...PREFERENCES, ...more });
      return firefox;
    } catch (error) {
      await firefox.close();
      throw error;
    }
  }

  async #start(preferences) {
    this.#profile = await mkdtemp(join(tmpdir(), 'roundtable-firefox-'));
    const lines = Object.entries(preferences).map(
      (entry) => `user_pref(${entry.map((part) => JSON.stringify(part))});`,
    );
    await writeFile(join(this.#profile, 'user.js'), lines.join('\n'));
    this.#process = spawn(
      process.env.FIREFOX ?? '/usr/bin/firefox',
      ['--headless', '--no-remote', '--remote-debugging-port=0', '--profile', this.#profile],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const address = new Promise((resolve, reject) => {
      createInterface(this.#process.stderr).on('line', (line) => {
        const [, found] = /WebDriver BiDi listening on (\S+)/.exec(line) ?? [];
        if (found) resolve(found);
      });
      this.#process.once('error', reject);
      this.#process.once('exit', (code) => reject(new Error(`Firefox ended with ${code}.`)));
    });
    this.#socket = new WebSocket(`${await address}/session`);
    this.#socket.on('message', (frame) => this.#answered(JSON.parse(frame)));
    await once(this.#socket, 'open');
    await this.#command('session.new', {
      capabilities: { alwaysMatch: { acceptInsecureCerts: true } },
    });
    const { contexts } = await this.#command('browsingContext.getTree', {});
    this.#context = contexts[0].context;
  }

  async goto(url) {
    await this.#command('browsingContext.navigate', {
      context: this.#context,
      url,
      wait: 'interactive',
    });
  }

  async reload() {
    await this.#command('browsingContext.reload', { context: this.#context, wait: 'interactive' });
  }

  async addInitScript(script) {
    await this.#command('script.addPreloadScript', {
      functionDeclaration: `${script}`,
    });
  }

  /** Calls a function in the page; arguments and results are JSON. */
  async evaluate(script, argument) {
    const answer = await this.#command('script.callFunction', {
      functionDeclaration: `async () => JSON.stringify(await (${script})(${JSON.stringify(argument)}))`,
      awaitPromise: true,
      target: { context: this.#context },
    });
    if (answer.type === 'exception') throw new Error(answer.exceptionDetails.text);
    const { value } = answer.result;
    return value === undefined ? undefined : JSON.parse(value);
  }

  async close() {
    this.#socket?.terminate();
    if (this.#process?.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill('SIGKILL');
      await ended;
    }
    if (this.#profile) await rm(this.#profile, { recursive: true, force: true, maxRetries: 10 });
  }

  #command(method, params) {
    const id = ++this.#sent;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  #answered({ id, type, result, error, message }) {
    const settle = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (type === 'success') settle?.resolve(result);
    else settle?.reject(new Error(`${error}: ${message}`));
  }
}
