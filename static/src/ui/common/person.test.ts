import { expect, it } from 'vitest';
import { hue, initials } from './person';

it.each([
  ['Ada', 'A'],
  ['ada lovelace', 'AL'],
  ['Ada King, Countess of Lovelace', 'AL'],
  ['Ada (q7Xb)', 'A'],
  ['张伟', '张'],
  ['  Émile  ', 'É'],
  ['🦊 fox', '🦊'],
  ['', ''],
])('shortens %j to %j', (name, letters) => {
  expect(initials(name)).toBe(letters);
});

it('gives an id always the same hue', () => {
  expect(hue('abc')).toBe(hue('abc'));
  expect(hue('abc')).toMatch(/^\d+deg$/);
});
