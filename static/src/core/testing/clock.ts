import type { Clock } from '../clock';

/** A clock that stands until it is turned. */
export class FakeClock implements Clock {
  /** What `random` gives; just under 1 is the longest delay. */
  chance = 0.999999;
  #now = 1_000_000;
  #next = 1;
  readonly #timers = new Map<number, { due: number; callback: () => void }>();

  /** The milliseconds until each timer, soonest first. */
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

  /** Lets time pass; each timer fires when it is due. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (let timer = this.#takeDue(end); timer; timer = this.#takeDue(end)) {
      this.#now = Math.max(this.#now, timer.due);
      timer.callback();
    }
    this.#now = end;
  }

  /** Lets time pass as a sleeping machine does: what is due fires late, all at the end. */
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

/** Resolves when every promise that can go on has done so. */
export async function settled(): Promise<void> {
  // The second turn is for the fake network, whose candidates take one.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
}
