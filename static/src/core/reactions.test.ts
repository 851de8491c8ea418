import { beforeEach, expect, test } from 'vitest';
import { Reactions } from './reactions';
import { FakeClock } from './testing/clock';
import { GRACE, ZOE } from './testing/fixtures';

let clock: FakeClock;
let sent: unknown[];
let open: boolean;
let changes: number;
let reactions: Reactions;

beforeEach(() => {
  clock = new FakeClock();
  sent = [];
  open = true;
  changes = 0;
  reactions = new Reactions({
    clock,
    send: (data) => {
      if (open) sent.push(data);
      return open;
    },
    onChange: () => (changes += 1),
  });
});

const signs = (): string[] => reactions.shown.map(({ sign }) => sign);

test('one’s own is sent and shown, for four seconds', () => {
  reactions.react('👏');
  expect(sent).toEqual([{ reaction: '👏' }]);
  expect(reactions.shown).toMatchObject([{ sign: '👏' }]);
  expect(reactions.shown[0]).not.toHaveProperty('from');
  clock.advance(3_999);
  expect(signs()).toEqual(['👏']);
  clock.advance(1);
  expect(signs()).toEqual([]);
  expect(changes).toBe(2);
});

test('what cannot be sent is not shown as if it had been', () => {
  open = false;
  reactions.react('👏');
  expect(signs()).toEqual([]);
});

test.each([[null], ['👍'], [{}], [{ reaction: '💣' }], [{ reaction: ['👍'] }], [{ reaction: '👍👍' }], [7]])(
  '%j is no reaction',
  (data) => {
    reactions.receive(GRACE, data);
    expect(signs()).toEqual([]);
    expect(changes).toBe(0);
  },
);

test('nobody floods the others: five of one at a time', () => {
  for (let times = 0; times < 100; times++) reactions.receive(GRACE, { reaction: '😂' });
  reactions.receive(ZOE, { reaction: '❤️' });
  expect(signs()).toEqual(['😂', '😂', '😂', '😂', '😂', '❤️']);
  for (let times = 0; times < 100; times++) reactions.react('🎉');
  expect(sent).toHaveLength(5);
  clock.advance(4_000);
  reactions.receive(GRACE, { reaction: '😮' });
  expect(signs()).toEqual(['😮']);
});

test('nor do many together: thirty of all', () => {
  for (let person = 0; person < 40; person++) reactions.receive(`id-${person}`, { reaction: '👍' });
  expect(signs()).toHaveLength(30);
  reactions.clear();
  expect(signs()).toEqual([]);
});
