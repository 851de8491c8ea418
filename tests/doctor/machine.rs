//! Checks of this machine's settings.

use std::net::SocketAddr;
use std::process::Command;

use super::stage::{Folder, Process, SECRET, doctor, free_port, own, said};
use crate::common::http;
use crate::common::program::{BINARY, Running, program, run, text};

#[test]
fn all_is_well_with_an_engine_a_running_server_and_keys() {
    let folder = Folder::new();
    let port = free_port();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]).current_dir(folder.path(""));
    let redis = Process::start(redis, SocketAddr::from(([127, 0, 0, 1], port)));
    let url = format!("redis://127.0.0.1:{port}");
    let server = Running::start(&[]);
    let (listen, ops) = (server.address.to_string(), server.ops.to_string());
    let keys = folder.write("keys.json", "{\"keys\":[]}");
    let settings = [
        ("ROUNDTABLE_REDIS_URL", url.as_str()),
        ("ROUNDTABLE_RESUME_KEY", "the-same-for-all-and-long-enough"),
        ("ROUNDTABLE_LISTEN", &listen),
        ("ROUNDTABLE_OPS_LISTEN", &ops),
        ("ROUNDTABLE_TOKEN_KEYS_FILE", &keys),
        ("TZ", "Asia/Shanghai"),
    ];
    let well = own(&folder, &settings);
    well.all_well();
    assert!(
        well.looked_at("engine") && well.looked_at("addresses") && well.text.contains("a server runs at"),
        "{well:?}"
    );

    drop(redis);
    let gone = own(&folder, &settings);
    gone.only("engine_unreachable", "ROUNDTABLE_REDIS_URL");
    assert!(gone.detail().contains("refused"), "{gone:?}");
}

/// The running server has received requests through a proxy whose address is not trusted.
#[tokio::test]
async fn a_server_that_has_seen_a_proxy_that_it_does_not_trust() {
    let folder = Folder::new();
    let server = Running::start(&[("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1")]);
    let (listen, ops) = (server.address.to_string(), server.ops.to_string());
    let settings = [("ROUNDTABLE_LISTEN", listen.as_str()), ("ROUNDTABLE_OPS_LISTEN", &ops)];
    own(&folder, &settings).all_well();
    http::ask(server.address, "POST", "/signal-api/v1/check", &[("X-Real-IP", "203.0.113.7")]).await;
    let said = own(&folder, &settings);
    said.only("shared_client_address", "ROUNDTABLE_TRUSTED_PROXIES");
    assert!(said.detail().contains("untrusted_proxy: 1"), "{said:?}");
}

#[test]
fn an_engine_that_lets_nobody_in_says_why() {
    let folder = Folder::new();
    folder.authority();
    folder.self_signed("own.crt");
    let [port, tls] = [free_port(), free_port()].map(|port| port.to_string());
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port, "--tls-port", &tls, "--bind", "127.0.0.1", "--save", "", "--requirepass", SECRET]);
    redis.args(["--tls-cert-file", "own.crt", "--tls-key-file", "key", "--tls-ca-cert-file", "own.crt"]);
    redis.args(["--tls-auth-clients", "no"]).current_dir(folder.path(""));
    let _redis = Process::start(redis, SocketAddr::from(([127, 0, 0, 1], tls.parse().unwrap())));
    let wrong = "a-password-that-is-wrong";
    for (url, why) in [
        (format!("redis://:{SECRET}@127.0.0.1:{port}"), None),
        (format!("redis://:{wrong}@127.0.0.1:{port}"), Some("WRONGPASS")),
        (format!("redis://127.0.0.1:{port}"), Some("it wants a password")),
        (format!("rediss://:{SECRET}@127.0.0.1:{port}"), Some("it may have no TLS")),
        (format!("redis://:{SECRET}@127.0.0.1:{tls}"), Some("it may have TLS")),
        (format!("rediss://:{SECRET}@127.0.0.1:{tls}"), Some("certificate")),
        (format!("redis://:{wrong}@nobody.invalid"), Some("failed to lookup")),
    ] {
        let said = own(
            &folder,
            &[("ROUNDTABLE_REDIS_URL", &url), ("ROUNDTABLE_RESUME_KEY", "the-same-for-all-and-long-enough")],
        );
        assert!(!said.text.contains(wrong), "{said:?}");
        match why {
            None => said.all_well(),
            Some(why) => {
                said.only("engine_unreachable", "ROUNDTABLE_REDIS_URL");
                assert!(said.detail().contains(why), "{why}: {said:?}");
            }
        }
    }
}

