//! R82: call quality reports.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;

fn report() -> Value {
    json!({"type": "quality", "links": [{
        "round_trip_ms": 42, "loss_percent": 0.5, "jitter_ms": 3, "freezes": 2, "frozen_ms": 640, "width": 1280,
        "height": 720, "fps": 30, "kbps": 1250, "relayed": true, "first_frame_ms": 812,
    }]})
}

#[tokio::test]
async fn r82_a_report_becomes_metrics_and_nobody_is_told() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let mut bob = server.join("r", "Bob").await;
    ada.expect("peer_joined").await;
    assert_eq!(bob.welcome["quality_seconds"], 10);
    bob.send(report()).await;
    // There is no response, no copy to others, and no number to acknowledge.
    bob.expect_nothing().await;
    ada.expect_nothing().await;
    for (metric, value) in [
        ("roundtable_quality_reports_total", 1),
        ("roundtable_quality_links_total{path=\"relayed\"}", 1),
        ("roundtable_quality_links_total{path=\"direct\"}", 0),
        ("roundtable_quality_freezes_total", 2),
        ("roundtable_quality_round_trip_seconds_bucket{le=\"0.025\"}", 0),
        ("roundtable_quality_round_trip_seconds_bucket{le=\"0.05\"}", 1),
        ("roundtable_quality_loss_ratio_bucket{le=\"0.001\"}", 0),
        ("roundtable_quality_loss_ratio_bucket{le=\"0.005\"}", 1),
        ("roundtable_quality_jitter_seconds_bucket{le=\"0.005\"}", 1),
        ("roundtable_quality_frozen_seconds_bucket{le=\"0.5\"}", 0),
        ("roundtable_quality_frozen_seconds_bucket{le=\"1.0\"}", 1),
        ("roundtable_quality_height_pixels_bucket{le=\"540.0\"}", 0),
        ("roundtable_quality_height_pixels_bucket{le=\"720.0\"}", 1),
        ("roundtable_quality_received_frames_per_second_bucket{le=\"30.0\"}", 1),
        ("roundtable_quality_received_bits_per_second_bucket{le=\"1000000.0\"}", 0),
        ("roundtable_quality_received_bits_per_second_bucket{le=\"2000000.0\"}", 1),
        ("roundtable_quality_first_frame_seconds_bucket{le=\"1.0\"}", 1),
    ] {
        assert_eq!(server.metric(metric).await, value, "{metric}");
    }
}

#[tokio::test]
async fn r82_numbers_are_bounded_and_so_are_links() {
    let server = TestServer::start(&[]).await;
    let (_bob, _eve) = (server.join("r", "Bob").await, server.join("r", "Eve").await);
    let mut ada = server.join("r", "Ada").await;
    let link = |name: &str, value: Value| json!({"type": "quality", "ref": name, "links": [{name: value}]});
    for (name, value) in [
        ("round_trip_ms", json!(60_001)),
        ("round_trip_ms", json!(-1)),
        ("loss_percent", json!(100.1)),
        ("loss_percent", json!(-0.1)),
        ("jitter_ms", json!(60_001)),
        ("freezes", json!(1_001)),
        ("frozen_ms", json!(600_001)),
        ("width", json!(16_385)),
        ("height", json!("720")),
        ("fps", json!(241)),
        ("kbps", json!(10_000_001)),
        ("relayed", json!(1)),
        ("first_frame_ms", json!(600_001)),
    ] {
        ada.send(link(name, value)).await;
        let error = ada.expect_error("bad_field").await;
        assert_eq!((&error["re"], &error["ref"]), (&json!("quality"), &json!(name)));
    }
    ada.send(json!({"type": "quality", "links": vec![json!({}); 65]})).await;
    ada.expect_error("bad_field").await;
    ada.send(json!({"type": "quality"})).await;
    ada.expect_error("missing_field").await;
    assert_eq!(server.metric("roundtable_quality_reports_total").await, 0);
    // Values at their bounds, unknown fields and empty reports are accepted.
    ada.send(json!({"type": "quality", "links": [{"fps": 240, "loss_percent": 100, "later": true}, {}]})).await;
    ada.expect_nothing().await;
    assert_eq!(server.metric("roundtable_quality_links_total{path=\"unknown\"}").await, 2);
}

#[tokio::test]
async fn r82_a_report_has_no_more_links_than_there_are_others() {
    let server = TestServer::start(&[]).await;
    let links = |count: usize| json!({"type": "quality", "links": vec![json!({"loss_percent": 100}); count]});
    let refused = async |client: &mut Client, count: usize| {
        client.send(links(count)).await;
        assert_eq!(client.expect_error("bad_field").await["re"], "quality");
    };
    let mut ada = server.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "settings": {"lobby": true}})).await;
    refused(&mut ada, 1).await;
    // A person in the lobby has no links either.
    let mut bob = server.connect("r").await;
    bob.send(json!({"type": "join", "name": "Bob"})).await;
    bob.expect("waiting").await;
    refused(&mut bob, 1).await;
    let id = ada.expect("lobby").await["waiting"][0]["id"].clone();
    ada.send(json!({"type": "moderate", "action": "admit", "to": id})).await;
    bob.expect("welcome").await;
    ada.expect_nothing_but(&["lobby", "peer_joined"]).await;
    for client in [&mut ada, &mut bob] {
        refused(client, 2).await;
    }
    assert_eq!(server.metric("roundtable_quality_reports_total").await, 0);
    ada.send(links(1)).await;
    server.metric_becomes("roundtable_quality_reports_total", 1).await;
}

#[tokio::test]
async fn r82_who_has_just_left_is_still_in_a_report() {
    let server = TestServer::start(&[("ROUNDTABLE_QUALITY_INTERVAL", "1us")]).await;
    let (ada, bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    let mut eve = server.join("r", "Eve").await;
    // First the members at the join count, then those at the previous report.
    for (mut other, (links, reports)) in [bob, ada].into_iter().zip([(2, 1), (1, 2)]) {
        other.send(json!({"type": "leave"})).await;
        eve.expect("peer_left").await;
        eve.send(json!({"type": "quality", "links": vec![json!({}); links]})).await;
        server.metric_becomes("roundtable_quality_reports_total", reports).await;
    }
    eve.expect("role").await;
    eve.send(json!({"type": "quality", "links": [{}]})).await;
    eve.expect_error("bad_field").await;
}

#[tokio::test]
async fn r83_reports_are_not_taken_unasked_or_too_often() {
    let server = TestServer::start(&[("ROUNDTABLE_QUALITY_INTERVAL", "0s")]).await;
    let mut ada = server.join("r", "Ada").await;
    assert!(ada.welcome.get("quality_seconds").is_none());
    ada.send(report()).await;
    ada.expect_error("not_allowed").await;
    assert_eq!(server.metric("roundtable_quality_reports_total").await, 0);

    let server = TestServer::start(&[("ROUNDTABLE_QUALITY_INTERVAL", "1h")]).await;
    let _ada = server.join("r", "Ada").await;
    let mut bob = server.join("r", "Bob").await;
    bob.send(report()).await;
    bob.send(report()).await;
    bob.expect_error("not_allowed").await;
    assert_eq!(server.metric("roundtable_quality_reports_total").await, 1);
    let mut eve = server.connect("r").await;
    eve.send(report()).await;
    eve.expect_error("join_first").await;
}
