// Playwright's test with a server for each test, and people who join on demand.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { test as base } from '@playwright/test';
import { Engine } from './engine.js';
import { Firefox } from './firefox.js';
import { Wire } from './net.js';
import { Person } from './person.js';
import { Server } from './server.js';

export { expect } from '@playwright/test';
export * from './person.js';

export const test = base.extend({
  /** Settings of the server: `test.use({ settings: { ROUNDTABLE_…: '…' } })`. */
  settings: [{}, { option: true }],

  /** The server; with a running stack, only its address. */
  server: async ({ settings }, use) => {
    if (process.env.BASE_URL) {
      await use({ url: process.env.BASE_URL });
      return;
    }
    const server = await new Server(settings).start();
    await use(server);
    await server.kill();
  },

  /** Two servers that share Redis, and a wire to each of them in place of a load balancer. */
  pair: async ({ settings }, use) => {
    const engine = await Engine.start();
    const shared = {
      ROUNDTABLE_REDIS_URL: engine.url,
      ROUNDTABLE_RESUME_KEY: 'the same on both, and long enough',
      ...settings,
    };
    const servers = [await new Server(shared).start(), await new Server(shared).start()];
    const wires = [await Wire.to(servers[0]), await Wire.to(servers[1])];
    await use({ servers, wires });
    for (const wire of wires) wire.close();
    await Promise.all(servers.map((server) => server.kill()));
    engine.stop();
  },

  /** A person with a new browser window. */
  person: async ({ browser }, use) => {
    const contexts = [];
    await use(async (name, options = {}) => {
      const context = await browser.newContext(options);
      contexts.push(context);
      return Person.at(await context.newPage(), name);
    });
    await Promise.all(contexts.map((context) => context.close()));
  },

  /** A page in the browser of this name, `Chromium` or `Firefox`, as `Person` needs it. */
  open: async ({ browser }, use) => {
    const opened = [];
    await use(async (name) => {
      const firefox = name === 'Firefox';
      const page = firefox ? await Firefox.launch() : await browser.newContext();
      opened.push(page);
      return firefox ? page : page.newPage();
    });
    await Promise.all(opened.map((page) => page.close()));
  },

  /** Another website: an empty page, at any host name of this machine. */
  website: async ({}, use) => {
    const server = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>another site</title>');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    await use((host) => `http://${host}:${server.address().port}/`);
    server.closeAllConnections();
    server.close();
  },

  /** A person in a room. */
  join: async ({ person, server }, use) => {
    await use(async (name, room, { base = server.url, ...options } = {}) => {
      const someone = await person(name);
      await someone.join(base, room, options);
      return someone;
    });
  },
});
