import { expect, test } from 'vitest';
import { countersOf, sampleOf } from './statistics';
import { chromiumStats, firefoxStats } from './testing/stats';

const first = countersOf(chromiumStats(), 10_000);
const after = (changes: Parameters<typeof chromiumStats>[0]) =>
  sampleOf(countersOf(chromiumStats(changes), 12_000), first);

test('rates are what was counted between two samples', () => {
  const sample = after({
    bytes: 300_000,
    packets: 200,
    lost: 25,
    frozen: 0.5,
    fractionLost: 0.07,
    limit: 'cpu',
  });
  expect(sample).toEqual({
    at: 12_000,
    roundTripMs: 31,
    received: {
      bytes: 330_000,
      kbps: 880,
      lossPercent: 20,
      jitterMs: 4,
      width: 640,
      height: 360,
      fps: 30,
      audioCodec: 'opus',
      videoCodec: 'VP8',
      packets: 125,
      freezes: 1,
      frozenMs: 500,
      frozenPercent: 25,
    },
    sent: {
      bytes: 600_000,
      kbps: 1_600,
      lossPercent: 7,
      jitterMs: 2,
      width: 320,
      height: 180,
      fps: 15,
      videoCodec: 'VP8',
      limitedBy: 'cpu',
      availableKbps: 900,
    },
    path: { local: 'host', remote: 'srflx', protocol: 'udp', relayed: false },
  });
});

test('a first sample has totals and no rates', () => {
  const { received, sent } = sampleOf(first, undefined);
  expect([received.kbps, sent.kbps, received.frozenPercent]).toEqual([0, 0, 0]);
  expect([received.bytes, sent.bytes]).toEqual([110_000, 200_000]);
});

test('a picture that does not move has no size, a line without packets no loss', () => {
  const { received, sent } = after({});
  expect([received.width, received.videoCodec, received.kbps, received.lossPercent]).toEqual([
    undefined,
    undefined,
    0,
    0,
  ]);
  // A stale receiver report does not count for streams that are no longer sent.
  expect(after({ fractionLost: 0.9 }).sent.lossPercent).toBe(0);
  expect(sent.width).toBeUndefined();
});

test('counters that begin anew, and lost packets that come late, give nothing below zero', () => {
  const before = countersOf(chromiumStats({ bytes: 900_000, packets: 500, lost: 9 }), 10_000);
  const { received } = sampleOf(countersOf(chromiumStats({ bytes: 50_000, lost: 3 }), 12_000), before);
  expect([received.kbps, received.lossPercent]).toEqual([220, 0]);
});

test('a relay and how it is reached', () => {
  expect(after({ relay: true }).path).toEqual({
    local: 'relay',
    remote: 'srflx',
    protocol: 'tcp',
    relayed: true,
  });
});

test('Firefox tells the same in its own way', () => {
  const sample = sampleOf(countersOf(firefoxStats(), 10_000), undefined);
  expect(sample.roundTripMs).toBe(120);
  expect(sample.path).toEqual({ local: 'host', remote: 'relay', protocol: 'udp', relayed: true });
  expect(sample.sent.lossPercent).toBe(50);
  expect(sample.sent.availableKbps).toBeUndefined();
});

test('nothing measured is nothing, not an error', () => {
  expect(sampleOf(countersOf(new Map(), 5), undefined)).toEqual({
    at: 5,
    received: { bytes: 0, kbps: 0, lossPercent: 0, packets: 0, freezes: 0, frozenMs: 0, frozenPercent: 0 },
    sent: { bytes: 0, kbps: 0, lossPercent: 0 },
  });
});
