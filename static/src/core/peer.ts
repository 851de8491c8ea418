/**
 * The media with one peer, across successive connections. The messages are specified in docs/PROTOCOL.md, "What the
 * page says in `data`", which defines the terms *offerer*, *polite peer*, `pair`, `first` and `reset`.
 */
import { type Plan, type Reception, RECEPTIONS } from './adaptation';
import type { Clock } from './clock';
import { Connection, type LocalTracks } from './connection';
import type { NegotiationMessage } from './negotiation';
import { Budget, checkDescription, MAX_PAIR, MAX_WAITING, tooManySignals } from './signalLimits';
import type { LinkState } from './types';

/** The `data` of a `signal` between two pages. */
export type SignalData =
  | Negotiated
  | { readonly pair: string; readonly reset: true }
  | { readonly pair: string; readonly receive: Reception };

type Negotiated = { readonly pair: string; readonly first?: true } & NegotiationMessage;

/**
 * Number of consecutive ICE failures without an answered check, each followed by a restart, after which no path is
 * assumed to exist.
 */
const FAILURES_UNTIL_NO_PATH = 2;
/**
 * Time limit of a connection, from the last description of the other side. ICE reports its own failure, but not that
 * the other side is silent, and an ICE restart does not repair DTLS.
 */
const CONNECT_MS = 20_000;
/** Number of consecutive timeouts after which no new connection is made. */
const TRIES = 2;

/** Budget of new connections requested by the other side: burst, and interval in milliseconds. */
const RENEWALS = [4, 10_000] as const;
/** Budget of offers in the current connection. A browser makes one for each network change. */
const OFFERS = [10, 2_000] as const;
/** Budget of changes to the other side's request. Each one is applied to all encoders. */
const RECEPTION_CHANGES = [10, 2_000] as const;
/** Budget of answers to signals of unknown connections. */
const RESETS = [8, 1_000] as const;

/** Creates media objects: the browser's, or a test double's. */
export interface MediaFactory {
  readonly newPeerConnection: (configuration: RTCConfiguration) => RTCPeerConnection;
  readonly newStream: (tracks?: MediaStreamTrack[]) => MediaStream;
  /** Generates a random id for a connection. */
  readonly newPair: () => string;
}

/** The media of a person that the page plays. */
export type Played = Readonly<Record<'mic' | 'camera' | 'screen', boolean>>;

/** Options of a `Peer`. */
export interface PeerOptions {
  readonly selfId: string;
  readonly id: string;
  readonly configuration: RTCConfiguration;
  readonly tracks: LocalTracks;
  /** See `setResting`. */
  readonly resting?: boolean;
  /** See `setReception`. */
  readonly reception?: Reception;
  readonly media: MediaFactory;
  readonly clock: Clock;
  readonly send: (data: SignalData) => void;
  /** Called when `link` has changed. */
  readonly onLink: () => void;
  /** Called when `fingerprints` has changed. */
  readonly onFingerprints: () => void;
  /** Called when `wanted` has changed. */
  readonly onWanted?: () => void;
  /** Called when a connection was created, with its data channel. */
  readonly onChannel: (channel: RTCDataChannel) => void;
  readonly onError: (error: unknown) => void;
}

