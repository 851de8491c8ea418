import type { MeetingView } from '../../core/types';

/**
 * Number of videos sent or received from which people are warned. With eight others, a copy of one's own video gets
 * less of the uplink than 360 lines need (`core/adaptation.ts`), and the CPU encodes and decodes eight at a time.
 */
const MOST_VIDEOS = 7;

/** Returns whether the meeting is about to reach the limit of browsers in a full mesh. */
export function isCrowded({ people, camera }: Pick<MeetingView, 'people' | 'camera'>): boolean {
  const received = people.filter((person) => person.camera).length;
  const sent = camera.on ? people.length : 0;
  return Math.max(received, sent) >= MOST_VIDEOS;
}
