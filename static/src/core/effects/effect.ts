/** Derives a processed track from a device's track and follows device changes. Loaded on demand. */
import type { Device } from '../devices';
import type { EffectView, OpenFilter, TrackFilter } from './types';

/** Options of an `Effect`. */
export interface EffectOptions {
  readonly device: Device;
  readonly open: OpenFilter;
  /** Called when `view` or `track` has changed. */
  readonly onChange: () => void;
}

/** An effect on one device. */
export class Effect {
  readonly #options: EffectOptions;
  #view: EffectView = { on: false, pending: false };
  #filter: TrackFilter | undefined;
  /** Source track of the current filter, or of the one being opened. */
  #source: MediaStreamTrack | null = null;

  constructor(options: EffectOptions) {
    this.#options = options;
    options.device.events.on('change', () => {
      this.#follow();
    });
  }

  get view(): EffectView {
    return this.#view;
  }

  /** The track that is sent to the peers: the device's own track while there is no filter. */
  get track(): MediaStreamTrack | null {
    const { track } = this.#options.device;
    return this.#filter && track === this.#source ? this.#filter.track : track;
  }

  set(on: boolean): void {
    this.#view = { on, pending: false };
    this.#follow();
    this.#options.onChange();
  }

  #follow(): void {
    const source = this.#view.on ? this.#options.device.track : null;
    if (source === this.#source) return;
    this.#filter?.close();
    this.#filter = undefined;
    this.#source = source;
    if (source) void this.#open(source);
    else this.#show({ on: this.#view.on, pending: false });
  }

  async #open(source: MediaStreamTrack): Promise<void> {
    this.#show({ on: true, pending: true });
    try {
      const filter = await this.#options.open(source);
      // The device has another track by now, or the effect was turned off.
      if (source !== this.#source) {
        filter.close();
        return;
      }
      this.#filter = filter;
      this.#show({ on: true, pending: false });
    } catch (error) {
      if (source !== this.#source) return;
      this.#source = null;
      this.#show({ on: false, pending: false, failure: { code: 'effect_failed', detail: String(error) } });
    }
  }

  #show(view: EffectView): void {
    this.#view = view;
    this.#options.onChange();
  }
}
