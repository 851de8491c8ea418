import { expect, test } from 'vitest';
import { TEXT_BYTES } from '../../core/chat/wire';
import { MAX_LINKS, textParts } from './links';

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
  ['请看https://example.org/会议，谢谢', '请看<https://example.org/会议>，谢谢'],
  ['请看https://example.org谢谢', '请看<https://example.org>谢谢'],
  ['“https://example.org/a”。', '“<https://example.org/a>”。'],
  ['（https://example.org/a）', '（<https://example.org/a>）'],
  ['HTTPS://EXAMPLE.ORG', '<HTTPS://EXAMPLE.ORG>'],
  ['http://example.org/a, then', '<http://example.org/a>, then'],
  ['https://en.example.org/wiki/Möbius_strip_(A–B)…', '<https://en.example.org/wiki/Möbius_strip_(A–B)>…'],
  ['[https://example.org/a[1]]', '[<https://example.org/a[1]>]'],
  ['https://example.org/a/?b=ü&c#é!', '<https://example.org/a/?b=ü&c#é>!'],
  ['https://example.org/*_-', '<https://example.org/*_->'],
  ['https://bücher.example/a', 'https://bücher.example/a'],
  ['https://аpple.example/', 'https://аpple.example/'],
  ['https://example.org\u202e/gpj', '<https://example.org>\u202e/gpj'],
  ['javascript:alert(1)', 'javascript:alert(1)'],
  ['https://bank.example@evil.example/', 'https://bank.example@evil.example/'],
  ['https://bank.example%2eevil.example/', 'https://bank.example%2eevil.example/'],
  ['https://%65vil.example/', 'https://%65vil.example/'],
  ['https://evil.example\\.bank.example/', 'https://evil.example\\.bank.example/'],
  ['https://example.org:8443/%20?a=%2f', '<https://example.org:8443/%20?a=%2f>'],
  ['https://[2001:db8::1]:8443', '<https://[2001:db8::1]:8443>'],
  ['https://', 'https://'],
  ['https://?', 'https://?'],
  ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
])('addresses are links, unless they hide where they lead: %s', (text, expected) => {
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

test.each([
  ['closing brackets', 'https://a/', ')]'],
  ['one kind of closing bracket', 'https://a/', ')'],
  ['half of the brackets opened', `https://a/${'('.repeat(1_300)}`, ')'],
  ['stars', 'https://a/', '*'],
  ['punctuation of other scripts', 'https://a/', '…'],
  ['a host without end', 'https://', 'a.'],
  ['addresses', '', 'https://a '],
  ['addresses with brackets', '', 'https://a)'],
  ['addresses that are no links', '', 'https://u@a '],
  ['beginnings of addresses', '', 'https://'],
])('a log full of the longest texts is read in a moment: %s', (_, start, repeated) => {
  const bytes = (text: string): number => new TextEncoder().encode(text).length;
  const text = start + repeated.repeat(Math.floor((TEXT_BYTES - bytes(start)) / bytes(repeated)));
  const begin = performance.now();
  for (let i = 0; i < 300; i++) textParts(text);
  // Linear work takes tenths of a second. Counting the brackets again for each character takes a minute.
  expect(performance.now() - begin).toBeLessThan(5_000);
});

test('a text has a bounded number of links, and what follows stays text', () => {
  const text = 'https://a.example '.repeat(MAX_LINKS + 5).trim();
  const parts = textParts(text);
  expect(parts.filter(({ href }) => href !== undefined)).toHaveLength(MAX_LINKS);
  expect(parts.at(-1)).toEqual({ text: ' https://a.example'.repeat(5) });
  expect(parts.map((part) => part.text).join('')).toBe(text);
});
