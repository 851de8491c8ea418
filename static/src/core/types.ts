/**
 * Data that the core shows to its renderer: plain and immutable. The UI reads a `MeetingView` and calls the methods
 * of `Meeting`; nothing else crosses the boundary.
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

/** All failures that can affect a user. The UI has one sentence and one action for each. */
export type FailureCode =
  // the page
  | 'insecure_context' // plain HTTP on a host other than localhost: no getUserMedia (W3C Secure Contexts)
  | 'page_outdated' // the server was upgraded, and parts of the page may be gone
  | 'browser_unsupported' // no RTCPeerConnection or no WebSocket
  // devices
  | 'devices_unavailable' // a secure page without getUserMedia: an in-app browser
  | 'permission_denied'
  | 'device_blocked' // the operating system denies the browser access to it
  | 'no_device'
  | 'device_busy' // or blocked by the operating system: some browsers do not distinguish these
  | 'device_failed'
  | 'not_permitted' // the token does not permit this device (R59)
  | 'screen_failed' // the browser or the operating system does not allow sharing the screen
  | 'device_unplugged' // the open device was disconnected, and there is no other
  | 'device_replaced' // the open device was disconnected, and another one is open now
  | 'effect_failed' // noise suppression cannot be loaded or started
  // the open device delivers no data: taken by a call or another program, or switched off at the device
  | 'device_paused'
  // signaling
  | 'room_invalid'
  | 'name_invalid'
  | 'room_full'
  | 'server_full'
  | 'too_many_attempts' // too many joins from this network (R66)
  | 'too_many_connections' // too many open connections from this network (R65)
  | 'origin_refused' // the server does not accept pages of this origin (R64)
  | 'rate_limited' // this page sent far too many messages (R75)
  | 'servers_busy' // the servers that share the room could not process the request (R78)
  | 'servers_apart' // the servers that share the room cannot reach each other (R77)
  | 'server_unreachable' // no response, or the server went away; the client keeps trying
  | 'wrong_address' // something responds that is not a Roundtable server
  | 'path_changed' // a proxy forwards requests to the server under another path
  | 'superseded' // the same session was opened elsewhere
  | 'room_locked' // a host has locked the room (R39)
  | 'lobby_refused' // a host did not admit this person (R40)
  | 'removed' // a host removed this person (R45)
  | 'ended' // a host ended the meeting for everyone (R46)
  | 'host_absent' // the room ended while this person waited in its lobby, because nobody returned (R111)
  // moderation
  | 'admit_full' // the room is full, so nobody can be admitted (R40)
  | 'person_gone' // the target of the command is not in the room (R37)
  | 'hosts_only' // the user is not a host, or no longer one (R37)
  | 'token_missing' // the server requires a token (R58)
  | 'token_expired' // the token has expired (R62)
  | 'token_refused' // the token is not valid here
  | 'protocol_error' // the server rejected a message of the page: a defect
  // media
  | 'no_path' // ICE found no path to a peer
  | 'sound_blocked' // the browser requires a user gesture first
  // recording
  | 'recording_unsupported' // this browser does not support recording
  | 'recording_falsified' // the browser alters what is read from a canvas
  | 'recording_limit' // the maximum size was reached; the file is complete
  | 'recording_cut' // disk writes failed; the file holds what was kept before
  | 'recording_failed' // nothing could be saved
  | 'upload_refused' // the server does not accept a recording now (R84)
  | 'upload_no_room' // the server has no space for any recording
  | 'upload_behind' // the upload has fallen behind; the data waits on this device
  | 'upload_full' // the server's disk accepts no more: the rest stays on this device (R86)
  | 'upload_limit' // the recording has reached the server's maximum size: the rest stays on this device
  | 'upload_lost' // the server cannot be reached or has ended the recording: the rest stays on this device
  | 'page_slept'; // the machine or the tab was suspended and has resumed

/** A failure with details for developers. */
export interface Failure {
  readonly code: FailureCode;
  readonly detail?: string;
  /** Milliseconds until the page retries by itself, if the server announced a delay. */
  readonly retryMs?: number;
}

/** State of the signaling socket, as in `data-signaling` on the document element. */
export type SignalingState = 'connecting' | 'open' | 'lost' | 'closed';

/** State of the media connection to one person. */
export type LinkState =
  | 'connecting'
  | 'slow' // takes long, although nothing indicates that there is no path
  | 'connected'
  | 'interrupted'
  | 'failed'; // no path was found

