/**
 * Recording of what the user sees and hears, to a local file or to the server. Contains only what must be loaded
 * before it is used; the rest is loaded when a recording begins.
 */
import { type FileSink, type FileStore, MEMORY_BYTES } from '../chat/save';
import { safeName } from '../chat/wire';
import type { Clock } from '../clock';
import type { FailureCode, RecordingControls, RecordingPlace, RecordingView } from '../types';
import type { Recording, RecordingEnd } from './recording';
import type { RecordingServer } from './server';
import type { Scene, Studio } from './types';

/**
 * File types in order of preference: playable by every player, then encoded in hardware, then available in every
 * Firefox. VP9 looks better but needs the CPU time that the call needs.
 */
const MIMES = [
  'video/mp4;codecs=avc1.42E01F,mp4a.40.2',
  'video/mp4;codecs=avc1.42E01F,opus',
  'video/webm;codecs=vp8,opus',
  'video/webm',
  'video/mp4',
];

/**
 * File types for the server. Of what browsers record, only WebM plays up to the point where it was cut off, in every
 * browser that makes it.
 */
const SERVER_MIMES = ['video/webm;codecs=vp8,opus', 'video/webm'];

const FAILURES: Readonly<Record<Exclude<RecordingEnd, 'saved'>, FailureCode>> = {
  limit: 'recording_limit',
  cut: 'recording_cut',
  failed: 'recording_failed',
};

/** Recording support of a browser, known without loading the recording code. */
export interface RecordingAbility {
  /** Returns whether the browser can encode this file type. */
  supports(mime: string): boolean;
  load(): Promise<Studio>;
}

/** Options of a `LocalRecording`. */
export interface LocalRecordingOptions {
  readonly room: string;
  readonly store: FileStore;
  /** `undefined` if recording is not supported. */
  readonly ability: RecordingAbility | undefined;
  readonly clock: Clock;
  /** Connection data of the server and the resume secret of the current session; `undefined` while not joined. */
  readonly server: () => { readonly way: RecordingServer; readonly resume: string } | undefined;
  /** The user's own sound, which is not played locally. */
  readonly ownSound: () => readonly (MediaStreamTrack | null)[];
  /** Called when `view` has changed. */
  readonly onChange: () => void;
  readonly report: (problem: unknown) => void;
}

/** Controller of a recording: off, on, or in between. */
export class LocalRecording implements RecordingControls {
  readonly #options: LocalRecordingOptions;
  #view: RecordingView | undefined;
  #recording: Recording | undefined;
  #place: RecordingPlace = 'device';
  /** The limit for data kept on this device was reached. */
  #full = false;
  /** Counts requests, so that a start that was cancelled meanwhile has no effect. */
  #wish = 0;

  constructor(options: LocalRecordingOptions) {
    this.#options = options;
  }

  get view(): RecordingView | undefined {
    return this.#view;
  }

  get on(): boolean {
    return this.#view?.state === 'on';
  }

  /**
   * Set if the page announces the recording in its state. A recording to the server is announced by the server (R87,
   * R107).
   */
  get sign(): boolean {
    return this.on && this.#place === 'device';
  }

  get limit(): number {
    return this.#options.store.canSave(Infinity) ? Infinity : MEMORY_BYTES;
  }

