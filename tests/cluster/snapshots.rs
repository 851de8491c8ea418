//! A room that is written down and read again goes on as if nothing had been: what the same acts make of it is the same
//! for every member, byte by byte.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use roundtable::core::{Act, Comeback, Effect, Grant, Refusal, Room, Seat};
use roundtable::protocol::{
    LeaveReason, Moderation, PeerId, PeerName, Permissions, Role, SettingsPatch, StatePatch, StateValue, Switch,
};

const IDS: u8 = 7;

/// What comes out for each seat, in order.
#[derive(Debug, Default, PartialEq)]
struct Out {
    to: BTreeMap<Seat, Vec<String>>,
    departed: Vec<String>,
    wakes: Vec<Duration>,
}

fn give(room: &mut Room<Seat>, now: Duration, act: Act) -> (Result<(), Refusal>, Out) {
    let mut out = Out::default();
    let result = room.handle(now, act.into_input(|seat| seat), &mut |effect| match effect {
        Effect::Welcome { seat, version, own, permissions, settings, comeback, peers, .. } => {
            let text = serde_json::to_string(&(version, own, permissions, settings, comeback, peers)).unwrap();
            out.to.entry(seat).or_default().push(text);
        }
        Effect::Send { seat, frame, .. } => {
            out.to.entry(seat).or_default().push(String::from_utf8(frame.payload().to_vec()).unwrap());
        }
        Effect::Departed { peer, reason } => out.departed.push(format!("{peer:?} {reason:?}")),
        Effect::Close { handle, code } => out.to.entry(handle).or_default().push(format!("{code:?}")),
        Effect::WakeAt(at) => out.wakes.push(at),
    });
    (result, out)
}

fn act(rng: &mut Rng, sessions: &mut u64, seats: &mut BTreeMap<u8, Seat>) -> Act {
    let who = rng.u8(0..IDS);
    let id = PeerId::from_random([who; PeerId::LEN]);
    let to = PeerId::from_random([rng.u8(0..IDS); PeerId::LEN]);
    let seat = seats.get(&who).copied().unwrap_or(Seat { id, session: 0 });
    let value = match rng.u8(0..4) {
        0 => None,
        1 => Some(StateValue::Flag(rng.bool())),
        2 => Some(StateValue::Number(rng.f64() * 1e-9)),
        _ => Some(StateValue::Text("é\n\u{1f600}".into())),
    };
    let patch = StatePatch::from([(["mic", "hand", "x"][rng.usize(0..3)], value)]);
    match rng.u8(0..20) {
        0..=4 => {
            *sessions += 1;
            let seat = Seat { id, session: *sessions };
            seats.insert(who, seat);
            let role = [None, None, None, Some(Role::Host), Some(Role::Listener)][rng.usize(0..5)];
            let permissions =
                if rng.bool() { Permissions::all() } else { Permissions::of(&["mic".into(), "moderate".into()]) };
            Act::Join {
                seat,
                name: PeerName::new("Zoë").unwrap(),
                state: patch,
                settings: SettingsPatch { locked: None, lobby: Some(rng.bool()), talk: Some(rng.bool()) },
                comeback: Comeback { known: rng.bool(), refused: None },
                grant: Grant { role, permissions },
                stay: None,
            }
        }
        5 => Act::Leave { seat, reason: LeaveReason::Left },
        6..=7 => Act::Lose { seat, reason: LeaveReason::Timeout },
        8 => Act::Return { seat },
        9..=11 => Act::State { seat, patch },
        12 => Act::Sync { seat },
        13 => Act::Evict { id: to },
        14 if rng.u8(0..10) == 0 => Act::End,
        14..=15 => Act::Tick,
        _ => Act::Moderate {
            seat,
            act: match rng.u8(0..8) {
                0 => Moderation::Role { to, role: Role::Listener },
                1 => Moderation::Role { to, role: Role::Host },
                2 => Moderation::SwitchOff { to, what: Switch::Mic },
                3 => Moderation::Remove { to },
                4 => Moderation::Refuse { to },
                5 => Moderation::Settings {
                    settings: SettingsPatch { locked: Some(rng.bool()), lobby: Some(rng.bool()), talk: None },
                },
                _ => Moderation::Admit { to },
            },
        },
    }
}

#[test]
fn what_is_read_back_goes_on_alike() {
    for seed in 0..500 {
        let mut rng = Rng::with_seed(seed);
        let (mut room, mut now) = (Room::new(4, Duration::from_secs(1)), Duration::ZERO);
        let mut copy: Option<Room<Seat>> = None;
        let (mut sessions, mut seats) = (0, BTreeMap::new());
        for step in 0..200 {
            now += Duration::from_millis(rng.u64(0..150));
            if rng.u8(0..20) == 0 {
                copy = Some(serde_json::from_slice(&serde_json::to_vec(&room).unwrap()).unwrap());
            }
            let act = act(&mut rng, &mut sessions, &mut seats);
            // As it comes out of the log.
            let act: Act = serde_json::from_slice(&serde_json::to_vec(&act).unwrap()).unwrap();
            let made = give(&mut room, now, act.clone());
            if let Some(copy) = &mut copy {
                assert_eq!(give(copy, now, act.clone()), made, "seed {seed}, step {step}: {act:?}");
                assert_eq!(*copy, room, "seed {seed}, step {step}: {act:?}");
            }
        }
    }
}