/** Another member of the room. */
export interface Person {
  readonly id: string;
  /** With the start of the id appended if several people have the same name. */
  readonly name: string;
  /** The name comes from a signed token (R97). */
  readonly nameFromToken: boolean;
  readonly role: Role;
  readonly mic: boolean;
  readonly camera: boolean;
  /** The person is speaking. */
  readonly speaking: boolean;
  /** The person has raised their hand. */
  readonly hand: boolean;
  /** The person records what they see and hear. */
  readonly recording: boolean;
  /** The recording goes to the server, where the operator has it (R87). */
  readonly recordsToServer: boolean;
  readonly link: LinkState;
  /**
   * There is no connection by design, because both are listeners (R42). Chat and files are not sent to this person.
   */
  readonly resting: boolean;
  /** Signaling to this person is lost while media may still flow: shown as away, removed when media stops. */
  readonly away: boolean;
  /** One stream for the person's whole membership: its tracks are the fixed audio and camera receivers. */
  readonly stream: MediaStream;
  /** The shared screen with its sound, while there is one; the same object for each share. */
  readonly screen: MediaStream | undefined;
  /** Absent until measured. */
  readonly quality?: LinkQuality;
  /** The certificates of the current connection, for `safetyCode` of `safety.ts`; absent while DTLS connects. */
  readonly fingerprints?: string;
  /**
   * Result of comparing the safety code with this person, and whether the code has changed since then. `other`: it is
   * not the compared code of this name, which somebody else in the room has.
   */
  readonly safety?: 'compared' | 'changed' | 'other';
}

/** Measurements of the link to one person over the last minutes, oldest first. */
export interface LinkStatistics {
  readonly id: string;
  readonly name: string;
  readonly samples: readonly Sample[];
}

/** State of a file's transfer to one person; all but the first two are final. */
export type TransferState =
  | 'offered'
  | 'moving'
  | 'done'
  | 'refused' // the receiver declined or cancelled it
  | 'withdrawn' // the sender withdrew it
  | 'lost' // the connection between the two ended
  | 'unreadable' // the sender's file is gone or has changed
  | 'unwritable' // the receiver could not write to disk
  | 'too_large' // the receiver's browser cannot keep a file of this size
  | 'broken'; // what arrived is not what was offered

/** Transfer of a file to or from one person. */
export interface Transfer {
  readonly peerId: string;
  readonly name: string;
  readonly state: TransferState;
  /** Bytes that the receiver has stored. */
  readonly bytes: number;
}

/** A message or an offered file. */
export type ChatEntry = ChatText | ChatFile;

interface ChatOrigin {
  readonly id: string;
  /** Sender's id; absent if the user sent it. */
  readonly from?: string;
  readonly name: string;
  /** Time of arrival, in milliseconds since 1970. */
  readonly at: number;
  /** Name of the other person, if only the two of them see it. */
  readonly privateWith?: string;
}

/** A chat message. */
export interface ChatText extends ChatOrigin {
  readonly kind: 'text';
  readonly text: string;
  /** Names of people it has not reached yet. */
  readonly waiting: readonly string[];
}

/** A file: its transfers to everyone it was offered to, or from the person who offers it. */
export interface ChatFile extends ChatOrigin {
  readonly kind: 'file';
  readonly file: string;
  readonly size: number;
  readonly transfers: readonly Transfer[];
  /** Names of people who were present but not connected yet: it was not offered to them. */
  readonly missed: readonly string[];
}

