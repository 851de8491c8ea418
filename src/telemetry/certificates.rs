//! Metrics of the certificates that TLS endpoints present.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    endpoint: String,
}

/// Metrics of the certificate probes. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CertificateMetrics {
    success: Family<Labels, Gauge>,
    not_before: Family<Labels, Gauge>,
    not_after: Family<Labels, Gauge>,
}

impl CertificateMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("certificate");
        let help = "Whether the last TLS handshake with the endpoint succeeded";
        registry.register("probe_success", help, self.success.clone());
        let help = "Time from which the certificate of the endpoint is valid";
        registry.register_with_unit("not_before_timestamp", help, Unit::Seconds, self.not_before.clone());
        let help = "Time until which the certificate of the endpoint is valid";
        registry.register_with_unit("not_after_timestamp", help, Unit::Seconds, self.not_after.clone());
    }

    /// Records a handshake that succeeded, with the validity of the presented certificate in Unix seconds.
    pub fn succeeded(&self, endpoint: String, not_before: i64, not_after: i64) {
        let labels = Labels { endpoint };
        self.not_before.get_or_create(&labels).set(not_before);
        self.not_after.get_or_create(&labels).set(not_after);
        self.success.get_or_create(&labels).set(1);
    }

    /// Records a handshake that failed. The dates stay those of the last one that succeeded.
    pub fn failed(&self, endpoint: String) {
        self.success.get_or_create(&Labels { endpoint }).set(0);
    }
}