  async start(scene: () => Scene, place: RecordingPlace = 'device'): Promise<void> {
    if (this.#view !== undefined && this.#view.state !== 'failed') return;
    const { ability, clock, report } = this.#options;
    const mimes = place === 'server' ? SERVER_MIMES : MIMES;
    const mime = mimes.find((each) => ability?.supports(each));
    if (ability === undefined || mime === undefined) {
      this.#fail('recording_unsupported');
      return;
    }
    this.#wish += 1;
    const wish = this.#wish;
    this.#place = place;
    this.#full = false;
    this.#show({ state: 'starting' });
    try {
      // First, because browsers show the file picker only briefly after a user gesture.
      const sink = await (place === 'server' ? this.#toServer(mime) : this.#toDevice(mime));
      if (sink === undefined || typeof sink === 'string') {
        if (wish !== this.#wish) return;
        if (sink === undefined) this.#show(undefined);
        else this.#fail(sink);
        return;
      }
      try {
        const [{ Recording }, studio] = await Promise.all([import('./recording'), ability.load()]);
        if (wish !== this.#wish) {
          sink.abort();
          return;
        }
        if (!studio.isFaithful()) {
          sink.abort();
          this.#fail('recording_falsified');
          return;
        }
        this.#recording = new Recording({
          studio,
          mime,
          sink,
          // The upload itself limits what the server does not accept.
          limit: place === 'server' ? Infinity : this.limit,
          scene: () => this.#with(scene()),
          onEnd: (end, error) => {
            if (error !== undefined) report(error);
            this.#ended(end);
          },
        });
      } catch (error) {
        sink.abort();
        throw error;
      }
      this.#show({ state: 'on', since: clock.now(), place });
    } catch (error) {
      report(error);
      if (wish === this.#wish) this.#fail(place === 'server' ? 'upload_refused' : 'recording_failed');
    }
  }

  #toDevice(mime: string): Promise<FileSink | undefined> {
    return this.#options.store.save(this.#fileName(mime));
  }

  async #toServer(mime: string): Promise<FileSink | FailureCode> {
    const { server, store } = this.#options;
    const known = server();
    if (known === undefined) return 'upload_refused';
    const { beginUpload } = await import('./upload');
    return beginUpload(known.way, known.resume, {
      limit: MEMORY_BYTES,
      onBehind: (behind) => {
        if (this.#view?.state !== 'on') return;
        const { since, place } = this.#view;
        this.#show({ state: 'on', since, place, ...(behind && { trouble: { code: 'upload_behind' } }) });
      },
      onLeft: (left) => {
        if (this.#view?.state === 'saving') this.#show({ state: 'saving', left });
      },
      onLocal: (code) => {
        this.#place = 'device';
        if (this.#view?.state === 'on') this.#show({ ...this.#view, place: 'device', trouble: { code } });
        else this.#options.onChange();
      },
      onFull: () => {
        this.#full = true;
        this.stop();
      },
      saveRest: (rest) => {
        store.download(rest, this.#fileName(mime));
      },
    });
  }

  /** Returns a file name such as `standup 2026-01-02 11.04.mp4`, in local time. */
  #fileName(mime: string): string {
    const two = (number: number): string => String(number).padStart(2, '0');
    const date = new Date(this.#options.clock.now());
    const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
    const time = `${two(date.getHours())}.${two(date.getMinutes())}`;
    return safeName(`${this.#options.room} ${day} ${time}.${mime.startsWith('video/mp4') ? 'mp4' : 'webm'}`);
  }

  /** Stops recording; the file is complete a moment later. */
  stop(): void {
    this.#wish += 1;
    if (this.#view?.state === 'starting') this.#show(undefined);
    if (this.#view?.state !== 'on') return;
    this.#show({ state: 'saving' });
    this.#recording?.stop();
  }

  dismiss(): void {
    if (this.#view?.state === 'failed') this.#show(undefined);
  }

  #with(scene: Scene): Scene {
    const own = this.#options.ownSound().filter((track) => track !== null);
    return { ...scene, sounds: [...scene.sounds, ...own] };
  }

  #ended(end: RecordingEnd): void {
    this.#recording = undefined;
    if (end === 'saved' && !this.#full) this.#show(undefined);
    else if (end === 'saved') this.#fail('recording_limit');
    else this.#fail(FAILURES[end]);
  }

  #fail(code: FailureCode): void {
    this.#show({ state: 'failed', failure: { code } });
  }

  #show(view: RecordingView | undefined): void {
    this.#view = view;
    this.#options.onChange();
  }
}
