// nginx with a configuration written by hand.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/**
 * Starts it with one server for each of these texts of a `server` block, each on a port of its own.
 *
 * @returns the address of each, in the same order, and what ends it
 */
export async function nginx(blocks) {
  const folder = await mkdtemp(join(tmpdir(), 'roundtable-nginx-'));
  const ports = await Promise.all(blocks.map(freePort));
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${folder}/${what};`,
  );
  const servers = blocks.map((block, at) => `server { listen 127.0.0.1:${ports[at]}; ${block} }`);
  await writeFile(
    join(folder, 'nginx.conf'),
    `pid ${folder}/pid; error_log ${folder}/error.log; daemon off; master_process off; events {}
     http { types { text/html html; text/javascript js; text/css css; image/svg+xml svg; } access_log off; ${temp.join(' ')} ${servers.join('\n')} }`,
  );
  const path = `${process.env.PATH}:/usr/sbin`;
  const process_ = spawn('nginx', ['-p', folder, '-e', `${folder}/error.log`, '-c', `${folder}/nginx.conf`], {
    env: { PATH: path },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(process_, 'exit');
  const answers = () =>
    new Promise((resolve) => {
      const socket = net.connect(ports[0], '127.0.0.1');
      socket.on('connect', () => resolve(true)).on('error', () => setTimeout(resolve, 20, false));
      socket.on('connect', () => socket.destroy());
    });
  while (!(await Promise.race([answers(), ended.then(() => Promise.reject(new Error('nginx ended')))])));
  return {
    urls: ports.map((port) => `http://localhost:${port}/`),
    async stop() {
      process_.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
