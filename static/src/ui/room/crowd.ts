import type { MeetingView } from '../../core/types';

/**
 * How many videos may be sent or received before people are warned. With eight others, a copy of one's own video gets
 * less of the uplink than 360 lines need (`core/adaptation.ts`), and the processor encodes and decodes eight at a time.
 */
const MOST_VIDEOS = 7;

/** Returns whether the meeting is about to reach what browsers can do that send everything to everyone. */
export function isCrowded({ people, camera }: Pick<MeetingView, 'people' | 'camera'>): boolean {
  const received = people.filter((person) => person.camera).length;
  const sent = camera.on ? people.length : 0;
  return Math.max(received, sent) >= MOST_VIDEOS;
}