/** A file to send; the browser's `File` is one. */
export interface FileSource {
  readonly name: string;
  readonly size: number;
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** Result of offering a file. */
export type OfferResult = 'offered' | 'not_permitted' | 'too_large' | 'too_many' | 'nobody';

/** Chat and files. Everything goes directly to the other pages; later members do not see it. */
export interface ChatControls {
  /**
   * Sends a message to everyone, or to one person; a listener sends to all hosts, or to one. People without a
   * connection by design (`resting`) are left out. Returns `false` if the message is empty, too long, too frequent,
   * or not permitted.
   */
  say(text: string, to?: string): boolean;
  /** Offers a file to everyone who is connected, or to one person. */
  offer(file: FileSource, to?: string): OfferResult;
  /** Accepts a file. Call it during a user gesture, because the browser may ask where to save it. */
  accept(entryId: string): void;
  /** Declines, cancels or withdraws a file. */
  stop(entryId: string): void;
}

/** State of one of the user's devices. */
export interface DeviceView {
  readonly on: boolean;
  /** Set while the browser is opening the device or asking the user. */
  readonly pending: boolean;
  /** Id of the device that is open, or was last open; from `choices`. */
  readonly id?: string;
  /** Direction of an open camera: towards the user or away. Only phones report it. */
  readonly facing?: 'user' | 'environment';
  /** Why the device cannot be turned on (joining still works), or what happened to one that is on. */
  readonly failure?: Failure;
}

/** State of the user's own shared screen. */
export interface ScreenView extends DeviceView {
  /** `false` on phones, which cannot share their screens. */
  readonly available: boolean;
  /** The shared picture; its sound must not be played locally. */
  readonly stream?: MediaStream;
}

/** The available reactions. */
export const REACTIONS = ['👍', '❤️', '😂', '👏', '🎉', '😮'] as const;

/** One of the available reactions. */
export type ReactionSign = (typeof REACTIONS)[number];

/** A reaction that is currently shown. */
export interface Reaction {
  readonly id: number;
  /** Sender's id; absent if the user sent it. */
  readonly from?: string;
  readonly sign: ReactionSign;
}

/** Controls for reactions. */
export interface ReactionControls {
  /** Shows a reaction to everyone for a moment; ignored if too frequent. Listeners cannot react (R42). */
  react(sign: ReactionSign): void;
}

/** Destination of a recording. */
export type RecordingPlace = 'device' | 'server';

/** State of the user's own recording; absent while off. */
export type RecordingView =
  | { readonly state: 'starting' }
  /** `left`: bytes that the server does not have yet. */
  | { readonly state: 'saving'; readonly left?: number }
  /** `since`: in milliseconds since 1970. */
  | {
      readonly state: 'on';
      readonly since: number;
      readonly place: RecordingPlace;
      /** Why the recording does not reach the server as intended. */
      readonly trouble?: Failure;
    }
  /** Shown until dismissed. */
  | { readonly state: 'failed'; readonly failure: Failure };

/**
 * Controls for recording what the user sees and hears, to a local file or the server; everyone in the room is
 * informed.
 */
export interface RecordingControls {
  /** Maximum file size in bytes; infinite if the file is written to disk as it grows. */
  readonly limit: number;
  /**
   * Asks where to save the file, and records until `stop` or the end of the meeting. Call it during a user gesture.
   *
   * @param scene returns what is seen and heard; called many times a second
   * @param place destination; defaults to this device
   */
  start(scene: () => Scene, place?: RecordingPlace): Promise<void>;
  stop(): void;
  /** Dismisses a failure. */
  dismiss(): void;
}

/** A recent event that concerns the user. */
export type Notice =
  | { readonly kind: 'asked'; readonly ask: Ask; readonly by: string }
  | { readonly kind: 'switched_off'; readonly what: Switch; readonly by: string }
  /**
   * `reason`: set if the change was not made by a host. A returning host is informed that its substitute stepped
   * down.
   */
  | { readonly kind: 'role'; readonly role: Role; readonly before: Role; readonly reason?: RoleReason }
  | { readonly kind: 'failure'; readonly failure: Failure };
/** Kinds of devices that can be chosen. */
export type DeviceKind = 'mic' | 'camera' | 'speaker';

/** A device to choose. */
export interface DeviceChoice {
  readonly id: string;
  /** The system's name for it; may be empty. */
  readonly label: string;
}

/** Result of the connectivity check before joining. */
export type PathReport =
  | { readonly state: 'checking' }
  | {
      readonly state: 'ready';
      /** `none`: the server announces no relay. `unknown`: the server did not reveal its relays to this check. */
      readonly relay: 'reached' | 'unreachable' | 'none' | 'unknown';
    }
  /** Several servers answer in turn and do not share rooms, so people may not see each other. */
  | { readonly state: 'apart' }
  | { readonly state: 'failed'; readonly failure: Failure };

/** The user's progress through a meeting. */
export type Phase =
  | { readonly kind: 'lobby' } // before the room: devices can be tried
  | { readonly kind: 'joining' } // waiting for the first `welcome`
  | { readonly kind: 'waiting' } // waiting for a host to admit the user (R40)
  | { readonly kind: 'joined'; readonly selfId: string }
  | { readonly kind: 'left' } // the user left
  | { readonly kind: 'refused'; readonly failure: Failure }; // will not be retried automatically

/** Everything that is rendered. A new object at each change. */
export interface MeetingView {
  readonly room: string;
  readonly phase: Phase;
  readonly signaling: SignalingState;
  /** Why signaling is not open while the client keeps trying. */
  readonly trouble?: Failure;
  readonly mic: DeviceView;
  readonly camera: DeviceView;
  readonly screen: ScreenView;
  /** The user's own picture; `undefined` while there is none. */
  readonly preview?: MediaStream;
  readonly people: readonly Person[];
  /** Names of people whose safety code has changed since it was compared and who are not there. */
  readonly changedAbsent: readonly string[];
  /** The id of whoever of the others has the floor: speaks, or has spoken last. */
  readonly speaker?: string;
  /** The user's own role (R36). A listener sends no media. */
  readonly role: Role;
  readonly settings: Settings;
  /** The user's own voice is audible. */
  readonly speaking: boolean;
  /** The user's own hand is raised. */
  readonly hand: boolean;
  /** Ids of everyone with a raised hand, including the user, in the order in which the hands were raised. */
  readonly hands: readonly string[];
  /** People who ask to be admitted; only hosts see them. */
  readonly waiting: readonly Waiting[];
  /** The room is on several servers that cannot reach each other, so changes to it are delayed (R77). */
  readonly degraded: boolean;
  /** Shown until dismissed. */
  readonly notice?: Notice;
  readonly recording?: RecordingView;
  /** Noise suppression; absent until first requested. */
  readonly noise?: EffectView;
  /** Quality setting for sending and receiving. */
  readonly quality: Quality;
  /** Available destinations of a recording; the server only for hosts, and only if it keeps recordings (R84). */
  readonly recordingPlaces: readonly RecordingPlace[];
  /** The user's role in the chat (R108). */
  readonly writer: Writer;
  /** The room is currently being recorded to the server, as known before joining (R87). */
  readonly recorded: boolean;
  /** Oldest first. */
  readonly reactions: readonly Reaction[];
  /** The server's new version, if it was upgraded since the page was loaded. */
  readonly outdated?: string;
  /** Messages since the user joined, oldest first. */
  readonly chat: readonly ChatEntry[];
  /** When the log began if others were already in the room, in milliseconds since 1970. */
  readonly chatSince?: number;
  /** Available devices; empty until the browser reveals them. */
  readonly choices: Readonly<Record<DeviceKind, readonly DeviceChoice[]>>;
  /** Audio output for `setSinkId` (W3C Audio Output §2); empty is the system's default. */
  readonly loudspeaker: string;
  /** Result of `checkPath`. */
  readonly path?: PathReport;
}

/** Commands that the UI can give to a meeting. Every method is safe in every phase, and none throws or rejects. */
export interface MeetingControls {
  /** Calls the listener with the current view and every later one until the returned function is called. */
  subscribe(listener: (view: MeetingView) => void): () => void;
  readonly view: MeetingView;
  /** Opens or closes the microphone; before joining, so that it can be tried. */
  setMic(on: boolean): Promise<void>;
  setCamera(on: boolean): Promise<void>;
  /** Switches to the camera that faces the other way, on a phone. */
  flipCamera(): Promise<void>;
  /** Asks the user which screen to share and shares it, or ends the share. Call it during a user gesture. */
  setScreen(on: boolean): Promise<void>;
  /** Turns suppression of noise in the microphone's sound on or off. */
  suppressNoise(on: boolean): Promise<void>;
  /** Turns the system's background blur on or off, if the camera's track supports it. */
  setBlur(on: boolean): Promise<void>;
  /** Changes the quality setting for sending and receiving. */
  setQuality(quality: Quality): void;
  /** Raises or lowers the user's hand; a listener requests to speak with it (R42). */
  setHand(on: boolean): void;
  /** Sends a moderation command; the server rejects it from members who are not hosts (R37). */
  moderate(act: Moderation): void;
  dismissNotice(): void;
  readonly chat: ChatControls;
  readonly recording: RecordingControls;
  readonly reactions: ReactionControls;
  /** Selects a device, even during a call. */
  choose(kind: DeviceKind, id: string): Promise<void>;
  /** Reports the microphone level, from 0 to 1, until the returned function is called. */
  watchLevel(listener: (level: number) => void): () => void;
  /**
   * Checks whether server and relay can be reached, and whether the meeting is recorded; the results are in `path`
   * and `recorded`.
   */
  checkPath(): Promise<void>;
  /** Name and devices for rejoining without asking; set if this tab has just reloaded the page of a meeting. */
  readonly rejoinAs?: RejoinAs | undefined;
  /** Joins the room, with whatever devices are on. */
  join(name: string): void;
  /** Leaves the room and closes the devices. The meeting may be joined again. */
  leave(): void;
  /** Reports the measurements of each link, now and every two seconds, until the returned function is called. */
  watchStatistics(listener: (links: readonly LinkStatistics[]) => void): () => void;
  /** Records that the code of these `fingerprints` was compared with this person and matched. */
  confirmSafetyCode(id: string, fingerprints: string): void;
}
