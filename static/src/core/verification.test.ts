import { beforeEach, expect, test } from 'vitest';
import { type Comparison, Verification } from './verification';

const GRACE = { id: 'grace-1', name: 'Grace', fingerprints: 'honest' };
let verification: Verification;
let saved: readonly Comparison[];
let ends: number;

function begin(comparisons: readonly Comparison[] = []): Verification {
  saved = [];
  ends = 0;
  return new Verification({
    certificate: {} as RTCCertificate,
    comparisons,
    save: (all) => (saved = all),
    end: () => (ends += 1),
  });
}

beforeEach(() => {
  verification = begin();
  verification.confirm(GRACE);
});

test('a compared code stays compared, also when the person comes back under another id', () => {
  expect(verification.statusOf(GRACE)).toBe('compared');
  expect(verification.statusOf({ ...GRACE, id: 'grace-2' })).toBe('compared');
  expect(verification.statusOf({ ...GRACE, id: 'alan', name: 'Alan' })).toBeUndefined();
});

test.each([{ id: 'grace-2' }, { id: 'grace-2', name: 'Grace\ufffc' }, { name: 'Ada' }, {}])(
  'another code of the same id or name is reported until it is compared: %o',
  (change) => {
    const other = { ...GRACE, ...change, fingerprints: 'other' };
    verification.check([other]);
    expect(verification.statusOf(other)).toBe('changed');
    // A server that returns to the honest connection does not hide the attack.
    const honest = { ...other, fingerprints: 'honest' };
    verification.check([honest]);
    expect(verification.statusOf(honest)).toBe('changed');
    verification.confirm(other);
    verification.check([other]);
    expect(verification.statusOf(other)).toBe('compared');
  },
);

test('a connection without a code is no change, and neither is a second person of that name', () => {
  const connecting = { ...GRACE, fingerprints: undefined };
  const namesake = { id: 'grace-2', name: 'Grace', fingerprints: 'other' };
  verification.check([connecting]);
  expect(verification.statusOf(connecting)).toBeUndefined();
  verification.check([GRACE, namesake]);
  expect([GRACE, namesake].map((each) => verification.statusOf(each))).toEqual(['compared', undefined]);
});

test('a code that was compared under one name counts for no other name', () => {
  const mallory = { id: 'mallory-1', name: 'Mallory', fingerprints: 'hers' };
  verification.confirm(mallory);
  const unknown = { ...mallory, name: 'Carol' };
  verification.check([unknown]);
  expect(verification.statusOf(unknown)).toBeUndefined();
  // As in a session resumed under another name, and also under another id.
  for (const id of ['mallory-1', 'mallory-2']) {
    const impostor = { ...mallory, id, name: 'Grace' };
    verification.check([impostor]);
    expect(verification.statusOf(impostor)).toBe('changed');
  }
});

test('a compared id with the certificate of another one is reported', () => {
  const after = { ...GRACE, id: 'grace-2', fingerprints: 'new' };
  verification.confirm(after);
  verification.check([GRACE, after]);
  expect([GRACE, after].map((each) => verification.statusOf(each))).toEqual(['compared', 'compared']);
  const swapped = { ...GRACE, fingerprints: 'new' };
  verification.check([swapped]);
  expect(verification.statusOf(swapped)).toBe('changed');
});

test('comparisons are saved, and known in the next page of the session', () => {
  const alan = { id: 'alan', name: 'Alan', fingerprints: 'his' };
  verification.confirm(alan);
  expect(saved).toEqual([alan, GRACE]);
  const next = begin(saved);
  expect([GRACE, alan].map((each) => next.statusOf(each))).toEqual(['compared', 'compared']);
  next.end();
  expect(ends).toBe(1);
});
