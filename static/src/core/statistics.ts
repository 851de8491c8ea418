/**
 * Reduces the results of `getStats` (W3C "Identifiers for WebRTC's Statistics API") to one small record per
 * connection, the same for every browser. Pure.
 */

/** Interval between measurements. */
export const SAMPLE_MS = 2_000;
/** Time for which samples are kept. */
export const HISTORY_MS = 180_000;

/** Statistics of one direction. Values that the browser does not provide are absent. */
export interface Flow {
  readonly bytes: number;
  /** Average since the previous sample. */
  readonly kbps: number;
  /** Packet loss since the previous sample, in percent. */
  readonly lossPercent: number;
  readonly jitterMs?: number;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
  readonly audioCodec?: string;
  readonly videoCodec?: string;
}

/** Statistics of the receiving direction, including playback. */
export interface Received extends Flow {
  /** Packets since the previous sample: received and lost ones together. */
  readonly packets: number;
  /** Number of finished freezes since the connection began. A browser counts a freeze when the next frame arrives. */
  readonly freezes: number;
  /** Total duration of these freezes. */
  readonly frozenMs: number;
  /** Share of the time since the previous sample during which the picture was frozen, in percent. */
  readonly frozenPercent: number;
}

/** Statistics of the sending direction, including what limits it. */
export interface Sent extends Flow {
  /** Why the picture is smaller than it could be. */
  readonly limitedBy?: 'cpu' | 'bandwidth' | 'other';
  /** The browser's estimate of the outgoing bandwidth. */
  readonly availableKbps?: number;
}

/** The path selected by ICE (RFC 8445). */
export interface Path {
  /** Types of the two candidates: `host`, `srflx`, `prflx` or `relay`. */
  readonly local: string;
  readonly remote: string;
  /** `udp` or `tcp`; with a local relay, the protocol to the relay. */
  readonly protocol: string;
  readonly relayed: boolean;
}

/** Statistics of a connection at one moment. */
export interface Sample {
  /** Milliseconds, on the meeting's clock. */
  readonly at: number;
  readonly roundTripMs?: number;
  readonly received: Received;
  readonly sent: Sent;
  readonly path?: Path;
  /** Time from the start of the link to its first frame, if there is one and the browser reports it. */
  readonly firstFrameMs?: number;
}

/** The browser's monotonic counters, from which samples are computed. */
export interface Counters {
  readonly at: number;
  readonly reports: ReadonlyMap<string, Report>;
}

/** One entry of an `RTCStatsReport`. */
export type Report = Readonly<Record<string, unknown>>;

/** Converts the result of `getStats`. */
export function countersOf(stats: Pick<RTCStatsReport, 'forEach'>, at: number): Counters {
  const reports = new Map<string, Report>();
  stats.forEach((report: Report, id) => reports.set(id, report));
  return { at, reports };
}

/**
 * Computes the sample of `now`. Without `before`, or after the connection was created again, rates count from its
 * beginning. `since` is when the link began.
 */
export function sampleOf(now: Counters, before: Counters | undefined, since?: number): Sample {
  const context: Context = { now, before, seconds: before ? (now.at - before.at) / 1_000 : undefined };
  const pair = chosenPair(now.reports);
  const roundTrip = number(pair?.currentRoundTripTime) ?? remoteRoundTrip(now.reports);
  const path = pathOf(pair, now.reports);
  return {
    at: now.at,
    ...(roundTrip !== undefined && { roundTripMs: Math.round(roundTrip * 1_000) }),
    received: receivedOf(context),
    sent: sentOf(context, pair),
    ...(path && { path }),
    ...firstFrame(now, since),
  };
}

/**
 * Computes the time of the first frame. The browser reports the sum of the intervals between frames, which is how
 * long there have been frames.
 */
function firstFrame({ at, reports }: Counters, since: number | undefined): Pick<Sample, 'firstFrameMs'> {
  const between = ofType(reports, 'inbound-rtp')
    .filter((report) => (number(report.framesDecoded) ?? 0) > 0)
    .map((report) => number(report.totalInterFrameDelay))
    .filter((value) => value !== undefined);
  if (since === undefined || between.length === 0) return {};
  return { firstFrameMs: Math.max(0, Math.round(at - Math.max(...between) * 1_000 - since)) };
}

interface Context {
  readonly now: Counters;
  readonly before: Counters | undefined;
  readonly seconds: number | undefined;
}

function receivedOf(context: Context): Received {
  const inbound = ofType(context.now.reports, 'inbound-rtp');
  // A duplicate counts as a packet that was not lost, so that the counter may decrease.
  const lost = Math.max(
    0,
    sum(inbound, (report) => grown(context, report, 'packetsLost')),
  );
  const packets = lost + sum(inbound, (report) => grown(context, report, 'packetsReceived'));
  const frozen = sum(inbound, (report) => grown(context, report, 'totalFreezesDuration'));
  const jitter = inbound.map((report) => number(report.jitter)).filter((value) => value !== undefined);
  return {
    ...flowOf(context, inbound, 'bytesReceived'),
    lossPercent: percent(lost, packets),
    ...(jitter.length > 0 && { jitterMs: Math.round(Math.max(...jitter) * 1_000) }),
    packets,
    freezes: sum(inbound, (report) => number(report.freezeCount) ?? 0),
    frozenMs: Math.round(sum(inbound, (report) => number(report.totalFreezesDuration) ?? 0) * 1_000),
    frozenPercent: context.seconds === undefined ? 0 : Math.min(100, percent(frozen, context.seconds)),
  };
}

