/**
 * The signaling client: keeps a socket open, joins, resumes, and reconnects indefinitely.
 *
 * Messages sent while the socket is lost wait in the `Session` and are sent when the server resumes the session. If
 * it does not resume, the session ends with a new `welcome`, and the waiting messages are dropped on purpose: the
 * mesh then rechecks each connection and sends again what it still needs, which is less, and newer, than what waited.
 * The member's own state is part of the `join`.
 */
import type { ClientMessage, ErrorBody, ServerMessage, Welcome } from '../protocol/messages';
import { Backoff } from './backoff';
import { Diagnosis, type DiagnosisOptions } from './diagnosis';
import { Emitter } from './emitter';
import { Heartbeat } from './heartbeat';
import {
  FINAL_CLOSES,
  joinFailure,
  ORIGIN_CLOSE,
  PROTOCOL_ERROR_CLOSES,
  TOLD_CLOSES,
  tokenEnd,
} from './refusal';
import { parse, Session } from './session';
import type { Failure, FailureCode, SignalingState } from './types';

/** Timeout for opening the socket. */
const OPEN_MS = 10_000;
/**
 * Timeout from the open socket to the `welcome`. Servers that share a room may take 10 s to decide, and then report
 * it (R78).
 */
const DECIDE_MS = 15_000;
/** Ping interval in the lobby, before a `welcome` has announced the server's interval. */
const LOBBY_HEARTBEAT_MS = 25_000;

const NORMAL_CLOSE = 1000;
/** Close code after which the client will return; does not count as leaving (R52). */
const LOST_CLOSE = 3001;
/** Close code of a page that ends and may be reloaded (R114). Scripts cannot send 1001. */
const PAGE_ENDED_CLOSE = 3002;
/** Jitter in milliseconds, so that clients that were refused together do not return together. */
const RETRY_JITTER_MS = 1_000;
/** Failures that most likely persist until somebody changes the setup. */
const LASTING: readonly (FailureCode | undefined)[] = ['wrong_address', 'path_changed', 'origin_refused'];

/** The part of a WebSocket that the client uses. */
export type Socket = Pick<WebSocket, 'send' | 'close' | 'onopen' | 'onmessage' | 'onclose'>;

/** Content of a `join` other than the resume data and the origin proof. */
export type Hello = Omit<Extract<ClientMessage, { type: 'join' }>, 'type' | 'resume' | 'last_seq' | 'proof'>;

/** Options of a `SignalingClient`. */
export interface SignalingOptions extends DiagnosisOptions {
  /** `…/signal-api/ws?room=…` */
  readonly url: string;
  /** `…/signal-api/v1/leave` */
  readonly leaveUrl: string;
  readonly connect: (url: string) => Socket;
  /** Posts a text, even if the page ends meanwhile. */
  readonly post: (url: string, text: string) => void;
  /** Name of the room. */
  readonly room: string;
  /** Called at each `join`, so that a reconnect sends the current state. */
  readonly hello: () => Hello;
  /** Fetches an origin proof for one attempt (R92); absent if the page's origin differs from the server's. */
  readonly proof?: (() => Promise<string | undefined>) | undefined;
}

/** Events of a `SignalingClient`. */
export interface SignalingEvents {
  state: SignalingState;
  /** Why the socket is not open while the client keeps trying; `undefined` when the trouble is over. */
  trouble: Failure | undefined;
  /** Each message from the first `welcome` on, once and in order. */
  message: ServerMessage;
  /** The member waits for a host; the `welcome` follows when a host admits them (R40). */
  waiting: undefined;
  /** The client has stopped and will not try again. */
  refused: Failure;
  /** A malformed frame: a defect on one side. */
  problem: unknown;
}

type Resumed = Extract<ServerMessage, { type: 'resumed' }>;

/** State of the current socket; without one, `waiting` for the next attempt or `closed`. */
type Stage = 'closed' | 'waiting' | 'opening' | 'joining' | 'in_lobby' | 'welcomed';

