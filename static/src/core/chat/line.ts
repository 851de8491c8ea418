/** The data channel to one peer, over as many connections as it takes. */
import type { Clock } from '../clock';
import { Emitter } from '../emitter';
import { Bucket } from './bucket';
import { type Chunk, chunkFrame, parseFrame, type WireMessage } from './wire';

/** Files wait while more than this is not sent yet: what is said meanwhile should not wait long behind it. */
const BUFFER_BYTES = 262_144;
const BUFFER_LOW_BYTES = 65_536;
/** What is said to a peer that cannot be reached yet; beyond that the oldest is forgotten. */
const WAITING = 100;
/** What a person may say and offer: faster than anyone types and drops files. */
export const SAID = { perSecond: 5, burst: 30 } as const;
/** What is heard of one: after an interruption much that was said comes at once. */
export const HEARD = { perSecond: 5, burst: 300 } as const;
/**
 * Useless frames of one peer. When a file is stopped, up to 256 of its pieces are under way, and sixteen files may be stopped
 * at once. More is a flood: it ends the channel, since to ignore a frame takes time too.
 */
export const STRAYS = { perSecond: 100, burst: 10_000 } as const;

/** What a line tells. */
export interface LineEvents {
  readonly message: WireMessage | Chunk;
  /** What waited is on its way. */
  readonly up: undefined;
  /** There is room for more. */
  readonly room: undefined;
  /** The channel has ended, and with it everything that was under way. */
  readonly down: undefined;
}

/** One peer, as far as data is concerned. */
export class Line {
  readonly events = new Emitter<LineEvents>();
  readonly #news: Bucket;
  readonly #strays: Bucket;
  #channel: RTCDataChannel | undefined;
  #waiting: WireMessage[] = [];

  constructor(clock: Clock) {
    this.#news = new Bucket(clock, HEARD.perSecond, HEARD.burst);
    this.#strays = new Bucket(clock, STRAYS.perSecond, STRAYS.burst);
  }

  get isOpen(): boolean {
    return this.#channel?.readyState === 'open';
  }

  /** Whether a file has to wait before it sends more. */
  get isFull(): boolean {
    return (this.#channel?.bufferedAmount ?? 0) > BUFFER_BYTES;
  }

  /** Ids of what was said and has not left yet. */
  get waiting(): readonly number[] {
    return this.#waiting.map(({ id }) => id);
  }

  /** Takes the channel of a new connection, in place of the one before. */
  attach(channel: RTCDataChannel): void {
    this.close();
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = BUFFER_LOW_BYTES;
    channel.onopen = () => {
      for (const message of this.#waiting.splice(0)) this.#send(JSON.stringify(message));
      this.events.emit('up', undefined);
    };
    channel.onmessage = ({ data }) => {
      this.#receive(data);
    };
    channel.onbufferedamountlow = () => {
      this.events.emit('room', undefined);
    };
    channel.onclose = () => {
      this.close();
    };
  }

  /** Says something now, or as soon as the peer can be reached. */
  say(message: WireMessage): void {
    if (this.isOpen) this.#send(JSON.stringify(message));
    else this.#waiting = [...this.#waiting, message].slice(-WAITING);
  }

  /** Says something that means nothing later: about a file, which ends with the channel. */
  tell(message: WireMessage): void {
    if (this.isOpen) this.#send(JSON.stringify(message));
  }

  /** Sends a piece of a file. */
  sendChunk(id: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.isOpen) this.#send(chunkFrame(id, bytes));
  }

  /** Counts a useless frame. Too many of them end the channel. */
  stray(): void {
    if (!this.#strays.take()) this.close();
  }

  /** Nothing is to be said any more, not even what waits. */
  end(): void {
    this.#waiting = [];
    this.close();
  }

  /** The connection is gone; another may be attached. */
  close(): void {
    const channel = this.#channel;
    if (!channel) return;
    this.#channel = undefined;
    channel.onopen = channel.onmessage = channel.onbufferedamountlow = channel.onclose = null;
    channel.close();
    this.events.emit('down', undefined);
  }

  #send(frame: string | Uint8Array<ArrayBuffer>): void {
    try {
      if (typeof frame === 'string') this.#channel?.send(frame);
      else this.#channel?.send(frame);
    } catch {
      // It closed under our hands; `down` follows.
    }
  }

  #receive(data: unknown): void {
    const message = parseFrame(data);
    const isNews = message?.type === 'text' || message?.type === 'offer';
    if (!message || (isNews && !this.#news.take())) this.stray();
    else this.events.emit('message', message);
  }
}
