//! The `welcome` of a client that has been admitted (R7).

use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;

use crate::access::ResumeKey;
use crate::config::Config;
use crate::core::Comeback;
use crate::ice::{Client, IceServers};
use crate::protocol::{
    Frame, Limits, MESSAGE_BYTES, NAME_CHARS, Peer, Permissions, RoomName, STATE_KEYS, ServerMessage, Settings, Welcome,
};

/// Writer of `welcome` messages.
#[derive(Debug)]
pub struct Greeter {
    config: Config,
    ice: IceServers,
    resume_key: ResumeKey,
}

/// Data that differs between `welcome` messages.
#[derive(Debug)]
pub struct Greeting<'a> {
    /// The room.
    pub room: &'a RoomName,
    /// Version of the roster.
    pub version: u64,
    /// The peer that is welcomed.
    pub own: &'a Peer,
    /// All other members, encoded.
    pub peers: Vec<&'a RawValue>,
    /// Permissions of the peer.
    pub permissions: Permissions,
    /// Settings of the room.
    pub settings: Settings,
    /// Result of resuming: whether the peer has proved its former ID (R11), and why its session is not resumed (R54).
    pub comeback: Comeback,
    /// Number of the session, for its resume secret.
    pub stay: u64,
    /// Relay quota against which its credentials count.
    pub client: Client,
}

impl Greeter {
    /// Creates a writer. `resume_key` makes the resume secrets. The error says what is wrong with a URL.
    pub fn new(config: &Config, resume_key: ResumeKey) -> Result<Self, String> {
        Ok(Self { config: config.clone(), ice: config.relays.ice_servers()?, resume_key })
    }

    /// Writes a message with fresh credentials for the same servers (R73).
    pub fn ice_servers(&self, client: Client) -> Frame {
        ServerMessage::IceServers { ice_servers: &self.ice.for_client(client, SystemTime::now()) }.to_frame()
    }

    /// Returns the interval at which that message must be sent; `None` if no credentials expire.
    pub fn renew_every(&self) -> Option<Duration> {
        self.ice.renew_every()
    }

    /// Writes a `welcome`.
    pub fn welcome(&self, greeting: Greeting<'_>) -> Frame {
        let Greeting { room, version, own, peers, permissions, settings, comeback, stay, client } = greeting;
        let welcome = Welcome {
            id: own.id,
            room: room.as_str(),
            version,
            peers,
            role: own.role,
            hand_since: own.hand_since,
            permissions: (permissions != Permissions::all()).then(|| permissions.names()),
            settings,
            resume: &self.resume_key.issue(room, own.id, stay),
            resumed: comeback.known,
            not_resumed: comeback.refused,
            ice_servers: &self.ice.for_client(client, SystemTime::now()),
            relay_only: self.config.relays.relay_only,
            limits: Limits {
                message_bytes: MESSAGE_BYTES as u32,
                name_chars: NAME_CHARS as u32,
                state_keys: STATE_KEYS as u32,
                room_members: self.config.room_members as u32,
            },
            heartbeat_seconds: self.config.heartbeat_seconds(),
            quality_seconds: self.config.quality.seconds(),
            features: &self.config.features(),
            server: self.config.server_info(),
        };
        ServerMessage::Welcome(welcome).to_frame()
    }
}
