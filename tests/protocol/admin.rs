//! R68 to R70, R90, R91: the operator's API. tests/openapi.rs compares its responses with their document.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use roundtable::telemetry::QUALITY_STEP;
use serde_json::{Value, json};

use crate::common::client::encode;
use crate::common::http::{Answer, ask};
use crate::common::several::{Node, two};
use crate::common::{TestServer, eventually};

const TOKEN: &str = "north-north-north-north-north-north";

async fn admin(settings: &[(&str, &str)]) -> TestServer {
    TestServer::start(&[settings, &[("ROUNDTABLE_ADMIN_TOKEN", TOKEN)]].concat()).await
}

/// Server with an address.
trait At {
    fn at(&self) -> SocketAddr;
}

impl At for TestServer {
    fn at(&self) -> SocketAddr {
        self.address
    }
}

impl At for Node {
    fn at(&self) -> SocketAddr {
        self.address
    }
}

async fn call(server: &impl At, method: &str, path: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let path = format!("/signal-api/v1/admin{path}");
    ask(server.at(), method, &path, &[("Authorization", &authorization)]).await
}

/// Returns the data of a successful response.
async fn data(server: &impl At, method: &str, path: &str) -> Value {
    let answer = call(server, method, path, TOKEN).await;
    assert_eq!((answer.status, &answer.json()["code"]), (200, &json!("SUCCESS")), "{method} {path}");
    answer.json()["data"].clone()
}

async fn refused(server: &TestServer, method: &str, path: &str, status: u16, code: &str) {
    let answer = call(server, method, path, TOKEN).await;
    assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{method} {path}");
}

#[tokio::test]
async fn r68_without_the_token_there_is_nothing_to_see() {
    let server = admin(&[("ROUNDTABLE_ADDRESS_JOINS", "60")]).await;
    let without = ask(server.address, "GET", "/signal-api/v1/admin/rooms", &[]).await;
    assert_eq!((without.status, without.header("www-authenticate")), (401, Some("Bearer")));
    let basic = [("Authorization", "Basic bm9ydGg6")];
    assert_eq!(ask(server.address, "GET", "/signal-api/v1/admin/rooms", &basic).await.status, 401);
    for (method, path) in [("GET", "/rooms"), ("GET", "/nothing"), ("PUT", "/rooms"), ("POST", "/drain")] {
        let answer = call(&server, method, path, "north-north-north-nort").await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("UNAUTHORIZED")), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(!server.app.is_draining());
    refused(&server, "GET", "/nothing", 404, "NOT_FOUND").await;
    refused(&server, "PUT", "/rooms", 405, "METHOD_NOT_ALLOWED").await;
    // Guesses are rate limited like joins: the burst is 120 attempts, and a guess costs ten. Then one guess is delayed,
    // and the next is rejected.
    for _ in 0..8 {
        call(&server, "GET", "/rooms", "guess").await;
    }
    let guess = call(&server, "GET", "/rooms", "guess").await;
    assert_eq!((guess.status, &guess.json()["code"]), (429, &json!("TOO_MANY_ATTEMPTS")));
    // The operator shares the address and is not locked out by the guesses.
    data(&server, "GET", "/rooms").await;

    let off = TestServer::start(&[]).await;
    refused(&off, "GET", "/rooms", 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn r104_only_listed_addresses_reach_the_admin_api() {
    let server =
        admin(&[("ROUNDTABLE_ADMIN_ALLOWED_IPS", "203.0.113.7,2001:db8::/32"), ("ROUNDTABLE_ADDRESS_JOINS", "60")])
            .await;
    let authorization = format!("Bearer {TOKEN}");
    let from = async |address: &str, path: &str| {
        let headers = [("Authorization", &*authorization), ("X-Forwarded-For", address)];
        ask(server.address, "GET", &format!("/signal-api/v1/admin{path}"), &headers).await
    };
    for address in ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8:1::1"] {
        assert_eq!(from(address, "/rooms").await.status, 200, "{address}");
    }
    let unknown = server.get("/signal-api/v1/nothing").await;
    // Exceeds the burst: a request for something that does not exist is not an attempt.
    for path in ["/rooms", "/nothing", "", "/", "/assets/x.js"].iter().cycle().take(30) {
        let answer = from("203.0.113.8", path).await;
        assert_eq!((answer.status, answer.json()), (404, unknown.json()), "{path}");
    }
}

#[tokio::test]
async fn r104_the_admin_api_is_bound_to_the_operators_listener() {
    let dist = ("ROUNDTABLE_STATIC_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/static"));
    let server = admin(&[("ROUNDTABLE_ADMIN_LISTENER", "ops"), dist]).await;
    for path in ["/rooms", "", "/"] {
        refused(&server, "GET", path, 404, "NOT_FOUND").await;
    }
    let authorization = format!("Bearer {TOKEN}");
    let ops = async |path: &str, headers: &[(&str, &str)]| ask(server.ops, "GET", path, headers).await;
    let path = "/signal-api/v1/admin/rooms";
    let rooms = ops(path, &[("Authorization", &authorization)]).await;
    assert_eq!((rooms.status, rooms.json()["data"]["total"].clone()), (200, json!(0)));
    assert_eq!(ops(path, &[]).await.json()["code"], "UNAUTHORIZED");
    let page = ops("/signal-api/v1/admin/", &[]).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'self';")));
    assert_eq!(ops("/metrics", &[]).await.status, 200);
    // The operations listener serves none of the public routes.
    assert_eq!(ops("/signal-api/v1/welcome", &[]).await.status, 404);
}

