//! Rates that many senders share: the members of a room, and all connections of the server (R79).
//!
//! Each sender has a *share*: what it would have if all had the same. A sender that keeps to its share is never delayed
//! by what others send. What the others leave of their shares is for whoever wants more. Everything is counted in time:
//! a message costs the time that the rate allows for one. Time taken ahead of the clock is a debt, which is waited for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::RoomName;

/// Size below which the table of rooms is not searched for entries to remove: rooms that have no connection, but whose
/// recent traffic still counts.
const LOOK_AT: usize = 1_024;

/// Rate that many senders share, with its burst allowance.
#[derive(Clone, Copy, Debug)]
pub struct CommonRate {
    /// Messages per second; 0 for no limit.
    pub messages: u32,
    /// Bytes per second; 0 for no limit.
    pub bytes: u32,
    /// Burst allowance in messages.
    pub free_messages: u64,
    /// Burst allowance in bytes.
    pub free_bytes: u64,
}

/// Limiter of a shared rate. It has no lock, because all sockets of the server use it.
#[derive(Debug)]
pub struct Commons {
    messages: Track,
    bytes: Track,
    sharers: AtomicU32,
    /// Time of creation. The clock then has the value `begun`, so that the whole burst allowance is available at first.
    epoch: Instant,
    begun: u64,
}

/// Number of members of a room on other servers. A shared rate is divided in proportion to them, so that all servers
/// together keep to it, and none has to ask another. Whoever knows the number sets it, for all shares that hold a
/// clone.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere(Arc<AtomicU32>);