/// Redis 7 repeats the arguments of a command that it does not know, here those of `HELLO 3 AUTH default <password>`.
#[test]
fn an_engine_that_repeats_the_password_does_not_bring_it_into_log_or_report() {
    let folder = Folder::new();
    let port = free_port();
    let conf = format!("port {port}\nbind 127.0.0.1\nsave \"\"\nrename-command HELLO \"\"\ndir {}\n", folder.path(""));
    let conf = folder.write("redis.conf", &conf);
    let mut redis = Command::new("redis-server");
    redis.arg(conf);
    let _redis = Process::start(redis, SocketAddr::from(([127, 0, 0, 1], port)));
    let url = format!("redis://:{SECRET}@127.0.0.1:{port}");
    let settings = [("ROUNDTABLE_REDIS_URL", &*url), ("ROUNDTABLE_RESUME_KEY", "the-same-for-all-and-long-enough")];
    // It looks for the secret in all that the doctor says.
    let said = own(&folder, &settings);
    said.only("engine_unreachable", "ROUNDTABLE_REDIS_URL");
    assert!(said.detail().contains("ERR: it rejects HELLO"), "{said:?}");

    let mut server = Running::start(&settings);
    let line = server.line("the engine cannot be reached");
    assert!(line["why"].as_str().unwrap().contains("ERR: it rejects HELLO"), "{line}");
    assert!(!server.has_said(SECRET), "{:#?}", server.seen);
}

#[test]
fn lists_that_name_nothing_and_an_empty_file_for_the_engine_are_refused() {
    let folder = Folder::new();
    for name in [
        "ADMIN_ALLOWED_IPS",
        "ALLOWED_ORIGINS",
        "CERTIFICATE_PROBES",
        "FRAME_ANCESTORS",
        "ICE_URLS",
        "SERVER_NAMES",
        "TRUSTED_PROXIES",
    ] {
        let name = format!("ROUNDTABLE_{name}");
        for value in [",", " , ,"] {
            let said = own(&folder, &[(&name, value)]);
            said.only("setting_wrong", &name);
            assert!(said.detail().contains("names nothing"), "{said:?}");
        }
    }
    let empty = folder.write("url", "");
    own(&folder, &[("ROUNDTABLE_REDIS_URL_FILE", &empty)]).only("setting_wrong", "ROUNDTABLE_REDIS_URL_FILE");
    assert!(!run(&[], &[("ROUNDTABLE_REDIS_URL_FILE", &empty)]).status.success());
}

#[test]
fn a_refused_address_is_shown_without_its_password() {
    let folder = Folder::new();
    for (name, value) in [
        ("ROUNDTABLE_OTLP_ENDPOINT", format!("http://me:{SECRET}@collector:4318")),
        ("ROUNDTABLE_OTLP_ENDPOINT", format!("http://collector:4318?key={SECRET}")),
        ("ROUNDTABLE_WEBHOOK_URL", format!("ftp://me:{SECRET}@app.example/events")),
        ("ROUNDTABLE_ICE_URLS", format!("turn:me:{SECRET}@relay.example:3478")),
    ] {
        // It looks for the secret in all that the doctor says.
        own(&folder, &[(name, &value)]).only("setting_wrong", name);
        let started = run(&[], &[(name, &value)]);
        let said = text(&started.stdout) + &text(&started.stderr);
        assert!(!started.status.success() && said.contains(name) && !said.contains(SECRET), "{said}");
    }
}

