import { beforeEach, expect, test } from 'vitest';
import { Speakers } from './speakers';
import { FakeClock } from './testing/clock';

let clock: FakeClock;
let levels: Map<string, number>;
let changes: number;
let speakers: Speakers;

beforeEach(() => {
  clock = new FakeClock();
  levels = new Map([
    ['ada', 0],
    ['grace', 0],
  ]);
  changes = 0;
  speakers = new Speakers({ clock, levels: () => levels, onChange: () => (changes += 1) });
  speakers.start();
});

function hear(id: string, level: number, milliseconds: number): void {
  levels.set(id, level);
  clock.advance(milliseconds);
}

test('nobody speaks in the noise of a room', () => {
  hear('ada', 0.019, 5_000);
  expect([speakers.speaks('ada'), speakers.floor, changes]).toEqual([false, undefined, 0]);
});

test('a voice is heard at once, through its breaths, until it pauses', () => {
  hear('ada', 0.2, 100);
  expect(speakers.speaks('ada')).toBe(true);
  hear('ada', 0, 600);
  hear('ada', 0.01, 100);
  hear('ada', 0, 600);
  expect(speakers.speaks('ada')).toBe(true);
  hear('ada', 0, 200);
  expect(speakers.speaks('ada')).toBe(false);
});

test('what is quieter than a start goes on, but does not start', () => {
  hear('ada', 0.01, 3_000);
  expect(speakers.speaks('ada')).toBe(false);
  hear('ada', 0.2, 100);
  hear('ada', 0.01, 3_000);
  expect(speakers.speaks('ada')).toBe(true);
});

test('the floor is not had by a cough', () => {
  hear('ada', 0.5, 100);
  levels.set('ada', 0);
  clock.advance(400);
  expect(speakers.floor).toBeUndefined();
  hear('ada', 0.2, 1_000);
  expect(speakers.floor).toBe('ada');
});

test('whoever has the floor keeps it against the louder, and in silence; then it goes to who speaks', () => {
  hear('ada', 0.1, 1_000);
  hear('grace', 0.9, 3_000);
  expect([speakers.floor, speakers.speaks('grace')]).toEqual(['ada', true]);
  hear('ada', 0, 1_000);
  expect(speakers.floor).toBe('grace');
  hear('grace', 0, 10_000);
  expect([speakers.floor, speakers.speaks('grace')]).toEqual(['grace', false]);
});

test('tells each change once, and nothing after the end', () => {
  hear('ada', 0.2, 2_000);
  expect(changes).toBe(2); // speaking, then floor
  speakers.stop();
  hear('ada', 0, 5_000);
  expect([changes, clock.waits]).toEqual([2, []]);
});

test('whoever goes or mutes speaks no more', () => {
  hear('ada', 0.2, 1_000);
  levels.delete('ada');
  clock.advance(100);
  expect(speakers.speaks('ada')).toBe(false);
});

test('after the end nobody speaks, and nobody has the floor', () => {
  hear('ada', 0.2, 1_000);
  expect([speakers.speaks('ada'), speakers.floor]).toEqual([true, 'ada']);
  speakers.stop();
  expect([speakers.speaks('ada'), speakers.floor, clock.waits]).toEqual([false, undefined, []]);
});

test('a reading that fails is followed by one that does not', () => {
  const broken = new Speakers({
    clock,
    levels: () => {
      if (clock.now() < 1_000_500) throw new Error('closed');
      return levels;
    },
    onChange: () => undefined,
  });
  speakers.stop();
  broken.start();
  levels.set('ada', 0.2);
  expect(() => {
    clock.advance(100);
  }).toThrow('closed');
  for (let i = 0; i < 10; i++) {
    try {
      clock.advance(100);
    } catch {
      // In a browser, the error would be reported.
    }
  }
  expect(broken.speaks('ada')).toBe(true);
});
