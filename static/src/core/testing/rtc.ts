/**
 * Peer connections without media: the signaling state machine of W3C WebRTC §4.4, including implicit rollback, and a
 * network that connects two of them if their descriptions match.
 */
import { createHash } from 'node:crypto';
import { opposite, type Setup, setupOf } from '../dtls';
import type { MediaFactory } from '../peer';
import { FakeDataChannel } from './channel';

interface Sdp {
  /** Represents the ICE credentials. */
  readonly ufrag: string;
  /** Those of the m-lines. */
  readonly kinds: string[];
}

/** The part of a track that the core uses. */
export class FakeTrack {
  enabled = true;
  /** The source delivers no data. */
  muted = false;
  onended: (() => void) | null = null;
  onmute: (() => void) | null = null;
  onunmute: (() => void) | null = null;
  stopped = false;
  readonly kind: string;
  readonly deviceId: string | undefined;
  readonly facingMode: string | undefined;

  constructor(kind: string, deviceId?: string, facingMode?: string) {
    this.kind = kind;
    this.deviceId = deviceId;
    this.facingMode = facingMode;
  }

  get readyState(): 'live' | 'ended' {
    return this.stopped ? 'ended' : 'live';
  }

  getSettings(): MediaTrackSettings {
    return {
      ...(this.kind === 'video' && { height: 720 }),
      ...(this.deviceId !== undefined && { deviceId: this.deviceId }),
      ...(this.facingMode !== undefined && { facingMode: this.facingMode }),
    };
  }

  /** Ends the track like an unplugged device. */
  unplug(): void {
    this.stopped = true;
    this.onended?.();
  }

  stop(): void {
    this.stopped = true;
  }
}

/** The part of a stream that the core uses. */
export class FakeStream {
  readonly tracks: FakeTrack[];

  constructor(tracks: FakeTrack[] = []) {
    this.tracks = [...tracks];
  }

  getTracks(): FakeTrack[] {
    return [...this.tracks];
  }

  getVideoTracks(): FakeTrack[] {
    return this.tracks.filter(({ kind }) => kind === 'video');
  }

  getAudioTracks(): FakeTrack[] {
    return this.tracks.filter(({ kind }) => kind === 'audio');
  }

  addTrack(track: FakeTrack): void {
    this.tracks.push(track);
  }

  removeTrack(track: FakeTrack): void {
    this.tracks.splice(this.tracks.indexOf(track), 1);
  }
}

class FakeTransceiver {
  direction = 'recvonly';
  /** Level of the received sound. */
  level = 0;
  readonly receiver: {
    track: FakeTrack;
    transport: FakeTransport | null;
    getSynchronizationSources: () => object[];
  };
  #packets = 0;
  readonly sender = {
    track: null as FakeTrack | null,
    transport: null as FakeTransport | null,
    replaceTrack: (track: FakeTrack | null): Promise<void> => {
      this.sender.track = track;
      return Promise.resolve();
    },
    encodings: [{}] as RTCRtpEncodingParameters[],
    getParameters: () => ({ encodings: this.sender.encodings.map((encoding) => ({ ...encoding })) }),
    setParameters: ({ encodings }: { encodings: RTCRtpEncodingParameters[] }): Promise<void> => {
      this.sender.encodings = encodings;
      this.sender.changes += 1;
      return Promise.resolve();
    },
    /** Number of times that parameters were set. */
    changes: 0,
  };

