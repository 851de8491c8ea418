/** What the tests read out of a page; runs in the page before the page's own scripts, as `window.probe`. */
export function probe() {
  // As if its person had clicked there: with devices on, `autojoin=1` joins only then (autojoin.spec.js).
  Object.defineProperty(navigator, 'userActivation', { value: { hasBeenActive: true } });

  const connections = [];
  // The page itself says nothing about its connections, so each is kept where it is made.
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
  };

  /** What the server has said since `watch`, and who it says is in the room. */
  let messages = [];
  let roster = new Map();
  const hear = (message) => {
    messages.push(message);
    const { type, peers, peer, id } = message;
    if (type === 'welcome' || type === 'roster') roster = new Map(peers.map((each) => [each.id, each]));
    if (type === 'peer_joined') roster.set(peer.id, peer);
    if (type === 'peer_left') roster.delete(id);
  };
  /** When the page has tried to connect, in its own milliseconds. */
  const tries = [];
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      tries.push(performance.now());
      this.addEventListener('message', ({ data }) => hear(JSON.parse(data)));
    }
  };

  /**
   * For how long, at the longest, no new picture of someone came since `watch`, by name; in milliseconds. Time in which
   * the page itself did not run does not count.
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

  /** When which people had a tile: `[milliseconds, names]`, a new line at each change. */
  const attendance = [];
  const watch = () => {
    // Where several have one name, the start of the id stands behind it.
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

    /** Begins to watch the server's messages and everybody's pictures. */
    watch() {
      messages = [];
      for (const tile of document.querySelectorAll('[data-peer-id]')) {
        watchPictures(tile.getAttribute('aria-label'));
      }
    },

    watched: () => ({ messages, stalled }),

    /** The ids of everyone whom the server says to be in the room. */
    roster: () => [...roster.keys()].sort(),

    /** What has arrived from someone, counted by the browser. */
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

    /** For how long, at the longest, someone was seen twice at a time; in milliseconds. */
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

    /** How often someone who had a tile had none any more. */
    departures(name) {
      const there = attendance.map(([, names]) => names.includes(name));
      return there.filter((now, at) => !now && there[at - 1]).length;
    },
  };
}
