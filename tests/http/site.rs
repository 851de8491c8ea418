//! Pages and files of the frontend.

use std::path::Path;
use std::time::Duration;

use super::dist::{Dist, LANDING_BR, SCRIPT_BR, get, gzip};
use crate::common::TestServer;
use crate::common::http::ask;

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
async fn redirects_are_relative_and_keep_the_query() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for (path, location) in [
        ("/r/standup/", "../standup"),
        ("/r/v1.2/?name=Ada&audio=0", "../v1.2?name=Ada&audio=0"),
        ("/r/%E5%9C%86%E6%A1%8C/", "../%E5%9C%86%E6%A1%8C"),
        ("/r/a&b+c/", "../a&b+c"),
        ("/a/b/c?room=standup", "../../?room=standup"),
        ("/r/a/b", "../../"),
    ] {
        let answer = get(&server, path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some(location)), "{path}");
    }
    for (path, body) in [("/?room=standup&name=Ada", "landing"), ("/?diag", "landing"), ("/r/?room=standup", "room")] {
        assert_eq!(get(&server, path, &[]).await.text(), body, "{path}");
    }
}

#[tokio::test]
async fn a_dist_of_index_html_alone_opens_rooms_by_their_query() {
    let dist = Dist::empty();
    dist.write("index.html", "landing");
    let server = dist.serve().await;
    for (path, location) in [
        ("/r/standup", "../?room=standup"),
        ("/r/standup?name=Ada&autojoin=1", "../?room=standup&name=Ada&autojoin=1"),
        ("/r/a&b+c%2Fd", "../?room=a%26b%2Bc%2Fd"),
        ("/r/standup/", "../standup"),
        ("/r/", "../"),
        ("/a/b?x=1", "../?x=1"),
    ] {
        let answer = get(&server, path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some(location)), "{path}");
    }
    for path in ["/", "/?room=standup", "/diag", "/?diag"] {
        let answer = get(&server, path, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "landing"), "{path}");
    }
}

#[tokio::test]
async fn compressed_files_go_to_whom_they_suit() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let gzipped = &gzip("script")[..];
    for (accept, encoding, body) in [
        ("", None, &b"script"[..]),
        ("identity", None, b"script"),
        ("gzip", Some("gzip"), gzipped),
        ("gzip, deflate, br, zstd", Some("br"), SCRIPT_BR),
        ("br;q=0, gzip", Some("gzip"), gzipped),
    ] {
        let answer = get(&server, "/assets/app-1a2b.js", &[("Accept-Encoding", accept)]).await;
        assert_eq!((answer.header("content-encoding"), &answer.body[..]), (encoding, body), "{accept:?}");
        assert_eq!(answer.header("content-type"), Some("text/javascript"), "{accept:?}");
        let vary = answer.header("vary").unwrap_or_default().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{accept:?}: shared caches would confuse the encodings");
    }
    // Without a compressed copy, the plain file is sent.
    let answer = get(&server, "/assets/tone-3c4d.wasm", &[("Accept-Encoding", "br, gzip")]).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
    assert_eq!(answer.header("content-type"), Some("application/wasm"));
    // Encodings are negotiated for fallbacks, too.
    let answer = get(&server, "/about", &[("Accept-Encoding", "br")]).await;
    assert_eq!((answer.header("content-encoding"), &answer.body[..]), (Some("br"), LANDING_BR));
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
async fn an_asset_that_has_not_changed_is_not_sent_again() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for path in ["/assets/app-1a2b.js", "/assets/tone-3c4d.wasm"] {
        let date = get(&server, path, &[]).await.header("last-modified").expect(path).to_owned();
        let answer = get(&server, path, &[("If-Modified-Since", &date)]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{path}");
        assert!(answer.header("cache-control").is_some(), "{path}");
        let old = get(&server, path, &[("If-Modified-Since", "Thu, 01 Jan 1998 00:00:00 GMT")]).await;
        assert_eq!(old.status, 200, "{path}");
    }
}

/// Writes a file without changing its modification time, as editors, `cp -p` and rsync may.
fn edit(dist: &Dist, file: &str, text: &str) {
    let path = dist.path().join(file);
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
}

#[tokio::test]
async fn edited_files_are_sent_at_once_whatever_their_times_and_compressed_copies() {
    let dist = Dist::built();
    let server = dist.serve().await;
    let read = async |path: &str, accept: &str, more: &[(&str, &str)]| {
        let answer = get(&server, path, &[&[("Accept-Encoding", accept)], more].concat()).await;
        assert_eq!(answer.status, 200, "{path}");
        (answer.header("content-encoding").map(str::to_owned), answer.body)
    };
    let page = get(&server, "/", &[]).await;
    // The result of a comparison is cached after the files have been unchanged for two seconds, and the test cannot set
    // their change time.
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    for _ in 0..2 {
        assert_eq!(read("/", "br", &[]).await, (Some("br".to_owned()), LANDING_BR.to_vec()));
        assert_eq!(read("/assets/app-1a2b.js", "gzip", &[]).await, (Some("gzip".to_owned()), gzip("script")));
    }

    edit(&dist, "index.html", "changed");
    edit(&dist, "assets/app-1a2b.js", "change");
    for accept in ["br", "gzip"] {
        assert_eq!(read("/", accept, &[]).await, (None, b"changed".to_vec()), "{accept}");
        assert_eq!(read("/assets/app-1a2b.js", accept, &[]).await, (None, b"change".to_vec()), "{accept}");
    }
    let known = [("If-Modified-Since", "last-modified"), ("If-None-Match", "etag")];
    let known: Vec<_> = known.iter().filter_map(|(name, of)| Some((*name, page.header(of)?))).collect();
    assert!(!known.is_empty(), "{page:?}");
    assert_eq!(read("/", "identity", &known).await, (None, b"changed".to_vec()));

    // One of two copies is new; the other is still outdated.
    dist.write("index.html.gz", gzip("changed"));
    assert_eq!(read("/", "br, gzip", &[]).await, (Some("gzip".to_owned()), gzip("changed")));
    for damaged in [&gzip("changed")[..12], b"changed", &gzip("changed and more")] {
        dist.write("index.html.gz", damaged);
        assert_eq!(read("/", "br, gzip", &[]).await, (None, b"changed".to_vec()));
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
    // Like a symbolic link that is switched to the next version.
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
async fn pages_answer_get_and_head_alone() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = ask(server.address, method, "/", &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}
