//! Checks of a server from a client's point of view, behind hand-written proxies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use super::stage::{ClosedPort, Folder, LATER, NOW, ONCE, SECRET, Turn, doctor, free_port, nginx, server};
use crate::common::client::Client;
use crate::common::eventually;
use crate::common::program::{run, text};

/// Returns nginx directives that proxy WebSockets correctly.
pub fn proxied(upstream: &str) -> String {
    format!(
        "proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header \
         Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header X-Forwarded-For $remote_addr;"
    )
}

#[test]
fn all_is_well_by_a_proxy_with_tls_and_a_relay() {
    let folder = Folder::new();
    let ca = folder.authority();
    let certificate = folder.certificate("tls.crt", "DNS:localhost,IP:127.0.0.1", NOW);
    let turn = Turn::start(&folder, &[]);
    let urls = format!("stun:127.0.0.1:{},{},{}", turn.port, turn.url("udp"), turn.url("tcp"));
    let settings = [
        ("ROUNDTABLE_ICE_URLS", urls.as_str()),
        ("ROUNDTABLE_TURN_SECRET", SECRET),
        ("ROUNDTABLE_PING_INTERVAL", "1s"),
    ];
    let server = server(&folder, &settings);
    let upstream = proxied(&server.address.to_string());
    let tls = format!("ssl_certificate {certificate}; ssl_certificate_key {};", folder.path("key"));
    let block = format!("{tls} location / {{ {upstream} proxy_read_timeout 30s; }}");
    let below =
        format!("{tls} location /meet/ {{ {} }}", upstream.replace("; proxy_http_version", "/; proxy_http_version"));
    let (_nginx, ports) = nginx(&folder, &[&block, &below]);
    let well = doctor(&["--ca-file", &ca, &format!("https://localhost:{}/r/standup", ports[0])], &[]);
    well.all_well();
    // The output must not contain the room's name, which admits anybody who knows it.
    assert!(!well.text.contains("standup"), "{well:?}");
    for look in ["page", "connection", "certificate", "server", "clock", "websocket", "join", "ping", "relay"] {
        assert!(well.looked_at(look), "{look} in {well:?}");
    }
    // Without a slash nginx redirects, without a scheme https is assumed, and the URL of the check's page has no server
    // below it.
    for page in ["https://localhost:{}/meet/", "https://localhost:{}/meet", "localhost:{}/meet/diag"] {
        let page = page.replace("{}", &ports[1].to_string());
        doctor(&["--quick", "--ca-file", &ca, &page], &[]).all_well();
    }
}

#[test]
fn what_a_server_says_does_not_control_the_terminal() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let said = r#"{"code":"SUCCESS","data":{"name":"roundtable","version":"1\u001b[2JAll well.","features":[],"time":"2026-01-01T00:00:00Z","instance":"0","cluster":false}}"#;
    let block = format!(
        "location / {{ {} }} location = /signal-api/v1/welcome {{ default_type application/json; return 200 '{said}'; }}",
        proxied(&server.address.to_string())
    );
    let (_nginx, ports) = nginx(&folder, &[&block]);
    let output = run(&["doctor", "--quick", &format!("http://localhost:{}", ports[0])], &[]);
    let said = text(&output.stdout);
    assert!(said.contains("[2JAll well.") && !said.contains('\u{1b}'), "{said:?}");
}

/// A server that answers everything that the doctor asks, and says this of its version and in its welcome; its port.
fn malicious(version: &'static str, welcome: Value) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move |mut stream: TcpStream, welcome: String| {
        let mut head = [0; 4096];
        let mut length = 0;
        // Not taken off, as a WebSocket's handshake reads it.
        while !head[..length].windows(4).any(|end| end == b"\r\n\r\n") {
            length = stream.peek(&mut head).unwrap();
            if length == 0 {
                return;
            }
        }
        let path = text(&head[..length]).split(' ').nth(1).unwrap().to_owned();
        if path.contains("/signal-api/ws") {
            let mut socket = tungstenite::accept(stream).unwrap();
            socket.read().unwrap();
            socket.send(Message::text(welcome)).unwrap();
            while socket.read().is_ok() {}
            return;
        }
        let data = match path.rsplit('/').next() {
            Some("welcome") => json!({"name": "roundtable", "version": version}),
            Some("check") => json!({"address_source": "direct"}),
            _ => json!({}),
        };
        let body = match path.contains("/signal-api/") {
            true => json!({"code": "SUCCESS", "data": data}).to_string(),
            false => "<title>Roundtable</title>".to_owned(),
        };
        stream.read_exact(&mut vec![0; length]).unwrap();
        let length = body.len();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, welcome) = (stream.unwrap(), welcome.to_string());
            thread::spawn(move || answer(stream, welcome));
        }
    });
    port
}

