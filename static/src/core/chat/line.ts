/** The data channel to one peer, across successive connections. */
import type { Clock } from '../clock';
import { Emitter } from '../emitter';
import { Bucket } from './bucket';
import { type Chunk, chunkFrame, parseFrame, type WireMessage } from './wire';

/** Files pause while more than this is buffered, so that chat messages do not wait long behind them. */
const BUFFER_BYTES = 262_144;
const BUFFER_LOW_BYTES = 65_536;
/** Messages queued for a peer that cannot be reached yet. Beyond that the oldest is dropped. */
const WAITING = 100;
/** Limit on outgoing messages and offers: faster than anyone types or drops files. */
export const SAID = { perSecond: 5, burst: 30 } as const;
/** Limit on incoming messages and offers of one peer. The burst allows for a backlog after an interruption. */
export const HEARD = { perSecond: 5, burst: 300 } as const;
/**
 * Limit on useless frames of one peer. When a file is stopped, up to 256 of its chunks are in flight, and sixteen
 * files may be stopped at once. More is a flood, which closes the channel, since ignoring a frame takes time too.
 */
export const STRAYS = { perSecond: 100, burst: 10_000 } as const;

/** Events of a `Line`. */
export interface LineEvents {
  readonly message: WireMessage | Chunk;
  /** The channel has opened and queued messages have been sent. */
  readonly up: undefined;
  /** The send buffer has room. */
  readonly room: undefined;
  /** The channel has closed, which ends all transfers over it. */
  readonly down: undefined;
}

/** The data channel to one peer. */
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

  /** Set while files must pause before they send more. */
  get isFull(): boolean {
    return (this.#channel?.bufferedAmount ?? 0) > BUFFER_BYTES;
  }

  /** Ids of the queued messages. */
  get waiting(): readonly number[] {
    return this.#waiting.map(({ id }) => id);
  }

  /** Takes the channel of a new connection, replacing the previous one. */
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

  /** Sends a message now, or as soon as the peer can be reached. */
  say(message: WireMessage): void {
    if (this.isOpen) this.#send(JSON.stringify(message));
    else this.#waiting = [...this.#waiting, message].slice(-WAITING);
  }

  /**
   * Sends a message that is useless later: about a file, whose transfer ends with the channel. Dropped if the channel
   * is not open.
   */
  tell(message: WireMessage): void {
    if (this.isOpen) this.#send(JSON.stringify(message));
  }

  /** Sends a chunk of a file. */
  sendChunk(id: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.isOpen) this.#send(chunkFrame(id, bytes));
  }

  /** Counts a useless frame. Too many of them close the channel. */
  stray(): void {
    if (!this.#strays.take()) this.close();
  }

  /** Closes the channel and drops queued messages. */
  end(): void {
    this.#waiting = [];
    this.close();
  }

  /** Closes the channel; another one may be attached later. */
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
      // The channel closed concurrently; `down` follows.
    }
  }

  #receive(data: unknown): void {
    const message = parseFrame(data);
    const isNews = message?.type === 'text' || message?.type === 'offer';
    if (!message || (isNews && !this.#news.take())) this.stray();
    else this.events.emit('message', message);
  }
}
