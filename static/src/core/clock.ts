/** Time and chance, by injection: tests turn the clock by hand. */
export interface Clock {
  /** Milliseconds since 1970. It must go on while the machine sleeps. */
  now(): number;
  setTimeout(callback: () => void, milliseconds: number): number;
  clearTimeout(timer: number | undefined): void;
  /** At least 0, less than 1. For delays, not for secrets. */
  random(): number;
}

/** The browser's clock. */
export const realClock: Clock = {
  // Not performance.now(): it stands still while some systems sleep.
  now: () => Date.now(),
  setTimeout: (callback, milliseconds) => window.setTimeout(callback, milliseconds),
  clearTimeout: (timer) => {
    window.clearTimeout(timer);
  },
  random: () => Math.random(),
};