function sentOf(context: Context, pair: Report | undefined): Sent {
  const outbound = ofType(context.now.reports, 'outbound-rtp');
  // The remote receiver's reports (RFC 3550 §6.4.1) count only for streams that are being sent.
  const remote = ofType(context.now.reports, 'remote-inbound-rtp').filter((report) => {
    const local = context.now.reports.get(String(report.localId));
    return local === undefined || grown(context, local, 'bytesSent') > 0;
  });
  const fractions = remote.map((report) => number(report.fractionLost) ?? 0);
  const jitter = remote.map((report) => number(report.jitter)).filter((value) => value !== undefined);
  const limit = outbound.map((report) => report.qualityLimitationReason).find(isLimit);
  const available = number(pair?.availableOutgoingBitrate);
  return {
    ...flowOf(context, outbound, 'bytesSent'),
    lossPercent: percent(Math.max(0, ...fractions), 1),
    ...(jitter.length > 0 && { jitterMs: Math.round(Math.max(...jitter) * 1_000) }),
    ...(limit && { limitedBy: limit }),
    ...(available !== undefined && { availableKbps: Math.round(available / 1_000) }),
  };
}

function flowOf(context: Context, reports: readonly Report[], bytes: string): Omit<Flow, 'lossPercent'> {
  const { seconds, now } = context;
  const growth = sum(reports, (report) => grown(context, report, bytes));
  // The larger of the moving pictures: a screen beside a camera.
  const picture = reports
    .filter((report) => report.kind === 'video' && grown(context, report, bytes) > 0)
    .sort((a, b) => (number(b.frameWidth) ?? 0) - (number(a.frameWidth) ?? 0))[0];
  const sound = reports.find((report) => report.kind === 'audio' && grown(context, report, bytes) > 0);
  const [width, height, fps] = ['frameWidth', 'frameHeight', 'framesPerSecond'].map((name) =>
    number(picture?.[name]),
  );
  const videoCodec = codecOf(picture, now.reports);
  const audioCodec = codecOf(sound, now.reports);
  return {
    bytes: sum(reports, (report) => number(report[bytes]) ?? 0),
    kbps: seconds === undefined || seconds <= 0 ? 0 : Math.round((growth * 8) / 1_000 / seconds),
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    ...(fps !== undefined && { fps: Math.round(fps) }),
    ...(audioCodec !== undefined && { audioCodec }),
    ...(videoCodec !== undefined && { videoCodec }),
  };
}

/** Returns the selected candidate pair: Firefox marks it `selected`, other browsers name it in the transport. */
function chosenPair(reports: ReadonlyMap<string, Report>): Report | undefined {
  const [transport] = ofType(reports, 'transport');
  const named = reports.get(String(transport?.selectedCandidatePairId));
  if (named) return named;
  const pairs = ofType(reports, 'candidate-pair');
  return (
    pairs.find((pair) => pair.selected === true) ??
    pairs.find((pair) => pair.nominated === true && pair.state === 'succeeded')
  );
}

function pathOf(pair: Report | undefined, reports: ReadonlyMap<string, Report>): Path | undefined {
  const local = reports.get(String(pair?.localCandidateId));
  const remote = reports.get(String(pair?.remoteCandidateId));
  if (!local || !remote) return undefined;
  const types = [text(local.candidateType) ?? '', text(remote.candidateType) ?? ''] as const;
  return {
    local: types[0],
    remote: types[1],
    protocol: text(local.relayProtocol) ?? text(local.protocol) ?? '',
    relayed: types.includes('relay'),
  };
}

/** Returns the round-trip time from the receiver reports; Firefox provides it only there. */
function remoteRoundTrip(reports: ReadonlyMap<string, Report>): number | undefined {
  return ofType(reports, 'remote-inbound-rtp')
    .map((report) => number(report.roundTripTime))
    .find((value) => value !== undefined);
}

/** Returns the codec name: `VP8` for `video/VP8`. */
function codecOf(report: Report | undefined, reports: ReadonlyMap<string, Report>): string | undefined {
  return text(reports.get(String(report?.codecId))?.mimeType)?.split('/')[1];
}

function ofType(reports: ReadonlyMap<string, Report>, type: string): readonly Report[] {
  return [...reports.values()].filter((report) => report.type === type);
}

/** Returns the growth of a counter since the previous sample; a counter that was reset counts from zero. */
function grown({ before }: Context, report: Report, name: string): number {
  const now = number(report[name]) ?? 0;
  const then = number(before?.reports.get(String(report.id))?.[name]) ?? 0;
  // The number of lost packets may decrease when late packets arrive.
  return name === 'packetsLost' || now >= then ? now - then : now;
}

function sum(reports: readonly Report[], value: (report: Report) => number): number {
  return reports.reduce((total, report) => total + value(report), 0);
}

function percent(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.round((part / whole) * 1_000) / 10;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isLimit(value: unknown): value is NonNullable<Sent['limitedBy']> {
  return value === 'cpu' || value === 'bandwidth' || value === 'other';
}
