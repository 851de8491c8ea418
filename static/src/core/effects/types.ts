import type { Failure } from '../types';

/** A track that is made of another one, until it is closed. */
export interface TrackFilter {
  readonly track: MediaStreamTrack;
  close(): void;
}

/** Makes a filter for a track of a device. Rejects where the browser cannot. */
export type OpenFilter = (track: MediaStreamTrack) => Promise<TrackFilter>;

/** An effect as the person sees it. Off at the beginning. */
export interface EffectView {
  readonly on: boolean;
  /** It is being loaded or started; until then the device's own track is sent. */
  readonly pending: boolean;
  /** Why it went off by itself. */
  readonly failure?: Failure;
}
