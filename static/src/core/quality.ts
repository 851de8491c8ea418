/** Link quality in bars, as on a phone, with the reason why it is not better. Pure. */
import type { Sample } from './statistics';
import type { LinkState } from './types';

/** The worst aspect of a link. */
export type QualityReason =
  // `relayed` is not a fault but worth knowing: it comes with three bars
  'no_connection' | 'loss' | 'delay' | 'jitter' | 'low_bandwidth' | 'freezes' | 'relayed';

/** Link quality as shown on a tile. */
export interface LinkQuality {
  /** 3: good, 2: noticeable, 1: disturbing, 0: no connection. */
  readonly bars: 0 | 1 | 2 | 3;
  readonly reason?: QualityReason;
}

/** Number of samples considered, so that a single bad one changes nothing. */
const RECENT = 3;

/**
 * Thresholds for two bars and for one. Loss: Opus conceals a few percent, video freezes from about ten. Delay: people
 * interrupt each other from about 400 ms one way (ITU-T G.114); the round trip is twice that.
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
  // Negated bandwidth, so that more is worse as in the other rows: fewer than 200 and 100 kbit/s are available.
  { reason: 'low_bandwidth', two: -200, one: -100, of: ({ sent }) => -narrow(sent) },
  { reason: 'freezes', two: 15, one: 40, of: ({ received }) => received.frozenPercent },
];

/** Computes the quality of a link; `undefined` until there are enough samples. */
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

/** Returns the available bandwidth if it limits the video, else infinity. */
function narrow({ limitedBy, availableKbps }: Sample['sent']): number {
  return limitedBy === 'bandwidth' && availableKbps !== undefined ? availableKbps : Infinity;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
