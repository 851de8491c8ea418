/** The user's own devices together: what is sent, the preview, and the device choices. */
import type { LocalTracks } from './connection';
import type { Effect } from './effects/effect';
import type { EffectView } from './effects/types';
import { camera, type Device, microphone } from './devices';
import { Emitter } from './emitter';
import type { Environment } from './environment';
import { Equipment } from './equipment';
import { ScreenShare } from './screen';
import type { DeviceView, Switch } from './types';

/** Microphone, camera and screen of this person. Emits `change` when anything about them has changed. */
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

  /** The user's own picture, if there is one; the same object as long as the camera's track stays the same. */
  get preview(): MediaStream | undefined {
    return this.#preview;
  }

  get tracks(): LocalTracks {
    return { mic: (this.#loadedNoise ?? this.mic).track, camera: this.camera.track, ...this.screen.tracks };
  }

  /**
   * On/off state as announced to the others. A paused device counts as off, so that it is not shown as a black or
   * frozen tile.
   */
  get state(): Readonly<Record<'mic' | 'camera' | 'screen', boolean>> {
    return { mic: gives(this.mic.view), camera: gives(this.camera.view), screen: this.screen.view.on };
  }

  /** State of noise suppression; absent until first requested. */
  get noise(): EffectView | undefined {
    return this.#loadedNoise?.view;
  }

  /** Turns noise suppression on or off. Rejects if its code cannot be loaded. */
  async suppressNoise(on: boolean): Promise<void> {
    const open = this.#suppressNoise;
    if (!open) return;
    this.#noise ??= import('./effects/effect').then(({ Effect }) => {
      const onChange = (): void => {
        this.#changed();
      };
      return new Effect({ device: this.mic, open, onChange });
    });
    // The next request tries again.
    this.#noise.catch(() => (this.#noise = undefined));
    this.#loadedNoise = await this.#noise;
    this.#loadedNoise.set(on);
  }

  /** Switches a device off at once. */
  switchOff(what: Switch): void {
    if (what === 'mic') void this.mic.set(false);
    if (what === 'camera') void this.camera.set(false);
    if (what === 'screen') this.screen.close();
  }

  /** Checks for devices that ended without an event. */
  recheck(): void {
    this.mic.recheck();
    this.camera.recheck();
  }

  /** Closes every device, so that its light goes out. */
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
