import { describe, expect, test } from 'vitest';
import { qualityOf } from './quality';
import { countersOf, type Sample, sampleOf } from './statistics';
import { chromiumStats } from './testing/stats';

type Changes = NonNullable<Parameters<typeof chromiumStats>[0]>;

/** Returns a sample of a call with these changes over the last two seconds. */
function sample(changes: Changes = {}): Sample {
  const before = countersOf(chromiumStats(), 0);
  return sampleOf(countersOf(chromiumStats({ bytes: 300_000, packets: 200, ...changes }), 2_000), before);
}
const steady = (changes?: Changes): Sample[] => [sample(changes), sample(changes), sample(changes)];

describe('bars', () => {
  test.each<[string, Changes, ReturnType<typeof qualityOf>]>([
    ['a good link', {}, { bars: 3 }],
    ['a relay', { relay: true }, { bars: 3, reason: 'relayed' }],
    ['some loss here', { lost: 6 }, { bars: 2, reason: 'loss' }],
    ['much loss here', { lost: 25 }, { bars: 1, reason: 'loss' }],
    ['loss over there', { fractionLost: 0.11 }, { bars: 1, reason: 'loss' }],
    ['a long way', { roundTrip: 0.35 }, { bars: 2, reason: 'delay' }],
    ['a satellite', { roundTrip: 0.9 }, { bars: 1, reason: 'delay' }],
    ['jitter', { jitter: 0.08 }, { bars: 2, reason: 'jitter' }],
    ['a narrow way', { available: 150_000, limit: 'bandwidth' }, { bars: 2, reason: 'low_bandwidth' }],
    ['a very narrow way', { available: 60_000, limit: 'bandwidth' }, { bars: 1, reason: 'low_bandwidth' }],
    ['a narrow way that suffices', { available: 60_000 }, { bars: 3 }],
    ['a picture that stands still', { frozen: 0.9 }, { bars: 1, reason: 'freezes' }],
    ['the worst of two', { lost: 25, roundTrip: 0.4, relay: true }, { bars: 1, reason: 'loss' }],
  ])('%s', (_, changes, expected) => {
    expect(qualityOf('connected', steady(changes))).toEqual(expected);
  });

  test('one bad sample alone changes nothing, and two do', () => {
    const bad = sample({ lost: 25 });
    expect(qualityOf('connected', [...steady(), sample(), bad])?.bars).toBe(3);
    expect(qualityOf('connected', [...steady(), bad, bad])?.bars).toBe(1);
    expect(qualityOf('connected', [bad, bad, ...steady()])?.bars).toBe(3);
  });

  test('nothing is said too early, and no connection is no bar', () => {
    expect(qualityOf('connected', steady().slice(1))).toBeUndefined();
    expect(qualityOf('connecting', steady().slice(1))).toBeUndefined();
    expect(qualityOf('failed', [])).toEqual({ bars: 0, reason: 'no_connection' });
    for (const link of ['connecting', 'interrupted', 'failed'] as const) {
      expect(qualityOf(link, steady())).toEqual({ bars: 0, reason: 'no_connection' });
    }
  });
});
