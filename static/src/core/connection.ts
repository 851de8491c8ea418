/**
 * One RTCPeerConnection to a peer with the fixed layout of four transceivers. All are `sendrecv` from
 * the start, so that mute, switch and share are `replaceTrack` and never a renegotiation.
 */
import { audioParameters, type Plan, videoParameters } from './adaptation';
import type { Clock } from './clock';
import { fingerprintsOf } from './fingerprint';
import { Negotiation, type NegotiationMessage } from './negotiation';

/** What one sends; `null` is silence or no picture. */
export interface LocalTracks {
  readonly mic: MediaStreamTrack | null;
  readonly camera: MediaStreamTrack | null;
  readonly screen: MediaStreamTrack | null;
  readonly screenSound: MediaStreamTrack | null;
}

/** The m-lines in their order. */
const LAYOUT = [
  { source: 'mic', kind: 'audio' },
  { source: 'camera', kind: 'video' },
  { source: 'screen', kind: 'video' },
  { source: 'screenSound', kind: 'audio' },
] as const satisfies readonly { source: keyof LocalTracks; kind: string }[];

/**
 * For chat and files (`chat/`). Both sides make it with the first offer, so that it is in the layout:
 * one `m=application` after the lines above, and no negotiation of its own (RFC 8832 §1, W3C WebRTC §6.1).
 */
const CHANNEL = { label: 'chat', options: { negotiated: true, id: 0, ordered: true } } as const;

/** What a `Connection` is made of. */
export interface ConnectionOptions {
  readonly pc: RTCPeerConnection;
  /** The epoch of this connection: see `peer.ts`. */
  readonly pair: string;
  /** Makes the transceivers and the first offer; the other side is polite and takes them from it. */
  readonly offers: boolean;
  readonly tracks: LocalTracks;
  /** Where the receivers' tracks go. */
  readonly streams: { readonly person: MediaStream; readonly screen: MediaStream };
  readonly clock: Clock;
  readonly send: (message: NegotiationMessage & { readonly first?: true }) => void;
  readonly onState: (state: RTCPeerConnectionState) => void;
  /** The streams have the tracks of this connection. */
  readonly onReceivers: () => void;
  /** `fingerprints` has changed. */
  readonly onFingerprints: () => void;
  /** The data channel was made; it opens with the connection and ends with it. */
  readonly onChannel: (channel: RTCDataChannel) => void;
  readonly onError: (error: unknown) => void;
}

/** One epoch of the media between two people. */
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
    // The one channel is negotiated: whatever the other side opens besides would stay for as long as the connection.
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
      this.#adopt(LAYOUT.map(({ kind }) => pc.addTransceiver(kind, { direction: 'sendrecv' })));
      this.#openChannel();
      void this.#fill();
    }
  }

  /** Sends other tracks from now on. */
  setTracks(tracks: LocalTracks): void {
    this.#tracks = tracks;
    void this.#fill();
  }

  /** Takes newer TURN credentials; they are used from the next ICE restart on. */
  configure(configuration: RTCConfiguration): void {
    this.#pc.setConfiguration(configuration);
  }

  /** Sends as much as the plan says. Said twice, it changes nothing. */
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

  /** What the browser counts. */
  stats(): Promise<RTCStatsReport> {
    return this.#pc.getStats();
  }

  /** See `fingerprintsOf`; `undefined` while DTLS connects, at first or again. */
  get fingerprints(): string | undefined {
    return this.#fingerprints;
  }

  /** How loud the voice is that arrives, from 0 to 1; what does not arrive any more is silent. */
  get level(): number {
    const [source] = this.#transceivers[0]?.receiver.getSynchronizationSources() ?? [];
    if (!source || source.timestamp === this.#levelTime) return 0;
    this.#levelTime = source.timestamp;
    return source.audioLevel ?? 0;
  }

  close(): void {
    this.#closed = true;
    this.negotiation.close();
    this.#pc.onconnectionstatechange = null;
    this.#pc.ondatachannel = null;
    // Closing ends them, too late for a page that goes: browsers keep none with a track that lives.
    for (const { receiver } of this.#transceivers) receiver.track.stop();
    this.#pc.close();
  }

  /** Reads the certificate that DTLS has verified, not the description, which the server can change (RFC 8827 §6.5). */
  async #readCertificate(): Promise<void> {
    const reading = (this.#readings += 1);
    const transport = this.#transceivers[0]?.sender.transport;
    if (!transport) return;
    // The states of the connection and of its transport do not change in the same task.
    transport.onstatechange = () => void this.#readCertificate();
    // Chromium may reset `state` to an older one, without an event, when a description is applied meanwhile.
    const isConnected = transport.state === 'connected' || this.#pc.connectionState === 'connected';
    // Not every browser tells.
    const [certificate] =
      isConnected && 'getRemoteCertificates' in transport ? transport.getRemoteCertificates() : [];
    const found = certificate && (await fingerprintsOf(this.#pc.localDescription?.sdp, certificate));
    if (this.#closed || reading !== this.#readings || found === this.#fingerprints) return;
    this.#fingerprints = found;
    this.#options.onFingerprints();
  }

  #send(message: NegotiationMessage): void {
    // An offer stays the first one until an answer stands, however often it is sent.
    const first = this.#options.offers && message.description && !this.#pc.currentRemoteDescription;
    this.#options.send(first ? { ...message, first: true } : message);
  }

  async #beforeAnswer(): Promise<void> {
    if (this.#transceivers.length > 0) return;
    const transceivers = this.#pc.getTransceivers().slice(0, LAYOUT.length);
    for (const transceiver of transceivers) transceiver.direction = 'sendrecv';
    this.#adopt(transceivers);
    // Not before there is an offer to answer, or this side would feel the need for one, too.
    this.#openChannel();
    await this.#fill();
  }

  #openChannel(): void {
    this.#options.onChannel(this.#pc.createDataChannel(CHANNEL.label, CHANNEL.options));
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
  // The shorter side: a phone is held upright.
  const lines = Math.min(width, height);
  const parameters = sender && change(sender.getParameters(), Number.isFinite(lines) ? lines : undefined);
  if (parameters) await sender.setParameters(parameters);
}

/** The stream stays the same object, so that whoever plays it need not be told. */
function replaceTracks(stream: MediaStream, tracks: readonly MediaStreamTrack[]): void {
  for (const old of stream.getTracks()) stream.removeTrack(old);
  for (const track of tracks) stream.addTrack(track);
}
