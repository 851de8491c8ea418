// docker-compose.cluster.yml on top of docker-compose.yml, as a user starts them: three servers, one room.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Caller } from './lib/caller.js';
import { Sandbox, docker, healthy, holdingTags, run, until } from './lib/docker.js';
import { Member } from './lib/member.js';
import { startStack } from './lib/stack.js';
import { get } from './lib/web.js';

const sandbox = new Sandbox();
let project, env, base, container;

before(async () => {
  const files = { COMPOSE_FILE: 'docker-compose.yml:docker-compose.cluster.yml' };
  ({ project, env, base, container } = await startStack(sandbox, files));
});
after(() => sandbox.clear());

/** Returns a server's own address, bypassing nginx, which would keep a room on one server. */
async function directly(service) {
  const { NetworkSettings } = await container(service);
  return `http://${NetworkSettings.Networks[`${project}_roundtable`].IPAddress}:18080/`;
}

test('all that is published is nginx; the engine wants its password and keeps nothing on a disk', async () => {
  for (const service of ['server', 'server2', 'server3', 'engine']) {
    const { Id, State, HostConfig } = await container(service);
    assert.equal(await docker('port', Id), '', service);
    assert.equal(State.Health.Status, 'healthy', service);
    assert.equal(HostConfig.ReadonlyRootfs, true, service);
    assert.deepEqual(HostConfig.CapDrop, ['ALL'], service);
  }
  const { Id } = await container('engine');
  assert.match(await docker('exec', Id, 'valkey-cli', 'ping'), /NOAUTH/);
  const ask = (...words) =>
    docker(
      'exec',
      Id,
      'sh',
      '-c',
      'REDISCLI_AUTH=$(cat /run/engine/password) exec valkey-cli "$@"',
      'sh',
      ...words,
    );
  assert.equal(await ask('config', 'get', 'save'), 'save');
  assert.equal(await ask('config', 'get', 'appendonly'), 'appendonly\nno');
  assert.doesNotMatch(
    JSON.stringify(await container('engine')),
    new RegExp(await docker('exec', Id, 'cat', '/run/engine/password')),
  );
});

test('a room is one on three servers; who was on one that is killed comes back on another, as the same', async () => {
  const [ada, bob, cyd] = await Promise.all(
    ['server', 'server2', 'server3'].map(async (service) =>
      Member.join(await directly(service), 'standup', service),
    ),
  );
  // The first member was told of the others, and the last one found them.
  const others = [ada, bob, cyd].map(({ welcome }) => welcome.peers.length);
  assert.deepEqual(others.sort(), [0, 1, 2]);
  // A server rejects signals to members it does not know of yet, so wait until Bob's server knows Ada.
  const known = bob.welcome.peers.map(({ id }) => id);
  while (!known.includes(ada.welcome.self)) known.push((await bob.next('peer_joined')).peer.id);
  bob.send({ type: 'signal', to: ada.welcome.self, data: 'hello' });
  assert.equal((await ada.next('signal')).data, 'hello');

  const { Id } = await container('server2');
  await docker('kill', Id);
  await bob.closed;
  const back = await Member.join(base, 'standup', 'server2', { resume: bob.welcome.resume });
  assert.equal(back.welcome.self, bob.welcome.self);
  assert.equal(back.welcome.peers.length, 2);
  back.send({ type: 'signal', to: ada.welcome.self, data: 'again' });
  assert.equal((await ada.next('signal')).data, 'again');

  // Docker does not restart it by itself: `docker kill` counts as a stop by the user.
  await docker('start', Id);
  await healthy(Id);
  const dan = await Member.join(await directly('server2'), 'standup', 'Dan');
  assert.equal(dan.welcome.peers.length, 3);
  for (const member of [ada, cyd, back, dan]) await member.leave();
  assert.equal(JSON.parse((await get(`${base}signal-api/v1/rooms/standup`)).body).data.members, 0);
});

const SERVERS = ['server', 'server2', 'server3'];

/** Returns the container ids of these services, to detect replaced containers. */
const ids = async (...services) => (await Promise.all(services.map(container))).map(({ Id }) => Id);

