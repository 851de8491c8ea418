// A malicious server between two people: it reads, drops and modifies their signaling, and has its own certificates.

import { once } from 'node:events';
import http from 'node:http';
import WebSocket, { WebSocketServer } from 'ws';

/** Forwards everything to an honest server, except for what `intercept` changes. */
export class Middle {
  /** Called with a signal between two pages: their ids, and the `data`. The result is forwarded. */
  intercept = (_from, _to, data) => data;
  #pages = new Map();
  #front;
  #port;

  static async to(server) {
    const middle = new Middle();
    middle.#port = server.port;
    const sockets = new WebSocketServer({ noServer: true });
    middle.#front = http
      .createServer((request, response) => middle.#fetch(request, response))
      .on('upgrade', (request, socket, head) =>
        sockets.handleUpgrade(request, socket, head, (page) => middle.#relay(request, page)),
      )
      .listen(0, '127.0.0.1');
    await once(middle.#front, 'listening');
    return middle;
  }

  get url() {
    return `http://localhost:${this.#front.address().port}/`;
  }

  /** Ids of the pages that have joined. */
  get ids() {
    return [...this.#pages.keys()];
  }

  /** Sends a signal to a page in the name of another one. */
  say(to, from, data) {
    this.#pages.get(to).send(JSON.stringify({ type: 'signal', from, data }));
  }

  close() {
    for (const page of this.#pages.values()) page.terminate();
    this.#front.closeAllConnections();
    this.#front.close();
  }

  #fetch({ method, url, headers }, response) {
    const onward = http.request(
      { host: '127.0.0.1', port: this.#port, method, path: url, headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    response.req.pipe(onward);
  }

  #relay({ url, headers: { host, origin } }, page) {
    const server = new WebSocket(`ws://127.0.0.1:${this.#port}${url}`, { headers: { host, origin } });
    let own;
    const early = [];
    const onward = (text) => (server.readyState === WebSocket.OPEN ? server.send(text) : early.push(text));
    server.on('open', () => early.splice(0).forEach(onward));
    server.on('message', (frame) => {
      const message = JSON.parse(frame);
      if (message.type === 'welcome') {
        own = message.self;
        this.#pages.set(own, page);
      }
      page.send(`${frame}`);
    });
    page.on('message', (frame) => {
      const message = JSON.parse(frame);
      // Messages are numbered: a dropped one must be replaced by another.
      if (message.type === 'signal') message.data = this.intercept(own, message.to, message.data) ?? null;
      onward(JSON.stringify(message));
    });
    page.on('close', () => {
      if (this.#pages.get(own) === page) this.#pages.delete(own);
      server.close();
    });
    server.on('close', () => page.close());
    for (const socket of [page, server]) socket.on('error', () => {});
  }
}

/** The malicious server's own media endpoints: one connection for each page, in a browser. */
export class Attacker {
  #page;

  static async in(page, url) {
    const attacker = new Attacker();
    attacker.#page = page;
    await page.goto(url);
    await page.evaluate(ends);
    return attacker;
  }

  /** Answers a page's offer in the name of the other one. */
  answer(id, offer) {
    return this.#call('answer', id, offer);
  }

  /** Makes the first offer to a page in the name of the other one. */
  offer(id) {
    return this.#call('offer', id);
  }

  /** A first offer to a page, in the name of the other one, that has the data channel alone. */
  offerChannel(id) {
    return this.#call('offerChannel', id);
  }

  /** Another offer of that connection, now with the lines of a call. */
  offerMedia(id) {
    return this.#call('offerMedia', id);
  }

  /** The state of the data channel with a page, and what has come over it. */
  channel(id) {
    return this.#call('channel', id);
  }

  /** An offer with the credentials of the connection that stands. */
  offerAgain(id) {
    return this.#call('offerAgain', id);
  }

  /** Applies a page's answer. */
  accept(id, answer) {
    return this.#call('accept', id, answer);
  }

  candidate(id, candidate) {
    return this.#call('candidate', id, candidate);
  }

  /** Returns how many packets of a page's media were decrypted. */
  packets(id) {
    return this.#call('packets', id);
  }

  #call(name, ...values) {
    const answer = this.#page.evaluate(([name, values]) => window.ends[name](...values), [name, values]);
    // Calls that are pending at the end of a test never resolve.
    return answer.catch((error) => {
      if (!this.#page.isClosed()) throw error;
      return new Promise(() => undefined);
    });
  }
}

/** Runs in the attacker's browser. */
async function ends() {
  // With the permission the browser tells its real addresses.
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const connections = {};
  const early = {};
  const channels = {};
  const addLines = (pc) => {
    for (const kind of ['audio', 'video', 'video', 'audio']) pc.addTransceiver(kind);
  };
  const begin = (id) => {
    connections[id]?.close();
    connections[id] = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    return connections[id];
  };
  const described = async (pc) => {
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== 'complete') {
      await new Promise((resolve) => pc.addEventListener('icegatheringstatechange', resolve, { once: true }));
    }
    return pc.localDescription.toJSON();
  };
  const remote = async (id, description) => {
    await connections[id].setRemoteDescription(description);
    for (const candidate of early[id]?.splice(0) ?? []) await window.ends.candidate(id, candidate);
  };
  window.ends = {
    async answer(id, offer) {
      const pc = begin(id);
      await remote(id, offer);
      for (const track of stream.getTracks()) {
        const { sender } = pc.getTransceivers().find(({ receiver }) => receiver.track.kind === track.kind);
        await sender.replaceTrack(track);
      }
      for (const transceiver of pc.getTransceivers()) transceiver.direction = 'sendrecv';
      return described(pc);
    },
    async offer(id) {
      const pc = begin(id);
      addLines(pc);
      pc.createDataChannel('chat', { negotiated: true, id: 0 });
      return described(pc);
    },
    async offerChannel(id) {
      const pc = begin(id);
      const channel = pc.createDataChannel('chat', { negotiated: true, id: 0 });
      channels[id] = { channel, heard: [] };
      channel.onmessage = ({ data }) => channels[id].heard.push(data);
      return described(pc);
    },
    async offerMedia(id) {
      addLines(connections[id]);
      return described(connections[id]);
    },
    channel: (id) => [channels[id].channel.readyState, channels[id].heard.length],
    offerAgain: (id) => described(connections[id]),
    accept: (id, answer) => remote(id, answer),
    async candidate(id, candidate) {
      if (connections[id]?.remoteDescription)
        await connections[id].addIceCandidate(candidate).catch(() => {});
      else (early[id] ??= []).push(candidate);
    },
    async packets(id) {
      const reports = [...((await connections[id]?.getStats()) ?? new Map()).values()];
      const received = reports.filter(({ type }) => type === 'inbound-rtp');
      return received.reduce((sum, { packetsReceived }) => sum + packetsReceived, 0);
    },
  };
}