#[tokio::test]
async fn r69_rooms_are_listed_by_name_in_pages() {
    let server = admin(&[]).await;
    let mut members = Vec::new();
    for room in ["b", "圆桌", "a", "c d", "a"] {
        members.push(server.join(room, "Ada").await);
    }
    assert_eq!(
        data(&server, "GET", "/rooms?limit=2").await,
        json!({"total": 4, "next": "b", "rooms": [
            {"room": "a", "members": 2, "waiting": 0, "settings": {"locked": false, "lobby": false, "talk": false}},
            {"room": "b", "members": 1, "waiting": 0, "settings": {"locked": false, "lobby": false, "talk": false}},
        ]})
    );
    let rest = data(&server, "GET", "/rooms?limit=2&after=b").await;
    let names: Vec<_> = rest["rooms"].as_array().unwrap().iter().map(|room| room["room"].clone()).collect();
    assert_eq!((names, rest.get("next")), (vec![json!("c d"), json!("圆桌")], None));
    assert_eq!(data(&server, "GET", &format!("/rooms?after={}", encode("圆桌"))).await["rooms"], json!([]));
    // Rooms whose names contain the text, in pages as usual.
    let found = data(&server, "GET", "/rooms?search=C%20D").await;
    assert_eq!((&found["total"], &found["rooms"][0]["room"]), (&json!(1), &json!("c d")));
    let found = data(&server, "GET", &format!("/rooms?search={}&limit=1&after=c%20d", encode("桌"))).await;
    assert_eq!((&found["total"], &found["rooms"][0]["room"], found.get("next")), (&json!(1), &json!("圆桌"), None));
    assert_eq!(data(&server, "GET", "/rooms?search=never").await, json!({"total": 0, "rooms": []}));
    refused(&server, "GET", &format!("/rooms?search={}", "x".repeat(65)), 400, "PARAMETER_INVALID").await;
    for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1"] {
        refused(&server, "GET", &format!("/rooms?{bad}"), 400, "PARAMETER_INVALID").await;
    }

    members[0].send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    members[0].expect("settings").await;
    let mut guest = server.connect("b").await;
    guest.send(json!({"type": "join", "name": "Grace"})).await;
    guest.expect("waiting").await;
    let shown = members[0].expect("lobby").await["waiting"].clone();
    assert_eq!(
        data(&server, "GET", "/rooms/b").await,
        json!({"room": "b", "version": 2, "settings": {"locked": false, "lobby": true, "talk": false},
            "members": [{"id": members[0].id(), "name": "Ada", "role": "host", "state": {}}], "waiting": shown})
    );
    refused(&server, "GET", "/rooms/never", 404, "ROOM_NOT_FOUND").await;
    refused(&server, "GET", "/rooms/a%2Fb", 400, "ROOM_INVALID").await;
}

