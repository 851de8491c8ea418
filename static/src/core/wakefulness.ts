import type { Clock } from './clock';

const TICK_MS = 30_000;
/** Browsers let a hidden page's timers run once a minute: what is later than this has slept. */
const ASLEEP_MS = 120_000;

/** Notices that the machine or the page was asleep, by a timer that comes much too late. */
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

  /** Finds out now; a page that is shown again does not wait for its timer. */
  look(): void {
    if (this.#timer === undefined) return;
    const asleep = this.#clock.now() - this.#last;
    this.start();
    if (asleep > ASLEEP_MS) this.#onWoken(asleep);
  }
}
