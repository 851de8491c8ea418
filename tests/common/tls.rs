//! TLS endpoint whose certificate can be renewed at run time, like a proxy in front of the server.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::folder::Folder;

pub struct TlsEndpoint {
    pub address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    accepting: JoinHandle<()>,
}

impl TlsEndpoint {
    /// Starts with a self-signed certificate that is valid for `days`.
    pub async fn start(days: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(Mutex::new(certified(days)));
        let current = Arc::clone(&config);
        let accepting = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&current.lock().unwrap()));
                tokio::spawn(async move { drop(acceptor.accept(tcp).await) });
            }
        });
        Self { address, config, accepting }
    }

    /// Presents a new certificate to future connections.
    pub fn renew(&self, days: u32) {
        *self.config.lock().unwrap() = certified(days);
    }

    /// Refuses future connections.
    pub fn stop(&self) {
        self.accepting.abort();
    }
}

fn certified(days: u32) -> Arc<ServerConfig> {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let line = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {days} -subj /CN=localhost -keyout key -out crt"
    );
    let output = Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = CertificateDer::from_pem_file(folder.file("crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.file("key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap())
}
