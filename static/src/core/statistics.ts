/**
 * One small record for a connection out of what `getStats` tells (W3C "Identifiers for WebRTC's
 * Statistics API"), the same for every browser. Pure: what is measured comes in, numbers go out.
 */

/** How often connections are measured. */
export const SAMPLE_MS = 2_000;
/** For how long samples are kept. */
export const HISTORY_MS = 180_000;

/** What comes from the other side, or goes to it. What a browser does not tell is absent. */
export interface Flow {
  readonly bytes: number;
  /** Over the time since the sample before. */
  readonly kbps: number;
  /** Packets that were lost on the way, in percent, over the same time. */
  readonly lossPercent: number;
  readonly jitterMs?: number;
  readonly width?: number;
  readonly height?: number;
  readonly fps?: number;
  readonly audioCodec?: string;
  readonly videoCodec?: string;
}

/** What is received, with what is seen of it. */
export interface Received extends Flow {
  /** Packets over the time since the sample before: those that arrived, and those that were lost. */
  readonly packets: number;
  /** Since the connection began, as far as they are over: a browser counts one when the next picture comes. */
  readonly freezes: number;
  /** For how long they lasted. */
  readonly frozenMs: number;
  /** For how much of the time since the sample before the picture stood still, in percent. */
  readonly frozenPercent: number;
}

/** What is sent, with what holds it back. */
export interface Sent extends Flow {
  /** Why the picture is smaller than it could be. */
  readonly limitedBy?: 'cpu' | 'bandwidth' | 'other';
  /** What the browser believes the way out to carry. */
  readonly availableKbps?: number;
}

/** The way that ICE chose (RFC 8445). */
export interface Path {
  /** Types of the two candidates: `host`, `srflx`, `prflx` or `relay`. */
  readonly local: string;
  readonly remote: string;
  /** `udp` or `tcp`; to the relay, where there is one on this side. */
  readonly protocol: string;
  readonly relayed: boolean;
}

/** A connection at one moment. */
export interface Sample {
  /** Milliseconds, of the clock that the meeting was given. */
  readonly at: number;
  readonly roundTripMs?: number;
  readonly received: Received;
  readonly sent: Sent;
  readonly path?: Path;
  /** From the link's beginning to its first picture, where there is one and the browser tells. */
  readonly firstFrameMs?: number;
}

/** What a sample is counted from: the browser's counters only ever grow. */
export interface Counters {
  readonly at: number;
  readonly reports: ReadonlyMap<string, Report>;
}

/** One entry of an `RTCStatsReport`. */
export type Report = Readonly<Record<string, unknown>>;

/** Takes what `getStats` gave. */
export function countersOf(stats: Pick<RTCStatsReport, 'forEach'>, at: number): Counters {
  const reports = new Map<string, Report>();
  stats.forEach((report: Report, id) => reports.set(id, report));
  return { at, reports };
}

/**
 * The sample of `now`. Without a `before`, or after a connection was made anew, rates count from its beginning.
 * `since` is when the link began.
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

/** The browser tells for how long there have been pictures: the sum of the times between them. */
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
  // A duplicate counts as a packet that was not lost, so that the counter may shrink.
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
  // What the other side's receiver reports (RFC 3550 §6.4.1) counts only for what is being sent.
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
  // The larger of the pictures that move: a screen beside a camera.
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

/** The pair in use: Firefox marks it `selected`, the others name it in the transport. */
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

/** Firefox has the round trip in the receiver's reports only. */
function remoteRoundTrip(reports: ReadonlyMap<string, Report>): number | undefined {
  return ofType(reports, 'remote-inbound-rtp')
    .map((report) => number(report.roundTripTime))
    .find((value) => value !== undefined);
}

/** `VP8` of `video/VP8`. */
function codecOf(report: Report | undefined, reports: ReadonlyMap<string, Report>): string | undefined {
  return text(reports.get(String(report?.codecId))?.mimeType)?.split('/')[1];
}

function ofType(reports: ReadonlyMap<string, Report>, type: string): readonly Report[] {
  return [...reports.values()].filter((report) => report.type === type);
}

/** How much a counter has grown since the sample before; a counter that began anew, from nothing. */
function grown({ before }: Context, report: Report, name: string): number {
  const now = number(report[name]) ?? 0;
  const then = number(before?.reports.get(String(report.id))?.[name]) ?? 0;
  // Lost packets may become fewer by late arrivals.
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
