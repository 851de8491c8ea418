import { inject, provide, shallowRef, type InjectionKey, type ShallowRef } from 'vue';
import type { MeetingControls } from '../../core/types';

/** What can be asked about the way to one person. */
export interface LinkQuestion {
  readonly about: 'statistics' | 'safety';
  readonly id: string;
}

/** What is open about links, for a tile to open and a dialog to show. */
export interface LinkDetails {
  readonly question: ShallowRef<LinkQuestion | undefined>;
  readonly meeting: Pick<MeetingControls, 'watchStatistics' | 'confirmSafetyCode'>;
}

const key: InjectionKey<LinkDetails> = Symbol('link details');

/** For the page of a meeting. */
export function provideLinkDetails(meeting: LinkDetails['meeting']): LinkDetails {
  const details: LinkDetails = { question: shallowRef(), meeting };
  provide(key, details);
  return details;
}

/** For whatever is in the page. */
export function useLinkDetails(): LinkDetails {
  const details = inject(key);
  if (details === undefined) throw new Error('useLinkDetails outside of a meeting');
  return details;
}
