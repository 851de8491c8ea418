/** What the room is told of oneself: with the `join`, and whenever it has changed (R20, R21). */
import type { SettingsPatch, State } from '../protocol/messages';
import type { OwnDevices } from './own';
import type { Hello } from './signaling';
import type { DeviceView, Failure, MeetingView } from './types';

/** What may be sent, by its key of the state. */
const SENDING = ['mic', 'camera', 'screen'] as const;
type Sending = (typeof SENDING)[number];
/** One object, as a failure that is another one is shown anew. */
const NOT_PERMITTED: Failure = { code: 'not_permitted' };

/** What Roundtable's page says about itself (R20). */
type OwnState = Readonly<Record<Sending | 'hand' | 'recording', boolean>>;

/** What a `Presence` is made of. */
export interface PresenceOptions {
  readonly own: OwnDevices;
  /** What else is told of one's state. */
  readonly signs: () => Pick<OwnState, 'hand' | 'recording'>;
  /** Listeners send nothing (R42). */
  readonly maySend: () => boolean;
  readonly settings: SettingsPatch | undefined;
  readonly token: string | undefined;
  readonly hostKey: string | undefined;
}

/** One person in a room, as the others are to know it. */
export class Presence {
  readonly #options: PresenceOptions;
  /** What is shown at the next `join`. */
  name = '';
  token: string | undefined;
  /** Of the token; everything that the role allows where it says nothing. */
  permissions: readonly string[] | undefined;
  /** The state that the room knows. */
  #announced = '';
  /** The state in the last `join`, which counts where the answer is a `welcome`. */
  #greeted = '';

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.token = options.token;
  }

  /** What the role allows, and the token leaves (R59). */
  may(what: Sending): boolean {
    return this.#options.maySend() && this.#permits(what);
  }

  /** One's own devices, and which of them may not be on. */
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

  /** The room knows what the `join` said; what is not permitted goes off. */
  welcomed(permissions: readonly string[] | undefined): void {
    this.permissions = permissions;
    this.#announced = this.#greeted;
    for (const what of SENDING) if (!this.may(what)) this.#options.own.switchOff(what);
  }

  /** Whether the room's state of oneself lacks the sign of a recording that goes on. */
  isUnsaid(state: State): boolean {
    return this.#options.signs().recording && state.recording === undefined;
  }

  /** What the room knows is not certain: the next news say everything. */
  forget(): void {
    this.#announced = '';
  }

  /** One's state, where it is another than the room knows; from now on it knows it. */
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

  /** A device with why it may not be on. */
  #shown(what: 'mic' | 'camera'): DeviceView {
    const present = this.#options.own[what].view;
    return this.#permits(what) ? present : { ...present, failure: NOT_PERMITTED };
  }

  #state(): OwnState {
    return { ...this.#options.own.state, ...this.#options.signs() };
  }
}
