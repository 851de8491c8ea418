// Generated from src/protocol by `make protocol`; do not edit.

export type State = { [key in string]?: StateValue };

export type StatePatch = { [key in string]?: StateValue | null };

export type ClientMessage = { "type": "join", 
/**
 * Display name.
 */
name: string, 
/**
 * Initial member state.
 */
state?: StatePatch, 
/**
 * Resume secret of an earlier `welcome`.
 */
resume?: string, 
/**
 * With `resume`: the number of the last message received (R53).
 */
last_seq?: number, 
/**
 * Token signed by the server's operator (R58).
 */
token?: string, 
/**
 * Host key that was issued when the room's name was made (R57).
 */
host_key?: string, 
/**
 * Settings for the room if this join creates it (R38).
 */
settings?: SettingsPatch, 
/**
 * Proof that the page is served by this server (R92).
 */
proof?: string, } | { "type": "moderate" } & Moderation | { "type": "signal", 
/**
 * Recipient's ID.
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
 * Keys to change; `null` removes a key.
 */
state: StatePatch, } | { "type": "sync" } | { "type": "ping" } | { "type": "ack", 
/**
 * Number of the last message received.
 */
ack: number, } | { "type": "renew", 
/**
 * New token.
 */
token: string, } | { "type": "quality", 
/**
 * One report for each peer connection.
 */
links: Array<LinkReport>, } | { "type": "leave" };

export type ServerMessage = { "type": "welcome" } & Welcome | { "type": "peer_joined", 
/**
 * Roster version that includes this peer.
 */
version: number, 
/**
 * The new peer.
 */
peer: Peer, } | { "type": "peer_left", 
/**
 * Roster version without this peer.
 */
version: number, 
/**
 * ID of the peer that left.
 */
id: string, 
/**
 * Reason for leaving.
 */
reason: LeaveReason, } | { "type": "link", 
/**
 * Roster version that includes this change.
 */
version: number, 
/**
 * Member's ID.
 */
id: string, 
/**
 * New connection state.
 */
link: Link, } | { "type": "state", 
/**
 * Roster version that includes this state.
 */
version: number, 
/**
 * Peer's ID.
 */
id: string, 
/**
 * The complete state.
 */
state: { [key in string]?: StateValue }, } | { "type": "roster", 
/**
 * Roster version of this snapshot.
 */
version: number, 
/**
 * All other members in the order of joining.
 */
peers: Array<Peer>, 
/**
 * The recipient's own role.
 */
role: Role, 
/**
 * The recipient's own `hand_since`, as in `Peer`.
 */
hand_since?: number, 
/**
 * The room's settings.
 */
settings: Settings, } | { "type": "role", 
/**
 * Roster version that includes this role.
 */
version: number, 
/**
 * Peer's ID.
 */
id: string, 
/**
 * New role.
 */
role: Role, 
/**
 * Set if the change was not made by a host (R110, R112).
 */
reason?: RoleReason, } | { "type": "settings", 
/**
 * Roster version that includes these settings.
 */
version: number, 
/**
 * The complete settings.
 */
settings: Settings, } | { "type": "waiting" } | { "type": "lobby", 
/**
 * People in the lobby in the order of arrival.
 */
waiting: Array<Waiting>, } | { "type": "asked", 
/**
 * Host's ID.
 */
from: string, 
/**
 * The request.
 */
ask: Ask, } | { "type": "switched_off", 
/**
 * Host's ID.
 */
from: string, 
/**
 * Device or state key.
 */
what: Switch, } | { "type": "signal", 
/**
 * Sender's ID.
 */
from: string, 
/**
 * Payload as it was sent.
 */
data: unknown, } | { "type": "broadcast", 
/**
 * Sender's ID.
 */
from: string, 
/**
 * Payload as it was sent.
 */
data: unknown, } | { "type": "pong", 
/**
 * The `ref` of the `ping`.
 */
ref?: string | number, } | { "type": "resumed", 
/**
 * The recipient's ID, unchanged.
 */
self: string, 
/**
 * Number of the last client message that the server received.
 */
ack: number, } | { "type": "ack", 
/**
 * Number of the last client message that the server received.
 */
ack: number, } | { "type": "error" } & ErrorBody | { "type": "ice_servers", 
/**
 * As in `RTCConfiguration.iceServers`.
 */
ice_servers: Array<IceServer>, } | { "type": "token_expiring", 
/**
 * Milliseconds until it expires.
 */
expires_in_ms: number, } | { "type": "renewed", 
/**
 * Milliseconds until the new token expires.
 */
expires_in_ms: number, 
/**
 * The `ref` of the `renew`.
 */
ref?: string | number, } | { "type": "degraded", 
/**
 * Set while the servers are disconnected.
 */
active: boolean, } | { "type": "go_away", 
/**
 * Currently always `shutdown`.
 */
reason: string, 
/**
 * Milliseconds after which to reconnect, different for each connection.
 */
reconnect_ms: number, };

