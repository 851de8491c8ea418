//! Cost of one relayed message without sockets: parsing the client's frame, building the outgoing frame, and the way
//! through the hub into the outboxes.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use roundtable::access::ResumeKey;
use roundtable::config::Cli;
use roundtable::core::Grant;
use roundtable::core::session::{Bound, Bounds};
use roundtable::greeter::Greeter;
use roundtable::hub::{Hub, HubRules, Membership, Newcomer, Said};
use roundtable::limits::QueueAccount;
use roundtable::outbox::Outbox;
use roundtable::protocol::client::{Request, parse};
use roundtable::protocol::{Frame, Outgoing, PeerId, PeerName, RoomName, SettingsPatch, StatePatch, server};
use roundtable::telemetry::Metrics;

/// ICE candidate as sent by Chromium, about 0.2 KB.
const CANDIDATE: &str = r#"{"candidate":{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.5 rport 46154 generation 0 ufrag Xq5N network-cost 999","sdpMid":"0","sdpMLineIndex":0}}"#;

/// Returns a `signal` with this data as the sender encodes it.
fn signal(data: &str) -> String {
    format!(r#"{{"type":"signal","to":"AAAAAAAAAAAAAAAAAAAA","data":{data}}}"#)
}

/// Returns data of this size that resembles an offer: short lines with two JSON escapes each.
fn offer(bytes: usize) -> String {
    let line = r"a=rtpmap:111 opus/48000/2\r\n";
    let around = r#"{"description":{"type":"offer","sdp":""}}"#.len();
    let filler = bytes - around;
    let lines = line.repeat(filler / line.len());
    let rest = "x".repeat(filler % line.len());
    format!(r#"{{"description":{{"type":"offer","sdp":"{lines}{rest}"}}}}"#)
}

/// Processes a relayed message like the server, without the hub.
fn relay(text: &str, from: PeerId) -> Frame {
    match parse(text).request {
        Ok(Request::Signal { data, .. }) => server::signal(from, data),
        Ok(Request::Broadcast { data }) => server::broadcast(from, data),
        other => panic!("not relayed: {other:?}"),
    }
}

fn relay_path(criterion: &mut Criterion) {
    let from = PeerId::from_random([7; PeerId::LEN]);
    let messages =
        [("200 B", signal(&offer(143))), ("candidate", signal(CANDIDATE)), ("5.4 KB offer", signal(&offer(5_400)))];
    for (name, text) in &messages {
        let mut group = criterion.benchmark_group(*name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("parse", |bench| bench.iter(|| parse(black_box(text)).request.is_ok()));
        let Ok(Request::Signal { data, .. }) = parse(text).request else { panic!("{text}") };
        group.bench_function("stamp signal", |bench| bench.iter(|| server::signal(from, black_box(data))));
        group.bench_function("stamp broadcast", |bench| bench.iter(|| server::broadcast(from, black_box(data))));
        group.bench_function("parse and stamp", |bench| bench.iter(|| relay(black_box(text), from)));
        group.finish();
    }
}

/// Makes the greeter of a server with default settings.
fn greeter() -> Greeter {
    let config = Cli::load(["roundtable".to_owned()], &[]).expect("defaults").config;
    Greeter::new(&config, ResumeKey::new(b"key")).expect("defaults")
}

/// Member with the socket's end of its outbox.
struct Seated {
    membership: Membership,
    outbox: Arc<Outbox>,
    frames: VecDeque<Outgoing>,
}

impl Seated {
    /// Joins as the `number`th member.
    fn new(hub: &Arc<Hub>, number: u8) -> Self {
        let bound = Bound { frames: 1024, bytes: 1 << 20 };
        let outbox = Arc::new(Outbox::new(Bounds { waiting: bound, replay: bound }, QueueAccount::default()));
        let newcomer = Newcomer {
            id: PeerId::from_random([number; PeerId::LEN]),
            name: PeerName::new("Ada").expect("a name"),
            state: StatePatch::default(),
            settings: SettingsPatch::default(),
            named: false,
            stay: None,
            last_seq: None,
            disproved: false,
            limited_by_address: false,
            grant: Grant::default(),
            outbox: outbox.clone(),
        };
        let room = RoomName::new("bench").expect("a room's name");
        let membership = hub.join(&room, newcomer).expect("a free seat").now().expect("no other server");
        Self { membership, outbox, frames: VecDeque::new() }
    }

    /// Takes all queued items, like a connection's task.
    fn drain(&mut self) {
        let taken = self.outbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut self.frames);
        self.frames.clear();
        black_box(taken.is_ready());
    }
}

fn fan_out(criterion: &mut Criterion) {
    let text = signal(&offer(143)).replace("signal", "broadcast");
    let mut group = criterion.benchmark_group("broadcast through the hub");
    for members in [2, 16, 50_u8] {
        let hub = Hub::new(HubRules::open(members.into()), greeter(), Arc::new(Metrics::new()));
        let mut seated: Vec<_> = (0..members).map(|number| Seated::new(&hub, number)).collect();
        seated.iter_mut().for_each(Seated::drain);
        group.throughput(Throughput::Elements(u64::from(members) - 1));
        group.bench_function(BenchmarkId::from_parameter(members), |bench| {
            bench.iter(|| {
                let sender = &seated[0].membership;
                sender
                    .broadcast(Said::default(), relay(black_box(&text), sender.id()))
                    .expect("a member may broadcast");
                seated.iter_mut().for_each(Seated::drain);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, relay_path, fan_out);
criterion_main!(benches);
