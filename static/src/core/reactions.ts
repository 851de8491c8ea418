/** Reactions: an emoji shown on the sender's tile for a moment, sent as a `broadcast`. */
import type { Clock } from './clock';
import { REACTIONS, type Reaction, type ReactionControls, type ReactionSign } from './types';

/** Time for which a reaction is shown. */
const SHOWN_MS = 4_000;
/**
 * Maximum number of reactions shown at a time, per person and in total. Excess ones are dropped, whoever sends them.
 */
const MOST_OF_ONE = 5;
const MOST = 30;

/** Options of `Reactions`. */
export interface ReactionsOptions {
  readonly clock: Clock;
  /** Sends to everybody else; returns whether it was sent. */
  readonly send: (data: { reaction: ReactionSign }) => boolean;
  /** Called when `shown` has changed. */
  readonly onChange: () => void;
}

/** Reactions currently shown. */
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

  /** Handles the `data` of a broadcast; ignores anything but reactions. */
  receive(from: string, data: unknown): void {
    const said = typeof data === 'object' && data !== null && 'reaction' in data ? data.reaction : undefined;
    const sign = REACTIONS.find((each) => each === said);
    if (sign !== undefined && this.#takes(from)) this.#show(sign, from);
  }

  /** Removes all reactions after leaving the room. */
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
