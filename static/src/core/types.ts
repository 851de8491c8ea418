/**
 * What the core shows to whoever renders it: plain, immutable data. The UI reads a `MeetingView`
 * and calls the methods of `Meeting`; nothing else crosses the line between them.
 */
import type { Ask, Moderation, Role, RoleReason, Settings, Switch, Waiting } from '../protocol/messages';

export type { Ask, Moderation, Role, RoleReason, Settings, Switch, Waiting };

import type { Quality } from './adaptation';
import type { EffectView } from './effects/types';
import type { RejoinAs } from './rejoin';
import type { LinkQuality } from './quality';
import type { Writer } from './chat/rights';
import type { Scene } from './recording/types';
import type { Sample } from './statistics';

export { QUALITIES, type Quality } from './adaptation';
export type { EffectView } from './effects/types';
export type { LinkQuality, QualityReason } from './quality';
export type { Scene, SceneTile } from './recording/types';
export type { Flow, Path, Received, Sample, Sent } from './statistics';

/** Everything that can go wrong for a person. The UI has one sentence and one action for each. */
export type FailureCode =
  // the page
  | 'insecure_context' // plain http on another host than localhost: no getUserMedia (W3C Secure Contexts)
  | 'page_outdated' // the server was upgraded, and parts of the page may be gone
  | 'browser_unsupported' // no RTCPeerConnection or no WebSocket
  // devices
  | 'devices_unavailable' // a secure page without getUserMedia: a browser within another app
  | 'permission_denied'
  | 'device_blocked' // the operating system does not let the browser use it
  | 'no_device'
  | 'device_busy' // or blocked by the operating system: some browsers do not tell these apart
  | 'device_failed'
  | 'not_permitted' // the token does not leave this device to the person (R59)
  | 'screen_failed' // the browser or the system does not let the screen be shared
  | 'device_unplugged' // the open one went away, and there is no other
  | 'device_replaced' // the open one went away, and another one is open now
  | 'effect_failed' // noise suppression cannot be loaded or started
  | 'device_paused' // the open one gives nothing: taken by a call or another program, or switched off at itself
  // signaling
  | 'room_invalid'
  | 'name_invalid'
  | 'room_full'
  | 'server_full'
  | 'too_many_attempts' // from this network, to join (R66)
  | 'too_many_connections' // are open from this network (R65)
  | 'origin_refused' // the server takes nothing from pages of this address (R64)
  | 'rate_limited' // this page sent far too much (R75)
  | 'servers_busy' // the servers that share the room could not take it (R78)
  | 'servers_apart' // they cannot reach one another (R77)
  | 'server_unreachable' // nothing answers, or it went away; the client keeps trying
  | 'wrong_address' // something answers, but it is no Roundtable server
  | 'path_changed' // a proxy passes requests on to the server under another path
  | 'superseded' // the same session was opened elsewhere
  | 'room_locked' // a host lets nobody in any more (R39)
  | 'lobby_refused' // a host did not let this person in (R40)
  | 'removed' // a host sent this person out (R45)
  | 'ended' // a host ended the meeting for all (R46)
  | 'host_absent' // the room ended while this person waited in its lobby, as nobody returned (R111)
  // what a host does
  | 'admit_full' // there is no place for whoever is to be let in (R40)
  | 'person_gone' // whom the act is about is not there (R37)
  | 'hosts_only' // one is no host, or no longer (R37)
  | 'token_missing' // the server asks for a token (R58)
  | 'token_expired' // and this one's time is over (R62)
  | 'token_refused' // and this one is not good here
  | 'protocol_error' // the server refused what the page sent: a defect
  // media
  | 'no_path' // ICE found no way to a peer
  | 'sound_blocked' // the browser wants a gesture first
  // recording
  | 'recording_unsupported' // this browser cannot
  | 'recording_falsified' // the browser changes what is read from a canvas
  | 'recording_limit' // the largest size was reached; the file is whole
  | 'recording_cut' // the disk took no more; the file holds what was kept before
  | 'recording_failed' // nothing could be saved
  | 'upload_refused' // the server takes no recording now (R84)
  | 'upload_no_room' // because it has no room for any
  | 'upload_behind' // it has not got what was made a while ago: that waits here
  | 'upload_full' // its disk takes no more: the rest stays here (R86)
  | 'upload_limit' // it takes no larger one: the rest stays here
  | 'upload_lost' // it cannot be reached, or has ended the recording: the rest stays here
  | 'page_slept'; // the machine or the tab was suspended, and is back

/** A failure with what a developer would want to see beside it. */
export interface Failure {
  readonly code: FailureCode;
  readonly detail?: string;
  /** Until the page tries again by itself, where the server has said so; in milliseconds. */
  readonly retryMs?: number;
}

