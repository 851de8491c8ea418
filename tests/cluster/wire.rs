//! Messages between servers are decoded as they were encoded, and invalid ones are rejected.

use bytes::Bytes;
use fastrand::Rng;
use roundtable::cluster::wire::{Content, Direct, Incarnation, MAX_BYTES, Mark, Packet, Parcel, from_bytes, to_bytes};
use roundtable::cluster::{Post, ServerId};
use roundtable::core::Seat;
use roundtable::protocol::{Frame, PeerId};

fn post(server: u64) -> Post {
    Post { server: ServerId(server), life: 7 }
}

fn at() -> Mark {
    Mark { incarnation: Incarnation { born: u64::MAX, founder: post(1) }, number: 12 }
}

fn seat() -> Seat {
    Seat { id: PeerId::from_random([3; PeerId::LEN]), session: u64::MAX }
}

fn packet(content: Content) -> Packet {
    Packet { from: post(1), to: post(u64::MAX), ack: 4, again: true, parcel: Some((9, Parcel { at: at(), content })) }
}

fn contents() -> Vec<Content> {
    let frame = Frame::text([r#"{"type":"signal","data":"a\nb"}"#]);
    vec![
        Content::Frame { to: vec![seat(), seat()], frame },
        Content::Gone(seat(), 5),
        Content::Beacon(seat(), 5),
        Content::Session(seat(), None),
        // A session may be any bytes.
        Content::Session(seat(), Some(Bytes::from_static(b"\n\0{}\xff\n"))),
    ]
}

#[test]
fn what_is_written_is_read() {
    for content in contents() {
        let Direct::Link(read) = Direct::decode(&Direct::Link(packet(content.clone())).encode()).unwrap() else {
            panic!()
        };
        let Some((9, parcel)) = read.parcel else { panic!("{read:?}") };
        assert_eq!(parcel, Parcel { at: at(), content });
        assert_eq!((read.from, read.to, read.ack, read.again), (post(1), post(u64::MAX), 4, true));
    }
}

#[test]
fn rubbish_is_refused_and_does_no_harm() {
    let mut rng = Rng::with_seed(1);
    for content in contents() {
        let whole = Direct::Link(packet(content)).encode();
        for end in 0..whole.len() {
            // A session may be any bytes, so that a truncation within it is not noticed here.
            let _ = Direct::decode(&whole.slice(..end));
        }
        for _ in 0..2_000 {
            let mut bytes = whole.to_vec();
            let at = rng.usize(0..bytes.len());
            bytes[at] = rng.u8(..);
            let _ = Direct::decode(&bytes.into());
        }
    }
    assert!(Direct::decode(&Bytes::new()).is_err());
    assert!(Direct::decode(&Bytes::from_static(b"1{}")).unwrap_err().contains("version"));
    let long = Bytes::from(vec![b'1'; MAX_BYTES + 1]);
    assert!(Direct::decode(&long).unwrap_err().contains("more than"));
    // An invalid frame, and a frame where none is allowed.
    let mut bytes = Direct::Link(packet(contents().swap_remove(1))).encode().to_vec();
    bytes.extend_from_slice(b"\n{\"a\":1}");
    assert!(Direct::decode(&bytes.into()).is_err());
    let mut bytes = Direct::Link(packet(contents().swap_remove(0))).encode().to_vec();
    bytes.pop();
    assert!(Direct::decode(&bytes.into()).is_err());
}

#[test]
fn a_number_is_the_same_after_a_journey() {
    let mut rng = Rng::with_seed(2);
    for _ in 0..10_000 {
        let number = f64::from_bits(rng.u64(..));
        if number.is_finite() {
            let read: f64 = from_bytes(&to_bytes(&number)).unwrap();
            assert_eq!(read.to_bits(), number.to_bits());
        }
    }
}