  constructor(kind: string) {
    this.receiver = {
      track: new FakeTrack(kind),
      transport: null,
      getSynchronizationSources: () => [{ timestamp: ++this.#packets, audioLevel: this.level }],
    };
  }
}

/** A certificate: some bytes, and the fingerprint in descriptions. */
export class FakeCertificate {
  readonly der: Uint8Array<ArrayBuffer>;
  readonly fingerprint: string;

  constructor(name: string) {
    this.der = new TextEncoder().encode(name);
    const hex = createHash('sha256').update(this.der).digest('hex').toUpperCase();
    this.fingerprint = `sha-256 ${hex.match(/../g)?.join(':') ?? ''}`;
  }
}

/** The DTLS transport of a connection. */
export class FakeTransport {
  state: RTCDtlsTransportState = 'new';
  onstatechange: (() => void) | null = null;
  /** Certificate of the remote end, verified by the handshake, whatever descriptions say. */
  remote: FakeCertificate | undefined;

  getRemoteCertificates(): ArrayBuffer[] {
    return this.remote ? [this.remote.der.buffer] : [];
  }

  /**
   * Connects DTLS to the holder of a certificate, or sets it to connecting (`undefined`). For the network and tests.
   */
  enter(remote: FakeCertificate | undefined): void {
    if (this.remote === remote) return;
    this.remote = remote;
    this.state = remote ? 'connected' : 'connecting';
    this.onstatechange?.();
  }
}

/** One end of a connection. */
export class FakePeerConnection {
  onnegotiationneeded: (() => void) | null = null;
  onicecandidate: ((event: { candidate: RTCIceCandidateInit | null }) => void) | null = null;
  oniceconnectionstatechange: (() => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  ondatachannel: ((event: { channel: FakeDataChannel }) => void) | null = null;
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  iceConnectionState: RTCIceConnectionState = 'new';
  currentLocalDescription: RTCSessionDescriptionInit | null = null;
  currentRemoteDescription: RTCSessionDescriptionInit | null = null;
  pendingLocalDescription: RTCSessionDescriptionInit | null = null;
  pendingRemoteDescription: RTCSessionDescriptionInit | null = null;
  readonly transceivers: FakeTransceiver[] = [];
  readonly channels: FakeDataChannel[] = [];
  readonly candidates: RTCIceCandidateInit[] = [];
  readonly certificate: FakeCertificate;
  readonly transport = new FakeTransport();
  /** The transport of data channels, which may be another one than that of media. */
  sctp: { transport: FakeTransport } | null = null;
  configuration: RTCConfiguration;
  /** Result of `getStats`. */
  stats: ReadonlyMap<string, object> = new Map();
  /** Number of offers created here. */
  offers = 0;
  restarts = 0;
  /** Emulates Firefox: names it in descriptions, and answers as `active` whatever its DTLS role is. */
  firefox = false;
  /** The connection at the other end, set by the network. */
  partner: FakePeerConnection | undefined;
  /** Number of m-lines that both sides know. */
  #negotiated = 0;
  #restart = false;
  /** The local DTLS role, which does not change. */
  #setup: Setup | undefined;
  /** `negotiationneeded` was fired and not handled yet. */
  #needed = false;
  /** Descriptions are set one after another, in call order. */
  #chain: Promise<unknown> = Promise.resolve();
  readonly #network: FakeNetwork;

  constructor(network: FakeNetwork, configuration: RTCConfiguration) {
    this.#network = network;
    this.configuration = configuration;
    const [certificate] = (configuration.certificates ?? []) as unknown[] as FakeCertificate[];
    this.certificate = certificate ?? new FakeCertificate(`certificate ${network.connections.length}`);
  }

  get localDescription(): RTCSessionDescriptionInit | null {
    return this.pendingLocalDescription ?? this.currentLocalDescription;
  }

  get remoteDescription(): RTCSessionDescriptionInit | null {
    return this.pendingRemoteDescription ?? this.currentRemoteDescription;
  }

  addTransceiver(kind: string, { direction }: { direction: string }): FakeTransceiver {
    const transceiver = this.#newTransceiver(kind);
    transceiver.direction = direction;
    this.#checkNegotiation();
    return transceiver;
  }

  getTransceivers(): FakeTransceiver[] {
    return [...this.transceivers];
  }

  createDataChannel(_label: string, options: RTCDataChannelInit): FakeDataChannel {
    const channel = new FakeDataChannel(options);
    this.channels.push(channel);
    this.sctp ??= { transport: this.transport };
    this.#checkNegotiation();
    return channel;
  }

  setConfiguration(configuration: RTCConfiguration): void {
    this.configuration = configuration;
  }

  getStats(): Promise<ReadonlyMap<string, object>> {
    return Promise.resolve(this.stats);
  }

  restartIce(): void {
    this.restarts += 1;
    // Without credentials there is nothing to replace.
    if (!this.localDescription) return;
    this.#restart = true;
    this.#checkNegotiation();
  }

  setLocalDescription(): Promise<void> {
    return this.#chained(() => {
      this.#setLocal();
    });
  }

  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    return this.#chained(() => {
      this.#setRemote(description);
    });
  }

  addIceCandidate(candidate: RTCIceCandidateInit): Promise<void> {
    return this.#chained(() => {
      const remote = this.remoteDescription;
      if (!remote) throw new Error('InvalidStateError: no remote description');
      if (candidate.usernameFragment !== read(remote).ufrag) {
        throw new Error('OperationError: another generation');
      }
      this.candidates.push(candidate);
    });
  }

  close(): void {
    this.signalingState = 'closed';
    for (const channel of this.channels) channel.close();
    this.#network.update();
  }

  /** Called by the network only. */
  enter(state: 'connected' | 'disconnected' | 'failed'): void {
    if (this.connectionState === state || this.signalingState === 'closed') return;
    this.connectionState = state;
    this.iceConnectionState = state;
    this.oniceconnectionstatechange?.();
    this.onconnectionstatechange?.();
  }

  #chained(operation: () => void): Promise<void> {
    const done = this.#chain.then(() => {
      if (this.signalingState === 'closed') throw new Error('InvalidStateError: closed');
      operation();
    });
    this.#chain = done.catch(() => undefined);
    return done;
  }

  #setLocal(): void {
    if (this.signalingState === 'have-remote-offer') {
      // The answer keeps its credentials unless the offer has new ones.
      const isRestart = this.currentRemoteDescription?.sdp !== this.pendingRemoteDescription?.sdp;
      this.currentLocalDescription = this.#describe('answer', isRestart);
      this.#setup ??= setupOf(this.currentLocalDescription);
      if (isRestart) this.#restart = false;
      this.currentRemoteDescription = this.pendingRemoteDescription;
      this.#becomeStable();
    } else {
      this.offers += 1;
      this.pendingLocalDescription = this.#describe('offer', this.#restart);
      this.signalingState = 'have-local-offer';
    }
    const candidate = { candidate: 'candidate:1', usernameFragment: this.#ufrag() };
    if (this.#network.silent) return;
    setImmediate(() => {
      this.onicecandidate?.({ candidate });
      this.onicecandidate?.({ candidate: null });
    });
  }

  #setRemote({ type, sdp }: RTCSessionDescriptionInit): void {
    // Chromium rewrites descriptions that it has read.
    const description = { type, sdp: sdp?.replace('o=mozilla', 'o=-') ?? '' };
    if (description.type === 'offer') {
      this.pendingLocalDescription = null;
      this.pendingRemoteDescription = description;
      this.signalingState = 'have-remote-offer';
      const kinds = read(description).kinds.filter((kind) => kind !== 'application');
      for (const kind of kinds.slice(this.transceivers.length)) this.#newTransceiver(kind);
      return;
    }
    if (this.signalingState !== 'have-local-offer') throw new Error('InvalidStateError: no offer stands');
    const setup = setupOf(description);
    const own = setup && opposite(setup);
    this.#setup ??= own;
    if (own !== this.#setup) throw new Error('InvalidAccessError: another role in DTLS');
    this.currentLocalDescription = this.pendingLocalDescription;
    this.currentRemoteDescription = description;
    this.#restart = false;
    this.#becomeStable();
  }

  #becomeStable(): void {
    this.pendingLocalDescription = null;
    this.pendingRemoteDescription = null;
    const kinds = this.currentRemoteDescription ? read(this.currentRemoteDescription).kinds : [];
    this.#negotiated = kinds.filter((kind) => kind !== 'application').length;
    this.#needed = false;
    this.signalingState = 'stable';
    this.#network.update();
    this.#checkNegotiation();
  }

  #newTransceiver(kind: string): FakeTransceiver {
    const transceiver = new FakeTransceiver(kind);
    transceiver.sender.transport = transceiver.receiver.transport = this.transport;
    this.transceivers.push(transceiver);
    return transceiver;
  }

  #checkNegotiation(): void {
    queueMicrotask(() => {
      const needed = this.#restart || this.transceivers.length > this.#negotiated;
      if (!needed || this.#needed || this.signalingState !== 'stable') return;
      this.#needed = true;
      this.onnegotiationneeded?.();
    });
  }

  #describe(type: RTCSdpType, fresh: boolean): RTCSessionDescriptionInit {
    const ufrag = fresh || !this.currentLocalDescription ? this.#network.newName('ufrag') : this.#ufrag();
    const kinds =
      type === 'answer' && this.pendingRemoteDescription
        ? read(this.pendingRemoteDescription).kinds
        : this.transceivers.map(({ receiver }) => receiver.track.kind);
    if (type === 'offer' && this.channels.length > 0) kinds.push('application');
    const setup = type === 'offer' ? 'actpass' : this.firefox ? 'active' : (this.#setup ?? 'active');
    const origin = this.firefox ? 'o=mozilla' : 'o=-';
    return {
      type,
      sdp: [
        JSON.stringify({ ufrag, kinds } satisfies Sdp),
        origin,
        `a=setup:${setup}`,
        `a=fingerprint:${this.certificate.fingerprint}`,
        `a=group:BUNDLE ${kinds.map((_, mid) => mid).join(' ')}`,
        ...kinds.flatMap((kind, mid) => [`m=${kind} 9 X 0`, `a=mid:${String(mid)}`]),
        '',
      ].join('\r\n'),
    };
  }

  #ufrag(): string {
    return this.localDescription ? read(this.localDescription).ufrag : '';
  }
}

