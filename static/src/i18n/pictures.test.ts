import { expect, test } from 'vitest';
import { PICTURE_COUNT, picturesOf } from './pictures';

test('there are 64 pictures, each with a sign and a name of its own', () => {
  expect(PICTURE_COUNT).toBe(64);
  const all = Array.from({ length: 64 }, (_, number) => number);
  for (const locale of ['en', 'zh-CN'] as const) {
    const pictures = picturesOf(all, locale);
    expect(new Set(pictures.map(({ sign }) => sign)).size).toBe(64);
    expect(new Set(pictures.map(({ name }) => name)).size).toBe(64);
    expect(pictures.every(({ sign, name }) => sign !== '' && name !== '')).toBe(true);
  }
});
