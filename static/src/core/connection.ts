/**
 * One RTCPeerConnection to a peer with a fixed layout of four transceivers. All are `sendrecv` from the start, so
 * that mute, device change and screen share are `replaceTrack` and never a renegotiation.
 */
import { audioParameters, type Plan, videoParameters } from './adaptation';
import type { Clock } from './clock';
import { fingerprintsOf } from './fingerprint';
import { Negotiation, type NegotiationMessage } from './negotiation';

/** The tracks that are sent; `null` is silence or no picture. */
export interface LocalTracks {
  readonly mic: MediaStreamTrack | null;
  readonly camera: MediaStreamTrack | null;
  readonly screen: MediaStreamTrack | null;
  readonly screenSound: MediaStreamTrack | null;
}

/** The m-lines in order. */
const LAYOUT = [
  { source: 'mic', kind: 'audio' },
  { source: 'camera', kind: 'video' },
  { source: 'screen', kind: 'video' },
  { source: 'screenSound', kind: 'audio' },
] as const satisfies readonly { source: keyof LocalTracks; kind: string }[];

/**
 * The data channel for chat and files (`chat/`). Both sides create it with the first offer, so that it is part of the
 * layout: one `m=application` after the lines above, and no negotiation of its own (RFC 8832 §1, W3C WebRTC §6.1).
 */
const CHANNEL = { label: 'chat', options: { negotiated: true, id: 0, ordered: true } } as const;

/** How long a connection may be up before its certificate can be read. */
const UNREAD_MS = 5_000;

/** What a `Connection` is made of. */
export interface ConnectionOptions {
  readonly pc: RTCPeerConnection;
  /** Id of this connection, see `peer.ts`. */
  readonly pair: string;
  /**
   * Creates the transceivers and the first offer. The other side is polite and adopts the transceivers from the
   * offer.
   */
  readonly offers: boolean;
  readonly tracks: LocalTracks;
  /** Streams that the receivers' tracks are added to. */
  readonly streams: { readonly person: MediaStream; readonly screen: MediaStream };
  readonly clock: Clock;
  readonly send: (message: NegotiationMessage & { readonly first?: true }) => void;
  readonly onState: (state: RTCPeerConnectionState) => void;
  /** Called when the streams contain the tracks of this connection. */
  readonly onReceivers: () => void;
  /** Called when `fingerprints` has changed. */
  readonly onFingerprints: () => void;
  /** Called when the data channel was created. It opens and closes with the connection. */
  readonly onChannel: (channel: RTCDataChannel) => void;
  readonly onError: (error: unknown) => void;
}

/** One connection of the media between two people. */
export class Connection {
  readonly pair: string;
  readonly negotiation: Negotiation;
  readonly #options: ConnectionOptions;
  readonly #pc: RTCPeerConnection;
  #tracks: LocalTracks;
  #transceivers: readonly RTCRtpTransceiver[] = [];
  #closed = false;
  #fingerprints: string | undefined;
  /** Number of times that the certificate was read. */
  #readings = 0;
  /** Runs while the connection is up and has no certificate. */
  #unread: number | undefined;
  /** When the packet came whose level was read last. */
  #levelTime = 0;

  constructor(options: ConnectionOptions) {
    const { pc, pair, offers, tracks, clock, onState, onError } = options;
    this.pair = pair;
    this.#options = options;
    this.#pc = pc;
    this.#tracks = tracks;
    pc.onconnectionstatechange = () => {
      onState(pc.connectionState);
      void this.#readCertificate();
    };
    // The only channel is negotiated. A channel that the other side opens in addition would last as long as the
    // connection.
    pc.ondatachannel = ({ channel }) => {
      channel.close();
    };
    this.negotiation = new Negotiation({
      pc,
      clock,
      onError,
      polite: !offers,
      send: (message) => {
        this.#send(message);
      },
      beforeAnswer: () => this.#beforeAnswer(),
    });
    if (offers) {
      this.#openLines(LAYOUT.map(({ kind }) => pc.addTransceiver(kind, { direction: 'sendrecv' })));
      void this.#fill();
    }
  }

