/** Reconnect delays: short after a disconnect, growing while the server does not answer, and as the server asks. */
import type { Clock } from './clock';

/** Delays double from the first to the last, with full jitter. */
const FIRST_MS = 500;
const LAST_MS = 10_000;
/**
 * After a disconnect from a meeting, delays stay below `SOON_LAST_MS` for this long, so that clients return soon
 * after their server does.
 */
const SOON_MS = 60_000;
const SOON_LAST_MS = 1_500;
/** Longest delay where the next attempt will most likely fail as well. */
const SLOW_MS = 30_000;
/** Duration after which a connection counts as stable and resets the failure count. */
const STABLE_MS = 10_000;

/** Reconnect delays of one client. */
export class Backoff {
  readonly #clock: Clock;
  #failures = 0;
  #welcomedAt = 0;
  #lostAt = -Infinity;
  #hint: number | undefined;
  #notBefore = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  welcomed(): void {
    this.#welcomedAt = this.#clock.now();
    this.#hint = undefined;
  }

  /** Records the loss of a connection that had received its `welcome`. */
  lost(): void {
    this.#lostAt = this.#clock.now();
    if (this.#lostAt - this.#welcomedAt >= STABLE_MS) this.#failures = 0;
  }

  /** Resets the delays, because the situation may have changed. */
  afresh(): void {
    this.#notBefore = -Infinity;
    this.#failures = 0;
  }

  /** Set while the server's requested delay before the next attempt has not passed. */
  get asked(): boolean {
    return this.#clock.now() < this.#notBefore;
  }

  /** Sets the next delay as requested by the server. */
  heed(milliseconds: number): void {
    this.#hint = milliseconds;
  }

  /**
   * Returns the delay before the next attempt, in milliseconds. `slowly`: the attempt has little chance of success.
   */
  next(slowly: boolean): number {
    if (this.#hint !== undefined) {
      const hint = this.#hint;
      this.#hint = undefined;
      this.#notBefore = this.#clock.now() + hint;
      return hint;
    }
    const last = this.#clock.now() - this.#lostAt < SOON_MS ? SOON_LAST_MS : LAST_MS;
    const longest = slowly ? SLOW_MS : Math.min(last, FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    return this.#clock.random() * longest;
  }
}
