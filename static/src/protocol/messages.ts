// Generated from src/protocol by `make protocol`; do not edit.

export type State = { [key in string]?: StateValue };

export type StatePatch = { [key in string]?: StateValue | null };

export type ClientMessage = { "type": "join", 
/**
 * What to call this peer.
 */
name: string, 
/**
 * The state to start with.
 */
state?: StatePatch, 
/**
 * The secret of an earlier `welcome`.
 */
resume?: string, 
/**
 * With `resume`: the number of the last message that has arrived (R53).
 */
last_seq?: number, 
/**
 * What whoever runs the server has signed (R58).
 */
token?: string, 
/**
 * The secret of whoever made the room (R57).
 */
host_key?: string, 
/**
 * What the room is to be set to, where this join makes it (R38).
 */
settings?: SettingsPatch, 
/**
 * Shows that the page is the server's own (R92).
 */
proof?: string, } | { "type": "moderate" } & Moderation | { "type": "signal", 
/**
 * Whom.
 */
to: string, 
/**
 * Any JSON.
 */
data: unknown, } | { "type": "broadcast", 
/**
 * Any JSON.
 */
data: unknown, } | { "type": "state", 
/**
 * What changes; `null` removes a key.
 */
state: StatePatch, } | { "type": "sync" } | { "type": "ping" } | { "type": "ack", 
/**
 * The number of the last message that has arrived.
 */
ack: number, } | { "type": "renew", 
/**
 * The other one.
 */
token: string, } | { "type": "quality", 
/**
 * One for each of the others.
 */
links: Array<LinkReport>, } | { "type": "leave" };

export type ServerMessage = { "type": "welcome" } & Welcome | { "type": "peer_joined", 
/**
 * The roster's version with this peer in it.
 */
version: number, 
/**
 * Who joined.
 */
peer: Peer, } | { "type": "peer_left", 
/**
 * The roster's version without this peer.
 */
version: number, 
/**
 * Who left.
 */
id: string, 
/**
 * Why.
 */
reason: LeaveReason, } | { "type": "link", 
/**
 * The roster's version with this link in it.
 */
version: number, 
/**
 * Whose.
 */
id: string, 
/**
 * From now on.
 */
link: Link, } | { "type": "state", 
/**
 * The roster's version with this state in it.
 */
version: number, 
/**
 * Whose state.
 */
id: string, 
/**
 * All of it.
 */
state: { [key in string]?: StateValue }, } | { "type": "roster", 
/**
 * The version that `peers` is a snapshot of.
 */
version: number, 
/**
 * Everybody else, in the order in which they joined.
 */
peers: Array<Peer>, 
/**
 * One's own role.
 */
role: Role, 
/**
 * As in `Peer`, of oneself.
 */
hand_since?: number, 
/**
 * What the room is set to.
 */
settings: Settings, } | { "type": "role", 
/**
 * The roster's version with this role in it.
 */
version: number, 
/**
 * Whose.
 */
id: string, 
/**
 * The role from now on.
 */
role: Role, 
/**
 * Set if no host has made the change (R110, R112).
 */
reason?: RoleReason, } | { "type": "settings", 
/**
 * The roster's version with these settings.
 */
version: number, 
/**
 * All of them.
 */
settings: Settings, } | { "type": "waiting" } | { "type": "lobby", 
/**
 * In the order in which they came.
 */
waiting: Array<Waiting>, } | { "type": "asked", 
/**
 * The host.
 */
from: string, 
/**
 * For what.
 */
ask: Ask, } | { "type": "switched_off", 
/**
 * The host.
 */
from: string, 
/**
 * What.
 */
what: Switch, } | { "type": "signal", 
/**
 * Who sent it.
 */
from: string, 
/**
 * As it was sent.
 */
data: unknown, } | { "type": "broadcast", 
/**
 * Who sent it.
 */
from: string, 
/**
 * As it was sent.
 */
data: unknown, } | { "type": "pong", 
/**
 * The `ref` of the `ping`.
 */
ref?: string | number, } | { "type": "resumed", 
/**
 * This peer's id, as before.
 */
self: string, 
/**
 * The number of the last message of the client that has arrived.
 */
ack: number, } | { "type": "ack", 
/**
 * The number.
 */
ack: number, } | { "type": "error" } & ErrorBody | { "type": "ice_servers", 
/**
 * As in `RTCConfiguration.iceServers`.
 */
ice_servers: Array<IceServer>, } | { "type": "token_expiring", 
/**
 * Milliseconds until then.
 */
expires_in_ms: number, } | { "type": "renewed", 
/**
 * Milliseconds until the new token ends.
 */
expires_in_ms: number, 
/**
 * The `ref` of the `renew`.
 */
ref?: string | number, } | { "type": "degraded", 
/**
 * From now on.
 */
active: boolean, } | { "type": "go_away", 
/**
 * Always `shutdown` so far.
 */
reason: string, 
/**
 * Milliseconds after which to reconnect, different for each connection.
 */
reconnect_ms: number, };

