//! Settings of the certificate probes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::values::{list_items, parse_time};

/// Settings of the certificate probes.
#[derive(Clone, Debug, clap::Args)]
pub struct CertificateSettings {
    /// TLS endpoints whose certificate dates are exported as metrics, as host:port, separated by commas:
    /// meet.example.org:443. Nothing but a handshake is sent there.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub certificate_probes: Endpoints,

    /// Time between two handshakes with each of these endpoints.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time)]
    pub certificate_probe_interval: Duration,
}

/// List of TLS endpoints.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Vec<Endpoint>);

/// TLS endpoint, written as `host:port`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// DNS name in its ASCII form, or IP address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Maximum number of endpoints, each of which has its own time series.
const MAX_ENDPOINTS: usize = 16;

impl Endpoints {
    /// Returns the endpoints in the order of the setting.
    pub fn all(&self) -> &[Endpoint] {
        &self.0
    }
}

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut endpoints = Vec::new();
        for item in list_items(text)? {
            let endpoint: Endpoint = item.parse()?;
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        if endpoints.len() > MAX_ENDPOINTS {
            return Err(format!("it has {} endpoints; at most {MAX_ENDPOINTS} are probed", endpoints.len()));
        }
        Ok(Self(endpoints))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} should be host:port, such as meet.example.org:443 or [2001:db8::7]:443, without a scheme and path"
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        // Converts international names to the ASCII form that certificates and DNS use.
        let host = match url::Host::parse(host).map_err(|_| wrong())? {
            url::Host::Domain(name) => name,
            url::Host::Ipv4(address) => address.to_string(),
            url::Host::Ipv6(address) => address.to_string(),
        };
        ServerName::try_from(host.as_str()).map_err(|_| wrong())?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;

    fn endpoints(text: &str) -> Result<Vec<String>, String> {
        let cli = load(&[], &[("ROUNDTABLE_CERTIFICATE_PROBES", text)])?;
        Ok(cli.config.certificates.certificate_probes.all().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn probes_are_hosts_with_ports() {
        let read = endpoints("nginx:19003, 圆桌.example:443,[2001:db8::7]:5349,192.0.2.7:443,nginx:19003").unwrap();
        assert_eq!(read, ["nginx:19003", "xn--4csw51b.example:443", "[2001:db8::7]:5349", "192.0.2.7:443"]);
    }

    #[test]
    fn an_endpoint_without_port_or_with_a_scheme_is_rejected() {
        for wrong in [
            "meet.example.org",
            "https://meet.example.org",
            "https://meet.example.org:443",
            "a:0",
            "a:70000",
            "a b:1",
            ":443",
        ] {
            let error = endpoints(wrong).unwrap_err();
            assert!(
                error.contains("ROUNDTABLE_CERTIFICATE_PROBES") && error.contains("meet.example.org:443"),
                "{error}"
            );
        }
        let many = (1..=17).map(|port| format!("a:{port}")).collect::<Vec<_>>().join(",");
        assert!(endpoints(&many).unwrap_err().contains("at most 16"));
    }
}
