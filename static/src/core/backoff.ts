/** When to try again: soon after a loss, ever later while nothing answers, and as the server asks. */
import type { Clock } from './clock';

/** Delays double from the first to the last, with full jitter. */
const FIRST_MS = 500;
const LAST_MS = 10_000;
/** Whoever was in a meeting comes back soon after its server does: for so long delays stay below so much. */
const SOON_MS = 60_000;
const SOON_LAST_MS = 1_500;
/** Between tries where the next one will most likely fare no better. */
const SLOW_MS = 30_000;
/** A connection that lasts so long ends a row of failures; one that breaks at once does not. */
const STABLE_MS = 10_000;

/** The delays of one client. */
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

  /** A connection that was welcomed is lost. */
  lost(): void {
    this.#lostAt = this.#clock.now();
    if (this.#lostAt - this.#welcomedAt >= STABLE_MS) this.#failures = 0;
  }

  /** Things may have changed: the next try is like a first one. */
  afresh(): void {
    this.#notBefore = -Infinity;
    this.#failures = 0;
  }

  /** Whether the server has asked not to be tried yet. */
  get asked(): boolean {
    return this.#clock.now() < this.#notBefore;
  }

  /** The next try is to be after so long. */
  heed(milliseconds: number): void {
    this.#hint = milliseconds;
  }

  /** How long to wait before the next try, in milliseconds; `slowly` where there is little hope. */
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
