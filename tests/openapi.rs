//! Compares docs/openapi.json with the server: each documented operation and status is provoked, and each response
//! conforms to its schema. Undocumented responses fail.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::client::encode;
use crate::common::folder::Folder;
use crate::common::http::{Answer, ask, begin, finish, post, read, send};
use crate::common::program::{BINARY, Running, program};
use crate::common::upload::{Upload, media};
use crate::common::{TestServer, eventually, within};
use roundtable::protocol::{Link, RoomName};

const TOKEN: &str = "north-north-north-north-north-north";

/// Returns the document as the server provides it.
async fn document(server: &TestServer) -> Value {
    let document = server.get("/signal-api/v1/openapi.json").await.json();
    let file = include_str!("../docs/openapi.json");
    assert_eq!(document, serde_json::from_str::<Value>(file).unwrap());
    document
}

/// Responses so far, as `GET /rooms/{room} 200 SUCCESS`.
struct Checked {
    document: Value,
    seen: BTreeSet<String>,
}

impl Checked {
    /// Validates a response against the document.
    fn check(&mut self, method: &str, template: &str, answer: &Answer) {
        let what = format!("{method} {template} {}", answer.status);
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{what} is not in the document: {}", answer.text());
        let content = &response["content"];
        if !content["application/json"].is_object() {
            // A file or an empty body.
            let kind = content.as_object().and_then(|kinds| kinds.keys().next()).map(String::as_str);
            assert!(kind.is_none() || answer.header("content-type") == kind, "{what}");
            self.seen.insert(format!("{what} -"));
            return;
        }
        let body = answer.json();
        self.validate(&response["content"]["application/json"]["schema"], &body, &what);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let text = answer.header(&name.to_lowercase()).unwrap_or_else(|| panic!("{what}: no {name}"));
            let value = text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number));
            self.validate(&header["schema"], &value, &format!("{what}: {name}"));
        }
        let code = body["code"].as_str().unwrap_or("-");
        self.seen.insert(format!("{what} {code}"));
    }

    fn validate(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        // Targets of `$ref`.
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{what}: {error}"));
        let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }

    /// Returns all documented responses.
    fn named(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for (template, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let code = &response["content"]["application/json"]["schema"]["properties"]["code"];
                    let codes = match (&code["const"], &code["enum"]) {
                        (Value::String(one), _) => vec![one.clone()],
                        (_, Value::Array(some)) => some.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
                        _ => vec!["-".to_owned()],
                    };
                    let line = |code: String| format!("{} {template} {status} {code}", method.to_uppercase());
                    named.extend(codes.into_iter().map(line));
                }
            }
        }
        named
    }
}

