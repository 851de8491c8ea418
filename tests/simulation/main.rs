//! Deterministic simulation of one server and its clients, with a simulated network and virtual time derived from a
//! seed: cuts, delays, silence, duplicates, restarts. From the WebSocket upgrade on, the server's code is the real one.
//!
//! `SIM_SEED=123 cargo test --test simulation` runs one seed, and `SIM_SEEDS=1000000` runs this number of them.

mod checks;
mod client;
mod cuts;
mod frames;
mod messages;
mod network;
mod person;
#[path = "../common/tokens.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod tokens;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roundtable::protocol::RoomName;
use tokio::sync::watch;
use tokio::time::sleep;

use client::Client;
use world::{FULLEST, Phase, Rules, SETTLED, World};

const SEEDS: u64 = 10_000;

/// Runs a future in virtual time. All randomness of the server is derived from the seed, too.
fn in_virtual_time<T>(seed: u64, future: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

fn rules(random: &mut fastrand::Rng) -> Rules {
    Rules {
        clients: random.usize(2..=6),
        rooms: if random.u8(0..4) == 0 { 2 } else { 1 },
        moderated: random.u8(0..10) < 3,
        tight: random.u8(0..6) == 0,
        tokens: random.u8(0..5) == 0,
        restarts: if random.u8(0..4) == 0 { random.usize(1..=2) } else { 0 },
        storm: Duration::from_millis(random.u64(1_500..5_000)),
    }
}

/// Runs one seed. Returns the digest of everything that the clients have received.
async fn storm(seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let rules = rules(&mut random);
    let world = World::new(rules);
    let (phase, phases) = watch::channel(Phase::Storm);
    let rooms: Vec<RoomName> = (0..rules.rooms).map(|at| RoomName::new(&format!("room {at}")).unwrap()).collect();
    let mut clients = Vec::new();
    let mut lives = Vec::new();
    for index in 0..rules.clients {
        let room = rooms[index % rooms.len()].clone();
        let client = Client::new(index, room, random.u8(0..6) > 0, random.fork(), &world);
        let client = Arc::new(Mutex::new(client));
        lives.push(tokio::spawn(person::live(Arc::clone(&client), Arc::clone(&world), phases.clone())));
        clients.push(client);
    }
    for _ in 0..rules.restarts {
        sleep(Duration::from_millis(random.u64(100..2_000))).await;
        // The order in which a draining server notifies its rooms does not depend on the seed.
        if rules.rooms == 1 && random.bool() {
            world.drain();
            sleep(Duration::from_millis(random.u64(1..1_500))).await;
            // Clients that reconnect too early are rejected, and disconnected members are dropped.
            world.with_app(checks::nobody);
        }
        world.kill();
        sleep(Duration::from_millis(random.u64(1..1_500))).await;
        world.start();
    }
    sleep(rules.storm).await;
    for next in [Phase::Calm, Phase::Leaving] {
        phase.send_replace(next);
        sleep(SETTLED).await;
        for life in lives.extract_if(.., |life| life.is_finished()) {
            life.await.expect("a client without failures");
        }
        if next == Phase::Calm {
            let clients: Vec<_> = clients.iter().map(|client| client.lock().unwrap()).collect();
            checks::quiet(&world, &rooms, &clients.iter().map(|client| &**client).collect::<Vec<_>>());
        }
    }
    assert!(lives.is_empty(), "a client has not left");
    checks::empty(&world);
    world.trace()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs jobs on all processors. Returns the first one that failed.
fn fails<T: Sync>(jobs: &[T], run: impl Fn(&T) + Sync) -> Option<&T> {
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at as usize) else { return };
                    if catch_unwind(AssertUnwindSafe(|| run(job))).is_err() {
                        failed.fetch_min(at, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    jobs.get(failed.into_inner() as usize)
}

#[test]
fn whatever_the_network_does_nothing_is_lost_and_nobody_stays_behind() {
    let seeds: Vec<u64> = match setting("SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..setting("SIM_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let begin = Instant::now();
    let failed = fails(&seeds, |seed| _ = in_virtual_time(*seed, storm(*seed)));
    if let Some(seed) = failed {
        panic!("seed {seed} fails. To repeat it: SIM_SEED={seed} cargo test --test simulation whatever");
    }
    println!("{} seeds in {:?}", seeds.len(), begin.elapsed());
    // Shows that the limits of small queues were approached; otherwise the checks of them would prove nothing.
    let fullest = FULLEST.load(Ordering::Relaxed);
    assert!(seeds.len() < 1_000 || fullest >= 24, "no outbox was nearly full: {fullest}");
}

#[test]
fn a_seed_does_the_same_each_time() {
    for seed in 0..20 {
        let digests = [(); 2].map(|()| in_virtual_time(seed, storm(seed)));
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}
