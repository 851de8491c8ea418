import type { Clock } from './clock';

const TICK_MS = 30_000;
/** Browsers run the timers of a hidden page once a minute; a later timer means sleep. */
const ASLEEP_MS = 120_000;

/** Detects that the machine or the page was asleep, by a timer that fires much too late. */
export class Wakefulness {
  readonly #clock: Clock;
  readonly #onWoken: (milliseconds: number) => void;
  #timer: number | undefined;
  #last = 0;

  constructor(clock: Clock, onWoken: (milliseconds: number) => void) {
    this.#clock = clock;
    this.#onWoken = onWoken;
  }

  /** Watches until `stop`. */
  start(): void {
    this.stop();
    this.#last = this.#clock.now();
    this.#timer = this.#clock.setTimeout(() => {
      this.look();
    }, TICK_MS);
  }

  stop(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Checks at once, for a page that becomes visible again and does not wait for its timer. */
  look(): void {
    if (this.#timer === undefined) return;
    const asleep = this.#clock.now() - this.#last;
    this.start();
    if (asleep > ASLEEP_MS) this.#onWoken(asleep);
  }
}
