/** One's own devices together: what is sent, what is seen of it, and what it is opened on. */
import type { LocalTracks } from './connection';
import type { Effect } from './effects/effect';
import type { EffectView } from './effects/types';
import { camera, type Device, microphone } from './devices';
import { Emitter } from './emitter';
import type { Environment } from './environment';
import { Equipment } from './equipment';
import { ScreenShare } from './screen';
import type { DeviceView, Switch } from './types';

/** Microphone, camera and screen of this person. `change` says that something of them is another. */
export class OwnDevices {
  readonly events = new Emitter<{ change: undefined }>();
  readonly mic: Device;
  readonly camera: Device;
  readonly screen: ScreenShare;
  readonly equipment: Equipment;
  readonly #newStream: ((tracks: MediaStreamTrack[]) => MediaStream) | undefined;
  #preview: MediaStream | undefined;
  readonly #suppressNoise: Environment['suppressNoise'];
  #noise: Promise<Effect> | undefined;
  #loadedNoise: Effect | undefined;

  constructor({ mediaDevices, isSecure, display, media, clock, newLevelReader, suppressNoise }: Environment) {
    const devices = mediaDevices ?? (isSecure ? 'devices_unavailable' : 'insecure_context');
    this.#suppressNoise = suppressNoise;
    this.mic = microphone(devices);
    this.camera = camera(devices);
    this.screen = new ScreenShare(display);
    this.equipment = new Equipment({
      media: mediaDevices,
      mic: this.mic,
      camera: this.camera,
      clock,
      newLevelReader,
    });
    this.#newStream = media && ((tracks) => media.newStream(tracks));
    for (const { events } of [this.mic, this.camera, this.screen, this.equipment]) {
      events.on('change', () => {
        this.#changed();
      });
    }
  }

  /** One's own picture, while there is one; the same object as long as the camera's track is. */
  get preview(): MediaStream | undefined {
    return this.#preview;
  }

  get tracks(): LocalTracks {
    return { mic: (this.#loadedNoise ?? this.mic).track, camera: this.camera.track, ...this.screen.tracks };
  }

  /** What is on, as the others are told: what gives nothing is off, not a tile that is black or stands still. */
  get state(): Readonly<Record<'mic' | 'camera' | 'screen', boolean>> {
    return { mic: gives(this.mic.view), camera: gives(this.camera.view), screen: this.screen.view.on };
  }

  /** Noise suppression; absent until it was wanted. */
  get noise(): EffectView | undefined {
    return this.#loadedNoise?.view;
  }

  /** Turns noise suppression on or off. Rejects where its code cannot be loaded. */
  async suppressNoise(on: boolean): Promise<void> {
    const open = this.#suppressNoise;
    if (!open) return;
    this.#noise ??= import('./effects/effect').then(({ Effect }) => {
      const onChange = (): void => {
        this.#changed();
      };
      return new Effect({ device: this.mic, open, onChange });
    });
    // Tried again at the next wish.
    this.#noise.catch(() => (this.#noise = undefined));
    this.#loadedNoise = await this.#noise;
    this.#loadedNoise.set(on);
  }

  /** Goes off at once. */
  switchOff(what: Switch): void {
    if (what === 'mic') void this.mic.set(false);
    if (what === 'camera') void this.camera.set(false);
    if (what === 'screen') this.screen.close();
  }

  /** Looks after what may have been taken away unseen. */
  recheck(): void {
    this.mic.recheck();
    this.camera.recheck();
  }

  /** Lets every device go, and its light go out. */
  close(): void {
    this.mic.close();
    this.camera.close();
    this.screen.close();
  }

  #changed(): void {
    const track = this.camera.track;
    if (this.#preview?.getTracks()[0] !== (track ?? undefined)) {
      this.#preview = track ? this.#newStream?.([track]) : undefined;
    }
    this.events.emit('change', undefined);
  }
}

function gives({ on, failure }: DeviceView): boolean {
  return on && failure?.code !== 'device_paused';
}
