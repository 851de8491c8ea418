// The nginx configuration that many tutorials print for a page and a signaling server, and variants of it.

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nginx } from './nginx.js';
import { DIST } from './server.js';

async function certificate(folder, host) {
  const [key, cert] = [join(folder, 'tls.key'), join(folder, 'tls.crt')];
  const names = `subjectAltName=DNS:localhost,IP:127.0.0.1${/^[0-9.]+$/.test(host) ? `,IP:${host}` : ''}`;
  const made =
    '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'.split(' ');
  await promisify(execFile)('openssl', ['req', ...made, '-addext', names, '-keyout', key, '-out', cert]);
  return `ssl_certificate ${cert}; ssl_certificate_key ${key};`;
}

/**
 * Starts nginx with the tutorial's configuration, unmodified unless an option says otherwise: TLS, a copy of the dist
 * without a history fallback, a proxy that forwards no `Host`, and an `error_page` whose file is missing.
 *
 * @param server the signaling server behind it
 * @param proxy additional directives of the proxied location, such as `proxy_set_header Host $http_host;`
 * @param path the location of the signaling server, instead of `/signal-api/`
 * @param pass the path at the end of `proxy_pass`, which replaces that of the location: `/` for a trailing slash
 * @param base the path of the page, with slashes around it: the page is served there by `alias`, and the server's
 *   location is below it
 * @param tls whether to serve HTTPS
 * @param http2 whether to offer HTTP/2 to browsers
 * @param host the address to listen on
 * @param only keeps only `index.html` of the HTML pages in the dist
 * @param fallback directives of the page's location, such as `try_files $uri $uri/ /index.html;`
 * @param more additional locations of the page, with the tutorial's `/usr/web/nginx/html` as its folder
 * @param apart serves page and signaling server from two server blocks, and so from two origins
 * @param config content of the dist's `config.json`, as text or as a value; without it the file stays as it is
 * @returns `url` of the page, `origin` of the page, `api` (the origin of the signaling server), the folder `dist`,
 *   and functions that kill, start and stop nginx
 */
export async function tutorial(
  server,
  {
    proxy = '',
    path = '/signal-api/',
    base = '/',
    // Below another path the location is not the server's own, so `proxy_pass` must contain the server's.
    pass = base === '/' ? '' : '/signal-api/',
    tls = true,
    http2 = false,
    host = '127.0.0.1',
    only = false,
    fallback = '',
    more = '',
    apart = false,
    config,
  } = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'roundtable-tutorial-'));
  const dist = join(folder, 'html');
  await cp(DIST, dist, { recursive: true });
  if (only) {
    for (const file of await readdir(dist, { recursive: true }))
      if (/\.html(\.(br|gz))?$/.test(file) && !/^index\.html/.test(file)) await rm(join(dist, file));
  }
  if (config !== undefined)
    await writeFile(join(dist, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));

  const keys = tls ? await certificate(folder, host) : '';
  const files = base === '/' ? `root ${dist};` : `alias ${dist}/;`;
  const page = `location ${base} { ${files} index index.html index.htm; ${fallback} }
    ${more.replaceAll('/usr/web/nginx/html', dist)}`;
  const api = `location ${base.slice(0, -1)}${path} {
    proxy_pass http://127.0.0.1:${server.port}${pass}; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; ${proxy} }`;
  const errors = `error_page 500 502 503 504 /50x.html; location = /50x.html { root ${folder}/missing; }`;
  const blocks = apart ? [[page], [api]] : [[page, api]];
  const front = await nginx(
    blocks.map((locations) => [keys, ...locations, errors].join('\n')),
    { host, listen: `${tls ? 'ssl' : ''} ${http2 ? 'http2' : ''}` },
  );
  const [origin, apiOrigin = origin] = front.urls.map((url) => new URL(url).origin);
  return {
    url: `${origin}${base}`,
    origin,
    api: apiOrigin,
    dist,
    kill: front.kill,
    start: front.start,
    async stop() {
      await front.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
