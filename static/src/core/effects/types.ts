import type { Failure } from '../types';

/** A track derived from another one, until it is closed. */
export interface TrackFilter {
  readonly track: MediaStreamTrack;
  close(): void;
}

/** Opens a filter on a device's track. Rejects if the browser does not support it. */
export type OpenFilter = (track: MediaStreamTrack) => Promise<TrackFilter>;

/** User-visible state of an effect. Off initially. */
export interface EffectView {
  readonly on: boolean;
  /** The effect is being loaded or started; until then the device's own track is sent. */
  readonly pending: boolean;
  /** Why the effect turned itself off. */
  readonly failure?: Failure;
}
