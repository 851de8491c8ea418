/**
 * Bounds on what the signals of one peer make this page do. Each offer costs an answer of 11 KB, and the server ends
 * connections that send too much, so a peer must not decide how many are sent.
 */
import type { Clock } from './clock';

/** m-lines of a description. The page's own has five. */
export const MAX_MEDIA_LINES = 8;
/** ICE candidates of one description, with those in it. Ten networks with relays have about 60. */
export const MAX_CANDIDATES = 100;
/** Length of the id of a connection. The page's own have 32 characters. */
export const MAX_PAIR = 64;
/** Signals of one connection that wait for those before them. */
export const MAX_WAITING = 128;

/** A token bucket: a number of uses at once, and then one after each interval. */
export class Budget {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #intervalMs: number;
  /** When it is full again. */
  #fullAt = 0;

  constructor(clock: Clock, burst: number, intervalMs: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#intervalMs = intervalMs;
  }

  /** Takes one use. Returns 0, or the milliseconds after which there is one, and takes none. */
  take(): number {
    const now = this.#clock.now();
    const fullAt = Math.max(this.#fullAt, now) + this.#intervalMs;
    const wait = fullAt - now - this.#burst * this.#intervalMs;
    if (wait > 0) return wait;
    this.#fullAt = fullAt;
    return 0;
  }
}

/** The error of a peer whose signals are dropped. */
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
