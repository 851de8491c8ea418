// A minimal TURN client (RFC 8656, RFC 8489) that tests a relay's behaviour.

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

/** Encodes type and value, padded to four bytes. */
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

/** Encodes an IPv4 address and port as in XOR-…-ADDRESS; its own inverse for the bytes. */
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

/** A client over `udp` or `tcp`. Requests resolve with the error code, or 0 on success. */
export class TurnClient {
  /** The relayed address, after `allocate`. */
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

  /** Connects. The user is `{ username, credential }`, as in `RTCIceServer`. */
  static async connect({ host, port, transport = 'udp' }, user) {
    const client = new TurnClient();
    client.#user = user;
    if (transport === 'udp') {
      const socket = dgram.createSocket('udp4');
      socket.connect(port, host);
      await once(socket, 'connect');
      socket.on('message', (message) => client.#take(message));
      // A closed port shows as a missing answer.
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

  /** Refreshes the allocation for this many seconds. */
  async refresh(seconds) {
    return (await this.#request(METHOD.refresh, [[ATTRIBUTE.lifetime, uint32(seconds)]])).code;
  }

  /** Creates a permission: allows traffic from and to a host. */
  async permit(host) {
    return (await this.#request(METHOD.permit, [[ATTRIBUTE.peer, xored({ host, port: 0 })]])).code;
  }

  /** Sends to a peer through the relay, without confirmation of delivery. */
  send(peer, text) {
    const body = Buffer.concat([
      attribute(ATTRIBUTE.peer, xored(peer)),
      attribute(ATTRIBUTE.data, Buffer.from(text)),
    ]);
    this.#send(Buffer.concat([header(METHOD.send | INDICATION, body.length, randomBytes(12)), body]));
  }

  /** Resolves with the next text from a peer, and its sender. */
  async next() {
    while (this.#arrived.length === 0) await new Promise((resolve) => (this.#onArrival = resolve));
    return this.#arrived.shift();
  }

  /** Deletes the allocation. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    if (this.relayed) await this.refresh(0).catch(() => {});
    if (this.#socket.destroy) this.#socket.destroy();
    else this.#socket.close();
  }

  async #request(method, attributes) {
    const first = await this.#ask(method, attributes);
    // The first request is rejected for lack of a nonce, and any request with a stale nonce.
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
      // Over the message with a length that includes this attribute (RFC 8489 §14.5).
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

  /** Splits a stream into messages. */
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