export type Welcome = { 
/**
 * This peer's id.
 */
self: string, 
/**
 * The room's name.
 */
room: string, 
/**
 * The version that `peers` is a snapshot of.
 */
version: number, 
/**
 * Everybody else, in the order in which they joined.
 */
peers: Array<Peer>, 
/**
 * One's own role (R36).
 */
role: Role, 
/**
 * As in `Peer`, of oneself.
 */
hand_since?: number, 
/**
 * What one may do, where a token does not leave it to the role (R59).
 */
permissions?: Array<string>, 
/**
 * What the room is set to (R38).
 */
settings: Settings, 
/**
 * The secret to come back with (R11).
 */
resume: string, 
/**
 * Whether this peer came back with such a secret.
 */
resumed: boolean, 
/**
 * Why its session did not go on, where it wished so (R54).
 */
not_resumed?: NotResumed, 
/**
 * As in `RTCConfiguration.iceServers`.
 */
ice_servers: Array<IceServer>, 
/**
 * Set if peers connect through TURN servers only (R106).
 */
relay_only?: boolean, 
/**
 * What the server takes.
 */
limits: Limits, 
/**
 * Seconds that the server stays silent at most (R26).
 */
heartbeat_seconds: number, 
/**
 * How often to report how good one's call is; not at all where it is absent (R82).
 */
quality_seconds?: number, 
/**
 * What the server can do beyond the minimum.
 */
features: Array<string>, 
/**
 * Which server this is.
 */
server: ServerInfo, };

export type Peer = { 
/**
 * Unguessable; the same as long as the peer is in the roster (R8).
 */
id: string, 
/**
 * What to call it.
 */
name: string, 
/**
 * There where its token says its name (R97).
 */
name_from_token?: boolean, 
/**
 * What it may do (R36).
 */
role: Role, 
/**
 * Permissions of its token, if the token restricts what the role allows (R59, R108).
 */
permissions?: Array<string>, 
/**
 * What it says about itself (R20).
 */
state: { [key in string]?: StateValue }, 
/**
 * The version with which its raised hand was announced (R21).
 */
hand_since?: number, 
/**
 * Stands there only while it is lost (R52).
 */
link?: Link, };

export type Role = "host" | "participant" | "listener";

export type Settings = { 
/**
 * Nobody comes in who was not in before.
 */
locked: boolean, 
/**
 * Whoever comes waits until a host admits them.
 */
lobby: boolean, 
/**
 * Whoever comes is a listener.
 */
talk: boolean, };

export type SettingsPatch = { 
/**
 * See [`Settings::locked`].
 */
locked?: boolean, 
/**
 * See [`Settings::lobby`].
 */
lobby?: boolean, 
/**
 * See [`Settings::talk`].
 */
talk?: boolean, };

export type Moderation = { "action": "settings", 
/**
 * What changes.
 */
settings: SettingsPatch, } | { "action": "role", 
/**
 * Whom.
 */
to: string, 
/**
 * Which.
 */
role: Role, } | { "action": "ask", 
/**
 * Whom.
 */
to: string, 
/**
 * For what.
 */
ask: Ask, } | { "action": "switch_off", 
/**
 * Whose.
 */
to: string, 
/**
 * What.
 */
what: Switch, } | { "action": "remove", 
/**
 * Whom.
 */
to: string, } | { "action": "admit", 
/**
 * Whom.
 */
to: string, } | { "action": "refuse", 
/**
 * Whom.
 */
to: string, } | { "action": "refuse_all" } | { "action": "end" };

