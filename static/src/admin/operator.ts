/** State of the operator's page, polled while it is visible. */
import type { Clock } from '../core/clock';
import { distinguish } from '../core/names';
import { AdminError, type RoomDetail, type RoomPage, type ServerOverview, type Trouble } from './api';
import type { AdminApi } from './api';

/** Pause between an answer and the next request. */
const EVERY_MS = 2_000;
/** Longest pause while the server does not answer; pauses double up to this. */
const SELDOM_MS = 30_000;
/** Delay between the last key press and the search. */
const TYPED_MS = 250;

/** Everything shown on the page. Known values stay until replaced. */
export interface OperatorView {
  /** `opening`: with a token that is not verified yet. */
  readonly phase: 'out' | 'opening' | 'in';
  /** In phase `out`: why the token was rejected. In phase `in`: why the display is outdated. */
  readonly trouble?: Trouble | undefined;
  readonly server?: ServerOverview | undefined;
  readonly rooms?: RoomPage | undefined;
  readonly search: string;
  /** Number of list pages before the one shown. */
  readonly before: number;
  /** The selected room. */
  readonly chosen?: string | undefined;
  /** `gone`: the room no longer exists. */
  readonly room?: RoomDetail | 'gone' | undefined;
}

const OUT: OperatorView = { phase: 'out', search: '', before: 0 };

type Api = Pick<AdminApi, 'server' | 'rooms' | 'room' | 'remove' | 'end' | 'drain'>;

/** Session of one operator on one page. */
export class Operator {
  readonly #connect: (token: string) => Api;
  readonly #clock: Clock;
  readonly #show: (view: OperatorView) => void;
  #view = OUT;
  #api: Api | undefined;
  /** Cursors of the pages before the shown one, and of the shown one. */
  #afters: string[] = [];
  #visible = true;
  #timer: number | undefined;
  #failures = 0;
  /** Number of the latest request; earlier ones are ignored when answered. */
  #turn = 0;

  constructor(connect: (token: string) => Api, clock: Clock, show: (view: OperatorView) => void) {
    this.#connect = connect;
    this.#clock = clock;
    this.#show = show;
  }

  /** Signs in with a token. */
  open(token: string): void {
    this.#api = this.#connect(token);
    this.#set({ phase: 'opening', trouble: undefined });
    void this.#ask();
  }

  /** Signs out: forgets the token and everything received with it. */
  close(trouble?: Trouble): void {
    this.#turn += 1;
    this.#clock.clearTimeout(this.#timer);
    this.#api = undefined;
    this.#afters = [];
    this.#failures = 0;
    this.#view = OUT;
    this.#set({ trouble });
  }

  /** Pauses polling while the page is hidden. */
  setVisible(visible: boolean): void {
    if (visible === this.#visible) return;
    this.#visible = visible;
    if (visible) void this.#ask();
    else this.#clock.clearTimeout(this.#timer);
  }

  search(search: string): void {
    this.#afters = [];
    this.#set({ search, before: 0 });
    // Ignore the pending answer, which belongs to another search.
    this.#turn += 1;
    this.#later(TYPED_MS);
  }

  /** Turns to the next or previous page of the list. */
  turn(way: 'next' | 'previous'): void {
    if (way === 'previous') this.#afters.pop();
    else if (this.#view.rooms?.next !== undefined) this.#afters.push(this.#view.rooms.next);
    this.#set({ before: this.#afters.length });
    void this.#ask();
  }

  /** Selects a room, or none. */
  choose(chosen: string | undefined): void {
    if (chosen === this.#view.chosen) return;
    this.#set({ chosen, room: undefined });
    void this.#ask();
  }

  /** Removes a member. Resolves with the problem, if any. */
  remove(room: string, id: string): Promise<Trouble | undefined> {
    return this.#act((api) => api.remove(room, id));
  }

  end(room: string): Promise<Trouble | undefined> {
    return this.#act((api) => api.end(room));
  }

  drain(): Promise<Trouble | undefined> {
    return this.#act((api) => api.drain());
  }

  async #act(act: (api: Api) => Promise<void>): Promise<Trouble | undefined> {
    try {
      if (this.#api) await act(this.#api);
      return undefined;
    } catch (error) {
      return troubleOf(error);
    } finally {
      void this.#ask();
    }
  }

  #set(change: Partial<OperatorView>): void {
    this.#view = { ...this.#view, ...change };
    this.#show(this.#view);
  }

  #later(milliseconds: number): void {
    this.#clock.clearTimeout(this.#timer);
    if (!this.#visible || !this.#api) return;
    this.#timer = this.#clock.setTimeout(() => void this.#ask(), milliseconds);
  }

  async #ask(): Promise<void> {
    this.#clock.clearTimeout(this.#timer);
    const [api, turn] = [this.#api, ++this.#turn];
    if (!api) return;
    const { search, chosen } = this.#view;
    try {
      const [server, rooms, room] = await Promise.all([
        api.server(),
        api.rooms(search, this.#afters.at(-1)),
        chosen === undefined ? undefined : api.room(chosen).then(withDistinctNames, orGone),
      ]);
      if (turn !== this.#turn) return;
      this.#failures = 0;
      this.#set({ phase: 'in', trouble: undefined, server, rooms, room });
      // The rooms of this page have ended, but there are earlier pages.
      if (rooms.rooms.length === 0 && this.#afters.length > 0) this.turn('previous');
      else this.#later(EVERY_MS);
    } catch (error) {
      if (turn === this.#turn) this.#fail(troubleOf(error));
    }
  }

  #fail(trouble: Trouble): void {
    if (trouble.kind === 'token' || this.#view.phase === 'opening') {
      this.close(trouble);
      return;
    }
    this.#failures += 1;
    this.#set({ trouble });
    const pause = Math.min(EVERY_MS * 2 ** this.#failures, SELDOM_MS);
    // With jitter, because several pages may poll a server that returns.
    this.#later(trouble.kind === 'slow' ? trouble.seconds * 1_000 : pause * (0.5 + this.#clock.random() / 2));
  }
}

/** Returns the room with names made distinguishable, as its members see them. */
function withDistinctNames(room: RoomDetail): RoomDetail {
  const names = room.members.map(({ name }) => name);
  return { ...room, members: distinguish(room.members, []), waiting: distinguish(room.waiting, names) };
}

function troubleOf(error: unknown): Trouble {
  if (error instanceof AdminError) return error.trouble;
  throw error;
}

function orGone(error: unknown): 'gone' {
  if (troubleOf(error).kind === 'gone') return 'gone';
  throw error;
}
