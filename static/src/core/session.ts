/**
 * What is said between this page and its server, in numbers (R47 to R54): a socket may be cut anywhere, and the
 * next one goes on where it was. A session begins with a `welcome`.
 */
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { Clock } from './clock';

/** A message of the server with its number, where it has one. */
export type Numbered = ServerMessage & { readonly seq?: number };

/** A message of the server; `undefined` for what is none. Types that are not known come through: R3. */
export function parse(frame: unknown): Numbered | undefined {
  if (typeof frame !== 'string') return undefined;
  try {
    const message = JSON.parse(frame) as Numbered | null;
    return typeof message?.type === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** How many messages of the server may wait to be acknowledged, and for how long. */
const ACK_MESSAGES = 32;
const ACK_MS = 1_000;
/** How many messages of one's own are kept: some minutes of a lively room. More than the server keeps is no use. */
const KEEP_MESSAGES = 512;

/** What became of a message: `again` has been here, before a `gap` something is missing. */
export type Arrival = 'new' | 'again' | 'gap';

/** One stay's count of messages, both ways. */
export class Session {
  readonly #clock: Clock;
  readonly #acknowledge: (ack: number) => void;
  /** The number of the last message of one's own. */
  #number = 0;
  /** Those that the server has not acknowledged, the oldest first: the last one has `#number`. */
  #kept: string[] = [];
  /** The number of the last one that it has. */
  #acknowledged = 0;
  /** The number of the last message that has arrived, and of the last one that the server was told of. */
  #arrived = 0;
  #told = 0;
  #timer: number | undefined;

  /** `acknowledge` tells the server, now. */
  constructor(clock: Clock, acknowledge: (ack: number) => void) {
    this.#clock = clock;
    this.#acknowledge = acknowledge;
  }

  /** The number of the last message that has arrived: from there it goes on. */
  get arrived(): number {
    return this.#arrived;
  }

  /** Whether everything that the server has not got can be said again. */
  get whole(): boolean {
    return this.#number - this.#kept.length <= this.#acknowledged;
  }

  /** The text of a message, which is kept until the server has it. */
  write(message: ClientMessage): string {
    this.#number += 1;
    const text = JSON.stringify({ ...message, seq: this.#number, ack: this.#tell() });
    this.#kept.push(text);
    if (this.#kept.length > KEEP_MESSAGES) this.#kept.shift();
    return text;
  }

  /** Counts a message of the server. */
  take({ seq }: Numbered): Arrival {
    if (seq === undefined) return 'new';
    if (seq > this.#arrived + 1) return 'gap';
    if (seq <= this.#arrived) return 'again';
    this.#arrived = seq;
    if (seq - this.#told >= ACK_MESSAGES) this.#flush();
    else {
      this.#timer ??= this.#clock.setTimeout(() => {
        this.#flush();
      }, ACK_MS);
    }
    return 'new';
  }

  /** The server has everything up to this number. */
  acknowledged(ack: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, ack);
    const first = this.#number - this.#kept.length + 1;
    this.#kept.splice(0, Math.max(0, ack - first + 1));
  }

  /** What the server has not got, to be said again over another socket. */
  get missing(): readonly string[] {
    return this.#kept;
  }

  /** There is no socket to acknowledge by. */
  pause(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tell(): number {
    this.pause();
    this.#told = this.#arrived;
    return this.#told;
  }

  #flush(): void {
    this.#acknowledge(this.#tell());
  }
}
