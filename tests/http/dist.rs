//! Directory of a built frontend, and requests for it.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::TestServer;
use crate::common::http::{Answer, ask};

/// "landing" and "script", compressed with brotli.
pub const LANDING_BR: &[u8] = b"\x1b\x06\x00\xf8\x25\x00\xa2\x90\x80\x05";
pub const SCRIPT_BR: &[u8] = b"\x8b\x02\x80script\x03";

pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Directory of a built frontend, removed on drop.
pub struct Dist(pub PathBuf);

impl Dist {
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("roundtable-http-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(dir.join("dist")).unwrap();
        std::fs::write(dir.join("secret.txt"), "outside").unwrap();
        Self(dir)
    }

    pub fn built() -> Self {
        let dist = Self::empty();
        dist.write("index.html", "landing");
        dist.write("index.html.br", LANDING_BR);
        dist.write("index.html.gz", gzip("landing"));
        dist.write("r/index.html", "room");
        dist.write("favicon.svg", "<svg/>");
        dist.write("assets/app-1a2b.js", "script");
        dist.write("assets/app-1a2b.js.br", SCRIPT_BR);
        dist.write("assets/app-1a2b.js.gz", gzip("script"));
        dist.write("assets/tone-3c4d.wasm", "\0asm");
        dist
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("dist")
    }

    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub async fn serve(&self) -> TestServer {
        TestServer::start(&[("ROUNDTABLE_STATIC_DIR", self.path().to_str().unwrap())]).await
    }
}

impl Drop for Dist {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub async fn get(server: &TestServer, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server.address, "GET", target, headers).await
}
