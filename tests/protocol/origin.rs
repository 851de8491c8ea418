//! R64, R92, R93 and R120: pages behind proxies that change `Host`, and cross-origin pages.

use std::time::{Duration, Instant, SystemTime};

use roundtable::access::{OriginProofs, PENDING_PROOFS, PROOF_LIFETIME, PROOF_TIMEOUT, RequestOrigin, ResumeKey};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::common::folder::Folder;
use crate::common::http::{Answer, ask, send};
use crate::common::raw::Raw;
use crate::common::{TestServer, eventually};

const KEY: &str = "the key of all resume secrets of this server";
const PAGE: &str = "https://meet.example:19003";

/// Starts a server behind a proxy that forwards neither `Host` nor the client's address.
async fn start(settings: &[(&str, &str)]) -> TestServer {
    let own = [("ROUNDTABLE_RESUME_KEY", KEY), ("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1")];
    TestServer::start(&[&own, settings].concat()).await
}

/// Issues a proof as the server does, with another key or at another time.
fn proof_of(key: &str, age: Duration) -> String {
    OriginProofs::new(&ResumeKey::new(key.as_bytes())).issue(SystemTime::now() - age, [7; 8])
}

/// Opens a page's WebSocket; the server sees the `Host` that the proxy made up.
async fn open(server: &TestServer, room: &str, origin: &str) -> Raw {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    Raw::over(tcp, room, &format!("Origin: {origin}\r\n"), b"").await
}

async fn join(server: &TestServer, room: &str, origin: &str, proof: Option<&str>) -> Raw {
    let mut page = open(server, room, origin).await;
    page.text(&json!({"type": "join", "name": "Eve", "proof": proof, "ref": 7}).to_string()).await;
    page
}

async fn expect_rejected(mut page: Raw, what: &str) {
    let error = page.message().await;
    let told = (&error["code"], &error["re"], &error["ref"]);
    assert_eq!(told, (&json!("origin_not_allowed"), &json!("join"), &json!(7)), "{what}: {error}");
    assert!(error["message"].as_str().unwrap().contains("/signal-api/v1/origin-proof"), "{what}: {error}");
    assert_eq!(page.close_code().await, 4012, "{what}");
}

async fn fetch(server: &TestServer, headers: &[(&str, &str)]) -> Answer {
    ask(server.address, "GET", "/signal-api/v1/origin-proof", headers).await
}

async fn fetch_proof(server: &TestServer) -> String {
    let answer = fetch(server, &[("Sec-Fetch-Site", "same-origin")]).await.json();
    assert_eq!(answer["data"]["expires_in_seconds"], PROOF_LIFETIME.as_secs(), "{answer}");
    answer["data"]["proof"].as_str().unwrap().to_owned()
}

/// Returns the status and the code of a rejected upgrade.
async fn refused_upgrade(server: &TestServer, headers: &[(&str, &str)]) -> (u16, Value, Option<String>) {
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = ask(server.address, "GET", "/signal-api/ws?room=r", &[&upgrade, headers].concat()).await;
    (answer.status, answer.json()["code"].clone(), answer.header("retry-after").map(str::to_owned))
}

#[tokio::test]
async fn r92_a_page_behind_a_proxy_that_changes_host_joins_by_a_proof() {
    let server = start(&[]).await;
    let proof = fetch_proof(&server).await;
    // One proof is valid for several joins until it expires.
    for _ in 0..2 {
        let mut page = join(&server, "r", PAGE, Some(&proof)).await;
        assert_eq!(page.message().await["type"], "welcome");
    }
    // Another server with the same key accepts it.
    let other = start(&[]).await;
    let mut page = join(&other, "r", PAGE, Some(&proof)).await;
    assert_eq!(page.message().await["type"], "welcome");
    // A join that fails for another reason may be corrected on the same connection.
    let mut page = open(&server, "r", PAGE).await;
    page.text(&json!({"type": "join", "name": "", "proof": proof}).to_string()).await;
    assert_eq!(page.message().await["code"], "name_invalid");
    page.text(&json!({"type": "join", "name": "Eve", "proof": proof}).to_string()).await;
    assert_eq!(page.message().await["type"], "welcome");
}

