// Tests the reach of a member through a relay in its machine's network, as in docker-compose.turn-host.yml, and the
// firewall rules of docs/NETWORKING.md. `run` starts this in a separate network namespace, in which it is root.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { TurnClient } from '../e2e/lib/stun.js';
import { Turn } from '../e2e/lib/turn.js';

const PRIVATE = '10.9.8.7';
// coturn relays to it as to any public address.
const PUBLIC = '198.41.0.4';

let turn, clients, service;

/** Runs a command line with root rights in this namespace. */
const root = (line) => execFileSync('sh', ['-ec', `PATH=$PATH:/usr/sbin:/sbin; ${line}`]);

async function client() {
  const one = await TurnClient.connect(turn, turn.credentials(60));
  assert.equal(await one.allocate(), 0);
  for (const address of [PRIVATE, PUBLIC]) assert.equal(await one.permit(address), 0);
  return one;
}

/** Waits until a service bound to all addresses of the machine has received a text. */
async function received(text) {
  while ((await once(service, 'message'))[0].toString() !== text);
}

/** Sends through the relay until the text arrives: a datagram may be lost, and permissions take a moment. */
async function deliver(to, text, arrival) {
  const again = setInterval(() => clients[0].send(to, text), 200);
  clients[0].send(to, text);
  try {
    return await arrival;
  } finally {
    clearInterval(again);
  }
}

before(async () => {
  root(`ip link set lo up; ip link add relay0 type veth peer name relay1
    ip addr add ${PRIVATE}/24 dev relay0; ip addr add ${PUBLIC}/32 dev relay0; ip link set relay0 up; ip link set relay1 up`);
  // Up to a second passes before the kernel reports a carrier on the interface.
  while (!networkInterfaces().relay0) await setTimeout(10);
  turn = await Turn.start({ settings: { TURN_HOST: PRIVATE, TURN_RELAY_ADDRESS: PRIVATE } });
  clients = [await client(), await client()];
  service = dgram.createSocket('udp4').bind(0);
  await once(service, 'listening');
});
after(async () => {
  for (const one of clients ?? []) await one.close();
  service?.close();
  await turn?.stop();
});

test('nobody is relayed to what clouds serve to their own machines', async () => {
  const inside = ['169.254.169.254', '168.63.129.16', '100.100.100.200', '192.0.0.192', '161.26.0.10', '166.8.0.1', '166.11.255.255'];
  for (const address of inside) assert.equal(await clients[0].permit(address), 403, address);
  const outside = ['168.63.129.15', '168.63.129.17', '161.25.255.255', '161.27.0.0', '166.7.255.255', '166.12.0.0'];
  for (const address of outside) assert.equal(await clients[0].permit(address), 0, address);
});

test('the relay reaches services of its own machine, and with the documented rules only its own ports', async () => {
  const { port } = service.address();
  for (const host of [PRIVATE, PUBLIC]) {
    // As docs/SECURITY.md says.
    await deliver({ host, port }, host, received(host));
  }

  const [rules] = /sudo iptables [^`]*/.exec(await readFile(new URL('../../docs/NETWORKING.md', import.meta.url), 'utf8'));
  const here = rules.replaceAll('49160:65535', `${turn.port + 1}:${turn.port + 40}`).replace('--uid-owner 65534', '--uid-owner 0');
  root(here.replaceAll('sudo ', ''));
  const heard = [];
  service.on('message', (text) => heard.push(text.toString()));
  for (const host of [PRIVATE, PUBLIC]) clients[0].send({ host, port }, 'attack');
  // Sent later on the same path: when it arrives, the attack has been handled.
  const [ada, grace] = clients;
  assert.deepEqual(await deliver(grace.relayed, 'hello', grace.next()), { from: ada.relayed, text: 'hello' });
  const direct = dgram.createSocket('udp4');
  direct.send('end', port, '127.0.0.1');
  while (!heard.includes('end')) await once(service, 'message');
  direct.close();
  assert.ok(!heard.includes('attack'), `${heard}`);
});
