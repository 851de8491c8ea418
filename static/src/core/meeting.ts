/** A meeting as a whole: puts the parts of the core together and shows them as one `MeetingView`. */
import type { Moderation, ServerMessage, SettingsPatch } from '../protocol/messages';
import { type Address, isRoomName } from './address';
import { Chat } from './chat/chat';
import { Emitter } from './emitter';
import { browserEnvironment, type Environment } from './environment';
import { Mesh } from './mesh';
import { OwnDevices } from './own';
import { PageLife } from './page';
import { checkPath } from './path';
import { personOf } from './person';
import { Presence } from './presence';
import { Reactions } from './reactions';

import { LocalRecording } from './recording/local';
import { isRecorded, keepsRecordings, type RecordingServer } from './recording/server';
import { Reporter } from './report';
import { emptyRoster, isRosterMessage, nextRoster, type Roster, type RosterMessage } from './roster';
import type { SafetyCode } from './safety';
import { SignalingClient } from './signaling';
import { OWN, Speakers } from './speakers';
import { newcomer, nextStanding, type Standing } from './standing';
import type {
  DeviceKind,
  Failure,
  LinkStatistics,
  MeetingControls,
  MeetingView,
  PathReport,
  Phase,
} from './types';
import { Upgrade } from './upgrade';

/** What a `Meeting` is made of. */
export interface MeetingOptions {
  readonly room: string;
  readonly address: Address;
  /** What the room is set to, if this person makes it (R38). */
  readonly settings?: SettingsPatch;
  /** What whoever runs the server has signed for this person (R58); another one by `setToken`. */
  readonly token?: string;
  /** The secret of whoever made the room (R57). */
  readonly hostKey?: string;
  /** The token ends in so many milliseconds: the time for `setToken` (R61). */
  readonly onTokenExpiring?: (expiresInMs: number) => void;
  /** What the page was built as, to be told when the server is another. */
  readonly version?: string;
  /** The browser by default. */
  readonly environment?: Environment;
}

/** One room, from the lobby to the leave, and again. */
export class Meeting implements MeetingControls {
  readonly #room: string;
  readonly #address: Address;
  readonly #onTokenExpiring: (expiresInMs: number) => void;
  readonly #environment: Environment;
  readonly #events = new Emitter<{ view: MeetingView; statistics: readonly LinkStatistics[] }>();
  readonly #own: OwnDevices;
  readonly #presence: Presence;
  readonly chat: Chat;
  readonly recording: LocalRecording;
  readonly reactions: Reactions;
  readonly #upgrade: Upgrade;
  #outdated: string | undefined;
  #features: readonly string[] = [];
  #recorded = false;
  readonly #page: PageLife;
  #phase: Phase = { kind: 'lobby' };
  #trouble: Failure | undefined;
  #path: PathReport | undefined;
  #roster: Roster = emptyRoster;
  #standing: Standing = newcomer;
  #signaling: SignalingClient | undefined;
  #mesh: Mesh | undefined;
  /** When to make up for what the servers did not take. */
  #catchUp: number | undefined;
  readonly #speakers: Speakers;
  readonly #reporter: Reporter;
  #view: MeetingView;

