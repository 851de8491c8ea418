import { describe, expect, test } from 'vitest';
import { CHUNK_BYTES, chunkFrame, FILE_BYTES, parseFrame, safeName, TEXT_BYTES } from './wire';

const text = (changes: object): string => JSON.stringify({ type: 'text', id: 1, text: 'hi', ...changes });
const offer = (changes: object): string =>
  JSON.stringify({ type: 'offer', id: 1, name: 'a.txt', size: 3, ...changes });

describe('what is said', () => {
  test.each([
    [text({}), { type: 'text', id: 1, text: 'hi' }],
    [text({ private: true, html: '<b>' }), { type: 'text', id: 1, text: 'hi', private: true }],
    [text({ text: '圆'.repeat(1365) }), { type: 'text', id: 1, text: '圆'.repeat(1365) }],
    [offer({}), { type: 'offer', id: 1, name: 'a.txt', size: 3 }],
    [offer({ size: FILE_BYTES }), { type: 'offer', id: 1, name: 'a.txt', size: FILE_BYTES }],
    ['{"type":"got","id":4294967295,"bytes":0}', { type: 'got', id: 0xffff_ffff, bytes: 0 }],
    ['{"type":"refuse","id":0}', { type: 'refuse', id: 0 }],
  ])('%s is understood', (frame, message) => {
    expect(parseFrame(frame)).toEqual(message);
  });

  test('a text of the greatest length, every byte escaped, is understood', () => {
    const most = '\u0001'.repeat(TEXT_BYTES);
    expect(parseFrame(text({ text: most }))).toMatchObject({ text: most });
  });

  test.each([
    ...['', '{', 'null', '7', '[]', '{"type":"text"}', '{"type":"wave","id":1}'],
    ...[{ text: '' }, { text: ' \n' }, { text: 7 }, { text: '圆'.repeat(1366) }].map(text),
    ...[{ id: -1 }, { id: 1.5 }, { id: '1' }, { id: 2 ** 32 }, { id: null }].map(text),
    ...[{ size: FILE_BYTES + 1 }, { size: -1 }, { size: 0.5 }, { size: '3' }, { name: 7 }].map(offer),
    '{"type":"got","id":1,"bytes":-1}',
    text({ padding: 'x'.repeat(32_768) }),
  ])('%.60s is ignored', (frame) => {
    expect(parseFrame(frame)).toBeUndefined();
  });
});

describe('pieces', () => {
  test('go round', () => {
    const bytes = Uint8Array.from([1, 2, 3]);
    expect(parseFrame(chunkFrame(0xfedc_ba98, bytes).buffer)).toEqual({
      type: 'chunk',
      id: 0xfedc_ba98,
      bytes,
    });
  });

  test.each([0, 3, 4, 4 + CHUNK_BYTES + 1])('of %d bytes are ignored', (length) => {
    expect(parseFrame(new ArrayBuffer(length))).toBeUndefined();
  });

  test('of any other kind are ignored', () => {
    for (const data of [undefined, null, 7, new Blob(['x']), new Uint8Array(8)]) {
      expect(parseFrame(data)).toBeUndefined();
    }
  });
});

test.each([
  ['季度报告 (终稿).pdf', '季度报告 (终稿).pdf'],
  ['../../etc/passwd', '_.._etc_passwd'],
  ['C:\\boot.ini', 'C__boot.ini'],
  ['photo\u202egpj.exe', 'photo_gpj.exe'],
  ['a\u0000b\nc', 'a_b_c'],
  ['.profile. ', 'profile'],
  ['...', 'file'],
  ['', 'file'],
  ['x'.repeat(300) + '.zip', 'x'.repeat(196) + '.zip'],
])('the name %j is %j', (name, safe) => {
  expect(safeName(name)).toBe(safe);
});
