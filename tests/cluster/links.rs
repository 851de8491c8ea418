//! A link between two servers on a way that loses, swaps and doubles.

use std::time::Duration;

use fastrand::Rng;
use roundtable::cluster::link::{LINK_BYTES, LINK_PARCELS, Link};
use roundtable::cluster::wire::{Content, Incarnation, Mark, Packet, Parcel};
use roundtable::cluster::{Post, ServerId};
use roundtable::protocol::Frame;

fn post(server: u64) -> Post {
    Post { server: ServerId(server), life: 1 }
}

fn parcel(text: &str) -> Parcel {
    let at = Mark { incarnation: Incarnation { born: 1, founder: post(1) }, number: 0 };
    Parcel { at, content: Content::Frame { to: Vec::new(), frame: Frame::text([r#"{"n":""#, text, r#""}"#]) } }
}

#[test]
fn everything_comes_once_and_in_order() {
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let mut ends = [Link::new(post(0), post(1)), Link::new(post(1), post(0))];
        let mut under_way: Vec<(usize, Packet)> = Vec::new();
        let (mut sent, mut got): ([Vec<Parcel>; 2], [Vec<Parcel>; 2]) = Default::default();
        let mut now = Duration::ZERO;
        for step in 0..1_000 {
            now += Duration::from_millis(rng.u64(0..200));
            // In the end nothing is lost any more.
            let calm = step > 500;
            for (at, to) in [(0, 1), (1, 0)] {
                let mut out = Vec::new();
                if !calm && rng.bool() {
                    let parcel = parcel(&step.to_string());
                    sent[at].push(parcel.clone());
                    out.push(ends[at].send(now, parcel));
                }
                ends[at].tick(now, &mut |packet| out.push(packet));
                under_way.extend(out.into_iter().map(|packet| (to, packet)));
            }
            let mut arrive = if calm { under_way.len() } else { rng.usize(0..20) };
            while arrive > 0 && !under_way.is_empty() {
                arrive -= 1;
                let which = if rng.u8(0..4) == 0 { rng.usize(0..under_way.len()) } else { 0 };
                let (to, packet) = under_way.remove(which);
                let times = if calm { 1 } else { [0, 1, 1, 1, 2][rng.usize(0..5)] };
                for _ in 0..times {
                    let mut out = Vec::new();
                    ends[to].receive(now, packet.clone(), &mut |packet| out.push(packet));
                    under_way.extend(out.into_iter().map(|packet| (1 - to, packet)));
                }
                while let Some(parcel) = ends[to].due(|_| true) {
                    got[to].push(parcel);
                }
            }
        }
        assert_eq!(got[1], sent[0], "seed {seed}");
        assert_eq!(got[0], sent[1], "seed {seed}");
        assert!(ends.iter().all(Link::is_idle), "seed {seed}: nothing is kept for ever");
    }
}

#[test]
fn a_link_is_full_by_number_and_by_size() {
    let room = |link: &Link, parcel: &Parcel| match &parcel.content {
        Content::Frame { frame, .. } => link.has_room(frame),
        _ => unreachable!(),
    };
    let (mut link, small) = (Link::new(post(0), post(1)), parcel("x"));
    for _ in 0..LINK_PARCELS {
        assert!(room(&link, &small));
        link.send(Duration::ZERO, small.clone());
    }
    assert!(!room(&link, &small));
    let ack = Packet { from: post(1), to: post(0), ack: 1, again: false, parcel: None };
    link.receive(Duration::ZERO, ack, &mut |_| {});
    assert!(room(&link, &small), "what has arrived makes room");
    let (mut link, large) = (Link::new(post(0), post(1)), parcel(&"x".repeat(LINK_BYTES / 4)));
    for _ in 0..3 {
        assert!(room(&link, &large));
        link.send(Duration::ZERO, large.clone());
    }
    assert!(!room(&link, &large) && room(&link, &small));
}

#[test]
fn what_has_come_and_is_not_due_is_bounded_by_size() {
    let large: Vec<Parcel> = (0..10).map(|at: usize| parcel(&at.to_string().repeat(LINK_BYTES / 4))).collect();
    let (mut from, mut to) = (Link::new(post(0), post(1)), Link::new(post(1), post(0)));
    let (mut now, mut got) = (Duration::ZERO, Vec::new());
    let mut packets: Vec<Packet> = large.iter().map(|parcel| from.send(now, parcel.clone())).collect();
    // In each round all that has not been acknowledged arrives, and then what was taken becomes due.
    while !from.is_idle() {
        for packet in packets.drain(..) {
            to.receive(now, packet, &mut |_| {});
        }
        now += Duration::from_secs(10);
        to.tick(now, &mut |packet| from.receive(now, packet, &mut |_| {}));
        from.tick(now, &mut |packet| packets.push(packet));
        let before = got.len();
        got.extend(std::iter::from_fn(|| to.due(|_| true)));
        let bytes: usize = got[before..].iter().map(Parcel::cost).sum();
        assert!(0 < bytes && bytes < LINK_BYTES + large[0].cost(), "{bytes} bytes were held");
    }
    assert!(got == large, "everything comes once and in order");
    // One that is larger than all may be still comes, by itself.
    let huge = parcel(&"x".repeat(2 * LINK_BYTES));
    to.receive(now, from.send(now, huge.clone()), &mut |_| {});
    assert_eq!(to.due(|_| true), Some(huge));
}