#[tokio::test]
async fn r92_a_page_without_a_valid_proof_is_rejected_and_nobody_notices() {
    // The burst is two attempts. These joins cost none, because the proof is checked first.
    let server = start(&[("ROUNDTABLE_ADDRESS_JOINS", "1")]).await;
    let mut ada = server.join("r", "Ada").await;
    let resume = ada.welcome["resume"].as_str().unwrap().to_owned();
    let proof = fetch_proof(&server).await;
    let made = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
    let host_key = made["data"]["host_key"].as_str().unwrap();
    let forged = format!("{}{}", &proof[..proof.len() - 1], if proof.ends_with('0') { '1' } else { '0' });
    let prolonged = format!("ffffffffffffffff{}", &proof[16..]);
    let [foreign, expired] =
        [proof_of("another key", Duration::ZERO), proof_of(KEY, PROOF_LIFETIME + Duration::from_secs(1))];
    let huge = "f".repeat(60_000);
    for (what, wrong) in [
        ("none", None),
        ("empty", Some("")),
        ("forged", Some(&*forged)),
        ("with a later expiry time", Some(&*prolonged)),
        ("of another key", Some(&*foreign)),
        ("expired", Some(&*expired)),
        ("a resume secret", Some(&*resume)),
        ("a host key", Some(host_key)),
        ("huge", Some(&*huge)),
    ] {
        expect_rejected(join(&server, "r", "https://evil.example", wrong).await, what).await;
    }
    // A valid resume secret does not help either, because the proof is checked first.
    let mut page = open(&server, "r", "https://evil.example").await;
    page.text(&json!({"type": "join", "name": "Eve", "resume": resume, "ref": 7}).to_string()).await;
    expect_rejected(page, "with a resume secret").await;
    ada.expect_nothing().await;
    assert_eq!(server.metric("roundtable_errors_total{code=\"origin_not_allowed\"}").await, 10);
    server.metric_becomes("roundtable_closes_total{code=\"origin_not_allowed\"}", 10).await;
    server.metric_becomes("roundtable_sockets", 1).await;
}

#[tokio::test]
async fn r92_a_proof_is_no_secret_of_another_kind() {
    let server = start(&[]).await;
    let proof = fetch_proof(&server).await;
    let made = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
    let mut ada = server.connect(made["data"]["room"].as_str().unwrap()).await;
    ada.join_with(json!({"type": "join", "name": "Ada", "host_key": proof, "resume": proof})).await;
    assert_eq!(ada.welcome["not_resumed"], "resume_invalid", "{}", ada.welcome);
}

#[tokio::test]
async fn r92_only_scripts_of_the_same_origin_can_read_a_proof() {
    let server = start(&[]).await;
    let proxied = ("Host", "10.1.2.3:18080");
    for headers in [
        &[][..],
        &[proxied],
        &[("Sec-Fetch-Site", "same-origin")],
        // The URL was typed into the address bar.
        &[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")],
    ] {
        let answer = fetch(&server, headers).await;
        assert_eq!(answer.status, 200, "{headers:?}");
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{headers:?}");
        }
    }
    // Over plain HTTP there is no Sec-Fetch-Site, and a proxy may add CORS headers: `Origin` is sufficient.
    for header in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "same-origin, cross-site"),
        ("Sec-Fetch-Site", ""),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        let answer = fetch(&server, &[header]).await;
        assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("ORIGIN_NOT_ALLOWED")), "{header:?}");
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let preflight = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "GET")];
    for method in ["OPTIONS", "POST", "HEAD"] {
        let answer = ask(server.address, method, "/signal-api/v1/origin-proof", &preflight).await;
        assert_eq!(answer.status, if method == "HEAD" { 403 } else { 405 }, "{method}");
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{answer:?}");
    }
    let (one, other) = (fetch_proof(&server).await, fetch_proof(&server).await);
    assert_ne!(one, other);
}

