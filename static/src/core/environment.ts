/** All that the core takes from the outside, in one object. */
import type { Address } from './address';
import type { SessionStore } from './chat/archive';
import { browserFiles, type FileStore } from './chat/save';
import { type Clock, realClock } from './clock';
import type { MediaDevicesLike } from './devices';
import type { OpenFilter } from './effects/types';
import { type Fetch, fetchOriginProof } from './diagnosis';
import type { LevelReader } from './equipment';
import type { MediaFactory } from './peer';
import type { RecordingAbility } from './recording/local';
import type { Send } from './recording/server';
import type { DisplayMediaLike } from './screen';
import type { Socket } from './signaling';
import type { TabMembership } from './tabMembership';
import type { Verification } from './verification';

/** What happens to the page. */
export interface PageListener {
  /** The page goes: for good, or into the back/forward cache (`cached`). */
  readonly onHide: (cached: boolean) => void;
  /** The page came back out of the back/forward cache. */
  readonly onRestore: () => void;
  /** The page is seen again. */
  readonly onVisible: () => void;
  /** The network came back. */
  readonly onOnline: () => void;
}

/** A browser, or what a test puts in its place. */
export interface Environment {
  /** Opens a WebSocket; `undefined` where the browser has none. */
  readonly connect: ((url: string) => Socket) | undefined;
  readonly fetch: Fetch;
  /** Posts a text, even where the page ends meanwhile. */
  readonly post: (url: string, text: string) => void;
  /** The same with everything that recordings on the server need; absent where there are none. */
  readonly send?: Send;
  readonly clock: Clock;
  /** `undefined` in an insecure context, and in browsers that other apps contain. */
  readonly mediaDevices: MediaDevicesLike | undefined;
  /** Whether the page was opened over HTTPS, or on this machine (W3C Secure Contexts). */
  readonly isSecure: boolean;
  /** `undefined` where the screen cannot be shared: on telephones, and in an insecure context. */
  readonly display: DisplayMediaLike | undefined;
  /** `undefined` where the browser has no WebRTC. */
  readonly media: MediaFactory | undefined;
  /** Opens one's own session in a room; absent where there are no safety codes. */
  readonly verification?: ((room: string) => Promise<Verification>) | undefined;
  readonly files: FileStore;
  /** Opens the storage of this tab, which a reload keeps; may throw. Absent where a reload keeps nothing. */
  readonly session?: () => SessionStore;
  /** Claims this tab's membership in a room, which a reload keeps; absent without Web Locks. */
  readonly tabMembership?: ((room: string) => Promise<TabMembership | undefined>) | undefined;
  /** Whether the page was reloaded or reached through the history of its tab, and not by an address. */
  readonly reloaded?: boolean;
  /** Absent where nothing can be recorded. */
  readonly recording?: RecordingAbility | undefined;
  readonly newLevelReader: (track: MediaStreamTrack) => LevelReader;
  /** Takes the noise out of a voice; absent where that cannot be done. */
  readonly suppressNoise?: OpenFilter;
  /** Listens until the returned function is called. */
  readonly watchPage: (listener: PageListener) => () => void;
  /** Takes what a developer should see and a person need not. */
  readonly report: (problem: unknown) => void;
}

/** Fetches an origin proof at each call (R92); `undefined` where the page has another origin than the server. */
export function originProof(
  { fetch, clock }: Pick<Environment, 'fetch' | 'clock'>,
  { originProof: url }: Pick<Address, 'originProof'>,
): (() => Promise<string | undefined>) | undefined {
  return url === undefined ? undefined : () => fetchOriginProof(fetch, url, clock);
}