/** The media exchanged with one other person. */
export class Peer {
  /** Microphone and camera tracks, in one stream for the person's whole membership. */
  readonly stream: MediaStream;
  /** Tracks of the screen and its sound. */
  readonly screen: MediaStream;
  /** When the peer was created, in milliseconds on its clock. */
  readonly since: number;
  readonly #options: PeerOptions;
  readonly #offers: boolean;
  #configuration: RTCConfiguration;
  #tracks: LocalTracks;
  #played: Played = { mic: false, camera: false, screen: false };
  #resting: boolean;
  #reception: Reception;
  #wanted: Reception = 'all';
  #connection: Connection | undefined;
  #link: LinkState = 'connecting';
  #wasConnected = false;
  #state: RTCPeerConnectionState = 'new';
  #failures = 0;
  #timeouts = 0;
  #timer: number | undefined;
  /** The other side has sent a description since the last timeout. */
  #heard = false;
  /** Number of answered ICE checks in the current connection, as of the last statistics. */
  #checks = 0;
  /** A check was answered since the connection began or was last interrupted, so there is a path. */
  #answered = false;
  /** The last attempt failed although the other side took part in it. */
  #unreachable = false;
  readonly #renewals: Budget;
  readonly #offersTaken: Budget;
  readonly #resets: Budget;
  readonly #receptionChanges: Budget;
  /** A request change that waits for the budget. */
  #receptionTimer: number | undefined;
  /** Signals that wait for the budget of offers: the offer, and everything received after it. */
  #waiting: Negotiated[] = [];
  #waitingTimer: number | undefined;
  /** A renewal that waits for the budget. */
  #renewal: number | undefined;
  #overflowed = false;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#renewals = new Budget(options.clock, ...RENEWALS);
    this.#offersTaken = new Budget(options.clock, ...OFFERS);
    this.#resets = new Budget(options.clock, ...RESETS);
    this.#receptionChanges = new Budget(options.clock, ...RECEPTION_CHANGES);
    this.since = options.clock.now();
    this.#offers = options.selfId < options.id;
    this.#configuration = options.configuration;
    this.#tracks = options.tracks;
    this.#resting = options.resting ?? false;
    this.#reception = options.reception ?? 'all';
    this.stream = options.media.newStream();
    this.screen = options.media.newStream();
    if (!this.#resting) this.#begin();
  }

  get link(): LinkState {
    return this.#link;
  }

  /** See `setResting`. */
  get resting(): boolean {
    return this.#resting;
  }

  /** The other side's request. */
  get wanted(): Reception {
    return this.#wanted;
  }

  /** See `Connection`. */
  get level(): number {
    return this.#connection?.level ?? 0;
  }

  /** Handles the `data` of a `signal` from this peer. */
  handle(data: unknown): void {
    const message = parse(data);
    if (!message) {
      this.#options.onError(new Error(`The peer ${this.#options.id} sent a signal that is none of ours.`));
      return;
    }
    if ('reset' in message) {
      if (message.pair === this.#connection?.pair && this.#offers) this.#renew();
      return;
    }
    if ('receive' in message) {
      if (message.pair === this.#connection?.pair) this.#setWanted(message.receive);
      return;
    }
    if (message.description) {
      try {
        checkDescription(message.description);
      } catch (error) {
        this.#options.onError(error);
        return;
      }
    }
    const last = this.#waiting.at(-1);
    if (!last) this.#take([message]);
    // It replaces the connection that the waiting signals belong to.
    else if (message.first && message.pair !== last.pair) this.#waiting = [message];
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(message);
    else if (!this.#overflowed) {
      this.#overflowed = true;
      this.#options.onError(tooManySignals(this.#options.id));
    }
  }

  /** Handles signals, up to the first offer that exceeds the budget. */
  #take(messages: readonly Negotiated[]): void {
    for (const [at, message] of messages.entries()) {
      const known = message.pair === this.#connection?.pair;
      if (!known && this.#offers) continue;
      if (!known && !message.first) {
        if (this.#resets.take() === 0) this.#options.send({ pair: message.pair, reset: true });
        continue;
      }
      const budget = known ? this.#offersTaken : this.#renewals;
      const wait = message.description && message.description.type !== 'answer' ? budget.take() : 0;
      if (wait > 0) {
        this.#waiting = messages.slice(at);
        this.#waitingTimer = this.#options.clock.setTimeout(() => {
          this.#take(this.#waiting.splice(0));
        }, wait);
        return;
      }
      if (!known) this.#connect(message.pair);
      this.#connection?.negotiation.handle(message);
      if (!message.description) continue;
      this.#heard = true;
      if (this.#timer !== undefined) this.#limitTime();
    }
  }

  /** Creates a new connection at the other side's request, at once or when the budget allows it. */
  #renew(): void {
    if (this.#renewal !== undefined) return;
    const wait = this.#renewals.take();
    if (wait === 0) {
      this.#connect(this.#options.media.newPair());
      return;
    }
    const pair = this.#connection?.pair;
    this.#renewal = this.#options.clock.setTimeout(() => {
      this.#renewal = undefined;
      if (this.#connection?.pair === pair) this.#renew();
    }, wait);
  }

  setTracks(tracks: LocalTracks): void {
    this.#tracks = tracks;
    this.#connection?.setTracks(this.#wantedTracks);
  }

  /** Requests more or less from the other side. Each connection begins with everything. */
  setReception(reception: Reception): void {
    if (reception === this.#reception) return;
    this.#reception = reception;
    if (this.#link === 'connected') this.#ask();
  }

  /** Tracks without those that the other side does not want: tracks that are not sent are not encoded either. */
  get #wantedTracks(): LocalTracks {
    return this.#wanted === 'no_camera' ? { ...this.#tracks, camera: null } : this.#tracks;
  }

  #setWanted(wanted: Reception): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#receptionTimer);
    if (wanted === this.#wanted) return;
    const wait = this.#receptionChanges.take();
    if (wait > 0) {
      this.#receptionTimer = clock.setTimeout(() => {
        this.#setWanted(wanted);
      }, wait);
      return;
    }
    this.#wanted = wanted;
    this.#connection?.setTracks(this.#wantedTracks);
    this.#options.onWanted?.();
  }

