//! Decisions of a room are made once, whichever server receives the request, and their cost in publications and log
//! entries.

use std::time::Duration;

use roundtable::cluster::ServerId;
use roundtable::cluster::records::Limits;
use roundtable::cluster::share::HELD_BYTES;
use roundtable::cluster::wire::{Content, Direct};
use roundtable::core::{Act, Seat};
use roundtable::protocol::{Frame, LeaveReason, Moderation, Role, SettingsPatch, StatePatch, StateValue};

use crate::member::{Is, id};
use crate::world::{CAPACITY, GRACE, WINDOW, World};

const SOON: Duration = Duration::from_secs(5);
/// The slowest delivery takes 1.5 s, and unacknowledged messages are repeated after two.
const ARRIVED: Duration = Duration::from_millis(1_900);
/// Dead servers are evicted by then.
const GONE: Duration = Duration::from_secs(15);

fn state() -> StatePatch {
    StatePatch::default()
}

fn hosts(world: &World, slot: usize) -> usize {
    let replica = world.servers[slot].share.as_ref().unwrap().replica().unwrap();
    replica.room().members().filter(|(peer, _)| peer.role == Role::Host).count()
}

fn frame(text: &str) -> Frame {
    Frame::text([r#"{"type":"signal","data":{"from":0,"n":"#, text, "}}"])
}

/// Returns the recipients of all frames between servers.
fn carried(world: &World) -> Vec<(ServerId, Frame)> {
    let parcels = world.told.iter().filter_map(|(to, bytes)| match Direct::decode(bytes).unwrap() {
        Direct::Link(packet) => Some((*to, packet.parcel?.1.content)),
        _ => None,
    });
    let frames = parcels.filter_map(|(to, content)| match content {
        Content::Frame { frame, .. } => Some((to, frame)),
        _ => None,
    });
    frames.collect()
}

#[test]
fn two_first_joiners_have_one_host() {
    for seed in 0..100 {
        let mut world = World::new(seed, 2);
        let both = [world.join(0, 0, state()), world.join(1, 1, state())];
        world.run(SOON);
        assert!(both.iter().all(|session| world.members[session].is == Is::In), "seed {seed}");
        assert_eq!((hosts(&world, 0), hosts(&world, 1)), (1, 1), "seed {seed}");
    }
}

#[test]
fn two_for_the_last_seat_get_one_seat() {
    for seed in 0..100 {
        let mut world = World::new(seed, 3);
        for client in 0..CAPACITY - 1 {
            world.join(client % 3, client, state());
        }
        world.run(SOON);
        let both = [world.join(0, CAPACITY, state()), world.join(1, CAPACITY + 1, state())];
        world.run(SOON);
        let inside = both.iter().filter(|session| world.members[session].is == Is::In).count();
        let outside = both.iter().filter(|session| world.members[session].is == Is::Gone).count();
        assert_eq!((inside, outside), (1, 1), "seed {seed}");
    }
}

#[test]
fn a_room_on_one_server_asks_for_no_order() {
    let mut world = World::new(1, 3);
    let members: Vec<u64> = (0..4).map(|client| world.join(1, client, state())).collect();
    world.run(SOON);
    for (at, session) in members.iter().enumerate() {
        let seat = world.seat(*session);
        let patch = StatePatch::from([("mic", Some(StateValue::Flag(at % 2 == 0)))]);
        world.act(1, Act::State { seat, patch }, None, None);
        let now = world.now;
        world.with(1, |share, emit| share.broadcast(now, seat, frame("1"), emit).unwrap());
    }
    // Decided and sent immediately, without a timer.
    assert!(members.iter().all(|session| world.members[session].got.len() == 3));
    world.run(SOON);
    assert_eq!((world.appends, world.told.len()), (0, 0));
}

#[test]
fn a_roster_is_shown_without_asking_others_where_nothing_is_to_be_announced() {
    let mut world = World::new(4, 2);
    let members: Vec<u64> = (0..2).map(|client| world.join(client, client, state())).collect();
    world.run(SOON);
    let (seat, appends) = (world.seat(members[0]), world.appends);
    world.act(0, Act::Sync { seat }, None, None);
    let shown = |world: &World| world.members[&members[0]].shown;
    assert_eq!((shown(&world), world.appends), (1, appends), "not answered immediately");
    // After pending changes, the roster waits for them.
    world.act(0, Act::State { seat, patch: StatePatch::from([("mic", Some(StateValue::Flag(true)))]) }, None, None);
    world.act(0, Act::Sync { seat }, None, None);
    assert_eq!(shown(&world), 1);
    world.run(SOON);
    assert_eq!((shown(&world), world.appends > appends), (2, true));
}

#[test]
fn a_server_that_lacks_dropped_entries_gets_the_room_from_another_one() {
    let mut world = World::new(1, 2);
    world.engine.set_limits(Limits::default());
    let ada = world.join(0, 0, state());
    world.run(SOON);
    world.join(1, 1, state());
    world.run(SOON);
    let (seat, told) = (world.seat(ada), world.told.len());
    // Nothing reaches the second server, and the log cannot hold all of these entries.
    world.servers[1].cut = true;
    for at in 0..6 {
        let text = "x".repeat(4_000 + at);
        let patch = StatePatch::from([("text", Some(StateValue::Text(text.into())))]);
        world.act(0, Act::State { seat, patch }, None, None);
    }
    world.run(ARRIVED);
    world.servers[1].cut = false;
    world.run(GONE);
    let copies = world.told[told..].iter().filter(|(_, bytes)| matches!(Direct::decode(bytes), Ok(Direct::Replica(_))));
    assert_ne!(copies.count(), 0);
    let replica = |slot: usize| world.servers[slot].share.as_ref().unwrap().replica().unwrap();
    assert_eq!(replica(0).room(), replica(1).room());
    let (peer, _) = replica(1).room().members().find(|(peer, _)| peer.id == seat.id).unwrap();
    assert_eq!(peer.state.get("text"), Some(&StateValue::Text("x".repeat(4_005).into())));
}

#[test]
fn a_frame_goes_to_the_one_server_that_has_its_receiver() {
    let mut world = World::new(2, 4);
    let members: Vec<u64> = (0..3).map(|client| world.join(client, client, state())).collect();
    world.run(SOON);
    let (from, appends) = (world.seat(members[0]), world.appends);
    let now = world.now;
    world.told.clear();
    world.with(0, |share, emit| share.signal(now, from, Some(id(2)), frame("7"), emit).unwrap());
    world.run(ARRIVED);
    assert_eq!(carried(&world), [(world.servers[2].id, frame("7"))], "expected one publication of the same bytes");
    assert_eq!(world.members[&members[2]].got, [(0, 7)]);
    let now = world.now;
    world.told.clear();
    world.with(0, |share, emit| share.broadcast(now, from, frame("8"), emit).unwrap());
    world.run(ARRIVED);
    let to: Vec<ServerId> = carried(&world).into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [world.servers[1].id, world.servers[2].id], "expected no other recipient");
    assert_eq!(world.appends, appends, "the log has grown");
}

#[test]
fn who_comes_back_elsewhere_goes_on() {
    let mut world = World::new(3, 3);
    let members: Vec<u64> = (0..3).map(|client| world.join(client, client, state())).collect();
    world.run(SOON);
    let (moves, seat) = (members[1], world.seat(members[1]));
    {
        let member = world.members.get_mut(&moves).unwrap();
        (member.is, member.slot) = (Is::Moving, 2);
    }
    world.act(2, Act::Move { seat }, Some(moves), Some((moves, true)));
    world.run(SOON);
    assert_eq!((world.members[&moves].is, world.moved), (Is::In, 1));
    // Its old server has no members left, and detaches.
    world.run(2 * SOON);
    assert!(world.servers[1].share.is_none());
}

/// Creates two members, the second on a server that is cut off and has not noticed yet.
fn cut_off() -> (World, [u64; 2]) {
    let mut world = World::new(5, 2);
    let members = [world.join(0, 0, state()), world.join(1, 1, state())];
    world.run(SOON);
    world.servers[1].cut = true;
    (world, members)
}

/// Disconnects a client that has reached the server that is cut off, after this server has already sent a request to
/// the store.
fn hang_up(world: &mut World, seat: Seat, act: Act) {
    let (now, mut withdrawn) = (world.now, false);
    world.with(1, |share, emit| withdrawn = share.withdraw(now, seat, emit));
    assert!(!withdrawn, "withdrawn, although the store may have received it");
    world.act(1, act, Some(seat.session), None);
}

#[test]
fn who_has_hung_up_is_not_pulled_away_from_where_it_is_now() {
    let (mut world, [moves, _]) = cut_off();
    let (seat, reason) = (world.seat(moves), LeaveReason::Closed);
    world.act(0, Act::Lose { seat, reason }, Some(moves), None);
    world.act(1, Act::Move { seat }, Some(moves), Some((moves, true)));
    hang_up(&mut world, seat, Act::Lose { seat, reason });
    world.act(0, Act::Return { seat }, Some(moves), None);
    world.run(ARRIVED);
    world.servers[1].cut = false;
    world.run(SOON);
    assert_eq!(world.moved, 0, "its session was moved");
    for server in &world.servers {
        let room = server.share.as_ref().unwrap().replica().unwrap().room();
        let way = room.way_from(seat).unwrap();
        assert_eq!((way.home.unwrap().server, room.is_lost(seat.id)), (world.servers[0].id, false));
    }
}

#[test]
fn who_has_hung_up_does_not_supersede_where_it_is_now() {
    let (mut world, [stays, _]) = cut_off();
    let again = world.join(1, 0, state());
    world.members.get_mut(&again).unwrap().is = Is::Gone;
    let seat = world.seat(again);
    hang_up(&mut world, seat, Act::Leave { seat, reason: LeaveReason::Closed });
    world.run(ARRIVED);
    world.servers[1].cut = false;
    world.run(SOON);
    assert_eq!((world.members[&stays].is, world.members[&stays].code), (Is::In, None));
}

#[test]
fn who_has_come_twice_and_hangs_up_is_not_taken_for_there() {
    let (mut world, [moves, _]) = cut_off();
    let (seat, reason) = (world.seat(moves), LeaveReason::Closed);
    world.act(0, Act::Lose { seat, reason }, Some(moves), None);
    // The store may have received the first request, but not the second.
    for _ in 0..2 {
        world.act(1, Act::Move { seat }, Some(moves), Some((moves, true)));
    }
    hang_up(&mut world, seat, Act::Lose { seat, reason });
}

#[test]
fn who_comes_while_the_last_goes_is_not_sent_away() {
    for seed in 0..20 {
        let mut world = World::new(seed, 1);
        let first = world.join(0, 0, state());
        world.run(SOON);
        world.members.get_mut(&first).unwrap().is = Is::Gone;
        world.act(0, Act::Leave { seat: world.seat(first), reason: LeaveReason::Left }, None, None);
        world.join(0, 1, state());
        world.run(SOON);
        assert!(world.members.values().any(|member| (member.client, member.is) == (1, Is::In)), "seed {seed}");
        assert!(world.members.values().all(|member| member.code.is_none()), "seed {seed}");
    }
}

/// Creates a locked room on the servers 0 and 1, whose store loses all data while nobody can reach it.
fn lost_with_a_locked_room(seed: u64) -> (World, [u64; 2]) {
    let mut world = World::new(seed, 3);
    let members = [0, 1].map(|client| {
        let session = world.join(client, client, state());
        world.run(SOON);
        session
    });
    let settings = SettingsPatch { locked: Some(true), lobby: None, talk: None };
    let lock = Act::Moderate { seat: world.seat(members[0]), act: Moderation::Settings { settings } };
    world.act(0, lock, None, None);
    world.run(SOON);
    world.engine.forget();
    world.engine_pause = world.now + SOON;
    world.run(SOON / 2);
    (world, members)
}

#[test]
fn a_room_that_the_engine_has_lost_is_put_back_before_a_newcomer_makes_it() {
    for seed in 0..100 {
        let (mut world, members) = lost_with_a_locked_room(seed);
        let newcomer = world.join(2, 2, state());
        // A server without a replica reaches the store first.
        (world.servers[0].cut, world.servers[1].cut) = (true, true);
        world.run(SOON);
        (world.servers[0].cut, world.servers[1].cut) = (false, false);
        world.run(2 * GONE);
        assert_eq!(world.members[&newcomer].is, Is::Gone, "seed {seed}: the room is locked");
        for (slot, session) in members.iter().enumerate() {
            let replica = world.servers[slot].share.as_ref().unwrap().replica().unwrap();
            assert!(replica.room().settings().locked, "seed {seed}");
            assert_eq!((world.members[session].is, hosts(&world, slot)), (Is::In, 1), "seed {seed}");
        }
    }
}

#[test]
fn a_room_that_nobody_has_is_made_a_few_seconds_after_the_engine_has_lost_its_data() {
    for seed in 0..20 {
        let (mut world, _) = lost_with_a_locked_room(seed);
        world.kill(0);
        world.kill(1);
        let newcomer = world.join(2, 2, state());
        world.run(SOON);
        assert_eq!(world.members[&newcomer].is, Is::Joining, "seed {seed}: other servers may have the room");
        world.run(2 * SOON);
        assert_eq!((world.members[&newcomer].is, hosts(&world, 2)), (Is::In, 1), "seed {seed}");
    }
}

#[test]
fn who_comes_for_a_session_of_a_room_that_nobody_has_joins() {
    for servers in 1..=2 {
        let mut world = World::new(servers as u64, servers);
        let session = world.join(0, 0, state());
        world.run(SOON);
        world.kill(0);
        // First the store still has the room, then nobody has it.
        for _ in 0..2 {
            let slot = servers - 1;
            let seat = world.seat(session);
            let member = world.members.get_mut(&session).unwrap();
            (member.is, member.slot) = (Is::Moving, slot);
            world.act(slot, Act::Move { seat }, Some(session), Some((session, true)));
            world.run(GONE);
            let here: Vec<Seat> =
                world.members.values().filter(|member| member.is == Is::In).map(|member| member.seat).collect();
            let [seat] = here[..] else { panic!("{servers} servers: {:#?}", world.members) };
            assert_ne!(seat.session, session);
            world.members.get_mut(&seat.session).unwrap().is = Is::Gone;
            world.act(slot, Act::Leave { seat, reason: LeaveReason::Left }, None, None);
            world.run(GRACE + SOON);
            assert!(world.servers[slot].share.is_none());
        }
    }
}

#[test]
fn whose_session_does_not_go_on_and_who_does_not_join_leaves_after_the_window() {
    let mut world = World::new(1, 2);
    let session = world.join(0, 0, state());
    world.join(1, 1, state());
    world.run(SOON);
    world.kill(0);
    let seat = world.seat(session);
    let link = |world: &World| {
        let room = world.servers[1].share.as_ref().unwrap().replica().unwrap().room();
        room.seat_of(seat.id).map(|_| room.is_lost(seat.id))
    };
    while link(&world) == Some(false) {
        world.run(Duration::from_secs(1));
    }
    // Comes for its session, which is gone with its server, and has hung up by then.
    world.act(1, Act::Move { seat }, Some(session), Some((session, true)));
    world.run(Duration::from_secs(1));
    assert_eq!(link(&world), Some(true));
    world.run(WINDOW + SOON);
    assert_eq!(link(&world), None);
}

#[test]
fn frames_for_a_session_on_its_way_are_held_up_to_a_size() {
    for (frames, goes_on) in [(3, true), (5, false)] {
        let mut world = World::new(6, 3);
        let members: Vec<u64> = (0..3).map(|client| world.join(client, client, state())).collect();
        world.run(SOON);
        let (from, moves, seat) = (world.seat(members[0]), members[1], world.seat(members[1]));
        {
            let member = world.members.get_mut(&moves).unwrap();
            (member.is, member.slot) = (Is::Moving, 2);
        }
        // Its old server hears of the move late, and does not send the session until then.
        world.pause(1);
        world.act(2, Act::Move { seat }, Some(moves), Some((moves, true)));
        world.run(ARRIVED);
        for _ in 0..frames {
            let (now, large) = (world.now, frame(&format!("1,\"pad\":\"{}\"", "x".repeat(HELD_BYTES / 4))));
            world.with(0, |share, emit| share.signal(now, from, Some(id(1)), large, emit).unwrap());
        }
        world.run(SOON / 10);
        world.resume(1);
        world.run(SOON);
        let (is, got) = (world.members[&moves].is, world.members[&moves].got.len());
        let expected = if goes_on { (Is::In, frames, 1) } else { (Is::Gone, 0, 0) };
        assert_eq!((is, got, world.moved), expected, "{frames} frames");
    }
}
