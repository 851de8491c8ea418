/** Chat messages and file offers of a room, to everyone or private. */
import type { Clock } from '../clock';
import { withoutStacks } from '../names';
import { stable, stableList } from '../stable';
import type { ChatControls, ChatEntry, FileSource, LinkState, OfferResult } from '../types';
import type { Archive } from './archive';
import { Bucket } from './bucket';
import { type Contact, Files } from './files';
import { Line, SAID } from './line';
import { isFree, type Writer } from './rights';
import type { FileStore } from './save';
import { type Chunk, FILE_BYTES, safeName, TEXT_BYTES, textBytes, type WireMessage } from './wire';

/** Maximum number of entries kept. */
export const HISTORY = 500;

/** Another member, as far as chat is concerned. */
export interface Other {
  readonly id: string;
  readonly name: string;
  readonly link: LinkState;
  /**
   * Neither side sends media, so there is no connection (R42): chat and files are not sent to this member, and none
   * are queued.
   */
  readonly resting: boolean;
  readonly writer: Writer;
}

/** Options of a `Chat`. */
export interface ChatOptions {
  readonly clock: Clock;
  readonly store: FileStore;
  /** Keeps the log across a reload. */
  readonly archive?: Archive;
  /** Called when `entries` has changed. */
  readonly onChange: () => void;
}

interface Known extends Contact {
  name: string;
  link: LinkState;
  resting: boolean;
  writer: Writer;
}

/** An entry as last rendered, with the number that its sender gave it. */
interface Logged {
  readonly number: number;
  entry: ChatEntry;
}

/** Chat and files. The log survives a rejoin, and with an archive also a reload. */
export class Chat implements ChatControls {
  readonly #options: ChatOptions;
  readonly #files: Files;
  readonly #others = new Map<string, Known>();
  readonly #bucket: Bucket;
  #history: Logged[] = [];
  #entries: readonly ChatEntry[] = [];
  #next: number;
  #begun = false;
  #since: number | undefined;
  /** The role in which the user writes. */
  writer: Writer = 'participant';

  constructor(options: ChatOptions) {
    const { clock, store, onChange } = options;
    this.#options = options;
    this.#files = new Files({ clock, store, onChange });
    this.#bucket = new Bucket(clock, SAID.perSecond, SAID.burst);
    // A random start, so that a reloaded page without an archive does not reuse its earlier numbers.
    this.#next = Math.floor(clock.random() * 2 ** 31);
    const saved = options.archive?.load();
    if (!saved) return;
    this.#history = saved.history.map((kept) => ({ ...kept }));
    this.#since = saved.since;
    this.#begun = true;
  }

  /** When the log began if others were already in the room, in milliseconds since 1970. */
  get since(): number | undefined {
    return this.#since;
  }

  /** Begins the log at the first join. Earlier messages are missing if others were already in the room. */
  begin(othersPresent: boolean): void {
    if (!this.#begun && othersPresent) this.#since = this.#options.clock.now();
    this.#begun = true;
  }

  /** Saves the log for the next load of this page. */
  save(): void {
    this.#update();
    const history = this.#history;
    this.#options.archive?.save({ history, ...(this.#since !== undefined && { since: this.#since }) });
  }

  /** Deletes the saved log. */
  discard(): void {
    this.#options.archive?.clear();
  }

  /** All entries, oldest first. An entry keeps its identity until it changes, and so does the list. */
  get entries(): readonly ChatEntry[] {
    this.#update();
    this.#entries = stable(
      this.#entries,
      this.#history.map(({ entry }) => entry),
    );
    return this.#entries;
  }

  /** Takes the data channel of a new connection to a member. */
  attach(id: string, channel: RTCDataChannel): void {
    this.#know({ id, name: '', link: 'connecting', resting: false, writer: undefined }).line.attach(channel);
  }

  /** Replaces the list of members. */
  setOthers(others: readonly Other[]): void {
    const present = new Set(others.map(({ id }) => id));
    for (const [id, { line }] of this.#others) {
      if (present.has(id)) continue;
      this.#others.delete(id);
      line.close();
    }
    for (const other of others) {
      const known = this.#know(other);
      const failed = other.link === 'failed' && known.link !== 'failed';
      known.name = other.name;
      known.link = other.link;
      if (other.resting && !known.resting) known.line.end();
      known.resting = other.resting;
      known.writer = other.writer;
      if (failed) this.#files.lose(other.id);
    }
  }