#[tokio::test]
async fn r70_peers_are_removed_rooms_closed_and_the_server_drained() {
    let server = admin(&[]).await;
    let (mut ada, mut eve) = (server.join("r", "Ada").await, server.join("r", "Eve").await);
    ada.expect("peer_joined").await;
    let peer = |id: &str| format!("/rooms/r/peers/{id}");
    data(&server, "DELETE", &peer(eve.id())).await;
    assert_eq!(ada.expect("peer_left").await["reason"], "removed");
    assert_eq!(eve.expect_close().await, Some(4008));
    refused(&server, "DELETE", &peer(eve.id()), 404, "PEER_NOT_FOUND").await;
    refused(&server, "DELETE", &peer("nobody"), 404, "PEER_NOT_FOUND").await;
    refused(&server, "DELETE", &format!("/rooms/never/peers/{}", ada.id()), 404, "ROOM_NOT_FOUND").await;

    // An operator may also remove a person in the lobby.
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    let mut guest = server.connect("r").await;
    guest.send(json!({"type": "join", "name": "Grace"})).await;
    guest.expect("waiting").await;
    let shown = ada.expect("lobby").await;
    data(&server, "DELETE", &peer(shown["waiting"][0]["id"].as_str().unwrap())).await;
    assert_eq!(guest.expect_close().await, Some(4007));
    ada.expect("lobby").await;

    data(&server, "DELETE", "/rooms/r").await;
    assert_eq!(ada.expect_close().await, Some(4009));
    refused(&server, "DELETE", "/rooms/r", 404, "ROOM_NOT_FOUND").await;
    assert_eq!(server.metric("roundtable_rooms").await, 0);

    let mut zoe = server.join("z", "Zoe").await;
    // Closed connections that clients still hold open count as well.
    assert!(data(&server, "POST", "/drain").await["connections"].as_u64().unwrap() >= 1);
    zoe.expect("go_away").await;
    assert_eq!(zoe.expect_close().await, Some(1012));
    assert_eq!(ask(server.ops, "GET", "/readyz", &[]).await.status, 503);
}

