/** A browser with tabs, as far as a `Stay` goes: storage of each tab, and the locks of all. */
import type { SessionStore } from '../chat/archive';
import type { Claim } from '../stay';

/** Locks as browsers have them: whoever waits for one gets it when it is released, or gives up. */
export class FakeLocks {
  readonly #held = new Set<string>();
  readonly #waiting: { name: string; grant: () => void }[] = [];

  /** Nobody waits in vain: what is not released until `giveUp` is not granted. */
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

  /** The time of everybody who waits is over. */
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

  /** A tab that the browser has made of this one. */
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
