//! Checks of web servers in front: paths, client addresses, and room affinity.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use roundtable::doctor::findings::Finding;

use super::outside::proxied;
use super::stage::{ClosedPort, Folder, NOW, Process, doctor, free_port, nginx, nginx_with, server};
use crate::common::http;
use crate::common::program::Running;

const FORWARDED_FOR: &str = "proxy_set_header X-Forwarded-For $remote_addr;";

/// Returns directives that serve a built frontend from nginx, separately from the server.
fn dist(folder: &Folder) -> String {
    format!("root {}; index index.html;", folder.page())
}

#[test]
fn a_web_server_without_a_history_fallback() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let api = format!("location /signal-api/ {{ {} }}", proxied(&server.address.to_string()));
    // As the finding's text recommends.
    let (_, fix) = Finding::NoHistoryFallback.texts();
    let lines = fix.split_once(": ").unwrap().1.split_once(" (below").unwrap().0;
    let lines = lines.replace("/usr/web/nginx/html", &folder.page());
    let blocks = [
        format!("{} {api}", dist(&folder)),
        // The root is within a location, as in many tutorials.
        format!("location / {{ {} }} {api} {lines}", dist(&folder)),
        // Only the page of the check is missing.
        format!("{} {api} location /r/ {{ try_files $uri /r/index.html; }}", dist(&folder)),
        // Every path returns another page.
        format!("{} {api} location /r/ {{ return 200 'Hello'; }}", dist(&folder)),
    ];
    let (_nginx, ports) = nginx(&folder, &blocks.each_ref().map(String::as_str));
    let page = |at: usize| format!("http://127.0.0.1:{}/", ports[at]);
    for missing in [0, 2, 3] {
        doctor(&["--quick", &page(missing)], &[]).only("no_history_fallback", &page(missing));
    }
    let well = doctor(&["--quick", &page(1)], &[]);
    well.all_well();
    assert!(well.looked_at("links"), "{well:?}");
}

/// nginx answers 404 if the file of its `error_page` is missing.
#[test]
fn a_stopped_server_is_told_from_a_wrong_path() {
    let folder = Folder::new();
    let port = ClosedPort::new();
    let closed = proxied(&port.address());
    let errors = "error_page 500 502 503 504 /50x.html; location = /50x.html { root /nonexistent; }";
    let blocks = [
        format!("{} location /signal-api/ {{ {closed} }} {errors}", dist(&folder)),
        format!("{} {errors}", dist(&folder)),
        // A path other than the page's.
        format!("{} location /other-api/ {{ {closed} }} {errors}", dist(&folder)),
        // All other paths get the same response, so that nothing indicates a proxied one.
        format!("location = / {{ {} try_files /index.html =404; }} location / {{ return 404; }}", dist(&folder)),
    ];
    let (_nginx, ports) = nginx(&folder, &blocks.each_ref().map(String::as_str));
    for (finding, port) in ["server_down", "wrong_path", "wrong_path", "wrong_path"].iter().zip(ports) {
        doctor(&["--quick", &format!("http://127.0.0.1:{port}/")], &[]).only(finding, "/signal-api/");
    }
}

#[test]
fn a_proxy_that_does_not_say_who_asks() {
    let folder = Folder::new();
    let ca = folder.authority();
    let certificate = folder.certificate("tls.crt", "DNS:localhost", NOW);
    let trusting = server(&folder, &[]);
    let distrusting = server(&folder, &[("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1")]);
    let tls = format!("ssl_certificate {certificate}; ssl_certificate_key {};", folder.path("key"));
    let block = |server: &Running, more: &str| {
        let right = proxied(&server.address.to_string());
        format!("{tls} location / {{ {} {more} }}", right.replace(FORWARDED_FOR, ""))
    };
    let blocks = [
        block(&trusting, FORWARDED_FOR),
        block(&trusting, ""),
        // The server reads no other header.
        block(&trusting, "proxy_set_header X-Real-IP $remote_addr;"),
        block(&distrusting, FORWARDED_FOR),
        block(&distrusting, ""),
        block(&trusting, "").replace(&tls, ""),
        block(&trusting, FORWARDED_FOR).replace(&tls, ""),
    ];
    let (_nginx, ports) = nginx(&folder, &blocks.each_ref().map(String::as_str));
    for (at, port) in ports.iter().enumerate() {
        let scheme = if blocks[at].contains("ssl_certificate") { "https" } else { "http" };
        let said = doctor(&["--quick", "--ca-file", &ca, &format!("{scheme}://localhost:{port}/")], &[]);
        match at {
            0 | 6 => said.all_well(),
            _ => said.only("shared_client_address", &format!("localhost:{port}")),
        }
    }
    // No proxy.
    doctor(&["--quick", &format!("http://{}/", distrusting.address)], &[]).all_well();
}

