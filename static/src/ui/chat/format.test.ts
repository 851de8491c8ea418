import { expect, test } from 'vitest';
import { formatTime } from './format';

const afternoon = new Date(2026, 0, 2, 15, 4).getTime();

test.each([
  ['en', ['en-US'], '3:04 PM'],
  ['en', ['en-GB', 'en'], '15:04'],
  // The page has no German texts: English words, and the 24-hour format of Germany.
  ['en', ['de-DE', 'en-US'], '15:04'],
  ['zh-CN', ['zh-CN'], '15:04'],
  ['zh-CN', ['en-US'], '下午3:04'],
  ['en', [], /^(15:04|3:04 PM)$/],
])('in %s for a browser in %j it is %s', (locale, languages, expected) => {
  // The space before AM/PM may be a narrow no-break space.
  const written = formatTime(afternoon, locale, languages).replaceAll('\u202f', ' ');
  if (typeof expected === 'string') expect(written).toBe(expected);
  else expect(written).toMatch(expected);
});
