/** Fakes of the browser features used by `TabMembership`: the storage of each tab, and the locks of all tabs. */
import type { SessionStore } from '../chat/archive';
import type { Claim } from '../tabMembership';

/** Web Locks: a request waits until the lock is released, or until `giveUp`. */
export class FakeLocks {
  readonly #held = new Set<string>();
  readonly #waiting: { name: string; grant: () => void }[] = [];

  readonly claim: Claim = (name) =>
    new Promise((resolve) => {
      const grant = (): void => {
        this.#held.add(name);
        resolve(() => {
          this.#held.delete(name);
          const at = this.#waiting.findIndex((waiting) => waiting.name === name);
          this.#waiting.splice(at, at < 0 ? 0 : 1)[0]?.grant();
        });
      };
      if (!this.#held.has(name)) {
        grant();
        return;
      }
      const waiting = { name, grant };
      this.#waiting.push(waiting);
      this.#giveUps.push(() => {
        const at = this.#waiting.indexOf(waiting);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        resolve(undefined);
      });
    });
  readonly #giveUps: (() => void)[] = [];

  get held(): readonly string[] {
    return [...this.#held];
  }

  /** Ends all waiting requests, as a timeout does. */
  giveUp(): void {
    for (const giveUp of this.#giveUps.splice(0)) giveUp();
  }
}

/** The `sessionStorage` of one tab. */
export class FakeTab implements SessionStore {
  readonly items: Map<string, string>;

  constructor(items: Iterable<[string, string]> = []) {
    this.items = new Map(items);
  }

  /** Returns a tab with a copy of the storage. */
  duplicate(): FakeTab {
    return new FakeTab(this.items);
  }

  getItem(name: string): string | null {
    return this.items.get(name) ?? null;
  }

  setItem(name: string, value: string): void {
    this.items.set(name, value);
  }

  removeItem(name: string): void {
    this.items.delete(name);
  }
}
