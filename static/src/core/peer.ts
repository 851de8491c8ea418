/**
 * The media with one peer, over as many connections as it takes. What the two say to each other stands in
 * docs/PROTOCOL.md, "What the page says in `data`": the words *offerer*, *polite peer*, `pair`, `first` and
 * `reset` are explained there.
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

/** ICE failures in a row without an answered check, with a restart after each, after which there seems to be no path. */
const FAILURES_UNTIL_NO_PATH = 2;
/**
 * How long a connection may take from the last description of the other side. ICE reports that it failed, but not that the
 * other side is silent, and an ICE restart does not repair DTLS.
 */
const CONNECT_MS = 20_000;
/** Time limits in a row after which no new connection is made. */
const TRIES = 2;

/** New connections that the other side may ask for: so many at once, and then one after each interval. */
const RENEWALS = [4, 10_000] as const;
/** Offers in the present connection. A browser makes one for each change of a network. */
const OFFERS = [10, 2_000] as const;
/** Changes of what the other side wants. Each one is applied to all encoders. */
const RECEPTION_CHANGES = [10, 2_000] as const;
/** Answers to what belongs to no connection. */
const RESETS = [8, 1_000] as const;

/** What makes media objects: the browser's, or a test's. */
export interface MediaFactory {
  readonly newPeerConnection: (configuration: RTCConfiguration) => RTCPeerConnection;
  readonly newStream: (tracks?: MediaStreamTrack[]) => MediaStream;
  /** A random name for a connection. */
  readonly newPair: () => string;
}

/** What of a person's media is let through to the page. */
export type Played = Readonly<Record<'mic' | 'camera' | 'screen', boolean>>;

/** What a `Peer` is made of. */
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
  /** `link` is another one. */
  readonly onLink: () => void;
  /** `fingerprints` has changed. */
  readonly onFingerprints: () => void;
  /** `wanted` has changed. */
  readonly onWanted?: () => void;
  /** A connection was made, and with it the data channel. */
  readonly onChannel: (channel: RTCDataChannel) => void;
  readonly onError: (error: unknown) => void;
}

/** One other person's media. */
export class Peer {
  /** The tracks of microphone and camera, one stream for the whole stay. */
  readonly stream: MediaStream;
  /** The tracks of the screen and its sound. */
  readonly screen: MediaStream;
  /** When it was made, in milliseconds of its clock. */
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
  /** The other side has sent a description since the last time limit. */
  #heard = false;
  /** The number of ICE checks that were answered in the present connection, as of the last statistics. */
  #checks = 0;
  /** A check was answered since the connection began, or was last interrupted: there is a path. */
  #answered = false;
  /** The last attempt failed although the other side took part in it. */
  #unreachable = false;
  readonly #renewals: Budget;
  readonly #offersTaken: Budget;
  readonly #resets: Budget;
  readonly #receptionChanges: Budget;
  /** A change that waits until the budget has one again. */
  #receptionTimer: number | undefined;
  /** Signals that wait until the budget has an offer again: the offer, and what came after it. */
  #waiting: Negotiated[] = [];
  #waitingTimer: number | undefined;
  /** A renewal that waits likewise. */
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

  /** What the other side asks for. */
  get wanted(): Reception {
    return this.#wanted;
  }

  /** See `Connection`. */
  get level(): number {
    return this.#connection?.level ?? 0;
  }

  /** Takes the `data` of a `signal` from this peer. */
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
    // It replaces the connection that those before it belong to.
    else if (message.first && message.pair !== last.pair) this.#waiting = [message];
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(message);
    else if (!this.#overflowed) {
      this.#overflowed = true;
      this.#options.onError(tooManySignals(this.#options.id));
    }
  }

  /** Handles signals, up to the first offer for which the budget has none left. */
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

  /** Makes a new connection because the other side asked for it, at once or when the budget has one. */
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

  /** Asks the other side for more or less. It begins each connection with everything. */
  setReception(reception: Reception): void {
    if (reception === this.#reception) return;
    this.#reception = reception;
    if (this.#link === 'connected') this.#ask();
  }

  /** Tracks without those that the other side does not want: what is not sent is not encoded either. */
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

  /** Sends as much as the plan says, where there is a connection to send by. */
  async adapt(plan: Plan): Promise<void> {
    await this.#connection?.adapt(plan);
  }

  /** Returns the statistics of the present connection, and learns from them whether there is a path. */
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

  /** What arrives of the rest is neither heard nor seen. */
  setPlayed(played: Played): void {
    this.#played = played;
    this.#play();
  }

  /** Without a connection while there is nothing to send either way; the offerer begins again. */
  setResting(resting: boolean): void {
    if (resting === this.#resting) return;
    this.#resting = resting;
    this.#timeouts = 0;
    this.#failures = 0;
    // What there was is over: the next connection is a first one.
    this.#wasConnected = this.#heard = this.#answered = this.#unreachable = false;
    this.#state = 'new';
    this.#link = 'connecting';
    if (resting) this.close();
    else this.#begin();
  }

  /** Takes newer ICE servers, for this connection and later ones. */
  configure(configuration: RTCConfiguration): void {
    this.#configuration = configuration;
    this.#connection?.configure(configuration);
  }

  /** Signaling was away and is back, on this side or the other. */
  recheck(): void {
    this.#connection?.negotiation.recheck();
    if (this.#link === 'connected' && this.#reception !== 'all') this.#ask();
  }

  /** The network changed. */
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
    // What the old connection was is not what this one is.
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
      // The browser gives no connection: too many, or a bad configuration.
      this.#failures = FAILURES_UNTIL_NO_PATH;
      this.#setState('failed');
      onError(error);
    }
  }

  /** Begins the time limit again: a busy machine takes long to answer a signal, or to read the answer. */
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
      // Only the offerer can make another one.
      if (this.#connection) this.#options.send({ pair: this.#connection.pair, reset: true });
      this.#limitTime();
    }
  }

  /** A track that is not enabled renders silence or black (W3C Media Capture §4.3). */
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

/** The answer to a signal of someone for whom there is no `Peer`; see the rules above. */
export function refusal(data: unknown): SignalData | undefined {
  const message = parse(data);
  return message && !('reset' in message) && !('receive' in message)
    ? { pair: message.pair, reset: true }
    : undefined;
}

/** Returns the message if it has one of the shapes above. The browser itself checks what it reads of it. */
function parse(data: unknown): SignalData | undefined {
  // A rejection repeats the pair: a long one would make this page send much.
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
