//! Contract of [`Bus`](roundtable::cluster::bus::Bus), which every store must satisfy.

use std::time::Duration;

use bytes::Bytes;
use roundtable::cluster::bus::{Answer, BATCH, Request};
use roundtable::cluster::records::Limits;
use roundtable::cluster::wire::{Body, Entry, Incarnation, News, to_bytes};
use roundtable::protocol::{PeerName, RoomName};

use crate::server::{LONG, Server, act, act_of, new_room};

/// Running store.
pub trait Engine: Sync {
    /// Connects another server without waiting.
    fn server(&self, limits: Limits) -> Server;

    /// Connects another server and waits for the connection.
    fn join(&self) -> impl Future<Output = Server> {
        self.join_with(Limits::default())
    }

    fn join_with(&self, limits: Limits) -> impl Future<Output = Server> {
        async move {
            let mut server = self.server(limits);
            server.connected().await;
            server
        }
    }
}

/// Generates one test per promise, each with a store made by the expression.
macro_rules! keeps_its_promises {
    ($engine:expr) => {
        crate::contract::keeps_its_promises!($engine =>
            servers_come_in_an_order, who_is_in_may_ask_to_come_in_again, records_come_one_after_the_other,
            acts_get_numbers, who_is_not_in_appends_nothing, a_log_is_read_from_anywhere, a_log_forgets_its_beginning,
            a_log_has_bounded_bytes, a_log_has_up_to_16_kib_or_one_entry,
            who_goes_is_told, a_room_that_nobody_knows_begins_anew, who_is_put_out_is_told, records_expire,
            messages_go_to_one_server, messages_come_as_they_are, a_room_that_was_forgotten_is_silent,
            leases_end, rooms_have_any_name);
    };
    ($engine:expr => $($promise:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $promise() {
            crate::contract::$promise(&$engine).await;
        })*

        /// Runs all promises against one store.
        #[allow(dead_code)]
        pub async fn all(engine: &impl crate::contract::Engine) {
            $(eprintln!("{}", stringify!($promise));
            crate::contract::$promise(engine).await;)*
        }
    };
}
pub(crate) use keeps_its_promises;

pub async fn servers_come_in_an_order(engine: &impl Engine) {
    let (mut a, mut b, mut c, room) = (engine.join().await, engine.join().await, engine.join().await, new_room());
    let first = a.attach(&room).await;
    assert_eq!((first.number, &*first.others, first.incarnation.founder), (1, &[][..], first.post));
    let second = b.attach(&room).await;
    assert_eq!((second.number, &*second.others, second.incarnation), (2, &[first.post][..], first.incarnation));
    let third = c.attach(&room).await;
    assert_eq!((third.number, &*third.others), (3, &[first.post, second.post][..]));
    for (number, posts) in [(2, vec![first.post, second.post]), (3, vec![first.post, second.post, third.post])] {
        let (_, entry) = a.entry(&room).await;
        let news = News::Attached(*posts.last().unwrap());
        assert_eq!((entry.number, entry.body), (number, Body::Posts { posts, news }));
    }
    assert_eq!(b.entry(&room).await.1.number, 3);
    a.nothing_came(&room, &first).await;
}

pub async fn who_is_in_may_ask_to_come_in_again(engine: &impl Engine) {
    let (mut a, room) = (engine.join().await, new_room());
    let place = a.attach(&room).await;
    for after in [None, Some(place.incarnation)] {
        let answer = a.ask(&room, Request::Attach { post: place.post, after }).await;
        let Answer::Attached { incarnation, number, others, .. } = answer else { panic!("{answer:?}") };
        assert_eq!((incarnation, number, others), (place.incarnation, 1, Vec::new()));
    }
    // A node that is no longer in this record was evicted.
    let (other, after) = (a.post(), Some(place.incarnation));
    assert_eq!(a.ask(&room, Request::Attach { post: other, after }).await, Answer::NotAttached);
    a.nothing_came(&room, &place).await;
}

