/**
 * A tab's membership in a room, kept in `sessionStorage` so that a reloaded page returns as the same member. Browsers
 * copy that storage when a tab is duplicated. Therefore the page that uses a membership holds a Web Lock for it, and
 * a page that does not get the lock starts a new membership.
 */
import { membershipItem, type RejoinAs, type SavedMembership, savedMembership } from './rejoin';
import type { SessionStore } from './chat/archive';

/**
 * Timeout for the lock. A reloaded page may request it before the browser has released the lock of the previous page.
 */
const CLAIM_MS = 1_000;

/** Claims a Web Lock. Resolves with a function that releases it, or with `undefined` if another page holds it. */
export type Claim = (name: string, milliseconds: number) => Promise<(() => void) | undefined>;

/** Options of a `TabMembership`. */
export interface TabMembershipOptions {
  readonly room: string;
  /** Opens the storage of this tab; may throw. */
  readonly session: () => SessionStore;
  readonly claim: Claim;
  readonly now: () => number;
  readonly newName: () => string;
}

/** Claims this tab's membership for the page, or starts a new one. */
export async function openTabMembership(options: TabMembershipOptions): Promise<TabMembership | undefined> {
  const { room, session, claim } = options;
  const saved = savedMembership(session, room);
  const kept = saved && (await claim(lockOf(saved), CLAIM_MS));
  const used: SavedMembership = kept ? saved : { claim: options.newName() };
  const release = kept ?? (await claim(lockOf(used), CLAIM_MS));
  if (!release) return undefined;
  const membership = new TabMembership(options, used, release);
  // The storage of a duplicated tab also names the certificate of the first tab.
  if (saved && !kept) membership.forget();
  return membership;
}

/** A membership that this page has claimed. */
export class TabMembership {
  readonly #options: TabMembershipOptions;
  #saved: SavedMembership;
  #release: (() => void) | undefined;

  constructor(options: TabMembershipOptions, saved: SavedMembership, release: () => void) {
    this.#options = options;
    this.#saved = saved;
    this.#release = release;
    this.#write({ ended: undefined });
  }

  /** The resume secret; `undefined` for a new member. */
  get resume(): string | undefined {
    return this.#saved.resume;
  }

  /** Stores the secret of a session that has begun. */
  keep(resume: string): void {
    this.#write({ resume });
  }

  /** Releases the membership at the end of the page, so that the next page can claim it. */
  suspend(as: RejoinAs): void {
    this.#write({ ...as, ended: this.#options.now() });
    this.#release?.();
    this.#release = undefined;
  }

  /** Claims the membership again after the browser has restored the page. Resolves with whether that succeeded. */
  async reclaim(): Promise<boolean> {
    this.#release = await this.#options.claim(lockOf(this.#saved), CLAIM_MS);
    if (this.#release) this.#write({ ended: undefined });
    return this.#release !== undefined;
  }

  /** Deletes the stored data, so that the next join is that of a new member. */
  forget(): void {
    this.#saved = { claim: this.#saved.claim };
    const { room, session } = this.#options;
    try {
      for (const item of [membershipItem(room), `roundtable.identity.${room}`]) session().removeItem(item);
    } catch {
      // The storage is closed: there is nothing to delete.
    }
  }

  /** Ends the membership: `forget`, and releases the lock. */
  end(): void {
    this.forget();
    this.#release?.();
    this.#release = undefined;
  }

  #write(change: Partial<SavedMembership>): void {
    this.#saved = { ...this.#saved, ...change };
    const { room, session } = this.#options;
    try {
      session().setItem(membershipItem(room), JSON.stringify(this.#saved));
    } catch {
      // The storage is full or closed: the membership ends with the page.
    }
  }
}

function lockOf({ claim }: SavedMembership): string {
  return `roundtable.membership.${claim}`;
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
        // The lock is held until this promise is resolved.
        return new Promise<void>((release) => {
          resolve(release);
        });
      })
      .catch(() => {
        resolve(undefined);
      });
  });