  #ask(): void {
    if (this.#connection) this.#options.send({ pair: this.#connection.pair, receive: this.#reception });
  }

  /** Applies a plan to the connection, if there is one. */
  async adapt(plan: Plan): Promise<void> {
    await this.#connection?.adapt(plan);
  }

  /** Returns the statistics of the current connection, and updates from them whether there is a path. */
  async stats(): Promise<RTCStatsReport | undefined> {
    const connection = this.#connection;
    const report = await connection?.stats();
    if (report && connection === this.#connection) this.#countChecks(report);
    return report;
  }

  /** See `Connection`. */
  get fingerprints(): string | undefined {
    return this.#connection?.fingerprints;
  }

  /** Sets which of the received media is played. */
  setPlayed(played: Played): void {
    this.#played = played;
    this.#play();
  }

  /**
   * Closes the connection while there is nothing to send in either direction; afterwards the offerer creates a new
   * one.
   */
  setResting(resting: boolean): void {
    if (resting === this.#resting) return;
    this.#resting = resting;
    this.#timeouts = 0;
    this.#failures = 0;
    // Discard the previous state: the next connection counts as a first one.
    this.#wasConnected = this.#heard = this.#answered = this.#unreachable = false;
    this.#state = 'new';
    this.#link = 'connecting';
    if (resting) this.close();
    else this.#begin();
  }

  /** Takes new ICE servers, for this connection and later ones. */
  configure(configuration: RTCConfiguration): void {
    this.#configuration = configuration;
    this.#connection?.configure(configuration);
  }

  /** Recovers after signaling was disconnected, on this side or the other. */
  recheck(): void {
    this.#connection?.negotiation.recheck();
    if (this.#link === 'connected' && this.#reception !== 'all') this.#ask();
  }

  /** Restarts ICE after a network change. */
  restart(): void {
    this.#connection?.negotiation.restart();
  }

  close(): void {
    const { clock } = this.#options;
    for (const timer of [this.#timer, this.#waitingTimer, this.#renewal]) clock.clearTimeout(timer);
    this.#timer = this.#renewal = undefined;
    this.#waiting = [];
    this.#disconnect();
  }

  #begin(): void {
    if (this.#offers) this.#connect(this.#options.media.newPair());
    else this.#limitTime();
  }

  #disconnect(): void {
    this.#options.clock.clearTimeout(this.#receptionTimer);
    this.#connection?.close();
    this.#connection = undefined;
  }

  #connect(pair: string): void {
    const { fingerprints } = this;
    this.#disconnect();
    this.#wanted = 'all';
    if (fingerprints !== undefined) this.#options.onFingerprints();
    // The state of the old connection does not apply to the new one.
    this.#setState('new');
    if (this.#timer === undefined) this.#limitTime();
    const { media, clock, send, onFingerprints, onChannel, onError } = this.#options;
    try {
      this.#connection = new Connection({
        pc: media.newPeerConnection(this.#configuration),
        pair,
        offers: this.#offers,
        tracks: this.#tracks,
        streams: { person: this.stream, screen: this.screen },
        clock,
        send: (message) => {
          send({ pair, ...message });
        },
        onState: (state) => {
          this.#setState(state);
        },
        onReceivers: () => {
          this.#play();
        },
        onFingerprints,
        onChannel,
        onError,
      });
    } catch (error) {
      // The browser cannot create a connection: too many exist, or the configuration is invalid.
      this.#failures = FAILURES_UNTIL_NO_PATH;
      this.#setState('failed');
      onError(error);
    }
  }

  /** Restarts the time limit, because a busy machine takes long to answer a signal, or to process the answer. */
  #limitTime(): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#timeouts >= TRIES) return;
    this.#timer = clock.setTimeout(() => {
      this.#timedOut();
    }, CONNECT_MS);
  }

