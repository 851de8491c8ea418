/**
 * The membership that a tab has in a room. It is kept in `sessionStorage`, so that a page that is loaded again returns as
 * who it was. Browsers copy that storage when a tab is duplicated: the page that uses a membership holds a Web Lock for it,
 * and one that does not get the lock begins anew.
 */
import { left, type Left, type Saved, savedItem } from './left';
import type { SessionStore } from './chat/archive';

/** A page that is loaded again may ask for the lock before the browser has let go of the page before. */
const CLAIM_MS = 1_000;

/** Claims a Web Lock. Resolves with what releases it, or with nothing where another page holds it. */
export type Claim = (name: string, milliseconds: number) => Promise<(() => void) | undefined>;

/** What a `Stay` is made of. */
export interface StayOptions {
  readonly room: string;
  /** Opens the storage of this tab; may throw. */
  readonly session: () => SessionStore;
  readonly claim: Claim;
  readonly now: () => number;
  readonly newName: () => string;
}

/** Claims this tab's membership for the page, or begins another one. */
export async function openStay(options: StayOptions): Promise<Stay | undefined> {
  const { room, session, claim } = options;
  const saved = left(session, room);
  const kept = saved && (await claim(lockOf(saved), CLAIM_MS));
  const used: Saved = kept ? saved : { claim: options.newName() };
  const release = kept ?? (await claim(lockOf(used), CLAIM_MS));
  if (!release) return undefined;
  const stay = new Stay(options, used, release);
  // A duplicated tab has a copy of the certificate's name as well.
  if (saved && !kept) stay.forget();
  return stay;
}

/** The membership as one page has it. */
export class Stay {
  readonly #options: StayOptions;
  #saved: Saved;
  #release: (() => void) | undefined;

  constructor(options: StayOptions, saved: Saved, release: () => void) {
    this.#options = options;
    this.#saved = saved;
    this.#release = release;
    this.#write({ ended: undefined });
  }

  /** The secret to return with; nothing for a newcomer. */
  get resume(): string | undefined {
    return this.#saved.resume;
  }

  /** The page is in the room. */
  keep(resume: string): void {
    this.#write({ resume });
  }

  /** The page ends, and may be about to be loaded again. Another page may claim the membership from now on. */
  suspend(as: Left): void {
    this.#write({ ...as, ended: this.#options.now() });
    this.#release?.();
    this.#release = undefined;
  }

  /** The page was restored: claims the membership again. Resolves with whether it did. */
  async reclaim(): Promise<boolean> {
    this.#release = await this.#options.claim(lockOf(this.#saved), CLAIM_MS);
    if (this.#release) this.#write({ ended: undefined });
    return this.#release !== undefined;
  }

  /** The membership has ended: whoever joins next begins anew. */
  forget(): void {
    this.#saved = { claim: this.#saved.claim };
    const { room, session } = this.#options;
    try {
      for (const item of [savedItem(room), `roundtable.identity.${room}`]) session().removeItem(item);
    } catch {
      // The storage is closed: there is nothing to delete.
    }
  }

  /** The same, and the page has no further use for it. */
  end(): void {
    this.forget();
    this.#release?.();
    this.#release = undefined;
  }

  #write(change: Partial<Saved>): void {
    this.#saved = { ...this.#saved, ...change };
    const { room, session } = this.#options;
    try {
      session().setItem(savedItem(room), JSON.stringify(this.#saved));
    } catch {
      // The storage is full or closed: the membership ends with the page.
    }
  }
}

function lockOf({ claim }: Saved): string {
  return `roundtable.stay.${claim}`;
}

/** Claims a lock of this browser (W3C Web Locks). */
export const browserClaim: Claim = (name, milliseconds) =>
  new Promise((resolve) => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      abort.abort();
    }, milliseconds);
    navigator.locks
      .request(name, { signal: abort.signal }, () => {
        clearTimeout(timer);
        return new Promise<void>(resolve);
      })
      .catch(() => {
        resolve(undefined);
      });
  });
