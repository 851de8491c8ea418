/**
 * Numbered messages in both directions between this page and its server (R47 to R54). A socket may be cut anywhere,
 * and the next one continues where it stopped. A session begins with a `welcome`.
 */
import type { ClientMessage, ServerMessage } from '../protocol/messages';
import type { Clock } from './clock';

/** A server message with its number, if it has one. */
export type Numbered = ServerMessage & { readonly seq?: number };

/** Parses a server message; `undefined` if the frame is malformed. Unknown types are passed on (R3). */
export function parse(frame: unknown): Numbered | undefined {
  if (typeof frame !== 'string') return undefined;
  try {
    const message = JSON.parse(frame) as Numbered | null;
    return typeof message?.type === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Maximum number of unacknowledged server messages, and maximum delay of an acknowledgement. */
const ACK_MESSAGES = 32;
const ACK_MS = 1_000;
/**
 * Maximum number of sent messages kept: some minutes in a lively room. Keeping more than the server does is useless.
 */
const KEEP_MESSAGES = 512;

/** Classification of a received message. `again`: a duplicate; `gap`: messages before it are missing. */
export type Arrival = 'new' | 'again' | 'gap';

/** Message numbering and retransmission of one session, in both directions. */
export class Session {
  readonly #clock: Clock;
  readonly #acknowledge: (ack: number) => void;
  /** Number of the last message sent. */
  #number = 0;
  /** Sent messages not yet acknowledged, oldest first; the last one has `#number`. */
  #kept: string[] = [];
  /** Number of the last message that the server has acknowledged. */
  #acknowledged = 0;
  /** Number of the last message received, and of the last one acknowledged to the server. */
  #arrived = 0;
  #told = 0;
  #timer: number | undefined;

  /** @param acknowledge sends an acknowledgement to the server immediately */
  constructor(clock: Clock, acknowledge: (ack: number) => void) {
    this.#clock = clock;
    this.#acknowledge = acknowledge;
  }

  /** Number of the last message received, after which the session resumes. */
  get arrived(): number {
    return this.#arrived;
  }

  /** Set if all messages that the server lacks are still kept. */
  get whole(): boolean {
    return this.#number - this.#kept.length <= this.#acknowledged;
  }

  /** Serializes a message and keeps it until the server acknowledges it. */
  write(message: ClientMessage): string {
    this.#number += 1;
    const text = JSON.stringify({ ...message, seq: this.#number, ack: this.#tell() });
    this.#kept.push(text);
    if (this.#kept.length > KEEP_MESSAGES) this.#kept.shift();
    return text;
  }

  /** Counts a received message. */
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

  /** Handles the server's acknowledgement of everything up to this number. */
  acknowledged(ack: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, ack);
    const first = this.#number - this.#kept.length + 1;
    this.#kept.splice(0, Math.max(0, ack - first + 1));
  }

  /** Messages that the server lacks, to be sent again over another socket. */
  get missing(): readonly string[] {
    return this.#kept;
  }

  /** Stops acknowledging while there is no socket. */
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
