// A member of a room, as in docs/PROTOCOL.md.

import WebSocket from 'ws';

export class Member {
  #socket;
  #arrived = [];
  #waiting = [];

  /**
   * Connects and joins, with additional fields of the `join` and headers of the request; `welcome` is the server's
   * answer.
   */
  static async join(base, room, name, more = {}, headers = {}) {
    const member = new Member(new URL(`signal-api/ws?room=${encodeURIComponent(room)}`, base), headers);
    await member.opened;
    member.send({ type: 'join', name, ...more });
    member.welcome = await member.next('welcome');
    return member;
  }

  /** Joins as a page with these headers. Returns `welcome`, or the error code. */
  static async joinAs(base, headers) {
    const member = new Member(new URL('signal-api/ws?room=standup', base), headers);
    await member.opened;
    member.send({ type: 'join', name: 'Ada' });
    const { type, code } = await Promise.race([member.next('welcome'), member.next('error')]);
    await member.leave();
    return code ?? type;
  }

  constructor(url, headers = {}) {
    url.protocol = url.protocol.replace('http', 'ws');
    this.#socket = new WebSocket(url, { rejectUnauthorized: false, headers });
    this.opened = new Promise((resolve, reject) => {
      this.#socket.once('open', resolve).once('error', reject);
    });
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', (code) => resolve(code));
    });
    this.#socket.on('message', (text) => {
      this.#arrived.push(JSON.parse(text));
      this.#deliver();
    });
    this.closed.then((code) => {
      for (const { reject, type } of this.#waiting) reject(new Error(`closed with ${code} before "${type}" came`));
    });
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  /** Resolves with the next message of a type, received already or later. */
  next(type) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ type, resolve, reject });
      this.#deliver();
    });
  }

  leave() {
    if (this.isOpen) this.send({ type: 'leave' });
    return this.closed;
  }

  #deliver() {
    this.#waiting = this.#waiting.filter(({ type, resolve }) => {
      const at = this.#arrived.findIndex((message) => message.type === type);
      if (at < 0) return true;
      resolve(this.#arrived.splice(at, 1)[0]);
      return false;
    });
  }
}
