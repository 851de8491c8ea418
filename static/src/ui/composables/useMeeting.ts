import { onScopeDispose, shallowRef, type ShallowRef } from 'vue';
import type { MeetingControls, MeetingView } from '../../core/types';

/**
 * Shortest time between two views that are shown. The others in a room can change it a thousand times a second, and
 * each view that is shown renders every tile.
 */
export const SHOWN_MS = 50;

/** The view of a meeting, kept up to date for as long as the component lives. A change after a pause shows at once. */
export function useMeeting(meeting: MeetingControls): Readonly<ShallowRef<MeetingView>> {
  const view = shallowRef(meeting.view);
  let timer: ReturnType<typeof setTimeout> | undefined;
  function show(): void {
    if (timer !== undefined || view.value === meeting.view) return;
    view.value = meeting.view;
    timer = setTimeout(() => {
      timer = undefined;
      show();
    }, SHOWN_MS);
  }
  const unsubscribe = meeting.subscribe(show);
  onScopeDispose(() => {
    unsubscribe();
    clearTimeout(timer);
  });
  return view;
}
