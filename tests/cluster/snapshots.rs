//! A room that is serialized and deserialized behaves identically: the same acts lead to the same messages for every
//! member, byte by byte.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use roundtable::cluster::replica::ROOM_MEMBERS;
use roundtable::cluster::wire::{Direct, Incarnation, MAX_BYTES, Mark};
use roundtable::cluster::{Post, Replica, ServerId};
use roundtable::core::{Act, Comeback, Effect, FolderId, Grant, Refusal, Room, Seat, TokenId};
use roundtable::protocol::{
    LeaveReason, Moderation, PeerId, PeerName, Permissions, Role, SettingsPatch, StatePatch, StateValue, Switch,
};

const IDS: u8 = 7;

/// Output for each seat, in order.
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
                grant: Grant {
                    role,
                    permissions,
                    token: who.is_multiple_of(2).then_some(TokenId(*sessions / 8, 1)),
                    ..Grant::default()
                },
                stay: None,
            }
        }
        5 => Act::Leave { seat, reason: LeaveReason::Left },
        6..=7 => Act::Lose { seat, reason: LeaveReason::Timeout },
        8 => Act::Return { seat },
        9..=10 => Act::State { seat, patch },
        11 => Act::Record { seat, folder: FolderId(rng.u32(0..5)), on: rng.bool() },
        12 => Act::Sync { seat },
        13 => Act::Evict { id: to },
        14 if rng.u8(0..10) == 0 => Act::End,
        14..=15 => Act::Tick,
        _ => Act::Moderate {
            seat,
            act: match rng.u8(0..9) {
                0 => Moderation::Role { to, role: Role::Listener },
                1 => Moderation::Role { to, role: Role::Host },
                2 => Moderation::SwitchOff { to, what: Switch::Mic },
                3 => Moderation::Remove { to },
                4 => Moderation::Refuse { to },
                8 => Moderation::RefuseAll,
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
            // Serialized and deserialized, as in the log.
            let act: Act = serde_json::from_slice(&serde_json::to_vec(&act).unwrap()).unwrap();
            let made = give(&mut room, now, act.clone());
            if let Some(copy) = &mut copy {
                assert_eq!(give(copy, now, act.clone()), made, "seed {seed}, step {step}: {act:?}");
                assert_eq!(*copy, room, "seed {seed}, step {step}: {act:?}");
            }
        }
    }
}

/// Makes a join with the largest state and name.
fn talkative(number: u64) -> Act {
    granted(number, None)
}

/// Makes such a join with a role.
fn granted(number: u64, role: Option<Role>) -> Act {
    let digit = |at: u32| (number >> (6 * at)) as u8 % 64;
    let id = PeerId::from_random(std::array::from_fn(|at| digit(at.min(3) as u32)));
    let text = "\u{1f600}".repeat(64);
    let state: serde_json::Map<_, _> = (0..16).map(|key| (format!("k{key:0>31}"), text.clone().into())).collect();
    let mut digest = Rng::with_seed(number);
    let token = TokenId(digest.u64(u64::MAX / 2..), digest.u64(u64::MAX / 2..));
    Act::Join {
        seat: Seat { id, session: u64::MAX - number },
        name: PeerName::new(&text).unwrap(),
        state: StatePatch::parse(&serde_json::to_string(&state).unwrap()).unwrap(),
        settings: SettingsPatch::default(),
        comeback: Comeback::default(),
        grant: Grant { role, token: Some(token), ..Grant::default() },
        stay: None,
    }
}

#[test]
fn the_fullest_room_that_may_be_set_fits_into_a_message() {
    let post = |number| Post { server: ServerId(u64::MAX - number), life: u64::MAX };
    let mark = Mark { incarnation: Incarnation { born: u64::MAX, founder: post(0) }, number: u64::MAX / 2 };
    let (now, posts) = (Duration::from_nanos(u64::MAX), (0..16).map(post).collect());
    let mut replica = Replica::new(mark, now, posts, Room::new(ROOM_MEMBERS, Duration::from_secs(20)));
    let mut own = 0;
    let mut act = |act: Act| {
        own += 1;
        replica.act(now, post(0), u64::MAX / 2 + own, act, &mut |_| {}).unwrap().unwrap();
    };
    let seat = |join: &Act| join.seat().unwrap();
    let host = talkative(0);
    let host_seat = seat(&host);
    act(host);
    // Fills everything that the room remembers about former members. Removals come first, because removing one of so
    // many holders of the host key would invalidate it.
    for number in (1..=1_200).step_by(2).chain((2..=1_200).step_by(2)) {
        let join = granted(number, (number % 2 == 0).then_some(Role::Host));
        let gone = seat(&join);
        act(join);
        if number % 2 == 0 {
            act(Act::Leave { seat: gone, reason: LeaveReason::Left });
        } else {
            act(Act::Moderate { seat: host_seat, act: Moderation::Remove { to: gone.id } });
        }
    }
    let (members, guests) = (ROOM_MEMBERS as u64, 2 * ROOM_MEMBERS as u64);
    (1..members - 1).for_each(|number| act(talkative(10_000 + number)));
    let settings = SettingsPatch { locked: None, lobby: Some(true), talk: Some(false) };
    act(Act::Moderate { seat: host_seat, act: Moderation::Settings { settings } });
    (members..guests).for_each(|number| act(talkative(10_000 + number)));
    // Nobody else can wait for a full room. Former members join ahead of the lobby, and a host even takes the reserved
    // place.
    act(talkative(2));
    act(granted(4, Some(Role::Host)));
    (1..members - 1).for_each(|number| {
        let seat = seat(&talkative(10_000 + number));
        (0..4).for_each(|folder| act(Act::Record { seat, folder: FolderId(u32::MAX - folder), on: true }));
        act(Act::Lose { seat, reason: LeaveReason::ProtocolError });
    });
    assert_eq!((replica.room().len(), replica.room().waiting().count()), (ROOM_MEMBERS + 1, ROOM_MEMBERS));
    let bytes = Direct::Replica(Box::new(replica)).encode().len();
    assert!(bytes <= MAX_BYTES && bytes > MAX_BYTES / 10 * 8, "{bytes} of {MAX_BYTES}");
}
