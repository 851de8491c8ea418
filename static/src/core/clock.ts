/** Time and randomness, injected so that tests control them. */
export interface Clock {
  /** Milliseconds since 1970. Must advance while the machine sleeps. */
  now(): number;
  setTimeout(callback: () => void, milliseconds: number): number;
  clearTimeout(timer: number | undefined): void;
  /** Returns a number in [0, 1). For delays, not for secrets. */
  random(): number;
}

/** The browser's clock. */
export const realClock: Clock = {
  // Date.now() instead of performance.now(), which stops on some systems while they sleep.
  now: () => Date.now(),
  setTimeout: (callback, milliseconds) => window.setTimeout(callback, milliseconds),
  clearTimeout: (timer) => {
    window.clearTimeout(timer);
  },
  random: () => Math.random(),
};
