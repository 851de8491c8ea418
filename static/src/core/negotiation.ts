/**
 * Perfect negotiation of one RTCPeerConnection (W3C WebRTC §10.7), and ICE restarts (§10.6).
 *
 * Incoming messages are handled one after the other, which makes the W3C example's
 * `isSettingRemoteAnswerPending` needless: no offer is looked at while an answer is being set.
 */
import type { Clock } from './clock';
import { opposite, type Setup, setupOf, withSetup } from './dtls';
import { fingerprintOf } from './fingerprint';
import { MAX_CANDIDATES, MAX_WAITING } from './signalLimits';

/** How long a path may be interrupted before a new one is looked for; most come back by themselves. */
const DISCONNECTED_MS = 3_000;

/** What two negotiations say to each other. */
export interface NegotiationMessage {
  readonly description?: RTCSessionDescriptionInit;
  readonly candidate?: RTCIceCandidateInit;
}

/** What a `Negotiation` is made of. */
export interface NegotiationOptions {
  readonly pc: RTCPeerConnection;
  /** Yields when both offer at once. */
  readonly polite: boolean;
  readonly clock: Clock;
  readonly send: (message: NegotiationMessage) => void;
  /** Between an offer and its answer: the place to fill transceivers that the offer made. */
  readonly beforeAnswer: () => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Keeps one connection negotiated, until `close`. */
export class Negotiation {
  readonly #options: NegotiationOptions;
  readonly #pc: RTCPeerConnection;
  #makingOffer = false;
  #ignoreOffer = false;
  #closed = false;
  #queue: Promise<void> = Promise.resolve();
  /** Messages in the queue. */
  #queued = 0;
  /** Candidates that came since the other side's last description, or before its first one. */
  #candidates = 0;
  /** Came before any remote description, which a candidate needs. */
  #early: RTCIceCandidateInit[] = [];
  /** The restart that is offered, as it was first sent: what it gathers may have to wait. */
  #restartOffer: RTCSessionDescriptionInit | undefined;
  /** One's own candidates of a restart, as long as they wait: see `#candidate`. */
  #held: RTCIceCandidateInit[] = [];
  /** As its descriptions said when they came: Chromium does not keep that. */
  #otherIsFirefox = false;
  /** A candidate of the other side's present description was taken. */
  #reached = false;
  #disconnected: number | undefined;
  /** The other side's certificate, by its first description. */
  #fingerprint: string | undefined;
  /** The other side's role in DTLS, from the first answer on. */
  #remoteSetup: Setup | undefined;

