import { onScopeDispose, shallowRef, type ShallowRef } from 'vue';
import type { MeetingControls, MeetingView } from '../../core/types';

/**
 * Shortest time between two rendered views. Other members can change the view a thousand times a second, and each
 * render updates every tile.
 */
export const SHOWN_MS = 50;

/** Returns the view of a meeting, updated as long as the component lives. A change after a pause is shown at once. */
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
