/** The user's shared screen, with its sound where the browser provides it (W3C Screen Capture §5). */
import { Emitter } from './emitter';
import type { ScreenView } from './types';

/** The part of `navigator.mediaDevices` that sharing uses; phones have no `getDisplayMedia`. */
export type DisplayMediaLike = Pick<MediaDevices, 'getDisplayMedia' | 'getSupportedConstraints'>;

/** Options that the DOM types do not contain yet. */
interface DisplayOptions extends DisplayMediaStreamOptions {
  readonly selfBrowserSurface: 'include' | 'exclude';
  readonly systemAudio: 'include' | 'exclude';
  readonly surfaceSwitching: 'include' | 'exclude';
}

/** The tracks that are sent to the peers. */
export interface ScreenTracks {
  readonly screen: MediaStreamTrack | null;
  readonly screenSound: MediaStreamTrack | null;
}

const NOTHING: ScreenTracks = { screen: null, screenSound: null };

/**
 * Returns capture options that avoid echo: the shared sound must not contain the voices that this page plays. If the
 * browser can exclude those (`restrictOwnAudio`), the sound of the whole system is captured, otherwise only that of
 * another tab. The presenter's own loudspeakers keep playing it, because a presenter who shows a film wants to hear
 * it.
 */
function optionsFor(media: DisplayMediaLike): DisplayOptions {
  const restricts = 'restrictOwnAudio' in media.getSupportedConstraints();
  const sound = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  return {
    // Text needs resolution; 15 fps are enough for a mesh that encodes the picture once per peer.
    video: { frameRate: { ideal: 15, max: 30 }, width: { max: 1920 }, height: { max: 1200 } },
    audio: restricts ? ({ ...sound, restrictOwnAudio: true } as MediaTrackConstraints) : sound,
    selfBrowserSurface: 'exclude',
    systemAudio: restricts ? 'include' : 'exclude',
    surfaceSwitching: 'include',
  };
}

/** The user's own screen share: off, pending, or on. */
export class ScreenShare {
  readonly events = new Emitter<{ change: undefined }>();
  readonly #media: DisplayMediaLike | undefined;
  #view: ScreenView;
  #tracks = NOTHING;
  /** Counts requests, so that a share that is chosen after a newer request is ended again. */
  #wish = 0;

  constructor(media: DisplayMediaLike | undefined) {
    this.#media = media;
    this.#view = this.#off();
  }

  get view(): ScreenView {
    return this.#view;
  }

  get tracks(): ScreenTracks {
    return this.#tracks;
  }

  /** Asks the user what to share, or ends the share. Never rejects. */
  async set(on: boolean): Promise<void> {
    if (!on) this.close();
    else if (!this.#view.on && !this.#view.pending) await this.#open();
  }

  close(): void {
    this.#wish += 1;
    for (const track of [this.#tracks.screen, this.#tracks.screenSound]) {
      if (!track) continue;
      track.onended = null;
      track.stop();
    }
    this.#tracks = NOTHING;
    if (this.#view.on || this.#view.pending || this.#view.failure) this.#show(this.#off());
  }

  async #open(): Promise<void> {
    if (!this.#media) return;
    this.#wish += 1;
    const wish = this.#wish;
    this.#show({ ...this.#off(), pending: true });
    try {
      const stream = await this.#media.getDisplayMedia(optionsFor(this.#media));
      if (wish === this.#wish) this.#use(stream);
      else for (const track of stream.getTracks()) track.stop();
    } catch (error) {
      if (wish !== this.#wish) return;
      // Closing the browser's picker without a choice is a cancellation, not a failure.
      const name = error instanceof Error ? error.name : '';
      const cancelled = name === 'NotAllowedError' && !String(error).includes('system');
      const failure = { code: 'screen_failed', detail: String(error) } as const;
      this.#show({ ...this.#off(), ...(!cancelled && { failure }) });
    }
  }

  #use(stream: MediaStream): void {
    const [screen = null] = stream.getVideoTracks();
    const [screenSound = null] = stream.getAudioTracks();
    if (screen) {
      screen.contentHint = 'detail';
      // The browser's own “stop sharing” was used, or the shared window was closed.
      screen.onended = () => {
        this.close();
      };
    }
    this.#tracks = { screen, screenSound };
    this.#show({ available: true, on: true, pending: false, stream });
  }

  #off(): ScreenView {
    return { available: this.#media !== undefined, on: false, pending: false };
  }

  #show(view: ScreenView): void {
    this.#view = view;
    this.events.emit('change', undefined);
  }
}
