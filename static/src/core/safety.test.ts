import { expect, test } from 'vitest';
import { SAFETY_PICTURES, safetyCode } from './safety';

const print = (byte: string): string => `sha-256 ${Array(32).fill(byte).join(':')}`;

test('a code is fifteen of 64 pictures, and the same in every version of the page', async () => {
  const code = await safetyCode(`${print('0B')}\n${print('AA')}`);
  expect(code).toHaveLength(SAFETY_PICTURES);
  expect(code.every((picture) => Number.isInteger(picture) && picture >= 0 && picture < 64)).toBe(true);
  // Two versions of the page may meet in one room, so the code must not change.
  expect(code).toEqual([8, 1, 28, 49, 54, 19, 52, 6, 56, 50, 23, 10, 20, 5, 17]);
});

test('with somebody in between, the two have different codes', async () => {
  const codes = await Promise.all(['0B', 'EE'].map((other) => safetyCode(`${print(other)}\n${print('FF')}`)));
  expect(codes[0]).not.toEqual(codes[1]);
});
