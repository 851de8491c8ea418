import type { Clock } from './clock';

/** A timer that comes later than this was throttled, or the machine slept. */
const LATE_MS = 3_000;
/** How long an answer may take when there is a doubt. */
const PROBE_MS = 5_000;
/** Questions without an answer that make a server dead even where every timer is late. */
const LATE_LIMIT = 3;

/**
 * Tells whether the server lives, by asking (R27): JavaScript does not see the server's own pings.
 *
 * Dead is who leaves a question unanswered for a whole interval, which is two intervals of silence.
 * A late timer proves nothing about the server, whose answer may wait behind it: then it is asked
 * once more, and has a few seconds.
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

  /** Begins to ask every `interval` milliseconds. */
  start(interval: number): void {
    this.#interval = interval;
    this.#unanswered = 0;
    this.#wait(interval);
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Something arrived, whatever it was. */
  heard(): void {
    this.#unanswered = 0;
  }

  /** Asks now and wants to know soon: the machine woke, or its network changed. */
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
