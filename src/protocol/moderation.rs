//! What roles and hosts do, and what a room is set to (R36 to R46, R59).

use serde::{Deserialize, Serialize};

use super::PeerId;

/// What a peer may do (R36).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Role {
    /// Speaks, listens, and decides for the room.
    Host,
    /// Speaks and listens.
    #[default]
    Participant,
    /// Listens (R42).
    Listener,
}

/// What a peer may do, whatever its role allows (R59).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Permissions(u8);

impl Permissions {
    /// The names on the wire. The first three are keys of a state.
    const NAMES: [&str; 5] = ["mic", "camera", "screen", "broadcast", "moderate"];

    /// Everything.
    pub const fn all() -> Self {
        Self((1 << Self::NAMES.len()) - 1)
    }

    /// What these names say; one that is not known says nothing.
    pub fn of(names: &[String]) -> Self {
        let bits = Self::NAMES.iter().enumerate().filter(|(_, known)| names.iter().any(|name| name == **known));
        Self(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }

    /// Whether this is among what may be done. What has no name here may be.
    pub fn has(self, name: &str) -> bool {
        Self::NAMES.iter().position(|known| *known == name).is_none_or(|bit| self.0 & 1 << bit != 0)
    }

    /// Returns whether everything is permitted.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// The names of what may be done.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.into_iter().filter(|name| self.has(name)).collect()
    }
}

/// [`Permissions`] by their names, as they are on the wire.
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

/// What a room is set to (R38).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Settings {
    /// Nobody comes in who was not in before.
    pub locked: bool,
    /// Whoever comes waits until a host admits them.
    pub lobby: bool,
    /// Whoever comes is a listener.
    pub talk: bool,
}

/// A change of [`Settings`]: what is absent stays.
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
    /// The settings that `settings` become.
    pub fn apply(self, settings: Settings) -> Settings {
        Settings {
            locked: self.locked.unwrap_or(settings.locked),
            lobby: self.lobby.unwrap_or(settings.lobby),
            talk: self.talk.unwrap_or(settings.talk),
        }
    }
}

/// What a host switches off at somebody (R44), a key of their state.
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
    /// The raised hand: a request to speak is refused.
    Hand,
}

impl Switch {
    /// The key in the peer's state.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mic => "mic",
            Self::Camera => "camera",
            Self::Screen => "screen",
            Self::Hand => "hand",
        }
    }
}

/// What a host asks somebody for (R43).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Ask {
    /// To mute the microphone.
    Mute,
    /// To open the microphone.
    Unmute,
}

/// One act of a host (R37): the rest of a `moderate` message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Moderation {
    /// Changes what the room is set to (R38).
    Settings {
        /// What changes.
        settings: SettingsPatch,
    },
    /// Gives somebody another role (R42).
    Role {
        /// Whom.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
        /// Which.
        role: Role,
    },
    /// Asks somebody for something (R43).
    Ask {
        /// Whom.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
        /// For what.
        ask: Ask,
    },
    /// Switches something of somebody off (R44).
    SwitchOff {
        /// Whose.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
        /// What.
        what: Switch,
    },
    /// Sends somebody out (R45).
    Remove {
        /// Whom.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
    },
    /// Lets somebody in who waits (R40).
    Admit {
        /// Whom.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
    },
    /// Sends somebody away who waits (R40).
    Refuse {
        /// Whom.
        #[cfg_attr(test, ts(type = "string"))]
        to: PeerId,
    },
    /// Turns away everyone who waits (R98).
    RefuseAll,
    /// Sends everyone out (R46).
    End,
}
