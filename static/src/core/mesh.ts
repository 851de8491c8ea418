/**
 * A connection to everyone, driven by the roster. Media does not notice when signaling drops: a peer whose link is
 * lost is kept, and what is said to it waits in the server (R52); a peer that a fresh roster does not have, because
 * the server has begun anew or is told of it later, is kept while its media flows, and goes on where it was when it
 * comes back with the same id (R11, R16).
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

/** How long media may outlive signaling. */
const AWAY_MS = 20_000;
/** How long a peer without signaling and media is kept: it may be just about to return. */
const GONE_MS = 4_000;
/** Who left so will not be back as the same: said so, was sent out, or had its time to come back (R16). */
const FOR_GOOD: readonly LeaveReason[] = ['left', 'removed', 'unauthorized', 'closed', 'timeout'];

/** What a `Mesh` is made of. */
export interface MeshOptions {
  readonly media: MediaFactory;
  readonly clock: Clock;
  /** One's own certificate for all connections; the browser makes one for each where there is none. */
  readonly certificate?: () => RTCCertificate | undefined;
  readonly send: (to: string, data: SignalData) => void;
  /** A connection to someone was made, and with it the data channel. */
  readonly onChannel: (id: string, channel: RTCDataChannel) => void;
  /** `members` has changed. */
  readonly onChange: () => void;
  /** A link broke: signaling may be broken too, and not know it yet. */
  readonly onInterrupted?: () => void;
  /** `statistics` have grown. */
  readonly onMeasured?: () => void;
  readonly onError: (error: unknown) => void;
}

/** One other person, as far as the mesh is concerned. */
export interface Member {
  /** Of the roster; the last one while away. */
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
  /** What is sent there. */
  plan: Plan | undefined;
  readonly peer: Peer;
}

/** All connections of one's own. */
export class Mesh {
  readonly #options: MeshOptions;
  /** In the order in which they joined; who comes back keeps the place. */
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

  /** How loud everybody is whose microphone is on, by id. */
  get levels(): ReadonlyMap<string, number> {
    const open = [...this.#slots].filter(([, { entry }]) => entry.state.mic === true);
    return new Map(open.map(([id, { peer }]) => [id, peer.level]));
  }

  /** What was measured of each link. */
  get statistics(): readonly LinkStatistics[] {
    return [...this.#slots].map(([id, { entry }]) => ({
      id,
      name: entry.name,
      samples: this.#monitor.samples(id),
    }));
  }

  /**
   * After each `welcome`. With another id than before, all connections are made anew.
   *
   * @param relayOnly connect through TURN servers only, so that others do not learn this person's network addresses
   */
  start(selfId: string, iceServers: readonly IceServer[], relayOnly?: boolean): void {
    if (selfId !== this.#selfId) this.close();
    this.#selfId = selfId;
    this.#policy = relayOnly ? 'relay' : 'all';
    this.setIceServers(iceServers);
  }

  /** Takes fresh credentials for TURN servers (R73); links that stand use them when they look for another way. */
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

  /** Takes the roster that came of `cause`, and one's own role in it. */
  reconcile(entries: readonly Entry[], cause: RosterMessage, role: Role = 'participant'): void {
    this.#role = role;
    // After a snapshot nobody knows what was lost before it.
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
    // Not for each state: others send hundreds a second, and asking all senders for their parameters takes milliseconds.
    if (this.#slots.size !== people) this.#adapt();
    this.#options.onChange();
  }

  /** Takes a `signal`. */
  handle(from: string, data: unknown): void {
    const slot = this.#slots.get(from);
    if (slot) {
      this.#try(() => {
        slot.peer.handle(data);
      });
      return;
    }
    // Its `peer_joined` was missed; what it says now would be missed too.
    const answer = refusal(data);
    if (answer) this.#options.send(from, answer);
  }

  /** Sends other tracks to everyone. */
  setTracks(tracks: LocalTracks): void {
    this.#tracks = tracks;
    this.#each((peer) => {
      peer.setTracks(tracks);
    });
    this.#adapt();
  }

  /** Sends, and asks for, as much as the person chose. */
  setQuality(quality: Quality): void {
    this.#quality = quality;
    this.#each((peer) => {
      peer.setReception(RECEPTION_OF[quality]);
    });
    this.#adapt();
  }

  /** The network changed: looks for new paths. */
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
          // Whoever is away cannot be reached; `recheck` makes up for it when they return.
          if (!this.#slots.get(id)?.away) send(id, data);
        },
        onLink: () => {
          const slot = this.#slots.get(id);
          if (slot?.away) this.#removeLater(slot);
          else if (slot?.peer.link === 'interrupted') this.#options.onInterrupted?.();
          // A new connection knows nothing of the plan.
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

  /** Two listeners have nothing for each other, and the server relays nothing between them (R42). */
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

  /** Shares the uplink out among everyone. */
  #adapt(): void {
    for (const slot of this.#slots.values()) this.#adaptTo(slot);
  }

  /** Sends one person their share. */
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

  /** A defect in one peer never disturbs another. */
  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

/** What a state says is off is not played, whatever arrives (R44); nor is a listener. */
function playedOf({ role, state }: Entry): Played {
  const on = (key: keyof Played): boolean => role !== 'listener' && state[key] === true;
  return { mic: on('mic'), camera: on('camera'), screen: on('screen') };
}
