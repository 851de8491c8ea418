//! Several servers share one room, with a store that loses messages, lags, forgets data and dies.
//!
//! A failing seed is repeated with `CLUSTER_SEED=123 cargo test --test cluster`. `CLUSTER_TRACE=1` prints every step,
//! and `CLUSTER_SEEDS=5000` runs more seeds.

mod decisions;
mod links;
mod member;
mod scenario;
mod snapshots;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use scenario::{Faults, play};

fn seeds(count: u64, faults: Faults) {
    if let Ok(seed) = std::env::var("CLUSTER_SEED") {
        return play(seed.parse().unwrap(), faults);
    }
    let count = std::env::var("CLUSTER_SEEDS").map_or(count, |count| count.parse().unwrap());
    // Two threads, as many as the smallest build machine has cores.
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for seed in (half..count).step_by(2) {
                    let played = catch_unwind(AssertUnwindSafe(|| play(seed, faults)));
                    assert!(played.is_ok(), "failed: CLUSTER_SEED={seed} cargo test --test cluster {}", faults.name);
                }
            });
        }
    });
}

#[test]
fn without_faults() {
    seeds(60, Faults { name: "without_faults", ..Faults::default() });
}

#[test]
fn publications_are_lost() {
    seeds(60, Faults { name: "publications_are_lost", loss: 20, ..Faults::default() });
}

#[test]
fn servers_die() {
    seeds(60, Faults { name: "servers_die", kill: true, ..Faults::default() });
}

#[test]
fn servers_stop_and_go_on() {
    seeds(60, Faults { name: "servers_stop_and_go_on", pause: true, ..Faults::default() });
}

#[test]
fn servers_are_cut_off() {
    seeds(60, Faults { name: "servers_are_cut_off", cut: true, ..Faults::default() });
}

#[test]
fn the_engine_stops_and_goes_on() {
    seeds(60, Faults { name: "the_engine_stops_and_goes_on", engine_pause: true, ..Faults::default() });
}

#[test]
fn the_engine_forgets_everything() {
    seeds(60, Faults { name: "the_engine_forgets_everything", engine_restart: true, ..Faults::default() });
}

const EVERYTHING: Faults = Faults {
    name: "everything_at_once",
    loss: 5,
    kill: true,
    pause: true,
    cut: true,
    engine_pause: true,
    engine_restart: true,
};

#[test]
fn everything_at_once() {
    seeds(120, EVERYTHING);
}

/// Each of these seeds revealed a defect that the earlier ones did not.
#[test]
fn seeds_that_have_failed() {
    [463, 2131].into_iter().for_each(|seed| play(seed, EVERYTHING));
    let loss = Faults { loss: 20, ..Faults::default() };
    [199, 278, 638].into_iter().for_each(|seed| play(seed, loss));
}
