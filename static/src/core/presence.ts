/** The member's own state as announced to the room: with the `join`, and after each change (R20, R21). */
import type { SettingsPatch, State } from '../protocol/messages';
import type { OwnDevices } from './own';
import type { Hello } from './signaling';
import type { DeviceView, Failure, MeetingView } from './types';

/** State keys of the media that may be sent. */
const SENDING = ['mic', 'camera', 'screen'] as const;
type Sending = (typeof SENDING)[number];
/** A single object, because a new failure object is displayed again. */
const NOT_PERMITTED: Failure = { code: 'not_permitted' };

/** State that Roundtable's page announces about itself (R20). */
type OwnState = Readonly<Record<Sending | 'hand' | 'recording', boolean>>;

/** Options of a `Presence`. */
export interface PresenceOptions {
  readonly own: OwnDevices;
  /** Returns the parts of the state that are not devices. */
  readonly signs: () => Pick<OwnState, 'hand' | 'recording'>;
  /** Listeners send no media (R42). */
  readonly maySend: () => boolean;
  readonly settings: SettingsPatch | undefined;
  readonly token: string | undefined;
  readonly hostKey: string | undefined;
}

/** The user as presented to the other members. */
export class Presence {
  readonly #options: PresenceOptions;
  /** Name and token for the next `join`. */
  name = '';
  token: string | undefined;
  /** Permissions from the token; `undefined` means everything that the role allows. */
  permissions: readonly string[] | undefined;
  /** State that the room knows, serialized. */
  #announced = '';
  /** State in the last `join`, which becomes the known state with a `welcome`. */
  #greeted = '';

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.token = options.token;
  }

  /** Returns whether both the role and the token allow a medium (R59). */
  may(what: Sending): boolean {
    return this.#options.maySend() && this.#permits(what);
  }

  /** View of the user's devices, including those that are not permitted. */
  get view(): Pick<MeetingView, 'mic' | 'camera' | 'screen' | 'preview'> {
    const { screen, preview } = this.#options.own;
    return {
      mic: this.#shown('mic'),
      camera: this.#shown('camera'),
      screen: this.#permits('screen') ? screen.view : { ...screen.view, available: false },
      ...(preview && { preview }),
    };
  }

  hello(): Hello {
    const { settings, hostKey } = this.#options;
    const state = this.#state();
    this.#greeted = JSON.stringify(state);
    return {
      name: this.name,
      state,
      ...(settings && { settings }),
      ...(this.token !== undefined && { token: this.token }),
      ...(hostKey !== undefined && { host_key: hostKey }),
    };
  }

  /** Records that the room knows the state of the `join`, and switches off what is not permitted. */
  welcomed(permissions: readonly string[] | undefined): void {
    this.permissions = permissions;
    this.#announced = this.#greeted;
    for (const what of SENDING) if (!this.may(what)) this.#options.own.switchOff(what);
  }

  /** Returns whether the room's view of this member lacks the state of an ongoing recording. */
  isUnsaid(state: State): boolean {
    return this.#options.signs().recording && state.recording === undefined;
  }

  /** Marks the room's knowledge as uncertain, so that the next announcement contains everything. */
  forget(): void {
    this.#announced = '';
  }

  /** Returns the state if it differs from what the room knows, and records it as announced. */
  news(): OwnState | undefined {
    const state = this.#state();
    const announced = JSON.stringify(state);
    if (announced === this.#announced) return undefined;
    this.#announced = announced;
    return state;
  }

  #permits(what: Sending): boolean {
    return this.permissions?.includes(what) ?? true;
  }

  /** Returns a device's view, with a failure if it is not permitted. */
  #shown(what: 'mic' | 'camera'): DeviceView {
    const present = this.#options.own[what].view;
    return this.#permits(what) ? present : { ...present, failure: NOT_PERMITTED };
  }

  #state(): OwnState {
    return { ...this.#options.own.state, ...this.#options.signs() };
  }
}
