// Raw requests: redirects are not followed, bodies are not decompressed, self-signed certificates are accepted.

import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import tls from 'node:tls';

/** Sends a request. Returns status, headers, and the body as text. A path in `options` is sent unchanged. */
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

/** Returns the URL of the first of a page's own scripts. */
export async function script(page) {
  const { body } = await get(page);
  const [, source] = /<script[^>]* src="([^"]*assets\/[^"]+)"/.exec(body) ?? [];
  if (!source) throw new Error(`${page} loads no script: ${body}`);
  return new URL(source, page).href;
}

/**
 * Requests a WebSocket with these headers, from an address of this machine if given. Returns the response status of
 * the server or of a proxy before it. An opened socket is closed at once, or stays open until the other side closes
 * it.
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

/** Performs a handshake in one TLS version. Returns its name and the certificate, or the error. */
export function handshake(port, version) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      // So that the server rejects an old version, not this side.
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
 * Returns a port on which nothing is listening. It lies below the ephemeral ports (32768 and up), of which an
 * outgoing connection could take one before it is used.
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
