//! Scripts of hosts, listeners and guests, generated randomly or from fuzzing bytes.

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use roundtable::protocol::{Ask, Moderation, Role, SettingsPatch, Switch};

use super::super::ends::peer_id;

/// More IDs than places, so that rooms and lobbies are full at times.
pub const IDS: u8 = 7;
const KEYS: [&str; 3] = ["mic", "screen", "hand"];
const ROLES: [Role; 3] = [Role::Host, Role::Participant, Role::Listener];
const SWITCHES: [Switch; 4] = [Switch::Mic, Switch::Camera, Switch::Screen, Switch::Hand];

/// One step of a script. The actor uses its latest session, which may be a member's, a guest's, or one that was
/// rejected, removed or never existed.
#[derive(Arbitrary, Clone, Debug)]
pub enum Step {
    Join {
        #[arbitrary(with = some_id)]
        id: u8,
        #[arbitrary(with = some_settings)]
        settings: SettingsPatch,
        #[arbitrary(with = perhaps_a_role)]
        granted: Option<Role>,
    },
    Leave {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Broadcast {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Signal {
        #[arbitrary(with = some_id)]
        from: u8,
        #[arbitrary(with = some_id)]
        to: u8,
    },
    State {
        #[arbitrary(with = some_id)]
        id: u8,
        #[arbitrary(with = |random: &mut Unstructured<'_>| random.choose(&KEYS).copied())]
        key: &'static str,
        on: bool,
    },
    Sync {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Act {
        #[arbitrary(with = some_id)]
        by: u8,
        #[arbitrary(with = some_act)]
        act: Moderation,
    },
    Wait,
}

fn some_id(random: &mut Unstructured<'_>) -> arbitrary::Result<u8> {
    random.int_in_range(0..=IDS - 1)
}

fn some_settings(random: &mut Unstructured<'_>) -> arbitrary::Result<SettingsPatch> {
    let (locked, lobby, talk) = random.arbitrary()?;
    Ok(SettingsPatch { locked, lobby, talk })
}

fn perhaps_a_role(random: &mut Unstructured<'_>) -> arbitrary::Result<Option<Role>> {
    Ok(if random.ratio(1, 5)? { Some(*random.choose(&ROLES)?) } else { None })
}

fn some_act(random: &mut Unstructured<'_>) -> arbitrary::Result<Moderation> {
    let to = peer_id(some_id(random)?);
    Ok(match random.int_in_range(0..=8)? {
        0 => Moderation::Settings { settings: some_settings(random)? },
        1 => Moderation::Role { to, role: *random.choose(&ROLES)? },
        2 => Moderation::Ask { to, ask: Ask::Mute },
        3 => Moderation::SwitchOff { to, what: *random.choose(&SWITCHES)? },
        4 => Moderation::Remove { to },
        5 => Moderation::Admit { to },
        6 => Moderation::Refuse { to },
        7 => Moderation::RefuseAll,
        _ => Moderation::End,
    })
}

fn settings() -> impl Strategy<Value = SettingsPatch> {
    let setting = || prop::option::weighted(0.4, any::<bool>());
    (setting(), setting(), setting()).prop_map(|(locked, lobby, talk)| SettingsPatch { locked, lobby, talk })
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(&ROLES[..])
}

fn act() -> impl Strategy<Value = Moderation> {
    let to = || (0..IDS).prop_map(peer_id);
    let role = role();
    let what = prop::sample::select(&SWITCHES[..]);
    prop_oneof![
        4 => settings().prop_map(|settings| Moderation::Settings { settings }),
        4 => (to(), role).prop_map(|(to, role)| Moderation::Role { to, role }),
        1 => to().prop_map(|to| Moderation::Ask { to, ask: Ask::Mute }),
        2 => (to(), what).prop_map(|(to, what)| Moderation::SwitchOff { to, what }),
        3 => to().prop_map(|to| Moderation::Remove { to }),
        5 => to().prop_map(|to| Moderation::Admit { to }),
        2 => to().prop_map(|to| Moderation::Refuse { to }),
        1 => Just(Moderation::RefuseAll),
        1 => Just(Moderation::End),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let id = || 0..IDS;
    let key = prop::sample::select(&KEYS[..]);
    prop_oneof![
        8 => (id(), settings(), prop::option::weighted(0.2, role()))
            .prop_map(|(id, settings, granted)| Step::Join { id, settings, granted }),
        3 => id().prop_map(|id| Step::Leave { id }),
        2 => id().prop_map(|id| Step::Broadcast { id }),
        2 => (id(), id()).prop_map(|(from, to)| Step::Signal { from, to }),
        3 => (id(), key, any::<bool>()).prop_map(|(id, key, on)| Step::State { id, key, on }),
        1 => id().prop_map(|id| Step::Sync { id }),
        12 => (id(), act()).prop_map(|(by, act)| Step::Act { by, act }),
        1 => Just(Step::Wait),
    ]
}
