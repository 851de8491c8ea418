/** The chat log of a tab, kept in `sessionStorage` while the page reloads. Closing the tab deletes it. */
import type { ChatEntry } from '../types';

/** A chat entry with the number that its sender gave it. */
export interface Kept {
  readonly number: number;
  readonly entry: ChatEntry;
}

/** The part of the log that survives a reload. */
export interface SavedLog {
  readonly history: readonly Kept[];
  /** When the log began, where earlier messages may be missing; in milliseconds since 1970. */
  readonly since?: number;
}

/** The part of `Storage` that an archive uses. */
export type SessionStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** Reads and writes the log of one room. Every method tolerates a full or unavailable storage. */
export class Archive {
  readonly #store: () => SessionStore;
  readonly #item: string;

  /** @param store opens the storage; may throw, because embedded and private pages have none */
  constructor(store: () => SessionStore, room: string) {
    this.#store = store;
    this.#item = `roundtable.chat.${room}`;
  }

  /** Returns the log from before the reload. Transfers that were in progress have ended with the page. */
  load(): SavedLog | undefined {
    try {
      const { history, since } = JSON.parse(this.#store().getItem(this.#item) ?? '') as SavedLog;
      return { history: history.map(ended), ...(since !== undefined && { since }) };
    } catch {
      return undefined;
    }
  }

  /** Saves the log. If it does not fit, omits all entries of the sender with the most data, then of the next one. */
  save(log: SavedLog): void {
    for (let { history } = log; ; history = withoutLargest(history)) {
      try {
        this.#store().setItem(this.#item, JSON.stringify({ ...log, history }));
        return;
      } catch {
        // The storage is full or unavailable. Delete the old log, so that it is not taken for this one.
        if (history.length === 0) {
          this.clear();
          return;
        }
      }
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

/** Removes all entries of the sender whose entries take the most characters. */
function withoutLargest(history: readonly Kept[]): readonly Kept[] {
  const sizes = new Map<string | undefined, number>();
  for (const kept of history) {
    const { from } = kept.entry;
    sizes.set(from, (sizes.get(from) ?? 0) + JSON.stringify(kept).length);
  }
  const most = Math.max(...sizes.values());
  return history.filter(({ entry }) => sizes.get(entry.from) !== most);
}

function ended({ number, entry }: Kept): Kept {
  if (entry.kind === 'text') return { number, entry };
  const transfers = entry.transfers.map((transfer) =>
    ['offered', 'moving'].includes(transfer.state) ? { ...transfer, state: 'lost' as const } : transfer,
  );
  return { number, entry: { ...entry, transfers } };
}
