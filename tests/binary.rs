//! The roundtable binary: settings, logs, signals and exit codes.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::client::Client;
use crate::common::folder::Folder;
use crate::common::program::{BINARY, Running, program, run, text};
use crate::common::tokens::{Keys, later};
use crate::common::{eventually, http, kernel, within};

#[test]
fn whoever_reads_of_a_list_only_what_it_wants_gets_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = program(BINARY, &[]).arg("limits").stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let ended = ended.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));
}

#[test]
fn a_wrong_setting_is_told_and_the_exit_code_is_2() {
    for (args, settings, says) in [
        (
            &[][..],
            &[("ROUNDTABLE_LISTEN", "meet.example:18080")][..],
            &["ROUNDTABLE_LISTEN", "meet.example:18080", "127.0.0.1:18080"][..],
        ),
        (&["health", "--ops-listen", "nowhere"], &[], &["ROUNDTABLE_OPS_LISTEN", "nowhere", "[::]:18080"]),
        (&[], &[("ROUNDTABLE_COMPOSE_LISTEN", "18080")], &["ROUNDTABLE_LISTEN", "docker-compose.yml", "HTTPS_PORT"]),
        (&[], &[("ROUNDTABLE_ROOMS", "\"5\"")], &["ROUNDTABLE_ROOMS", "quotes", "--env-file"]),
        (&[], &[("TZ", "IST-5:30")], &["TZ", "IST-5:30", "Asia/Kolkata"]),
        (&[], &[("ROUNDTABLE_LISTN", "127.0.0.1:0")], &["ROUNDTABLE_LISTN", "ROUNDTABLE_LISTEN"]),
        (&[], &[("TZ", "Asia/Shangai")], &["TZ", "Asia/Shangai", "Asia/Shanghai"]),
        (&["--ping-interval", "20"], &[], &["ROUNDTABLE_PING_INTERVAL", "\"20\"", "20s"]),
        (&["--nonsense"], &[], &["--nonsense"]),
        (&["dance"], &[], &["dance"]),
        (
            &[],
            &[("ROUNDTABLE_TURN_SECRET_FILE", "/nonexistent/file")],
            &["ROUNDTABLE_TURN_SECRET_FILE", "/nonexistent/file"],
        ),
        (&[], &[("ROUNDTABLE_TRUSTED_PROXIES", "nginx")], &["ROUNDTABLE_TRUSTED_PROXIES", "nginx", "10.0.0.0/8"]),
        (&[], &[("ROUNDTABLE_ALLOWED_ORIGINS", "a.example/b")], &["ROUNDTABLE_ALLOWED_ORIGINS", "https://a.example"]),
        (&[], &[("ROUNDTABLE_ADDRESS_JOINS", "-1")], &["ROUNDTABLE_ADDRESS_JOINS", "-1"]),
        (&[], &[("ROUNDTABLE_ADMIN_TOKEN", "short")], &["ROUNDTABLE_ADMIN_TOKEN", "32", "openssl rand -hex 32"]),
        (
            &[],
            &[
                ("ROUNDTABLE_REDIS_URL", "redis://127.0.0.1:1"),
                ("ROUNDTABLE_RESUME_KEY", "the same for all of them, long enough"),
                ("ROUNDTABLE_ROOM_MEMBERS", "500"),
            ],
            &["ROUNDTABLE_ROOM_MEMBERS", "500", "ROUNDTABLE_REDIS_URL", "from 1 to"],
        ),
        (&[], &[("ROUNDTABLE_WEBHOOK_URL", "app.example")], &["ROUNDTABLE_WEBHOOK_URL", "https://app.example/events"]),
        (&[], &[("ROUNDTABLE_WEBHOOK_URL", "http://a.example/")], &["ROUNDTABLE_WEBHOOK_SECRET"]),
        (&[], &[("ROUNDTABLE_TURN_USERNAME", "ada")], &["ROUNDTABLE_ICE_URLS", "ROUNDTABLE_TURN_PASSWORD"]),
        (&[], &[("ROUNDTABLE_ICE_URLS", "turn:t.example")], &["ROUNDTABLE_ICE_URLS", "ROUNDTABLE_TURN_SECRET"]),
    ] {
        let output = run(args, settings);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(output.stdout.is_empty() && told.starts_with("roundtable: "), "{told}");
        assert!(says.iter().all(|word| told.contains(word)), "{says:?} in {told}");
    }
}

