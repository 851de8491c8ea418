//! One simulation run: members join, send messages, moderate, disconnect and leave while faults occur. Then all faults
//! end, and the run checks the final state.

use std::collections::BTreeMap;
use std::time::Duration;

use roundtable::cluster::share::Undelivered;
use roundtable::cluster::{Replica, Share};
use roundtable::core::{Act, Refusal, Seat};
use roundtable::protocol::{Frame, LeaveReason, Moderation, PeerId, Role, SettingsPatch, StatePatch, StateValue};
use serde_json::json;

use crate::member::{Is, Member, id};
use crate::world::World;

const CLIENTS: usize = 9;
const STEPS: usize = 150;

#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub name: &'static str,
    /// Percentage of publications that are lost.
    pub loss: u32,
    pub kill: bool,
    pub pause: bool,
    pub cut: bool,
    pub engine_pause: bool,
    pub engine_restart: bool,
}

pub fn play(seed: u64, faults: Faults) {
    let servers = 1 + (seed % 4) as usize;
    let mut run = Run { world: World::new(seed, servers), faults };
    run.world.loss = faults.loss;
    for _ in 0..STEPS {
        let pause = if run.world.rng.u8(0..20) == 0 { 3_000 } else { 120 };
        let time = Duration::from_millis(run.world.rng.u64(0..pause));
        run.world.run(time);
        if run.world.rng.u8(0..12) == 0 {
            run.breaks();
        }
        run.step();
    }
    run.mend();
    for round in 0..20 {
        run.world.run(Duration::from_secs(2));
        if round % 10 == 5 {
            run.time_out();
        }
        for client in 0..CLIENTS {
            run.client(client, false);
        }
    }
    run.world.run(Duration::from_secs(30));
    run.quiet();
    run.leave();
}

struct Run {
    world: World,
    faults: Faults,
}

impl Run {
    fn breaks(&mut self) {
        let (faults, world) = (self.faults, &mut self.world);
        let slot = world.rng.usize(0..world.servers.len());
        match world.rng.u8(0..7) {
            0 if faults.kill && world.rng.bool() => (0..world.servers.len()).for_each(|slot| world.kill(slot)),
            0 if faults.kill => world.kill(slot),
            1 if faults.pause => world.pause(slot),
            2 if faults.cut => world.servers[slot].cut = true,
            3 if faults.engine_pause => {
                let time = Duration::from_millis(world.rng.u64(0..12_000));
                world.engine_pause = world.now + time;
            }
            4 if faults.engine_restart => world.engine.forget(),
            _ => {
                world.resume(slot);
                world.servers[slot].cut = false;
            }
        }
    }

    fn mend(&mut self) {
        let world = &mut self.world;
        (world.loss, world.engine_pause) = (0, world.now);
        for slot in 0..world.servers.len() {
            world.servers[slot].cut = false;
            world.resume(slot);
        }
    }

    /// Detects sockets that clients have abandoned.
    fn time_out(&mut self) {
        let gone = self.world.members.values().filter(|member| member.is == Is::Gone).map(|member| member.seat);
        let gone: Vec<Seat> = gone.collect();
        for (slot, seat) in (0..self.world.servers.len()).flat_map(|slot| gone.iter().map(move |seat| (slot, *seat))) {
            if self.world.servers[slot].share.as_ref().is_some_and(|share| share.local(seat).is_some()) {
                let lose = Act::Lose { seat, reason: LeaveReason::Timeout };
                self.world.act(slot, lose, Some(seat.session), None);
            }
        }
    }

    /// Returns the current session of a client, if any.
    fn stay(&self, client: usize) -> Option<u64> {
        let mut stays = self.world.members.values().filter(|member| member.client == client && member.is != Is::Gone);
        stays.next().map(|member| member.seat.session)
    }

    fn step(&mut self) {
        let client = self.world.rng.usize(0..CLIENTS);
        self.client(client, true);
    }