/** Keeps one membership in one room. */
export class SignalingClient {
  readonly events = new Emitter<SignalingEvents>();
  readonly #options: SignalingOptions;
  readonly #heartbeat: Heartbeat;
  readonly #backoff: Backoff;
  readonly #diagnosis: Diagnosis;
  #stage: Stage = 'closed';
  #state: SignalingState = 'closed';
  #trouble: Failure | undefined;
  #socket: Socket | undefined;
  /** Timeout of the current attempt, or start of the next one. */
  #timer: number | undefined;
  #resume: string | undefined;
  #session: Session | undefined;
  #heartbeatMs = LOBBY_HEARTBEAT_MS;
  /** Token failure reported right before the server closes for it (R62). */
  #ending: Failure | undefined;

  constructor(options: SignalingOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.clock);
    this.#diagnosis = new Diagnosis(options);
    this.#heartbeat = new Heartbeat(
      options.clock,
      () => {
        this.#say({ type: 'ping' });
      },
      () => {
        this.#lose();
      },
    );
  }

  get state(): SignalingState {
    return this.#state;
  }

  /** Resume secret of the current session, if there is one. It proves membership in the room. */
  get resume(): string | undefined {
    return this.#resume;
  }

  /**
   * Connects and joins until `leave`. `resume` is the secret of an earlier page: the client joins as the same member.
   */
  start(resume?: string): void {
    if (this.#stage !== 'closed') return;
    this.#resume = resume;
    this.#setState('connecting');
    this.#connect();
  }

  /** Sends a message now, or when the socket is back. Messages before the first `welcome` are dropped. */
  send(message: ClientMessage): void {
    const text = this.#session ? this.#session.write(message) : JSON.stringify(message);
    if (this.#stage === 'welcomed') this.#socket?.send(text);
  }

  /** Sends a message that is not worth retransmitting (R82): unnumbered, and only if connected. */
  mention(message: ClientMessage): void {
    if (this.#stage === 'welcomed') this.#say(message);
  }

  /**
   * Leaves the room for good (R24), even if the page ends or the socket is lost (R55).
   *
   * @param mayReturn the page may be about to be reloaded (R114)
   */
  leave(pageEnds = false, mayReturn = false): void {
    this.#goodbye(pageEnds, mayReturn);
    this.#close(mayReturn);
  }

  /** Leaves the room as at the end of a page. `wake` returns as the same member. */
  away(mayReturn = false): void {
    if (this.#stage === 'closed') return;
    this.#goodbye(true, mayReturn);
    this.#hangUp(mayReturn);
    this.#backoff.afresh();
    this.#stage = 'waiting';
    this.#setTrouble(undefined);
    this.#setState('connecting');
  }

  /**
   * Checks the connection at once, because the network is available again, the page is visible again, or the machine
   * woke.
   */
  wake(): void {
    if (this.#stage === 'in_lobby' || this.#stage === 'welcomed') this.#heartbeat.probe();
    if (this.#stage === 'waiting' && !this.#backoff.asked) {
      this.#backoff.afresh();
      this.#connect();
    }
  }

  #connect(): void {
    const { connect, url } = this.#options;
    this.#stage = 'opening';
    // Requested while the socket opens, so that it takes no extra time. Not cached: a restarted server may not accept
    // an old proof.
    const proof = this.#options.proof?.();
    this.#giveUpIn(OPEN_MS);
    let socket: Socket;
    try {
      socket = connect(url);
    } catch (error) {
      this.events.emit('problem', error);
      this.#ended();
      return;
    }
    this.#socket = socket;
    socket.onopen = () => {
      this.#stage = 'joining';
      this.#giveUpIn(DECIDE_MS);
      if (proof === undefined) this.#join(socket);
      else
        void proof.then((text) => {
          if (this.#socket === socket) this.#join(socket, text);
        });
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      this.#receive(data);
    };
    socket.onclose = ({ code }) => {
      this.#ended(code);
    };
  }

  /** Sets the timeout for what is expected of the current socket. */
  #giveUpIn(milliseconds: number): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => {
      this.#lose();
    }, milliseconds);
  }

  #join(socket: Socket, proof?: string): void {
    const [resume, session] = [this.#resume, this.#session];
    const join: ClientMessage = {
      type: 'join',
      ...this.#options.hello(),
      ...(resume !== undefined && { resume }),
      ...(proof !== undefined && { proof }),
      ...(session?.whole && { last_seq: session.arrived }),
    };
    socket.send(JSON.stringify(join));
  }

  #receive(frame: unknown): void {
    this.#heartbeat.heard();
    const message = parse(frame);
    if (message === undefined) {
      this.events.emit('problem', new Error('The server sent a frame that is no message.'));
      return;
    }
    if (message.type === 'pong') return;
    if (message.type === 'ack') {
      this.#session?.acknowledged(message.ack);
      return;
    }
    if (message.type === 'go_away') this.#backoff.heed(message.reconnect_ms);
    if (message.type === 'error') this.#ending = tokenEnd(message) ?? this.#ending;
    if (message.type === 'error' && message.code === 'rate_limited') this.#notIn(message);
    if (this.#stage === 'joining' || this.#stage === 'in_lobby') {
      if (message.type === 'waiting') this.#wait();
      else if (message.type === 'welcome') this.#welcomed(message);
      else if (message.type === 'resumed') this.#resumed(message);
      else if (message.type === 'error' && message.re === 'join') this.#notIn(message);
      return;
    }
    const arrival = this.#session?.take(message);
    if (arrival === 'gap') {
      this.events.emit('problem', new Error('The server left a message out.'));
      // Only a new roster can repair the gap.
      this.#forget();
      this.#lose();
    } else if (arrival !== 'again') {
      this.events.emit('message', message);
    }
  }

  /** Handles the refusal of a join, or the request to try again later. */
  #notIn(error: ErrorBody): void {
    const failure = joinFailure(error);
    if (failure.retryMs !== undefined) this.#backoff.heed(failure.retryMs);
    else if (failure.code !== 'origin_refused') {
      this.#refuse(failure);
      return;
    }
    this.#setTrouble(failure);
  }

  /** Enters the lobby. Waiting takes longer than the timeout for a `welcome`, so the heartbeat takes over. */
  #wait(): void {
    this.#forget();
    this.#options.clock.clearTimeout(this.#timer);
    this.#diagnosis.cancel();
    this.#stage = 'in_lobby';
    this.#heartbeat.start(LOBBY_HEARTBEAT_MS);
    this.#setTrouble(undefined);
    this.events.emit('waiting', undefined);
  }

  #welcomed(welcome: Welcome & { type: 'welcome' }): void {
    this.#forget();
    this.#resume = welcome.resume;
    if (welcome.features.includes('session')) {
      this.#session = new Session(this.#options.clock, (ack) => {
        this.#say({ type: 'ack', ack });
      });
    }
    this.#heartbeatMs = welcome.heartbeat_seconds * 1_000;
    this.#enter(welcome);
  }

  /** Resumes the session: missed messages follow, and the client retransmits what the server lacks. */
  #resumed(resumed: Resumed): void {
    this.#session?.acknowledged(resumed.ack);
    if (this.#session?.whole === false) {
      // More messages were sent since the `join` than are kept.
      this.#forget();
      this.#lose();
      return;
    }
    for (const text of this.#session?.missing ?? []) this.#socket?.send(text);
    this.#enter(resumed);
  }

  #enter(message: Resumed | (Welcome & { type: 'welcome' })): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#diagnosis.cancel();
    this.#stage = 'welcomed';
    this.#ending = undefined;
    this.#backoff.welcomed();
    this.#heartbeat.start(this.#heartbeatMs);
    this.#setTrouble(undefined);
    this.#setState('open');
    this.events.emit('message', message);
  }

  /** Sends an unnumbered message. */
  #say(message: ClientMessage): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #forget(): void {
    this.#session?.pause();
    this.#session = undefined;
  }

  /** Abandons an unresponsive socket without waiting for its close event, which may come much later. */
  #lose(): void {
    this.#socket?.close(LOST_CLOSE);
    this.#ended();
  }

  #ended(code?: number): void {
    const wasWelcomed = this.#stage === 'welcomed';
    this.#release();
    const final = FINAL_CLOSES.get(code);
    if (final) {
      this.#refuse(this.#ending ?? { code: final });
    } else {
      this.#stage = 'waiting';
      if (wasWelcomed) {
        this.#backoff.lost();
        this.#setState('lost');
      }
      if (PROTOCOL_ERROR_CLOSES.includes(code)) {
        this.#setTrouble({ code: 'protocol_error', detail: `close code ${String(code)}` });
      } else if (!wasWelcomed && !TOLD_CLOSES.includes(code)) {
        // In parallel with the retries, so that an unresponsive server does not slow them down.
        void this.#diagnosis.ask((failure) => {
          this.#diagnosed(failure);
        });
      }
      // The next proof may be accepted: the last one may have come from another server, or too late.
      this.#retryLater(code !== ORIGIN_CLOSE);
    }
  }

  #retryLater(maySlow = true): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(
      () => {
        this.#connect();
      },
      this.#backoff.next(maySlow && LASTING.includes(this.#trouble?.code)),
    );
  }

  #diagnosed(found: Failure): void {
    // A proxy may answer for a stopped server with an error page whose file is missing.
    const stopped = found.code === 'wrong_address' && this.#resume !== undefined;
    const failure: Failure = stopped ? { ...found, code: 'server_unreachable' } : found;
    this.#setTrouble(failure);
    if (failure.retryMs === undefined) return;
    this.#backoff.heed(failure.retryMs + this.#options.clock.random() * RETRY_JITTER_MS);
    // Postpones a scheduled attempt. If one is in progress, the delay applies to the one after it.
    if (this.#stage === 'waiting') this.#retryLater();
  }

  #goodbye(pageEnds: boolean, mayReturn: boolean): void {
    if (!mayReturn && ['joining', 'in_lobby', 'welcomed'].includes(this.#stage)) {
      this.#say({ type: 'leave' });
    }
    const { post, leaveUrl, room } = this.#options;
    if (this.#resume !== undefined && (pageEnds || this.#stage !== 'welcomed')) {
      post(leaveUrl, JSON.stringify({ room, resume: this.#resume, ...(mayReturn && { may_return: true }) }));
    }
  }

  #refuse(failure: Failure): void {
    this.#close();
    this.events.emit('refused', failure);
  }

  #hangUp(mayReturn = false): void {
    const socket = this.#socket;
    this.#release();
    socket?.close(mayReturn ? PAGE_ENDED_CLOSE : NORMAL_CLOSE);
    this.#diagnosis.cancel();
    this.#forget();
    this.#ending = undefined;
  }

  #close(mayReturn = false): void {
    this.#hangUp(mayReturn);
    this.#stage = 'closed';
    this.#resume = undefined;
    this.#setTrouble(undefined);
    this.#setState('closed');
  }

  /** Detaches the socket and clears all timers. */
  #release(): void {
    this.#heartbeat.stop();
    this.#session?.pause();
    this.#options.clock.clearTimeout(this.#timer);
    if (this.#socket === undefined) return;
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket = undefined;
  }

  #setState(state: SignalingState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.events.emit('state', state);
  }

  #setTrouble(trouble: Failure | undefined): void {
    if (trouble === undefined && this.#trouble === undefined) return;
    this.#trouble = trouble;
    this.events.emit('trouble', trouble);
  }
}
