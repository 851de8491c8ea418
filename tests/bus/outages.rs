//! The engine is killed, stands still, has no memory left, or is not there yet.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable::cluster::bus::{Answer, Event, Request, Unavailable};
use roundtable::cluster::engine::ORDERS;
use roundtable::cluster::records::Limits;

use crate::contract::Engine;
use crate::redis::{Single, connect, until};
use crate::server::{act, act_of, new_room};

/// An answer is given within a second; the rest is for a machine that is busy.
const BOUND: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_renewed_when_the_engine_is_back() {
    let mut engine = Single::start();
    let (mut a, metrics) = connect(&engine.address, None, Limits::default());
    a.connected().await;
    let mut b = engine.join().await;
    let rooms: Vec<_> = (0..600).map(|_| new_room()).collect();
    let mut places = Vec::new();
    for room in &rooms {
        places.push(a.attach(room).await);
    }
    for _ in 0..2 {
        assert_eq!(metrics.connected.get(), 1);
        engine.process.kill();
        a.disconnected().await;
        b.disconnected().await;
        assert_eq!(metrics.connected.get(), 0);
        let failures = metrics.failures.get();
        assert_eq!(a.try_ask(&rooms[0], places[0].fetch(0)).await, Err(Unavailable));
        assert_eq!(metrics.failures.get(), failures + 1);
        engine.process.start_again();
        a.connected().await;
        b.connected().await;
        for (room, place) in rooms.iter().zip(&places) {
            // All subscriptions stand, and what was in the engine is lost.
            b.bus.tell(room, a.id, Bytes::copy_from_slice(room.as_str().as_bytes()));
            assert_eq!(a.told(room).await, room.as_str());
            assert_eq!(a.ask(room, place.fetch(0)).await, Answer::Unknown);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hung_is_not_carried_out_later() {
    let engine = Single::start();
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let place = a.attach(&room).await;
    engine.process.signal("STOP");
    let (began, other) = (Instant::now(), b.post());
    let append = a.try_ask(&room, place.append(vec![(1, act(1))]));
    let attach = b.try_ask(&room, Request::Attach { post: other, after: None });
    assert_eq!(tokio::join!(append, attach), (Err(Unavailable), Err(Unavailable)));
    assert!(began.elapsed() >= Duration::from_millis(900) && began.elapsed() < BOUND, "{:?}", began.elapsed());
    a.disconnected().await;
    b.disconnected().await;
    // At once, while it is known to be away.
    let asked = Instant::now();
    assert_eq!(a.try_ask(&room, place.fetch(0)).await, Err(Unavailable));
    assert!(asked.elapsed() < Duration::from_millis(900), "not after the whole patience");
    engine.process.signal("CONT");
    a.connected().await;
    b.connected().await;
    // What it was asked while it stood still was in its sockets, and has been read.
    let answer = a.ask(&room, place.fetch(0)).await;
    assert!(matches!(&answer, Answer::Entries { number: 1, entries: Some(log) } if log.len() == 1), "{answer:?}");
}

/// On one thread: nothing leaves the queue while this sends.
#[tokio::test]
async fn rooms_that_fill_the_queue_lose_only_their_own_messages() {
    let engine = Single::start();
    let (mut a, (mut b, metrics)) = (engine.join().await, connect(&engine.address, None, Limits::default()));
    b.connected().await;
    let (quiet, loud) = (new_room(), (0..10).map(|_| new_room()).collect::<Vec<_>>());
    a.attach(&quiet).await;
    for room in &loud {
        a.attach(room).await;
    }
    b.attach(&quiet).await;
    for size in [10, 64 * 1024] {
        let (loud_bytes, before) = (Bytes::from(vec![b'x'; size]), metrics.lost.get());
        for room in loud.iter().cycle().take(ORDERS) {
            b.bus.tell(room, a.id, loud_bytes.clone());
        }
        let lost = metrics.lost.get() - before;
        assert!(0 < lost && lost < ORDERS as u64, "of {size} bytes, {lost}");
        b.bus.tell(&quiet, a.id, Bytes::from_static(b"quiet"));
        // Everything that is in the queue arrives, and this behind it.
        let mut arrived = 0;
        loop {
            match a.event().await {
                Event::Told(room, bytes) if room == quiet => break assert_eq!(bytes, "quiet"),
                Event::Told(_, bytes) => arrived += u64::from(bytes.len() == size),
                Event::Entry(..) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(arrived + lost, ORDERS as u64, "whatever was not counted as lost has arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_short_is_only_a_delay() {
    let engine = Single::start();
    let (mut a, room) = (engine.join().await, new_room());
    let place = a.attach(&room).await;
    for own in 1..=3 {
        engine.process.signal("STOP");
        let append = tokio::spawn(a.bus.ask(&room, place.append(vec![(own, act(own))])));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!append.is_finished());
        engine.process.signal("CONT");
        assert_eq!(append.await.unwrap(), Ok(Answer::Done { number: 1 + own }));
        a.entry(&room).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_members_say_there_is_room_for_the_lease() {
    let engine = Single::start();
    let (mut a, metrics) = connect(&engine.address, None, Limits::default());
    a.connected().await;
    let (mut b, room) = (engine.join().await, new_room());
    b.attach(&room).await;
    let (lost, words) = (metrics.lost.get(), Bytes::from_static(b"word"));
    engine.process.signal("STOP");
    while metrics.lost.get() == lost {
        a.bus.tell(&room, b.id, words.clone());
    }
    let lease = Duration::from_secs(60);
    let renewed = tokio::spawn(a.bus.renew(lease));
    engine.process.signal("CONT");
    assert_eq!(renewed.await.unwrap(), Ok(false), "it had none before");
    assert_eq!(a.bus.renew(lease).await, Ok(true));
    // And what there was room for has come.
    assert_eq!(b.told(&room).await, words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_begin_before_the_engine() {
    let mut engine = Single::start();
    engine.process.kill();
    let (mut a, metrics) = connect(&engine.address, None, Limits::default());
    let room = new_room();
    let (post, after) = (a.post(), None);
    assert_eq!(a.try_ask(&room, Request::Attach { post, after }).await, Err(Unavailable));
    a.bus.tell(&room, a.id, Bytes::from_static(b"to nobody"));
    a.bus.forget(&room);
    assert_eq!((metrics.connected.get(), metrics.failures.get(), metrics.lost.get()), (0, 1, 1));
    engine.process.start_again();
    a.connected().await;
    assert_eq!(a.attach(&room).await.number, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_not_subscribed_to() {
    let engine = Single::start();
    let (mut a, room) = (engine.join().await, new_room());
    let (socket, channel) = (engine.address.replace("unix://", ""), format!("rt:{{{}}}:{}", room.as_str(), a.id.0));
    let subscribers = ["-s", &socket, "pubsub", "numsub", &channel];
    a.attach(&room).await;
    until(&subscribers, |text| text.trim().ends_with('1')).await;
    a.bus.forget(&room);
    until(&subscribers, |text| text.trim().ends_with('0')).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_is_lost_and_counted() {
    let engine = Single::start();
    let (mut a, metrics) = connect(&engine.address, None, Limits::default());
    a.connected().await;
    let mut b = engine.join().await;
    let room = new_room();
    b.attach(&room).await;
    engine.process.signal("STOP");
    let long = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..60 {
        a.bus.tell(&room, b.id, long.clone());
    }
    assert_eq!(metrics.published.get(), 60);
    assert!((40..60).contains(&metrics.lost.get()), "{}", metrics.lost.get());
    engine.process.signal("CONT");
    // What had room arrives, unless the stop was long enough to be noticed.
    let mut came = 0;
    while came + metrics.lost.get() < 60 {
        match b.event().await {
            Event::Told(_, bytes) => came += u64::from(bytes == long),
            Event::Disconnected => return,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_maxmemory_rooms_go_on_and_logs_do_not_grow() {
    let engine = Single::start();
    let (mut a, mut b, mut c) = (engine.join().await, engine.join().await, engine.join().await);
    let (room, lease) = (new_room(), Duration::from_secs(60));
    let first = a.attach(&room).await;
    let second = b.attach(&room).await;
    a.entry(&room).await;
    a.ask(&room, first.append((1..=4).map(|own| (own, act_of(2_000))).collect())).await;
    assert_eq!(a.bus.renew(lease).await, Ok(false));
    let cli = |arguments: &[&str]| {
        let socket = engine.address.replace("unix://", "");
        let output = Command::new("redis-cli").args(["-s", &socket]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    // From now on it refuses whatever may enlarge its data.
    assert_eq!(cli(&["config", "set", "maxmemory", "1"]), "OK");
    assert!(cli(&["set", "key", "value"]).starts_with("OOM"));
    let log = format!("rt:{{{}}}:log", room.as_str());
    let bytes = || -> usize {
        let entries: usize = cli(&["llen", &log]).parse().unwrap();
        (0..entries).map(|at| cli(&["--raw", "lindex", &log, &at.to_string()]).len()).sum()
    };
    let before = bytes();
    // Servers stay alive, and records too.
    assert_eq!((a.bus.renew(lease).await, b.bus.renew(lease).await), (Ok(true), Ok(false)));
    assert!(matches!(a.ask(&room, first.fetch(5)).await, Answer::Entries { entries: Some(log), .. } if log.len() == 1));
    // Rooms go on, and their logs do not grow.
    for own in 5..40 {
        assert_eq!(a.ask(&room, first.append(vec![(own, act_of(900))])).await, Answer::Done { number: own + 2 });
        assert!(bytes() <= before, "{} bytes, {before} before", bytes());
    }
    let acts = (40..60).map(|own| (own, act_of(900))).collect();
    assert_eq!(a.ask(&room, first.append(acts)).await, Answer::Done { number: 61 });
    assert!(bytes() <= before, "{} bytes, {before} before", bytes());
    // Servers come and go, and with the last one everything goes.
    let third = c.attach(&room).await;
    assert_eq!((third.number, third.others.len()), (62, 2));
    assert_eq!(c.ask(&new_room(), third.fetch(0)).await, Answer::Unknown);
    let evict = Request::Evict { post: third.post, incarnation: third.incarnation, victim: second.post };
    assert_eq!(c.ask(&room, evict).await, Answer::Done { number: 63 });
    assert_eq!(a.ask(&room, first.detach()).await, Answer::Done { number: 64 });
    assert_eq!(c.ask(&room, third.detach()).await, Answer::Done { number: 65 });
    assert_eq!(cli(&["keys", "rt:{room*"]), "");
    // Servers connect, and rooms begin.
    let mut d = engine.join().await;
    assert_eq!(d.attach(&new_room()).await.number, 1);
}