#[tokio::test]
async fn r92_a_socket_waits_for_its_proof_for_a_short_time() {
    let server = start(&[]).await;
    let begun = Instant::now();
    let (mut silent, mut slow) = (open(&server, "r", PAGE).await, open(&server, "r", PAGE).await);
    // A ping is answered but does not extend the timeout, and neither does an endless frame.
    silent.text(r#"{"type":"ping"}"#).await;
    assert_eq!(silent.message().await["type"], "pong");
    slow.bytes(&[0x81, 0xfe]).await;
    assert_eq!((silent.close_code().await, slow.close_code().await), (4001, 4001));
    let took = begun.elapsed();
    assert!(took >= PROOF_TIMEOUT && took < server.app.config.join_timeout, "{took:?}");
    // Programs without `Origin` have as much time as before.
    server.connect("r").await.join("Ada").await;
}

#[tokio::test]
async fn r92_so_many_sockets_wait_for_their_proofs_and_no_more() {
    let server = start(&[]).await;
    let proof = fetch_proof(&server).await;
    let from = RequestOrigin::new(b"https://evil.example", b"10.1.2.3:18080");
    let limits = server.app.config.limits_table();
    assert!(limits.contains(&format!(" {PENDING_PROOFS} WebSockets that wait for an origin proof ")), "{limits}");
    assert!(limits.contains(&format!(" {} s for an origin proof ", PROOF_TIMEOUT.as_secs())), "{limits}");
    let others: Vec<_> = (1..PENDING_PROOFS).map(|_| server.app.origin_proofs.wait(from.clone()).unwrap()).collect();
    let mut last = open(&server, "r", PAGE).await;
    let full = (503, json!("SERVER_FULL"), Some("5".to_owned()));
    assert_eq!(refused_upgrade(&server, &[("Origin", PAGE)]).await, full);
    let check = ask(server.address, "POST", "/signal-api/v1/check", &[("Origin", PAGE)]).await;
    assert_eq!((check.status, &check.json()["code"]), (503, &json!("SERVER_FULL")));
    // All others are still admitted.
    server.join("r", "Ada").await.close().await;
    let mut own = join(&server, "r", "http://test", None).await;
    assert_eq!(own.message().await["type"], "welcome");
    // A page that has presented its proof no longer counts.
    last.text(&json!({"type": "join", "name": "Eve", "proof": proof}).to_string()).await;
    assert_eq!(last.message().await["type"], "welcome");
    let mut next = join(&server, "s", PAGE, Some(&proof)).await;
    assert_eq!(next.message().await["type"], "welcome");
    // Nor does a closed connection.
    let gone = open(&server, "r", PAGE).await;
    assert_eq!(refused_upgrade(&server, &[("Origin", PAGE)]).await, full);
    drop(gone);
    eventually("a free place", async || server.app.origin_proofs.wait(from.clone()).is_some()).await;
    drop(others);
}

#[tokio::test]
async fn r64_a_page_without_an_origin_is_refused_before_the_upgrade() {
    let server = start(&[]).await;
    let refused = (403, json!("ORIGIN_NOT_ALLOWED"), None);
    for origin in ["null", "meet.example", "https://meet.example/", "https://"] {
        assert_eq!(refused_upgrade(&server, &[("Origin", origin)]).await, refused, "{origin}");
        let check = ask(server.address, "POST", "/signal-api/v1/check", &[("Origin", origin)]).await;
        assert_eq!((check.status, &check.json()["code"]), (403, &json!("ORIGIN_NOT_ALLOWED")), "{origin}");
    }
    // A page that may have a proof is neither accepted nor rejected yet.
    assert_eq!(ask(server.address, "POST", "/signal-api/v1/check", &[("Origin", PAGE)]).await.status, 200);
}

#[tokio::test]
async fn r93_with_server_names_a_page_under_another_name_is_refused() {
    let settings = [
        ("ROUNDTABLE_SERVER_NAMES", "Meet.Example, 会议.example, test"),
        ("ROUNDTABLE_ALLOWED_ORIGINS", "https://app.example"),
    ];
    let server = start(&settings).await;
    let proof = fetch_proof(&server).await;
    let refused = (403, json!("ORIGIN_NOT_ALLOWED"), None);
    // After DNS rebinding, a page has the same Host as the server and can read a proof.
    for origin in ["http://evil.example:18080", "https://www.meet.example", "null"] {
        let host = origin.rsplit('/').next().unwrap();
        let headers = [("Origin", origin), ("Host", host)];
        assert_eq!(refused_upgrade(&server, &headers).await, refused, "{origin}");
        assert_eq!(ask(server.address, "POST", "/signal-api/v1/check", &headers).await.status, 403, "{origin}");
    }
    for origin in ["http://test", "https://app.example"] {
        let mut page = join(&server, "r", origin, None).await;
        assert_eq!(page.message().await["type"], "welcome", "{origin}");
    }
    for origin in [PAGE, "https://xn--6oqu09l.example"] {
        expect_rejected(join(&server, "r", origin, None).await, origin).await;
        let mut page = join(&server, "r", origin, Some(&proof)).await;
        assert_eq!(page.message().await["type"], "welcome", "{origin}");
    }
    // `Host` may be the proxy's name for the server, so that it does not decide about a proof.
    assert_eq!(fetch(&server, &[("Host", "10.1.2.3:18080")]).await.status, 200);
    // Programs send no origin.
    server.join("r", "Ada").await;
}

#[tokio::test]
async fn r93_with_server_names_a_page_that_has_rebound_a_name_reads_nothing() {
    let folder = Folder::new();
    let names = ("ROUNDTABLE_SERVER_NAMES", "meet.example");
    let public = start_with_guesses(&folder, "1", &[names]).await;
    let on_ops = start_with_guesses(&folder, "1", &[names, ("ROUNDTABLE_ADMIN_LISTENER", "ops")]).await;
    let requests = [
        ("GET", "/signal-api/v1/welcome"),
        ("POST", "/signal-api/v1/check"),
        ("GET", "/signal-api/v1/openapi.json"),
        ("POST", "/signal-api/v1/rooms"),
        ("GET", "/signal-api/v1/rooms/r"),
        ("GET", "/signal-api/v1/origin-proof"),
        ("GET", "/signal-api/v1/recordings/guess"),
        ("GET", "/signal-api/v1/admin/"),
        ("GET", "/signal-api/v1/admin/rooms"),
        ("GET", "/signal-api/ws?room=r"),
    ];
    let requests = requests.map(|(method, path)| (public.address, method, path)).into_iter().chain([
        (public.ops, "GET", "/metrics"),
        (on_ops.ops, "GET", "/metrics"),
        (on_ops.ops, "GET", "/signal-api/v1/admin/rooms"),
    ]);
    let site = ("Sec-Fetch-Site", "same-origin");
    let rebound = ("Host", "evil.example:18080");
    for (address, method, path) in requests {
        for headers in [
            // A same-origin `GET` has no `Origin`. Behind a proxy, the name may be next to `Host`.
            &[rebound, site][..],
            &[rebound],
            &[rebound, ("X-Forwarded-Host", "meet.example")],
            &[("Host", "server:18080"), ("X-Forwarded-Host", "evil.example")],
            // Every other method sends it.
            &[("Host", "10.1.2.3:18080"), ("Origin", "http://evil.example:18080")],
        ] {
            let answer = ask(address, method, path, headers).await;
            assert_eq!(answer.status, 403, "{method} {path} with {headers:?}: {}", answer.text());
            assert_eq!(answer.json()["code"], "ORIGIN_NOT_ALLOWED", "{method} {path} with {headers:?}");
            assert!(answer.text().contains("ROUNDTABLE_SERVER_NAMES"), "{}", answer.text());
        }
        for host in ["meet.example", "10.1.2.3:18080", "server:18080"] {
            let answer = ask(address, method, path, &[("Host", host)]).await;
            let is_refused = answer.text().starts_with(r#"{"code":"ORIGIN_NOT_ALLOWED""#);
            assert!(!is_refused, "{method} {path} at {host}: {}", answer.text());
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(public.ops, "GET", path, &[("Host", "probe.cluster.example")]).await.status, 200, "{path}");
    }
    // A page of another origin can read the reason.
    let answer = ask(public.address, "POST", "/signal-api/v1/check", &[rebound, ("Origin", "https://a.example")]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, Some("*")));
    // Without server names, a proxy may set `Host` to anything.
    let plain = start(&[]).await;
    assert_eq!(ask(plain.address, "GET", "/signal-api/v1/rooms/r", &[rebound]).await.status, 200);
}

/// Requests that count as a guess (R66), with their bodies.
const GUESSES: [(&str, &str, &str); 7] = [
    ("GET", "rooms/guess", ""),
    ("HEAD", "rooms/guess", ""),
    ("GET", "admin/rooms", ""),
    ("POST", "leave", r#"{"room":"r","resume":"guess"}"#),
    ("POST", "recordings", r#"{"room":"r","resume":"guess"}"#),
    ("GET", "recordings/guess", ""),
    ("POST", "recordings/guess/finish", ""),
];

/// Starts a server with everything that can be guessed, and a burst of 20 times `per_minute` attempts.
async fn start_with_guesses(folder: &Folder, per_minute: &str, more: &[(&str, &str)]) -> TestServer {
    let settings = [
        ("ROUNDTABLE_ADMIN_TOKEN", "north-north-north-north-north-north"),
        ("ROUNDTABLE_RECORDINGS_DIR", folder.path()),
        ("ROUNDTABLE_ALLOWED_ORIGINS", "https://app.example"),
        ("ROUNDTABLE_ADDRESS_JOINS", per_minute),
        ("ROUNDTABLE_ADDRESS_BURST", "20m"),
    ];
    start(&[&settings, more].concat()).await
}

async fn request(server: &TestServer, (method, path, body): (&str, &str, &str), headers: &[(&str, &str)]) -> Answer {
    send(server.address, method, &format!("/signal-api/v1/{path}"), headers, body).await
}

#[tokio::test]
async fn r120_a_foreign_website_uses_up_no_attempts_of_its_visitors() {
    let folder = Folder::new();
    // Two guesses.
    let server = start_with_guesses(&folder, "1", &[("ROUNDTABLE_SERVER_NAMES", "test, meet.example")]).await;
    let site = |site| ("Sec-Fetch-Site", site);
    let origin = |origin| ("Origin", origin);
    let refuse_all = async || {
        for headers in [
            // An image, a script, a link or a form, or `fetch` with `no-cors`.
            &[site("cross-site")][..],
            &[site("same-site")],
            &[site("")],
            &[site("cross-site"), origin("https://evil.example")],
            &[site("cross-site"), origin("null")],
            &[site("same-site"), origin(PAGE)],
            // The page of the same host without TLS.
            &[site("cross-site"), origin("http://test")],
            // A browser without `Sec-Fetch-Site`, or a server without TLS.
            &[origin("https://evil.example")],
            &[origin(PAGE)],
            &[origin("null")],
            // DNS rebinding (R93).
            &[site("same-origin"), origin("https://evil.example")],
        ] {
            for guess in GUESSES {
                let answer = request(&server, guess, headers).await;
                assert_eq!(answer.status, 403, "{guess:?} with {headers:?}");
                assert_eq!(answer.header("access-control-allow-origin"), None, "{guess:?} with {headers:?}");
                if guess.0 != "HEAD" {
                    assert_eq!(answer.json()["code"], "ORIGIN_NOT_ALLOWED", "{guess:?} with {headers:?}");
                }
            }
        }
    };
    refuse_all().await;
    server.join("r", "Ada").await.close().await;
    // The join that created the room was one guess; one more is left.
    assert_eq!(request(&server, GUESSES[0], &[]).await.status, 200);
    assert_eq!(request(&server, GUESSES[0], &[]).await.status, 429);
    // The page does not learn either how many attempts its visitor has left.
    refuse_all().await;
}

#[tokio::test]
async fn r120_programs_the_own_page_and_allowed_pages_are_answered_and_counted() {
    let folder = Folder::new();
    let ours = ("Origin", "http://test");
    let app = ("Origin", "https://app.example");
    for headers in [
        &[][..],
        &[("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "none")],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", PAGE)],
        &[ours],
        &[app],
        &[app, ("Sec-Fetch-Site", "cross-site")],
        &[app, ("Sec-Fetch-Site", "same-site")],
        // Requires a preflight from a page of another origin.
        &[("Origin", PAGE), ("Authorization", "Bearer guess")],
    ] {
        let server = start_with_guesses(&folder, "1", &[]).await;
        for (guess, status, code) in
            [(GUESSES[0], 200, "SUCCESS"), (GUESSES[3], 403, "RESUME_INVALID"), (GUESSES[2], 429, "TOO_MANY_ATTEMPTS")]
        {
            // Other origins cannot read the admin API.
            let answer = request(&server, guess, headers).await;
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{guess:?} with {headers:?}");
            let readable = headers.contains(&app) && guess != GUESSES[2];
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, readable.then_some(app.1), "{guess:?} with {headers:?}");
        }
    }
}

#[tokio::test]
async fn r120_a_valid_secret_is_accepted_from_any_page() {
    let folder = Folder::new();
    let server = start_with_guesses(&folder, "0", &[]).await;
    let ada = server.join("r", "Ada").await;
    let wish = json!({"room": "r", "resume": ada.welcome["resume"]}).to_string();
    // The server's own page behind a proxy that changes `Host`, in a browser without `Sec-Fetch-Site`.
    let page = ("Origin", PAGE);
    let begun = request(&server, ("POST", "recordings", &wish), &[page]).await.json();
    let upload = format!("Bearer {}", begun["data"]["upload"].as_str().unwrap());
    let path = format!("recordings/{}", begun["data"]["id"].as_str().unwrap());
    let length = request(&server, ("GET", &path, ""), &[page, ("Authorization", &upload)]).await;
    assert_eq!(length.json()["data"]["length"], 0);
    // An unknown secret is looked up on the disk, because another server with the same directory may have issued it.
    let unknown = request(&server, ("GET", &path, ""), &[page, ("Authorization", "Bearer guess")]).await;
    assert_eq!(unknown.json()["code"], "UPLOAD_INVALID");
    let left = request(&server, ("POST", "leave", &wish), &[page]).await;
    assert_eq!(left.json()["data"]["left"], true);
}
