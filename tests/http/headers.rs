//! Response headers: page policies, caching, and access from other origins.

use super::dist::{Dist, get};
use crate::common::TestServer;
use crate::common::front::Front;
use crate::common::http::ask;

#[tokio::test]
async fn the_policy_of_pages_follows_config_json() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let sources = async |path: &str, headers: &[(&str, &str)]| {
        let answer = get(&server, path, headers).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").expect(path).to_owned();
        let connect = policy.split("; ").find_map(|part| part.strip_prefix("connect-src ")).expect(path);
        connect.to_owned()
    };
    let date = get(&server, "/", &[]).await.header("last-modified").unwrap().to_owned();
    assert_eq!(sources("/", &[]).await, "'self'");
    dist.write("config.json", r#"{ "signal_api": "rtc/" }"#);
    assert_eq!(sources("/", &[]).await, "'self'");
    dist.write("config.json", r#"{ "signal_api": "https://api.example:8443/signal-api/" }"#);
    let other = "'self' https://api.example:8443 wss://api.example:8443";
    for path in ["/", "/index.html", "/r/standup", "/about"] {
        assert_eq!(sources(path, &[]).await, other, "{path}");
    }
    // The earlier page with the earlier policy is not confirmed as unmodified.
    assert_eq!(sources("/", &[("If-Modified-Since", &date)]).await, other);
    let config = get(&server, "/config.json", &[]).await;
    assert_eq!((config.status, config.header("cache-control")), (200, Some("no-cache")));
    // A configuration that the page rejects adds nothing to the policy.
    dist.write("config.json", r#"{ "signal_api": "https://api.example; script-src *" }"#);
    assert_eq!(sources("/", &[]).await, "'self'");
    std::fs::remove_file(dist.path().join("config.json")).unwrap();
    assert_eq!(sources("/", &[]).await, "'self'");
    assert_eq!(get(&server, "/config.json", &[]).await.status, 404);
}

#[tokio::test]
async fn a_proxy_that_changes_the_path_is_told() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let origin = ("Origin", "https://elsewhere.example");
    for (method, path, status, code) in [
        ("POST", "/v1/check", 404, "PATH_STRIPPED"),
        ("GET", "/v1/welcome", 404, "PATH_STRIPPED"),
        ("GET", "/ws?room=a", 404, "PATH_STRIPPED"),
        ("POST", "/rtc/v1/check", 405, "PATH_WRONG"),
        ("POST", "/", 405, "PATH_WRONG"),
    ] {
        let answer = ask(server.address, method, path, &[origin]).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()), "{method} {path}");
        assert!(answer.json()["message"].as_str().unwrap().contains("proxy_pass"), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {path}");
    }
}

#[tokio::test]
async fn recordings_may_be_sent_by_pages_of_allowed_origins_alone() {
    let server = TestServer::start(&[("ROUNDTABLE_ALLOWED_ORIGINS", "https://meet.example:8443")]).await;
    for (origin, allowed) in [
        ("https://meet.example:8443", Some("https://meet.example:8443")),
        ("https://meet.example", None),
        ("https://elsewhere.example", None),
        ("null", None),
    ] {
        let preflight = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "authorization,content-type"),
        ];
        let answer = ask(server.address, "OPTIONS", "/signal-api/v1/recordings/x", &preflight).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
        if allowed.is_some() {
            let headers = answer.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
            assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
            assert!(answer.header("access-control-allow-methods").unwrap_or_default().contains("PUT"));
        }
        let answer = ask(server.address, "PUT", "/signal-api/v1/recordings/x", &[("Origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
        assert!(answer.header("vary").unwrap_or_default().to_lowercase().contains("origin"), "{origin}");
    }
}

/// Content-Security-Policy of the server and of nginx, and the inline script that it allows.
#[test]
fn server_and_nginx_allow_the_script_of_the_page_alone() {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let page = read("static/index.html");
    let script = page.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(script));
    let sources = format!("script-src 'self' 'wasm-unsafe-eval' 'sha256-{hash}';");
    for path in ["src/http/site.rs", "nginx/templates/roundtable.conf.template"] {
        assert!(read(path).contains(&sources), "{path} needs {sources}");
    }
    assert!(!read("static/r/index.html").contains("<script>"), "its inline script would need a hash, too");
}

#[tokio::test]
async fn caches_keep_what_has_a_hash_and_ask_for_pages() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for (path, cache) in [
        ("/", "no-cache"),
        ("/r/standup", "no-cache"),
        ("/about", "no-cache"),
        ("/assets/app-1a2b.js", "public, max-age=31536000, immutable"),
        ("/favicon.svg", "public, max-age=3600"),
    ] {
        assert_eq!(get(&server, path, &[]).await.header("cache-control"), Some(cache), "{path}");
    }
    // A missing asset must not be cached: its version may be about to be deployed.
    let missing = get(&server, "/assets/gone-5e6f.js", &[]).await;
    assert!(missing.header("cache-control").is_none_or(|cache| !cache.contains("max-age")), "{missing:?}");
}

