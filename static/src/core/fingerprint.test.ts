import { expect, test } from 'vitest';
import { fingerprintOf, fingerprintsOf } from './fingerprint';
import { FakeCertificate } from './testing/rtc';

const print = (byte: string): string => Array(32).fill(byte).join(':');
const sdp = (...lines: string[]): string => ['v=0', 's=-', ...lines, 'm=audio 9 X 0', ''].join('\r\n');
const line = (byte: string): string => `a=fingerprint:sha-256 ${print(byte)}`;

test('a description has one fingerprint, however often and however it is written', () => {
  expect(fingerprintOf(sdp(line('ab'), line('AB')))).toBe(`sha-256 ${print('AB')}`);
  expect(fingerprintOf(sdp(line('AB').replace('sha', 'SHA')))).toBe(`sha-256 ${print('AB')}`);
  expect(fingerprintOf(sdp(line('AB')).replaceAll('\r\n', '\n'))).toBe(`sha-256 ${print('AB')}`);
});

test('two fingerprints, none, and one that browsers may read in another way are rejected', () => {
  expect(fingerprintOf(sdp(line('AB'), line('CD')))).toBeUndefined();
  expect(fingerprintOf(sdp())).toBeUndefined();
  expect(fingerprintOf(undefined)).toBeUndefined();
  for (const strange of [
    `A=FINGERPRINT:sha-256  ${print('CD')}`,
    'a=fingerprint: sha-256 CD',
    'a=fingerprint',
  ]) {
    expect(fingerprintOf(sdp(line('AB'), strange))).toBeUndefined();
    expect(fingerprintOf(sdp(strange))).toBeUndefined();
  }
});

test('a line ends at CR and LF only', () => {
  for (const separator of ['\u2028', '\u2029', '\u0085', '\v', '\f']) {
    expect(fingerprintOf(sdp(`s=x${separator}${line('CD')}`))).toBeUndefined();
    expect(fingerprintOf(sdp(line('AB'), `s=x${separator}${line('CD')}`))).toBe(`sha-256 ${print('AB')}`);
  }
});

test('both ends have the same fingerprints, of their own descriptions and the verified certificates', async () => {
  const [ada, grace] = [new FakeCertificate('Ada'), new FakeCertificate('Grace')];
  const of = (own: FakeCertificate, other: FakeCertificate): Promise<string | undefined> =>
    fingerprintsOf(sdp(`a=fingerprint:${own.fingerprint}`), other.der.buffer);
  expect(await of(ada, grace)).toBe([ada.fingerprint, grace.fingerprint].sort().join('\n'));
  expect(await of(grace, ada)).toBe(await of(ada, grace));
  expect(await fingerprintsOf(undefined, grace.der.buffer)).toBeUndefined();
});

test('without Web Cryptography there are none', async () => {
  const { crypto } = globalThis;
  Object.defineProperty(globalThis, 'crypto', { value: {}, configurable: true });
  const insecure = await fingerprintsOf(sdp(line('AB')), new ArrayBuffer(1));
  Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
  expect(insecure).toBeUndefined();
});
