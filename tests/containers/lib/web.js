// Requests as they are: no redirect is followed, nothing is unpacked, self-signed certificates pass.

import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import tls from 'node:tls';

/** One answer: status, headers, and the body as text. A path in `options` is sent untouched. */
export function get(url, options = {}) {
  const { protocol } = new URL(url);
  return new Promise((resolve, reject) => {
    const client = protocol === 'https:' ? https : http;
    client
      .get(url, { rejectUnauthorized: false, agent: false, ...options }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode: status, headers } = response;
          const bytes = Buffer.concat(chunks);
          resolve({ status, headers, bytes, body: bytes.toString() });
        });
      })
      .on('error', reject);
  });
}

/** The first of a page's own scripts, as an absolute address. */
export async function script(page) {
  const { body } = await get(page);
  const [, source] = /<script[^>]* src="([^"]*assets\/[^"]+)"/.exec(body) ?? [];
  if (!source) throw new Error(`${page} loads no script: ${body}`);
  return new URL(source, page).href;
}

/**
 * The status with which a server or a proxy before it answers a WebSocket that comes with these headers, from this address of
 * this machine if one is given. What was opened is closed at once, or stays open until the other side ends it.
 */
export function upgrade(base, headers, { localAddress, keepOpen = false } = {}) {
  const socket = {
    ...{ connection: 'Upgrade', upgrade: 'websocket' },
    ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' },
  };
  const url = new URL('signal-api/ws?room=a', base);
  const options = { headers: { ...socket, ...headers }, rejectUnauthorized: false, agent: false, localAddress };
  return new Promise((resolve, reject) => {
    const asked = (url.protocol === 'https:' ? https : http).request(url, options);
    asked.on('error', reject).on('response', (response) => resolve(response.resume().statusCode));
    asked.on('upgrade', ({ statusCode }, connection) => {
      if (keepOpen) connection.unref().on('error', () => {});
      else connection.destroy();
      resolve(statusCode);
    });
    asked.end();
  });
}

/** Shakes hands in one TLS version; its name and the certificate, or the error. */
export function handshake(port, version) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      // So that it is the server who refuses an old version, and not this side.
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    socket.on('error', reject);
    socket.on('secureConnect', () => {
      resolve({ version: socket.getProtocol(), certificate: socket.getPeerCertificate() });
      socket.destroy();
    });
  });
}

/**
 * A port that nobody listens on just now. It lies below those that systems give to outgoing
 * connections (32768 and up), one of which could take it before it is used.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer().listen(port);
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