#[tokio::test]
async fn every_answer_has_the_headers_of_a_careful_operator() {
    let dist = Dist::built();
    let (server, bare) = (dist.serve().await, TestServer::start(&[("ROUNDTABLE_CONNECTIONS", "1")]).await);
    let date = get(&server, "/assets/app-1a2b.js", &[]).await.header("last-modified").unwrap().to_owned();
    let mut answers = vec![
        ("an asset that did not change", get(&server, "/assets/app-1a2b.js", &[("If-Modified-Since", &date)]).await),
        ("no frontend", get(&bare, "/", &[]).await),
    ];
    for (method, path) in [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/r/standup"),
        ("GET", "/a/b/c"),
        ("GET", "/assets/app-1a2b.js"),
        ("GET", "/assets/gone.js"),
        ("POST", "/"),
        ("GET", "/signal-api/v1/welcome"),
        ("OPTIONS", "/signal-api/v1/welcome"),
        ("POST", "/signal-api/v1/welcome"),
        ("GET", "/signal-api/v1/rooms/a%2Fb"),
        ("GET", "/signal-api/nothing"),
        ("GET", "/signal-api/ws?room=a"),
    ] {
        answers.push((path, ask(server.address, method, path, &[]).await));
    }
    let _place = bare.connect("r").await;
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let full = get(&bare, "/signal-api/ws?room=a", &upgrade).await;
    assert_eq!(full.status, 503);
    answers.push(("a full server", full));
    for (what, answer) in answers {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{what} ({})", answer.status);
        }
        let policy = answer.header("content-security-policy").expect(what);
        assert!(policy.starts_with("default-src 'self';") && policy.contains("object-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'self'; require-trusted-types-for 'script';"), "{policy}");
        // Only WebAssembly, which noise suppression needs.
        let rest = policy.replace("'wasm-unsafe-eval'", "");
        assert!(!rest.contains("unsafe") && !rest.contains("http"), "{policy}");
        assert!(answer.header("permissions-policy").expect(what).contains("camera=(self), microphone=(self)"));
        assert!(answer.header("server").is_none(), "{what}");
    }
}

#[tokio::test]
async fn rooms_are_not_for_search_engines() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for (path, robots) in [
        ("/", None),
        ("/about", None),
        ("/?name=Ada", None),
        ("/assets/app-1a2b.js", None),
        ("/r/standup", Some("noindex")),
        ("/r/standup/", Some("noindex")),
        ("/?name=Ada&room=standup", Some("noindex")),
        ("/signal-api/v1/rooms/standup", Some("noindex")),
    ] {
        assert_eq!(get(&server, path, &[]).await.header("x-robots-tag"), robots, "{path}");
    }
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_read_the_api() {
    const ALLOWED: &str = "https://meet.example:8443";
    const TOKEN: &str = "north-north-north-north-north-north";
    let settings = [("ROUNDTABLE_ALLOWED_ORIGINS", ALLOWED), ("ROUNDTABLE_ADMIN_TOKEN", TOKEN)];
    let server = TestServer::start(&settings).await;
    let mut allowed = Vec::new();
    for (method, path) in [
        ("GET", "/signal-api/v1/welcome"),
        ("GET", "/signal-api/v1/rooms/a"),
        ("GET", "/signal-api/v1/rooms/a%2Fb"),
        ("POST", "/signal-api/v1/rooms"),
        ("POST", "/signal-api/v1/leave"),
        ("OPTIONS", "/signal-api/v1/welcome"),
        // Any page may read why it cannot connect, and the API document.
        ("POST", "/signal-api/v1/check"),
        ("GET", "/signal-api/v1/openapi.json"),
        // Only pages of the server's own origin may read these.
        ("GET", "/"),
        ("GET", "/signal-api/ws?room=a"),
        ("GET", "/signal-api/v1/origin-proof"),
        ("GET", "/signal-api/v1/admin/rooms"),
        ("GET", "/signal-api/v1/nothing"),
    ] {
        let asked = async |origin| {
            let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
            let answer = ask(server.address, method, path, &headers).await;
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{method} {path}");
            answer.header("access-control-allow-origin").map(str::to_owned)
        };
        let of_others = [asked("https://elsewhere.example").await, asked("null").await];
        match path.rsplit('/').next().unwrap() {
            "check" | "openapi.json" => assert_eq!(of_others, ["*", "*"].map(|any| Some(any.to_owned())), "{path}"),
            _ => assert_eq!(of_others, [None, None], "{method} {path}"),
        }
        if asked(ALLOWED).await.as_deref() == Some(ALLOWED) {
            allowed.push(path);
        }
    }
    assert_eq!(allowed.len(), 6, "{allowed:?}");
}

#[tokio::test]
async fn no_page_shows_the_operators_page_in_a_frame() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ADMIN_TOKEN", "north-north-north-north-north-north"),
        ("ROUNDTABLE_STATIC_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/static")),
        ("ROUNDTABLE_FRAME_ANCESTORS", "https://portal.example"),
    ])
    .await;
    let places = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let places = places.map(|listener| listener.local_addr().unwrap());
    let front = Front::start(places, &[server.address], "").await;
    for address in [server.address, front.address] {
        for (path, ancestors) in [
            ("/signal-api/v1/admin/", "'none'"),
            ("/signal-api/v1/admin", "'none'"),
            ("/signal-api/v1/admin/rooms", "'none'"),
            ("/signal-api/v1/welcome", "'self'"),
        ] {
            let answer = ask(address, "GET", path, &[]).await;
            let policy = answer.header("content-security-policy").expect(path);
            assert!(policy.contains(&format!("; frame-ancestors {ancestors}")), "{path} at {address}: {policy}");
        }
    }
}