  #timedOut(): void {
    this.#timer = undefined;
    this.#timeouts += 1;
    this.#unreachable = this.#heard && !this.#answered;
    this.#heard = false;
    if (this.#timeouts >= TRIES) {
      this.#show();
    } else if (this.#offers) {
      this.#connect(this.#options.media.newPair());
    } else {
      // Only the offerer can create another connection.
      if (this.#connection) this.#options.send({ pair: this.#connection.pair, reset: true });
      this.#limitTime();
    }
  }

  /** Enables the played tracks. A disabled track renders silence or black (W3C Media Capture §4.3). */
  #play(): void {
    const { mic, camera, screen } = this.#played;
    for (const track of this.stream.getTracks()) track.enabled = track.kind === 'audio' ? mic : camera;
    for (const track of this.screen.getTracks()) track.enabled = screen;
  }

  #countChecks(report: RTCStatsReport): void {
    let checks = 0;
    report.forEach(({ type, responsesReceived }: { type: string; responsesReceived?: number }) => {
      if (type === 'candidate-pair') checks += responsesReceived ?? 0;
    });
    if (checks > this.#checks) {
      this.#answered = true;
      this.#unreachable = false;
      this.#failures = 0;
      this.#show();
    }
    this.#checks = checks;
  }

  #setState(state: RTCPeerConnectionState): void {
    this.#state = state;
    if (state === 'new') this.#checks = 0;
    if (state === 'failed') this.#failures += 1;
    if (state !== 'connecting') this.#answered = false;
    if (state === 'connected') {
      this.#failures = 0;
      this.#timeouts = 0;
      this.#options.clock.clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#wasConnected = true;
      if (this.#reception !== 'all') this.#ask();
    }
    this.#show();
  }

  #show(): void {
    const link = this.#linkNow;
    if (link === this.#link) return;
    this.#link = link;
    this.#options.onLink();
  }

  get #linkNow(): LinkState {
    if (this.#state === 'connected') return 'connected';
    if (this.#failures >= FAILURES_UNTIL_NO_PATH) return 'failed';
    if (this.#timeouts >= TRIES) return this.#unreachable ? 'failed' : 'slow';
    return this.#wasConnected ? 'interrupted' : 'connecting';
  }
}

/** Returns the answer to a signal of a member without a `Peer`; see the rules above. */
export function refusal(data: unknown): SignalData | undefined {
  const message = parse(data);
  return message && !('reset' in message) && !('receive' in message)
    ? { pair: message.pair, reset: true }
    : undefined;
}

/** Returns the message if it has one of the shapes above. The browser itself validates its contents. */
function parse(data: unknown): SignalData | undefined {
  // A rejection repeats the pair, so a long one would make this page send much.
  if (!isObject(data) || typeof data.pair !== 'string' || data.pair.length > MAX_PAIR) return undefined;
  const { pair, first, description, candidate, reset, receive } = data;
  if (reset === true) return { pair, reset };
  const reception = RECEPTIONS.find((each) => each === receive);
  if (reception !== undefined) return { pair, receive: reception };
  if (isObject(description)) {
    return {
      pair,
      ...(first === true && { first }),
      description: description as unknown as RTCSessionDescriptionInit,
    };
  }
  return isObject(candidate) ? { pair, candidate } : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
