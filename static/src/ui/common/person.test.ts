import { expect, it, vi } from 'vitest';
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

it('shortens names in a browser that does not know what people see as characters', async () => {
  const { Segmenter } = Intl;
  Reflect.deleteProperty(Intl, 'Segmenter');
  vi.resetModules();
  const { initials } = await import('./person');
  Object.assign(Intl, { Segmenter });
  expect([initials('Grace Hopper'), initials('张伟'), initials('🙂'), initials('')]).toEqual([
    'GH',
    '张',
    '🙂',
    '',
  ]);
});
