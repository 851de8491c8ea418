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

test('a connection that has no code yet is no change, and one that is up and has none is', () => {
  const connecting = { ...GRACE, fingerprints: undefined };
  verification.check([connecting]);
  expect(verification.statusOf(connecting)).toBeUndefined();
  // See `Connection.fingerprints`.
  verification.check([{ ...GRACE, fingerprints: '' }]);
  expect(verification.statusOf(connecting)).toBe('changed');
});

test('a second person of a compared name is no change, and is told from the compared one', () => {
  const namesake = { id: 'grace-2', name: 'Grace', fingerprints: 'other' };
  verification.check([GRACE, namesake]);
  expect([GRACE, namesake].map((each) => verification.statusOf(each))).toEqual(['compared', 'other']);
  verification.confirm(namesake);
  expect(verification.statusOf(namesake)).toBe('compared');
});

test.each(['grace-1', 'tmp'])('a changed code stays reported under every id, seen as %s', (id) => {
  const statuses = (of: Verification): unknown[] =>
    ['grace-1', 'grace-2'].map((id) => of.statusOf({ ...GRACE, id }));
  verification.check([{ ...GRACE, id, fingerprints: 'other' }]);
  verification.check([]);
  expect(verification.changedBeyond([])).toEqual(['Grace']);
  verification.check([{ ...GRACE, id: 'grace-2' }]);
  expect(verification.changedBeyond([{ ...GRACE, id: 'grace-2' }])).toEqual([]);
  expect(statuses(verification)).toEqual(['changed', 'changed']);
  // Also in the next page of the session.
  const next = begin(saved);
  expect([...statuses(next), next.changedBeyond([])]).toEqual(['changed', 'changed', ['Grace']]);
  next.confirm({ ...GRACE, id: 'grace-2' });
  expect([...statuses(next), begin(saved).changedBeyond([])]).toEqual(['compared', 'compared', []]);
});

test('comparing with somebody else does not end the warning about a person', () => {
  const mallory = { ...GRACE, name: 'Mallory', fingerprints: 'other' };
  verification.check([mallory]);
  expect(verification.statusOf(mallory)).toBe('changed');
  verification.confirm(mallory);
  expect(verification.statusOf(mallory)).toBe('compared');
  expect(verification.changedBeyond([mallory])).toEqual(['Grace']);
  expect(verification.statusOf({ ...GRACE, id: 'grace-2' })).toBe('changed');
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
