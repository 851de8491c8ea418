import type { Clock } from '../clock';

/** Token bucket: a burst of events at once, then a sustained rate per second. */
export class Bucket {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filled: number;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filled = clock.now();
  }

  /** Takes a token. Returns `false` if the rate is exceeded. */
  take(): boolean {
    const now = this.#clock.now();
    const gained = (Math.max(0, now - this.#filled) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + gained);
    this.#filled = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
