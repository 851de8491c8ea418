//! nginx process with the image's configuration, rendered by the image's start scripts. Differences: paths, fewer
//! connections, and no TLS, which is not under test here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::eventually;

/// `worker_connections` of its only process. Tests that attack nginx need more.
pub const CONNECTIONS: usize = 4_096;

pub struct Front {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Child,
}

impl Front {
    /// Starts nginx. Addresses in `proxies` are trusted to name the client.
    pub async fn start(places: [SocketAddr; 2], upstreams: &[SocketAddr], proxies: &str) -> Self {
        Self::start_with(places, upstreams, &[("ROUNDTABLE_TRUSTED_PROXIES", proxies)]).await
    }

    /// Starts nginx with these settings of its start scripts.
    pub async fn start_with(
        [address, plain]: [SocketAddr; 2],
        upstreams: &[SocketAddr],
        settings: &[(&str, &str)],
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("roundtable-front-{}", address.port()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("nginx")).unwrap();
        configure([address, plain], upstreams, settings, &folder);
        let front = Self { address, process: spawn(&folder), folder };
        front.answers().await;
        front
    }

    /// Restarts nginx. All connections through it are reset.
    pub async fn restart(&mut self) {
        self.stop();
        self.process = spawn(&self.folder);
        self.answers().await;
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    async fn answers(&self) {
        eventually("nginx", async || TcpStream::connect(self.address).await.is_ok()).await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a single process, so that killing it leaves no worker behind.
fn spawn(folder: &Path) -> Child {
    for socket in ["http.sock", "https.sock"] {
        // The start script removes stale sockets after a kill, too.
        let _ = fs::remove_file(folder.join("nginx").join(socket));
    }
    let mut program = Command::new("nginx");
    // Debian packages the stream module separately; the image has it built in.
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = if module.exists() { format!("load_module {};", module.display()) } else { String::new() };
    program.arg("-c").arg(folder.join("nginx.conf"));
    program.args(["-g", &format!("daemon off; master_process off; {load}")]);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    program.spawn().expect("nginx is missing: tests/tools installs it")
}

fn configure([address, plain]: [SocketAddr; 2], upstreams: &[SocketAddr], settings: &[(&str, &str)], folder: &Path) {
    let list: Vec<_> = upstreams.iter().map(ToString::to_string).collect();
    let mut script = Command::new("sh");
    let start = "sh nginx/start/13-proxies.sh; . ./nginx/start/14-upstreams.envsh; . ./nginx/start/16-connections.envsh; \
                 printf '%s %s %s %s' \"$ROUNDTABLE_UPSTREAM\" \"$ROUNDTABLE_ADDRESS_SLOTS\" \
                 \"$ROUNDTABLE_ADDRESS_SLOTS_56\" \"$ROUNDTABLE_ADDRESS_SLOTS_48\"";
    script.args(["-ec", start]).envs(settings.iter().copied());
    script.env("ROUNDTABLE_UPSTREAMS", list.join(",")).env("ROUNDTABLE_RESOLVERS", "127.0.0.53");
    script.env("NGINX_ENVSUBST_OUTPUT_DIR", folder.join("nginx"));
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let mut values = output.split(' ');
    let mut next = || values.next().unwrap();
    let (upstream, slots, slots_56, slots_48) = (next(), next(), next(), next());

    let template = fs::read_to_string("nginx/templates/roundtable.conf.template").unwrap();
    let template = template
        .replace("${ROUNDTABLE_UPSTREAM}", upstream)
        .replace("${ROUNDTABLE_RESOLVERS}", "127.0.0.53")
        .replace("${ROUNDTABLE_CONNECT_SOURCES}", "")
        .replace("${ROUNDTABLE_FRAME_SOURCES}", "")
        .replace("${ROUNDTABLE_FRAME_ALLOWLIST}", "")
        .replace("${ROUNDTABLE_HSTS}", "")
        .replace("${HTTPS_PORT}", &address.port().to_string())
        .replace("https.sock ssl", "https.sock");
    let front = fs::read_to_string("nginx/templates/front.stream.template").unwrap();
    let front = front
        .replace("${ROUNDTABLE_ADDRESS_SLOTS}", slots)
        .replace("${ROUNDTABLE_ADDRESS_SLOTS_56}", slots_56)
        .replace("${ROUNDTABLE_ADDRESS_SLOTS_48}", slots_48)
        .replace("listen 19003 ", &format!("listen {address} "))
        .replace("listen 19080 ", &format!("listen {plain} "));
    let conf = fs::read_to_string("nginx/nginx.conf").unwrap();
    let conf = conf.replace("worker_connections 32768;", &format!("worker_connections {CONNECTIONS};"));

    // One listener per address is enough, and the test has reserved no IPv6 ports.
    let kept = |line: &&str| !line.trim_start().starts_with("ssl_") && !line.contains("listen [::]:");
    let own = format!("{}/", folder.display());
    for (name, text) in [("nginx/roundtable.conf", template), ("nginx/front.stream", front), ("nginx.conf", conf)] {
        let text = text.replace("/tmp/", &own);
        let text = text.replace("/dev/stdout", &format!("{own}access.log"));
        let text = text.replace("/dev/stderr", &format!("{own}error.log"));
        let lines: Vec<_> = text.lines().filter(kept).collect();
        fs::write(folder.join(name), lines.join("\n")).unwrap();
    }
}