    /// Performs a random action of a client. Unless it `may_say` anything, it only does what keeps it in the room.
    fn client(&mut self, client: usize, may_say: bool) {
        let Some(session) = self.stay(client) else {
            if may_say || self.world.members.values().any(|member| member.client == client) {
                self.join(client);
            }
            return;
        };
        let (slot, is, seat) = {
            let member = &self.world.members[&session];
            (member.slot, member.is, member.seat)
        };
        if !self.world.runs(slot) {
            return;
        }
        if is == Is::Lost {
            let elsewhere = self.world.rng.usize(0..self.world.servers.len());
            if elsewhere != slot && self.world.rng.bool() {
                return self.come_back(session, elsewhere);
            }
            let share = self.world.servers[slot].share.as_ref();
            // It sends nothing before its session has arrived.
            if share.is_none_or(|share| share.replica().is_none() || share.awaits(seat)) {
                return self.come_back(session, slot);
            }
            // Its session may have ended.
            let known = share.is_some_and(|share| share.local(seat).is_some());
            let member = self.world.members.get_mut(&session).unwrap();
            member.is = if known { Is::In } else { Is::Gone };
            if known {
                self.world.act(slot, Act::Return { seat }, Some(session), None);
            }
            return;
        }
        if !may_say {
            return;
        }
        if is == Is::Moving {
            if self.world.rng.u8(0..4) == 0 {
                self.turn_back(slot, seat);
            }
            return;
        }
        let act = match self.world.rng.u8(0..40) {
            0..=13 if is == Is::In => return self.signal(slot, session),
            14..=20 if is == Is::In => return self.broadcast(slot, session),
            21..=25 => Act::State { seat, patch: self.patch() },
            26..=27 => Act::Sync { seat },
            28..=32 => Act::Moderate { seat, act: self.moderation() },
            33..=35 if is == Is::In => {
                self.world.members.get_mut(&session).unwrap().is = Is::Lost;
                return self.world.act(slot, Act::Lose { seat, reason: LeaveReason::Closed }, Some(session), None);
            }
            36 if is != Is::Joining => {
                self.world.members.get_mut(&session).unwrap().is = Is::Gone;
                Act::Leave { seat, reason: LeaveReason::Left }
            }
            36 => {
                // Disconnects before the join is answered.
                self.world.members.get_mut(&session).unwrap().is = Is::Gone;
                let (mut withdrawn, now) = (false, self.world.now);
                self.world.with(slot, |share, emit| withdrawn = share.withdraw(now, seat, emit));
                if withdrawn {
                    return;
                }
                let reason = LeaveReason::Closed;
                // Whoever has a secret may return.
                if self.world.members.values().any(|member| member.client == client && member.version > 0) {
                    return self.world.act(slot, Act::Lose { seat, reason }, Some(session), None);
                }
                Act::Leave { seat, reason }
            }
            // Joins again at another server while it is still connected here.
            37 if is == Is::In => return self.join(client),
            38 if is == Is::In => {
                let elsewhere = self.world.rng.usize(0..self.world.servers.len());
                if elsewhere != slot {
                    self.come_back(session, elsewhere);
                }
                return;
            }
            _ => return,
        };
        self.world.act(slot, act, None, Some((session, false)));
    }

    /// Requests that a session continues at another server, whether its socket is lost or not.
    fn come_back(&mut self, session: u64, slot: usize) {
        if !self.world.runs(slot) {
            return;
        }
        let member = self.world.members.get_mut(&session).unwrap();
        (member.is, member.slot) = (Is::Moving, slot);
        let seat = member.seat;
        self.world.act(slot, Act::Move { seat }, Some(session), Some((session, true)));
    }

