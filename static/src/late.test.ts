import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { insist } from './late';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('what does not come is asked for again, and that it is late is said once', async () => {
  const load = vi.fn(() => Promise.reject(new Error('no network')));
  const late = vi.fn();
  const loaded = insist(load, late);
  await vi.advanceTimersByTimeAsync(3_000);
  expect([load.mock.calls.length, late.mock.calls.length]).toEqual([3, 1]);
  load.mockResolvedValueOnce(undefined as never);
  await vi.advanceTimersByTimeAsync(3_000);
  await loaded;
  expect([load.mock.calls.length, late.mock.calls.length]).toEqual([4, 1]);
});

test('what comes at once is not late', async () => {
  const late = vi.fn();
  await insist(() => Promise.resolve(), late);
  expect(late).not.toHaveBeenCalled();
});
