/**
 * The media with one peer, over as many connections as it takes.
 *
 * The peer whose id is smaller (by code units) is the *offerer*: it makes a connection, names it with
 * a fresh random `pair`, and sends the first offer, whose four m-lines are, in this order, microphone
 * (audio), camera (video), screen (video) and screen sound (audio), all `sendrecv`. The other one, the
 * *polite* peer of W3C WebRTC §10.7, answers with its own tracks on the same lines and adds none. Later
 * offers, which only restart ICE, come from either. The `data` of a `signal` is one of
 *
 * ```text
 * {"pair":"…","first":true,"description":{"type":"offer","sdp":"…"}}   offerer, until it has an answer
 * {"pair":"…","description":{"type":"offer"|"answer","sdp":"…"}}       either
 * {"pair":"…","candidate":{"candidate":"…","sdpMid":"0",…}}            either: RTCIceCandidateInit
 * {"pair":"…","reset":true}                                            polite peer
 * ```
 *
 * - A first offer with another `pair` than the polite peer's connection replaces that connection.
 * - Anything else with a `pair` that the polite peer has no connection for, it answers with `reset`
 *   and that `pair`; if it is the offerer's present one, the offerer makes a new connection.
 * - The offerer ignores what belongs to an older `pair`. Both ignore fields they do not know.
 */
import type { Plan } from './adaptation';
import type { Clock } from './clock';
import { Connection, type LocalTracks } from './connection';
import type { NegotiationMessage } from './negotiation';
import { safetyCode, type SafetyCode } from './safety';
import type { LinkState } from './types';

/** The `data` of a `signal` between two pages. */
export type SignalData =
  | ({ readonly pair: string; readonly first?: true } & NegotiationMessage)
  | { readonly pair: string; readonly reset: true };

/** ICE failures in a row, with a restart after each, after which there seems to be no path. */
const FAILURES_UNTIL_NO_PATH = 2;

/** What makes media objects: the browser's, or a test's. */
export interface MediaFactory {
  readonly newPeerConnection: (configuration: RTCConfiguration) => RTCPeerConnection;
  readonly newStream: (tracks?: MediaStreamTrack[]) => MediaStream;
  /** A random name for a connection. */
  readonly newPair: () => string;
}

/** What a `Peer` is made of. */
export interface PeerOptions {
  readonly selfId: string;
  readonly id: string;
  readonly configuration: RTCConfiguration;
  readonly tracks: LocalTracks;
  readonly media: MediaFactory;
  readonly clock: Clock;
  readonly send: (data: SignalData) => void;
  /** `link` is another one. */
  readonly onLink: () => void;
  readonly onError: (error: unknown) => void;
}

/** One other person's media. */
export class Peer {
  /** The tracks of microphone and camera, one stream for the whole stay. */
  readonly stream: MediaStream;
  /** The tracks of the screen and its sound. */
  readonly screen: MediaStream;
  readonly #options: PeerOptions;
  readonly #offers: boolean;
  #configuration: RTCConfiguration;
  #tracks: LocalTracks;
  #connection: Connection | undefined;
  #link: LinkState = 'connecting';
  #wasConnected = false;
  #failures = 0;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#offers = options.selfId < options.id;
    this.#configuration = options.configuration;
    this.#tracks = options.tracks;
    this.stream = options.media.newStream();
    this.screen = options.media.newStream();
    if (this.#offers) this.#connect(options.media.newPair());
  }

  get link(): LinkState {
    return this.#link;
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
    const known = message.pair === this.#connection?.pair;
    if ('reset' in message) {
      if (known && this.#offers) this.#connect(this.#options.media.newPair());
      return;
    }
    if (!known) {
      if (this.#offers) return;
      if (!message.first) {
        this.#options.send({ pair: message.pair, reset: true });
        return;
      }
      this.#connect(message.pair);
    }
    this.#connection?.negotiation.handle(message);
  }

  setTracks(tracks: LocalTracks): void {
    this.#tracks = tracks;
    this.#connection?.setTracks(tracks);
  }

  /** Sends as much as the plan says, where there is a connection to send by. */
  async adapt(plan: Plan): Promise<void> {
    await this.#connection?.adapt(plan);
  }

  /** What the browser counts of the present connection. */
  async stats(): Promise<RTCStatsReport | undefined> {
    return this.#connection?.stats();
  }

  /** The code of the present connection; another one after it was made anew. */
  async safetyCode(): Promise<SafetyCode | undefined> {
    const { local, remote } = this.#connection?.descriptions ?? {};
    return safetyCode(local, remote);
  }

  /** Takes newer ICE servers, for this connection and later ones. */
  configure(configuration: RTCConfiguration): void {
    this.#configuration = configuration;
    this.#connection?.configure(configuration);
  }

  /** Signaling was away and is back, on this side or the other. */
  recheck(): void {
    this.#connection?.negotiation.recheck();
  }

  /** The network changed. */
  restart(): void {
    this.#connection?.negotiation.restart();
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  #connect(pair: string): void {
    this.close();
    const { media, clock, send, onError } = this.#options;
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
        onError,
      });
    } catch (error) {
      // The browser gives no connection: too many, or a bad configuration.
      this.#failures = FAILURES_UNTIL_NO_PATH;
      this.#setState('failed');
      onError(error);
    }
  }

  #setState(state: RTCPeerConnectionState): void {
    if (state === 'failed') this.#failures += 1;
    if (state === 'connected') {
      this.#failures = 0;
      this.#wasConnected = true;
    }
    const link = this.#linkIn(state);
    if (link === this.#link) return;
    this.#link = link;
    this.#options.onLink();
  }

  #linkIn(state: RTCPeerConnectionState): LinkState {
    if (state === 'connected') return 'connected';
    if (this.#failures >= FAILURES_UNTIL_NO_PATH) return 'failed';
    return this.#wasConnected ? 'interrupted' : 'connecting';
  }
}

/** The answer to a signal of someone for whom there is no `Peer`; see the rules above. */
export function refusal(data: unknown): SignalData | undefined {
  const message = parse(data);
  return message && !('reset' in message) ? { pair: message.pair, reset: true } : undefined;
}

/** What it is, where it is one of the shapes above; what the browser reads it checks itself. */
function parse(data: unknown): SignalData | undefined {
  if (!isObject(data) || typeof data.pair !== 'string') return undefined;
  const { pair, first, description, candidate, reset } = data;
  if (reset === true) return { pair, reset };
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
