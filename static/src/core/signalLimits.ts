/**
 * Bounds on the work that one peer's signals can cause on this page. Each offer costs an answer of 11 KB, and the
 * server closes connections that send too much, so a peer must not control how many are sent.
 */
import type { Clock } from './clock';

/** ICE candidates of one description, with those in it. Ten networks with relays have about 60. */
export const MAX_CANDIDATES = 100;
/** Maximum length of a connection's id. The page's own have 32 characters. */
export const MAX_PAIR = 64;
/** Maximum number of queued signals of one connection. */
export const MAX_WAITING = 128;

/** Token bucket: a number of uses at once, then one per interval. */
export class Budget {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #intervalMs: number;
  /** Time at which the bucket is full again. */
  #fullAt = 0;

  constructor(clock: Clock, burst: number, intervalMs: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#intervalMs = intervalMs;
  }

  /** Takes one use and returns 0, or takes none and returns the milliseconds until one is available. */
  take(): number {
    const now = this.#clock.now();
    const fullAt = Math.max(this.#fullAt, now) + this.#intervalMs;
    const wait = fullAt - now - this.#burst * this.#intervalMs;
    if (wait > 0) return wait;
    this.#fullAt = fullAt;
    return 0;
  }
}

/** Creates the error for a peer whose signals are dropped. */
export function tooManySignals(id: string): Error {
  return new Error(`The peer ${id} sends too many signals; some are ignored.`);
}

/** The m-lines of every description: microphone, camera, screen, screen sound, data channel. */
const LAYOUT = 'audio video video audio application';

/**
 * Throws if a description has another layout than the page's, does not have it in one transport, or has too many
 * candidates. Safety codes depend on it: what goes over a second transport has a certificate of its own.
 */
export function checkDescription({ sdp = '' }: RTCSessionDescriptionInit): void {
  const [session = '', ...sections] = sdp.split(/\r?\nm=/);
  const bundle = /\na=group:BUNDLE (.*)/.exec(session)?.[1];
  const kinds = sections.map((section) => section.split(' ', 1).join());
  const mids = sections.map((section) => /\na=mid:(\S+)/.exec(section)?.[1]);
  const isRejected = (section: string): boolean =>
    /^\S+ 0 /.test(section) && !section.includes('\na=bundle-only');
  if (
    kinds.join(' ') !== LAYOUT ||
    mids.join(' ') !== bundle?.trim() ||
    sections.some(isRejected) ||
    // Not every browser ends a line here.
    /\r(?!\n)/.test(sdp)
  ) {
    throw new Error('A description must have the m-lines of a call, all in one transport.');
  }
  if (sdp.split('\na=candidate:').length - 1 > MAX_CANDIDATES) {
    throw new Error('A description has too many candidates.');
  }
}