#[test]
fn settings_that_a_server_does_not_start_with() {
    let folder = Folder::new();
    own(&folder, &[("TZ", "Asia/Beijing")]).only("unknown_zone", "TZ");
    own(&folder, &[("ROUNDTABLE_PING_INTERVAL", "soon")]).only("setting_wrong", "ROUNDTABLE_PING_INTERVAL");
    own(&folder, &[("ROUNDTABLE_LISTN", "127.0.0.1:0")]).only("setting_wrong", "ROUNDTABLE_LISTN");
    let missing = folder.path("nothing");
    let file = own(&folder, &[("ROUNDTABLE_TURN_SECRET_FILE", &missing)]);
    file.only("file_unreadable", "ROUNDTABLE_TURN_SECRET_FILE");
    let keys = [("ROUNDTABLE_ACCESS", "token"), ("ROUNDTABLE_TOKEN_KEYS_FILE", missing.as_str())];
    own(&folder, &keys).only("file_unreadable", &missing);
    own(&folder, &[("ROUNDTABLE_STATIC_DIR", &missing)]).only("page_missing", &missing);
    // Without a static directory, a web server in front may serve the page.
    let mut bare = program(BINARY, &[("ROUNDTABLE_LISTEN", "127.0.0.1:0"), ("ROUNDTABLE_CONNECTIONS", "100")]);
    bare.args(["doctor", "--json"]).env("ROUNDTABLE_REQUESTS", "10").current_dir(folder.path(""));
    said(&bare.output().unwrap()).unknown("page", "ROUNDTABLE_STATIC_DIR");
    // An address of another machine (RFC 5737).
    own(&folder, &[("ROUNDTABLE_LISTEN", "198.51.100.3:18080")]).only("setting_wrong", "ROUNDTABLE_LISTEN");
}

#[test]
fn another_program_has_the_port() {
    let folder = Folder::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap().to_string();
    // Accepts one connection and closes it.
    let taken = std::thread::spawn(move || drop(other.accept()));
    own(&folder, &[("ROUNDTABLE_LISTEN", &listen)]).only("port_taken", &listen);
    taken.join().unwrap();
}

#[test]
fn fewer_files_than_connections() {
    let folder = Folder::new();
    let page = folder.write("index.html", "");
    let settings = [
        ("ROUNDTABLE_STATIC_DIR", page.trim_end_matches("/index.html")),
        ("ROUNDTABLE_LISTEN", "127.0.0.1:0"),
        ("ROUNDTABLE_REQUESTS", "10"),
    ];
    let limited = |connections: &str| {
        let mut shell = program("/bin/sh", &settings);
        shell.args(["-c", "ulimit -n 2000; exec \"$0\" doctor --json", BINARY]);
        said(&shell.env("ROUNDTABLE_CONNECTIONS", connections).output().unwrap())
    };
    limited("100").all_well();
    limited("5000").only("file_limit_low", "ROUNDTABLE_CONNECTIONS");
}

#[test]
fn people_read_what_is_wrong_and_what_mends_it() {
    let output = run(&["doctor"], &[("TZ", "Asia/Beijing")]);
    let said = text(&output.stdout);
    assert!(said.contains("FOUND unknown_zone: TZ") && said.contains("Fix: Set an IANA name"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    // An invalid URL cannot be checked, and settings of this machine do not apply to another one.
    assert_eq!(run(&["doctor", "ftp://meet.example"], &[]).status.code(), Some(2));
    let closed = format!("http://127.0.0.1:{}", free_port());
    doctor(&[&closed], &[("TZ", "Asia/Beijing")]).only("port_closed", "127.0.0.1");
}
