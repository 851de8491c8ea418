import type { Clock } from '../clock';

/** A clock that only tests advance. */
export class FakeClock implements Clock {
  /** The value of `random`; just under 1 gives the longest delay. */
  chance = 0.999999;
  #now = 1_000_000;
  #next = 1;
  readonly #timers = new Map<number, { due: number; callback: () => void }>();

  /** Milliseconds until each timer fires, soonest first. */
  get waits(): number[] {
    return [...this.#timers.values()].map(({ due }) => Math.round(due - this.#now)).sort((a, b) => a - b);
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, milliseconds: number): number {
    const id = this.#next++;
    this.#timers.set(id, { due: this.#now + milliseconds, callback });
    return id;
  }

  clearTimeout(timer: number | undefined): void {
    if (timer !== undefined) this.#timers.delete(timer);
  }

  random(): number {
    return this.chance;
  }

  /** Advances the time; each timer fires when it is due. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (let timer = this.#takeDue(end); timer; timer = this.#takeDue(end)) {
      this.#now = Math.max(this.#now, timer.due);
      timer.callback();
    }
    this.#now = end;
  }

  /** Advances the time as on a sleeping machine: all due timers fire late, at the end. */
  sleep(milliseconds: number): void {
    this.#now += milliseconds;
    this.advance(0);
  }

  #takeDue(end: number): { due: number; callback: () => void } | undefined {
    let first: [number, { due: number; callback: () => void }] | undefined;
    for (const entry of this.#timers) {
      if (entry[1].due <= end && (!first || entry[1].due < first[1].due)) first = entry;
    }
    if (first) this.#timers.delete(first[0]);
    return first?.[1];
  }
}

/** Resolves when all pending promises have settled. */
export async function settled(): Promise<void> {
  // The second turn is for the fake network, whose candidates take one.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
