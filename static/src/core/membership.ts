/**
 * Tracks the room's state and announces the member's own state: both follow the server's messages (R14 to R23, R36 to
 * R45), and missed changes are recovered.
 */
import type { ServerMessage } from '../protocol/messages';
import type { Clock } from './clock';
import { handsInOrder } from './hands';
import { distinguish } from './names';
import type { Presence } from './presence';
import { emptyRoster, isRosterMessage, nextRoster, type Roster, type RosterMessage } from './roster';
import type { SignalingClient } from './signaling';
import { newcomer, nextStanding, type Standing } from './standing';
import { stableList } from './stable';
import type { MeetingView, Waiting } from './types';

/** Options of a `Membership`. */
export interface MembershipOptions {
  readonly clock: Clock;
  readonly presence: Presence;
  /** The signaling client, while there is one. */
  readonly signaling: () => SignalingClient | undefined;
  /** Called when the roster has applied a message; `before` is the previous roster. */
  readonly onRoster: (message: RosterMessage, before: Roster) => void;
  /** Called when the standing has changed. */
  readonly onChange: () => void;
}

/** A member's state in a room, from the first `welcome` until `forget`; reusable. */
export class Membership {
  readonly #options: MembershipOptions;
  #roster: Roster = emptyRoster;
  #standing: Standing = newcomer;
  #hands: readonly string[] = [];
  /** The waiting list as last shown. */
  #waiting: readonly Waiting[] = [];
  /** The member's own id, while joined. */
  #self: string | undefined;
  /** Timer for recovering changes that the servers did not accept. */
  #catchUp: number | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  get roster(): Roster {
    return this.#roster;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Listeners send no media (R42). */
  get maySend(): boolean {
    return this.#roster.role !== 'listener';
  }

  get view(): Pick<MeetingView, 'role' | 'settings' | 'hand' | 'hands' | 'waiting' | 'degraded' | 'notice'> {
    const { peers, role, settings } = this.#roster;
    const { hand, degraded, notice } = this.#standing;
    const inside = [this.#options.presence.name, ...peers.map(({ name }) => name)];
    this.#waiting = stableList(this.#waiting, distinguish(this.#standing.waiting, inside));
    const [hands, waiting] = [this.#hands, this.#waiting];
    return { role, settings, hand, hands, waiting, degraded, ...(notice && { notice }) };
  }

  receive(message: ServerMessage): void {
    const before = this.#roster;
    if (isRosterMessage(message)) this.#rosterChanged(message);
    const role = before === emptyRoster ? undefined : before.role;
    const peers = distinguish(this.#roster.peers, [this.#options.presence.name]);
    this.#stand(nextStanding(this.#standing, message, { ...this.#roster, peers }, role));
    if (message.type === 'resumed') this.announce();
    // A server that ends its part of a recording also clears the member's recording state. If the local recording
    // continues, announce it again (R87).
    if (
      message.type === 'state' &&
      message.id === this.#self &&
      this.#options.presence.isUnsaid(message.state)
    )
      this.#announceAll();
    if (message.type === 'error' && message.code === 'busy') this.#catchUpIn(message.retry_after_ms);
  }

  /** Applies a change to the member's own standing. */
  stand(change: Partial<Standing>): void {
    this.#stand({ ...this.#standing, ...change });
  }

  /** Announces the member's own state if it differs from what the room knows. */
  announce(): void {
    const signaling = this.#options.signaling();
    if (signaling?.state !== 'open') return;
    const state = this.#options.presence.news();
    if (state) signaling.send({ type: 'state', state });
  }

  /** Resets everything after leaving the room. */
  forget(): void {
    this.#options.clock.clearTimeout(this.#catchUp);
    this.#catchUp = undefined;
    this.#self = undefined;
    this.#roster = emptyRoster;
    this.#standing = newcomer;
    this.#hands = [];
  }

  #rosterChanged(message: RosterMessage): void {
    const before = this.#roster;
    this.#roster = nextRoster(before, message);
    if (message.type === 'welcome') this.#self = message.self;
    this.#hands = handsInOrder(this.#roster, this.#self);
    this.#options.onRoster(message, before);
    if (this.#roster.resync && !before.resync) this.#options.signaling()?.send({ type: 'sync' });
  }

  #stand(standing: Standing): void {
    if (standing === this.#standing) return;
    this.#standing = standing;
    this.announce();
    this.#options.onChange();
  }

  #announceAll(): void {
    this.#options.presence.forget();
    this.announce();
  }

  /** Schedules a full resynchronization after a message was not delivered (R78), as after a missed roster change. */
  #catchUpIn(milliseconds = 0): void {
    this.#catchUp ??= this.#options.clock.setTimeout(() => {
      this.#catchUp = undefined;
      this.#announceAll();
      this.#options.signaling()?.send({ type: 'sync' });
    }, milliseconds);
  }
}
