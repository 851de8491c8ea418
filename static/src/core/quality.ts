/** How good the way to a person is, in bars as on a phone, and why it is not better. Pure. */
import type { Sample } from './statistics';
import type { LinkState } from './types';

/** What is worst about a link. */
export type QualityReason =
  'no_connection' | 'loss' | 'delay' | 'jitter' | 'low_bandwidth' | 'freezes' | 'relayed'; // no fault, but worth knowing: it comes with three bars

/** What a tile shows of its link. */
export interface LinkQuality {
  /** 3 is good, 2 can be noticed, 1 disturbs, 0 is no connection. */
  readonly bars: 0 | 1 | 2 | 3;
  readonly reason?: QualityReason;
}

/** Samples that count: one bad one alone changes nothing. */
const RECENT = 3;

/**
 * From where on two bars are left, and one. Loss: Opus conceals some percent, pictures freeze from about
 * ten. Delay: people interrupt each other from about 400 ms one way (ITU-T G.114); the round trip is twice that.
 */
const LIMITS: readonly {
  readonly reason: QualityReason;
  readonly two: number;
  readonly one: number;
  readonly of: (sample: Sample) => number;
}[] = [
  {
    reason: 'loss',
    two: 3,
    one: 10,
    of: ({ received, sent }) => Math.max(received.lossPercent, sent.lossPercent),
  },
  { reason: 'delay', two: 300, one: 700, of: ({ roundTripMs = 0 }) => roundTripMs },
  { reason: 'jitter', two: 60, one: 150, of: ({ received: { jitterMs = 0 } }) => jitterMs },
  // Missing bandwidth, so that more is worse as everywhere: less than 200 and 100 kbit/s are left.
  { reason: 'low_bandwidth', two: -200, one: -100, of: ({ sent }) => -narrow(sent) },
  { reason: 'freezes', two: 15, one: 40, of: ({ received }) => received.frozenPercent },
];

/** The quality of a link. Nothing is said before there is something to say it from. */
export function qualityOf(link: LinkState, samples: readonly Sample[]): LinkQuality | undefined {
  const recent = samples.slice(-RECENT);
  if (recent.length < RECENT && (link === 'connecting' || link === 'connected')) return undefined;
  if (link !== 'connected') return { bars: 0, reason: 'no_connection' };
  let worst: LinkQuality = recent.at(-1)?.path?.relayed ? { bars: 3, reason: 'relayed' } : { bars: 3 };
  for (const { reason, two, one, of } of LIMITS) {
    const value = median(recent.map(of));
    const bars = value >= one ? 1 : value >= two ? 2 : 3;
    if (bars < worst.bars) worst = { bars, reason };
  }
  return worst;
}

/** The bandwidth where it is what holds the picture back. */
function narrow({ limitedBy, availableKbps }: Sample['sent']): number {
  return limitedBy === 'bandwidth' && availableKbps !== undefined ? availableKbps : Infinity;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
