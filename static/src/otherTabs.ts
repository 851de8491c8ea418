/** Detects whether the same meeting is open in another tab of this browser. */

interface Message {
  readonly room: string;
  readonly tab: string;
  /** Set if that tab is in the meeting, not only in its lobby. */
  readonly inside: boolean;
  /** Asks the other tabs to answer. */
  readonly asks?: true;
}

/** A tab's connection to the other tabs of its origin. */
export interface OtherTabs {
  /** Tells the other tabs whether this one is in the meeting. */
  readonly setInside: (inside: boolean) => void;
  readonly stop: () => void;
}

/**
 * Watches the other tabs.
 *
 * @param onChange called with whether another tab is in the meeting, whenever that changes
 */
export function watchOtherTabs(room: string, onChange: (elsewhere: boolean) => void): OtherTabs {
  // Browsers without it cannot detect other tabs; the meeting works as before.
  if (!('BroadcastChannel' in globalThis)) return { setInside: () => undefined, stop: () => undefined };
  const tab = crypto.getRandomValues(new Uint32Array(2)).join('-');
  const others = new Set<string>();
  const abort = new AbortController();
  let channel: BroadcastChannel | undefined;
  let inside = false;
  let elsewhere = false;

  function show(): void {
    if (elsewhere === others.size > 0) return;
    elsewhere = !elsewhere;
    onChange(elsewhere);
  }
  function say(message: Partial<Message> = {}): void {
    channel?.postMessage({ room, tab, inside, ...message });
  }
  function open(): void {
    channel ??= new BroadcastChannel('roundtable');
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data.room !== room || data.tab === tab) return;
      if (data.inside) others.add(data.tab);
      else others.delete(data.tab);
      if (data.asks) say();
      show();
    };
    say({ asks: true });
  }
  function close(): void {
    say({ inside: false });
    // An open channel may keep a page out of the back/forward cache.
    channel?.close();
    channel = undefined;
    others.clear();
    show();
  }

  addEventListener('pagehide', close, { signal: abort.signal });
  addEventListener('pageshow', open, { signal: abort.signal });
  open();
  return {
    setInside(now) {
      if (now === inside) return;
      inside = now;
      say();
    },
    stop() {
      abort.abort();
      close();
    },
  };
}
