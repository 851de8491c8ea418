// docker-compose.cluster.yml over docker-compose.yml, as a user starts them: three servers, one room.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Sandbox, docker, healthy } from './lib/docker.js';
import { Member } from './lib/member.js';
import { startStack } from './lib/stack.js';
import { get } from './lib/web.js';

const sandbox = new Sandbox();
let project, base, container;

before(async () => {
  const files = { COMPOSE_FILE: 'docker-compose.yml:docker-compose.cluster.yml' };
  ({ project, base, container } = await startStack(sandbox, files));
});
after(() => sandbox.clear());

/** A server itself, past nginx, which would keep a room on one. */
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
  // Whoever came first has been told of the others, and the last has found them.
  const others = [ada, bob, cyd].map(({ welcome }) => welcome.peers.length);
  assert.deepEqual(others.sort(), [0, 1, 2]);
  // Whom Bob's server has not heard of yet is nobody to him.
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

  // Killed from outside it would come back by itself: `docker kill` counts as a wish.
  await docker('start', Id);
  await healthy(Id);
  const dan = await Member.join(await directly('server2'), 'standup', 'Dan');
  assert.equal(dan.welcome.peers.length, 3);
  for (const member of [ada, cyd, back, dan]) await member.leave();
  assert.equal(JSON.parse((await get(`${base}signal-api/v1/rooms/standup`)).body).data.members, 0);
});
