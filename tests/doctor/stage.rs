//! Environment of a server, with real programs and typical mistakes: nginx, coturn, certificates.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::common::DEADLINE;
use crate::common::program::{BINARY, Running, program, text};

/// Shared secret of the TURN servers.
pub const SECRET: &str = "not-to-be-shown-to-anybody-at-all";

/// Output of one run of the doctor.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub findings: Vec<(String, String)>,
    pub json: Value,
    pub text: String,
}

impl Said {
    /// Asserts that all checks ran without a finding.
    pub fn all_well(&self) {
        assert!(self.code == 0 && self.findings.is_empty(), "{self:#?}");
    }

    /// Asserts that this finding is the only one.
    pub fn only(&self, name: &str, about: &str) {
        let names: Vec<&str> = self.findings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((self.code, names), (1, vec![name]), "{self:#?}");
        assert!(self.findings[0].1.contains(about), "{self:#?}");
    }

    /// Asserts that there is no finding, and that this check could not run for a reason that contains these words.
    pub fn unknown(&self, look: &str, words: &str) {
        let missed = self.json["not_looked_at"].as_array().unwrap();
        let found =
            missed.iter().any(|missed| missed["look"] == look && missed["said"].as_str().unwrap().contains(words));
        assert!(self.code == 2 && self.findings.is_empty() && found, "{self:#?}");
    }

    /// Returns the details of all findings.
    pub fn detail(&self) -> String {
        let findings = self.json["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["detail"].as_str().unwrap()).collect()
    }

    pub fn looked_at(&self, look: &str) -> bool {
        self.json["looked_at"].as_array().unwrap().iter().any(|done| done["look"] == look)
    }
}

/// Runs the doctor with JSON output.
pub fn doctor(args: &[&str], settings: &[(&str, &str)]) -> Said {
    said(&program(BINARY, settings).arg("doctor").arg("--json").args(args).output().unwrap())
}

pub fn said(output: &Output) -> Said {
    let all = text(&output.stdout);
    let json: Value = serde_json::from_str(&all).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let field = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = json["findings"].as_array().unwrap().iter();
    let findings = findings.map(|finding| (field(finding, "name"), field(finding, "about"))).collect();
    assert!(!all.contains(SECRET) && !text(&output.stderr).contains(SECRET), "{output:?}");
    Said { code: output.status.code().unwrap(), findings, json, text: all }
}

/// Starts a server with a page.
pub fn server(folder: &Folder, settings: &[(&str, &str)]) -> Running {
    let page = folder.page();
    Running::start(&[settings, &[("ROUNDTABLE_STATIC_DIR", &page)]].concat())
}

/// Checks this machine with a configuration that is right except for these settings.
pub fn own(folder: &Folder, settings: &[(&str, &str)]) -> Said {
    let page = folder.page();
    let well = [
        ("ROUNDTABLE_STATIC_DIR", page.as_str()),
        ("ROUNDTABLE_LISTEN", "127.0.0.1:0"),
        ("ROUNDTABLE_CONNECTIONS", "100"),
        ("ROUNDTABLE_REQUESTS", "10"),
    ];
    let set = |name: &str| settings.iter().any(|(known, _)| *known == name);
    let rest: Vec<_> = well.into_iter().filter(|(name, _)| !set(name)).collect();
    doctor(&[], &[settings, &rest].concat())
}

/// Temporary directory, removed on drop.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("roundtable-doctor-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Creates a page in the directory.
    pub fn page(&self) -> String {
        fs::create_dir_all(self.path("r")).unwrap();
        for name in ["index.html", "r/index.html"] {
            self.write(name, "<title>Roundtable</title>");
        }
        self.0.to_str().unwrap().to_owned()
    }

    fn openssl(&self, line: &str) {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    }

    /// Creates a certificate authority: `ca.crt`.
    pub fn authority(&self) -> String {
        let config = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\npolicy = any\ndefault_md = sha256\n\
                      new_certs_dir = .\nrand_serial = yes\nunique_subject = no\n[any]\ncommonName = optional\n";
        self.write("ca.cnf", config);
        self.write("index.txt", "");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        self.openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -subj /CN=ours -days 3"));
        self.openssl(&format!("req {key} -keyout key -out request -subj /CN=server"));
        self.path("ca.crt")
    }

