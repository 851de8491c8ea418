/** Instrumentation of a page; runs before the page's own scripts, as `window.probe`. */
export function probe() {
  // Pretends that there was user activation: with devices on, `autojoin=1` requires it (autojoin.spec.js).
  Object.defineProperty(navigator, 'userActivation', { value: { hasBeenActive: true } });

  const connections = [];
  // The page does not expose its connections, so each is recorded when it is created.
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
  };

  /** Server messages since `watch`, and the roster according to them. */
  let messages = [];
  let roster = new Map();
  const hear = (message) => {
    messages.push(message);
    const { type, peers, peer, id } = message;
    if (type === 'welcome' || type === 'roster') roster = new Map(peers.map((each) => [each.id, each]));
    if (type === 'peer_joined') roster.set(peer.id, peer);
    if (type === 'peer_left') roster.delete(id);
  };
  /** Times of connection attempts, on the page's clock in milliseconds. */
  const tries = [];
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      tries.push(performance.now());
      this.addEventListener('message', ({ data }) => hear(JSON.parse(data)));
    }
  };

  /**
   * Longest pause in each person's video since `watch`, by name; in milliseconds. Time in which the page itself did
   * not run is excluded.
   */
  const stalled = {};
  const watchPictures = (name) => {
    let [frames, paused, before] = [-1, 0, performance.now()];
    const look = async () => {
      const { frames: now } = await window.probe.received(name);
      const time = performance.now();
      paused = now > frames ? 0 : paused + Math.min(time - before, 100);
      [frames, before] = [now, time];
      stalled[name] = Math.max(stalled[name] ?? 0, paused);
      setTimeout(look, 50);
    };
    look();
  };

  /** History of the people with tiles: `[milliseconds, names]` at each change. */
  const attendance = [];
  const watch = () => {
    // Equal names have the start of the id appended.
    const names = [...document.querySelectorAll('[data-peer-id]')].map((tile) =>
      tile.getAttribute('aria-label').replace(/ \([\w-]{4}\)$/, ''),
    );
    attendance.push([performance.now(), names]);
  };
  new MutationObserver(watch).observe(document, { childList: true, subtree: true });

  const violations = [];
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    violations.push(`${violatedDirective}: ${blockedURI}`);
  });

  const tileOf = (name) => document.querySelector(`[data-peer-id][aria-label="${CSS.escape(name)}"]`);

  window.probe = {
    tries,
    connections,
    violations,

    /** Starts watching the server's messages and everybody's video. */
    watch() {
      messages = [];
      for (const tile of document.querySelectorAll('[data-peer-id]')) {
        watchPictures(tile.getAttribute('aria-label'));
      }
    },

    watched: () => ({ messages, stalled }),

    /** Ids of everyone in the room, according to the server. */
    roster: () => [...roster.keys()].sort(),

    /** Returns the browser's counters of the media received from a person. */
    async received(name) {
      const sum = { frames: 0, energy: 0 };
      for (const track of tileOf(name)?.querySelector('video').srcObject?.getTracks() ?? []) {
        const pc = connections.find((each) =>
          each.getReceivers().some((receiver) => receiver.track === track),
        );
        for (const report of (await pc?.getStats(track))?.values() ?? []) {
          if (report.type !== 'inbound-rtp') continue;
          sum.frames += report.framesDecoded ?? 0;
          sum.energy += report.totalAudioEnergy ?? 0;
        }
      }
      return sum;
    },

    /** Returns the longest time in which a person had two tiles; in milliseconds. */
    doubled(name) {
      let longest = 0;
      let since;
      for (const [time, names] of [...attendance, [performance.now(), []]]) {
        if (since !== undefined) longest = Math.max(longest, time - since);
        const twice = names.filter((each) => each === name).length > 1;
        since = twice ? (since ?? time) : undefined;
      }
      return longest;
    },

    /** Returns how often a person's tile disappeared. */
    departures(name) {
      const there = attendance.map(([, names]) => names.includes(name));
      return there.filter((now, at) => !now && there[at - 1]).length;
    },
  };
}