#[test]
fn help_lists_every_setting_with_its_variable() {
    let output = run(&["--help"], &[("ROUNDTABLE_TURN_SECRET", "north")]);
    let help = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    // clap wraps long lines.
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in help.lines().filter(|line| line.trim().starts_with("--") && !line.contains("--help")) {
        let flag = line.trim().trim_start_matches("--").split(' ').next().unwrap();
        let variable =
            if flag == "tz" { "TZ".into() } else { format!("ROUNDTABLE_{}", flag.replace('-', "_").to_uppercase()) };
        assert!(words.contains(&format!("[env: {variable}]")), "{variable} in {help}");
    }
    assert!(help.contains("ROUNDTABLE_LISTEN") && !help.contains("north"));
    let version = run(&["--version"], &[]);
    assert_eq!(text(&version.stdout), format!("roundtable {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn log_lines_and_the_api_have_the_offset_of_the_zone() {
    for (zone, offset) in [("Asia/Shanghai", "+08:00"), ("Asia/Kolkata", "+05:30"), ("UTC", "+00:00"), ("", "+00:00")] {
        let mut running = Running::start(&[("TZ", zone)]);
        let api = http::ask(running.address, "GET", "/signal-api/v1/welcome", &[]).await.json();
        let client = running.join("r").await;
        running.signal("TERM");
        drop(client);
        let stopped = running.line("stopped");
        for time in [&stopped["timestamp"], &api["data"]["time"], &first_time(&running)] {
            let time = time.as_str().unwrap();
            assert!(time.ends_with(offset), "{zone}: {time}");
        }
        assert!(running.ended().await.success());
    }
}

/// Returns the time of the first log line.
fn first_time(running: &Running) -> Value {
    serde_json::from_str::<Value>(&running.seen[0]).unwrap()["timestamp"].take()
}

#[test]
fn human_log_lines_are_plain_text_with_the_offset() {
    let mut child = program(
        BINARY,
        &[("ROUNDTABLE_LISTEN", "127.0.0.1:0"), ("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:0"), ("TZ", "Asia/Shanghai")],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let serving = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("serving")));
    child.kill().unwrap();
    child.wait().unwrap();
    let serving = serving.expect("a line").unwrap();
    let time = serving.split(' ').next().unwrap();
    assert!(time.ends_with("+08:00") && time.len() == 29, "{serving}");
    assert!(!serving.contains('\x1b'), "colors in a log file: {serving:?}");
}

#[tokio::test]
async fn a_signal_sends_everyone_away_and_the_exit_code_is_0() {
    for name in ["TERM", "INT"] {
        let mut running = Running::start(&[]);
        let mut ada = running.join("r").await;
        running.signal(name);
        ada.expect("go_away").await;
        assert_eq!(ada.expect_close().await, Some(1012));
        drop(ada);
        assert_eq!(running.ended().await.code(), Some(0), "{name}");
        let log = running.seen.join("\n");
        assert!(log.contains("shutting down") && log.contains("stopped"), "{log}");
    }
}

#[tokio::test]
async fn a_file_that_never_ends_holds_no_end_up() {
    let dir = std::env::temp_dir().join(format!("roundtable-endless-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    assert!(Command::new("mkfifo").arg(dir.join("endless.txt")).status().unwrap().success());
    let mut program = program(BINARY, &[("ROUNDTABLE_DRAIN_TIMEOUT", "1s")]);
    program.arg("--static-dir").arg(&dir);
    let mut running = Running::spawn(program);
    let mut reader = TcpStream::connect(running.address).await.unwrap();
    reader.write_all(b"GET /endless.txt HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    assert_eq!(http::ask(running.address, "GET", "/signal-api/v1/welcome", &[]).await.status, 200);
    running.signal("TERM");
    assert_eq!(running.ended().await.code(), Some(0));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_a_second_signal_ends_it_at_once() {
    let mut running = Running::start(&[("ROUNDTABLE_DRAIN_TIMEOUT", "10m")]);
    // An unfinished request prolongs the drain until its timeout.
    let mut half = TcpStream::connect(running.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET /signal").await.unwrap();
    let ops = running.ops.to_string();
    let health = || run(&["health"], &[("ROUNDTABLE_OPS_LISTEN", &ops)]);
    assert_eq!(health().status.code(), Some(0));
    running.signal("TERM");
    running.line("shutting down");
    let ops_address = running.ops;
    let readiness = async || http::ask(ops_address, "GET", "/readyz", &[]).await.status;
    eventually("the server to become unready", async || readiness().await == 503).await;
    let refused = health();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("503"), "{}", text(&refused.stderr));
    running.signal("TERM");
    assert_eq!(running.ended().await.code(), Some(1));
    assert!(running.seen.iter().any(|line| line.contains("second signal")), "{:?}", running.seen);
}

#[test]
fn health_is_1_where_no_server_is() {
    // A bound socket that never accepts: the connection is established, but no response follows.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let output = run(&["health"], &[("ROUNDTABLE_OPS_LISTEN", &address.to_string())]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(&address.to_string()), "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn by_default_it_listens_on_ipv6_and_ipv4() {
    // The default address with port 0.
    let mut running = Running::start(&[("ROUNDTABLE_LISTEN", "0"), ("ROUNDTABLE_OPS_LISTEN", ":0")]);
    for (port, path) in [(running.address.port(), "/signal-api/v1/welcome"), (running.ops.port(), "/readyz")] {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            assert_eq!(http::ask((ip, port).into(), "GET", path, &[]).await.status, 200, "{ip}");
        }
    }
    // IPv4 addresses are shown and compared as IPv4: 127.0.0.1 matches a trusted proxy, unlike ::ffff:127.0.0.1.
    let port = running.address.port();
    drop(running);
    running = Running::start(&[("ROUNDTABLE_LISTEN", &port.to_string()), ("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1")]);
    let forwarded = [("X-Forwarded-For", "198.51.100.7"), ("Origin", "https://elsewhere.example")];
    http::ask((Ipv4Addr::LOCALHOST, port).into(), "POST", "/signal-api/v1/check", &forwarded).await;
    let mut ada = Client::connect((Ipv4Addr::LOCALHOST, port).into(), "r").await.unwrap();
    ada.join("Ada").await;
    http::ask((Ipv4Addr::LOCALHOST, port).into(), "GET", "/signal-api/v1/rooms/r", &forwarded).await;
    assert_eq!(running.line("names its clients")["address"], "127.0.0.1");
}

#[tokio::test]
async fn on_a_machine_without_ipv6_it_listens_on_ipv4() {
    for listen in ["0", "localhost:0"] {
        let mut program = program(BINARY, &[("ROUNDTABLE_LISTEN", listen), ("ROUNDTABLE_OPS_LISTEN", listen)]);
        kernel::without_ipv6(&mut program);
        let running = Running::spawn(program);
        assert!(running.address.is_ipv4() && running.ops.is_ipv4(), "{}", running.address);
        let port = running.address.port();
        let answer = http::ask((Ipv4Addr::LOCALHOST, port).into(), "GET", "/signal-api/v1/welcome", &[]).await;
        assert_eq!(answer.status, 200);
        let listen = running.ops.port().to_string();
        assert_eq!(run(&["health"], &[("ROUNDTABLE_OPS_LISTEN", &listen)]).status.code(), Some(0));
    }
}

#[tokio::test]
async fn localhost_is_both_loopbacks_and_nothing_else() {
    let running = Running::start(&[("ROUNDTABLE_LISTEN", "localhost:0")]);
    let port = running.address.port();
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        assert_eq!(http::ask((ip, port).into(), "GET", "/signal-api/v1/welcome", &[]).await.status, 200, "{ip}");
    }
    assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).await.is_err());
}

#[test]
fn health_asks_where_its_own_flag_says() {
    let running = Running::start(&[]);
    let (ops, elsewhere) = (running.ops.to_string(), ("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:1"));
    for args in [["health", "--ops-listen", &ops], ["--ops-listen", &ops, "health"]] {
        let output = run(&args, &[elsewhere]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(run(&["health"], &[elsewhere]).status.code(), Some(1));
    // `health` reads no secrets and creates no files.
    let missing = ("ROUNDTABLE_ADMIN_TOKEN_FILE", "/nonexistent");
    assert_eq!(run(&["health"], &[("ROUNDTABLE_OPS_LISTEN", &ops), missing]).status.code(), Some(0));
}

#[tokio::test]
async fn a_key_that_cannot_be_kept_is_logged_once_in_the_format_of_the_log() {
    let mut command = program(BINARY, &[("ROUNDTABLE_RESUME_KEY_FILE", "/proc/no/key")]);
    command.stderr(Stdio::piped());
    let mut running = Running::spawn(command);
    running.signal("TERM");
    assert!(running.ended().await.success());
    // `Running` has parsed each line as JSON.
    let told: Vec<_> = running.seen.iter().filter(|line| line.contains("no key is kept")).collect();
    assert_eq!(told.len(), 1, "{:?}", running.seen);
    assert!(told[0].contains("/proc/no/key") && told[0].contains("\"WARN\""), "{told:?}");
    let mut stderr = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

#[tokio::test]
async fn servers_that_start_at_once_agree_on_a_key_also_without_hard_links() {
    for has_links in [true, false] {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        let file = format!("{}/resume.key", folder.path());
        let servers: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                let mut program = program(BINARY, &[("ROUNDTABLE_RESUME_KEY_FILE", &file)]);
                if !has_links {
                    kernel::without_links(&mut program);
                }
                Running::spawn(program)
            };
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(std::fs::read_to_string(&file).unwrap().len(), 44);
        let ada = servers[0].join("r").await;
        for server in &servers[1..] {
            let mut again = Client::connect(server.address, "r").await.unwrap();
            again.join_with(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
            assert_eq!((again.id(), &again.welcome["resumed"]), (ada.id(), &json!(true)), "links: {has_links}");
        }
        // No temporary file remains.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for name in ["ROUNDTABLE_LISTEN", "ROUNDTABLE_OPS_LISTEN"] {
        let other = if name == "ROUNDTABLE_LISTEN" { "ROUNDTABLE_OPS_LISTEN" } else { "ROUNDTABLE_LISTEN" };
        let output = run(&[], &[(name, &address), (other, "127.0.0.1:0")]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(name) && told.contains(&address) && told.contains("in use"), "{told}");
    }
}

#[tokio::test]
async fn no_log_tells_what_people_say_or_a_secret() {
    let mut running = Running::start(&[
        ("ROUNDTABLE_LOG", "trace"),
        ("ROUNDTABLE_TURN_SECRET", "turn-north-of-the-relay-and-longer"),
        ("ROUNDTABLE_ICE_URLS", "turn:t.example:3478"),
        ("ROUNDTABLE_RESUME_KEY", "resume-south-of-the-server-and-longer"),
        ("ROUNDTABLE_ADMIN_TOKEN", "admin-token-of-the-east-and-longer"),
        // A failed delivery is logged.
        ("ROUNDTABLE_WEBHOOK_URL", "http://127.0.0.1:1/hook-west"),
        ("ROUNDTABLE_WEBHOOK_SECRET", "hook-secret-of-the-west-and-longer"),
    ]);
    for token in ["admin-token-of-the-east-and-longer", "guess-at-a-token"] {
        let authorization = format!("Bearer {token}");
        let asked = [("Authorization", &*authorization)];
        http::ask(running.address, "GET", "/signal-api/v1/admin/rooms/private-room", &asked).await;
    }
    let mut ada = running.join("private-room").await;
    let bob = running.join("private-room").await;
    ada.expect("peer_joined").await;
    running.line("an event was not taken");
    let sdp = "v=0\r\na=ice-pwd:very-private\r\n";
    ada.send(json!({"type": "signal", "to": bob.id(), "data": {"sdp": sdp}})).await;
    ada.send(json!({"type": "broadcast", "data": "very-private"})).await;
    ada.send(json!({"type": "state", "state": {"status": "very-private"}})).await;
    ada.expect("state").await;
    for bad in [r#"{"type":"signal","to":5,"data":"very-private"}"#, "very-private", r#"{"type":"very-private"}"#] {
        ada.send_text(bad).await;
        ada.expect("error").await;
    }
    let secrets = [&ada.welcome["resume"], &bob.welcome["resume"], &ada.welcome["ice_servers"][0]["credential"]];
    let mut secrets: Vec<String> = secrets.iter().map(|secret| secret.as_str().unwrap().to_owned()).collect();
    secrets.extend(
        [
            "admin-token",
            "guess-at",
            "hook-west",
            "hook-secret",
            "turn-north",
            "resume-south",
            "very-private",
            "private-room",
        ]
        .map(str::to_owned),
    );
    // A protocol violation is logged at this level.
    let mut broken = TcpStream::connect(running.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut broken, b"very-private\r\n\r\n").await.unwrap();
    let _ = within("the response", broken.read_to_end(&mut Vec::new())).await;
    ada.close().await;
    bob.close().await;
    running.signal("TERM");
    assert!(running.ended().await.success());
    let log = running.seen.join("\n");
    assert!(log.contains("a connection ended badly"), "debug lines are missing: {log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn sighup_reads_the_keys_of_tokens_again_and_nothing_else() {
    let keys = Keys::new();
    let mut running = Running::start(&keys.settings("token"));
    let token = keys.token(json!({"room": "private-room", "exp": later(600.0)}));
    let mut ada = Client::connect(running.address, "private-room").await.unwrap();
    ada.join_with(json!({"type": "join", "name": "Ada", "token": token})).await;
    ada.expect("token_expiring").await;
    running.signal("HUP");
    running.line("keys of tokens were read again");
    ada.expect_nothing().await;
    keys.write_text("not a set of keys");
    running.line("keys of tokens stay as they were");
    ada.expect_nothing().await;
    keys.write(&["b"], &[]);
    running.line("keys of tokens were read again");
    ada.expect_error("token_revoked").await;
    assert_eq!(ada.expect_close().await, Some(4010));
    running.signal("TERM");
    assert!(running.ended().await.success());
    let log = running.seen.join("\n");
    assert!(!log.contains(&token) && !log.contains("private-room") && !log.contains("not a set"), "{log}");
}

#[tokio::test]
async fn it_survives_the_end_of_its_file_descriptors() {
    let mut shell = program("sh", &[]);
    shell.args(["-c", "ulimit -n 64; exec \"$0\"", BINARY]);
    let mut running = Running::spawn(shell);
    let mut ada = running.join("r").await;
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(TcpStream::connect(running.address).await.unwrap());
    }
    assert_eq!(running.line("cannot accept")["level"], "ERROR");
    // Existing members are not affected.
    ada.expect_nothing().await;
    drop(many);
    let mut bob = running.join("r").await;
    ada.expect("peer_joined").await;
    bob.expect_nothing().await;
    running.signal("TERM");
    drop((ada, bob));
    assert!(running.ended().await.success());
    let told = running.seen.iter().filter(|line| line.contains("cannot accept")).count();
    assert!(told <= 5, "logged {told} times: once per connection instead of once per period");
}

#[tokio::test]
async fn what_goes_to_standard_error_is_nothing() {
    let mut command = program(BINARY, &[("ROUNDTABLE_LOG", "trace")]);
    command.stderr(Stdio::piped());
    let mut running = Running::spawn(command);
    running.join("r").await.close().await;
    running.signal("TERM");
    assert!(running.ended().await.success());
    let mut told = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}