/** The signaling socket, as it stands in `data-signaling` on the document element. */
export type SignalingState = 'connecting' | 'open' | 'lost' | 'closed';

/** The media connection to one person. */
export type LinkState =
  | 'connecting'
  | 'slow' // takes long, although nothing shows that there is no path
  | 'connected'
  | 'interrupted'
  | 'failed'; // there seems to be no path

/** Someone else in the room. */
export interface Person {
  readonly id: string;
  /** With the start of the id behind it where several people have the same name. */
  readonly name: string;
  /** Whoever signs tokens has given the name (R97). */
  readonly nameFromToken: boolean;
  readonly role: Role;
  readonly mic: boolean;
  readonly camera: boolean;
  /** A voice comes from there right now. */
  readonly speaking: boolean;
  /** Wants to speak. */
  readonly hand: boolean;
  /** Records what they see and hear. */
  readonly recording: boolean;
  /** And sends it to the server, for whoever runs that (R87). */
  readonly recordsToServer: boolean;
  readonly link: LinkState;
  /** There is no connection, and none is wanted: both are listeners (R42). Neither chat nor files go there. */
  readonly resting: boolean;
  /** Signaling has lost this person, media may still flow: shown as away, removed when media stops. */
  readonly away: boolean;
  /** One stream for this person's whole stay: its tracks are the fixed audio and camera receivers. */
  readonly stream: MediaStream;
  /** The shared screen with its sound, while there is one; the same object at each share. */
  readonly screen: MediaStream | undefined;
  /** Absent until it has been measured. */
  readonly quality?: LinkQuality;
  /** The certificates of the present connection, for `safetyCode` of `safety.ts`; absent while DTLS connects. */
  readonly fingerprints?: string;
  /**
   * Result of comparing the safety code with this person, and whether the code has changed since then. `other`: it is
   * not the compared code of this name, which somebody else in the room has.
   */
  readonly safety?: 'compared' | 'changed' | 'other';
}

/** What was measured of the way to one person in the last minutes, oldest first. */
export interface LinkStatistics {
  readonly id: string;
  readonly name: string;
  readonly samples: readonly Sample[];
}

/** Where a file stands on its way to one person; all but the first two are ends. */
export type TransferState =
  | 'offered'
  | 'moving'
  | 'done'
  | 'refused' // the receiver does not want it, or no longer
  | 'withdrawn' // the sender stopped it
  | 'lost' // the link between the two ended
  | 'unreadable' // the sender's file is gone, or has changed
  | 'unwritable' // the receiver's disk did not take it
  | 'too_large' // the receiver's browser cannot keep so much
  | 'broken'; // what came was not what was offered

/** A file's way to one person, or from one. */
export interface Transfer {
  readonly peerId: string;
  readonly name: string;
  readonly state: TransferState;
  /** What the receiver has stored. */
  readonly bytes: number;
}

/** Something that was said, or a file that was offered. */
export type ChatEntry = ChatText | ChatFile;

interface ChatOrigin {
  readonly id: string;
  /** Who said it, and as what; without `from` it is one's own. */
  readonly from?: string;
  readonly name: string;
  /** When it came, in milliseconds since 1970. */
  readonly at: number;
  /** Between oneself and this person only. */
  readonly privateWith?: string;
}

/** A message. */
export interface ChatText extends ChatOrigin {
  readonly kind: 'text';
  readonly text: string;
  /** Whom it could not reach yet, by name. */
  readonly waiting: readonly string[];
}

/** A file: to all whom it was offered, or from the one who offers it. */
export interface ChatFile extends ChatOrigin {
  readonly kind: 'file';
  readonly file: string;
  readonly size: number;
  readonly transfers: readonly Transfer[];
  /** Who was there and not connected yet, by name: it was not offered to them. */
  readonly missed: readonly string[];
}

