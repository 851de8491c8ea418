//! What browsers get over HTTP: the pages, their headers, and the edges of the API.

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use common::http::{Answer, ask};
use common::{TestServer, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A folder of a built frontend, removed in the end.
struct Dist(PathBuf);

impl Dist {
    fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("roundtable-http-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(dir.join("dist")).unwrap();
        std::fs::write(dir.join("secret.txt"), "outside").unwrap();
        Self(dir)
    }

    fn built() -> Self {
        let dist = Self::empty();
        dist.write("index.html", "landing");
        dist.write("index.html.br", "landing in brotli");
        dist.write("index.html.gz", "landing in gzip");
        dist.write("r/index.html", "room");
        dist.write("favicon.svg", "<svg/>");
        dist.write("assets/app-1a2b.js", "script");
        dist.write("assets/app-1a2b.js.br", "script in brotli");
        dist.write("assets/app-1a2b.js.gz", "script in gzip");
        dist.write("assets/tone-3c4d.wasm", "\0asm");
        dist
    }

    fn path(&self) -> PathBuf {
        self.0.join("dist")
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    async fn serve(&self) -> TestServer {
        TestServer::start(&[("ROUNDTABLE_STATIC_DIR", self.path().to_str().unwrap())]).await
    }
}

impl Drop for Dist {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn get(server: &TestServer, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server.address, "GET", target, headers).await
}

#[tokio::test]
async fn pages_fall_back_by_depth_and_missing_files_are_missing() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let longest = format!("/r/{}", "%F0%9F%99%82".repeat(64));
    for (path, body) in [
        ("/", "landing"),
        ("/?name=Ada", "landing"),
        ("/index.html", "landing"),
        ("/about", "landing"),
        ("/r", "landing"),
        ("/r/", "room"),
        ("/r/standup", "room"),
        ("/r/v1.2", "room"),
        ("/r/notes.html", "room"),
        ("/r/%E5%9C%86%E6%A1%8C", "room"),
        ("/r/50%25", "room"),
        (&longest, "room"),
        ("/favicon.svg", "<svg/>"),
    ] {
        let answer = get(&server, path, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, body), "{path}");
    }
    for path in
        ["/assets/gone-5e6f.js", "/assets/gone", "/assets/", "/assets", "/r/assets/gone.js", "/robots.txt", "/a/b.png"]
    {
        let answer = get(&server, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let answer = get(&server, "/a/b/c", &[]).await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("../../")));
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
    // A missing asset must not be kept: it may be of a version that is being rolled out.
    let missing = get(&server, "/assets/gone-5e6f.js", &[]).await;
    assert!(missing.header("cache-control").is_none_or(|cache| !cache.contains("max-age")), "{missing:?}");
}

