import { expect, it } from 'vitest';
import { offset, span, timeOfDay } from './format';

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