/** Runs `make upgrade CLUSTER=1`, from another commit than before. */
const upgrade = (revision, more = {}) =>
  run('make', ['upgrade', 'CLUSTER=1'], {
    ...{ ...env, COMPOSE_PROJECT_NAME: project, IMAGE_REVISION: revision.repeat(40) },
    ...more,
  });

test('make upgrade CLUSTER=1 restarts all servers and nginx, and two who talk meanwhile miss nothing', (t) => holdingTags(async () => {
  const [ada, grace] = [await Caller.join(sandbox, base, 'upgrade', 'Ada'), await Caller.join(sandbox, base, 'upgrade', 'Grace')];
  const [adaWas, graceWas] = [ada.self, grace.self];
  const before = await ids(...SERVERS, 'nginx', 'engine');
  const counts = [ada.count(grace.self), grace.count(ada.self)];

  await upgrade('a');

  const after = await ids(...SERVERS, 'nginx', 'engine');
  for (const place of SERVERS.keys()) assert.notEqual(after[place], before[place], SERVERS[place]);
  assert.notEqual(after[3], before[3], 'nginx');
  assert.equal(after[4], before[4], 'the engine is no part of it');
  await until('both are back', () => ada.isHere && grace.isHere);
  const [byAda, byGrace] = counts.map((end) => end());
  for (const [one, other, count] of [
    [ada, graceWas, byGrace],
    [grace, adaWas, byAda],
  ]) {
    await until('all that was said has come', () => one.heard.length >= count);
    const expected = Array.from({ length: count }, (_, number) => ({ from: other, number }));
    assert.deepEqual(one.heard.map(({ from, number }) => ({ from, number })), expected);
    assert.equal(one.sessions, 1, 'its session has gone on');
    assert.deepEqual(one.errors, []);
    const longest = (numbers) => (Math.max(0, ...numbers) / 1000).toFixed(1);
    t.diagnostic(`away ${one.absences.length} times, ${longest(one.absences)} s at most; heard ${count}, ${longest(one.heard.map(({ late }) => late))} s late at most`);
  }
  assert.deepEqual([ada.self, grace.self], [adaWas, graceWas]);
}));

test('an upgrade with a setting that the new version refuses says so, and restarts nothing', () => holdingTags(async () => {
  const before = await ids(...SERVERS, 'nginx');
  const ada = await Caller.join(sandbox, base, 'upgrade', 'Ada');
  await assert.rejects(upgrade('b', { TZ: 'Mars/Olympus' }), (error) => {
    assert.match(error.message, /Mars\/Olympus/);
    assert.match(error.message, /the new server does not start .* Nothing was restarted/);
    return true;
  });
  assert.deepEqual(await ids(...SERVERS, 'nginx'), before);

  // The second of three does not become healthy: the first is rolled back, too.
  const folder = await sandbox.folder();
  const environment = { ROUNDTABLE_RECORDINGS_DIR: '/proc/none' };
  await writeFile(join(folder, 'change.yml'), JSON.stringify({ version: '3.8', services: { server2: { environment } } }));
  const images = async () => (await Promise.all(SERVERS.map(container))).map(({ Image }) => Image);
  const running = await images();
  const files = ['docker-compose.yml', 'docker-compose.cluster.yml', join(folder, 'change.yml')].flatMap((file) => ['-f', file]);
  const settings = { ...env, COMPOSE_PROJECT_NAME: project, IMAGE_REVISION: 'd'.repeat(40) };
  await assert.rejects(run('scripts/upgrade', files, settings), /the new server2 does not become healthy .*rolled back: server2 server /s);
  assert.deepEqual(await images(), running);
  assert.deepEqual(await ids('server3', 'nginx'), before.slice(2));
  for (const service of SERVERS) assert.equal((await container(service)).State.Health.Status, 'healthy', service);

  await until('Ada is in the room', () => ada.isHere);
  assert.equal(ada.sessions, 1);
  const grace = await Caller.join(sandbox, base, 'upgrade', 'Grace');
  grace.say(ada.self, 1);
  await until('they hear each other', () => ada.heard.length === 1);
}));
