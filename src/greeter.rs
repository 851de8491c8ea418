//! What somebody is told who has been let in (R7).

use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;

use crate::access::ResumeKey;
use crate::config::Config;
use crate::core::Comeback;
use crate::ice::{Client, IceServers};
use crate::protocol::{
    Frame, Limits, MESSAGE_BYTES, NAME_CHARS, Peer, Permissions, RoomName, STATE_KEYS, ServerMessage, Settings, Welcome,
};

/// Writes welcomes.
#[derive(Debug)]
pub struct Greeter {
    config: Config,
    ice: IceServers,
    resume_key: ResumeKey,
}

/// What differs from welcome to welcome.
#[derive(Debug)]
pub struct Greeting<'a> {
    /// Of which room.
    pub room: &'a RoomName,
    /// The roster's version.
    pub version: u64,
    /// The one who is welcome.
    pub own: &'a Peer,
    /// Everybody else, encoded.
    pub peers: Vec<&'a RawValue>,
    /// What it may do.
    pub permissions: Permissions,
    /// What the room is set to.
    pub settings: Settings,
    /// Whether it has been here before.
    pub comeback: Comeback,
    /// Which stay this is, to come back to.
    pub stay: u64,
    /// Relay quota that its credentials count against.
    pub client: Client,
}

impl Greeter {
    /// With a key that makes secrets to come back with. The error says what is wrong with a URL.
    pub fn new(config: &Config, resume_key: ResumeKey) -> Result<Self, String> {
        Ok(Self { config: config.clone(), ice: config.relays.ice_servers()?, resume_key })
    }

    /// Fresh credentials for the same servers (R73).
    pub fn ice_servers(&self, client: Client) -> Frame {
        ServerMessage::IceServers { ice_servers: &self.ice.for_client(client, SystemTime::now()) }.to_frame()
    }

    /// How often that is to be sent; `None` where nothing ends.
    pub fn renew_every(&self) -> Option<Duration> {
        self.ice.renew_every()
    }

    /// The message.
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