/// Returns the machine's default gateway, which is the client address that a proxy in a container sees for all
/// connections through docker-proxy.
fn gateway() -> Ipv4Addr {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap();
    let default = routes.lines().find_map(|line| {
        line.split_whitespace().skip(1).collect::<Vec<_>>()[..2].strip_prefix(&["00000000"])?.first().copied()
    });
    let number = default.unwrap_or_else(|| panic!("this machine has no default route, which the test needs: {routes}"));
    Ipv4Addr::from(u32::from_str_radix(number, 16).unwrap().to_ne_bytes())
}

#[test]
fn a_proxy_that_sees_its_visitors_as_the_gateway() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let right = proxied(&server.address.to_string());
    let (_nginx, ports) =
        nginx(&folder, &[&format!("location / {{ {} }}", right.replace("$remote_addr", &gateway().to_string()))]);
    // On the server's own machine, it looks the same when everything is right.
    doctor(&["--quick", &format!("http://127.0.0.1:{}/", ports[0])], &[]).unknown("address", "another machine");
    // A local address that is not recognised as local. It also leads to the finding about plain HTTP.
    let said = doctor(&["--quick", &format!("http://0.0.0.0:{}/", ports[0])], &[]);
    let names: Vec<_> = said.findings.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["plain_http", "gateway_client_address"], "{said:?}");
}

#[test]
fn servers_in_turn_that_do_not_share_rooms() {
    let folder = Folder::new();
    let (one, two) = (server(&folder, &[]), server(&folder, &[]));
    let port = free_port();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]).current_dir(folder.path(""));
    let _redis = Process::start(redis, SocketAddr::from(([127, 0, 0, 1], port)));
    let url = format!("redis://127.0.0.1:{port}");
    let shared =
        [("ROUNDTABLE_REDIS_URL", url.as_str()), ("ROUNDTABLE_RESUME_KEY", "the-same-for-all-and-long-enough")];
    let (three, four) = (server(&folder, &shared), server(&folder, &shared));
    let [a, b, c, d] = [&one, &two, &three, &four].map(|server| server.address);
    let upstreams = format!(
        "upstream apart {{ server {a}; server {b}; }} upstream by_room {{ hash $arg_room consistent; server {a}; server {b}; }} \
         upstream together {{ server {c}; server {d}; }}"
    );
    let blocks = ["apart", "by_room", "together"].map(|upstream| format!("location / {{ {} }}", proxied(upstream)));
    let (_nginx, ports) = nginx_with(&folder, &upstreams, &blocks.each_ref().map(String::as_str));
    let look = |port: u16| doctor(&["--quick", &format!("http://127.0.0.1:{port}/")], &[]);
    let apart = look(ports[0]);
    apart.only("servers_not_shared", "/signal-api/");
    assert!(apart.detail().contains("2 servers"), "{apart:?}");
    look(ports[1]).all_well();
    let together = look(ports[2]);
    together.all_well();
    assert!(together.text.contains("share rooms"), "{together:?}");
}

/// The log names the missing directive once for each cause, and the metric counts.
#[tokio::test]
async fn the_server_logs_a_proxy_that_hides_its_visitors() {
    let mut server = Running::start(&[("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1,127.0.0.2")]);
    let check = "/signal-api/v1/check";
    let source = async |headers: &[(&str, &str)]| {
        http::ask(server.address, "POST", check, headers).await.json()["data"]["address_source"].clone()
    };
    assert_eq!(source(&[]).await, "direct");
    for _ in 0..3 {
        assert_eq!(source(&[("X-Forwarded-For", "203.0.113.7")]).await, "untrusted_proxy");
    }
    // The page has an https origin, but the server has no TLS.
    assert_eq!(source(&[("Origin", "https://test")]).await, "no_forwarded_for");
    let line = server.line("not trusted");
    let said = line["message"].as_str().unwrap();
    assert!(
        said.contains("ROUNDTABLE_TRUSTED_PROXIES=192.0.2.1/32,127.0.0.2/32,127.0.0.1") && said.contains(FORWARDED_FOR),
        "{said}"
    );
    assert_eq!((&line["level"], &line["address"]), (&"WARN".into(), &"127.0.0.1".into()));
    server.line("does not send X-Forwarded-For");
    let metric = "roundtable_shared_addresses_total{cause=\"untrusted_proxy\"}";
    assert_eq!(crate::common::metric(server.ops, metric).await, 3);
    server.signal("TERM");
    assert!(server.ended().await.success());
    assert_eq!(server.seen.iter().filter(|line| line.contains("not trusted")).count(), 1);
}