  say(text: string, to?: string): boolean {
    const said = withoutStacks(text.trim());
    const receivers = this.#receivers(to);
    const isPrivate = to !== undefined || !isFree(this.writer);
    if (said === '' || textBytes(said) > TEXT_BYTES || (isPrivate && receivers.length === 0)) return false;
    if (!this.#bucket.take()) return false;
    const number = this.#number();
    const secret = isPrivate ? ({ private: true } as const) : {};
    for (const { line } of receivers) line.say({ type: 'text', id: number, text: said, ...secret });
    this.#keep(number, { kind: 'text', text: said, waiting: [], ...this.#own(number, to) });
    return true;
  }

  offer(source: FileSource, to?: string): OfferResult {
    if (!isFree(this.writer)) return 'not_permitted';
    if (source.size > FILE_BYTES) return 'too_large';
    const all = this.#receivers(to);
    const receivers = all.filter(({ line }) => line.isOpen);
    if (receivers.length === 0) return 'nobody';
    if (!this.#bucket.take()) return 'too_many';
    const number = this.#number();
    const file = { name: safeName(source.name), size: source.size };
    if (!this.#files.offer(number, source, file, receivers, to !== undefined)) return 'too_many';
    const missed = all.filter((each) => !receivers.includes(each)).map(({ name }) => name);
    const entry = { file: file.name, size: file.size, transfers: [], missed } as const;
    this.#keep(number, { kind: 'file', ...entry, ...this.#own(number, to) });
    return 'offered';
  }

  accept(entryId: string): void {
    const kept = this.#find(entryId);
    if (kept?.entry.from !== undefined) this.#files.accept(kept.entry.from, kept.number);
  }

  stop(entryId: string): void {
    const kept = this.#find(entryId);
    if (kept) this.#files.stop(kept.entry.from, kept.number);
  }

  /** Updates all entries. */
  #update(): void {
    const waiting = this.#waiting();
    for (const logged of this.#history) logged.entry = this.#current(logged, waiting);
  }

  #current({ entry, number }: Logged, waiting: ReadonlyMap<number, readonly string[]>): ChatEntry {
    if (entry.kind === 'file') {
      const transfers = this.#files.transfers(entry.from, number);
      // Transfers from before a reload have ended and are unknown to `Files`.
      if (transfers.length === 0) return entry;
      return stable(entry, { ...entry, transfers: stableList(entry.transfers, transfers) });
    }
    if (entry.from !== undefined) return entry;
    return stable(entry, { ...entry, waiting: stable(entry.waiting, waiting.get(number) ?? []) });
  }

  #know({ id, name, link, writer }: Other): Known {
    const before = this.#others.get(id);
    if (before) return before;
    const line = new Line(this.#options.clock);
    const known: Known = { id, name, link, resting: false, writer, line };
    this.#others.set(id, known);
    line.events.on('message', (message) => {
      this.#receive(known, message);
    });
    line.events.on('up', this.#options.onChange);
    return known;
  }

  #receive(from: Known, message: WireMessage | Chunk): void {
    // A modified client may ignore its rights. Replies to our own offers are always accepted.
    if (!isFree(from.writer)) {
      if (message.type === 'offer') return;
      if (message.type === 'chunk') message = { type: 'withdraw', id: message.id };
      const toHost = from.writer && this.writer === 'host';
      if (message.type === 'text' && !(toHost && message.private)) return;
    }
    if (message.type === 'text') {
      const { id, text } = message;
      const origin = this.#origin(from, message);
      if (!this.#find(origin.id)) this.#keep(id, { kind: 'text', text, waiting: [], ...origin });
    } else if (message.type === 'offer') {
      const { id, name, size } = message;
      const origin = this.#origin(from, message);
      if (this.#find(origin.id) || !this.#files.offered(from, id, message)) return;
      this.#keep(id, { kind: 'file', file: name, size, transfers: [], missed: [], ...origin });
    } else if (!this.#files.handle(from.id, message)) {
      from.line.stray();
    }
  }

  #keep(number: number, entry: ChatEntry): void {
    this.#history.push({ number, entry });
    while (this.#history.length > HISTORY) this.#dropOne();
    this.#options.onChange();
  }

  /**
   * Drops the oldest entry of the sender with the most entries, so that a flood does not displace other senders'
   * entries. Entries with open transfers are dropped last, because dropping them stops the transfers.
   */
  #dropOne(): void {
    const counts = new Map<string | undefined, number>();
    for (const { entry } of this.#history) counts.set(entry.from, (counts.get(entry.from) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const candidates = this.#history.filter(({ entry }) => counts.get(entry.from) === most);
    const dropped =
      candidates.find(({ entry, number }) => !this.#files.isOpen(entry.from, number)) ?? candidates[0];
    this.#history = this.#history.filter((logged) => logged !== dropped);
    if (dropped?.entry.kind === 'file') this.#files.forget(dropped.entry.from, dropped.number);
  }

  #own(number: number, to: string | undefined) {
    const receiver = to === undefined ? undefined : this.#others.get(to);
    return {
      id: `own-${number}`,
      name: '',
      at: this.#options.clock.now(),
      ...(receiver && { privateWith: receiver.name }),
    };
  }

  #origin({ id, name }: Known, message: { readonly id: number; readonly private?: true }) {
    return {
      id: `${id}-${message.id}`,
      from: id,
      name,
      at: this.#options.clock.now(),
      ...(message.private && { privateWith: name }),
    };
  }

  #receivers(to: string | undefined): readonly Contact[] {
    return [...this.#others.values()].filter(
      ({ id, resting, writer }) =>
        !resting &&
        (to === undefined || id === to) &&
        (isFree(this.writer) || (this.writer && writer === 'host')),
    );
  }

  /** Returns the names of members that a text has not reached yet, by the text's number. */
  #waiting(): ReadonlyMap<number, readonly string[]> {
    const names = new Map<number, string[]>();
    for (const { line, name } of this.#others.values()) {
      for (const number of line.waiting) {
        const those = names.get(number);
        if (those) those.push(name);
        else names.set(number, [name]);
      }
    }
    return names;
  }

  #find(entryId: string): Logged | undefined {
    return this.#history.find(({ entry }) => entry.id === entryId);
  }

  #number(): number {
    this.#next = (this.#next + 1) % 2 ** 32;
    return this.#next;
  }
}
