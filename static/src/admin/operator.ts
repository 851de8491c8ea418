/** What the operator's page shows, asked for again and again while somebody looks. */
import type { Clock } from '../core/clock';
import { distinguish } from '../core/names';
import { AdminError, type RoomDetail, type RoomPage, type ServerOverview, type Trouble } from './api';
import type { AdminApi } from './api';

/** From one answer to the next question. */
const EVERY_MS = 2_000;
/** The longest pause while the server does not answer; pauses double until then. */
const SELDOM_MS = 30_000;
/** From the last key to the search. */
const TYPED_MS = 250;

/** All that is to be seen. What is known stays until something else is. */
export interface OperatorView {
  /** `opening`: with a token that is not known to be right. */
  readonly phase: 'out' | 'opening' | 'in';
  /** Out: why the token was not taken. In: why what is shown is old. */
  readonly trouble?: Trouble | undefined;
  readonly server?: ServerOverview | undefined;
  readonly rooms?: RoomPage | undefined;
  readonly search: string;
  /** Pages of the list before the one that is shown. */
  readonly before: number;
  /** The room that is looked at. */
  readonly chosen?: string | undefined;
  /** `gone`: nobody is there any more. */
  readonly room?: RoomDetail | 'gone' | undefined;
}

const OUT: OperatorView = { phase: 'out', search: '', before: 0 };

type Api = Pick<AdminApi, 'server' | 'rooms' | 'room' | 'remove' | 'end' | 'drain'>;

/** One operator at one page. */
export class Operator {
  readonly #connect: (token: string) => Api;
  readonly #clock: Clock;
  readonly #show: (view: OperatorView) => void;
  #view = OUT;
  #api: Api | undefined;
  /** What each page before the shown one, and this one, is behind. */
  #afters: string[] = [];
  #visible = true;
  #timer: number | undefined;
  #failures = 0;
  /** Only the latest question's answer counts. */
  #turn = 0;

  constructor(connect: (token: string) => Api, clock: Clock, show: (view: OperatorView) => void) {
    this.#connect = connect;
    this.#clock = clock;
    this.#show = show;
  }

  /** Begins with this token. */
  open(token: string): void {
    this.#api = this.#connect(token);
    this.#set({ phase: 'opening', trouble: undefined });
    void this.#ask();
  }

  /** Forgets the token and all that was seen by it. */
  close(trouble?: Trouble): void {
    this.#turn += 1;
    this.#clock.clearTimeout(this.#timer);
    this.#api = undefined;
    this.#afters = [];
    this.#failures = 0;
    this.#view = OUT;
    this.#set({ trouble });
  }

  /** Nothing is asked while nobody looks. */
  setVisible(visible: boolean): void {
    if (visible === this.#visible) return;
    this.#visible = visible;
    if (visible) void this.#ask();
    else this.#clock.clearTimeout(this.#timer);
  }

  search(search: string): void {
    this.#afters = [];
    this.#set({ search, before: 0 });
    // What is under way is an answer to another question.
    this.#turn += 1;
    this.#later(TYPED_MS);
  }

  /** To the page of the list after, or before. */
  turn(way: 'next' | 'previous'): void {
    if (way === 'previous') this.#afters.pop();
    else if (this.#view.rooms?.next !== undefined) this.#afters.push(this.#view.rooms.next);
    this.#set({ before: this.#afters.length });
    void this.#ask();
  }

  /** Looks at a room, or at none. */
  choose(chosen: string | undefined): void {
    if (chosen === this.#view.chosen) return;
    this.#set({ chosen, room: undefined });
    void this.#ask();
  }

  /** Sends somebody out; what came in between, if anything. */
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
      // The rooms of this page have ended: there are others before it.
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
    // With jitter: several may look at a server that comes back.
    this.#later(trouble.kind === 'slow' ? trouble.seconds * 1_000 : pause * (0.5 + this.#clock.random() / 2));
  }
}

/** Returns the room with names that are told apart as its members see them. */
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
