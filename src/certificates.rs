//! Probes that read the dates of the certificates which TLS endpoints present.
//!
//! A handshake shows what browsers get. The files would not: a renewed certificate is served only after the proxy has
//! been reloaded, and the server may neither see nor read the proxy's files.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::config::{CertificateSettings, Endpoint};
use crate::telemetry::CertificateMetrics;

/// Time limit of one probe: resolving, connecting and the handshake.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Validity of a certificate in Unix seconds.
struct Validity {
    not_before: i64,
    not_after: i64,
}

/// Probes all endpoints of the settings periodically, until it is dropped.
pub(crate) async fn probe_certificates(settings: &CertificateSettings, metrics: &CertificateMetrics) {
    let probes = settings.certificate_probes.all().iter();
    let probes = probes.map(|endpoint| probe_endpoint(endpoint, settings.certificate_probe_interval, metrics));
    futures_util::future::join_all(probes).await;
    // Without endpoints there is nothing to do, but the caller expects this not to end.
    std::future::pending().await
}

async fn probe_endpoint(endpoint: &Endpoint, interval: Duration, metrics: &CertificateMetrics) {
    let mut failures = 0_u32;
    loop {
        let probe = timeout(PROBE_TIMEOUT, probe(endpoint)).await;
        match probe.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}"))) {
            Ok(Validity { not_before, not_after }) => {
                failures = 0;
                metrics.succeeded(endpoint.to_string(), not_before, not_after);
            }
            Err(why) => {
                metrics.failed(endpoint.to_string());
                failures = failures.saturating_add(1);
                // Logged once for each failure that lasts. The first probe may come before the proxy has started.
                if failures == 2 {
                    tracing::warn!(
                        %endpoint, %why,
                        "TLS handshake failed; check that the proxy runs and that its key belongs to its certificate \
                         (ROUNDTABLE_CERTIFICATE_PROBES)"
                    );
                }
            }
        }
        tokio::time::sleep(interval).await;
    }
}

async fn probe(endpoint: &Endpoint) -> Result<Validity, String> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(|error| error.to_string())?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| error.to_string())?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or("it presented no certificate")?;
    let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let validity = &certificate.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Ok(Validity { not_before: seconds(validity.not_before), not_after: seconds(validity.not_after) })
}

/// Verifier that accepts every certificate, because expired and self-signed ones must be readable, too. It still checks
/// that the server has the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
