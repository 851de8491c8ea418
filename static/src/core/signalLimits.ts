/**
 * Bounds on what the signals of one peer make this page do. Each offer costs an answer of 11 KB, and the server ends
 * connections that send too much, so a peer must not decide how many are sent.
 */
import type { Clock } from './clock';

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
