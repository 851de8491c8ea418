// Network components between a browser and the server.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { DIST } from './server.js';

/** Listens on a free port. Returns the port, and a function that closes it with all its connections. */
async function listen(server) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Cuts a page's socket and prevents new ones; other requests still work. */
export async function loseForGood({ page }, wire) {
  await page.evaluate(() => {
    window.WebSocket = class {
      constructor() {
        throw new Error('no socket');
      }
    };
  });
  wire.cut();
  wire.mend();
}

/** A TCP proxy to the server that can cut, delay and hold traffic, so that messages cross. */
export class Wire {
  /** Delay of all traffic, in milliseconds. */
  delay = 0;
  #pairs = new Set();
  #cut = false;
  #held = false;
  #listener;
  #server;

  static async to(server) {
    const wire = new Wire();
    wire.lead(server);
    wire.#listener = await listen(
      net.createServer((near) => wire.#connect(near, net.connect(wire.#server.port, '127.0.0.1'))),
    );
    return wire;
  }

  /** Routes new connections to this server, like a load balancer when another one has failed. */
  lead(server) {
    this.#server = server;
  }

  get url() {
    return `http://localhost:${this.#listener.port}/`;
  }

  /** Cuts all connections and refuses new ones. */
  cut() {
    this.#cut = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  mend() {
    this.#cut = false;
  }

  /** Holds all traffic. */
  hold() {
    this.#held = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  release() {
    this.#held = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  close() {
    this.cut();
    this.#listener.close();
  }

  #connect(near, far) {
    if (this.#cut) {
      near.destroy();
      far.destroy();
      return;
    }
    const pair = [near, far];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [far, near]]) {
      from.on('data', (chunk) => {
        if (this.delay) setTimeout(() => to.write(chunk), this.delay);
        else to.write(chunk);
      });
      from.on('end', () => to.end());
      // The other end closes too; nothing else is needed.
      from.on('error', () => {});
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
      if (this.#held) from.pause();
    }
  }
}

/**
 * A proxy at `/meet/` that strips its prefix, and reports an unavailable server as proxies do.
 *
 * @param port the server's port
 * @param down response body while the server does not answer
 * @param host `Host` header to the server; by default the browser's
 */
export async function subPath(port, { down = '<html><h1>502 Bad Gateway</h1></html>', host } = {}) {
  const upstream = ({ method, url, headers }) => ({
    host: '127.0.0.1',
    port,
    method,
    path: url.slice('/meet'.length),
    headers: { ...headers, host: host ?? headers.host },
    agent: false,
  });
  const inside = ({ url }) => url.startsWith('/meet/');
  const proxy = http.createServer((request, response) => {
    if (!inside(request)) {
      response.writeHead(404).end();
      return;
    }
    const onward = http.request(upstream(request), (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502, { 'content-type': 'text/html' }).end(down));
    request.pipe(onward);
  });
  proxy.on('upgrade', (request, near) => {
    near.on('error', () => {});
    const refuse = () => near.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    if (!inside(request)) {
      refuse();
      return;
    }
    const onward = http.request(upstream(request));
    onward.on('error', refuse);
    onward.on('response', ({ statusCode }) => near.end(`HTTP/1.1 ${statusCode} Refused\r\n\r\n`));
    onward.on('upgrade', ({ rawHeaders }, far) => {
      const lines = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1]}`] : []));
      near.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
      far.on('error', () => {});
      near.pipe(far).pipe(near);
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
    });
    onward.end();
  });
  const { port: own, close } = await listen(proxy);
  return { url: `http://localhost:${own}/meet/`, close };
}

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** A website that has the page without a server behind it, and answers unknown paths with the page. */
export async function website() {
  const { port, close } = await listen(
    http.createServer(async ({ url }, response) => {
      const { pathname } = new URL(url, 'http://localhost');
      const asked = extname(pathname) === '' ? 'r/index.html' : pathname;
      const body = await readFile(join(DIST, asked)).catch(() => undefined);
      response
        .writeHead(body ? 200 : 404, { 'content-type': TYPES[extname(asked)] ?? 'text/plain' })
        .end(body);
    }),
  );
  return { url: `http://localhost:${port}/`, close };
}

/** Blocks these UDP ports of this machine until the returned function is called. */
export async function block(ports) {
  const rule = ['-p', 'udp', '-m', 'multiport', '--dports', ports.join(','), '-j', 'DROP'];
  const tables = async (...args) => {
    for (const table of ['iptables', 'ip6tables']) {
      const all = ['-w', ...args, ...rule];
      await promisify(execFile)(...(process.getuid() === 0 ? [table, all] : ['sudo', [table, ...all]]));
    }
  };
  await tables('-I', 'INPUT');
  return () => tables('-D', 'INPUT');
}
