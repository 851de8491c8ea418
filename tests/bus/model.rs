//! Compares the Redis scripts with the in-process store on random requests.

use std::time::Duration;

use fastrand::Rng;
use roundtable::cluster::bus::{Answer, Event, Request};
use roundtable::cluster::records::{Limits, Records};
use roundtable::cluster::wire::{Entry, Incarnation};
use roundtable::cluster::{Post, ServerId};

use crate::contract::Engine;
use crate::redis::Single;
use crate::server::{Server, act, new_room};

/// The part of an answer that is equal in both: without times, and with a record's index in the order of creation.
#[derive(Debug, PartialEq)]
enum Seen {
    Answer(Answer),
    Attached(usize, u64, Vec<Post>),
}

const ENTRIES: usize = 6;
const SERVERS: usize = 3;

fn place(records: &mut Vec<Incarnation>, incarnation: Incarnation) -> usize {
    records.iter().position(|known| *known == incarnation).unwrap_or_else(|| {
        assert!(records.last().is_none_or(|last| *last < incarnation), "{incarnation:?} after {records:?}");
        records.push(incarnation);
        records.len() - 1
    })
}

fn seen(answer: Answer, records: &mut Vec<Incarnation>) -> Seen {
    match answer {
        Answer::Attached { incarnation, number, others, .. } => {
            Seen::Attached(place(records, incarnation), number, others)
        }
        Answer::Entries { number, entries } => {
            let entries = entries.map(|entries| entries.into_iter().map(without_time).collect());
            Seen::Answer(Answer::Entries { number, entries })
        }
        other => Seen::Answer(other),
    }
}

fn without_time(entry: Entry) -> Entry {
    Entry { time: Duration::ZERO, ..entry }
}

/// Generates a request about the record with the index `of`.
fn request(rng: &mut Rng, posts: &[Post], records: &[Incarnation], of: Option<usize>, own: u64) -> Option<Request> {
    let pick = rng.usize(0..8);
    if pick == 0 {
        let after = of.map(|of| records[of]).filter(|_| rng.bool());
        return Some(Request::Attach { post: posts[0], after });
    }
    let (post, incarnation) = (posts[0], records[of?]);
    Some(match pick {
        1 => Request::Detach { post, incarnation },
        2 => Request::Evict { post, incarnation, victim: posts[1] },
        3 => Request::Found { post, incarnation },
        4 | 5 => Request::Append {
            post,
            incarnation,
            acts: (0..rng.u64(1..4)).map(|at| (own + at, act(own + at))).collect(),
        },
        _ => Request::Fetch { post, incarnation, after: rng.u64(0..12) },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_do_what_the_model_does() {
    let limits = Limits { entries: ENTRIES, ..Limits::default() };
    let engine = Single::start();
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..SERVERS {
        servers.push(engine.join_with(limits).await);
    }
    for seed in 0..40 {
        let (mut rng, room, mut model) = (Rng::with_seed(seed), new_room(), Records::new(limits));
        let (mut of_model, mut of_engine) = (Vec::new(), Vec::new());
        let mut lives = [1; SERVERS];
        let mut published: Vec<Vec<(usize, Entry)>> = vec![Vec::new(); SERVERS];
        for step in 1..=150_u64 {
            let (at, other) = (rng.usize(0..SERVERS), rng.usize(0..SERVERS));
            // Sometimes a server starts a new epoch.
            lives[at] += u64::from(rng.u8(0..12) == 0);
            let posts = [at, other].map(|at| Post { server: servers[at].id, life: lives[at] });
            // Mostly about the latest record, sometimes about an earlier one.
            let of = of_model.len().checked_sub(1 + usize::from(rng.u8(0..8) == 0)).or(of_model.len().checked_sub(1));
            let own_rng = &mut rng.clone();
            let Some(to_model) = request(&mut rng, &posts, &of_model, of, step * 10) else { continue };
            let to_engine = request(own_rng, &posts, &of_engine, of, step * 10).unwrap();
            let now = Duration::from_secs(step);
            if model.posts(&room).is_empty() {
                // The same node creates two records within a millisecond only in tests.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let mut told = Vec::new();
            let answer =
                model.ask(now, &room, to_model.clone(), &mut |to: ServerId, of, entry| told.push((to, of, entry)));
            let expected = seen(answer, &mut of_model);
            let answer = seen(servers[at].ask(&room, to_engine).await, &mut of_engine);
            assert_eq!(answer, expected, "seed {seed}, step {step}: {to_model:?}");
            for (to, of, entry) in told {
                let to = servers.iter().position(|server| server.id == to).unwrap();
                published[to].push((place(&mut of_model, of), without_time(entry)));
            }
        }
        for (server, published) in servers.iter_mut().zip(published) {
            // A server that has never attached receives nothing; after so many steps, all have.
            for expected in published {
                let Event::Entry(of, incarnation, entry) = server.event().await else { panic!("expected an entry") };
                assert_eq!(
                    (of, place(&mut of_engine, incarnation), without_time(entry)),
                    (room.clone(), expected.0, expected.1)
                );
            }
            assert!(server.events.try_recv().is_err());
            server.bus.forget(&room);
        }
    }
}
