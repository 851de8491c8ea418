import { expect, it } from 'vitest';
import { offset, qualityFigures, span, timeOfDay } from './format';

it.each([
  [0, 'minutes', 0, 0],
  [59, 'minutes', 0, 59],
  [3_599, 'minutes', 59, 59],
  [3_600, 'hours', 1, 0],
  [86_399, 'hours', 23, 59],
  [86_400, 'days', 1, 0],
  [200 * 86_400 + 7_199, 'days', 200, 1],
])('says %i s by two units', (seconds, unit, large, small) => {
  expect(span(seconds)).toEqual({ unit, large, small });
});

it('shows the time of the server, wherever the browser is', () => {
  const time = '2026-01-02T11:04:05.678+05:45';
  expect([timeOfDay(time), offset(time)]).toEqual(['11:04:05', '+05:45']);
});

it('shows of the reports what they had, each with its bad end', () => {
  expect(qualityFigures({ reports: 0 })).toEqual([]);
  const usual = { median: 8.04, p5: 2.4, p95: 1_250 };
  expect(
    qualityFigures({ reports: 2, loss_percent: usual, frozen_ms: usual, fps: usual, relayed_percent: 12.5 }),
  ).toEqual([
    { name: 'loss', unit: 'percent', usual: '8.0', bad: '1250.0' },
    { name: 'frozen', unit: 'seconds', usual: '0.0', bad: '1.3' },
    { name: 'fps', unit: 'perSecond', usual: '8', bad: '2' },
    { name: 'relayed', unit: 'percent', usual: '13' },
  ]);
});
