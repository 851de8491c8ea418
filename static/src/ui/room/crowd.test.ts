import { expect, test } from 'vitest';
import type { Person } from '../../core/types';
import { isCrowded } from './crowd';

const people = (count: number, cameras: number): Person[] =>
  Array.from({ length: count }, (_, index) => ({ camera: index < cameras })) as Person[];

test.each([
  ['six videos both ways', 6, 6, true, false],
  ['a seventh that is received', 7, 7, false, true],
  ['one video that is sent to seven', 7, 0, true, true],
  ['twenty who only talk', 20, 0, false, false],
  ['six videos among twenty', 20, 6, false, false],
])('%s', (_name, count, cameras, on, expected) => {
  expect(isCrowded({ people: people(count, cameras), camera: { on, pending: false } })).toBe(expected);
});