#[tokio::test]
async fn compressed_files_go_to_whom_they_suit() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for (accept, encoding, body) in [
        ("", None, "script"),
        ("identity", None, "script"),
        ("gzip", Some("gzip"), "script in gzip"),
        ("gzip, deflate, br, zstd", Some("br"), "script in brotli"),
        ("br;q=0, gzip", Some("gzip"), "script in gzip"),
    ] {
        let answer = get(&server, "/assets/app-1a2b.js", &[("Accept-Encoding", accept)]).await;
        assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (encoding, body), "{accept:?}");
        assert_eq!(answer.header("content-type"), Some("text/javascript"), "{accept:?}");
        let vary = answer.header("vary").unwrap_or_default().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{accept:?}: a shared cache would mix them up");
    }
    // Where there is no compressed file, the plain one.
    let answer = get(&server, "/assets/tone-3c4d.wasm", &[("Accept-Encoding", "br, gzip")]).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
    assert_eq!(answer.header("content-type"), Some("application/wasm"));
    // Fallbacks are negotiated too.
    let answer = get(&server, "/about", &[("Accept-Encoding", "br")]).await;
    assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (Some("br"), "landing in brotli"));
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let dist = Dist::built();
    let outside = dist.0.join("secret.txt");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside");
    let server = dist.serve().await;
    let absolute = outside.to_str().unwrap().to_owned();
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/r/../../secret.txt",
        "/r/..%2f..%2fsecret.txt",
        "//secret.txt",
        &format!("/{absolute}"),
        &absolute,
        &absolute.replace('/', "%2f"),
        "/index.html%00.txt",
        "/%00",
        "/secret.txt",
    ] {
        let answer = get(&server, path, &[]).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains("outside"), "{path}: {answer:?}");
        assert!(answer.status < 500, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn names_that_no_file_can_have_are_no_errors() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let long = format!("/{}", "a".repeat(3_000));
    let long_asset = format!("/assets/{}.js", "a".repeat(300));
    for (path, status) in [
        (&*long, 200),
        (&long_asset, 404),
        ("/r/%00", 200),
        ("/r/%FF", 200),
        ("/index.html/x.js", 404),
        ("/favicon.svg/", 200),
        ("/assets/app-1a2b.js/", 404),
    ] {
        assert_eq!(get(&server, path, &[]).await.status, status, "{}", &path[..path.len().min(40)]);
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for path in ["/", "/r/standup", "/assets/app-1a2b.js", "/assets/gone-5e6f.js", "/signal-api/v1/welcome"] {
        let (get, head) = (get(&server, path, &[]).await, ask(server.address, "HEAD", path, &[]).await);
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for path in ["/", "/about", "/favicon.svg"] {
        let date = get(&server, path, &[]).await.header("last-modified").expect(path).to_owned();
        let answer = get(&server, path, &[("If-Modified-Since", &date)]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{path}");
        assert!(answer.header("cache-control").is_some(), "{path}");
        let old = get(&server, path, &[("If-Modified-Since", "Thu, 01 Jan 1998 00:00:00 GMT")]).await;
        assert_eq!(old.status, 200, "{path}");
    }
}

#[tokio::test]
async fn part_of_a_file_may_be_asked_for() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let answer = get(&server, "/assets/app-1a2b.js", &[("Range", "bytes=2-3")]).await;
    assert_eq!((answer.status, answer.text().as_str()), (206, "ri"));
    let answer = get(&server, "/assets/app-1a2b.js", &[("Range", "bytes=99-")]).await;
    assert_eq!(answer.status, 416);
}

#[tokio::test]
async fn the_folder_may_change_under_the_running_server() {
    let dist = Dist::empty();
    let server = dist.serve().await;
    assert_eq!(get(&server, "/", &[]).await.status, 503);
    dist.write("index.html", "first");
    dist.write("assets/app-1.js", "one");
    assert_eq!(get(&server, "/", &[]).await.text(), "first");
    dist.write("index.html", "second");
    assert_eq!(get(&server, "/", &[]).await.text(), "second");
    std::fs::remove_dir_all(dist.path()).unwrap();
    assert_eq!(get(&server, "/", &[]).await.status, 503);
    assert_eq!(get(&server, "/assets/app-1.js", &[]).await.status, 404);
    // As a link that is turned to the next version.
    let next = dist.0.join("next");
    std::fs::create_dir_all(&next).unwrap();
    std::fs::write(next.join("index.html"), "third").unwrap();
    std::os::unix::fs::symlink(&next, dist.path()).unwrap();
    assert_eq!(get(&server, "/", &[]).await.text(), "third");
}

#[tokio::test]
async fn without_a_frontend_a_page_says_so_and_signaling_works() {
    for dir in [Path::new("/nonexistent"), &Dist::empty().path()] {
        let server = TestServer::start(&[("ROUNDTABLE_STATIC_DIR", dir.to_str().unwrap())]).await;
        for path in ["/", "/about", "/r/standup"] {
            let answer = get(&server, path, &[]).await;
            assert_eq!(answer.status, 503, "{path}");
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            let text = answer.text();
            assert!(text.contains("ROUNDTABLE_STATIC_DIR") && text.contains("信令"), "{text}");
        }
        assert_eq!(get(&server, "/assets/app.js", &[]).await.status, 404);
        let mut ada = server.join("r", "Ada").await;
        ada.expect_nothing().await;
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_of_a_careful_operator() {
    let dist = Dist::built();
    let (server, bare) = (dist.serve().await, TestServer::start(&[("ROUNDTABLE_CONNECTIONS", "1")]).await);
    let date = get(&server, "/", &[]).await.header("last-modified").unwrap().to_owned();
    let mut answers = vec![
        ("a page that did not change", get(&server, "/", &[("If-Modified-Since", &date)]).await),
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
            ("x-frame-options", "SAMEORIGIN"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{what} ({})", answer.status);
        }
        let policy = answer.header("content-security-policy").expect(what);
        assert!(policy.starts_with("default-src 'self';") && policy.contains("object-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert!(answer.header("permissions-policy").expect(what).contains("camera=(self), microphone=(self)"));
        assert!(answer.header("server").is_none(), "{what}");
    }
}

#[tokio::test]
async fn any_page_may_ask_the_api() {
    let server = TestServer::start(&[]).await;
    let origin = ("Origin", "https://elsewhere.example");
    for path in ["/signal-api/v1/welcome", "/signal-api/v1/rooms/a", "/signal-api/v1/rooms/a%2Fb"] {
        let answer = get(&server, path, &[origin]).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{path}");
    }
    let preflight = [origin, ("Access-Control-Request-Method", "GET")];
    let answer = ask(server.address, "OPTIONS", "/signal-api/v1/welcome", &preflight).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (200, Some("GET")));
    // Pages and sockets are this origin's own.
    for path in ["/", "/signal-api/ws?room=a"] {
        assert_eq!(get(&server, path, &[origin]).await.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn pages_answer_get_and_head_alone() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = ask(server.address, method, "/", &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[tokio::test]
async fn operators_have_their_own_listener() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(get(&server, path, &[]).await.text(), "landing", "{path}: a page like any other");
        assert_eq!(ask(server.ops, "GET", path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(ask(server.ops, "GET", "/", &[]).await.status, 404);
    assert_eq!(ask(server.ops, "GET", "/signal-api/v1/welcome", &[]).await.status, 404);
}

#[tokio::test]
async fn a_server_may_be_not_ready_without_its_engine() {
    // Nobody is there.
    let url = ("ROUNDTABLE_REDIS_URL", "redis://127.0.0.1:1");
    let key = ("ROUNDTABLE_RESUME_KEY", "the same for all of them, and long enough");
    for (settings, status) in [
        (&[url, key][..], 200),
        (&[url, key, ("ROUNDTABLE_READY_WITHOUT_ENGINE", "false")], 503),
        (&[("ROUNDTABLE_READY_WITHOUT_ENGINE", "false")], 200),
    ] {
        let server = TestServer::start(settings).await;
        assert_eq!(ask(server.ops, "GET", "/readyz", &[]).await.status, status, "{settings:?}");
        assert_eq!(ask(server.ops, "GET", "/healthz", &[]).await.status, 200, "it lives");
        let metrics = ask(server.ops, "GET", "/metrics", &[]).await.text();
        let engine = metrics.lines().find(|line| line.starts_with("roundtable_engine_connected"));
        // Who has none, shows nothing of one: it is not away.
        assert_eq!(engine, settings.contains(&url).then_some("roundtable_engine_connected 0"), "{settings:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_no_http_or_too_long_is_refused() {
    let server = TestServer::start(&[]).await;
    let long = format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {}\r\n\r\n", "x".repeat(20_000));
    for request in ["\x16\x03\x01\x02\0", "HELLO\r\n\r\n", "GET / HTTP/1.1\nno colon\r\n\r\n", &long] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an answer too.
        let _ = within("the end", tcp.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(&server, "/signal-api/v1/welcome", &[]).await.status, 200);
}
