import { expect, test } from 'vitest';
import { distinguish, isPersonName, withoutInvisible, withoutStacks } from './names';
import { fixture } from './testing/fixtures';

test.each(fixture('names') as { name: string; valid: boolean }[])('R6 $name: $valid', ({ name, valid }) => {
  expect(isPersonName(name)).toBe(valid);
});

test('R6 half a character, which no JSON of the fixtures can carry, is no name', () => {
  expect(isPersonName('\ud800')).toBe(false);
});

test('invisible characters are removed, and emoji stay whole', () => {
  expect(withoutInvisible('\u202astand\u200bup\u202c\ufeff')).toBe('standup');
  expect(withoutInvisible('👩🏽‍💻❤️ 1️⃣')).toBe('👩🏽‍💻❤️ 1️⃣');
});

test('marks beyond four in a row are removed, also with joiners between them, and texts of all scripts stay whole', () => {
  const mark = '\u0301';
  expect(withoutStacks(`a${mark.repeat(9)}b${mark.repeat(4)}`)).toBe(`a${mark.repeat(4)}b${mark.repeat(4)}`);
  expect(withoutStacks(`a${`${mark}\u200d`.repeat(9)}b`)).toBe(`a${`${mark}\u200d`.repeat(4)}b`);
  for (const text of ['Việt', 'بِسْمِ ٱللَّٰهِ', 'שָּׁלוֹם', 'กี่ที่', 'हिन्दी', '👩🏽‍💻❤️ 1️⃣🏴󠁧󠁢󠁥󠁮󠁧󠁿']) {
    expect(withoutStacks(text)).toBe(text);
  }
});

test('people whose names look alike are told apart by their ids, also from those elsewhere', () => {
  const named = (...names: string[]) => names.map((name, at) => ({ id: `${at}bcdefgh`, name }));
  const shown = (names: string[], others: string[] = []) =>
    distinguish(named(...names), others).map(({ name }) => name);
  expect(shown(['Ada', 'Grace'], ['Zoe'])).toEqual(['Ada', 'Grace']);
  expect(shown(['Ada', 'Grace', 'Ada'])).toEqual(['Ada (0bcd)', 'Grace', 'Ada (2bcd)']);
  expect(shown(['Ada'], ['Ada'])).toEqual(['Ada (0bcd)']);
  for (const alike of ['ADA', 'A\u200dda', 'Ａｄａ', 'A da', 'Ada\u{e0061}']) {
    expect(shown(['Ada', alike])).toEqual(['Ada (0bcd)', `${alike} (1bcd)`]);
  }
  for (const alike of ['Zoe\ufe00\u0308', 'Zoe\u200d\u0308']) {
    expect(shown(['Zo\u00eb', alike])).toEqual(['Zo\u00eb (0bcd)', `${alike} (1bcd)`]);
  }
  // A name that contains another member's id suffix gets its own suffix, too.
  expect(shown(['Ada', 'Ada (0bcd)', 'Ada'])).toEqual(['Ada (0bcd)', 'Ada (0bcd) (1bcd)', 'Ada (2bcd)']);
  expect(shown(['Ada （0b-_）'])).toEqual(['Ada （0b-_） (0bcd)']);
  const ada = { id: 'x', name: 'Ada' };
  expect(distinguish([ada], [])[0], 'an object that nothing is added to stays the same').toBe(ada);
});
