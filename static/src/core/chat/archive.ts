/** The chat log of a tab, kept in `sessionStorage` while the page reloads. Closing the tab deletes it. */
import type { ChatEntry } from '../types';

/** An entry with the number that its sender gave it. */
export interface Kept {
  readonly number: number;
  readonly entry: ChatEntry;
}

/** What a reload keeps. */
export interface SavedLog {
  readonly history: readonly Kept[];
  /** When the log began, where earlier messages may be missing; in milliseconds since 1970. */
  readonly since?: number;
}

/** The part of `Storage` that an archive uses. */
export type SessionStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** Reads and writes the log of one room. Every method tolerates a full or a closed storage. */
export class Archive {
  readonly #store: () => SessionStore;
  readonly #item: string;

  /** @param store opens the storage; may throw, because embedded and private pages have none */
  constructor(store: () => SessionStore, room: string) {
    this.#store = store;
    this.#item = `roundtable.chat.${room}`;
  }

  /** Returns the log before the reload. Transfers that were under way have ended with the page. */
  load(): SavedLog | undefined {
    try {
      const { history, since } = JSON.parse(this.#store().getItem(this.#item) ?? '') as SavedLog;
      return { history: history.map(ended), ...(since !== undefined && { since }) };
    } catch {
      return undefined;
    }
  }

  save(log: SavedLog): void {
    try {
      this.#store().setItem(this.#item, JSON.stringify(log));
    } catch {
      // The storage is full or closed: the log ends with the page.
    }
  }

  clear(): void {
    try {
      this.#store().removeItem(this.#item);
    } catch {
      // There is nothing to delete.
    }
  }
}

function ended({ number, entry }: Kept): Kept {
  if (entry.kind === 'text') return { number, entry };
  const transfers = entry.transfers.map((transfer) =>
    ['offered', 'moving'].includes(transfer.state) ? { ...transfer, state: 'lost' as const } : transfer,
  );
  return { number, entry: { ...entry, transfers } };
}
