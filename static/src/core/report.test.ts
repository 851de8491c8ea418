import { beforeEach, describe, expect, test } from 'vitest';
import type { LinkReport } from '../protocol/messages';
import { type Measured, Reporter, reportOf } from './report';
import type { Sample } from './statistics';
import { FakeClock } from './testing/clock';

const SENT = { bytes: 0, kbps: 0, lossPercent: 0 };

function sample(at: number, received: Partial<Sample['received']> = {}, more: Partial<Sample> = {}): Sample {
  const nothing = {
    bytes: 0,
    kbps: 0,
    lossPercent: 0,
    packets: 0,
    freezes: 0,
    frozenMs: 0,
    frozenPercent: 0,
  };
  return { at, received: { ...nothing, ...received }, sent: SENT, ...more };
}

describe('the report of a link', () => {
  test('is of the time since the one before, and of that alone', () => {
    const path = { local: 'relay', remote: 'host', protocol: 'udp', relayed: true };
    const samples = [
      sample(1_000, { packets: 9, freezes: 3, frozenMs: 900, lossPercent: 50, jitterMs: 900, kbps: 9_000 }),
      sample(2_000, { packets: 300, freezes: 4, frozenMs: 1_000, lossPercent: 1, jitterMs: 7, kbps: 100 }),
      sample(
        4_000,
        {
          ...{ packets: 100, freezes: 5, frozenMs: 1_400, lossPercent: 3, jitterMs: 3, kbps: 300 },
          ...{ width: 1_280, height: 720, fps: 30 },
        },
        {
          roundTripMs: 42,
          path,
        },
      ),
    ];
    expect(reportOf(samples, 1_000)).toEqual({
      round_trip_ms: 42,
      loss_percent: 1.5,
      jitter_ms: 7,
      freezes: 2,
      frozen_ms: 500,
      width: 1_280,
      height: 720,
      fps: 30,
      kbps: 200,
      relayed: true,
    });
    expect(reportOf(samples, 4_000)).toBeUndefined();
  });

  test('says nothing of what was not measured: the worst link is no perfect one', () => {
    const good = { packets: 100, jitterMs: 4, kbps: 900, width: 640, height: 360, fps: 30 };
    // Nothing arrives any more. Browsers keep the last jitter value, and count a freeze when it is over.
    const gone = { jitterMs: 4, kbps: 0 };
    const dead = [sample(2_000, good), sample(4_000, gone), sample(6_000, gone)];
    expect(reportOf(dead, 2_000)).toEqual({ kbps: 0 });
    expect(reportOf(dead.slice(0, 2), 0)).toEqual({ loss_percent: 0, jitter_ms: 4, kbps: 450 });
    const back = sample(8_000, { ...good, freezes: 1, frozenMs: 5_500 });
    expect(reportOf([...dead, back], 6_000)).toMatchObject({ loss_percent: 0, freezes: 1, frozen_ms: 5_500 });
    // An audio-only link has no picture that could freeze.
    const sound = reportOf([sample(2_000, { packets: 100, kbps: 40 })], 0);
    expect(sound).toEqual({ loss_percent: 0, kbps: 40 });
  });

  test('stays within its bounds', () => {
    const wild = {
      packets: 1,
      freezes: -1,
      frozenMs: 1e9,
      lossPercent: 101,
      jitterMs: 1e9,
      width: 1e9,
      height: 1e9,
      fps: 1e9,
      kbps: 1e9,
    };
    expect(reportOf([sample(1, wild, { roundTripMs: 1e9 })], 0)).toEqual({
      round_trip_ms: 60_000,
      loss_percent: 100,
      jitter_ms: 60_000,
      freezes: 0,
      frozen_ms: 600_000,
      width: 16_384,
      height: 16_384,
      fps: 240,
      kbps: 10_000_000,
    });
  });
});

describe('R82 reports', () => {
  let clock: FakeClock;
  let links: Measured[];
  let sent: LinkReport[][];
  let reporter: Reporter;

  beforeEach(() => {
    clock = new FakeClock();
    [links, sent] = [[], []];
    reporter = new Reporter({ clock, links: () => links, send: (report) => sent.push(report) });
  });

  const measured = (id: string, more: Partial<Sample> = {}): Measured => ({
    id,
    samples: [sample(clock.now(), {}, more)],
  });

  test('go out as often as the server asks, and say nothing of who', () => {
    reporter.start(10);
    clock.advance(9_000);
    links = [measured('grace')];
    expect(sent).toEqual([]);
    clock.advance(1_000);
    expect(sent).toHaveLength(1);
    expect(JSON.stringify(sent)).not.toContain('grace');
    clock.advance(1_000);
    links = [measured('grace'), measured('alan')];
    clock.advance(9_000);
    expect(sent.map((report) => report.length)).toEqual([1, 2]);
    reporter.stop();
    clock.advance(60_000);
    expect(sent).toHaveLength(2);
  });

  test('are not sent unasked, nor of nothing', () => {
    links = [measured('grace')];
    reporter.start(undefined);
    clock.advance(60_000);
    links = [];
    reporter.start(10);
    clock.advance(60_000);
    expect(sent).toEqual([]);
  });

  test('have the first picture of a link once, unless its camera was off before', () => {
    reporter.start(10);
    clock.advance(9_000);
    links = [measured('grace', { firstFrameMs: 800 }), measured('alan', { firstFrameMs: 31_000 })];
    clock.advance(1_000);
    clock.advance(9_000);
    links = [measured('grace', { firstFrameMs: 801 }), measured('alan', { firstFrameMs: 31_001 })];
    clock.advance(1_000);
    expect(sent.map((report) => report.map((link) => link.first_frame_ms))).toEqual([
      [800, undefined],
      [undefined, undefined],
    ]);
  });

  test('are of 64 links at most', () => {
    reporter.start(10);
    clock.advance(9_000);
    links = Array.from({ length: 70 }, (_, at) => measured(String(at)));
    clock.advance(1_000);
    expect(sent[0]).toHaveLength(64);
  });
});
