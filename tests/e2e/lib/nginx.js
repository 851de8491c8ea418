// nginx with handwritten configurations.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

// Debian has the stream module in a separate package; the image has it built in.
const MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';
const STREAM = existsSync(MODULE) ? ['-g', `load_module ${MODULE};`] : [];

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Returns a port of this address on which nothing is listening. */
export async function freePort(host = '127.0.0.1') {
  const server = net.createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/**
 * Starts nginx with one server for each body of a `server` block, each on its own port.
 *
 * @param host the address to listen on
 * @param listen additional parameters of each `listen` directive, such as `ssl http2`
 * @param lines configuration for all servers, such as an `upstream`
 * @returns the ports and addresses of the servers, in the same order, and functions that restart and stop nginx
 */
export async function nginx(blocks, { host = '127.0.0.1', listen = '', lines = '' } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'roundtable-nginx-'));
  const ports = await Promise.all(blocks.map(() => freePort(host)));
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${folder}/${what};`,
  );
  const servers = blocks.map((block, at) => `server { listen ${host}:${ports[at]} ${listen}; ${block} }`);
  await writeFile(
    join(folder, 'nginx.conf'),
    `pid ${folder}/pid; error_log ${folder}/error.log; daemon off; master_process off; events {}
     http { include /etc/nginx/mime.types; access_log off; ${lines} ${temp.join(' ')} ${servers.join('\n')} }`,
  );
  const { kill, start } = await run(folder, host, ports[0]);
  const scheme = /\bssl\b/.test(listen) ? 'https' : 'http';
  const name = host === '127.0.0.1' ? 'localhost' : host;
  return {
    ports,
    urls: ports.map((port) => `${scheme}://${name}:${port}/`),
    kill,
    start,
    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Runs nginx with the `nginx.conf` of a folder, in one process; resolves when it accepts connections. */
export async function run(folder, host, port) {
  const path = `${process.env.PATH}:/usr/sbin`;
  let running;
  let ended;
  const answers = () =>
    new Promise((resolve) => {
      const socket = net.connect(port, host);
      socket.on('connect', () => resolve(true)).on('error', () => setTimeout(resolve, 20, false));
      socket.on('connect', () => socket.destroy());
    });
  const start = async () => {
    running = spawn('nginx', ['-p', folder, '-e', `${folder}/error.log`, '-c', `${folder}/nginx.conf`, ...STREAM], {
      env: { PATH: path },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    ended = once(running, 'exit');
    while (!(await Promise.race([answers(), ended.then(() => Promise.reject(new Error('nginx ended')))])));
  };
  await start();
  return {
    /** Kills it with all its connections; resolves when it has exited. */
    async kill() {
      running.kill('SIGKILL');
      await ended;
    },
    /** Starts it again on the same ports; resolves when it accepts connections. */
    start,
  };
}

/**
 * Starts this repository's nginx, configured by its start scripts, without TLS.
 *
 * @param dist the folder of the page
 * @param settings environment of the start scripts
 * @returns its address, and a function that stops it
 */
export async function ownNginx(dist, server, settings = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'roundtable-own-nginx-'));
  await mkdir(join(folder, 'nginx'));
  const [port, plain] = [await freePort(), await freePort()];
  const { stdout } = await promisify(execFile)(
    'sh',
    [
      '-euc',
      'sh nginx/start/13-proxies.sh; . nginx/start/15-page.envsh >&2; . nginx/start/17-headers.envsh >&2; env -0',
    ],
    {
      cwd: ROOT,
      env: {
        ...process.env,
        ...settings,
        HTTPS_PORT: `${port}`,
        ROUNDTABLE_UPSTREAM: `127.0.0.1:${server.port}`,
        ROUNDTABLE_RESOLVERS: '127.0.0.53',
        ROUNDTABLE_CERTIFICATE: '',
        NGINX_ENVSUBST_OUTPUT_DIR: join(folder, 'nginx'),
        ROUNDTABLE_PAGE_CONFIG: join(dist, 'config.json'),
      },
    },
  );
  const variables = new Map(stdout.split('\0').map((line) => /^(\w+)=([^]*)/.exec(line)?.slice(1) ?? []));
  const filled = (await readFile(join(ROOT, 'nginx/templates/roundtable.conf.template'), 'utf8'))
    .replaceAll('unix:/tmp/', `unix:${folder}/`)
    .replace(/^ *ssl_.*\n/gm, '')
    .replaceAll(/\$\{(\w+)\}/g, (_, name) => variables.get(name))
    .replace('https.sock ssl', 'https.sock')
    .replace('/usr/share/nginx/html', dist);
  await writeFile(join(folder, 'nginx/roundtable.conf'), filled);
  const front = (await readFile(join(ROOT, 'nginx/templates/front.stream.template'), 'utf8'))
    .replaceAll('unix:/tmp/', `unix:${folder}/`)
    .replace(/\$\{ROUNDTABLE_ADDRESS_SLOTS\w*\}/g, '2048')
    .replace(/^ *listen \[::\].*\n/gm, '')
    .replace('listen 19003 ', `listen 127.0.0.1:${port} `)
    .replace('listen 19080 ', `listen 127.0.0.1:${plain} `);
  await writeFile(join(folder, 'nginx/front.stream'), front);
  const conf = await readFile(join(ROOT, 'nginx/nginx.conf'), 'utf8');
  await writeFile(
    join(folder, 'nginx.conf'),
    `daemon off; master_process off;\n${conf.replaceAll(/\/tmp\/|\/dev\/(?=std)/g, `${folder}/`)}`,
  );
  const { kill } = await run(folder, '127.0.0.1', port);
  return {
    url: `http://localhost:${port}/`,
    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