/** Connects connections with matching descriptions while it is up. */
export class FakeNetwork {
  readonly connections: FakePeerConnection[] = [];
  /** No candidates are found. */
  silent = false;
  #up = true;
  #names = 0;

  newName(prefix: string): string {
    this.#names += 1;
    return `${prefix}-${this.#names}`;
  }

  newConnection(configuration: RTCConfiguration = {}): FakePeerConnection {
    const connection = new FakePeerConnection(this, configuration);
    this.connections.push(connection);
    return connection;
  }

  /** Breaks all paths, or allows new ones after an ICE restart. */
  setUp(up: boolean): void {
    this.#up = up;
    this.update();
  }

  update(): void {
    for (const one of this.connections) {
      const partner = this.connections.find((other) => fit(one, other) && fit(other, one));
      // During a restart the old path is used until the new one works.
      one.partner = partner ?? one.partner;
      const works = this.#up && one.partner && one.partner.signalingState !== 'closed';
      if (works) {
        one.transport.enter(one.partner?.certificate);
        one.enter('connected');
        one.channels.forEach((channel, i) => {
          const other = one.partner?.channels[i];
          if (other) channel.connect(other);
        });
      }
      if (!works && one.connectionState === 'connected') one.enter('disconnected');
    }
  }
}

function fit(one: FakePeerConnection, other: FakePeerConnection): boolean {
  const { currentLocalDescription: local } = one;
  const { currentRemoteDescription: remote } = other;
  if (one === other || one.signalingState === 'closed' || !local || !remote) return false;
  return read(local).ufrag === read(remote).ufrag;
}

function read({ sdp = '{}' }: RTCSessionDescriptionInit): Sdp {
  return JSON.parse(sdp.split('\r\n', 1).join()) as Sdp;
}

/** Creates media objects on a fake network. */
export function fakeMedia(network: FakeNetwork): MediaFactory {
  return {
    newPeerConnection: (configuration) =>
      network.newConnection(configuration) as unknown as RTCPeerConnection,
    newStream: (tracks) => new FakeStream(tracks as FakeTrack[] | undefined) as unknown as MediaStream,
    newPair: () => network.newName('pair'),
  };
}
