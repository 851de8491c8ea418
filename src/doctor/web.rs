//! Connections as a browser makes them: DNS, TCP, TLS, and one HTTP request. Each step takes a bounded time, and says
//! by which finding it failed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::findings::Finding;
use super::report::Found;

/// How long one step may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// How long each address of a name may take, and how many are tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(4);
const ADDRESSES: usize = 4;
/// What is read of an answer.
const BODY_BYTES: usize = 64 * 1024;

/// A connection, with TLS or without.
pub(super) type Stream = Box<dyn Io>;

/// What both have.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Whose certificates are believed.
#[derive(Clone)]
pub(super) struct Trust(Arc<RootCertStore>);

impl Trust {
    /// Those whom browsers believe, and those in the file. The error is a sentence.
    pub(super) fn new(more: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = more {
            let wrong = |why: String| format!("--ca-file: {}: {why}", path.display());
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            let certificates: Vec<_> =
                certificates.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(wrong("no certificate (PEM) is in it".into()));
            }
        }
        Ok(Self(Arc::new(roots)))
    }
}

/// The first address of a name at which there is a connection.
pub(super) async fn connect(host: &str, port: u16) -> Result<(TcpStream, SocketAddr), Found> {
    let mut failure = String::from("it has no address");
    for address in resolve(host, port).await? {
        match timeout(ADDRESS_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => failure = format!("{address}: {error}"),
            Err(_) => failure = format!("{address}: no answer within {ADDRESS_PATIENCE:?}; a firewall may drop it"),
        }
    }
    Err(Found::new(Finding::PortClosed, format!("{host}:{port}"), failure))
}

/// The addresses of a name.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Found> {
    let found = |why: String| Found::new(Finding::NameNotFound, host, why);
    let addresses = timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let addresses = addresses.map_err(|_| found("DNS does not answer".into()))?;
    Ok(addresses.map_err(|error| found(error.to_string()))?.take(ADDRESSES).collect())
}

/// TLS over a connection, and what is wrong with the certificate, if anything: the connection stands all the same, so
/// that the rest can be looked at.
pub(super) async fn secure(
    tcp: TcpStream,
    host: &str,
    trust: &Trust,
    about: &str,
) -> Result<(Stream, Option<Found>), Found> {
    let no_tls = |why: String| Found::new(Finding::NoTls, about, why);
    let provider = Arc::new(ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.0), Arc::clone(&provider)).build();
    let inner = inner.map_err(|error| no_tls(error.to_string()))?;
    let verifier = Arc::new(Verdict { inner, provider: Arc::clone(&provider), verdict: Mutex::default() });
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
        Ok(Err(error)) => return Err(no_tls(error.to_string())),
        Err(_) => return Err(no_tls(format!("no answer within {PATIENCE:?}"))),
    };
    let verdict = verifier.verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
    let found = verdict.map(|error| Found::new(of_certificate(&error), about, error.to_string()));
    Ok((Box::new(stream), found))
}

fn of_certificate(error: &Error) -> Finding {
    use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext};
    use CertificateError::{NotValidYet, NotValidYetContext};
    match error {
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => Finding::CertificateName,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => {
            Finding::CertificateExpired
        }
        _ => Finding::CertificateUntrusted,
    }
}

/// Notes what is wrong with a certificate, and goes on: this program looks, and says nothing over such a connection
/// that is secret.
#[derive(Debug)]
struct Verdict {
    inner: Arc<WebPkiServerVerifier>,
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

/// An answer, as far as it is of interest.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Answer {
    /// The envelope's `code` and `data` (R33); `None` where it is none.
    pub(super) fn envelope(&self) -> Option<(String, serde_json::Value)> {
        let value: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        Some((value["code"].as_str()?.to_owned(), value["data"].clone()))
    }
}

/// One request over a fresh connection; the error is a sentence.
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
        // A longer body than all that the server says is somebody else's, and its status is enough.
        let body = to_bytes(Body::new(response.into_body()), BODY_BYTES).await.unwrap_or_default();
        connection.abort();
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}
