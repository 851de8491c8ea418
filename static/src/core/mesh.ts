/**
 * Connections to all members, driven by the roster. Media continues when signaling drops: a peer whose link is lost
 * is kept, and signals to it are queued in the server (R52). A peer that is missing from a new roster, because the
 * server restarted or has not learned of it yet, is kept while its media flows. It continues where it was when it
 * returns with the same id (R11, R16).
 */
import type { IceServer, LeaveReason, Peer as Entry, Role } from '../protocol/messages';
import { type Plan, planFor, type Quality, RECEPTION_OF } from './adaptation';
import type { Clock } from './clock';
import type { LocalTracks } from './connection';
import { Monitor } from './monitor';
import { type MediaFactory, Peer, type Played, refusal, type SignalData } from './peer';
import type { LinkQuality } from './quality';
import type { RosterMessage } from './roster';
import type { LinkStatistics } from './types';

/** Time for which media may outlive signaling. */
const AWAY_MS = 20_000;
/** Time for which a peer without signaling and media is kept, since it may be about to return. */
const GONE_MS = 4_000;
/**
 * Leave reasons after which a member does not return as the same: it left, was removed, or its resume window expired
 * (R16).
 */
const FOR_GOOD: readonly LeaveReason[] = ['left', 'removed', 'unauthorized', 'closed', 'timeout'];

/** Options of a `Mesh`. */
export interface MeshOptions {
  readonly media: MediaFactory;
  readonly clock: Clock;
  /** The page's certificate for all connections; without one, the browser creates one per connection. */
  readonly certificate?: () => RTCCertificate | undefined;
  readonly send: (to: string, data: SignalData) => void;
  /** Called when a connection to a member was created, with its data channel. */
  readonly onChannel: (id: string, channel: RTCDataChannel) => void;
  /** Called when `members` has changed. */
  readonly onChange: () => void;
  /** Called when a link broke: signaling may be broken too and not have noticed. */
  readonly onInterrupted?: () => void;
  /** Called when `statistics` has new samples. */
  readonly onMeasured?: () => void;
  readonly onError: (error: unknown) => void;
}

/** Another member, as far as the mesh is concerned. */
export interface Member {
  /** Roster entry; the last known one while the member is away. */
  readonly entry: Entry;
  readonly away: boolean;
  readonly quality?: LinkQuality | undefined;
  readonly peer: Pick<Peer, 'link' | 'resting' | 'stream' | 'screen' | 'fingerprints'>;
}

interface Slot extends Member {
  entry: Entry;
  away: boolean;
  quality?: LinkQuality | undefined;
  awaySince: number;
  timer: number | undefined;
  /** Current send settings. */
  plan: Plan | undefined;
  readonly peer: Peer;
}

/** All connections of this page. */
export class Mesh {
  readonly #options: MeshOptions;
  /** In join order; a returning member keeps its place. */
  readonly #slots = new Map<string, Slot>();
  readonly #monitor: Monitor;
  #selfId = '';
  #role: Role = 'participant';
  #configuration: RTCConfiguration = {};
  #policy: RTCIceTransportPolicy = 'all';
  #quality: Quality = 'auto';
  #tracks: LocalTracks = { mic: null, camera: null, screen: null, screenSound: null };

  constructor(options: MeshOptions) {
    this.#options = options;
    this.#monitor = new Monitor({
      clock: options.clock,
      peers: () => new Map([...this.#slots].map(([id, { peer }]) => [id, peer])),
      onMeasured: () => {
        this.#measured();
      },
      onError: options.onError,
    });
  }

  get members(): readonly Member[] {
    return [...this.#slots.values()];
  }

  /** Voice levels of all members whose microphone is on, by id. */
  get levels(): ReadonlyMap<string, number> {
    const open = [...this.#slots].filter(([, { entry }]) => entry.state.mic === true);
    return new Map(open.map(([id, { peer }]) => [id, peer.level]));
  }

  /** Measurements of each link. */
  get statistics(): readonly LinkStatistics[] {
    return [...this.#slots].map(([id, { entry }]) => ({
      id,
      name: entry.name,
      samples: this.#monitor.samples(id),
    }));
  }