    /// Disconnects before its session has arrived.
    fn turn_back(&mut self, slot: usize, seat: Seat) {
        self.world.members.get_mut(&seat.session).unwrap().is = Is::Lost;
        let (mut withdrawn, now) = (false, self.world.now);
        self.world.with(slot, |share, emit| withdrawn = share.withdraw(now, seat, emit));
        if !withdrawn {
            self.world.act(slot, Act::Lose { seat, reason: LeaveReason::Closed }, Some(seat.session), None);
        }
    }

    fn join(&mut self, client: usize) {
        let slot = self.world.rng.usize(0..self.world.servers.len());
        if !self.world.runs(slot) {
            return;
        }
        let state = self.patch();
        self.world.join(slot, client, state);
    }

    fn patch(&mut self) -> StatePatch {
        let value = self.world.rng.bool().then(|| StateValue::Number(self.world.rng.f64()));
        StatePatch::from([(["a", "b"][self.world.rng.usize(0..2)], value)])
    }

    fn moderation(&mut self) -> Moderation {
        let rng = &mut self.world.rng;
        let to = id(rng.usize(0..CLIENTS));
        match rng.u8(0..20) {
            0..=3 => Moderation::Role { to, role: if rng.bool() { Role::Host } else { Role::Participant } },
            4..=5 => Moderation::Remove { to },
            6..=9 => {
                Moderation::Settings { settings: SettingsPatch { locked: None, lobby: Some(rng.bool()), talk: None } }
            }
            10 => Moderation::End,
            11 => Moderation::Refuse { to },
            12 => Moderation::RefuseAll,
            _ => Moderation::Admit { to },
        }
    }

    fn frame(&mut self, kind: &str, session: u64) -> (Frame, u64) {
        let (n, from) = (self.world.next(), self.world.seat(session).id);
        (Frame::text([&json!({"type": kind, "from": from, "data": {"from": session, "n": n}}).to_string()]), n)
    }

    /// Returns the recipients of a message: those whose location the sender's server knows.
    fn receivers(&self, slot: usize, session: u64, to: Option<PeerId>) -> Vec<u64> {
        let Some(replica) = self.world.servers[slot].share.as_ref().and_then(Share::replica) else { return Vec::new() };
        let ways = replica.room().members().map(|(_, way)| *way);
        let ways = ways.filter(|way| way.home.is_some() && way.seat.session != session);
        ways.filter(|way| to.is_none_or(|to| way.seat.id == to)).map(|way| way.seat.session).collect()
    }

    fn signal(&mut self, slot: usize, session: u64) {
        let to = id(self.world.rng.usize(0..CLIENTS));
        let receivers = self.receivers(slot, session, Some(to));
        let (frame, n) = self.frame("signal", session);
        let from = self.world.seat(session);
        let mut result = Err(Undelivered::Busy);
        let now = self.world.now;
        self.world.with(slot, |share, emit| result = share.signal(now, from, Some(to), frame, emit));
        self.sent(result, session, receivers, n);
    }

    fn broadcast(&mut self, slot: usize, session: u64) {
        let receivers = self.receivers(slot, session, None);
        let (frame, n) = self.frame("broadcast", session);
        let from = self.world.seat(session);
        let mut result = Err(Undelivered::Busy);
        let now = self.world.now;
        self.world.with(slot, |share, emit| result = share.broadcast(now, from, frame, emit));
        self.sent(result, session, receivers, n);
    }