#[tokio::test]
async fn the_document_says_what_the_server_answers_and_nothing_else() {
    let settings = [("ROUNDTABLE_ADMIN_TOKEN", TOKEN), ("ROUNDTABLE_ADDRESS_JOINS", "0")];
    let server = TestServer::start(&settings).await;
    let mut checked = Checked { document: document(&server).await, seen: BTreeSet::new() };
    let room = "圆桌 1";
    let mut ada = server.connect(room).await;
    ada.join_with(json!({"type": "join", "name": "Ada", "state": {"mic": true, "level": 0.5, "status": "here"}})).await;
    let eve = server.join(room, "Eve").await;
    ada.expect("peer_joined").await;
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    let link =
        json!({"round_trip_ms": 42, "loss_percent": 0, "jitter_ms": 3, "frozen_ms": 0, "fps": 30, "relayed": true});
    ada.send(json!({"type": "quality", "links": [link]})).await;
    let reported = async || server.metric("roundtable_quality_reports_total").await == 1;
    eventually("a report", reported).await;
    // The document shows disconnected members, too.
    drop(server.join("other", "Lost").await);
    let lost =
        async || server.app.hub.look(&RoomName::new("other").unwrap()).unwrap().members[0].peer.link == Link::Lost;
    eventually("a loss", lost).await;
    let mut guest = server.connect(room).await;
    guest.send(json!({"type": "join", "name": "Grace"})).await;
    guest.expect("waiting").await;
    let _other = server.join("other", "Zoe").await;
    // The server's last response is that to `drain`.
    let small = TestServer::start(&[("ROUNDTABLE_ADMIN_TOKEN", TOKEN), ("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    // Requests that started before the drain are answered nevertheless.
    let begun = begin(small.address, "POST", "/signal-api/v1/check").await;

    let here = encode(room);
    let peer = |id: &str| format!("/admin/rooms/{here}/peers/{id}");
    let nobody = "AAAAAAAAAAAAAAAAAAAA";
    for (server, method, template, path) in [
        (&server, "GET", "/welcome", "/welcome".to_owned()),
        (&server, "GET", "/openapi.json", "/openapi.json".to_owned()),
        (&server, "POST", "/check", "/check".to_owned()),
        (&server, "POST", "/rooms", "/rooms".to_owned()),
        (&server, "GET", "/rooms/{room}", format!("/rooms/{here}")),
        (&server, "GET", "/rooms/{room}", "/rooms/never".to_owned()),
        (&server, "GET", "/rooms/{room}", "/rooms/%FF".to_owned()),
        (&server, "GET", "/admin/server", "/admin/server".to_owned()),
        (&server, "GET", "/admin/rooms", "/admin/rooms".to_owned()),
        (&server, "GET", "/admin/rooms", "/admin/rooms?limit=1".to_owned()),
        (&server, "GET", "/admin/rooms", "/admin/rooms?limit=0".to_owned()),
        (&server, "GET", "/admin/rooms/{room}", format!("/admin/rooms/{here}")),
        (&server, "GET", "/admin/rooms/{room}", "/admin/rooms/other".to_owned()),
        (&server, "GET", "/admin/rooms/{room}", "/admin/rooms/never".to_owned()),
        (&server, "GET", "/admin/rooms/{room}", "/admin/rooms/a%2Fb".to_owned()),
        (&server, "DELETE", "/admin/rooms/{room}/peers/{id}", peer(eve.id())),
        (&server, "DELETE", "/admin/rooms/{room}/peers/{id}", peer(nobody)),
        (&server, "DELETE", "/admin/rooms/{room}/peers/{id}", peer("x")),
        (&server, "DELETE", "/admin/rooms/{room}/peers/{id}", format!("/admin/rooms/never/peers/{nobody}")),
        (&server, "DELETE", "/admin/rooms/{room}/peers/{id}", format!("/admin/rooms/%20/peers/{nobody}")),
        (&server, "DELETE", "/admin/rooms/{room}", format!("/admin/rooms/{here}")),
        (&server, "DELETE", "/admin/rooms/{room}", format!("/admin/rooms/{here}")),
        (&server, "DELETE", "/admin/rooms/{room}", "/admin/rooms/%FF".to_owned()),
        (&small, "POST", "/admin/drain", "/admin/drain".to_owned()),
    ] {
        let authorization = format!("Bearer {TOKEN}");
        let target = format!("/signal-api/v1{path}");
        let answer = ask(server.address, method, &target, &[("Authorization", &authorization)]).await;
        checked.check(method, template, &answer);
    }

    let zoe = server.join("goodbye", "Zoe").await;
    let resume = &zoe.welcome["resume"];
    for body in [
        json!({"room": "goodbye", "resume": resume}),
        json!({"room": "other", "resume": resume}),
        json!({"room": "", "resume": resume}),
        json!([]),
    ] {
        let answer = post(server.address, "/signal-api/v1/leave", &body.to_string()).await;
        checked.check("POST", "/leave", &answer);
    }

    // The client is behind a trusted proxy.
    let behind = |address| [("X-Forwarded-For", address), ("Origin", "http://test")];
    let crowded = TestServer::start(&[("ROUNDTABLE_ADDRESS_CONNECTIONS", "1"), ("ROUNDTABLE_CONNECTIONS", "1")]).await;
    let only = crowded.connect("r").await;
    for (server, headers, status) in [
        (&server, [("X-Forwarded-For", "203.0.113.1"), ("Origin", "null")], 403),
        (&crowded, behind("203.0.113.1"), 503),
    ] {
        let answer = ask(server.address, "POST", "/signal-api/v1/check", &headers).await;
        assert_eq!(answer.status, status);
        checked.check("POST", "/check", &answer);
    }
    for site in ["same-origin", "cross-site"] {
        let headers = [("Sec-Fetch-Site", site)];
        let answer = ask(server.address, "GET", "/signal-api/v1/origin-proof", &headers).await;
        checked.check("GET", "/origin-proof", &answer);
    }
    drop(only);
    checked.check("POST", "/check", &finish(begun).await);
    let crowded = TestServer::start(&[("ROUNDTABLE_ADDRESS_CONNECTIONS", "1")]).await;
    let _only = crowded.connect("r").await;
    checked.check("POST", "/check", &ask(crowded.address, "POST", "/signal-api/v1/check", &[]).await);

    recordings(&mut checked).await;

    // Without the token, and then over the rate limit: a guess at the token costs ten attempts, and the burst is two.
    let folder = Folder::new();
    let limits = [
        ("ROUNDTABLE_ADMIN_TOKEN", TOKEN),
        ("ROUNDTABLE_ADDRESS_JOINS", "1"),
        ("ROUNDTABLE_RECORDINGS_DIR", folder.path()),
    ];
    let strict = TestServer::start(&limits).await;
    for status in [401, 429] {
        for line in checked.named() {
            let parts: Vec<&str> = line.split(' ').collect();
            let (method, template) = (parts[0], parts[1]);
            if parts[2] != status.to_string() || parts[3] == "TOO_MANY_CONNECTIONS" {
                continue;
            }
            let target = format!("/signal-api/v1{}", template.replace("{room}", "r").replace("{id}", nobody));
            // For 401 each request is the first one of its server; for 429 it is over the limit.
            let fresh = TestServer::start(&limits).await;
            let asked = if status == 401 { &fresh } else { &strict };
            if status == 429 {
                ask(strict.address, "GET", "/signal-api/v1/admin/rooms", &[]).await;
            }
            let answer = match template {
                "/leave" | "/recordings" => post(asked.address, &target, r#"{"room":"r","resume":"a guess"}"#).await,
                _ => ask(asked.address, method, &target, &[]).await,
            };
            assert_eq!(answer.status, status, "{line}");
            checked.check(method, template, &answer);
        }
    }
    // A cross-origin request learns nothing else.
    for line in checked.named() {
        let parts: Vec<&str> = line.split(' ').collect();
        let (method, template) = (parts[0], parts[1]);
        if parts[3] == "ORIGIN_NOT_ALLOWED" && !["/check", "/origin-proof"].contains(&template) {
            let target = format!("/signal-api/v1{}", template.replace("{room}", "r").replace("{id}", nobody));
            let body = r#"{"room":"r","resume":"a guess"}"#;
            let answer = send(strict.address, method, &target, &[("Sec-Fetch-Site", "cross-site")], body).await;
            assert_eq!(answer.status, 403, "{line}");
            checked.check(method, template, &answer);
        }
    }
    let named = checked.named();
    let unseen: Vec<_> = named.difference(&checked.seen).collect();
    assert!(unseen.is_empty(), "documented but never answered: {unseen:?}");
}

/// Covers recordings: uploads of hosts, requests of the operator, and errors.
async fn recordings(checked: &mut Checked) {
    let (folder, full) = (Folder::new(), Folder::new());
    let settings = |bounds: &[(&'static str, &'static str)]| {
        let common = [("ROUNDTABLE_ADMIN_TOKEN", TOKEN), ("ROUNDTABLE_ADDRESS_JOINS", "0")];
        [&common, bounds].concat()
    };
    let bounds = [
        ("ROUNDTABLE_RECORDINGS_AT_A_TIME", "2"),
        ("ROUNDTABLE_RECORDINGS_MAX_BYTES", "100"),
        ("ROUNDTABLE_RECORDINGS_QUOTA", "150"),
    ];
    let server =
        TestServer::start(&[&settings(&bounds)[..], &[("ROUNDTABLE_RECORDINGS_DIR", folder.path())]].concat()).await;
    let off = TestServer::start(&settings(&[])).await;
    let base = "/signal-api/v1";
    let wish = |room: &str, resume: &Value| json!({"room": room, "resume": resume}).to_string();
    let mut hosts = Vec::new();
    for room in ["a", "b", "c"] {
        hosts.push(server.join(room, "Ada").await);
    }
    let resume = |host: usize| hosts[host].welcome["resume"].clone();
    let guest = server.join("a", "Eve").await;
    let mut full_state = server.connect("full").await;
    let state: serde_json::Map<String, Value> = (0..16).map(|key| (format!("k{key}"), json!(true))).collect();
    full_state.join_with(json!({"type": "join", "name": "Full", "state": state})).await;
    let mut begun = Vec::new();
    for (address, body) in [
        (server.address, wish("full", &full_state.welcome["resume"])),
        (server.address, wish("a", &resume(0))),
        (server.address, wish("b", &resume(1))),
        (server.address, wish("c", &resume(2))),
        (server.address, wish("a", &guest.welcome["resume"])),
        (server.address, wish("a", &json!("a guess"))),
        (server.address, wish("", &resume(0))),
        (server.address, "[]".to_owned()),
        (off.address, wish("a", &resume(0))),
    ] {
        let answer = post(address, &format!("{base}/recordings"), &body).await;
        checked.check("POST", "/recordings", &answer);
        if answer.status == 200 {
            begun.push(answer.json()["data"].clone());
        }
    }
    let [first, second] = &begun[..] else { panic!("{begun:?}") };
    // A piece that stalls, and the next one.
    let text = |name: &str| first[name].as_str().unwrap().to_owned();
    let upload = Upload { address: server.address, id: text("id"), secret: text("upload"), room: "a".to_owned() };
    let mut still = upload.half(0, &media(0, 90)).await;
    checked.check("PUT", "/recordings/{id}", &upload.put(0, media(0, 90)).await);
    checked.check("PUT", "/recordings/{id}", &within("the response", read(&mut still)).await);
    // A disk that accepts no data.
    let mut shell = program("/bin/sh", &[("ROUNDTABLE_RECORDINGS_DIR", full.path())]);
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\"", BINARY]);
    let running = Running::spawn(shell);
    let host = running.join("a").await;
    let body = wish("a", &host.welcome["resume"]);
    checked.check("POST", "/recordings", &post(running.address, &format!("{base}/recordings"), &body).await);

    let part = folder.file(&format!("{}.webm.part", second["id"].as_str().unwrap()));
    for (recording, method, more, body) in [
        (first, "PUT", "?offset=91", vec![0]),
        (first, "PUT", "?offset=90", vec![0; 11]),
        (first, "PUT", "?offset=90", vec![0; 4 * 1024 * 1024 + 1]),
        (first, "PUT", "?offset=90", vec![]),
        (first, "PUT", "", vec![0]),
        (first, "GET", "", vec![]),
        (second, "PUT", "?offset=0", vec![0; 1]),
        (second, "PUT", "?offset=0", media(0, 61)),
        (&json!({"id": "none", "upload": "none"}), "PUT", "?offset=0", vec![0]),
        (&json!({"id": "none", "upload": "none"}), "GET", "", vec![]),
        (&json!({"id": "none", "upload": "none"}), "POST", "/finish", vec![]),
        (second, "PUT", "?offset=0", media(0, 1)),
        (first, "POST", "/finish", vec![]),
        (first, "PUT", "?offset=90", vec![0]),
    ] {
        let target = format!("/recordings/{}{more}", recording["id"].as_str().unwrap());
        let authorization = format!("Bearer {}", recording["upload"].as_str().unwrap());
        let template = if more == "/finish" { "/recordings/{id}/finish" } else { "/recordings/{id}" };
        if body == media(0, 1) {
            std::fs::remove_file(&part).unwrap();
            std::os::unix::fs::symlink("/dev/full", &part).unwrap();
        }
        for address in [off.address, server.address] {
            let headers = [("Authorization", &*authorization)];
            checked.check(method, template, &send(address, method, &format!("{base}{target}"), &headers, &body).await);
        }
    }
    // Another server that shares the directory holds the locks and stalls.
    let held = |name: String| {
        let file = std::fs::File::options().write(true).open(folder.file(&name)).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        file
    };
    let (id, upload) = (first["id"].as_str().unwrap(), format!("Bearer {}", first["upload"].as_str().unwrap()));
    let locks = [held(format!("{id}.json")), held(".lock".to_owned())];
    let operator = format!("Bearer {TOKEN}");
    let answers = [
        ("POST", "/recordings", "", wish("c", &resume(2))),
        ("PUT", "/recordings/{id}", &*upload, "x".to_owned()),
        ("GET", "/recordings/{id}", &upload, String::new()),
        ("POST", "/recordings/{id}/finish", &upload, String::new()),
        ("GET", "/admin/recordings/{id}/file", &operator, String::new()),
        ("DELETE", "/admin/recordings/{id}", &operator, String::new()),
    ]
    .map(async |(method, template, authorization, body)| {
        let target = format!("{base}{}?offset=90", template.replace("{id}", id));
        let headers = [("Authorization", authorization)];
        (method, template, send(server.address, method, &target, &headers, body).await)
    });
    for (method, template, answer) in futures_util::future::join_all(answers).await {
        assert_eq!(answer.status, 503, "{method} {template}: {}", answer.text());
        checked.check(method, template, &answer);
    }
    drop(locks);
    // The recordings have used all of their space.
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, "").unwrap();
    let put = format!("{base}/recordings/{}?offset=0", second["id"].as_str().unwrap());
    let authorization = format!("Bearer {}", second["upload"].as_str().unwrap());
    checked.check(
        "PUT",
        "/recordings/{id}",
        &send(server.address, "PUT", &put, &[("Authorization", &authorization)], media(0, 60)).await,
    );
    let finish = put.replace("?offset=0", "/finish");
    send(server.address, "POST", &finish, &[("Authorization", &authorization)], "").await;
    checked.check(
        "POST",
        "/recordings",
        &post(server.address, &format!("{base}/recordings"), &wish("c", &resume(2))).await,
    );

    let id = first["id"].as_str().unwrap();
    let admin = format!("Bearer {TOKEN}");
    for (method, template, path, range) in [
        ("GET", "/admin/recordings", "/admin/recordings?limit=1".to_owned(), ""),
        ("GET", "/admin/recordings", "/admin/recordings?limit=0".to_owned(), ""),
        ("GET", "/admin/recordings/{id}/file", format!("/admin/recordings/{id}/file"), ""),
        ("GET", "/admin/recordings/{id}/file", format!("/admin/recordings/{id}/file"), "bytes=1-2"),
        ("GET", "/admin/recordings/{id}/file", format!("/admin/recordings/{id}/file"), "bytes=900-"),
        ("GET", "/admin/recordings/{id}/file", "/admin/recordings/none/file".to_owned(), ""),
        ("DELETE", "/admin/recordings/{id}", format!("/admin/recordings/{id}"), ""),
        ("DELETE", "/admin/recordings/{id}", "/admin/recordings/none".to_owned(), ""),
    ] {
        let headers = [("Authorization", &*admin), ("Range", range)];
        let headers = if range.is_empty() { &headers[..1] } else { &headers[..] };
        for address in [off.address, server.address] {
            checked.check(method, template, &ask(address, method, &format!("{base}{path}"), headers).await);
        }
    }
}

#[tokio::test]
async fn what_the_document_does_not_name_is_not_there() {
    let server = TestServer::start(&[("ROUNDTABLE_ADMIN_TOKEN", TOKEN), ("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    let document = document(&server).await;
    let authorization = format!("Bearer {TOKEN}");
    for (template, item) in document["paths"].as_object().unwrap() {
        let target = template.replace("{room}", "r").replace("{id}", "AAAAAAAAAAAAAAAAAAAA");
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            if item[method.to_lowercase()].is_object() {
                continue;
            }
            let target = format!("/signal-api/v1{target}");
            let answer = ask(server.address, method, &target, &[("Authorization", &authorization)]).await;
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (405, &json!("METHOD_NOT_ALLOWED")),
                "{method} {template}"
            );
        }
    }
}
