/** All external dependencies of the core, in one object. */
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

/** Listener for page lifecycle events. */
export interface PageListener {
  /** The page is being left: for good, or into the back/forward cache (`cached`). */
  readonly onHide: (cached: boolean) => void;
  /** The page was restored from the back/forward cache. */
  readonly onRestore: () => void;
  /** The page became visible again. */
  readonly onVisible: () => void;
  /** The network is available again. */
  readonly onOnline: () => void;
}

/** The browser, or a test double. */
export interface Environment {
  /** Opens a WebSocket; `undefined` if the browser has none. */
  readonly connect: ((url: string) => Socket) | undefined;
  readonly fetch: Fetch;
  /** Posts a text, even if the page ends meanwhile. */
  readonly post: (url: string, text: string) => void;
  /** The part of `fetch` for recordings on the server; absent if they are not supported. */
  readonly send?: Send;
  readonly clock: Clock;
  /** `undefined` in an insecure context and in some in-app browsers. */
  readonly mediaDevices: MediaDevicesLike | undefined;
  /** Set if the page is a secure context: opened over HTTPS or on localhost (W3C Secure Contexts). */
  readonly isSecure: boolean;
  /** `undefined` where the screen cannot be shared: on phones and in an insecure context. */
  readonly display: DisplayMediaLike | undefined;
  /** `undefined` if the browser has no WebRTC. */
  readonly media: MediaFactory | undefined;
  /** Opens the certificate session of a room; absent if safety codes are not supported. */
  readonly verification?: ((room: string) => Promise<Verification>) | undefined;
  readonly files: FileStore;
  /** Opens this tab's storage, which survives a reload; may throw. Absent if a reload keeps nothing. */
  readonly session?: () => SessionStore;
  /** Claims this tab's membership in a room, which survives a reload; absent without Web Locks. */
  readonly tabMembership?: ((room: string) => Promise<TabMembership | undefined>) | undefined;
  /** Set if the page was reloaded or reached through the tab's history, rather than opened by its address. */
  readonly reloaded?: boolean;
  /** Absent if recording is not supported. */
  readonly recording?: RecordingAbility | undefined;
  readonly newLevelReader: (track: MediaStreamTrack) => LevelReader;
  /** Suppresses noise in a voice track; absent if not supported. */
  readonly suppressNoise?: OpenFilter;
  /** Adds a listener. Call the returned function to remove it. */
  readonly watchPage: (listener: PageListener) => () => void;
  /** Reports a problem to developers that is not shown to users. */
  readonly report: (problem: unknown) => void;
}

/**
 * Returns a function that fetches a new origin proof at each call (R92); `undefined` if the page's origin differs
 * from the server's.
 */
export function originProof(
  { fetch, clock }: Pick<Environment, 'fetch' | 'clock'>,
  { originProof: url }: Pick<Address, 'originProof'>,
): (() => Promise<string | undefined>) | undefined {
  return url === undefined ? undefined : () => fetchOriginProof(fetch, url, clock);
}

/** Creates the environment of the current browser. */
export function browserEnvironment(): Environment {
  return {
    connect: 'WebSocket' in window ? (url) => new WebSocket(url) : undefined,
    fetch: (url, options) => fetch(url, { ...options, cache: 'no-store' }),
    post: (url, body) => {
      // The page is ending, so nothing can handle a failure.
      fetch(url, { method: 'POST', body, keepalive: true, cache: 'no-store' }).catch(() => undefined);
    },
    send: (url, request) => fetch(url, { ...request, cache: 'no-store' }),
    clock: realClock,
    mediaDevices: navigator.mediaDevices,
    isSecure: isSecureContext,
    display: displayMedia(),
    media: 'RTCPeerConnection' in window ? browserMedia : undefined,
    // Without Web Cryptography there are no safety codes.
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
  // The DOM types do not account for browsers without these.
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
  // randomUUID() is not available in insecure contexts.
  newPair: () =>
    Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(16).padStart(8, '0')).join(
      '',
    ),
};

/** Creates a level reader based on an `AnalyserNode` (W3C Web Audio §1.8). */
function newLevelReader(track: MediaStreamTrack): LevelReader {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  try {
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  } catch (error) {
    // Browsers limit the number of audio contexts and keep unclosed ones.
    void context.close();
    throw error;
  }
  const samples = new Float32Array(analyser.fftSize);
  // Browsers suspend an audio context until a user gesture; any gesture will do.
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