    fn sent(&mut self, result: Result<(), Undelivered>, session: u64, receivers: Vec<u64>, n: u64) {
        match result {
            Ok(()) => {
                for to in receivers {
                    self.world.sent.entry((session, to)).or_default().push(n);
                }
            }
            Err(Undelivered::Refused(Refusal::PeerNotFound | Refusal::SignalToSelf | Refusal::NotMember)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Checks the conditions that hold when nothing happens any more.
    fn quiet(&self) {
        let world = &self.world;
        let replicas: BTreeMap<usize, &Replica> = (0..world.servers.len())
            .filter_map(|slot| Some((slot, world.servers[slot].share.as_ref()?.replica().expect("has caught up"))))
            .collect();
        let Some(replica) = replicas.values().next() else {
            assert!(
                world.members.values().all(|member| member.is == Is::Gone),
                "a member in a room that no server has"
            );
            return assert_eq!(world.engine.posts(&world.room), [], "a record without members");
        };
        for other in replicas.values() {
            assert_eq!(*other, *replica, "replicas differ");
        }
        let posts: Vec<_> = replicas.keys().map(|slot| world.servers[*slot].share.as_ref().unwrap().post()).collect();
        let mut known = replica.posts().to_vec();
        known.sort_by_key(|post| posts.iter().position(|other| other == post));
        assert_eq!(known, posts, "the store lists other nodes than those that have the room");
        assert_eq!(world.engine.posts(&world.room), replica.posts());
        let room = replica.room();
        let there: Vec<Seat> = room.members().map(|(_, way)| way.seat).collect();
        let is_odd = |member: &&Member| (member.is == Is::In) != there.contains(&member.seat);
        let odd: Vec<&Member> = world.members.values().filter(is_odd).collect();
        assert!(odd.is_empty(), "no ghost, and nobody is missing: {odd:#?}");
        for share in world.servers.iter().filter_map(|server| server.share.as_ref()) {
            for way in room.members().map(|(_, way)| way).filter(|way| way.home == Some(share.post())) {
                let is_lost = room.is_lost(way.seat.id);
                assert!(share.is_connected(way.seat) != is_lost, "has a connection or is lost: {way:?}");
            }
        }
        let roster: BTreeMap<String, _> = room.members().map(|(peer, _)| (peer.id.to_string(), json!(peer))).collect();
        for member in world.members.values() {
            assert!(
                !matches!(member.is, Is::Joining | Is::Lost | Is::Moving),
                "still joining, disconnected or moving: {member:?}\n{:#?}",
                world.servers[member.slot].share
            );
            if member.is == Is::Waiting {
                assert!(room.has(member.seat), "waits, but is in no lobby: {member:?}");
            }
            if member.is != Is::In {
                continue;
            }
            let own = member.seat.id.to_string();
            assert_eq!((member.version, &member.settings), (room.version(), &json!(room.settings())), "{member:?}");
            assert_eq!(member.role, roster[&own]["role"]);
            if member.role == "host" {
                let waiting: Vec<_> = room.waiting().map(|guest| json!(guest)).collect();
                assert_eq!(member.lobby, waiting, "a host's lobby differs");
            }
            let others = roster.iter().filter(|(id, _)| **id != own);
            assert!(others.eq(member.peers.iter()), "{:#?}\n{:#?}", roster, member);
            assert!(!member.degraded, "still cut off: {member:?}");
        }
        for ((from, to), numbers) in &world.sent {
            if world.members[from].is == Is::In && world.members[to].is == Is::In {
                let got: Vec<u64> =
                    world.members[to].got.iter().filter(|(sender, _)| sender == from).map(|(_, n)| *n).collect();
                assert_eq!(&got, numbers, "from {from} to {to}: lost, repeated or out of order");
            }
        }
    }

    /// Removes everybody, and checks that nothing is left.
    fn leave(&mut self) {
        let here: Vec<(usize, Seat)> = self
            .world
            .members
            .values()
            .filter(|member| member.is != Is::Gone)
            .map(|member| (member.slot, member.seat))
            .collect();
        for (slot, seat) in here {
            self.world.members.get_mut(&seat.session).unwrap().is = Is::Gone;
            self.world.act(slot, Act::Leave { seat, reason: LeaveReason::Left }, None, None);
        }
        self.world.run(Duration::from_secs(60));
        for server in &self.world.servers {
            assert!(server.share.is_none(), "a share without members: {:#?}", server.share);
        }
        assert_eq!(self.world.engine.posts(&self.world.room), [], "a record without members");
    }
}
