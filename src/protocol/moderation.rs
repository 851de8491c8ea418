//! Roles, permissions, room settings and moderation (R36 to R46, R59).

use serde::{Deserialize, Serialize};

use super::PeerId;

/// Role of a peer (R36).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Role {
    /// Speaks, listens and moderates the room.
    Host,
    /// Speaks and listens.
    #[default]
    Participant,
    /// Listens (R42).
    Listener,
}

/// Permissions of a peer, which restrict what its role allows (R59).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Permissions(u8);

impl Permissions {
    /// Names on the wire, one for each bit. The first three are also keys of a member's state.
    const NAMES: [&str; 5] = ["mic", "camera", "screen", "broadcast", "moderate"];

    /// Permits everything.
    pub const fn all() -> Self {
        Self((1 << Self::NAMES.len()) - 1)
    }

    /// Converts names to permissions. Unknown names are ignored.
    pub fn of(names: &[String]) -> Self {
        let bits = Self::NAMES.iter().enumerate().filter(|(_, known)| names.iter().any(|name| name == **known));
        Self(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }

    /// Returns whether `name` is permitted. Names outside this list are always permitted.
    pub fn has(self, name: &str) -> bool {
        Self::NAMES.iter().position(|known| *known == name).is_none_or(|bit| self.0 & 1 << bit != 0)
    }

    /// Returns whether everything is permitted.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Returns the names of the granted permissions.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.into_iter().filter(|name| self.has(name)).collect()
    }
}

/// Serde adapter that encodes [`Permissions`] as a list of names.
pub(super) mod permission_names {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Permissions;

    pub(in super::super) fn serialize<S: Serializer>(permissions: &Permissions, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(permissions.names())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Permissions, D::Error> {
        Vec::<String>::deserialize(from).map(|names| Permissions::of(&names))
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self::all()
    }
}

/// Settings of a room (R38).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Settings {
    /// Newcomers are rejected; only members who were in the room before may join.
    pub locked: bool,
    /// Newcomers wait in the lobby until a host admits them.
    pub lobby: bool,
    /// Newcomers join as listeners.
    pub talk: bool,
}

/// Change of [`Settings`]. Absent fields stay unchanged.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[cfg_attr(test, ts(optional_fields))]
pub struct SettingsPatch {
    /// See [`Settings::locked`].
    pub locked: Option<bool>,
    /// See [`Settings::lobby`].
    pub lobby: Option<bool>,
    /// See [`Settings::talk`].
    pub talk: Option<bool>,
}

impl SettingsPatch {
    /// Returns `settings` with this change applied.
    pub fn apply(self, settings: Settings) -> Settings {
        Settings {
            locked: self.locked.unwrap_or(settings.locked),
            lobby: self.lobby.unwrap_or(settings.lobby),
            talk: self.talk.unwrap_or(settings.talk),
        }
    }
}

/// Device or state key that a host can turn off for a member (R44).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Switch {
    /// The microphone.
    Mic,
    /// The camera.
    Camera,
    /// The screen share.
    Screen,
    /// The raised hand; turning it off declines the request to speak.
    Hand,
}

impl Switch {
    /// Returns the key in the peer's state.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mic => "mic",
            Self::Camera => "camera",
            Self::Screen => "screen",
            Self::Hand => "hand",
        }
    }
}

/// Request of a host to a member (R43).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Ask {
    /// Mute the microphone.
    Mute,
    /// Unmute the microphone.
    Unmute,
}

/// Moderation action of a host (R37): the remaining fields of a `moderate` message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Moderation {
    /// Changes the room's settings (R38).
    Settings {
        /// Settings to change.
        settings: SettingsPatch,
    },
    /// Changes a member's role (R42).
    Role {
        /// Member's ID.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
        /// New role.
        role: Role,
    },
    /// Sends a request to a member (R43).
    Ask {
        /// Member's ID.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
        /// The request.
        ask: Ask,
    },
    /// Turns something off for a member (R44).
    SwitchOff {
        /// Member's ID.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
        /// Device or state key.
        what: Switch,
    },
    /// Removes a member from the room (R45).
    Remove {
        /// Member's ID.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
    },
    /// Admits somebody from the lobby (R40).
    Admit {
        /// ID of the person who waits.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
    },
    /// Rejects somebody in the lobby (R40).
    Refuse {
        /// ID of the person who waits.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
    },
    /// Rejects everybody in the lobby (R98).
    RefuseAll,
    /// Ends the meeting for everybody (R46).
    End,
}