  constructor(options: NegotiationOptions) {
    this.#options = options;
    this.#pc = options.pc;
    this.#pc.onnegotiationneeded = () => void this.#offer();
    this.#pc.onicecandidate = ({ candidate }) => {
      if (candidate) this.#candidate(candidate);
    };
    this.#pc.oniceconnectionstatechange = () => {
      this.#watchPath();
    };
  }

  /** Takes a message of the other side. */
  handle(message: NegotiationMessage): void {
    // The other side sends faster than the browser works: more than this is no call.
    if (this.#queued === MAX_WAITING) return;
    this.#queued += 1;
    this.#queue = this.#queue.then(async () => {
      this.#queued -= 1;
      if (this.#closed) return;
      try {
        if (message.description) await this.#describe(message.description);
        else if (message.candidate) await this.#addCandidate(message.candidate);
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /** Looks for a new path, because the network changed. */
  restart(): void {
    if (!this.#closed) this.#pc.restartIce();
  }

  /**
   * Repairs what may have been lost while signaling was away. An offer without an answer is sent
   * again, a first one with the candidates gathered since; the side that is not polite also looks for a
   * new path where there is none.
   */
  recheck(): void {
    if (this.#closed) return;
    const { signalingState, localDescription, connectionState } = this.#pc;
    if (signalingState === 'have-local-offer' && localDescription) {
      this.#send({ description: this.#restartOffer ?? localDescription });
    } else if (connectionState !== 'connected' && !this.#options.polite) {
      this.restart();
    }
  }

  /** Ends; the connection itself is the owner's to close. */
  close(): void {
    this.#closed = true;
    this.#options.clock.clearTimeout(this.#disconnected);
    this.#pc.onnegotiationneeded = null;
    this.#pc.onicecandidate = null;
    this.#pc.oniceconnectionstatechange = null;
  }

  async #offer(): Promise<void> {
    try {
      this.#makingOffer = true;
      await this.#pc.setLocalDescription();
      const { signalingState, localDescription } = this.#pc;
      if (signalingState === 'have-local-offer' && localDescription && this.#mayNotCheckFirst) {
        this.#restartOffer = { type: localDescription.type, sdp: localDescription.sdp };
        this.#reached = false;
      }
      this.#sendLocalDescription();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  async #describe(description: RTCSessionDescriptionInit): Promise<void> {
    const fingerprint = this.#checked(description);
    const isOffer = description.type === 'offer';
    const collision = isOffer && (this.#makingOffer || this.#pc.signalingState !== 'stable');
    this.#ignoreOffer = !this.#options.polite && collision;
    if (this.#ignoreOffer) return;
    // The second answer to an offer that was sent twice, see `recheck`.
    if (description.type === 'answer' && this.#pc.signalingState === 'stable') return;

    this.#otherIsFirefox = isFirefox(description);
    // Rolls one's own offer back where there is one.
    await this.#pc.setRemoteDescription(isOffer ? description : this.#inRole(description));
    this.#fingerprint = fingerprint;
    this.#restartOffer = undefined;
    this.#candidates = 0;
    // Those of an offer that was rolled back belong to nothing.
    if (isOffer) this.#held = [];
    this.#reached = hasCandidates(description);
    if (this.#reached) this.#release();
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    if (isOffer) {
      await this.#options.beforeAnswer();
      await this.#pc.setLocalDescription();
      const own = setupOf(this.#pc.localDescription ?? { type: 'answer' });
      this.#remoteSetup ??= own && opposite(own);
      this.#sendLocalDescription();
    }
  }

  /**
   * Returns the description's fingerprint, and throws if the description must not be applied. Neither of two browsers
   * sends a `pranswer`, a `rollback` or another certificate, by which a server could move a connection to itself.
   */
  #checked({ type, sdp }: RTCSessionDescriptionInit): string {
    if (type !== 'offer' && type !== 'answer')
      throw new Error(`The peer sent a description of type ${type}.`);
    const fingerprint = fingerprintOf(sdp);
    if (fingerprint === undefined) throw new Error('A description must have exactly one fingerprint.');
    if (fingerprint !== (this.#fingerprint ?? fingerprint)) {
      throw new Error("The fingerprint of a connection's descriptions must not change.");
    }
    return fingerprint;
  }

  /**
   * The answer, in the role that the other side has in DTLS. A restart of ICE leaves DTLS as it is; yet
   * Firefox answers each offer as `active`, also where the first answer made it passive, and Chromium
   * refuses such an answer, and every description after it.
   */
  #inRole(answer: RTCSessionDescriptionInit): RTCSessionDescriptionInit {
    this.#remoteSetup ??= setupOf(answer);
    return this.#remoteSetup ? withSetup(answer, this.#remoteSetup) : answer;
  }

  /**
   * Sends a candidate; to Firefox one of a restart only when one of Firefox's own was taken. Seen of
   * Chromium: a check from an address that it was not told yet makes a pair that it never tries itself where
   * a pair of its new address with an old one of the other side works already. Firefox waits for it to
   * nominate a new pair, and takes no media by the old ones; both say that they are connected. So Firefox
   * must not be able to check first.
   */
  #candidate(candidate: RTCIceCandidateInit): void {
    if (this.#mayNotCheckFirst && !this.#reached) this.#held.push(candidate);
    else this.#send({ candidate });
  }

  get #mayNotCheckFirst(): boolean {
    return this.#otherIsFirefox && !isFirefox(this.#pc.localDescription);
  }

  #release(): void {
    for (const candidate of this.#held.splice(0)) this.#send({ candidate });
  }

  async #addCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    this.#candidates += 1;
    if (this.#candidates > MAX_CANDIDATES) return;
    if (!this.#pc.remoteDescription) {
      this.#early.push(candidate);
      return;
    }
    try {
      await this.#pc.addIceCandidate(candidate);
      // Those that come while one's own offer stands are of the description before it.
      if (this.#pc.signalingState !== 'have-local-offer') {
        this.#reached = true;
        this.#release();
      }
    } catch (error) {
      // A candidate of an offer that was ignored has nowhere to go.
      if (!this.#ignoreOffer) throw error;
    }
  }

  #watchPath(): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#disconnected);
    const state = this.#pc.iceConnectionState;
    if (state === 'failed') this.restart();
    if (state === 'disconnected') {
      this.#disconnected = clock.setTimeout(() => {
        this.restart();
      }, DISCONNECTED_MS);
    }
  }

  #sendLocalDescription(): void {
    const { localDescription } = this.#pc;
    if (localDescription) this.#send({ description: localDescription });
  }

  #send(message: NegotiationMessage): void {
    if (!this.#closed) this.#options.send(message);
  }

  #fail(error: unknown): void {
    // What a closed connection rejects is no defect.
    if (!this.#closed) this.#options.onError(error);
  }
}

/** Firefox names itself in the first lines of its descriptions. */
function isFirefox(description: RTCSessionDescriptionInit | null): boolean {
  return description?.sdp?.includes('o=mozilla') === true;
}

function hasCandidates({ sdp }: RTCSessionDescriptionInit): boolean {
  return sdp?.includes('a=candidate:') === true;
}
