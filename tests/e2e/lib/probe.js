/** What the tests read out of a page; runs in the page before the page's own scripts, as `window.probe`. */
export function probe() {
  const connections = [];
  // The page itself says nothing about its connections, so each is kept where it is made.
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
  };

  /** When which people had a tile: `[milliseconds, names]`, a new line at each change. */
  const attendance = [];
  const watch = () => {
    const names = [...document.querySelectorAll('[data-peer-id]')].map((tile) =>
      tile.getAttribute('aria-label'),
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
    connections,
    violations,

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
  };
}