export type Welcome = { 
/**
 * The recipient's ID.
 */
self: string, 
/**
 * The room's name.
 */
room: string, 
/**
 * Roster version of this snapshot.
 */
version: number, 
/**
 * All other members in the order of joining.
 */
peers: Array<Peer>, 
/**
 * The recipient's own role (R36).
 */
role: Role, 
/**
 * The recipient's own `hand_since`, as in `Peer`.
 */
hand_since?: number, 
/**
 * The recipient's permissions, if its token restricts what the role allows (R59).
 */
permissions?: Array<string>, 
/**
 * The room's settings (R38).
 */
settings: Settings, 
/**
 * Resume secret (R11).
 */
resume: string, 
/**
 * Set if this peer joined with a valid resume secret.
 */
resumed: boolean, 
/**
 * Reason why the session was not resumed, if the client requested that (R54).
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
 * The server's limits.
 */
limits: Limits, 
/**
 * Longest silence of the server in seconds (R26).
 */
heartbeat_seconds: number, 
/**
 * Interval of call quality reports in seconds. The client sends none if it is absent (R82).
 */
quality_seconds?: number, 
/**
 * Features that the server has beyond the minimum.
 */
features: Array<string>, 
/**
 * The server that sent this message.
 */
server: ServerInfo, };

export type Peer = { 
/**
 * Unguessable ID, unchanged as long as the peer is in the roster (R8).
 */
id: string, 
/**
 * Display name.
 */
name: string, 
/**
 * Present if the token determines the name (R97).
 */
name_from_token?: boolean, 
/**
 * Role (R36).
 */
role: Role, 
/**
 * Permissions of its token, if the token restricts what the role allows (R59, R108).
 */
permissions?: Array<string>, 
/**
 * State that the member publishes (R20).
 */
state: { [key in string]?: StateValue }, 
/**
 * Roster version that announced the raised hand (R21).
 */
hand_since?: number, 
/**
 * Present only while the member is disconnected (R52).
 */
link?: Link, };

export type Role = "host" | "participant" | "listener";

export type Settings = { 
/**
 * Newcomers are rejected; only members who were in the room before may join.
 */
locked: boolean, 
/**
 * Newcomers wait in the lobby until a host admits them.
 */
lobby: boolean, 
/**
 * Newcomers join as listeners.
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
 * Settings to change.
 */
settings: SettingsPatch, } | { "action": "role", 
/**
 * Member's ID.
 */
to: string, 
/**
 * New role.
 */
role: Role, } | { "action": "ask", 
/**
 * Member's ID.
 */
to: string, 
/**
 * The request.
 */
ask: Ask, } | { "action": "switch_off", 
/**
 * Member's ID.
 */
to: string, 
/**
 * Device or state key.
 */
what: Switch, } | { "action": "remove", 
/**
 * Member's ID.
 */
to: string, } | { "action": "admit", 
/**
 * ID of the person who waits.
 */
to: string, } | { "action": "refuse", 
/**
 * ID of the person who waits.
 */
to: string, } | { "action": "refuse_all" } | { "action": "end" };