#[test]
fn a_server_cannot_stop_the_doctor_by_the_largest_number() {
    let port = malicious("1", json!({"type": "welcome", "heartbeat_seconds": u64::MAX}));
    doctor(&["--quick", &format!("http://localhost:{port}")], &[]).all_well();
}

#[test]
fn what_a_server_says_has_a_length_and_only_visible_characters_in_both_formats() {
    const BAD: &str = "\u{1b}\u{7f}\u{9b}\u{200b}\u{202e}\u{2028}\u{2066}\u{feff}";
    let version: &str = Box::leak(format!("1{BAD}2{}", "x".repeat(5_000)).into_boxed_str());
    let servers = json!([{"urls": [format!("stun:re{BAD}lay:no")]}]);
    let port = malicious(version, json!({"type": "welcome", "heartbeat_seconds": 1, "ice_servers": servers}));
    let page = format!("http://localhost:{port}");
    for format in [&["--json"][..], &[]] {
        let said = text(&run(&[&["doctor", "--quick", &page], format].concat(), &[]).stdout);
        // As JSON writes a control character of ASCII, too.
        let bad = said.chars().find(|c| *c != '\n' && BAD.contains(*c));
        assert!(bad.is_none() && !said.contains("\\u"), "{bad:?} in {said:?}");
        assert!(said.contains("Roundtable 1") && !said.contains(&"x".repeat(400)), "{said:?}");
        assert!(said.contains("is no address of a STUN or TURN server"), "{said:?}");
    }
}

#[test]
fn an_address_that_leads_to_another_one() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let block = format!("location / {{ {} }}", proxied(&server.address.to_string()));
    let (_https, ports) = nginx(&folder, &[&block]);
    let well = format!("http://localhost:{}/", ports[0]);
    let folder = Folder::new();
    let back = "location / { return 301 $request_uri?again; }".to_owned();
    let (_http, ports) = nginx(&folder, &[&format!("location / {{ return 301 {well}; }}"), &back]);
    let said = doctor(&["--quick", &format!("http://0.0.0.0:{}/r/standup", ports[0])], &[]);
    said.all_well();
    assert!(said.text.contains(&format!("leads to {well}")), "{said:?}");
    // A token is only sent to the host that was named.
    let token = folder.write("token", SECRET);
    let kept = doctor(&["--quick", "--token-file", &token, &format!("http://127.0.0.1:{}", ports[0])], &[]);
    assert!(kept.code == 2 && kept.text.contains("is kept back"), "{kept:?}");
    let around = format!("http://127.0.0.1:{}", ports[1]);
    doctor(&["--quick", &around], &[]).only("wrong_address", &around);
}

/// Reached over IPv6 only, by its address in brackets.
#[test]
fn a_server_with_ipv6_alone() {
    let folder = Folder::new();
    let server = server(&folder, &[("ROUNDTABLE_LISTEN", "[::1]:0")]);
    doctor(&["--quick", &format!("http://{}", server.address)], &[]).all_well();
    let other = format!("127.0.0.1:{}", server.address.port());
    doctor(&["--quick", &format!("http://{other}")], &[]).only("port_closed", &other);
    let closed = format!("[::1]:{}", free_port());
    doctor(&["--quick", &format!("http://{closed}")], &[]).only("port_closed", &closed);
}

