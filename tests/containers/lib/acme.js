// Let's Encrypt's test server, Pebble, with all names resolving to this machine, and certbot's environment for it.

import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, until } from './docker.js';
import { freePort, get } from './web.js';

/**
 * Starts the ACME server; the sandbox ends it. It validates challenges at this port of this machine, as Let's Encrypt
 * does at port 80. Returns certbot's environment, with separate folders.
 */
export async function startAcme(sandbox, httpPort) {
  const folder = await sandbox.folder();
  const [port, roots, names, control] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const at = (name) => join(folder, name);
  await run('openssl', [
    ...'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=localhost'.split(' '),
    ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', at('acme.key'), '-out', at('acme.crt')],
  ]);
  const settings = {
    ...{ listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${roots}` },
    ...{ certificate: at('acme.crt'), privateKey: at('acme.key'), httpPort, tlsPort: httpPort },
  };
  await writeFile(at('pebble.json'), JSON.stringify({ pebble: settings }));
  const start = (program, ...args) => {
    // By default it waits up to 15 s before validation, and rejects a share of all requests.
    const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' };
    const child = spawn(program, args, { env, stdio: 'ignore' });
    child.on('error', (error) => console.error(`${error.message} (make tools installs it)`));
    sandbox.undo(async () => void child.kill());
  };
  const off = ['-http01', '', '-https01', '', '-tlsalpn01', ''];
  const answers = ['-defaultIPv4', '127.0.0.1', '-defaultIPv6', '', '-dns01', `127.0.0.1:${names}`];
  start('pebble-challtestsrv', ...answers, ...off, '-management', `127.0.0.1:${control}`);
  start('pebble', '-config', at('pebble.json'), '-dnsserver', `127.0.0.1:${names}`);
  const server = `https://localhost:${port}/dir`;
  await until('the ACME server answers', async () => (await get(server)).status === 200, 20);

  // Configuration that certbot reads in addition to /etc/letsencrypt/cli.ini.
  await run('mkdir', ['-p', at('letsencrypt')]);
  const own = ['config', 'work', 'logs'].map((what) => `${what}-dir = ${at(`letsencrypt/${what}`)}\n`);
  await writeFile(at('letsencrypt/cli.ini'), own.join(''));
  return {
    ...{ XDG_CONFIG_HOME: folder, REQUESTS_CA_BUNDLE: at('acme.crt') },
    ...{ ACME_SERVER: server, LETSENCRYPT: at('letsencrypt/config') },
  };
}
