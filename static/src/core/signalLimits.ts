/**
 * Bounds on the work that one peer's signals can cause on this page. Each offer costs an answer of 11 KB, and the
 * server closes connections that send too much, so a peer must not control how many are sent.
 */
import type { Clock } from './clock';

/** m-lines of a description. The page's own has five. */
export const MAX_MEDIA_LINES = 8;
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

/** Throws if a description has more lines than any browser's. */
export function checkDescription({ sdp = '' }: RTCSessionDescriptionInit): void {
  const lines = sdp.split(/[\r\n]+/);
  const count = (prefix: string): number => lines.filter((line) => line.startsWith(prefix)).length;
  if (count('m=') > MAX_MEDIA_LINES || count('a=candidate:') > MAX_CANDIDATES) {
    throw new Error('A description has too many m-lines or candidates.');
  }
}
