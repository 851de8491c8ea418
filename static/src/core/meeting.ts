/** A meeting as a whole: connects the parts of the core and combines their state into one `MeetingView`. */
import type { Moderation, ServerMessage, SettingsPatch } from '../protocol/messages';
import { type Address, isRoomName } from './address';
import { Archive } from './chat/archive';
import type { Quality } from './adaptation';
import { Chat } from './chat/chat';
import { writerOf } from './chat/rights';
import { Emitter } from './emitter';
import { cameraSize } from './devices';
import { browserEnvironment, type Environment, originProof } from './environment';
import type { RejoinAs } from './rejoin';
import { Membership } from './membership';
import { type Member, Mesh } from './mesh';
import { distinguish } from './names';
import { OwnDevices } from './own';
import { PageLife } from './page';
import { personOf } from './person';
import { Presence } from './presence';
import { Reactions } from './reactions';
import { Readiness } from './readiness';
import { LocalRecording } from './recording/local';
import { keepsRecordings } from './recording/server';
import { Reporter } from './report';
import type { Roster, RosterMessage } from './roster';
import { SignalingClient } from './signaling';
import { OWN, Speakers } from './speakers';
import { stableList } from './stable';
import { TabSession } from './tabSession';
import type {
  DeviceKind,
  Failure,
  LinkStatistics,
  MeetingControls,
  MeetingView,
  Person,
  Phase,
} from './types';
import { Upgrade } from './upgrade';
import type { Identified } from './verification';

/** Options of a `Meeting`. */
export interface MeetingOptions {
  readonly room: string;
  readonly address: Address;
  /** Settings for the room if this member creates it (R38). */
  readonly settings?: SettingsPatch;
  /** Token signed by the operator for this person (R58); `setToken` replaces it. */
  readonly token?: string;
  /** The room creator's secret (R57). */
  readonly hostKey?: string;
  /**
   * Called when the token expires in the given number of milliseconds, so that the page can call `setToken` (R61).
   */
  readonly onTokenExpiring?: (expiresInMs: number) => void;
  /** Version the page was built as, compared with the server's version. */
  readonly version?: string;
  /** Asked at each join: calls go through TURN servers only, also where the server does not ask for it (R106). */
  readonly relayOnly?: () => boolean;
  /** The browser by default. */
  readonly environment?: Environment;
}

/** One room, from the lobby page until leaving, any number of times. */
export class Meeting implements MeetingControls {
  readonly #room: string;
  readonly #address: Address;
  readonly #onTokenExpiring: (expiresInMs: number) => void;
  readonly #environment: Environment;
  readonly #events = new Emitter<{ view: MeetingView; statistics: readonly LinkStatistics[] }>();
  readonly #own: OwnDevices;
  readonly #presence: Presence;
  readonly #membership: Membership;
  readonly #readiness: Readiness;
  readonly chat: Chat;
  readonly recording: LocalRecording;
  readonly reactions: Reactions;
  readonly #upgrade: Upgrade;
  #outdated: string | undefined;
  #features: readonly string[] = [];
  readonly #wantsRelayOnly: () => boolean;
  #relayOnly = false;
  readonly #page: PageLife;
  #quality: Quality = 'auto';
  #phase: Phase = { kind: 'lobby' };
  #trouble: Failure | undefined;
  #signaling: SignalingClient | undefined;
  #mesh: Mesh | undefined;
  readonly #speakers: Speakers;
  readonly #reporter: Reporter;
  readonly #tab: TabSession;
  #people: readonly Person[] = [];
  #view: MeetingView;

