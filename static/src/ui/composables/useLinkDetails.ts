import { inject, provide, shallowRef, type InjectionKey, type ShallowRef } from 'vue';
import type { MeetingControls } from '../../core/types';

/** A request for details about the link to one person. */
export interface LinkQuestion {
  readonly about: 'statistics' | 'safety';
  readonly id: string;
}

/** The open link details: tiles set them and a dialog shows them. */
export interface LinkDetails {
  readonly question: ShallowRef<LinkQuestion | undefined>;
  readonly meeting: Pick<MeetingControls, 'watchStatistics' | 'confirmSafetyCode'>;
}

const key: InjectionKey<LinkDetails> = Symbol('link details');

/** Provides the link details of a meeting's page. */
export function provideLinkDetails(meeting: LinkDetails['meeting']): LinkDetails {
  const details: LinkDetails = { question: shallowRef(), meeting };
  provide(key, details);
  return details;
}

/** Returns the link details of the surrounding page. */
export function useLinkDetails(): LinkDetails {
  const details = inject(key);
  if (details === undefined) throw new Error('useLinkDetails outside of a meeting');
  return details;
}