/** The browser that this page is in. */
export function browserEnvironment(): Environment {
  return {
    connect: 'WebSocket' in window ? (url) => new WebSocket(url) : undefined,
    fetch: (url, options) => fetch(url, { ...options, cache: 'no-store' }),
    post: (url, body) => {
      // Nobody is left to hear of a failure.
      fetch(url, { method: 'POST', body, keepalive: true, cache: 'no-store' }).catch(() => undefined);
    },
    send: (url, request) => fetch(url, { ...request, cache: 'no-store' }),
    clock: realClock,
    mediaDevices: navigator.mediaDevices,
    isSecure: isSecureContext,
    display: displayMedia(),
    media: 'RTCPeerConnection' in window ? browserMedia : undefined,
    // Without Web Cryptography there are no codes.
    verification: isSecureContext
      ? async (room) => (await import('./identity')).openVerification(room)
      : undefined,
    files: browserFiles,
    session: () => sessionStorage,
    // Insecure contexts have no Web Locks.
    tabMembership: 'locks' in navigator ? browserMembership : undefined,
    reloaded: performance.getEntriesByType('navigation').some(isReload),
    recording: recordingAbility(),
    newLevelReader,
    suppressNoise: async (track) => (await import('./effects/noise')).openNoiseFilter(track),
    watchPage,
    report: (problem) => {
      console.warn(problem);
    },
  };
}

async function browserMembership(room: string): Promise<TabMembership | undefined> {
  const { openTabMembership, browserClaim } = await import('./tabMembership');
  return openTabMembership({
    room,
    session: () => sessionStorage,
    claim: browserClaim,
    now: Date.now,
    newName: () => crypto.randomUUID(),
  });
}

function isReload(entry: PerformanceEntry): boolean {
  return ['reload', 'back_forward'].includes((entry as PerformanceNavigationTiming).type);
}

function displayMedia(): DisplayMediaLike | undefined {
  // The DOM types do not know of browsers that lack either.
  const { mediaDevices } = navigator as { readonly mediaDevices?: MediaDevices };
  return mediaDevices && 'getDisplayMedia' in mediaDevices ? mediaDevices : undefined;
}

function recordingAbility(): RecordingAbility | undefined {
  if (!('MediaRecorder' in window) || !('captureStream' in HTMLCanvasElement.prototype)) return undefined;
  return {
    supports: (mime) => MediaRecorder.isTypeSupported(mime),
    load: async () => (await import('./recording/browser')).browserStudio,
  };
}

const browserMedia: MediaFactory = {
  newPeerConnection: (configuration) => new RTCPeerConnection(configuration),
  newStream: (tracks = []) => new MediaStream(tracks),
  // Not randomUUID(), which an insecure context has not.
  newPair: () =>
    Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(16).padStart(8, '0')).join(
      '',
    ),
};

/** By an `AnalyserNode` (W3C Web Audio §1.8). */
function newLevelReader(track: MediaStreamTrack): LevelReader {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  try {
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  } catch (error) {
    // Browsers have few contexts to give, and keep one that is not closed.
    void context.close();
    throw error;
  }
  const samples = new Float32Array(analyser.fftSize);
  // Without a gesture browsers let no context run; any gesture will do.
  const abort = new AbortController();
  for (const gesture of ['pointerup', 'keydown']) {
    document.addEventListener(gesture, () => void context.resume(), { signal: abort.signal });
  }
  return {
    read: () => {
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    },
    close: () => {
      abort.abort();
      void context.close();
    },
  };
}

function watchPage(listener: PageListener): () => void {
  const abort = new AbortController();
  const options = { signal: abort.signal };
  window.addEventListener(
    'pagehide',
    ({ persisted }) => {
      listener.onHide(persisted);
    },
    options,
  );
  window.addEventListener(
    'pageshow',
    ({ persisted }) => {
      if (persisted) listener.onRestore();
    },
    options,
  );
  window.addEventListener('online', listener.onOnline, options);
  document.addEventListener(
    'visibilitychange',
    () => {
      if (document.visibilityState === 'visible') listener.onVisible();
    },
    options,
  );
  return () => {
    abort.abort();
  };
}
