import { expect, test } from 'vitest';
import { charactersOf, isComposing } from './keys';

test.each([
  ['US', 'm', 'KeyM', false, ['m']],
  ['US with Caps Lock', 'M', 'KeyM', false, ['m']],
  ['Russian', 'ь', 'KeyM', false, ['ь', 'm']],
  ['Greek', 'μ', 'KeyM', false, ['μ', 'm']],
  ['Hebrew', 'צ', 'KeyM', false, ['צ', 'm']],
  ['Arabic', 'ة', 'KeyM', false, ['ة', 'm']],
  ['Arabic, two letters on one key', 'لا', 'KeyB', false, ['لا', 'b']],
  ['Arabic question mark', '؟', 'Slash', true, ['؟', '?']],
  ['Arabic digit', '١', 'Digit1', false, ['١', '1']],
  ['French digit without Shift', 'é', 'Digit2', false, ['é', '2']],
  ['French digit with Shift', '2', 'Digit2', true, ['2']],
  ['US symbol on a digit', '&', 'Digit7', true, ['&']],
  ['Dvorak', 'o', 'KeyS', false, ['o']],
  ['German', 'ö', 'Semicolon', false, ['ö']],
  ['German letter that is no US letter', 'ß', 'Minus', false, ['ß']],
  ['dead key', 'Dead', 'Digit6', false, ['dead']],
  ['named key', 'Escape', 'Escape', false, ['escape']],
])('%s: %s of %s', (_layout, key, code, shiftKey, characters) => {
  expect(charactersOf({ key, code, shiftKey })).toEqual(characters);
});

test('a key that an input method handles is known by the event or by its key code', () => {
  const enter = (event: object): boolean => isComposing(event as KeyboardEvent);
  expect(enter({ isComposing: true, keyCode: 13 })).toBe(true);
  expect(enter({ isComposing: false, keyCode: 229 })).toBe(true);
  expect(enter({ isComposing: false, keyCode: 13 })).toBe(false);
});