#[test]
fn proxies_that_are_set_wrong() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let address = server.address.to_string();
    let (right, closed) = (proxied(&address), ClosedPort::new());
    let past = "return 200 '{\"code\":\"SUCCESS\",\"data\":{\"name\":\"roundtable\",\"version\":\"0\",\
                \"time\":\"2020-01-01T00:00:00Z\"}}';";
    let cases = [
        ("", format!("location / {{ {right} }}")),
        (
            "upgrade_headers_missing",
            format!("location / {{ {} }}", right.replace("proxy_set_header Upgrade $http_upgrade;", "")),
        ),
        // Without `Host`, or with a `Host` that lacks the port, the origin proof decides.
        ("", format!("location / {{ {} }}", right.replace("$http_host", "$host"))),
        ("", format!("location / {{ {} }}", right.replace("proxy_set_header Host $http_host;", ""))),
        (
            "origin_refused",
            format!(
                "location / {{ {} }} location = /signal-api/v1/origin-proof {{ return 404; }}",
                right.replace("$http_host", "$host")
            ),
        ),
        (
            "path_stripped",
            format!("location / {{ {right} }} location /signal-api/ {{ proxy_pass http://{address}/; }}"),
        ),
        ("server_down", format!("location / {{ {} }}", proxied(&closed.address()))),
        // The proxy does not remove the prefix /meet/.
        ("wrong_path", format!("location /meet/ {{ {right} }}")),
        ("wrong_address", "location / { return 200 'Hello'; }".to_owned()),
        ("page_missing", format!("location / {{ return 404; }} location /signal-api/ {{ {right} }}")),
        ("websocket_failed", format!("location / {{ {right} }} location /signal-api/ws {{ return 400; }}")),
        ("clock_skew", format!("location / {{ {right} }} location = /signal-api/v1/welcome {{ {past} }}")),
    ];
    let blocks = cases.each_ref().map(|(_, block)| block.as_str());
    let (_nginx, ports) = nginx(&folder, &blocks);
    for ((name, block), port) in cases.iter().zip(ports) {
        let below = if block.starts_with("location /meet/") { "meet/" } else { "" };
        let said = doctor(&["--quick", &format!("http://127.0.0.1:{port}/{below}")], &[]);
        match *name {
            "" => said.all_well(),
            name => {
                eprintln!("{block}");
                said.only(name, "127.0.0.1");
            }
        }
    }
}

#[test]
fn a_name_that_the_server_is_not_reached_under() {
    let folder = Folder::new();
    let server = server(&folder, &[("ROUNDTABLE_SERVER_NAMES", "localhost")]);
    let page = |host: &str| format!("http://{host}:{}", server.address.port());
    doctor(&["--quick", &page("localhost")], &[]).all_well();
    doctor(&["--quick", &page("127.0.0.1")], &[]).only("origin_refused", &page("127.0.0.1"));
}

#[test]
fn a_timeout_shorter_than_the_ping() {
    let folder = Folder::new();
    // The intervals are random, 4 to 5 s; the first one is the longest.
    let server = server(&folder, &[("ROUNDTABLE_PING_INTERVAL", "4s")]);
    let block = |timeout: &str| {
        format!("location / {{ {} proxy_read_timeout {timeout}; }}", proxied(&server.address.to_string()))
    };
    let (_nginx, ports) = nginx(&folder, &[&block("4200ms"), &block("10s")]);
    let [page, well] = [0, 1].map(|at| format!("http://127.0.0.1:{}", ports[at]));
    doctor(&[&page], &[]).only("proxy_timeout", &page);
    doctor(&["--quick", &page], &[]).all_well();
    doctor(&[&well], &[]).all_well();
}

#[test]
fn certificates_that_browsers_do_not_take() {
    let folder = Folder::new();
    let ca = folder.authority();
    let server = server(&folder, &[]);
    let upstream = proxied(&server.address.to_string());
    let block = |file: &str| {
        let key = folder.path("key");
        format!("ssl_certificate {file}; ssl_certificate_key {key}; location / {{ {upstream} }}")
    };
    let blocks = [
        block(&folder.certificate("good.crt", "DNS:localhost", NOW)),
        block(&folder.certificate("other.crt", "DNS:meet.example", NOW)),
        block(&folder.certificate("old.crt", "DNS:localhost", ONCE)),
        format!("location / {{ {upstream} }}"),
        block(&folder.self_signed("own.crt")),
        block(&folder.certificate("new.crt", "DNS:localhost", LATER)),
        // nginx accepts a key that does not match the certificate, but every handshake fails.
        block(&folder.rsa()),
    ];
    let (_nginx, ports) = nginx(&folder, &blocks.each_ref().map(String::as_str));
    let look =
        |port: u16, args: &[&str]| doctor(&[args, &["--quick", &format!("https://localhost:{port}")]].concat(), &[]);
    look(ports[0], &["--ca-file", &ca]).all_well();
    look(ports[0], &[]).only("certificate_untrusted", "localhost");
    look(ports[1], &["--ca-file", &ca]).only("certificate_name", "localhost");
    look(ports[2], &["--ca-file", &ca]).only("certificate_expired", "localhost");
    look(ports[3], &[]).only("no_tls", "localhost");
    let early = look(ports[5], &["--ca-file", &ca]);
    early.only("certificate_expired", "localhost");
    assert!(early.detail().contains("begins on 2069-01-01"), "{early:?}");
    look(ports[6], &[]).only("tls_handshake_failed", "localhost");
    look(ports[4], &[]).only("certificate_untrusted", "localhost");
    look(ports[4], &["--ca-file", &folder.path("own.crt")]).all_well();
    let other = format!("https://127.0.0.1:{}", ports[4]);
    doctor(&["--quick", "--ca-file", &folder.path("own.crt"), &other], &[]).only("certificate_name", "127.0.0.1");
    let plain = doctor(&["--quick", &format!("http://localhost:{}", ports[0])], &[]);
    plain.only("wrong_address", "localhost");
    assert!(plain.detail().contains("https://"), "{plain:?}");
    // The other checks run nevertheless, without the token.
    let token = folder.write("token", SECRET);
    let said = look(ports[0], &["--token-file", &token]);
    assert_eq!(said.findings.len(), 1, "{said:?}");
    assert!(said.looked_at("websocket") && said.text.contains("is kept back"), "{said:?}");
}

