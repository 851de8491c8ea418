/** Reactions: a sign that everybody sees on one's tile for a moment, sent as a `broadcast`. */
import type { Clock } from './clock';
import { REACTIONS, type Reaction, type ReactionControls, type ReactionSign } from './types';

/** How long one is seen. */
const SHOWN_MS = 4_000;
/** So many of one person are seen at a time, and of all: what comes faster is dropped, whoever sends it. */
const MOST_OF_ONE = 5;
const MOST = 30;

/** What `Reactions` are made of. */
export interface ReactionsOptions {
  readonly clock: Clock;
  /** To everybody else; says whether it went. */
  readonly send: (data: { reaction: ReactionSign }) => boolean;
  /** `shown` is another. */
  readonly onChange: () => void;
}

/** Those that are seen now. */
export class Reactions implements ReactionControls {
  readonly #options: ReactionsOptions;
  #shown: readonly Reaction[] = [];
  #next = 1;

  constructor(options: ReactionsOptions) {
    this.#options = options;
  }

  /** Oldest first. */
  get shown(): readonly Reaction[] {
    return this.#shown;
  }

  react(sign: ReactionSign): void {
    if (this.#takes(undefined) && this.#options.send({ reaction: sign })) this.#show(sign);
  }

  /** Takes the `data` of a broadcast; what is no reaction is not for here. */
  receive(from: string, data: unknown): void {
    const said = typeof data === 'object' && data !== null && 'reaction' in data ? data.reaction : undefined;
    const sign = REACTIONS.find((each) => each === said);
    if (sign !== undefined && this.#takes(from)) this.#show(sign, from);
  }

  /** Nobody is there any more. */
  clear(): void {
    this.#shown = [];
  }

  #takes(from: string | undefined): boolean {
    const own = this.#shown.filter((each) => each.from === from);
    return own.length < MOST_OF_ONE && this.#shown.length < MOST;
  }

  #show(sign: ReactionSign, from?: string): void {
    const { clock, onChange } = this.#options;
    const id = this.#next++;
    this.#shown = [...this.#shown, { id, sign, ...(from !== undefined && { from }) }];
    clock.setTimeout(() => {
      this.#shown = this.#shown.filter((each) => each.id !== id);
      onChange();
    }, SHOWN_MS);
    onChange();
  }
}
