import { onScopeDispose, shallowRef, type ShallowRef } from 'vue';
import type { MeetingControls, MeetingView } from '../../core/types';

/** The view of a meeting, kept up to date for as long as the component lives. */
export function useMeeting(meeting: MeetingControls): Readonly<ShallowRef<MeetingView>> {
  const view = shallowRef(meeting.view);
  onScopeDispose(
    meeting.subscribe((next) => {
      view.value = next;
    }),
  );
  return view;
}