    /// Creates a self-signed certificate for localhost with the common key, as `openssl req -x509` does.
    pub fn self_signed(&self, file: &str) -> String {
        self.openssl(&format!(
            "req -x509 -key key -out {file} -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        ));
        self.path(file)
    }

    /// Creates a certificate for localhost with an RSA key of its own: `rsa.crt`, `rsa.key`.
    pub fn rsa(&self) -> String {
        self.openssl("req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.crt -subj /CN=localhost");
        self.path("rsa.crt")
    }

    /// Creates a certificate signed by the authority, with these names and validity.
    pub fn certificate(&self, file: &str, names: &str, days: [&str; 2]) -> String {
        self.write("names", &format!("subjectAltName={names}"));
        let [start, end] = days.map(|day| format!("{day}000000Z"));
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key -in request -out {file} \
             -startdate {start} -enddate {end} -extfile names"
        ));
        self.path(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Validity periods: current, past and future.
pub const NOW: [&str; 2] = ["20200101", "20700101"];
pub const ONCE: [&str; 2] = ["20200101", "20200102"];
pub const LATER: [&str; 2] = ["20690101", "20700101"];

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Local port that is bound and refuses connections, so that no other test gets it.
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    /// Returns `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

/// Process that accepts connections, killed on drop.
pub struct Process(Child);

impl Process {
    pub fn start(mut command: Command, listens: SocketAddr) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error} (tests/tools installs it)"));
        let begun = Instant::now();
        while TcpStream::connect(listens).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < DEADLINE, "{name} does not answer: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts nginx with a `server` block on its own port for each text.
pub fn nginx(folder: &Folder, blocks: &[&str]) -> (Process, Vec<u16>) {
    nginx_with(folder, "", blocks)
}

/// Starts nginx with additional common lines, such as an `upstream`.
pub fn nginx_with(folder: &Folder, lines: &str, blocks: &[&str]) -> (Process, Vec<u16>) {
    let ports: Vec<u16> = blocks.iter().map(|_| free_port()).collect();
    let mut conf = format!(
        "pid {0}/pid; error_log {0}/error.log; events {{}}\nhttp {{\naccess_log off;\n{lines}\n",
        folder.path("")
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        conf.push_str(&format!("{kind}_temp_path {};\n", folder.path(kind)));
    }
    for (block, port) in blocks.iter().zip(&ports) {
        let tls = if block.contains("ssl_certificate") { " ssl" } else { "" };
        conf.push_str(&format!("server {{ listen 127.0.0.1:{port}{tls};\n{block}\n}}\n"));
    }
    let path = folder.write("nginx.conf", &format!("{conf}}}\n"));
    let mut command = Command::new("nginx");
    command.args(["-c", &path, "-g", "daemon off; master_process off;"]);
    (Process::start(command, SocketAddr::from(([127, 0, 0, 1], ports[0]))), ports)
}

/// coturn on the loopback network.
pub struct Turn {
    pub port: u16,
    _process: Process,
}

impl Turn {
    /// Starts coturn with `more` options after the correct ones.
    pub fn start(folder: &Folder, more: &[&str]) -> Self {
        let port = free_port();
        // Below the range of ephemeral ports.
        let first = 10_000 + port % 20_000;
        let options = [
            "-n --listening-ip=127.0.0.1 --use-auth-secret --realm=test --allow-loopback-peers --no-cli --no-dtls",
            &format!(
                "--static-auth-secret={SECRET} --listening-port={port} --min-port={first} --max-port={}",
                first + 99
            ),
            &format!("--userdb={0}-db --pidfile={0}-pid --log-file=/dev/null", folder.path(&port.to_string())),
        ];
        let mut command = Command::new("turnserver");
        command.args(options.iter().flat_map(|line| line.split(' '))).args(more);
        if !more.iter().any(|option| option.starts_with("--relay-ip")) {
            command.arg("--relay-ip=127.0.0.1");
        }
        if !more.iter().any(|option| option.starts_with("--cert")) {
            command.arg("--no-tls");
        }
        let turn = Self { port, _process: Process::start(command, SocketAddr::from(([127, 0, 0, 1], port))) };
        turn.answers_udp();
        turn
    }

    /// Sends STUN binding requests (RFC 8489) until there is a response, because coturn listens to TCP first.
    fn answers_udp(&self) {
        let mut request = [0x11; 20];
        request[..8].copy_from_slice(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let begun = Instant::now();
        let asks = || socket.send_to(&request, ("127.0.0.1", self.port)).and_then(|_| socket.recv(&mut [0; 200]));
        while asks().is_err() {
            assert!(begun.elapsed() < DEADLINE, "coturn does not answer over UDP");
        }
    }

    pub fn url(&self, transport: &str) -> String {
        format!("turn:127.0.0.1:{}?transport={transport}", self.port)
    }

    /// Checks this TURN server from this machine.
    pub fn seen(&self, folder: &Folder, secret: &str, transport: &str) -> Said {
        let url = self.url(transport);
        own(folder, &[("ROUNDTABLE_ICE_URLS", &url), ("ROUNDTABLE_TURN_SECRET", secret)])
    }
}