export type Ask = "mute" | "unmute";

export type Switch = "mic" | "camera" | "screen" | "hand";

export type Waiting = { 
/**
 * The id it will have.
 */
id: string, 
/**
 * What to call it.
 */
name: string, 
/**
 * There where its token says its name (R97).
 */
name_from_token?: boolean, };

export type StateValue = boolean | number | string;

export type IceServer = { 
/**
 * `stun:`, `turn:` or `turns:` URLs.
 */
urls: Array<string>, 
/**
 * For TURN.
 */
username?: string, 
/**
 * For TURN.
 */
credential?: string, };

export type Limits = { 
/**
 * Bytes of a message.
 */
message_bytes: number, 
/**
 * Characters of a name.
 */
name_chars: number, 
/**
 * Keys of a state.
 */
state_keys: number, 
/**
 * Members of a room.
 */
room_members: number, };

export type ServerInfo = { 
/**
 * `roundtable`.
 */
name: string, 
/**
 * Of the server.
 */
version: string, 
/**
 * RFC 3339.
 */
time: string, 
/**
 * Random, of this run of the program.
 */
instance: string, 
/**
 * Set if the server shares its rooms with other servers.
 */
cluster: boolean, };

export type ErrorBody = { 
/**
 * For programs.
 */
code: ErrorCode, 
/**
 * For developers: what was wrong and what would be right. It goes out in brief, whatever of the client's own
 * text is in it.
 */
message: string, 
/**
 * The type of the message that this answers, where it could be read.
 */
re?: string, 
/**
 * Its `ref`, where it had one.
 */
ref?: string | number, 
/**
 * Milliseconds after which to try again, where that may help (R66, R67, R75).
 */
retry_after_ms?: number, };

export type ErrorCode = "bad_json" | "missing_field" | "bad_field" | "unknown_type" | "binary_unsupported" | "join_first" | "already_joined" | "name_invalid" | "state_invalid" | "peer_not_found" | "signal_to_self" | "room_full" | "room_locked" | "not_allowed" | "not_admitted" | "out_of_sequence" | "message_too_large" | "token_missing" | "token_invalid" | "token_expired" | "token_not_yet_valid" | "token_wrong_room" | "token_revoked" | "token_in_use" | "too_many_attempts" | "server_full" | "rate_limited" | "too_many_signals" | "busy" | "no_token" | "origin_not_allowed";

export type RoleReason = "host_absent" | "host_returned";

export type LeaveReason = "left" | "closed" | "timeout" | "slow_consumer" | "superseded" | "protocol_error" | "removed" | "unauthorized";

export type Link = "ok" | "lost";

export type NotResumed = "resume_invalid" | "resume_expired" | "resume_lost" | "grant_changed";

export type LinkReport = { 
/**
 * To the other one and back, in milliseconds: up to 60,000.
 */
round_trip_ms?: number, 
/**
 * Packets that did not arrive here: 0 to 100.
 */
loss_percent?: number, 
/**
 * The most of what arrives here, in milliseconds: up to 60,000.
 */
jitter_ms?: number, 
/**
 * How often the picture stood still: up to 1,000.
 */
freezes?: number, 
/**
 * For how long in all, in milliseconds: up to 600,000.
 */
frozen_ms?: number, 
/**
 * Of the picture that arrives: up to 16,384.
 */
width?: number, 
/**
 * The same.
 */
height?: number, 
/**
 * Pictures a second: up to 240.
 */
fps?: number, 
/**
 * What arrives, in kbit/s: up to 10,000,000.
 */
kbps?: number, 
/**
 * Whether it goes by a TURN server.
 */
relayed?: boolean, 
/**
 * From the beginning of the link to its first picture, in milliseconds, once for each link: up to 600,000.
 */
first_frame_ms?: number, };
