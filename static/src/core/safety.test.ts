import { expect, test } from 'vitest';
import { fingerprintOf, SAFETY_PICTURES, safetyCode } from './safety';

const print = (byte: string): string => Array(32).fill(byte).join(':');
const sdp = (...fingerprints: string[]): string =>
  ['v=0', ...fingerprints.map((value) => `a=fingerprint:sha-256 ${value}`), 'm=audio 9 X 0', ''].join('\r\n');
const [ada, grace, eve] = [sdp(print('AA')), sdp(print('0B')), sdp(print('EE'))];

test('both sides have the same code, whoever is local', async () => {
  const code = await safetyCode(ada, grace);
  expect(code).toHaveLength(SAFETY_PICTURES);
  expect(code?.every((picture) => Number.isInteger(picture) && picture >= 0 && picture < 64)).toBe(true);
  expect(await safetyCode(grace, ada)).toEqual(code);
  // Known, so that a later version cannot change it unseen: two versions of the page meet in one room.
  expect(code).toEqual([63, 31, 57, 54, 52, 22, 10, 7, 49, 57]);
});

test('with somebody in between, the two have different codes', async () => {
  const honest = await safetyCode(ada, grace);
  const [seenByAda, seenByGrace] = [await safetyCode(ada, eve), await safetyCode(grace, eve)];
  expect(new Set([honest, seenByAda, seenByGrace].map((code) => JSON.stringify(code))).size).toBe(3);
});

test('there is none without two fingerprints, or without Web Cryptography', async () => {
  expect(await safetyCode(ada, undefined)).toBeUndefined();
  expect(await safetyCode('v=0\r\n', grace)).toBeUndefined();
  const { crypto } = globalThis;
  Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
  const insecure = await safetyCode(ada, grace);
  Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
  expect(insecure).toBeUndefined();
});

test('a fingerprint counts where it is the only one, however it is written', () => {
  expect(fingerprintOf(sdp(print('ab'), print('AB')))).toBe(`sha-256 ${print('AB')}`);
  expect(fingerprintOf(sdp(print('AB')).replace('sha-256', 'SHA-256'))).toBe(`sha-256 ${print('AB')}`);
  // Which of two the browser would accept is not for us to guess.
  expect(fingerprintOf(sdp(print('AB'), print('CD')))).toBeUndefined();
  expect(fingerprintOf('v=0\r\ns=a=fingerprint:sha-256 AB\r\n')).toBeUndefined();
});
