// A client that resumes its session automatically, as in docs/PROTOCOL.md (R47 to R54), and records the
// interruptions.

import WebSocket from 'ws';

/** Milliseconds between a close without a hint and the next attempt. */
const RETRY = 250;

export class Caller {
  self;
  /** Number of sessions: one if every reconnect resumed. */
  sessions = 0;
  /** Messages received, in order: `{from, number, late}`, with the latency in milliseconds. */
  heard = [];
  /** Length of each interruption of signaling, in milliseconds. */
  absences = [];
  errors = [];
  #url;
  #name;
  #socket;
  #open = false;
  #over = false;
  #lost;
  #hint = RETRY;
  #resume;
  #last = 0;
  #said = 0;
  #unacknowledged = [];
  #arrived = () => {};

  /** Resolves when the client is in the room. It leaves with the sandbox at the latest. */
  static async join(sandbox, base, room, name) {
    const caller = new Caller();
    sandbox.undo(async () => caller.leave());
    caller.#url = new URL(`signal-api/ws?room=${room}`, base.replace('http', 'ws'));
    caller.#name = name;
    const here = new Promise((resolve) => {
      caller.#arrived = resolve;
    });
    caller.#connect();
    await here;
    return caller;
  }

  get isHere() {
    return this.#open;
  }

  /** Sends a message to a member, now or after reconnecting. */
  say(to, number) {
    this.#unacknowledged.push({ type: 'signal', to, data: { number, at: performance.now() }, seq: ++this.#said });
    if (this.#open) this.#send({ ...this.#unacknowledged.at(-1), ack: this.#last });
  }

  /**
   * Sends consecutive numbers to a member, ten per second. The returned function stops it and returns their count.
   */
  count(to) {
    let number = 0;
    const timer = setInterval(() => this.say(to, number++), 100);
    return () => {
      clearInterval(timer);
      return number;
    };
  }

  leave() {
    this.#over = true;
    this.#socket.terminate();
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #connect() {
    if (this.#over) return;
    this.#socket = new WebSocket(this.#url, { rejectUnauthorized: false });
    const resume = this.#resume && { resume: this.#resume, last_seq: this.#last };
    this.#socket.on('open', () => this.#send({ type: 'join', name: this.#name, ...resume }));
    this.#socket.on('message', (text) => this.#hear(JSON.parse(text)));
    // `close` handles the end.
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      if (this.#open) this.#lost = performance.now();
      this.#open = false;
      setTimeout(() => this.#connect(), this.#hint);
      this.#hint = RETRY;
    });
  }

  #hear(message) {
    if (message.seq) this.#last = message.seq;
    const { type, ack, data } = message;
    if (type === 'welcome') {
      this.sessions += 1;
      ({ self: this.self, resume: this.#resume } = message);
      // Numbers restart, including those of unacknowledged messages.
      this.#last = 0;
      this.#said = 0;
      for (const one of this.#unacknowledged) one.seq = ++this.#said;
    }
    if (ack) this.#unacknowledged = this.#unacknowledged.filter(({ seq }) => seq > ack);
    if (type === 'welcome' || type === 'resumed') {
      for (const one of this.#unacknowledged) this.#send(one);
      if (this.#lost) this.absences.push(performance.now() - this.#lost);
      this.#open = true;
      this.#arrived();
    }
    if (type === 'go_away') this.#hint = message.reconnect_ms;
    if (type === 'error') this.errors.push(message);
    if (type === 'signal') this.heard.push({ from: message.from, number: data.number, late: performance.now() - data.at });
  }
}
