/**
 * What one knows of the room, and what the room knows of oneself: both follow the messages (R14 to R23, R36 to R45),
 * and what was missed is made up for.
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

/** What a `Membership` is made of. */
export interface MembershipOptions {
  readonly clock: Clock;
  readonly presence: Presence;
  /** The way to the room, while there is one. */
  readonly signaling: () => SignalingClient | undefined;
  /** The roster has taken in a message; `before` is without it. */
  readonly onRoster: (message: RosterMessage, before: Roster) => void;
  /** The standing has changed. */
  readonly onChange: () => void;
}

/** One person in a room, from the first `welcome` until `forget`, and again. */
export class Membership {
  readonly #options: MembershipOptions;
  #roster: Roster = emptyRoster;
  #standing: Standing = newcomer;
  #hands: readonly string[] = [];
  /** Who waits, as shown last. */
  #waiting: readonly Waiting[] = [];
  /** One's own id, while one is in. */
  #self: string | undefined;
  /** When to make up for what the servers did not take. */
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

  /** Listeners send nothing (R42). */
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
    // A server that has ended its part of a recording took back the sign, too, and it goes on here (R87).
    if (
      message.type === 'state' &&
      message.id === this.#self &&
      this.#options.presence.isUnsaid(message.state)
    )
      this.#announceAll();
    if (message.type === 'error' && message.code === 'busy') this.#catchUpIn(message.retry_after_ms);
  }

  /** Something of one's standing is another. */
  stand(change: Partial<Standing>): void {
    this.#stand({ ...this.#standing, ...change });
  }

  /** Tells the room one's own state, where it is another than the room knows. */
  announce(): void {
    const signaling = this.#options.signaling();
    if (signaling?.state !== 'open') return;
    const state = this.#options.presence.news();
    if (state) signaling.send({ type: 'state', state });
  }

  /** One is in no room any more. */
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

  /** Something was not passed on (R78): everybody is looked at again, as after a roster that was missed. */
  #catchUpIn(milliseconds = 0): void {
    this.#catchUp ??= this.#options.clock.setTimeout(() => {
      this.#catchUp = undefined;
      this.#announceAll();
      this.#options.signaling()?.send({ type: 'sync' });
    }, milliseconds);
  }
}
