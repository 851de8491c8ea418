/** Available devices, the selected device of each kind, and the microphone level. */
import type { Clock } from './clock';
import type { Device, MediaDevicesLike } from './devices';
import { Emitter } from './emitter';
import type { DeviceChoice, DeviceKind } from './types';

/** Interval of level updates; short enough for a bar that follows a voice. */
const LEVEL_MS = 80;
/** Range of the level display, from silence to a loud voice, in dBFS. */
const QUIET_DB = -55;
const LOUD_DB = -10;

/** Reads the amplitude of a track: the browser's analyser, or a test double. */
export interface LevelReader {
  /** Returns the recent root mean square, from 0 to 1. */
  read(): number;
  close(): void;
}

/** Options of an `Equipment`. */
export interface EquipmentOptions {
  readonly media: MediaDevicesLike | undefined;
  readonly mic: Device;
  readonly camera: Device;
  readonly clock: Clock;
  readonly newLevelReader: (track: MediaStreamTrack) => LevelReader;
}

const KINDS: Readonly<Record<MediaDeviceKind, DeviceKind>> = {
  audioinput: 'mic',
  videoinput: 'camera',
  audiooutput: 'speaker',
};

type Choices = Readonly<Record<DeviceKind, readonly DeviceChoice[]>>;

/** The devices the user can choose from. */
export class Equipment {
  readonly events = new Emitter<{ change: undefined }>();
  readonly #options: EquipmentOptions;
  readonly #listeners = new Set<(level: number) => void>();
  #choices: Choices = { mic: [], camera: [], speaker: [] };
  #speaker = '';
  /** Ids of the devices in use when the list was last made. */
  #listed = '';
  #reader: { readonly track: MediaStreamTrack; readonly level: LevelReader } | undefined;
  #timer: number | undefined;
  readonly #plugged = (): void => void this.#list();

  constructor(options: EquipmentOptions) {
    this.#options = options;
    const { media, mic, camera } = options;
    if (!media) return;
    media.addEventListener('devicechange', this.#plugged);
    for (const device of [mic, camera]) {
      device.events.on('change', () => {
        // Browsers reveal device names only to a page that has opened a device.
        const listed = `${mic.view.id} ${camera.view.id}`;
        if (listed !== this.#listed) void this.#list();
        this.#listed = listed;
      });
    }
    void this.#list();
    mic.events.on('change', () => {
      if (!mic.track) this.#closeReader();
    });
  }

  /** Amplitude of the microphone, from 0 to 1; `undefined` while it is off. */
  get amplitude(): number | undefined {
    const { mic } = this.#options;
    return mic.view.on && mic.track ? this.#read(mic.track) : undefined;
  }

  /** Removes all listeners and closes everything. */
  dispose(): void {
    this.#options.media?.removeEventListener('devicechange', this.#plugged);
    this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
    this.#closeReader();
  }

  get choices(): Choices {
    return this.#choices;
  }

  /** The selected audio output. If it is unplugged, the default is used until it returns. */
  get speaker(): string {
    return this.#choices.speaker.some(({ id }) => id === this.#speaker) ? this.#speaker : '';
  }

  /** Selects a device. Never rejects. */
  async choose(kind: DeviceKind, id: string): Promise<void> {
    if (kind === 'speaker') {
      this.#speaker = id;
      this.events.emit('change', undefined);
    } else {
      await this.#options[kind].choose(id);
    }
  }

  /** Reports the microphone level, from 0 to 1, until the returned function is called. */
  watchLevel(listener: (level: number) => void): () => void {
    this.#listeners.add(listener);
    if (this.#timer === undefined) this.#measure();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#options.clock.clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#closeReader();
    };
  }

  async #list(): Promise<void> {
    const { media } = this.#options;
    if (!media) return;
    let infos: readonly MediaDeviceInfo[];
    try {
      infos = await media.enumerateDevices();
    } catch {
      // A page that may not list devices has none to choose from.
      infos = [];
    }
    const choices: Record<DeviceKind, DeviceChoice[]> = { mic: [], camera: [], speaker: [] };
    for (const { kind, deviceId, label } of infos) {
      if (deviceId !== '') choices[KINDS[kind]].push({ id: deviceId, label });
    }
    if (JSON.stringify(choices) === JSON.stringify(this.#choices)) return;
    this.#choices = choices;
    this.events.emit('change', undefined);
  }

  #measure(): void {
    // Schedule first, so that a throwing listener does not stop the updates.
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#measure();
    }, LEVEL_MS);
    const level = loudness(this.amplitude ?? 0);
    for (const listener of [...this.#listeners]) listener(level);
  }

  /** Returns 0 if the level cannot be read: the browser may have no audio context left. */
  #read(track: MediaStreamTrack): number {
    try {
      if (this.#reader?.track !== track) {
        this.#closeReader();
        this.#reader = { track, level: this.#options.newLevelReader(track) };
      }
      return this.#reader.level.read();
    } catch {
      return 0;
    }
  }

  #closeReader(): void {
    this.#reader?.level.close();
    this.#reader = undefined;
  }
}

/** Maps an amplitude to perceived loudness, from 0 to 1. */
function loudness(amplitude: number): number {
  const decibels = 20 * Math.log10(amplitude);
  return Math.min(1, Math.max(0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}