  constructor(options: MeetingOptions) {
    const { room, address, version, environment = browserEnvironment() } = options;
    const { clock, send, session } = environment;
    this.#room = room;
    this.#address = address;
    this.#wantsRelayOnly = options.relayOnly ?? (() => false);
    this.#onTokenExpiring = options.onTokenExpiring ?? (() => undefined);
    this.#environment = environment;
    this.#tab = new TabSession(room, environment);
    const publish = (): void => {
      this.#publish();
    };
    this.#own = new OwnDevices(environment);
    this.#presence = new Presence({
      own: this.#own,
      signs: () => ({ hand: this.#membership.standing.hand, recording: this.recording.sign }),
      maySend: () => this.#membership.maySend,
      settings: options.settings,
      token: options.token,
      hostKey: options.hostKey,
    });
    this.#membership = new Membership({
      clock,
      presence: this.#presence,
      signaling: () => this.#signaling,
      onRoster: (message, before) => {
        this.#rosterChanged(message, before);
      },
      onChange: publish,
    });
    const recordings = send && { send, clock, address, room };
    this.#readiness = new Readiness({ environment, address, recordings, onChange: publish });
    this.#speakers = new Speakers({ clock, levels: () => this.#levels(), onChange: publish });
    this.chat = new Chat({
      clock,
      store: environment.files,
      ...(session && { archive: new Archive(session, room) }),
      onChange: publish,
    });
    this.#reporter = new Reporter({
      clock,
      links: () => this.#mesh?.statistics ?? [],
      send: (links) => this.#signaling?.mention({ type: 'quality', links }),
    });
    this.#upgrade = new Upgrade(version);
    this.reactions = new Reactions({
      clock,
      send: (data) => {
        if (!this.#membership.maySend || this.#signaling?.state !== 'open') return false;
        this.#signaling.send({ type: 'broadcast', data });
        return true;
      },
      onChange: publish,
    });
    this.recording = new LocalRecording({
      room,
      store: environment.files,
      ability: environment.recording,
      clock,
      server: () => {
        const resume = this.#signaling?.resume;
        return recordings && resume !== undefined ? { way: recordings, resume } : undefined;
      },
      ownSound: () => [this.#own.tracks.mic, this.#own.screen.tracks.screenSound],
      onChange: () => {
        this.#membership.announce();
        this.#publish();
      },
      report: environment.report,
    });
    this.#page = new PageLife({
      environment,
      own: this.#own,
      onEnd: () => {
        this.leave(true);
      },
      onAway: (signaling) => {
        // The browser may still decide not to restore this page.
        signaling.away(this.#suspend());
        this.chat.save();
        this.#outOfRoom('joining');
      },
      mayReturn: async () => {
        if (await this.#tab.reclaim()) return true;
        this.#refused({ code: 'superseded' });
        return false;
      },
      onWoken: (milliseconds) => {
        const failure = { code: 'page_slept', detail: `${Math.round(milliseconds / 1_000)} s` } as const;
        this.#membership.stand({ notice: { kind: 'failure', failure } });
      },
    });
    // Fail right away, before the user enters a name and chooses devices.
    if (this.#impossible) this.#phase = { kind: 'refused', failure: { code: this.#impossible } };
    this.#view = this.#render();
    this.#own.events.on('change', () => {
      this.#mesh?.setTracks(this.#own.tracks);
      this.#membership.announce();
      this.#publish();
    });
  }

  get view(): MeetingView {
    return this.#view;
  }

  get rejoinAs(): RejoinAs | undefined {
    return this.#tab.rejoinAs;
  }

  subscribe(listener: (view: MeetingView) => void): () => void {
    const unsubscribe = this.#events.on('view', listener);
    listener(this.#view);
    return unsubscribe;
  }

  setMic(on: boolean): Promise<void> {
    return this.#own.mic.set(on && this.#presence.may('mic'));
  }

  setCamera(on: boolean): Promise<void> {
    return this.#own.camera.set(on && this.#presence.may('camera'));
  }

  flipCamera(): Promise<void> {
    return this.#own.camera.flip();
  }

  async suppressNoise(on: boolean): Promise<void> {
    await this.#own.suppressNoise(on).catch(this.#environment.report);
  }

  setBlur(on: boolean): Promise<void> {
    return this.#own.camera.refine({ backgroundBlur: on });
  }

  setQuality(quality: Quality): void {
    this.#quality = quality;
    void this.#own.camera.refine(cameraSize(quality));
    this.#mesh?.setQuality(quality);
    this.#publish();
  }

  setHand(on: boolean): void {
    this.#membership.stand({ hand: on });
  }

  moderate(act: Moderation): void {
    this.#signaling?.send({ type: 'moderate', ...act });
  }

  /** Replaces the token. A joined member stays in the room by the new one (R61). */
  setToken(token: string): void {
    this.#presence.token = token;
    this.#signaling?.send({ type: 'renew', token });
  }

  dismissNotice(): void {
    this.#membership.stand({ notice: undefined });
  }

  /** Why joining is impossible here in principle. */
  get #impossible(): 'room_invalid' | 'browser_unsupported' | undefined {
    if (!isRoomName(this.#room)) return 'room_invalid';
    const { connect, media } = this.#environment;
    return connect && media ? undefined : 'browser_unsupported';
  }

  /** Set from the request to join until the meeting ends. */
  get #active(): boolean {
    return ['joining', 'waiting', 'joined'].includes(this.#phase.kind);
  }

  setScreen(on: boolean): Promise<void> {
    return this.#own.screen.set(on && this.#presence.may('screen'));
  }

  choose(kind: DeviceKind, id: string): Promise<void> {
    return this.#own.equipment.choose(kind, id);
  }

  watchLevel(listener: (level: number) => void): () => void {
    return this.#own.equipment.watchLevel(listener);
  }

  checkPath(): Promise<void> {
    return this.#readiness.look();
  }

  join(name: string): void {
    if (this.#active) return;
    const { connect, media, fetch, post, clock } = this.#environment;
    if (!connect || !media || this.#impossible) {
      this.#refused({ code: this.#impossible ?? 'browser_unsupported' });
      return;
    }
    this.#presence.name = name;
    this.#relayOnly = this.#wantsRelayOnly();
    this.#phase = { kind: 'joining' };
    const signaling = new SignalingClient({
      url: this.#address.socket(this.#room),
      checkUrl: this.#address.http('check'),
      leaveUrl: this.#address.leave(this.#room),
      room: this.#room,
      connect,
      fetch,
      post,
      clock,
      hello: () => this.#presence.hello(),
      proof: originProof(this.#environment, this.#address),
    });
    this.#signaling = signaling;
    this.#mesh = new Mesh({
      media,
      clock,
      certificate: () => this.#tab.verification?.certificate,
      send: (to, data) => {
        signaling.send({ type: 'signal', to, data });
      },
      onChannel: (id, channel) => {
        this.chat.attach(id, channel);
      },
      onChange: () => {
        this.#membersChanged();
      },
      onInterrupted: () => {
        signaling.wake();
      },
      onMeasured: () => {
        this.#events.emit('statistics', this.#mesh?.statistics ?? []);
      },
      onError: this.#environment.report,
    });
    this.#mesh.setTracks(this.#own.tracks);
    this.#mesh.setQuality(this.#quality);
    this.#listen(signaling);
    this.#page.start(signaling, this.#mesh);
    this.#speakers.start();
    // Wait for the page's certificate, which all connections use.
    this.#tab.open((resume) => {
      if (this.#signaling === signaling) signaling.start(resume);
    });
  }

  watchStatistics(listener: (links: readonly LinkStatistics[]) => void): () => void {
    const unsubscribe = this.#events.on('statistics', listener);
    listener(this.#mesh?.statistics ?? []);
    return unsubscribe;
  }

  confirmSafetyCode(id: string, fingerprints: string): void {
    const member = this.#mesh?.members.find(({ entry }) => entry.id === id);
    if (member === undefined) return;
    this.#tab.verification?.confirm({ id, name: member.entry.name, fingerprints });
    this.#membersChanged();
  }

  leave(pageEnds = false): void {
    const mayReturn = pageEnds && this.#active && this.#suspend();
    if (this.#active) this.#phase = { kind: 'left' };
    if (pageEnds) this.chat.save();
    else this.chat.discard();
    this.#signaling?.leave(pageEnds, mayReturn);
    this.#end();
    // A page that ends may be about to be reloaded.
    if (!pageEnds) this.#tab.end();
    // Last, so that the others are not told of a muted microphone on the way out.
    this.#own.close();
  }

  /**
   * Leaves and releases all browser resources, for a page that continues without this meeting. It cannot be joined
   * again.
   */
  dispose(): void {
    this.leave();
    this.#own.equipment.dispose();
  }

  /** Releases this membership for the next page of this tab. Returns whether there is one. */
  #suspend(): boolean {
    const { mic, camera } = this.#own;
    return this.#tab.suspend({ name: this.#presence.name, mic: mic.view.on, camera: camera.view.on });
  }

  #listen({ events }: SignalingClient): void {
    events.on('state', () => {
      this.#publish();
    });
    events.on('trouble', (trouble) => {
      this.#trouble = trouble;
      this.#publish();
    });
    events.on('message', (message) => {
      this.#receive(message);
    });
    events.on('waiting', () => {
      // The room may have ended and been created again, with a waiting room, while signaling was disconnected.
      this.#outOfRoom('waiting');
    });
    events.on('refused', (failure) => {
      this.#refused(failure);
    });
    events.on('problem', this.#environment.report);
  }

  #receive(message: ServerMessage): void {
    this.#membership.receive(message);
    // A device that a host switched off goes off at once (R44).
    if (message.type === 'switched_off') this.#own.switchOff(message.what);
    else if (message.type === 'signal') this.#mesh?.handle(message.from, message.data);
    else if (message.type === 'ice_servers') this.#mesh?.setIceServers(message.ice_servers);
    else if (message.type === 'token_expiring') this.#onTokenExpiring(message.expires_in_ms);
    else if (message.type === 'broadcast') this.reactions.receive(message.from, message.data);
    else if (message.type === 'error') this.#environment.report(message);
  }

  #rosterChanged(message: RosterMessage, before: Roster): void {
    const { roster, maySend } = this.#membership;
    if (before.role !== 'listener' && !maySend) this.#own.close();
    if (message.type === 'welcome') {
      this.#tab.keep(message.resume);
      this.#presence.welcomed(message.permissions);
      this.#reporter.start(message.quality_seconds);
      if (this.#upgrade.welcome(message.server.version)) this.#outdated = message.server.version;
      this.#features = message.features;
      this.chat.begin(message.peers.length > 0);
      this.#phase = { kind: 'joined', selfId: message.self };
      this.#mesh?.start(message.self, message.ice_servers, this.#relayOnly || message.relay_only === true);
      this.#membership.announce();
    }
    this.chat.writer = writerOf(roster.role, this.#presence.permissions);
    if (!roster.resync && roster !== before) this.#mesh?.reconcile(roster.peers, message, roster.role);
  }

  #membersChanged(): void {
    const members = this.#mesh?.members ?? [];
    this.chat.setOthers(
      this.#shown(members).map(({ entry: { id, name, role, permissions }, peer: { link, resting } }) => ({
        id,
        name,
        link,
        resting,
        writer: writerOf(role, permissions),
      })),
    );
    this.#tab.verification?.check(members.map(identified));
    this.#publish();
  }

  /** Returns the members with names that look alike made distinguishable. */
  #shown(members: readonly Member[]): readonly Member[] {
    const entries = distinguish(
      members.map(({ entry }) => entry),
      [this.#presence.name],
    );
    return members.map((member, at) => ({ ...member, entry: entries[at] ?? member.entry }));
  }

  #levels(): ReadonlyMap<string, number> {
    const own = this.#own.equipment.amplitude;
    const levels = this.#mesh?.levels ?? new Map<string, number>();
    return own === undefined ? levels : new Map([...levels, [OWN, own]]);
  }

  #refused(failure: Failure): void {
    this.#phase = { kind: 'refused', failure };
    if (failure.code !== 'name_invalid') this.#tab.forget();
    this.#end();
    // No camera light stays on behind an error page. After `name_invalid` the user returns to the device preview.
    if (failure.code !== 'name_invalid') this.#own.close();
  }

  #outOfRoom(kind: 'joining' | 'waiting'): void {
    this.#forgetRoom();
    this.#phase = { kind };
    this.#membersChanged();
  }

  #end(): void {
    this.#forgetRoom();
    this.#page.stop();
    this.#speakers.stop();
    this.#mesh = undefined;
    this.#signaling = undefined;
    this.#membersChanged();
  }

  #forgetRoom(): void {
    // First, because what it records is about to go.
    this.recording.stop();
    this.#reporter.stop();
    this.reactions.clear();
    this.#mesh?.close();
    this.#membership.forget();
  }

  #publish(): void {
    this.#view = this.#render();
    this.#events.emit('view', this.#view);
  }

  #render(): MeetingView {
    const membership = this.#membership.view;
    const members = this.#mesh?.members ?? [];
    this.#people = stableList(
      this.#people,
      this.#shown(members).map((shown, at) =>
        personOf(
          shown,
          this.#speakers.speaks(shown.entry.id),
          // Uses the original name: a second person of the same name must not hide a changed code.
          this.#tab.verification?.statusOf(identified(members[at] ?? shown)),
        ),
      ),
    );
    return {
      room: this.#room,
      phase: this.#phase,
      signaling: this.#signaling?.state ?? 'closed',
      ...(this.#trouble && { trouble: this.#trouble }),
      ...this.#presence.view,
      ...membership,
      ...this.#readiness.view,
      people: this.#people,
      changedAbsent: this.#tab.verification?.changedBeyond(members.map(identified)) ?? [],
      ...(this.#speakers.floor !== undefined && { speaker: this.#speakers.floor }),
      speaking: this.#speakers.speaks(OWN),
      ...(this.recording.view && { recording: this.recording.view }),
      recordingPlaces:
        membership.role === 'host' && keepsRecordings(this.#features) ? ['device', 'server'] : ['device'],
      ...(this.#own.noise && { noise: this.#own.noise }),
      quality: this.#quality,
      reactions: this.reactions.shown,
      ...(this.#outdated !== undefined && { outdated: this.#outdated }),
      chat: this.chat.entries,
      ...(this.chat.since !== undefined && { chatSince: this.chat.since }),
      writer: this.chat.writer,
      choices: this.#own.equipment.choices,
      loudspeaker: this.#own.equipment.speaker,
    };
  }
}

function identified({ entry: { id, name }, peer: { fingerprints } }: Member): Identified {
  return { id, name, fingerprints };
}
