//! What one relayed message costs before and after the hub: reading a client's frame, and making
//! the frame that its receivers get.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use roundtable::protocol::client::{Request, parse};
use roundtable::protocol::{Frame, PeerId, server};

/// A candidate as Chromium writes it, about 0.2 KB.
const CANDIDATE: &str = r#"{"candidate":{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.5 rport 46154 generation 0 ufrag Xq5N network-cost 999","sdpMid":"0","sdpMLineIndex":0}}"#;

/// A `signal` with `data` as its sender writes it.
fn signal(data: &str) -> String {
    format!(r#"{{"type":"signal","to":"AAAAAAAAAAAAAAAAAAAA","data":{data}}}"#)
}

/// Data of `bytes` bytes that looks like an offer: short lines, each with two JSON escapes.
fn offer(bytes: usize) -> String {
    let line = r"a=rtpmap:111 opus/48000/2\r\n";
    let around = r#"{"description":{"type":"offer","sdp":""}}"#.len();
    let filler = bytes - around;
    let lines = line.repeat(filler / line.len());
    let rest = "x".repeat(filler % line.len());
    format!(r#"{{"description":{{"type":"offer","sdp":"{lines}{rest}"}}}}"#)
}

/// What the server does with a relayed message, the hub left out.
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

criterion_group!(benches, relay_path);
criterion_main!(benches);
