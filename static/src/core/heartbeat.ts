import type { Clock } from './clock';

/** A timer later than this was throttled, or the machine slept. */
const LATE_MS = 3_000;
/** Time for an answer when the connection is in doubt. */
const PROBE_MS = 5_000;
/** Number of unanswered pings after which a server counts as dead even if every timer is late. */
const LATE_LIMIT = 3;

/**
 * Detects a dead server by pings (R27), because JavaScript does not see the server's own pings.
 *
 * A server is dead if a ping stays unanswered for a whole interval, which is two intervals of silence. A late timer
 * proves nothing about the server, because its answer may be queued behind the timer: the client then sends one more
 * ping with a short timeout.
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #ask: () => void;
  readonly #dead: () => void;
  #interval = 0;
  #unanswered = 0;
  #due = 0;
  #timer: number | undefined;

  constructor(clock: Clock, ask: () => void, dead: () => void) {
    this.#clock = clock;
    this.#ask = ask;
    this.#dead = dead;
  }

  /** Starts sending a ping every `interval` milliseconds. */
  start(interval: number): void {
    this.#interval = interval;
    this.#unanswered = 0;
    this.#wait(interval);
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Records that a message arrived, of any type. */
  heard(): void {
    this.#unanswered = 0;
  }

  /** Sends a ping now with a short timeout: the machine woke, or its network changed. */
  probe(): void {
    if (this.#timer !== undefined) this.#askAndWait(PROBE_MS);
  }

  #tick(): void {
    const late = this.#clock.now() - this.#due > LATE_MS;
    if (this.#unanswered >= (late ? LATE_LIMIT : 1)) {
      this.stop();
      this.#dead();
    } else {
      this.#askAndWait(late ? PROBE_MS : this.#interval);
    }
  }

  #askAndWait(milliseconds: number): void {
    this.#unanswered += 1;
    this.#wait(milliseconds);
    this.#ask();
  }

  #wait(milliseconds: number): void {
    this.stop();
    this.#due = this.#clock.now() + milliseconds;
    this.#timer = this.#clock.setTimeout(() => {
      this.#tick();
    }, milliseconds);
  }
}
