/**
 * Perfect negotiation of one RTCPeerConnection (W3C WebRTC §10.7), and ICE restarts (§10.6).
 *
 * Incoming messages are handled one after another. This makes `isSettingRemoteAnswerPending` of the W3C example
 * unnecessary: no offer is handled while an answer is being applied.
 */
import type { Clock } from './clock';
import { opposite, type Setup, setupOf, withSetup } from './dtls';
import { fingerprintOf } from './fingerprint';
import { MAX_CANDIDATES, MAX_WAITING } from './signalLimits';

/** Time for which a path may be interrupted before ICE is restarted; most recover by themselves. */
const DISCONNECTED_MS = 3_000;

/** Messages exchanged by two negotiations. */
export interface NegotiationMessage {
  readonly description?: RTCSessionDescriptionInit;
  readonly candidate?: RTCIceCandidateInit;
}

/** Options of a `Negotiation`. */
export interface NegotiationOptions {
  readonly pc: RTCPeerConnection;
  /** The polite side yields when both make an offer at the same time. */
  readonly polite: boolean;
  readonly clock: Clock;
  readonly send: (message: NegotiationMessage) => void;
  /** Called between an offer and its answer, to set up transceivers that the offer created. */
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
  /** Number of queued messages. */
  #queued = 0;
  /** Number of candidates since the last remote description, or before the first one. */
  #candidates = 0;
  /** Candidates that arrived before the first remote description, which they need. */
  #early: RTCIceCandidateInit[] = [];
  /** The restart offer as first sent, because candidates gathered since may have to be held back. */
  #restartOffer: RTCSessionDescriptionInit | undefined;
  /** Local candidates of a restart that are held back: see `#candidate`. */
  #held: RTCIceCandidateInit[] = [];
  /** Taken from the received descriptions, because Chromium does not preserve it. */
  #otherIsFirefox = false;
  /** A candidate of the current remote description was applied. */
  #reached = false;
  #disconnected: number | undefined;
  /** The remote certificate's fingerprint, from the first description. */
  #fingerprint: string | undefined;
  /** The remote DTLS role, from the first answer on. */
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

  /** Handles a message from the other side. */
  handle(message: NegotiationMessage): void {
    // The other side sends faster than the browser can process; no call needs this many.
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

  /** Restarts ICE after a network change. */
  restart(): void {
    if (!this.#closed) this.#pc.restartIce();
  }

  /**
   * Recovers from messages lost while signaling was disconnected. An unanswered offer is sent again, a first one with
   * the candidates gathered since. Otherwise, the impolite side restarts ICE if there is no connection.
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

  /** Stops negotiating. The owner closes the connection itself. */
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
    // Rolls back the local offer, if there is one.
    await this.#pc.setRemoteDescription(isOffer ? description : this.#inRole(description));
    this.#fingerprint = fingerprint;
    this.#restartOffer = undefined;
    this.#candidates = 0;
    // Candidates of an offer that was rolled back are void.
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
   * Returns the description's fingerprint, and throws if the description must not be applied. Browsers send no
   * `pranswer`, no `rollback` and no second certificate; with these a server could redirect a connection to itself.
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
   * Returns the answer with the DTLS role that the other side already has. An ICE restart leaves DTLS unchanged.
   * Firefox, however, answers each offer as `active`, even if the first answer made it passive, and Chromium rejects
   * such an answer and every description after it.
   */
  #inRole(answer: RTCSessionDescriptionInit): RTCSessionDescriptionInit {
    this.#remoteSetup ??= setupOf(answer);
    return this.#remoteSetup ? withSetup(answer, this.#remoteSetup) : answer;
  }

  /**
   * Sends a candidate. A restart's candidates are sent to Firefox only after one of Firefox's own was applied.
   * Observed in Chromium: if a check arrives from an address that it has not been told of, it creates a candidate
   * pair that it never checks itself as long as a pair of its new address with an old remote one works. Firefox waits
   * for it to nominate a new pair and accepts no media on the old ones, while both report that they are connected.
   * Therefore Firefox must not be able to check first.
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
      // Candidates that arrive while a local offer is pending belong to the previous description.
      if (this.#pc.signalingState !== 'have-local-offer') {
        this.#reached = true;
        this.#release();
      }
    } catch (error) {
      // A candidate of an ignored offer cannot be applied.
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
    // Rejections by a closed connection are expected.
    if (!this.#closed) this.#options.onError(error);
  }
}

/** Returns whether Firefox made a description; it names itself in the first lines. */
function isFirefox(description: RTCSessionDescriptionInit | null): boolean {
  return description?.sdp?.includes('o=mozilla') === true;
}

function hasCandidates({ sdp }: RTCSessionDescriptionInit): boolean {
  return sdp?.includes('a=candidate:') === true;
}