/** A file to be sent; the browser's `File` is one. */
export interface FileSource {
  readonly name: string;
  readonly size: number;
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** What became of an offer. */
export type OfferResult = 'offered' | 'not_permitted' | 'too_large' | 'too_many' | 'nobody';

/** Chat and files. Everything goes straight to the others; who comes later does not see it. */
export interface ChatControls {
  /**
   * Says something to everyone who does not rest, or to one; a listener to all hosts, or to one. Says whether it did: not
   * what is empty, too long, too fast, or not permitted.
   */
  say(text: string, to?: string): boolean;
  /** Offers a file to everyone who is connected, or to one. */
  offer(file: FileSource, to?: string): OfferResult;
  /** Takes a file. To be called in a gesture: the browser may ask where to put it. */
  accept(entryId: string): void;
  /** Refuses, stops or withdraws a file. */
  stop(entryId: string): void;
}

/** One device's side of oneself. */
export interface DeviceView {
  readonly on: boolean;
  /** While the browser is asked, or while it asks the person. */
  readonly pending: boolean;
  /** The device that is open, or was last; of `choices`. */
  readonly id?: string;
  /** Which way an open camera looks: at the person, or away. Only phones tell. */
  readonly facing?: 'user' | 'environment';
  /** Why it cannot be on, joining works all the same; or what happened to one that is on. */
  readonly failure?: Failure;
}

/** One's own shared screen. */
export interface ScreenView extends DeviceView {
  /** Telephones cannot share their screens. */
  readonly available: boolean;
  /** What the others see; its sound is not to be played here. */
  readonly stream?: MediaStream;
}

/** What one can say without a word. */
export const REACTIONS = ['👍', '❤️', '😂', '👏', '🎉', '😮'] as const;

/** One of them. */
export type ReactionSign = (typeof REACTIONS)[number];

/** A reaction that is seen now. */
export interface Reaction {
  readonly id: number;
  /** Whose; without it, it is one's own. */
  readonly from?: string;
  readonly sign: ReactionSign;
}

/** Reactions, to everyone. */
export interface ReactionControls {
  /** Shows it to everyone for a moment; does nothing when it is too often. Listeners cannot (R42). */
  react(sign: ReactionSign): void;
}

/** Where a recording goes. */
export type RecordingPlace = 'device' | 'server';

/** One's own recording; there is none where it is off. */
export type RecordingView =
  | { readonly state: 'starting' }
  /** `left`: bytes that the server has not got yet. */
  | { readonly state: 'saving'; readonly left?: number }
  /** `since`: in milliseconds since 1970. */
  | {
      readonly state: 'on';
      readonly since: number;
      readonly place: RecordingPlace;
      /** Why it does not go to the server as it was meant to. */
      readonly trouble?: Failure;
    }
  /** Until it is dismissed. */
  | { readonly state: 'failed'; readonly failure: Failure };

/** Recording what one sees and hears, to a file of one's own; everyone in the room sees that it is done. */
export interface RecordingControls {
  /** The largest file, in bytes; infinite where it goes to the disk as it grows. */
  readonly limit: number;
  /**
   * Asks where to put the file, and records until `stop` or the end of the meeting. To be called in a gesture.
   *
   * @param scene what is seen and heard; asked many times a second
   * @param place where to; on this device where nothing is said
   */
  start(scene: () => Scene, place?: RecordingPlace): Promise<void>;
  stop(): void;
  /** Forgets what failed. */
  dismiss(): void;
}

/** What happened to this person of late. */
export type Notice =
  | { readonly kind: 'asked'; readonly ask: Ask; readonly by: string }
  | { readonly kind: 'switched_off'; readonly what: Switch; readonly by: string }
  /** `reason`: set if no host has changed the role. A returning host is told that its substitute stepped down. */
  | { readonly kind: 'role'; readonly role: Role; readonly before: Role; readonly reason?: RoleReason }
  | { readonly kind: 'failure'; readonly failure: Failure };
/** What can be chosen. */
export type DeviceKind = 'mic' | 'camera' | 'speaker';

/** One device to choose. */
export interface DeviceChoice {
  readonly id: string;
  /** As the system calls it; may be empty. */
  readonly label: string;
}

/** What will work and what will not, looked at before joining. */
export type PathReport =
  | { readonly state: 'checking' }
  | {
      readonly state: 'ready';
      /** `none`: the server names no relay. `unknown`: it told nothing of relays to somebody who only looks. */
      readonly relay: 'reached' | 'unreachable' | 'none' | 'unknown';
    }
  /** Several servers answer in turn and do not share rooms: people may not see each other. */
  | { readonly state: 'apart' }
  | { readonly state: 'failed'; readonly failure: Failure };

/** Where a person stands with a meeting. */
export type Phase =
  | { readonly kind: 'lobby' } // before the room: devices may be tried
  | { readonly kind: 'joining' } // waiting for the first welcome
  | { readonly kind: 'waiting' } // until a host lets them in (R40)
  | { readonly kind: 'joined'; readonly selfId: string }
  | { readonly kind: 'left' } // by one's own will
  | { readonly kind: 'refused'; readonly failure: Failure }; // will not be tried again by itself

/** The whole of what is to be rendered. A new object at each change. */
export interface MeetingView {
  readonly room: string;
  readonly phase: Phase;
  readonly signaling: SignalingState;
  /** Why signaling is not open, while the client keeps trying. */
  readonly trouble?: Failure;
  readonly mic: DeviceView;
  readonly camera: DeviceView;
  readonly screen: ScreenView;
  /** Own picture; `undefined` while there is none. */
  readonly preview?: MediaStream;
  readonly people: readonly Person[];
  /** Names of people whose safety code has changed since it was compared and who are not there. */
  readonly changedAbsent: readonly string[];
  /** The id of whoever of the others has the floor: speaks, or has spoken last. */
  readonly speaker?: string;
  /** One's own role (R36). A listener sends nothing. */
  readonly role: Role;
  readonly settings: Settings;
  /** One's own voice is heard. */
  readonly speaking: boolean;
  /** One's own hand is up. */
  readonly hand: boolean;
  /** Ids of those whose hand is up, one's own included, in the order in which the hands were raised. */
  readonly hands: readonly string[];
  /** Who asks to be let in; only hosts know. */
  readonly waiting: readonly Waiting[];
  /** The room is on several servers, which cannot reach one another: what changes it waits (R77). */
  readonly degraded: boolean;
  /** Until it is dismissed. */
  readonly notice?: Notice;
  readonly recording?: RecordingView;
  /** Noise suppression; absent until it was wanted. */
  readonly noise?: EffectView;
  /** How much is sent and received. */
  readonly quality: Quality;
  /** Where one may record to: to the server only as a host, where it keeps recordings (R84). */
  readonly recordingPlaces: readonly RecordingPlace[];
  /** As what one writes in the chat (R108). */
  readonly writer: Writer;
  /** Before the room: it is recorded to the server at the moment (R87). */
  readonly recorded: boolean;
  /** Oldest first. */
  readonly reactions: readonly Reaction[];
  /** The server's version, where it has been upgraded since the page came. */
  readonly outdated?: string;
  /** What was said since one is here, oldest first. */
  readonly chat: readonly ChatEntry[];
  /** When the log began, where others were there before; in milliseconds since 1970. */
  readonly chatSince?: number;
  /** The devices there are; empty until the browser tells. */
  readonly choices: Readonly<Record<DeviceKind, readonly DeviceChoice[]>>;
  /** Where sound is to go, for `setSinkId` (W3C Audio Output §2); empty is the system's choice. */
  readonly loudspeaker: string;
  /** The result of `checkPath`. */
  readonly path?: PathReport;
}

/** What the UI may ask of a meeting. Every method is safe in every phase, and none throws or rejects. */
export interface MeetingControls {
  /** The present view, and every later one until the returned function is called. */
  subscribe(listener: (view: MeetingView) => void): () => void;
  readonly view: MeetingView;
  /** Opens or closes the microphone; before joining it opens the device so that it can be tried. */
  setMic(on: boolean): Promise<void>;
  setCamera(on: boolean): Promise<void>;
  /** Takes the camera that looks the other way, on a phone. */
  flipCamera(): Promise<void>;
  /** Shares the screen, after the browser has asked which, or ends that. To be called in a gesture. */
  setScreen(on: boolean): Promise<void>;
  /** Takes noises out of the microphone's sound before it is sent, or no longer. */
  suppressNoise(on: boolean): Promise<void>;
  /** Has the system blur what is behind the person, where the camera's track says that it can. */
  setBlur(on: boolean): Promise<void>;
  /** Sends and receives as much as this person chooses, from now on. */
  setQuality(quality: Quality): void;
  /** Raises or lowers one's hand; a listener applies for the microphone with it (R42). */
  setHand(on: boolean): void;
  /** Does what only hosts may; the server refuses it from others (R37). */
  moderate(act: Moderation): void;
  dismissNotice(): void;
  readonly chat: ChatControls;
  readonly recording: RecordingControls;
  readonly reactions: ReactionControls;
  /** Takes this device from now on, in the middle of a call too. */
  choose(kind: DeviceKind, id: string): Promise<void>;
  /** Tells how loud the microphone is, from 0 to 1, until the returned function is called. */
  watchLevel(listener: (level: number) => void): () => void;
  /** Looks whether server and relay can be reached, and whether the meeting is recorded; the results are in `path` and `recorded`. */
  checkPath(): Promise<void>;
  /** How to join at once, without asking: set if this tab has just reloaded the page of a meeting. */
  readonly rejoinAs?: RejoinAs | undefined;
  /** Enters the room, with whatever devices are on. */
  join(name: string): void;
  /** Leaves the room and lets the devices go. The meeting may be joined again. */
  leave(): void;
  /** What is measured of each link, now and every two seconds until the returned function is called. */
  watchStatistics(listener: (links: readonly LinkStatistics[]) => void): () => void;
  /** Remembers that the code of these `fingerprints` was compared with this person, and was the same. */
  confirmSafetyCode(id: string, fingerprints: string): void;
}