  /**
   * Starts after a `welcome`. If the own id has changed, all connections are closed and created again.
   *
   * @param relayOnly connect through TURN servers only, so that others do not learn this person's network addresses
   */
  start(selfId: string, iceServers: readonly IceServer[], relayOnly?: boolean): void {
    if (selfId !== this.#selfId) this.close();
    this.#selfId = selfId;
    this.#policy = relayOnly ? 'relay' : 'all';
    this.setIceServers(iceServers);
  }

  /** Takes new TURN credentials (R73). Existing connections use them at their next ICE restart. */
  setIceServers(iceServers: readonly IceServer[]): void {
    const certificate = this.#options.certificate?.();
    this.#configuration = {
      iceServers: [...iceServers],
      bundlePolicy: 'max-bundle',
      iceTransportPolicy: this.#policy,
      ...(certificate && { certificates: [certificate] }),
    };
    this.#each((peer) => {
      peer.configure(this.#configuration);
    });
  }

  /** Applies the roster that resulted from `cause`, and the member's own role in it. */
  reconcile(entries: readonly Entry[], cause: RosterMessage, role: Role = 'participant'): void {
    this.#role = role;
    // After a snapshot it is unknown which messages were lost before it.
    const recheck = cause.type === 'welcome' || cause.type === 'roster';
    const present = new Set(entries.map(({ id }) => id));
    const people = this.#slots.size;
    for (const [id, slot] of this.#slots) {
      if (!present.has(id)) this.#depart(slot, cause.type === 'peer_left' && FOR_GOOD.includes(cause.reason));
    }
    for (const entry of entries) {
      const slot = this.#slots.get(entry.id);
      if (slot) this.#keep(slot, entry, recheck);
      else this.#add(entry);
    }
    if (this.#slots.size > 0) this.#monitor.run();
    // Only if the number of people changed: others send hundreds of states per second, and reading the parameters of
    // all senders takes milliseconds.
    if (this.#slots.size !== people) this.#adapt();
    this.#options.onChange();
  }

  /** Handles a `signal` message. */
  handle(from: string, data: unknown): void {
    const slot = this.#slots.get(from);
    if (slot) {
      this.#try(() => {
        slot.peer.handle(data);
      });
      return;
    }
    // Its `peer_joined` was missed, so the peer's connection cannot be served here: reject the signal.
    const answer = refusal(data);
    if (answer) this.#options.send(from, answer);
  }

  /** Replaces the tracks sent to everyone. */
  setTracks(tracks: LocalTracks): void {
    this.#tracks = tracks;
    this.#each((peer) => {
      peer.setTracks(tracks);
    });
    this.#adapt();
  }

  /** Applies the user's quality setting to what is sent, and requests it from the other pages. */
  setQuality(quality: Quality): void {
    this.#quality = quality;
    this.#each((peer) => {
      peer.setReception(RECEPTION_OF[quality]);
    });
    this.#adapt();
  }

  /** Restarts ICE on all connections after a network change. */
  restart(): void {
    this.#each((peer) => {
      peer.restart();
    });
  }

  close(): void {
    this.#monitor.close();
    for (const slot of [...this.#slots.values()]) this.#remove(slot);
    this.#selfId = '';
  }

  #add(entry: Entry): void {
    const { media, clock, send, onChannel, onChange, onError } = this.#options;
    const { id } = entry;
    this.#try(() => {
      const peer = new Peer({
        selfId: this.#selfId,
        id,
        configuration: this.#configuration,
        tracks: this.#tracks,
        resting: this.#rests(entry),
        reception: RECEPTION_OF[this.#quality],
        media,
        clock,
        send: (data) => {
          // A member that is away cannot be reached; `recheck` makes up for it when it returns.
          if (!this.#slots.get(id)?.away) send(id, data);
        },
        onLink: () => {
          const slot = this.#slots.get(id);
          if (slot?.away) this.#removeLater(slot);
          else if (slot?.peer.link === 'interrupted') this.#options.onInterrupted?.();
          // A new connection has no send settings yet.
          if (slot) this.#adaptTo(slot);
          onChange();
        },
        onFingerprints: onChange,
        onWanted: () => {
          const slot = this.#slots.get(id);
          if (slot) this.#adaptTo(slot);
        },
        onChannel: (channel) => {
          onChannel(id, channel);
        },
        onError,
      });
      peer.setPlayed(playedOf(entry));
      this.#slots.set(id, { entry, away: false, awaySince: 0, timer: undefined, plan: undefined, peer });
    });
  }

  #keep(slot: Slot, entry: Entry, recheck: boolean): void {
    const returned = slot.away;
    slot.entry = entry;
    slot.away = false;
    slot.peer.setPlayed(playedOf(entry));
    slot.peer.setResting(this.#rests(entry));
    this.#options.clock.clearTimeout(slot.timer);
    if (recheck || returned) {
      this.#try(() => {
        slot.peer.recheck();
      });
    }
  }

  #depart(slot: Slot, forGood: boolean): void {
    if (forGood) {
      this.#remove(slot);
    } else if (!slot.away) {
      slot.away = true;
      slot.awaySince = this.#options.clock.now();
      this.#removeLater(slot);
    }
  }

  /** Two listeners have no media for each other, and the server relays no signals between them (R42). */
  #rests({ role }: Entry): boolean {
    return role === 'listener' && this.#role === 'listener';
  }

  #removeLater(slot: Slot): void {
    const { clock, onChange } = this.#options;
    const left = slot.awaySince + AWAY_MS - clock.now();
    clock.clearTimeout(slot.timer);
    slot.timer = clock.setTimeout(
      () => {
        this.#remove(slot);
        onChange();
      },
      slot.peer.link === 'connected' ? left : Math.min(left, GONE_MS),
    );
  }

  #remove(slot: Slot): void {
    this.#options.clock.clearTimeout(slot.timer);
    this.#slots.delete(slot.entry.id);
    this.#try(() => {
      slot.peer.close();
    });
  }

  #measured(): void {
    let changed = false;
    for (const [id, slot] of this.#slots) {
      const quality = this.#monitor.quality(id);
      if (quality?.bars === slot.quality?.bars && quality?.reason === slot.quality?.reason) continue;
      slot.quality = quality;
      changed = true;
    }
    this.#adapt();
    this.#options.onMeasured?.();
    if (changed) this.#options.onChange();
  }

  /** Divides the uplink among all peers. */
  #adapt(): void {
    for (const slot of this.#slots.values()) this.#adaptTo(slot);
  }

  /** Applies one peer's share. */
  #adaptTo(slot: Slot): void {
    const situation = {
      people: this.#slots.size,
      sharing: this.#tracks.screen !== null,
      availableKbps: this.#monitor.availableKbps(slot.entry.id),
      quality: this.#quality,
      reception: slot.peer.wanted,
    };
    slot.plan = planFor(situation, slot.plan);
    void slot.peer.adapt(slot.plan);
  }

  #each(action: (peer: Peer) => void): void {
    for (const { peer } of this.#slots.values()) {
      this.#try(() => {
        action(peer);
      });
    }
  }

  /** Runs an action so that a defect in one peer does not affect another. */
  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

/**
 * Returns which media to play. A source that the member's state declares off is not played, whatever arrives (R44); a
 * listener is not played at all.
 */
function playedOf({ role, state }: Entry): Played {
  const on = (key: keyof Played): boolean => role !== 'listener' && state[key] === true;
  return { mic: on('mic'), camera: on('camera'), screen: on('screen') };
}
