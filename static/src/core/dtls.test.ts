import { expect, test } from 'vitest';
import { setupOf, withSetup } from './dtls';

const answer = (...setups: string[]): RTCSessionDescriptionInit => ({
  type: 'answer',
  sdp: setups.map((setup, line) => `m=${line}\r\na=setup:${setup}\r\na=mid:${line}\r\n`).join(''),
});

test('the role of an answer is read', () => {
  expect([setupOf(answer('active')), setupOf(answer('passive', 'passive'))]).toEqual(['active', 'passive']);
  expect([setupOf(answer('actpass')), setupOf({ type: 'answer' })]).toEqual([undefined, undefined]);
});

test('every m-line gets the role, and nothing else is changed', () => {
  expect(withSetup(answer('active', 'active'), 'passive')).toEqual(answer('passive', 'passive'));
  expect(withSetup(answer('passive'), 'passive')).toEqual(answer('passive'));
});