  constructor(options: MeetingOptions) {
    const { room, address, version, environment = browserEnvironment() } = options;
    this.#room = room;
    this.#address = address;
    this.#onTokenExpiring = options.onTokenExpiring ?? (() => undefined);
    this.#environment = environment;
    this.#own = new OwnDevices(environment);
    this.#presence = new Presence({
      own: this.#own,
      signs: () => ({ hand: this.#standing.hand, recording: this.recording.sign }),
      maySend: () => this.#maySend,
      settings: options.settings,
      token: options.token,
      hostKey: options.hostKey,
    });
    this.#speakers = new Speakers({
      clock: environment.clock,
      levels: () => this.#levels(),
      onChange: () => {
        this.#publish();
      },
    });
    this.chat = new Chat({
      clock: environment.clock,
      store: environment.files,
      onChange: () => {
        this.#publish();
      },
    });
    this.#reporter = new Reporter({
      clock: environment.clock,
      links: () => this.#mesh?.statistics ?? [],
      send: (links) => this.#signaling?.mention({ type: 'quality', links }),
    });
    this.#upgrade = new Upgrade(version);
    this.reactions = new Reactions({
      clock: environment.clock,
      send: (data) => {
        if (!this.#maySend || this.#signaling?.state !== 'open') return false;
        this.#signaling.send({ type: 'broadcast', data });
        return true;
      },
      onChange: () => {
        this.#publish();
      },
    });
    this.recording = new LocalRecording({
      room,
      store: environment.files,
      ability: environment.recording,
      clock: environment.clock,
      server: () => {
        const [way, resume] = [this.#recordingServer, this.#signaling?.resume];
        return way && resume !== undefined ? { way, resume } : undefined;
      },
      ownSound: () => [this.#own.mic.track, this.#own.screen.tracks.screenSound],
      onChange: () => {
        this.#announce();
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
      onAway: () => {
        this.#outOfRoom('joining');
      },
      onWoken: (milliseconds) => {
        const failure = { code: 'page_slept', detail: `${Math.round(milliseconds / 1_000)} s` } as const;
        this.#stand({ ...this.#standing, notice: { kind: 'failure', failure } });
      },
    });
    this.#view = this.#render();
    this.#own.events.on('change', () => {
      this.#mesh?.setTracks(this.#own.tracks);
      this.#announce();
      this.#publish();
    });
  }

  get view(): MeetingView {
    return this.#view;
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

  setHand(on: boolean): void {
    this.#stand({ ...this.#standing, hand: on });
  }

  moderate(act: Moderation): void {
    this.#signaling?.send({ type: 'moderate', ...act });
  }

  /** Shows this token from now on; who is in stays by it (R61). */
  setToken(token: string): void {
    this.#presence.token = token;
    this.#signaling?.send({ type: 'renew', token });
  }

  dismissNotice(): void {
    this.#stand({ ...this.#standing, notice: undefined });
  }

  /** Listeners send nothing (R42). */
  get #maySend(): boolean {
    return this.#roster.role !== 'listener';
  }

  /** From the wish to enter to the end. */
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

  async checkPath(): Promise<void> {
    const { connect, fetch, media, clock } = this.#environment;
    if (!connect || !media || this.#path?.state === 'checking') return;
    this.#showPath({ state: 'checking' });
    const socketUrl = (room: string): string => this.#address.socket(room);
    const checkUrl = this.#address.http('check');
    const server = this.#recordingServer;
    const recorded = server ? isRecorded(server) : Promise.resolve(false);
    void recorded.then((recorded) => {
      this.#recorded = recorded;
      this.#publish();
    });
    this.#showPath(await checkPath({ socketUrl, checkUrl, connect, fetch, media, clock }));
  }

  get #recordingServer(): RecordingServer | undefined {
    const { send, clock } = this.#environment;
    return send && { send, clock, address: this.#address, room: this.#room };
  }

  join(name: string): void {
    if (this.#active) return;
    const { connect, media, fetch, post, clock } = this.#environment;
    if (!isRoomName(this.#room)) {
      this.#refused({ code: 'room_invalid' });
      return;
    }
    if (!connect || !media) {
      this.#refused({ code: 'browser_unsupported' });
      return;
    }
    this.#presence.name = name;
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
    });
    this.#signaling = signaling;
    this.#mesh = new Mesh({
      media,
      clock,
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
    this.#listen(signaling);
    this.#page.start(signaling, this.#mesh);
    this.#speakers.start();
    signaling.start();
  }

  watchStatistics(listener: (links: readonly LinkStatistics[]) => void): () => void {
    const unsubscribe = this.#events.on('statistics', listener);
    listener(this.#mesh?.statistics ?? []);
    return unsubscribe;
  }

  async safetyCode(id: string): Promise<SafetyCode | undefined> {
    try {
      return await this.#mesh?.safetyCode(id);
    } catch (error) {
      this.#environment.report(error);
      return undefined;
    }
  }

  leave(pageEnds = false): void {
    if (this.#active) this.#phase = { kind: 'left' };
    this.#signaling?.leave(pageEnds);
    this.#end();
    // Last, so that nobody is told of a muted microphone on the way out.
    this.#own.close();
  }

  /** Leaves, and lets go of the browser: for a page that goes on without this meeting. It may not be joined again. */
  dispose(): void {
    this.leave();
    this.#own.equipment.dispose();
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
      // The room may have ended and begun again, with a lobby, while signaling was away.
      this.#outOfRoom('waiting');
    });
    events.on('refused', (failure) => {
      this.#refused(failure);
    });
    events.on('problem', this.#environment.report);
  }

  #receive(message: ServerMessage): void {
    const before = this.#roster === emptyRoster ? undefined : this.#roster.role;
    if (isRosterMessage(message)) this.#rosterChanged(message);
    this.#stand(nextStanding(this.#standing, message, this.#roster, before));
    if (message.type === 'resumed') this.#announce();
    if (this.#isUnsaid(message)) {
      this.#presence.forget();
      this.#announce();
    }
    // What a host switched off goes off at once (R44).
    if (message.type === 'switched_off') this.#own.switchOff(message.what);
    else if (message.type === 'signal') this.#mesh?.handle(message.from, message.data);
    else if (message.type === 'ice_servers') this.#mesh?.setIceServers(message.ice_servers);
    else if (message.type === 'token_expiring') this.#onTokenExpiring(message.expires_in_ms);
    else if (message.type === 'broadcast') this.reactions.receive(message.from, message.data);
    else if (message.type === 'error') {
      this.#environment.report(message);
      if (message.code === 'busy') this.#catchUpIn(message.retry_after_ms);
    }
  }

  /** Whether a server that has ended its part of a recording took back the sign, too, and it goes on here (R87). */
  #isUnsaid(message: ServerMessage): boolean {
    if (message.type !== 'state' || this.#phase.kind !== 'joined' || message.id !== this.#phase.selfId)
      return false;
    return this.recording.sign === true && message.state.recording === undefined;
  }

  /** Something was not passed on (R78): everybody is looked at again, as after a roster that was missed. */
  #catchUpIn(milliseconds = 0): void {
    this.#catchUp ??= this.#environment.clock.setTimeout(() => {
      this.#catchUp = undefined;
      this.#presence.forget();
      this.#announce();
      this.#signaling?.send({ type: 'sync' });
    }, milliseconds);
  }

  #rosterChanged(message: RosterMessage): void {
    const before = this.#roster;
    this.#roster = nextRoster(before, message);
    if (before.role !== 'listener' && !this.#maySend) this.#own.close();
    if (message.type === 'welcome') {
      this.#presence.welcomed(message.permissions);
      this.#reporter.start(message.quality_seconds);
      if (this.#upgrade.welcome(message.server.version)) this.#outdated = message.server.version;
      this.#features = message.features;
      this.#phase = { kind: 'joined', selfId: message.self };
      this.#mesh?.start(message.self, message.ice_servers);
      this.#announce();
    }
    if (this.#roster.resync && !before.resync) this.#signaling?.send({ type: 'sync' });
    if (!this.#roster.resync && this.#roster !== before)
      this.#mesh?.reconcile(this.#roster.peers, message, this.#roster.role);
  }

  #stand(standing: Standing): void {
    if (standing === this.#standing) return;
    this.#standing = standing;
    this.#announce();
    this.#publish();
  }

  #membersChanged(): void {
    const members = this.#mesh?.members ?? [];
    this.chat.setOthers(
      members.map(({ entry: { id, name }, peer: { link, resting } }) => ({ id, name, link, resting })),
    );
    this.#publish();
  }

  #levels(): ReadonlyMap<string, number> {
    const own = this.#own.equipment.amplitude;
    const levels = this.#mesh?.levels ?? new Map<string, number>();
    return own === undefined ? levels : new Map([...levels, [OWN, own]]);
  }

  /** Tells the room one's own state, where it is another than the room knows. */
  #announce(): void {
    if (this.#signaling?.state !== 'open') return;
    const state = this.#presence.news();
    if (state) this.#signaling.send({ type: 'state', state });
  }

  #refused(failure: Failure): void {
    this.#phase = { kind: 'refused', failure };
    this.#end();
    // No light stays on behind a page that says no; another name is asked for where the devices are tried.
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
    this.#environment.clock.clearTimeout(this.#catchUp);
    this.#catchUp = undefined;
    // First: what it shows is about to go.
    this.recording.stop();
    this.#reporter.stop();
    this.reactions.clear();
    this.#mesh?.close();
    this.#roster = emptyRoster;
    this.#standing = newcomer;
  }

  #showPath(path: PathReport): void {
    this.#path = path;
    this.#publish();
  }

  #publish(): void {
    this.#view = this.#render();
    this.#events.emit('view', this.#view);
  }

  #render(): MeetingView {
    return {
      room: this.#room,
      phase: this.#phase,
      signaling: this.#signaling?.state ?? 'closed',
      ...(this.#trouble && { trouble: this.#trouble }),
      mic: this.#presence.shown('mic'),
      camera: this.#presence.shown('camera'),
      screen: this.#presence.permits('screen')
        ? this.#own.screen.view
        : { ...this.#own.screen.view, available: false },
      ...(this.#own.preview && { preview: this.#own.preview }),
      people: (this.#mesh?.members ?? []).map((member) =>
        personOf(member, this.#speakers.speaks(member.entry.id)),
      ),
      ...(this.#speakers.floor !== undefined && { speaker: this.#speakers.floor }),
      role: this.#roster.role,
      settings: this.#roster.settings,
      speaking: this.#speakers.speaks(OWN),
      hand: this.#standing.hand,
      waiting: this.#standing.waiting,
      degraded: this.#standing.degraded,
      ...(this.#standing.notice && { notice: this.#standing.notice }),
      ...(this.recording.view && { recording: this.recording.view }),
      recordingPlaces:
        this.#roster.role === 'host' && keepsRecordings(this.#features) ? ['device', 'server'] : ['device'],
      recorded: this.#recorded,
      reactions: this.reactions.shown,
      ...(this.#outdated !== undefined && { outdated: this.#outdated }),
      chat: this.chat.entries,
      choices: this.#own.equipment.choices,
      loudspeaker: this.#own.equipment.speaker,
      ...(this.#path && { path: this.#path }),
    };
  }
}
