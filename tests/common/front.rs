//! A real nginx with the configuration of the image, filled by its own start scripts. Only the places of its files are
//! others, and TLS is left out, which is not what is tried here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::net::TcpStream;

use super::eventually;

pub struct Front {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Child,
}

impl Front {
    /// `proxies` are trusted to say who asks.
    pub async fn start([address, plain]: [SocketAddr; 2], upstreams: &[SocketAddr], proxies: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("roundtable-front-{}", address.port()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("nginx")).unwrap();
        configure([address, plain], upstreams, proxies, &folder);
        let front = Self { address, process: spawn(&folder), folder };
        front.answers().await;
        front
    }

    /// All connections through it are reset, and others come by it at once.
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

/// One process, so that killing it kills all of it.
fn spawn(folder: &Path) -> Child {
    let mut program = Command::new("nginx");
    program.arg("-c").arg(folder.join("nginx.conf")).args(["-g", "daemon off; master_process off;"]);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    program.spawn().expect("nginx is missing: tests/tools installs it")
}

fn configure([address, plain]: [SocketAddr; 2], upstreams: &[SocketAddr], proxies: &str, folder: &Path) {
    let list: Vec<_> = upstreams.iter().map(ToString::to_string).collect();
    let mut script = Command::new("sh");
    let start = "sh nginx/start/13-proxies.sh; . ./nginx/start/14-upstreams.envsh; printf %s \"$ROUNDTABLE_UPSTREAM\"";
    script.args(["-ec", start]).env("ROUNDTABLE_TRUSTED_PROXIES", proxies);
    script.env("ROUNDTABLE_UPSTREAMS", list.join(",")).env("ROUNDTABLE_RESOLVERS", "127.0.0.53");
    script.env("NGINX_ENVSUBST_OUTPUT_DIR", folder.join("nginx"));
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let upstream = String::from_utf8(output.stdout).unwrap();

    let template = fs::read_to_string("nginx/templates/roundtable.conf.template").unwrap();
    let template = template
        .replace("${ROUNDTABLE_UPSTREAM}", &upstream)
        .replace("${ROUNDTABLE_RESOLVERS}", "127.0.0.53")
        .replace("${HTTPS_PORT}", &address.port().to_string())
        .replace("listen 19003 ssl;", &format!("listen {address};"))
        .replace("listen 19080;", &format!("listen {plain};"));
    let tls = |line: &&str| !line.trim_start().starts_with("ssl_");
    let template: Vec<_> = template.lines().filter(tls).collect();
    fs::write(folder.join("nginx/roundtable.conf"), template.join("\n")).unwrap();

    let conf = fs::read_to_string("nginx/nginx.conf").unwrap();
    let own = format!("{}/", folder.display());
    let conf = conf.replace("/tmp/", &own).replace("/dev/stdout", &format!("{own}access.log"));
    fs::write(folder.join("nginx.conf"), conf.replace("/dev/stderr", &format!("{own}error.log"))).unwrap();
}
