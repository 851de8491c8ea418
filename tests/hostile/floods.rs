//! Floods of messages, bytes, pings and deeply nested JSON, and members that do not read.

use serde_json::json;

use crate::common::client::Client;
use crate::common::raw::{FIN, PING, Raw, TEXT, masked};
use crate::stage::{FEW, MANY, Stage, crowd, room};

/// Shorter grace period than the default of half a minute.
const IMPATIENT: (&str, &str) = ("ROUNDTABLE_RATE_PATIENCE", "500ms");

/// Asserts that the connection was closed for what it sent, or for what it did not read meanwhile.
fn assert_ended(code: u16) {
    assert!([4011, 4005].contains(&code), "{code}");
}

#[tokio::test]
async fn messages_without_end() {
    let broadcasts = masked(FIN | TEXT, br#"{"type":"broadcast","data":1}"#).repeat(200);
    let strangers = masked(FIN | TEXT, br#"{"type":"signal","to":"AAAAAAAAAAAAAAAAAAAA","data":1}"#).repeat(200);
    let states = (0..200).flat_map(|at| {
        masked(FIN | TEXT, format!(r#"{{"type":"state","state":{{"hand":{}}}}}"#, at % 2 == 0).as_bytes())
    });
    let states: Vec<u8> = states.collect();
    let garbage = masked(FIN | TEXT, b"no JSON").repeat(200);
    let pings = masked(FIN | PING, &[b'?'; 125]).repeat(200);
    Stage::set(&[IMPATIENT])
        .await
        .under("a flood", async |stage| {
            let room = room();
            let _audience = stage.member(&room).await;
            let floods = [&broadcasts, &strangers, &states, &garbage, &pings];
            crowd(
                FEW,
                floods.map(|flood| {
                    let room = room.clone();
                    async move {
                        let mut raw = stage.raw(&room).await.joined("Eve").await.0;
                        assert_ended(raw.flood(flood).await);
                    }
                }),
            )
            .await;
        })
        .await;
}

#[tokio::test]
async fn bytes_without_end() {
    let text = format!(r#"{{"type":"broadcast","data":"{}"}}"#, "x".repeat(60_000));
    let flood = masked(FIN | TEXT, text.as_bytes()).repeat(2);
    Stage::set(&[IMPATIENT])
        .await
        .under("a flood of bytes", async |stage| {
            let room = room();
            crowd(
                MANY,
                (0..4).map(|_| async {
                    let mut raw = stage.raw(&room).await.joined("Eve").await.0;
                    assert_ended(raw.flood(&flood).await);
                }),
            )
            .await;
        })
        .await;
}

#[tokio::test]
async fn json_without_a_bottom() {
    const DEPTH: usize = 15_000;
    let deep = ["[".repeat(DEPTH), "]".repeat(DEPTH)].concat();
    let objects = [r#"{"a":"#.repeat(10_000), "1".into(), "}".repeat(10_000)].concat();
    let keys: String = (0..6_000).map(|at| format!(r#""k{at}":1,"#)).collect();
    let messages = [
        format!(r#"{{"type":"broadcast","data":{deep}}}"#),
        format!(r#"{{"type":"broadcast","data":{objects}}}"#),
        format!(r#"{{"type":"state","state":{{"a":{deep}}}}}"#),
        format!(r#"{{"type":"state","state":{{{keys}"z":1}}}}"#),
        format!(r#"{{"type":"ping","ref":{deep}}}"#),
        format!(r#"{{"type":{deep}}}"#),
        format!(r#"{{"type":"moderate","action":"settings","settings":{objects}}}"#),
        format!(r#"{{"type":"broadcast","seq":{},"data":1}}"#, "9".repeat(60_000)),
        format!(r#"{{"type":"broadcast","data":"{}"}}"#, r"\u0000".repeat(10_000)),
        "[".repeat(65_000),
        format!(r#"{{"{}"#, r#"\""#.repeat(30_000)),
    ];
    Stage::set(&[("ROUNDTABLE_BYTE_RATE", "0")])
        .await
        .under("deep JSON", async |stage| {
            for text in &messages {
                let mut raw = stage.raw(&room()).await;
                for _ in 0..2 {
                    raw.text(text).await;
                    raw.text(r#"{"type":"ping","ref":"through"}"#).await;
                    while raw.message().await["ref"] != "through" {}
                    // The second round runs as a member.
                    raw.text(r#"{"type":"join","name":"Eve"}"#).await;
                }
            }
        })
        .await;
}

#[tokio::test]
async fn a_member_that_reads_nothing() {
    // Exceeds the burst of bytes from one member to one recipient (R102). How much of it the kernels buffer varies.
    const EACH: usize = 9;
    let data = "x".repeat(60_000);
    Stage::set(&[("ROUNDTABLE_OUTBOX_BYTES", "262144"), ("ROUNDTABLE_ROOM_MEMBERS", "250")])
        .await
        .under("a member that reads nothing", async |stage| {
            let room = room();
            let mut listener = stage.member(&room).await;
            let (_deaf, welcome) = Raw::over(stage.tcp().await, &room, "", b"").await.joined("Deaf").await;
            let id = welcome["self"].as_str().unwrap();
            let talk = crowd(
                MANY,
                (0..200).map(|_| async {
                    let mut talker: Client = stage.member(&room).await;
                    for _ in 0..EACH {
                        talker.send(json!({"type": "signal", "to": id, "data": data})).await;
                    }
                }),
            );
            let departure = async {
                loop {
                    let message = listener.next_message().await.unwrap();
                    if message["type"] == "link" && message["id"] == id {
                        break message["link"].clone();
                    }
                }
            };
            tokio::select! {
                link = departure => assert_eq!(link, "lost"),
                () = talk => panic!("108 MB wait for a member that reads nothing"),
            }
        })
        .await;
}
