//! Connections as a browser makes them: DNS, TCP, TLS, and one HTTP request. Each step has a timeout and reports its
//! own finding.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use chrono::DateTime;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::findings::Finding;
use super::report::Found;

/// Timeout of one step.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// Timeout of each address of a name, and maximum number of addresses to try.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(4);
const ADDRESSES: usize = 4;
/// Maximum bytes of a response body.
const BODY_BYTES: usize = 1024 * 1024;

/// Connection with or without TLS.
pub(super) type Stream = Box<dyn Io>;

/// Common trait of both.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Trusted certificate authorities.
#[derive(Clone)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    /// Certificates of the file.
    own: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// Loads the authorities that browsers trust, and those in the file. The error is a sentence.
    pub(super) fn new(more: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mut own = Vec::new();
        if let Some(path) = more {
            let wrong = |why: String| format!("--ca-file: {}: {why}", path.display());
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            own = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
            if roots.add_parsable_certificates(own.iter().cloned()).0 == 0 {
                return Err(wrong("no certificate (PEM) is in it".into()));
            }
        }
        Ok(Self { roots: Arc::new(roots), own: own.into() })
    }
}

/// Connects to the first address of a name that accepts.
pub(super) async fn connect(host: &str, port: u16) -> Result<(TcpStream, SocketAddr), Found> {
    let mut failure = String::from("it has no address");
    for address in resolve(host, port).await? {
        match timeout(ADDRESS_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => failure = format!("{address}: {error}"),
            Err(_) => failure = format!("{address}: no answer within {ADDRESS_PATIENCE:?}; a firewall may drop it"),
        }
    }
    let about = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Err(Found::new(Finding::PortClosed, about, failure))
}

/// Resolves a name.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Found> {
    let found = |why: String| Found::new(Finding::NameNotFound, host, why);
    let addresses = timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let addresses = addresses.map_err(|_| found("DNS does not answer".into()))?;
    Ok(addresses.map_err(|error| found(error.to_string()))?.take(ADDRESSES).collect())
}

/// Starts TLS over a connection. Returns what is wrong with the certificate, if anything; the connection is usable
/// nevertheless, so that the other checks can run.
pub(super) async fn secure(
    tcp: TcpStream,
    host: &str,
    trust: &Trust,
    about: &str,
) -> Result<(Stream, Option<Found>), Found> {
    let no_tls = |why: String| Found::new(Finding::NoTls, about, why);
    let provider = Arc::new(ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.roots), Arc::clone(&provider)).build();
    let inner = inner.map_err(|error| no_tls(error.to_string()))?;
    let verifier = Arc::new(Verdict {
        inner,
        own: Arc::clone(&trust.own),
        provider: Arc::clone(&provider),
        verdict: Mutex::default(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| no_tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| no_tls(error.to_string()))?;
    let shake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let stream = match timeout(PATIENCE, shake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Found::new(of_handshake(&error), about, error.to_string())),
        Err(_) => return Err(no_tls(format!("no answer within {PATIENCE:?}"))),
    };
    let verdict = verifier.verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
    let found = verdict.map(|error| {
        let (finding, why) = of_certificate(&error);
        Found::new(finding, about, why)
    });
    Ok((Box::new(stream), found))
}

/// Distinguishes a peer that speaks TLS and fails from one that speaks another protocol. A server whose certificate and
/// key do not match either sends an alert or signs with the wrong key.
fn of_handshake(error: &std::io::Error) -> Finding {
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(_) | Error::InvalidCertificate(_) | Error::PeerIncompatible(_)) => {
            Finding::TlsHandshakeFailed
        }
        _ => Finding::NoTls,
    }
}

fn of_certificate(error: &Error) -> (Finding, String) {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext};
    use CertificateError::{NotValidYet, NotValidYetContext, UnknownIssuer};
    let day = |time: &UnixTime| {
        let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        time.map_or_else(|| "?".to_owned(), |time| time.format("%F %T UTC").to_string())
    };
    let Error::InvalidCertificate(error) = error else { return (Finding::CertificateUntrusted, error.to_string()) };
    let (finding, why) = match error {
        NotValidForNameContext { presented, .. } => (Finding::CertificateName, format!("it is for {presented:?}")),
        NotValidForName => (Finding::CertificateName, error.to_string()),
        ExpiredContext { not_after, .. } => (Finding::CertificateExpired, format!("it ended on {}", day(not_after))),
        NotValidYetContext { not_before, .. } => {
            (Finding::CertificateExpired, format!("it begins on {}", day(not_before)))
        }
        Expired | NotValidYet => (Finding::CertificateExpired, error.to_string()),
        UnknownIssuer => (Finding::CertificateUntrusted, "its issuer is unknown".into()),
        error if is_its_own_issuer(error) => (Finding::CertificateUntrusted, "it has signed itself".into()),
        error => (Finding::CertificateUntrusted, error.to_string()),
    };
    (finding, why)
}

/// Returns whether the certificate is an authority's own, as `openssl req -x509` makes it. Everything except its name
/// has been verified.
fn is_its_own_issuer(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(OtherError(why)) if why.to_string() == "CaUsedAsEndEntity")
}

/// Certificate verifier that records errors and continues: this program only observes, and sends no secrets over such a
/// connection.
#[derive(Debug)]
struct Verdict {
    inner: Arc<WebPkiServerVerifier>,
    own: Arc<[CertificateDer<'static>]>,
    provider: Arc<CryptoProvider>,
    verdict: Mutex<Option<Error>>,
}

impl ServerCertVerifier for Verdict {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let verified = match verified {
            // Browsers accept such a certificate if it was installed explicitly.
            Err(Error::InvalidCertificate(error)) if is_its_own_issuer(&error) && self.own.contains(end_entity) => {
                ParsedCertificate::try_from(end_entity).and_then(|parsed| verify_server_name(&parsed, server_name))
            }
            verified => verified.map(drop),
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verified.err();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The parts of a response that the checks use.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Target of a redirect.
    pub(super) location: Option<String>,
    /// `Server` header of the web server in front of Roundtable, which sends none itself.
    pub(super) proxy: Option<String>,
    pub(super) body: String,
}

impl Answer {
    /// Returns the envelope's `code` and `data` (R33), or `None` if the body is no envelope.
    pub(super) fn envelope(&self) -> Option<(String, serde_json::Value)> {
        let value: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        Some((value["code"].as_str()?.to_owned(), value["data"].clone()))
    }
}

/// Sends one request over a new connection. The error is a sentence.
pub(super) async fn ask(stream: Stream, method: &str, path: &str, headers: HeaderMap) -> Result<Answer, String> {
    let asked = async {
        let shake = hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shake.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).map_err(|e| e.to_string())?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION).filter(|_| status.is_redirection());
        let location = location.and_then(|location| Some(location.to_str().ok()?.to_owned()));
        let proxy = response.headers().get(header::SERVER).and_then(|name| Some(name.to_str().ok()?.to_owned()));
        // A longer body than any of the server's is foreign, and its status is sufficient.
        let body = to_bytes(Body::new(response.into_body()), BODY_BYTES).await.unwrap_or_default();
        connection.abort();
        Ok(Answer { status, location, proxy, body: String::from_utf8_lossy(&body).into_owned() })
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}