export type Ask = "mute" | "unmute";

export type Switch = "mic" | "camera" | "screen" | "hand";

export type Waiting = { 
/**
 * ID that the person will have as a member.
 */
id: string, 
/**
 * Display name.
 */
name: string, 
/**
 * Present if the token determines the name (R97).
 */
name_from_token?: boolean, };

export type StateValue = boolean | number | string;

export type IceServer = { 
/**
 * `stun:`, `turn:` or `turns:` URLs.
 */
urls: Array<string>, 
/**
 * TURN user name.
 */
username?: string, 
/**
 * TURN password.
 */
credential?: string, };

export type Limits = { 
/**
 * Maximum bytes of a message.
 */
message_bytes: number, 
/**
 * Maximum characters of a name.
 */
name_chars: number, 
/**
 * Maximum keys of a state.
 */
state_keys: number, 
/**
 * Maximum members of a room.
 */
room_members: number, };

export type ServerInfo = { 
/**
 * Always `roundtable`.
 */
name: string, 
/**
 * Version of the server.
 */
version: string, 
/**
 * Local time with its UTC offset (RFC 3339).
 */
time: string, 
/**
 * Random ID of this server process.
 */
instance: string, 
/**
 * Set if the server shares its rooms with other servers.
 */
cluster: boolean, };

export type ErrorBody = { 
/**
 * Error code for programs.
 */
code: ErrorCode, 
/**
 * Explanation for developers: what was wrong and what would be valid. It is shortened when it is sent, as it may
 * quote the client's text.
 */
message: string, 
/**
 * Type of the message in question, if it was readable.
 */
re?: string, 
/**
 * `ref` of the message in question, if it had one.
 */
ref?: string | number, 
/**
 * Milliseconds after which to retry, if retrying may help (R66, R67, R75).
 */
retry_after_ms?: number, };

export type ErrorCode = "bad_json" | "missing_field" | "bad_field" | "unknown_type" | "binary_unsupported" | "join_first" | "already_joined" | "name_invalid" | "state_invalid" | "peer_not_found" | "signal_to_self" | "room_full" | "room_locked" | "not_allowed" | "not_admitted" | "out_of_sequence" | "message_too_large" | "token_missing" | "token_invalid" | "token_expired" | "token_not_yet_valid" | "token_wrong_room" | "token_revoked" | "token_in_use" | "too_many_attempts" | "server_full" | "rate_limited" | "too_many_signals" | "busy" | "no_token" | "origin_not_allowed";

export type RoleReason = "host_absent" | "host_returned";

export type LeaveReason = "left" | "closed" | "timeout" | "slow_consumer" | "superseded" | "protocol_error" | "removed" | "unauthorized";

export type Link = "ok" | "lost";

export type NotResumed = "resume_invalid" | "resume_expired" | "resume_lost" | "grant_changed";

export type LinkReport = { 
/**
 * Round-trip time in milliseconds, up to 60,000.
 */
round_trip_ms?: number, 
/**
 * Share of incoming packets that were lost, in percent: 0 to 100.
 */
loss_percent?: number, 
/**
 * Highest jitter of the incoming streams in milliseconds, up to 60,000.
 */
jitter_ms?: number, 
/**
 * Number of video freezes, up to 1,000.
 */
freezes?: number, 
/**
 * Total duration of video freezes in milliseconds, up to 600,000.
 */
frozen_ms?: number, 
/**
 * Width of the incoming video in pixels, up to 16,384.
 */
width?: number, 
/**
 * Height of the incoming video in pixels, up to 16,384.
 */
height?: number, 
/**
 * Frame rate of the incoming video, up to 240 per second.
 */
fps?: number, 
/**
 * Incoming bit rate in kbit/s, up to 10,000,000.
 */
kbps?: number, 
/**
 * Set if the connection goes through a TURN server.
 */
relayed?: boolean, 
/**
 * Time from the start of the connection to its first video frame, in milliseconds, up to 600,000. Reported once
 * per connection.
 */
first_frame_ms?: number, };