impl Elsewhere {
    /// Sets the number of members on other servers.
    pub fn set(&self, count: usize) {
        self.0.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

/// Number of senders that share a rate.
#[derive(Clone, Copy)]
struct Sharers {
    here: u64,
    all: u64,
}

/// Limiter of messages or of bytes. Times are in nanoseconds on the clock that begins at [`Commons::epoch`].
#[derive(Debug)]
struct Track {
    /// Per second; 0 for no limit.
    rate: u64,
    /// Burst allowance: how far `paid` may lag behind the clock.
    free: u64,
    /// Time up to which everything that was taken is paid for. A value ahead of the clock is a debt.
    paid: AtomicU64,
}

/// Share of one connection. Dropping it leaves more to the others.
#[derive(Debug)]
pub struct Share {
    of: Arc<Commons>,
    elsewhere: Elsewhere,
    /// Time up to which its messages are paid for, as if all senders took the same.
    messages: u64,
    /// The same for bytes.
    bytes: u64,
}

impl Commons {
    /// Creates a limiter whose whole burst allowance is available.
    pub fn new(rate: CommonRate, now: Instant) -> Arc<Self> {
        let messages = Track::new(rate.messages, rate.free_messages);
        let bytes = Track::new(rate.bytes, rate.free_bytes);
        let begun = messages.free.max(bytes.free);
        Arc::new(Self { messages, bytes, sharers: AtomicU32::new(0), epoch: now, begun })
    }

    /// Creates a share for one more sender. It begins with no more than what is available to all, so that reconnecting
    /// gains nothing.
    pub fn share(self: &Arc<Self>, elsewhere: Elsewhere, now: Instant) -> Share {
        self.sharers.fetch_add(1, Ordering::Relaxed);
        let now = self.clock(now);
        let start = |track: &Track| track.paid.load(Ordering::Relaxed).min(now);
        Share { messages: start(&self.messages), bytes: start(&self.bytes), of: Arc::clone(self), elsewhere }
    }

    fn clock(&self, now: Instant) -> u64 {
        self.begun.saturating_add(nanos(now.saturating_duration_since(self.epoch)))
    }

    /// Returns whether there are no senders, and the burst allowance is whole again.
    fn is_forgotten(&self, now: Instant) -> bool {
        let now = self.clock(now);
        self.sharers.load(Ordering::Relaxed) == 0 && self.messages.is_free(now) && self.bytes.is_free(now)
    }
}

impl Track {
    fn new(rate: u32, free: u64) -> Self {
        let rate = u64::from(rate);
        Self { rate, free: cost(rate, free), paid: AtomicU64::new(0) }
    }

    fn is_free(&self, now: u64) -> bool {
        self.paid.load(Ordering::Relaxed) <= now.saturating_sub(self.free)
    }

    /// Takes an amount from the shared rate and from one share. Returns how long to wait before more is taken, in
    /// nanoseconds.
    fn take(&self, share: &mut u64, sharers: Sharers, now: u64, amount: u64) -> u64 {
        if self.rate == 0 || amount == 0 {
            return 0;
        }
        let cost = cost(self.rate, amount);
        let since = now.saturating_sub(self.free);
        let charge = |paid: u64, cost: u64| paid.max(since).saturating_add(cost);
        // A share's own debt is waited for or, if the others have left enough, forgiven.
        let of_all = cost.saturating_mul(sharers.all);
        *share = charge((*share).min(now), of_all);
        // Here the rate is only the part of it that the senders here are of all.
        let cost = of_all / sharers.here;
        let before = self.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid| Some(charge(paid, cost)));
        let (Ok(before) | Err(before)) = before;
        charge(before, cost).min(*share).saturating_sub(now)
    }
}

/// Returns how many nanoseconds an amount costs.
fn cost(rate: u64, amount: u64) -> u64 {
    amount.saturating_mul(1_000_000_000).checked_div(rate).unwrap_or(0)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Share {
    /// Counts messages and bytes. Returns how long to wait before the next read: not at all, unless all senders
    /// together have exceeded the rate and this one its share.
    pub fn take(&mut self, now: Instant, messages: u32, bytes: usize) -> Duration {
        let of = &*self.of;
        let here = u64::from(of.sharers.load(Ordering::Relaxed)).max(1);
        let sharers = Sharers { here, all: here + u64::from(self.elsewhere.0.load(Ordering::Relaxed)) };
        let now = of.clock(now);
        let messages = of.messages.take(&mut self.messages, sharers, now, u64::from(messages));
        let bytes = of.bytes.take(&mut self.bytes, sharers, now, bytes as u64);
        Duration::from_nanos(messages.max(bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.sharers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Limiters of the rate of the whole server, and of the rate of each room.
#[derive(Debug)]
pub struct AllCommons {
    server: Arc<Commons>,
    room: CommonRate,
    rooms: Mutex<Rooms>,
}

#[derive(Debug, Default)]
struct Rooms {
    /// Rooms with members, and those that have sent much recently: leaving and coming back must not restore the
    /// allowance.
    commons: HashMap<RoomName, Arc<Commons>>,
    /// Size at which the table is searched for entries to remove.
    look_at: usize,
}

impl AllCommons {
    /// Creates the limiters. Nothing has been sent.
    pub fn new(server: CommonRate, room: CommonRate) -> Self {
        Self { server: Commons::new(server, Instant::now()), room, rooms: Mutex::default() }
    }

    /// Creates the share of a connection in the server's rate.
    pub fn of_server(&self) -> Share {
        self.server.share(Elsewhere::default(), Instant::now())
    }

    /// Creates the share of a connection in the rate of its room, which members on other servers share, too. Takes a
    /// lock, but only on a join.
    pub fn of_room(&self, name: &RoomName, elsewhere: Elsewhere) -> Share {
        let now = Instant::now();
        // Nothing panics under this lock.
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.commons.len() >= rooms.look_at.max(LOOK_AT) {
            rooms.commons.retain(|_, commons| !commons.is_forgotten(now));
            rooms.look_at = rooms.commons.len() * 2;
            let room = rooms.look_at;
            rooms.commons.shrink_to(room);
        }
        let fresh = || Commons::new(self.room, now);
        rooms.commons.entry(name.clone()).or_insert_with(fresh).share(elsewhere, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: CommonRate =
        CommonRate { messages: 1_000, bytes: 1_000_000, free_messages: 2_000, free_bytes: 2_000_000 };
    const MINUTE: Duration = Duration::from_secs(60);

    /// Sender of messages of one size, each as soon as it may be sent.
    struct Sender {
        share: Share,
        bytes: usize,
        every: Duration,
        at: Instant,
        sent: u64,
        longest: Duration,
    }

    impl Sender {
        fn new(commons: &Arc<Commons>, bytes: usize, every: Duration, at: Instant) -> Self {
            Self::beside(commons, &Elsewhere::default(), bytes, every, at)
        }

        fn beside(commons: &Arc<Commons>, elsewhere: &Elsewhere, bytes: usize, every: Duration, at: Instant) -> Self {
            let share = commons.share(elsewhere.clone(), at);
            Self { share, bytes, every, at, sent: 0, longest: Duration::ZERO }
        }

        fn send(&mut self) {
            let wait = self.share.take(self.at, 1, self.bytes);
            self.longest = self.longest.max(wait);
            self.sent += 1;
            self.at += wait.max(self.every);
        }
    }

    /// Lets all senders send until then, each in its turn.
    fn talk(senders: &mut [Sender], until: Instant) {
        while let Some(next) = senders.iter_mut().filter(|sender| sender.at < until).min_by_key(|sender| sender.at) {
            next.send();
        }
    }

    /// Returns what was sent as a fraction of what the rate allows in that time, in messages and in bytes.
    fn used(senders: &[Sender], time: Duration) -> [f64; 2] {
        let messages: u64 = senders.iter().map(|sender| sender.sent).sum();
        let bytes: u64 = senders.iter().map(|sender| sender.sent * sender.bytes as u64).sum();
        let seconds = time.as_secs_f64();
        [messages as f64 / f64::from(RATE.messages) / seconds, bytes as f64 / f64::from(RATE.bytes) / seconds]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The burst is at most twice the allowance: once the common one, and once each sender's share of it.
        #[test]
        fn r79_whoever_sends_whatever_all_together_keep_the_rate(
            kinds in prop::collection::vec((1_usize..20_000, 0_u64..200), 1..12),
        ) {
            let start = Instant::now();
            let commons = Commons::new(RATE, start);
            let of = |&(bytes, every): &(usize, u64)| {
                Sender::new(&commons, bytes, Duration::from_millis(every), start)
            };
            let mut senders: Vec<_> = kinds.iter().map(of).collect();
            talk(&mut senders, start + MINUTE);
            let one_each: usize = kinds.iter().map(|(bytes, _)| bytes).sum();
            let [messages, bytes] = used(&senders, MINUTE);
            prop_assert!(messages * 60.0 <= 60.0 + 2.0 * 2.0 + kinds.len() as f64 / 1e3 + 0.01, "{messages}");
            prop_assert!(bytes * 60.0 <= 60.0 + 2.0 * 2.0 + one_each as f64 / 1e6 + 0.01, "{bytes}");
        }

        #[test]
        fn r79_who_keeps_to_its_share_is_never_held_up_and_nothing_is_left_unused(
            floods in prop::collection::vec(1_usize..20_000, 1..8), quiet in 1_usize..8,
        ) {
            let start = Instant::now();
            let commons = Commons::new(RATE, start);
            let all = floods.len() + quiet;
            // A hundred bytes per message are a tenth of their share of bytes.
            let pace = Duration::from_secs(1) * all as u32 / RATE.messages;
            let mut senders: Vec<_> = (0..quiet).map(|_| Sender::new(&commons, 100, pace, start)).collect();
            senders.extend(floods.iter().map(|bytes| Sender::new(&commons, *bytes, Duration::ZERO, start)));
            talk(&mut senders, start + MINUTE);
            for sender in &senders[..quiet] {
                prop_assert_eq!(sender.longest, Duration::ZERO);
            }
            let [messages, bytes] = used(&senders, MINUTE);
            prop_assert!(messages.max(bytes) > 0.999, "{messages} {bytes}");
        }

        #[test]
        fn r79_on_several_servers_all_together_keep_the_rate_and_who_keeps_to_its_share_is_never_held_up(
            servers in prop::collection::vec((prop::collection::vec(1_usize..20_000, 1..5), 0_usize..4), 1..5),
        ) {
            let start = Instant::now();
            let all: usize = servers.iter().map(|(floods, quiet)| floods.len() + quiet).sum();
            let pace = Duration::from_secs(1) * all as u32 / RATE.messages;
            let (mut senders, mut modest) = (Vec::new(), Vec::new());
            for (floods, quiet) in &servers {
                let (commons, elsewhere) = (Commons::new(RATE, start), Elsewhere::default());
                elsewhere.set(all - floods.len() - quiet);
                let of = |bytes, every| Sender::beside(&commons, &elsewhere, bytes, every, start);
                senders.extend(floods.iter().map(|bytes| of(*bytes, Duration::ZERO)));
                modest.extend((0..*quiet).map(|_| of(100, pace)));
            }
            let floods = senders.len();
            senders.extend(modest);
            talk(&mut senders, start + MINUTE);
            for sender in &senders[floods..] {
                prop_assert_eq!(sender.longest, Duration::ZERO);
            }
            // The burst is the same as on one server. Each sender may be ahead by one message, which costs here as many
            // times more as there are others elsewhere.
            let [messages, bytes] = used(&senders, MINUTE);
            prop_assert!(messages * 60.0 <= 60.0 + 2.0 * 2.0 + all as f64 / 1e3 + 0.01, "{messages}");
            prop_assert!(bytes * 60.0 <= 60.0 + 2.0 * 2.0 + all as f64 * 2e4 / 1e6 + 0.01, "{bytes}");
            // No server leaves any of its part unused.
            let mut floods = &senders[..floods];
            for (here, quiet) in &servers {
                let of_server = floods.split_off(..here.len()).unwrap();
                let part = (here.len() + quiet) as f64 / all as f64;
                let quiet = *quiet as f64 / all as f64;
                let [messages, bytes] = used(of_server, MINUTE);
                prop_assert!((messages + quiet).max(bytes + quiet / 10.0) > 0.999 * part, "{messages} {bytes} {part}");
            }
        }
    }

    #[test]
    fn r79_who_comes_into_a_crowd_has_its_share_soon() {
        let start = Instant::now();
        let commons = Commons::new(RATE, start);
        let mut senders: Vec<_> = (0..4).map(|_| Sender::new(&commons, 1_000, Duration::ZERO, start)).collect();
        talk(&mut senders, start + MINUTE);
        senders.push(Sender::new(&commons, 1_000, Duration::ZERO, start + MINUTE));
        talk(&mut senders, start + MINUTE + Duration::from_secs(10));
        // A fifth of 1,000 a second.
        assert!((1_900..=2_600).contains(&senders[4].sent), "{}", senders[4].sent);
    }

    #[test]
    fn r79_who_leaves_and_comes_back_gets_no_more_by_it() {
        let rooms = AllCommons::new(RATE, RATE);
        let name = RoomName::new("r").unwrap();
        let now = Instant::now();
        // The room is empty in between.
        let waits = (0..30).map(|_| {
            let mut share = rooms.of_room(&name, Elsewhere::default());
            (0..1_000).find(|_| !share.take(now, 1, 1).is_zero()).unwrap_or(1_000)
        });
        let taken: Vec<_> = waits.collect();
        assert!(taken.iter().sum::<usize>() <= 2_100 + 30, "{taken:?}");
    }

    #[test]
    fn rooms_that_are_paid_for_are_forgotten() {
        let rooms = AllCommons::new(RATE, RATE);
        let room = |at: usize| RoomName::new(&format!("room {at}")).unwrap();
        let _here = rooms.of_room(&room(0), Elsewhere::default());
        for at in 0..100_000 {
            drop(rooms.of_room(&room(at), Elsewhere::default()));
        }
        let kept = rooms.rooms.lock().unwrap();
        assert!(kept.commons.len() <= LOOK_AT + 1 && kept.commons.contains_key(&room(0)), "{}", kept.commons.len());
    }

    #[test]
    fn zero_is_no_limit() {
        let commons =
            Commons::new(CommonRate { messages: 0, bytes: 0, free_messages: 0, free_bytes: 0 }, Instant::now());
        let mut share = commons.share(Elsewhere::default(), Instant::now());
        assert!((0..100_000).all(|_| share.take(Instant::now(), 1, 65_536).is_zero()));
    }
}
