import { expect, test } from 'vitest';
import { textParts } from './links';

const marked = (text: string): string =>
  textParts(text)
    .map((part) => (part.href === undefined ? part.text : `<${part.text}>`))
    .join('');

test.each([
  ['no address here', 'no address here'],
  ['see https://example.org/a?b=c#d.', 'see <https://example.org/a?b=c#d>.'],
  [
    '(https://example.org/x) and https://example.org/y(1)',
    '(<https://example.org/x>) and <https://example.org/y(1)>',
  ],
  ['请看https://example.org/会议，谢谢', '请看<https://example.org/>会议，谢谢'],
  ['HTTPS://EXAMPLE.ORG', '<HTTPS://EXAMPLE.ORG>'],
  ['http://example.org', 'http://example.org'],
  ['javascript:alert(1)', 'javascript:alert(1)'],
  ['https://bank.example@evil.example/', 'https://bank.example@evil.example/'],
  ['https://', 'https://'],
  ['https://?', 'https://?'],
  ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
])('%s', (text, expected) => {
  expect(marked(text)).toBe(expected);
});

test('nothing of a text is lost', () => {
  const text = 'a https://b.example/c, d\nhttps://e.example';
  expect(
    textParts(text)
      .map((part) => part.text)
      .join(''),
  ).toBe(text);
});
