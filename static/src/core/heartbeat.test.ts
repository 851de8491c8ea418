import { beforeEach, expect, test } from 'vitest';
import { Heartbeat } from './heartbeat';
import { FakeClock } from './testing/clock';

let clock: FakeClock;
let asked: number;
let dead: number;
let heartbeat: Heartbeat;

beforeEach(() => {
  clock = new FakeClock();
  asked = 0;
  dead = 0;
  heartbeat = new Heartbeat(
    clock,
    () => (asked += 1),
    () => (dead += 1),
  );
  heartbeat.start(25_000);
});

test('asks at each interval while answers come', () => {
  for (let minute = 0; minute < 10; minute++) {
    clock.advance(25_000);
    heartbeat.heard();
  }
  expect([asked, dead]).toEqual([10, 0]);
});

test('R27 two intervals of silence are the end, once', () => {
  clock.advance(49_999);
  expect(dead).toBe(0);
  clock.advance(1);
  expect([asked, dead]).toEqual([1, 1]);
  clock.advance(100_000);
  expect(dead).toBe(1);
});

test('anything that arrives is an answer', () => {
  clock.advance(30_000);
  heartbeat.heard();
  clock.advance(40_000);
  expect(dead).toBe(0);
});

test('a laptop that wakes asks first, and a server that answers is kept', () => {
  clock.advance(26_000);
  clock.sleep(3_600_000);
  expect([asked, dead]).toEqual([2, 0]);
  heartbeat.heard();
  clock.advance(6_000);
  expect(dead).toBe(0);
});

test('a laptop that wakes to a dead socket knows within seconds', () => {
  clock.sleep(3_600_000);
  expect([asked, dead]).toEqual([1, 0]);
  clock.advance(5_000);
  expect(dead).toBe(1);
});

test('timers that are always late, as in a background tab, keep a live server and find a dead one', () => {
  for (let minute = 0; minute < 10; minute++) {
    clock.sleep(60_000);
    heartbeat.heard();
  }
  expect(dead).toBe(0);
  for (let minute = 0; minute < 4; minute++) clock.sleep(60_000);
  expect(dead).toBe(1);
});

test('a probe asks at once and wants to know soon', () => {
  clock.advance(1_000);
  heartbeat.probe();
  expect(asked).toBe(1);
  clock.advance(5_000);
  expect(dead).toBe(1);
});

test('nothing is asked after the stop', () => {
  heartbeat.stop();
  heartbeat.probe();
  clock.advance(100_000);
  expect([asked, dead]).toEqual([0, 0]);
});