pub async fn records_come_one_after_the_other(engine: &impl Engine) {
    let (mut a, room) = (engine.join().await, new_room());
    let place = a.attach(&room).await;
    let (born, now) = (Duration::from_millis(place.incarnation.born), a.bus.clock());
    assert!(born <= now && born + LONG > now, "born at {born:?}, but the store's clock is at {now:?}");
    a.ask(&room, place.detach()).await;
    a.entry(&room).await;
    // A record that was created by a clock far ahead.
    let founder = a.post();
    let after = Some(Incarnation { born: place.incarnation.born + 1_000_000, founder });
    let answer = a.ask(&room, Request::Attach { post: founder, after }).await;
    let Answer::Attached { incarnation, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(incarnation.born, place.incarnation.born + 1_000_001);
    // The record has been replaced.
    assert_eq!(a.ask(&room, place.fetch(0)).await, Answer::Unknown);
}

pub async fn acts_get_numbers(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let (first, second) = (a.attach(&room).await, b.attach(&room).await);
    a.entry(&room).await;
    let acts: Vec<_> = (1..=BATCH as u64).map(|own| (own, act(u64::MAX - own))).collect();
    assert_eq!(a.ask(&room, first.append(acts.clone())).await, Answer::Done { number: 2 + BATCH as u64 });
    let name = PeerName::new("\"\\ 你好 🙂").unwrap();
    let join = match act(1) {
        roundtable::core::Act::Sync { seat } => roundtable::core::Act::Join {
            seat,
            name,
            state: Default::default(),
            settings: Default::default(),
            comeback: Default::default(),
            grant: Default::default(),
            stay: Some(u64::MAX),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(b.ask(&room, second.append(vec![(7, join.clone())])).await, Answer::Done { number: 3 + BATCH as u64 });
    for server in [&mut a, &mut b] {
        let mut last = Duration::ZERO;
        for (at, (own, act)) in acts.iter().enumerate() {
            let (of, entry) = server.entry(&room).await;
            assert_eq!((of, entry.number), (first.incarnation, 3 + at as u64));
            assert_eq!(entry.body, Body::Act { post: first.post, own: *own, act: act.clone() });
            assert!(entry.time >= last, "time went back");
            last = entry.time;
        }
        let (_, entry) = server.entry(&room).await;
        assert_eq!(entry.body, Body::Act { post: second.post, own: 7, act: join.clone() });
        let now = server.bus.clock();
        assert!(entry.time < now + Duration::from_secs(1) && entry.time + LONG > now, "{:?}, now {now:?}", entry.time);
    }
}

pub async fn who_is_not_in_appends_nothing(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let place = a.attach(&room).await;
    let (post, incarnation) = (b.post(), place.incarnation);
    let acts = vec![(1, act(1))];
    let append = Request::Append { post, incarnation, acts: acts.clone() };
    assert_eq!(b.ask(&room, append).await, Answer::NotAttached);
    for request in [
        Request::Found { post, incarnation },
        Request::Evict { post, incarnation, victim: place.post },
        Request::Detach { post, incarnation },
        Request::Fetch { post, incarnation, after: 0 },
    ] {
        assert_eq!(b.ask(&room, request).await, Answer::NotAttached);
    }
    let post = place.post;
    for incarnation in
        [Incarnation { born: incarnation.born + 1, ..incarnation }, Incarnation { founder: b.post(), ..incarnation }]
    {
        assert_eq!(a.ask(&room, Request::Append { post, incarnation, acts: acts.clone() }).await, Answer::Unknown);
    }
    assert_eq!(a.ask(&new_room(), place.append(acts)).await, Answer::Unknown);
    a.nothing_came(&room, &place).await;
}

pub async fn a_log_is_read_from_anywhere(engine: &impl Engine) {
    let (mut a, room) = (engine.join().await, new_room());
    let place = a.attach(&room).await;
    a.ask(&room, place.append((1..=4).map(|own| (own, act(own))).collect())).await;
    let mut published = Vec::new();
    for _ in 0..4 {
        published.push(a.entry(&room).await.1);
    }
    for after in 1..=5 {
        let answer = a.ask(&room, place.fetch(after)).await;
        assert_eq!(answer, Answer::Entries { number: 5, entries: Some(published[after as usize - 1..].to_vec()) });
    }
    let Answer::Entries { entries: Some(entries), .. } = a.ask(&room, place.fetch(0)).await else { panic!() };
    assert_eq!((entries.len(), &entries[1..]), (5, &*published));
}

pub async fn a_log_forgets_its_beginning(engine: &impl Engine) {
    let mut a = engine.join_with(Limits { entries: 3, ..Limits::default() }).await;
    let room = new_room();
    let place = a.attach(&room).await;
    a.ask(&room, place.append((1..=6).map(|own| (own, act(own))).collect())).await;
    for (after, there) in [(0, None), (3, None), (4, Some(3)), (6, Some(1)), (7, Some(0))] {
        let answer = a.ask(&room, place.fetch(after)).await;
        let Answer::Entries { number: 7, entries } = answer else { panic!("{answer:?}") };
        assert_eq!(entries.map(|entries| entries.len()), there, "after {after}");
    }
}

pub async fn a_log_has_bounded_bytes(engine: &impl Engine) {
    let mut a = engine.join_with(Limits { bytes: 100, ..Limits::default() }).await;
    let room = new_room();
    let place = a.attach(&room).await;
    for number in 2..6 {
        a.ask(&room, place.append(vec![(number, act(number))])).await;
        // Each entry takes more than half of that.
        for (after, there) in [(number - 2, None), (number - 1, Some(1))] {
            let answer = a.ask(&room, place.fetch(after)).await;
            let Answer::Entries { entries, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(entries.map(|entries| entries.len()), there, "after {after}");
        }
    }
}

pub async fn a_log_has_up_to_16_kib_or_one_entry(engine: &impl Engine) {
    let (mut a, room) = (engine.join().await, new_room());
    let place = a.attach(&room).await;
    let acts = (1..=BATCH as u64).map(|own| (own, act_of(5_000))).collect();
    let Answer::Done { number } = a.ask(&room, place.append(acts)).await else {
        panic!("expected that acts are appended")
    };
    let mut kept = Vec::new();
    for after in (0..number).rev() {
        let answer = a.ask(&room, place.fetch(after)).await;
        let Answer::Entries { entries: Some(entries), .. } = answer else { break };
        kept = entries;
    }
    let bytes: usize = kept.iter().map(|entry| to_bytes(entry).len()).sum();
    assert!(kept.len() > 1 && bytes <= 16 * 1024, "{} entries, {bytes} bytes", kept.len());
    // The latest entry is kept, whatever its size.
    let large = act_of(30_000);
    a.ask(&room, place.append(vec![(BATCH as u64 + 1, large.clone())])).await;
    assert_eq!(a.ask(&room, place.fetch(number - 1)).await, Answer::Entries { number: number + 1, entries: None });
    let answer = a.ask(&room, place.fetch(number)).await;
    let Answer::Entries { entries: Some(entries), .. } = answer else { panic!("{answer:?}") };
    assert!(matches!(&*entries, [Entry { body: Body::Act { act, .. }, .. }] if *act == large));
}

pub async fn who_goes_is_told(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let (first, second) = (a.attach(&room).await, b.attach(&room).await);
    a.entry(&room).await;
    assert_eq!(a.ask(&room, first.detach()).await, Answer::Done { number: 3 });
    for server in [&mut a, &mut b] {
        let (_, entry) = server.entry(&room).await;
        let body = Body::Posts { posts: vec![second.post], news: News::Detached(first.post) };
        assert_eq!((entry.number, entry.body), (3, body));
    }
    assert_eq!(a.ask(&room, first.detach()).await, Answer::NotAttached);
    assert_eq!(b.ask(&room, second.detach()).await, Answer::Done { number: 4 });
    // The record is deleted when the last node leaves.
    assert_eq!(b.ask(&room, second.detach()).await, Answer::Unknown);
    b.entry(&room).await;
    let third = b.attach(&room).await;
    assert_eq!((third.number, third.others), (1, Vec::new()));
}

pub async fn a_room_that_nobody_knows_begins_anew(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let (first, second) = (a.attach(&room).await, b.attach(&room).await);
    a.entry(&room).await;
    let found = Request::Found { post: second.post, incarnation: second.incarnation };
    assert_eq!(b.ask(&room, found).await, Answer::Done { number: 3 });
    for server in [&mut a, &mut b] {
        let body = Body::Posts { posts: vec![first.post, second.post], news: News::Founded };
        assert_eq!(server.entry(&room).await.1.body, body);
    }
}

pub async fn who_is_put_out_is_told(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let (first, second) = (a.attach(&room).await, b.attach(&room).await);
    a.entry(&room).await;
    let evict = Request::Evict { post: second.post, incarnation: second.incarnation, victim: first.post };
    for _ in 0..2 {
        assert_eq!(b.ask(&room, evict.clone()).await, Answer::Done { number: 3 });
    }
    for server in [&mut a, &mut b] {
        let (_, entry) = server.entry(&room).await;
        assert_eq!(entry.body, Body::Posts { posts: vec![second.post], news: News::Evicted(first.post) });
    }
    assert_eq!(a.ask(&room, first.append(vec![(1, act(1))])).await, Answer::NotAttached);
    b.nothing_came(&room, &second).await;
}

pub async fn records_expire(engine: &impl Engine) {
    let lasts = Duration::from_millis(800);
    let mut a = engine.join_with(Limits { lasts, ..Limits::default() }).await;
    let (room, began) = (new_room(), a.bus.clock());
    let place = a.attach(&room).await;
    // Reading keeps the record.
    while a.bus.clock() < began + 2 * lasts {
        assert!(matches!(a.ask(&room, place.fetch(0)).await, Answer::Entries { entries: Some(_), .. }));
    }
    // A node that is not attached does not keep it.
    let other = a.post();
    let read = a.bus.clock();
    let stranger = Request::Fetch { post: other, incarnation: place.incarnation, after: 0 };
    while a.ask(&room, stranger.clone()).await == Answer::NotAttached {}
    assert!(a.bus.clock() >= read + lasts / 2, "too early");
    assert_eq!(a.ask(&room, place.fetch(0)).await, Answer::Unknown);
    let anew = a.attach(&room).await;
    assert_eq!(anew.number, 1);
    assert!(matches!(a.ask(&room, anew.fetch(0)).await, Answer::Entries { entries: Some(log), .. } if log.len() == 1));
}

pub async fn messages_go_to_one_server(engine: &impl Engine) {
    let (mut a, mut b, mut c, room) = (engine.join().await, engine.join().await, engine.join().await, new_room());
    let (first, second) = (a.attach(&room).await, b.attach(&room).await);
    let third = c.attach(&room).await;
    a.entry(&room).await;
    a.entry(&room).await;
    b.entry(&room).await;
    // As many as one room may have in the queue, and more than are sent at once.
    let texts: Vec<Bytes> = (0..600).map(|at| format!("message {at}").into()).collect();
    for text in &texts {
        a.bus.tell(&room, b.id, text.clone());
    }
    for text in &texts {
        assert_eq!(b.told(&room).await, text, "lost, repeated or out of order");
    }
    for (server, place) in [(&mut a, &first), (&mut b, &second), (&mut c, &third)] {
        server.nothing_came(&room, place).await;
    }
}

pub async fn messages_come_as_they_are(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    b.attach(&room).await;
    let long: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
    for bytes in [Bytes::new(), Bytes::from_static(b"\0\r\n\xff"), long.into(), Bytes::from_static(b"E1:2:3\n1{}")] {
        a.bus.tell(&room, b.id, bytes.clone());
        assert!(b.told(&room).await == bytes, "{} bytes", bytes.len());
    }
    // Sent to itself.
    b.bus.tell(&room, b.id, Bytes::from_static(b"own"));
    assert_eq!(b.told(&room).await, "own");
    assert!(a.events.try_recv().is_err());
}

pub async fn a_room_that_was_forgotten_is_silent(engine: &impl Engine) {
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    let (first, second) = (a.attach(&room).await, b.attach(&room).await);
    a.entry(&room).await;
    a.bus.forget(&room);
    a.nothing_came(&room, &first).await;
    b.bus.tell(&room, a.id, Bytes::from_static(b"unheard"));
    // Processed after `forget`.
    b.nothing_came(&room, &second).await;
    a.nothing_came(&room, &first).await;
    // Attaching again subscribes again.
    a.bus.forget(&room);
    let after = Some(first.incarnation);
    a.ask(&room, Request::Attach { post: first.post, after }).await;
    b.bus.tell(&room, a.id, Bytes::from_static(b"heard"));
    assert_eq!(a.told(&room).await, "heard");
}

pub async fn leases_end(engine: &impl Engine) {
    let (a, b) = (engine.join().await, engine.join().await);
    let (all, lease) = ([b.id, a.id, crate::server::new_id()], Duration::from_millis(800));
    assert_eq!(a.bus.living(&[]).await, Ok(Vec::new()));
    assert_eq!(a.bus.living(&all).await, Ok(Vec::new()));
    assert_eq!(a.bus.renew(LONG).await, Ok(false), "there was no lease before");
    let said = b.bus.clock();
    assert_eq!(b.bus.renew(lease).await, Ok(false));
    assert_eq!(b.bus.renew(lease).await, Ok(true));
    assert_eq!(a.bus.living(&all).await, Ok(vec![b.id, a.id]));
    while a.bus.living(&all).await.unwrap().len() == 2 {}
    assert!(b.bus.clock() >= said + lease / 2, "too early");
    assert_eq!(a.bus.living(&all).await, Ok(vec![a.id]));
    assert_eq!(b.bus.renew(lease).await, Ok(false), "the lease had expired");
}

pub async fn rooms_have_any_name(engine: &impl Engine) {
    let (mut a, b) = (engine.join().await, engine.join().await);
    for name in ["{", "}", "{}", "}{", "a{b}c", "%7D", "a b", "会议 🙂", "{lease}:1", "a:1", "a:log", "*", "[a-z]"]
    {
        let room = RoomName::new(name).unwrap();
        let place = a.attach(&room).await;
        assert_eq!((place.number, &*place.others), (1, &[][..]), "{name}");
        b.bus.tell(&room, a.id, Bytes::from_static(b"hello"));
        assert_eq!(a.told(&room).await, "hello");
        assert!(
            matches!(a.ask(&room, place.fetch(0)).await, Answer::Entries { entries: Some(log), .. } if log.len() == 1)
        );
    }
}