/// An attacker between client and server forwards the first connection and answers the later ones itself.
#[test]
fn a_token_is_not_sent_by_a_later_connection_with_another_certificate() {
    let folder = Folder::new();
    let ca = folder.authority();
    let server = server(&folder, &[]);
    let upstream = proxied(&server.address.to_string());
    let key = folder.path("key");
    let block = |file: &str| format!("ssl_certificate {file}; ssl_certificate_key {key}; location / {{ {upstream} }}");
    let blocks = [block(&folder.certificate("good.crt", "DNS:localhost", NOW)), block(&folder.self_signed("own.crt"))];
    let (_nginx, ports) = nginx(&folder, &blocks.each_ref().map(String::as_str));
    let between = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = between.local_addr().unwrap().port();
    let (first, later) = (ports[0], ports[1]);
    thread::spawn(move || {
        for (at, near) in between.incoming().enumerate() {
            let near = near.unwrap();
            let far = TcpStream::connect(("127.0.0.1", if at == 0 { first } else { later })).unwrap();
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            }
        }
    });
    let token = folder.write("token", SECRET);
    let page = format!("https://localhost:{port}");
    let said = doctor(&["--quick", "--ca-file", &ca, "--token-file", &token, &page], &[]);
    said.only("certificate_untrusted", "localhost");
    assert!(!said.looked_at("websocket"), "{said:?}");
}

#[test]
fn plain_http_a_name_that_is_none_and_a_closed_port() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    // Loopback, too, but browsers do not treat this address as local.
    let plain = format!("http://0.0.0.0:{}", server.address.port());
    doctor(&["--quick", &plain], &[]).only("plain_http", &plain);
    let said = doctor(&["--quick", "https://nobody.invalid"], &[]);
    said.only("name_not_found", "nobody.invalid");
    let port = ClosedPort::new();
    let closed = port.address();
    doctor(&["--quick", &format!("http://{closed}")], &[]).only("port_closed", &closed);
    // From inside a container, all of it may be different for visitors.
    let container = [("container", "docker")];
    doctor(&["--quick", "https://nobody.invalid"], &container).unknown("connection", "nobody.invalid");
    doctor(&["--quick", &format!("http://{closed}")], &container).unknown("connection", "runs in a container");
}

#[tokio::test]
async fn a_server_that_takes_no_more() {
    let folder = Folder::new();
    let server = server(&folder, &[("ROUNDTABLE_CONNECTIONS", "1")]);
    let page = format!("http://{}", server.address);
    doctor(&["--quick", &page], &[]).all_well();
    // The doctor must have left; otherwise this client would be rejected.
    let mut ada = None;
    eventually("a place", async || {
        ada = Client::connect(server.address, "standup").await.ok();
        ada.is_some()
    })
    .await;
    doctor(&["--quick", &page], &[]).only("limit_reached", &page);
}

#[test]
fn a_server_for_those_with_a_token() {
    let folder = Folder::new();
    let [keys, others] = ["keys.json", "others.json"].map(|name| {
        let path = folder.path(name);
        assert!(run(&["token-key", "--key-file", &path], &[]).status.success());
        path
    });
    let token = |name: &str, keys: &str| {
        let made = run(&["token", "--room", "*", "--key-file", keys], &[]);
        folder.write(name, &text(&made.stdout))
    };
    let server = server(&folder, &[("ROUNDTABLE_ACCESS", "token"), ("ROUNDTABLE_TOKEN_KEYS_FILE", &keys)]);
    let page = format!("http://{}", server.address);
    let without = doctor(&["--quick", &page], &[]);
    assert!(without.code == 2 && without.text.contains("--token-file"), "{without:?}");
    let (good, bad) = (token("good", &keys), token("bad", &others));
    doctor(&["--quick", "--token-file", &good, &page], &[]).all_well();
    doctor(&["--quick", "--token-file", &bad, &page], &[]).only("token_refused", &page);
}