#[tokio::test]
async fn r90_the_page_asks_for_no_token_and_has_its_files_beside_it() {
    let dist = Path::new(env!("CARGO_TARGET_TMPDIR")).join("r90");
    std::fs::create_dir_all(dist.join("assets")).unwrap();
    for (file, text) in
        [("index.html", "meeting"), ("admin.html", "operator"), ("guard.js", "guard"), ("assets/a-1.js", "script")]
    {
        std::fs::write(dist.join(file), text).unwrap();
    }
    let dist = ("ROUNDTABLE_STATIC_DIR", dist.to_str().unwrap());
    // The limit allows one guess. Opening the page is none.
    let server = admin(&[dist, ("ROUNDTABLE_ADDRESS_JOINS", "5")]).await;
    for _ in 0..20 {
        let page = server.get("/signal-api/v1/admin/").await;
        assert_eq!((page.status, page.text().as_str()), (200, "operator"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    }
    let script = server.get("/signal-api/v1/admin/assets/a-1.js").await;
    assert_eq!((script.status, script.text().as_str()), (200, "script"));
    assert!(script.header("cache-control").unwrap().contains("immutable"));
    let guard = server.get("/signal-api/v1/admin/guard.js").await;
    assert_eq!((guard.status, guard.text().as_str()), (200, "guard"));
    for missing in ["assets/never.js", "assets/..%2fadmin.html", "assets/%2e%2e%2fadmin.html"] {
        let answer = server.get(&format!("/signal-api/v1/admin/{missing}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("NOT_FOUND")), "{missing}");
    }
    let bare = server.get("/signal-api/v1/admin").await;
    assert_eq!((bare.status, bare.header("location")), (307, Some("admin/")));
    data(&server, "GET", "/server").await;

    let off = TestServer::start(&[dist]).await;
    for path in ["", "/", "/assets/a-1.js", "/favicon.svg", "/guard.js"] {
        let answer = off.get(&format!("/signal-api/v1/admin{path}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("NOT_FOUND")), "{path}");
    }
}

#[tokio::test]
async fn r91_the_server_says_what_it_is_and_has() {
    let server = admin(&[("TZ", "Asia/Kathmandu")]).await;
    let (_ada, _eve) = (server.join("a", "Ada").await, server.join("b", "Eve").await);
    let _guest = server.connect("b").await;
    let told = data(&server, "GET", "/server").await;
    assert_eq!((&told["sockets"], &told["rooms"], &told["members"]), (&json!(3), &json!(2), &json!(2)));
    assert_eq!((&told["zone"], &told["draining"]), (&json!("Asia/Kathmandu"), &json!(false)));
    assert!(told["time"].as_str().unwrap().ends_with("+05:45"), "{told}");
    assert_eq!((told["version"].as_str(), told.get("engine")), (Some(env!("CARGO_PKG_VERSION")), None));
    let later = async || data(&server, "GET", "/server").await["uptime_seconds"].as_u64() > Some(0);
    eventually("a second", later).await;
    data(&server, "POST", "/drain").await;
    assert_eq!(data(&server, "GET", "/server").await["draining"], json!(true));
}

#[tokio::test]
async fn r91_the_server_sums_up_how_good_calls_are() {
    let server = admin(&[]).await;
    assert_eq!(data(&server, "GET", "/server").await["quality"], json!({"reports": 0}));
    let (mut ada, mut eve) = (server.join("r", "Ada").await, server.join("r", "Eve").await);
    let _bob = server.join("r", "Bob").await;
    let good =
        json!({"round_trip_ms": 42, "loss_percent": 0, "jitter_ms": 3, "frozen_ms": 0, "fps": 30, "relayed": false});
    let poor = json!({"round_trip_ms": 180, "loss_percent": 4, "fps": 8, "relayed": true});
    ada.send(json!({"type": "quality", "links": [good]})).await;
    eve.send(json!({"type": "quality", "links": [poor, {}]})).await;
    let quality = async || data(&server, "GET", "/server").await["quality"].clone();
    eventually("both reports to be counted", async || quality().await["reports"] == 2).await;
    // Two values are in two buckets: the median is the end of the lower bucket, and the other quantiles are within.
    assert_eq!(
        quality().await,
        json!({
            "reports": 2,
            "round_trip_ms": {"median": 50.0, "p5": 27.5, "p95": 195.0},
            "loss_percent": {"median": 0.0, "p5": 0.0, "p95": 4.7},
            "jitter_ms": {"median": 2.5, "p5": 0.3, "p95": 4.8},
            "frozen_ms": {"median": 0.0, "p5": 0.0, "p95": 0.0},
            "fps": {"median": 10.0, "p5": 5.5, "p95": 29.5},
            "relayed_percent": 50.0,
        })
    );

    // Only the last five minutes count: earlier reports are gone, and later ones are left.
    let pass = async |steps: u32| {
        tokio::time::pause();
        for _ in 0..steps {
            // Timers fire up to one millisecond late.
            tokio::time::advance(QUALITY_STEP + Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
        }
        tokio::time::resume();
    };
    pass(29).await;
    assert_eq!(quality().await["reports"], 2);
    let mut zoe = server.join("z", "Zoe").await;
    let _max = server.join("z", "Max").await;
    zoe.send(json!({"type": "quality", "links": [{"fps": 8, "relayed": true}]})).await;
    eventually("the third report to be counted", async || quality().await["reports"] == 3).await;
    pass(2).await;
    let fps = json!({"median": 7.5, "p5": 5.3, "p95": 9.8});
    eventually("the last report alone to remain", async || {
        quality().await == json!({"reports": 1, "fps": fps, "relayed_percent": 100.0})
    })
    .await;
    pass(30).await;
    eventually("no recent report to remain", async || quality().await == json!({"reports": 0})).await;
    assert_eq!(server.metric("roundtable_quality_reports_total").await, 3);

    let off = admin(&[("ROUNDTABLE_QUALITY_INTERVAL", "0s")]).await;
    assert_eq!(data(&off, "GET", "/server").await.get("quality"), None);
}

#[tokio::test]
async fn r91_of_several_servers_each_says_which_it_is_and_who_is_where() {
    let (_engine, one, two) = two(&[("ROUNDTABLE_ADMIN_TOKEN", TOKEN)]).await;
    let (_ada, _eve) = (one.join("r", "Ada").await, two.join("r", "Eve").await);
    let (first, second) = (data(&one, "GET", "/server").await, data(&two, "GET", "/server").await);
    assert_eq!((&first["engine"]["connected"], &first["members"]), (&json!(true), &json!(1)));
    assert_ne!(first["engine"]["server"], second["engine"]["server"]);
    let homes = async |server: &Node| {
        let room = data(server, "GET", "/rooms/r").await;
        let home = |member: &Value| (member["name"].clone(), member["server"].clone());
        room["members"].as_array().unwrap().iter().map(home).collect::<Vec<_>>()
    };
    let here =
        vec![(json!("Ada"), first["engine"]["server"].clone()), (json!("Eve"), second["engine"]["server"].clone())];
    eventually("both reports on both servers", async || homes(&one).await == here && homes(&two).await == here).await;
}
