// A TURN client (RFC 8656, RFC 8489), as much of it as shows what a relay does for whom.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

const COOKIE = 0x2112a442;
const METHOD = { allocate: 0x003, refresh: 0x004, send: 0x006, data: 0x007, permit: 0x008 };
const INDICATION = 0x010;
const ATTRIBUTE = {
  username: 0x0006,
  integrity: 0x0008,
  error: 0x0009,
  lifetime: 0x000d,
  peer: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  relayed: 0x0016,
  transport: 0x0019,
};
const UDP = Buffer.from([17, 0, 0, 0]);

/** Type and value, filled up to four bytes. */
function attribute(type, value) {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)]);
}

function header(type, length, id) {
  const head = Buffer.alloc(20);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(length, 2);
  head.writeUInt32BE(COOKIE, 4);
  id.copy(head, 8);
  return head;
}

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** An IPv4 address and port, as XOR-…-ADDRESS has them, and back. */
function xored({ host, port }) {
  const bytes = Buffer.from([0, 1, 0, 0, ...host.split('.').map(Number)]);
  return toggle(bytes, port);
}

function toggle(bytes, port = bytes.readUInt16BE(2)) {
  const out = Buffer.from(bytes);
  out.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  out.writeUInt32BE((bytes.readUInt32BE(4) ^ COOKIE) >>> 0, 4);
  return out;
}

function address(bytes) {
  const plain = toggle(bytes);
  return { host: [...plain.subarray(4)].join('.'), port: plain.readUInt16BE(2) };
}

function parse(message) {
  const attributes = new Map();
  for (let at = 20; at + 4 <= message.length;) {
    const length = message.readUInt16BE(at + 2);
    attributes.set(message.readUInt16BE(at), message.subarray(at + 4, at + 4 + length));
    at += 4 + ((length + 3) & ~3);
  }
  return { type: message.readUInt16BE(0), id: message.toString('hex', 8, 20), attributes };
}

/** One client, over `udp` or `tcp`. Requests resolve with the error's code, 0 where there is none. */
export class TurnClient {
  /** Where others reach it, after `allocate`. */
  relayed;
  #closed = false;
  #user;
  #realm;
  #nonce;
  #socket;
  #send;
  #answers = new Map();
  #unread = Buffer.alloc(0);
  #arrived = [];
  #onArrival = () => {};

  /** The user is `{ username, credential }`, as in `RTCIceServer`. */
  static async connect({ host, port, transport = 'udp' }, user) {
    const client = new TurnClient();
    client.#user = user;
    if (transport === 'udp') {
      const socket = dgram.createSocket('udp4');
      socket.connect(port, host);
      await once(socket, 'connect');
      socket.on('message', (message) => client.#take(message));
      // A port that is shut shows as no answer.
      socket.on('error', () => {});
      client.#send = (message) => socket.send(message);
      client.#socket = socket;
    } else {
      const socket = net.connect(port, host);
      await once(socket, 'connect');
      socket.on('data', (bytes) => client.#read(bytes));
      client.#send = (message) => socket.write(message);
      client.#socket = socket;
    }
    return client;
  }

  async allocate() {
    const { code, attributes } = await this.#request(METHOD.allocate, [[ATTRIBUTE.transport, UDP]]);
    if (code === 0) this.relayed = address(attributes.get(ATTRIBUTE.relayed));
    return code;
  }

  /** Asks for so many seconds more. */
  async refresh(seconds) {
    return (await this.#request(METHOD.refresh, [[ATTRIBUTE.lifetime, uint32(seconds)]])).code;
  }

  /** Lets a host's packets in, and what is sent to it out. */
  async permit(host) {
    return (await this.#request(METHOD.permit, [[ATTRIBUTE.peer, xored({ host, port: 0 })]])).code;
  }

  /** Sends to a peer by way of the relay; nobody says whether it arrives. */
  send(peer, text) {
    const body = Buffer.concat([
      attribute(ATTRIBUTE.peer, xored(peer)),
      attribute(ATTRIBUTE.data, Buffer.from(text)),
    ]);
    this.#send(Buffer.concat([header(METHOD.send | INDICATION, body.length, randomBytes(12)), body]));
  }

  /** What a peer sent, and from where. */
  async next() {
    while (this.#arrived.length === 0) await new Promise((resolve) => (this.#onArrival = resolve));
    return this.#arrived.shift();
  }

  /** Gives back what the relay had for it. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    if (this.relayed) await this.refresh(0).catch(() => {});
    if (this.#socket.destroy) this.#socket.destroy();
    else this.#socket.close();
  }

  async #request(method, attributes) {
    const first = await this.#ask(method, attributes);
    // The first one is refused for want of a nonce, and any one whose nonce is too old.
    if (first.code !== 438 && !(first.code === 401 && this.#nonce === undefined)) return first;
    this.#realm = first.attributes.get(ATTRIBUTE.realm) ?? this.#realm;
    this.#nonce = first.attributes.get(ATTRIBUTE.nonce);
    return this.#ask(method, attributes);
  }

  async #ask(method, attributes) {
    const id = randomBytes(12);
    let body = Buffer.concat(attributes.map(([type, value]) => attribute(type, value)));
    if (this.#nonce) {
      const { username, credential } = this.#user;
      body = Buffer.concat([
        body,
        attribute(ATTRIBUTE.username, Buffer.from(username)),
        attribute(ATTRIBUTE.realm, this.#realm),
        attribute(ATTRIBUTE.nonce, this.#nonce),
      ]);
      const key = createHash('md5').update(`${username}:${this.#realm}:${credential}`).digest();
      // Over the message with a length that counts this attribute in (RFC 8489 §14.5).
      const mac = createHmac('sha1', key)
        .update(header(method, body.length + 24, id))
        .update(body);
      body = Buffer.concat([body, attribute(ATTRIBUTE.integrity, mac.digest())]);
    }
    const message = Buffer.concat([header(method, body.length, id), body]);
    const answer = new Promise((resolve) => this.#answers.set(id.toString('hex'), resolve));
    this.#send(message);
    // A datagram may be lost (RFC 8489 §6.2.1).
    const again = this.#socket.destroy ? undefined : setInterval(() => this.#send(message), 500);
    const late = setTimeout(() => this.#answers.get(id.toString('hex'))?.(), 8_000);
    const got = await answer;
    clearInterval(again);
    clearTimeout(late);
    this.#answers.delete(id.toString('hex'));
    if (!got) throw new Error('The relay does not answer.');
    const error = got.attributes.get(ATTRIBUTE.error);
    return { code: error ? error[2] * 100 + error[3] : 0, attributes: got.attributes };
  }

  #take(message) {
    const { type, id, attributes } = parse(message);
    if (type === (METHOD.data | INDICATION)) {
      const from = address(attributes.get(ATTRIBUTE.peer));
      this.#arrived.push({ from, text: attributes.get(ATTRIBUTE.data).toString() });
      this.#onArrival();
    } else {
      this.#answers.get(id)?.({ attributes });
    }
  }

  /** A stream has its messages one after the other. */
  #read(bytes) {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= 20) {
      const length = 20 + this.#unread.readUInt16BE(2);
      if (this.#unread.length < length) return;
      this.#take(this.#unread.subarray(0, length));
      this.#unread = this.#unread.subarray(length);
    }
  }
}
