// The image `roundtable-nginx` alone: certificate, TLS, page, logs, and no server behind it.

import assert from 'node:assert/strict';
import { chown, copyFile, mkdir, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Sandbox, docker, healthy, inspect, logs, published, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { get, handshake, script } from './lib/web.js';

const sandbox = new Sandbox();
after(() => sandbox.clear());

const hardened = ['--read-only', '--tmpfs', '/tmp', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'];
const made = '/var/lib/roundtable/certs';

const start = (...options) =>
  sandbox.start(...hardened, '-p', '127.0.0.1::19003', '-p', '127.0.0.1::19080', ...options, 'roundtable-nginx');
const base = async (name) => `https://127.0.0.1:${await published(name, 19003)}/`;
const certificate = async (name) => (await handshake(await published(name, 19003), 'TLSv1.3')).certificate;

const answering = (name) =>
  until(`${name} answers`, async () => {
    const port = await published(name, 19080);
    return (await get(`http://127.0.0.1:${port}/nginx-health`)).status === 204;
  });

/** Starts a container that refuses to start. Returns its output. */
async function refusal(...options) {
  const name = await start(...options);
  await until('it gives up', async () => (await inspect(name)).State.Status === 'exited');
  assert.notEqual((await inspect(name)).State.ExitCode, 0);
  return logs(name);
}

test('a self-signed certificate is made in the volume and kept', async () => {
  const volume = await sandbox.volume();
  const on = (host) => ['-v', `${volume}:${made}`, '-e', `ROUNDTABLE_HOST=${host}`];

  const name = await start(...on('meet.example.org'));
  await answering(name);
  const first = await certificate(name);
  assert.equal(first.subjectaltname, 'DNS:meet.example.org, DNS:localhost, IP Address:127.0.0.1');
  assert.equal(await docker('exec', name, 'stat', '-c', '%a %u', `${made}/tls.key`), '600 101');
  assert.match(await logs(name), /made a self-signed one for DNS:meet\.example\.org/);

  await docker('restart', name);
  await answering(name);
  assert.equal((await certificate(name)).fingerprint256, first.fingerprint256);
  await docker('rm', '-f', name);

  const again = await start(...on('meet.example.org'));
  await answering(again);
  assert.equal((await certificate(again)).fingerprint256, first.fingerprint256);
  await docker('rm', '-f', again);

  const moved = await start(...on('192.0.2.7'));
  await answering(moved);
  const second = await certificate(moved);
  assert.notEqual(second.fingerprint256, first.fingerprint256);
  assert.equal(second.subjectaltname, 'IP Address:192.0.2.7, DNS:localhost, IP Address:127.0.0.1');

  // Twenty days left: the certificate is renewed at the next start.
  await docker('exec', moved, 'sh', '-c',
    `openssl req -x509 -key ${made}/tls.key -days 20 -subj /CN=192.0.2.7 -out ${made}/tls.crt`);
  await docker('restart', moved);
  await answering(moved);
  const left = new Date((await certificate(moved)).valid_to) - Date.now();
  assert.ok(left > 300 * 24 * 3600 * 1000);
});

test('no layer of the image has a key', async () => {
  const folder = await sandbox.folder();
  await run('sh', ['-c', `docker save roundtable-nginx | tar -xC ${folder}`]);
  // Layers are tar archives among other files, in a layout that differs between engines.
  const files = await run('sh', ['-c', `find ${folder} -type f -exec tar -tf {} \\; 2>/dev/null || true`]);
  assert.match(files, /usr\/share\/nginx\/html\/index\.html/);
  assert.doesNotMatch(files, /roundtable\/certs\/./);
  assert.doesNotMatch(files, /^certs\/|\.key$/m);
});

test('a mounted certificate is served', async () => {
  const folder = await sandbox.folder();
  await docker('run', '--rm', '--user=0', '-v', `${folder}:/certs`, '--entrypoint=sh', 'roundtable-nginx', '-c',
    `cd /certs && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
       -subj /CN=own.example.org -keyout tls.key -out tls.crt && chown 101 tls.*`);

  const name = await start('-v', `${folder}:/certs:ro`);
  await answering(name);
  assert.equal((await certificate(name)).subject.CN, 'own.example.org');
  assert.match(await logs(name), /using the mounted one.*own\.example\.org/);
  assert.equal(await docker('exec', name, 'ls', made), '');
});

test('before there is a certificate, the mounted folder has the proof for Let’s Encrypt, and nothing else of it is served', async () => {
  const folder = await sandbox.folder();
  await mkdir(join(folder, 'acme/.well-known/acme-challenge'), { recursive: true });
  await writeFile(join(folder, 'acme/.well-known/acme-challenge/token-1'), 'token-1.proof');
  const name = await start('-v', `${folder}:/certs:ro`);
  await answering(name);

  const at = `http://127.0.0.1:${await published(name, 19080)}/`;
  const { status, headers, body } = await get(`${at}.well-known/acme-challenge/token-1`);
  assert.deepEqual([status, headers['content-type'], body], [200, 'text/plain', 'token-1.proof']);
  assert.equal((await get(`${at}.well-known/acme-challenge/none`)).status, 404);
  assert.equal((await get(`${at}acme/.well-known/acme-challenge/token-1`)).status, 308);
});

const EC = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** Creates a folder with a self-signed certificate and its key under these names, owned by nginx's user. */
async function certify(crt, key, algorithm = EC, host = 'own.example.org') {
  const folder = await sandbox.folder();
  const [certificate, privateKey] = [join(folder, crt), join(folder, key)];
  await run('openssl', [
    ...['req', '-x509', '-newkey', ...algorithm, '-nodes', '-days', '90', '-subj', `/CN=${host}`],
    ...['-addext', `subjectAltName=DNS:${host}`, '-keyout', privateKey, '-out', certificate],
  ]);
  for (const file of [certificate, privateKey]) await chown(file, 101, 101);
  return folder;
}

/** Waits until a container is unhealthy for this reason: on a busy machine a check may fail for another. */
const unhealthy = (name, why) =>
  until(`${name} is unhealthy: ${why}`, async () => {
    const { Status, Log } = (await inspect(name)).State.Health;
    return Status === 'unhealthy' && Log.some(({ Output }) => why.test(Output));
  });

test('half a certificate, a key of another certificate and one that nginx may not read are refused with the fix', async () => {
  const half = await sandbox.folder();
  await writeFile(join(half, 'tls.crt'), 'x');
  const mixed = await certify('tls.crt', 'tls.key', ['rsa:2048']);
  await copyFile(join(await certify('a', 'b'), 'b'), join(mixed, 'tls.key'));
  const shut = await certify('fullchain.pem', 'privkey.pem');
  await chown(join(shut, 'privkey.pem'), 0, 0);
  const unknown = await certify('meet.cer', 'meet.key');
  const refused = [
    [half, /\/certs\/tls\.key is missing or not readable for user 101/],
    [mixed, /tls\.key \(EC prime256v1\) is not the key of \/certs\/tls\.crt \(RSA 2048\): use the key/],
    [shut, /privkey\.pem is missing or not readable for user 101: sudo chown 101/],
    [unknown, /no certificate with a known name, but: meet\.cer meet\.key\. Rename .* tls\.crt with tls\.key/],
  ];
  await Promise.all(
    refused.map(async ([folder, why]) => assert.match(await refusal('-v', `${folder}:/certs:ro`), why)),
  );
});

test('a certificate under certbot’s names is served, and a name that it lacks is reported', async () => {
  const folder = await certify('fullchain.pem', 'privkey.pem');
  const name = await start('-v', `${folder}:/certs:ro`, '-e', 'ROUNDTABLE_HOST=meet.example.org');
  await healthy(name);
  assert.equal((await certificate(name)).subject.CN, 'own.example.org');
  const said = await logs(name);
  assert.match(said, /using the mounted one, \/certs\/fullchain\.pem with \/certs\/privkey\.pem/);
  assert.match(said, /does not cover meet\.example\.org, but: DNS:own\.example\.org/);
});

test('the container is unhealthy while no handshake succeeds, as after a reload with a key of another kind', async () => {
  const folder = await certify('tls.crt', 'tls.key', ['rsa:2048']);
  const name = await start('-v', `${folder}:/certs:ro`);
  await healthy(name);

  const key = await readFile(join(folder, 'tls.key'));
  await copyFile(join(await certify('a', 'b'), 'b'), join(folder, 'tls.key'));
  await docker('exec', name, 'nginx', '-s', 'reload');
  await unhealthy(name, /TLS handshakes on port 19003 fail/);
  await assert.rejects(certificate(name));

  await writeFile(join(folder, 'tls.key'), key);
  await docker('exec', name, 'nginx', '-s', 'reload');
  await healthy(name);
});

test('with an expired certificate or one that is not valid yet nginx runs, so that it can be renewed, and is unhealthy', async () => {
  await Promise.all(
    [
      ['20200101', '20200201', 'has expired'],
      ['20980101', '20990101', 'is not valid yet'],
    ].map(async ([first, last, why]) => {
      const folder = await certify('tls.crt', 'tls.key');
      await run('openssl', [
        ...['x509', '-x509toreq', '-in', join(folder, 'tls.crt'), '-key', join(folder, 'tls.key')],
        ...['-copy_extensions', 'copyall', '-out', join(folder, '.csr')],
      ]);
      const settings = `[ca]\ndefault_ca=d\n[d]\ndatabase=${folder}/.index\nserial=${folder}/.serial\npolicy=p\n
        default_md=sha256\nnew_certs_dir=${folder}\ncopy_extensions=copyall\n[p]\ncommonName=supplied\n`;
      for (const [file, text] of [['.cnf', settings], ['.index', ''], ['.serial', '01']]) await writeFile(join(folder, file), text);
      await run('openssl', [
        ...['ca', '-batch', '-selfsign', '-config', join(folder, '.cnf'), '-keyfile', join(folder, 'tls.key')],
        ...['-in', join(folder, '.csr'), '-startdate', `${first}000000Z`, '-enddate', `${last}000000Z`],
        ...['-notext', '-out', join(folder, 'tls.crt')],
      ]);
      const name = await start('-v', `${folder}:/certs:ro`);
      await answering(name);
      assert.match(await logs(name), new RegExp(`WARNING: /certs/tls\\.crt ${why}`));
      await unhealthy(name, new RegExp(why));
    }),
  );
});

test('ROUNDTABLE_HOST takes what people type: ports, addresses, several names, long ones', async () => {
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example.org`;
  const local = 'DNS:localhost, IP Address:127.0.0.1';
  await Promise.all(
    Object.entries({
      'Meet.example.org:19003': `DNS:meet.example.org, ${local}`,
      'https://meet.example.org/r/standup': `DNS:meet.example.org, ${local}`,
      [long]: `DNS:${long}, ${local}`,
      '[2001:db8::7]:443': `IP Address:2001:DB8:0:0:0:0:0:7, ${local}`,
      '2001:db8::7': `IP Address:2001:DB8:0:0:0:0:0:7, ${local}`,
      'meet.example.org,192.0.2.7, *.example.net': `DNS:meet.example.org, IP Address:192.0.2.7, DNS:*.example.net, ${local}`,
    }).map(async ([host, names]) => {
      const name = await start('-e', `ROUNDTABLE_HOST=${host}`);
      await answering(name);
      assert.equal((await certificate(name)).subjectaltname, names, host);
    }),
  );
});

test('what is no host is refused in plain words', async () => {
  const wrong = {
    '圆桌.example': 'international names as xn--',
    'meet_1.example.org': 'is not a host name',
    '192.0.2': 'is not an IPv4 address',
    '192.0.2.700': 'is not an IPv4 address',
    'meet..org': 'is not a host name',
    '2001:db8::g': 'neither a name nor an IPv6 address',
    'a@example.org': 'is not a host name',
    [`${'a'.repeat(64)}.org`]: 'a part of more than 63 characters',
    'https://': 'has no name',
  };
  await Promise.all(
    Object.entries(wrong).map(async ([host, why]) => {
      const said = await refusal('-e', `ROUNDTABLE_HOST=${host}`);
      assert.ok(said.includes(`ROUNDTABLE_HOST is '${host}'`) && said.includes(why), said);
      assert.match(said, /such as meet\.example\.org,192\.0\.2\.7/);
    }),
  );
});

test('an edited file of a mounted dist is sent at once, whatever its time and its compressed copies', async () => {
  const folder = await sandbox.folder();
  await mkdir(join(folder, 'assets'));
  const texts = ['first', 'other'].map((word) => `${word} `.repeat(400));
  for (const file of ['index.html', 'assets/app-1.js']) {
    await writeFile(join(folder, file), texts[0]);
    await writeFile(join(folder, `${file}.gz`), gzipSync(texts[0]));
  }
  const name = await start('-v', `${folder}:/usr/share/nginx/html:ro`);
  await answering(name);
  const address = await base(name);
  const read = async (path, headers = {}) => {
    const answer = await get(address + path, { headers: { 'accept-encoding': 'gzip', ...headers } });
    assert.equal(answer.status, 200, path);
    assert.equal(answer.headers['content-encoding'], 'gzip');
    return { ...answer, text: gunzipSync(answer.bytes).toString() };
  };
  const before = await read('');
  assert.equal(before.text, texts[0]);
  assert.equal((await read('assets/app-1.js')).text, texts[0]);

  // The same size and modification time, as an editor or cp -p may leave them.
  for (const file of ['index.html', 'assets/app-1.js']) {
    const { atime, mtime } = await stat(join(folder, file));
    await writeFile(join(folder, file), texts[1]);
    await utimes(join(folder, file), atime, mtime);
  }
  const known = { 'if-modified-since': before.headers['last-modified'], 'if-none-match': before.headers.etag ?? '"none"' };
  assert.equal((await read('', known)).text, texts[1]);
  assert.equal((await read('assets/app-1.js')).text, texts[1]);
});

test('a dist is mounted over the built-in one, and where it is empty there is a page that says so', async () => {
  const folder = await sandbox.folder();
  const name = await start('-v', `${folder}:/usr/share/nginx/html:ro`);
  await answering(name);

  for (const path of ['', 'r/standup']) {
    const { status, headers, body } = await get((await base(name)) + path);
    assert.equal(status, 500);
    assert.match(headers['content-type'], /text\/html/);
    assert.match(body, /not available[^]*无法访问/);
  }

  await writeFile(join(folder, 'index.html'), 'another page');
  assert.equal((await get(await base(name))).body, 'another page');
});

test('without a server nginx starts, is healthy, serves the page and says what is missing', async () => {
  const name = await start();
  await healthy(name);
  assert.equal((await get(`${await base(name)}r/standup`)).status, 200);
  const { status, headers, body } = await get(`${await base(name)}signal-api/v1/welcome`);
  assert.ok([502, 503, 504].includes(status), `${status}`);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(JSON.parse(body).code, 'UNAVAILABLE');
});

test('TLS 1.2 and 1.3 are spoken, 1.1 is refused', async () => {
  const name = await start();
  await answering(name);
  const port = await published(name, 19003);
  for (const version of ['TLSv1.2', 'TLSv1.3']) assert.equal((await handshake(port, version)).version, version);
  await assert.rejects(handshake(port, 'TLSv1.1'), { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
});

test('logs go to the console, and to files where a folder is mounted, in the zone of TZ and without a room’s name', async () => {
  const folder = await sandbox.folder(0o777);
  const name = await start('-v', `${folder}:/var/log/roundtable`, '-e', 'TZ=Asia/Kathmandu');
  await answering(name);
  // There is no server here, so nginx logs an error line that contains the URL, which cannot be avoided.
  await get(`${await base(name)}signal-api/v1/admin/rooms/weekly`);
  await get(`${await base(name)}r/standup?name=Ada`);
  await get(`${await base(name)}/r/standup`);

  const line = /\+05:45 [\d.]+ "GET \/r\/- HTTP\/1\.1" 200 /;
  await until('the line is in the file', async () => line.test(await readFile(join(folder, 'access.log'), 'utf8')));
  const console = await logs(name);
  assert.match(console, line);
  assert.match(console, /"GET \/signal-api\/v1\/admin\/rooms\/- HTTP/);
  assert.doesNotMatch(console, /standup|name=Ada|nginx-health/);
});

test('files of a mounted folder are rotated by the lines of the documents, and nginx goes on writing', async () => {
  // With a space, which logrotate would treat as the end of the path.
  const folder = join(await sandbox.folder(), 'my clone');
  await mkdir(folder);
  const blocks = await Promise.all(
    ['OPERATIONS.md', 'OPERATIONS.zh-CN.md'].map(async (name) => {
      const text = await readFile(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
      const [, block] = /```sh\n(mkdir -p logs[^]*?)```/.exec(text);
      return block;
    }),
  );
  assert.equal(blocks[0], blocks[1]);
  // The root user of a test machine needs no sudo, and may not have it.
  const asRoot = (script) => run('bash', ['-euc', `[ "$(id -u)" != 0 ] || sudo() { "$@"; }\ncd '${folder}'\n${script}`]);
  await asRoot(blocks[0].replace('/etc/logrotate.d/', './'));
  sandbox.undo(() => asRoot('sudo rm -r logs'));
  const rotate = () => asRoot('sudo env PATH="$PATH:/usr/sbin" logrotate -f -s status roundtable');

  const name = await start('-v', `${join(folder, 'logs')}:/var/log/roundtable`);
  await answering(name);
  const read = (file) => readFile(join(folder, 'logs', file), 'utf8');
  const ask = async (path) => {
    await get((await base(name)) + path);
    await until(`${path} is in the file`, async () => (await read('access.log')).includes(`/${path} `));
  };
  for (let round = 1; round <= 7; round++) {
    await ask(`assets/round-${round}`);
    await rotate();
    assert.match(await read('access.log.1'), new RegExp(`^[^\\n]*/assets/round-${round} [^\\n]*\\n$`));
    assert.equal(await read('access.log'), '');
  }
  const kept = (await readdir(join(folder, 'logs'))).filter((file) => file.startsWith('access.log'));
  assert.deepEqual(kept.sort(), ['access.log', ...[1, 2, 3, 4, 5].map((number) => `access.log.${number}`)]);
});

test('a folder for logs that nginx cannot write, and a page that it cannot read, are named with what to do', async () => {
  const folder = await sandbox.folder();
  const [closed, page] = [join(folder, 'logs'), join(folder, 'dist')];
  for (const path of [closed, page]) await mkdir(path);
  await writeFile(join(page, 'index.html'), 'a page', { mode: 0o600 });
  const mounts = ['-v', `${closed}:/var/log/roundtable`, '-v', `${page}:/usr/share/nginx/html:ro`];
  const name = await start(...mounts);
  await answering(name);
  const said = await logs(name);
  assert.match(said, /\/var\/log\/roundtable is not writable for user 101: .*chown 101/);
  assert.match(said, /user 101 cannot read all of \/usr\/share\/nginx\/html.*chmod -R a\+rX/);
  await run('chmod', ['-R', 'a+rX', page]);
  assert.equal((await get(await base(name))).body, 'a page');
});

test('a folder for certificates that nginx cannot read is refused, and not taken for an empty one', async () => {
  const folder = await sandbox.folder(0o700);
  const said = await refusal('-v', `${folder}:/certs:ro`);
  assert.match(said, /certificate: user 101 cannot read the folder \/certs\. .*chmod 755/);
  assert.doesNotMatch(said, /self-signed/);
});

test('the process has no rights, and its version is nobody’s business', async () => {
  const name = await start();
  await answering(name);
  assert.equal(await docker('exec', name, 'id', '-u'), '101');
  assert.match(await docker('exec', name, 'grep', 'CapEff', '/proc/1/status'), /:\s*0+$/);
  assert.equal((await get(await script(await base(name)))).headers.server, 'nginx');
});

test('of several servers a room has one, the next where that is gone, and its own again when it is back', async () => {
  const network = sandbox.name('n');
  sandbox.undo(() => docker('network', 'rm', network));
  await docker('network', 'create', network);
  // Each server is identified by its maximum room size, and does not limit the rate of requests.
  const server = (alias, size) => {
    const settings = ['-e', `ROUNDTABLE_ROOM_MEMBERS=${size}`, '-e', 'ROUNDTABLE_ADDRESS_JOINS=0'];
    return sandbox.start('--network', network, '--network-alias', alias, ...settings, 'roundtable');
  };
  const [, second] = [await server('one', 11), await server('two', 12)];
  const name = await start('--network', network, '-e', 'ROUNDTABLE_UPSTREAMS=one:18080 weight=2,two:18080');
  await answering(name);
  const address = await base(name);
  const look = async (room) => JSON.parse((await get(`${address}signal-api/v1/rooms/${room}`)).body).data;
  const whose = async (room) => (await look(room)).members_max;

  const rooms = Array.from({ length: 30 }, (_, number) => `room-${number}`);
  await until('both answer', async () => new Set(await Promise.all(rooms.map(whose))).size === 2);
  const first = await Promise.all(rooms.map(whose));
  assert.deepEqual(await Promise.all(rooms.map(whose)), first);
  assert.ok(first.filter((size) => size === 11).length > 15, `twice the weight, and ${first}`);

  // Sockets go to the same server as requests about their room.
  const [ones, twos] = [11, 12].map((size) => rooms[first.indexOf(size)]);
  const members = await Promise.all([ones, twos].map((room) => Member.join(address, room, 'Ada')));
  for (const room of [ones, twos]) assert.equal((await look(room)).members, 1);

  await docker('kill', second);
  await members[1].closed;
  assert.ok(members[0].isOpen);
  assert.deepEqual(new Set(await Promise.all(rooms.map(whose))), new Set([11]));
  await (await Member.join(address, twos, 'Ada')).leave();

  await docker('start', second);
  await until('each has its server again', async () => `${await Promise.all(rooms.map(whose))}` === `${first}`);
  await members[0].leave();
});

test('what is no list of servers is refused in plain words', async () => {
  const wrong = {
    one: "has 'one'",
    'one:18080,http://two:18080': "has 'http://two:18080'",
    'one:70000': 'has the port 70000',
    'one:18080 weight=0': "has 'weight=0'",
    'one:18080 weight=2 backup': "has 'one:18080 weight=2 backup'",
    'one:18080; }': "has 'one:18080;",
    'one:18080,one:18080': 'has one:18080 twice',
    ',': 'names no server',
  };
  await Promise.all(
    Object.entries(wrong).map(async ([value, why]) => {
      const said = await refusal('-e', `ROUNDTABLE_UPSTREAMS=${value}`);
      assert.ok(said.includes(`ROUNDTABLE_UPSTREAMS ${why}`), said);
      assert.match(said, /it should be servers as host:port, .*server1:18080 weight=2,server2:18080/);
    }),
  );
});
