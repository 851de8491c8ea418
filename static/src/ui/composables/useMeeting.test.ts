import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { effectScope, watch } from 'vue';
import type { MeetingControls, MeetingView } from '../../core/types';
import { SHOWN_MS, useMeeting } from './useMeeting';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function newMeeting() {
  const listeners = new Set<(view: MeetingView) => void>();
  const meeting = {
    view: { room: '0' } as MeetingView,
    subscribe: (listener: (view: MeetingView) => void) => {
      listeners.add(listener);
      listener(meeting.view);
      return () => listeners.delete(listener);
    },
  };
  const change = (room: number): void => {
    meeting.view = { room: `${room}` } as MeetingView;
    for (const listener of listeners) listener(meeting.view);
  };
  return { meeting: meeting as unknown as MeetingControls, change, listeners };
}

test('a change shows at once, and a flood of them a few times a second, the last one included', () => {
  const { meeting, change, listeners } = newMeeting();
  const scope = effectScope();
  const shown: string[] = [];
  scope.run(() => {
    const view = useMeeting(meeting);
    watch(view, ({ room }) => shown.push(room), { flush: 'sync' });
  });
  change(1);
  expect(shown).toEqual(['1']);
  for (let i = 2; i <= 1_000; i++) {
    change(i);
    vi.advanceTimersByTime(1);
  }
  expect(shown.length).toBeLessThanOrEqual(1_000 / SHOWN_MS + 1);
  vi.advanceTimersByTime(SHOWN_MS);
  expect(shown.at(-1)).toBe('1000');
  vi.advanceTimersByTime(SHOWN_MS);
  change(1_001);
  expect(shown.at(-1)).toBe('1001');
  scope.stop();
  expect([listeners.size, vi.getTimerCount()]).toEqual([0, 0]);
});