  /** Replaces the tracks that are sent. */
  setTracks(tracks: LocalTracks): void {
    this.#tracks = tracks;
    void this.#fill();
  }

  /** Takes new TURN credentials, used from the next ICE restart on. */
  configure(configuration: RTCConfiguration): void {
    this.#pc.setConfiguration(configuration);
  }

  /** Applies the plan to the senders. Idempotent. */
  async adapt(plan: Plan): Promise<void> {
    const [mic, camera, screen, screenSound] = this.#transceivers.map(({ sender }) => sender);
    try {
      await Promise.all([
        apply(mic, (present) => audioParameters(present, plan.voiceKbps)),
        apply(camera, (present, height) => videoParameters(present, plan.camera, height)),
        apply(screen, (present, height) => videoParameters(present, plan.screen, height)),
        apply(screenSound, (present) => audioParameters(present, plan.screenSoundKbps)),
      ]);
    } catch (error) {
      if (!this.#closed) this.#options.onError(error);
    }
  }

  /** Returns the browser's statistics. */
  stats(): Promise<RTCStatsReport> {
    return this.#pc.getStats();
  }

  /** See `fingerprintsOf`; `undefined` while DTLS connects, at first or again, and empty if there is no certificate then. */
  get fingerprints(): string | undefined {
    return this.#fingerprints;
  }

  /** Level of the received voice, from 0 to 1; 0 when no packets arrive any more. */
  get level(): number {
    const [source] = this.#transceivers[0]?.receiver.getSynchronizationSources() ?? [];
    if (!source || source.timestamp === this.#levelTime) return 0;
    this.#levelTime = source.timestamp;
    return source.audioLevel ?? 0;
  }

  close(): void {
    this.#closed = true;
    this.negotiation.close();
    this.#options.clock.clearTimeout(this.#unread);
    this.#pc.onconnectionstatechange = null;
    this.#pc.ondatachannel = null;
    // Closing ends them, too late for a page that goes: browsers keep none with a track that lives.
    for (const { receiver } of this.#transceivers) receiver.track.stop();
    this.#pc.close();
  }

  /**
   * Reads the certificate that DTLS has verified, not the description, which the server can change (RFC 8827 §6.5).
   *
   * @param late there has been none for too long
   */
  async #readCertificate(late = false): Promise<void> {
    const reading = (this.#readings += 1);
    const pc = this.#pc;
    const { clock, onFingerprints } = this.#options;
    const lines = pc.getTransceivers().flatMap(({ sender, receiver }) => [sender, receiver]);
    const all = new Set([...lines, pc.sctp].map((line) => line?.transport));
    const transports = [...all].filter((transport) => transport != null);
    // The states of the connection and of its transport do not change in the same task.
    for (const transport of transports) transport.onstatechange = () => void this.#readCertificate();
    // The other end has closed DTLS, and the connection does not say so yet: nothing goes there any more.
    const isEnded =
      transports.length > 0 && transports.every(({ state }) => state === 'closed' || state === 'failed');
    // Chromium may reset `state` to an older one, without an event, when a description is applied meanwhile.
    const isUp =
      (pc.connectionState === 'connected' && !isEnded) ||
      transports.some(({ state }) => state === 'connected');
    // Not every browser tells.
    const certificates = transports.flatMap((each) =>
      isUp && 'getRemoteCertificates' in each ? each.getRemoteCertificates().slice(0, 1) : [],
    );
    const isKnown = certificates.length > 0 && certificates.length === transports.length;
    const found =
      isKnown &&
      new Set(await Promise.all(certificates.map((each) => fingerprintsOf(pc.localDescription?.sdp, each))));
    if (this.#closed || reading !== this.#readings) return;
    let fingerprints = found && found.size === 1 ? [...found][0] : undefined;
    if (late || fingerprints !== undefined) {
      clock.clearTimeout(this.#unread);
      this.#unread = undefined;
    }
    if (isUp && fingerprints === undefined) {
      if (late || this.#fingerprints === '') fingerprints = '';
      else this.#unread ??= clock.setTimeout(() => void this.#readCertificate(true), UNREAD_MS);
    }
    if (fingerprints === this.#fingerprints) return;
    this.#fingerprints = fingerprints;
    onFingerprints();
  }

  #send(message: NegotiationMessage): void {
    // An offer counts as the first one until an answer is applied, however often it is sent.
    const first = this.#options.offers && message.description && !this.#pc.currentRemoteDescription;
    this.#options.send(first ? { ...message, first: true } : message);
  }

  /** Closes the connection if the offer has made anything but the layout: its certificate might not be what is shown. */
  async #beforeAnswer(): Promise<void> {
    if (this.#closed) return;
    try {
      const transceivers = this.#pc.getTransceivers();
      const kinds = (lines: readonly { kind: string }[]): string => lines.map(({ kind }) => kind).join();
      if (kinds(transceivers.map(({ receiver }) => receiver.track)) !== kinds(LAYOUT)) {
        throw new Error('An offer has made other lines than those of a call.');
      }
      if (this.#transceivers.length > 0) return;
      for (const transceiver of transceivers) transceiver.direction = 'sendrecv';
      // Not before there is an offer to answer, or this side would feel the need for one, too.
      this.#openLines(transceivers);
    } catch (error) {
      this.close();
      this.#options.onState('failed');
      this.#options.onError(error);
      throw error;
    }
    await this.#fill();
  }

  /** Opens the channel first: nothing is sent by a connection that cannot have it. */
  #openLines(transceivers: readonly RTCRtpTransceiver[]): void {
    const channel = this.#pc.createDataChannel(CHANNEL.label, CHANNEL.options);
    channel.addEventListener('open', () => void this.#readCertificate());
    this.#options.onChannel(channel);
    this.#adopt(transceivers);
    void this.#readCertificate();
  }

  #adopt(transceivers: readonly RTCRtpTransceiver[]): void {
    this.#transceivers = transceivers;
    const { person, screen } = this.#options.streams;
    const received = transceivers.map(({ receiver }) => receiver.track);
    replaceTracks(person, received.slice(0, 2));
    replaceTracks(screen, received.slice(2));
    this.#options.onReceivers();
  }

  async #fill(): Promise<void> {
    const tracks = this.#tracks;
    try {
      await Promise.all(
        this.#transceivers.map(async ({ sender }, line) => {
          const source = LAYOUT[line]?.source;
          if (source) await sender.replaceTrack(tracks[source]);
        }),
      );
    } catch (error) {
      if (!this.#closed) this.#options.onError(error);
    }
  }
}

/** `setParameters` takes only what `getParameters` gave in the same task (W3C WebRTC §5.2). */
async function apply(
  sender: RTCRtpSender | undefined,
  change: (present: RTCRtpSendParameters, height: number | undefined) => RTCRtpSendParameters | undefined,
): Promise<void> {
  const { width = Infinity, height = Infinity } = sender?.track?.getSettings() ?? {};
  // The shorter side: a phone may be held upright.
  const lines = Math.min(width, height);
  const parameters = sender && change(sender.getParameters(), Number.isFinite(lines) ? lines : undefined);
  if (parameters) await sender.setParameters(parameters);
}

/** Replaces the tracks of a stream. The stream stays the same object, so its players need no update. */
function replaceTracks(stream: MediaStream, tracks: readonly MediaStreamTrack[]): void {
  for (const old of stream.getTracks()) stream.removeTrack(old);
  for (const track of tracks) stream.addTrack(track);
}
