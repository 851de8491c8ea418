//! Address of Redis in `ROUNDTABLE_REDIS_URL`.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

/// Error for a text that is no address. It must not contain the text, which may have a password.
const FORMS: &str = "it is one of redis://[user:password@]host[:port][/database], rediss:// (with TLS), \
unix:///path/to/socket, redis-sentinel://host[:port],host[:port]?master=name and redis-cluster://host[:port],host[:port] \
(with TLS rediss-sentinel:// and rediss-cluster://)";
/// Default port of a Sentinel.
const SENTINEL_PORT: u16 = 26379;

/// Address and credentials of Redis.
#[derive(Clone)]
pub struct Address {
    pub(super) kind: Kind,
    /// One server, or any Sentinels, or any nodes of a cluster.
    pub(super) seeds: Vec<ConnectionInfo>,
}

/// Kind of servers at an address.
#[derive(Clone)]
pub(super) enum Kind {
    /// Redis server.
    Single,
    /// Sentinels, which know the address of the Redis server by the name `master`. `engine` has its other settings.
    Sentinel { master: String, engine: Box<ConnectionInfo> },
    /// Nodes of a cluster.
    Cluster,
}

impl Address {
    /// Parses an address. `ca` contains the certificates (PEM) to trust with TLS in place of the well-known ones. The
    /// error says what would be right, and does not contain the address.
    pub fn parse(text: &str, ca: Option<&[u8]>) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
        let plain = scheme.replacen("valkey", "redis", 1);
        let (plain, kind) = match plain.strip_suffix("-sentinel") {
            Some(plain) => (plain, "sentinel"),
            None => plain.strip_suffix("-cluster").map_or((plain.as_str(), "single"), |plain| (plain, "cluster")),
        };
        if kind == "single" && matches!(plain, "unix" | "redis+unix") {
            let info = text.into_connection_info().map_err(|_| FORMS)?;
            return Ok(Self { kind: Kind::Single, seeds: vec![with_protocol(info)] });
        }
        if !matches!(plain, "redis" | "rediss") {
            return Err(FORMS.into());
        }
        if rest.contains('#') {
            return Err("nothing comes behind a #; within a password it is written %23".into());
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let read = |user: &str, host: &str| parse_one(&format!("{plain}://{user}{host}{tail}"), ca);
        let hosts: Vec<&str> = hosts.split(',').collect();
        if hosts.len() > 1 && kind == "single" {
            return Err(
                "there are several hosts: with Sentinels it begins with redis-sentinel://, with a cluster with \
redis-cluster://"
                    .into(),
            );
        }
        let engines = hosts.iter().map(|host| read(&user, host)).collect::<Result<Vec<_>, _>>()?;
        let (first, query) = engines.first().ok_or(FORMS)?;
        let mut query = query.clone();
        let mut take = |name: &str| query.iter().position(|(known, _)| known == name).map(|at| query.remove(at).1);
        let (kind, seeds) = match kind {
            "sentinel" => {
                let master = take("master").filter(|name| !name.is_empty());
                let master = master.ok_or("the name that the Sentinels know the engine by is missing: ?master=name")?;
                let (name, password) = (take("sentinel_user"), take("sentinel_password"));
                let seeds = hosts
                    .iter()
                    .map(|host| Ok(sentinel(read("", host)?.0, host, name.as_deref(), password.as_deref())));
                (Kind::Sentinel { master, engine: Box::new(first.clone()) }, seeds.collect::<Result<_, String>>()?)
            }
            kind => {
                let kind = if kind == "cluster" { Kind::Cluster } else { Kind::Single };
                (kind, engines.iter().map(|(info, _)| info.clone()).collect())
            }
        };
        if matches!(kind, Kind::Cluster) && first.redis_settings().db() != 0 {
            return Err("a cluster has no database but 0".into());
        }
        match query.first() {
            Some((name, _)) => Err(format!("{name:?} is unknown behind the question mark")),
            None => Ok(Self { kind, seeds }),
        }
    }
}

impl Address {
    /// Returns whether the connection uses TLS.
    pub fn has_tls(&self) -> bool {
        matches!(self.seeds.first().map(ConnectionInfo::addr), Some(ConnectionAddr::TcpTls { .. }))
    }

    /// Returns whether the address is that of a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.kind, Kind::Cluster)
    }
}

type Query = Vec<(String, String)>;

fn parse_one(text: &str, ca: Option<&[u8]>) -> Result<(ConnectionInfo, Query), String> {
    let url = redis::parse_redis_url(text).ok_or(FORMS)?;
    let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    // The error is dropped: it may contain the rejected text.
    let info = with_protocol(url.into_connection_info().map_err(|_| FORMS)?);
    let Some(ca) = ca.filter(|_| matches!(info.addr(), ConnectionAddr::TcpTls { .. })) else {
        return Ok((info, query));
    };
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) };
    let client = redis::Client::build_with_tls(info, certificates).map_err(|error| error.to_string())?;
    Ok((client.get_connection_info().clone(), query))
}

fn with_protocol(info: ConnectionInfo) -> ConnectionInfo {
    // With RESP3, published messages arrive on the same connection as answers.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    info.set_redis_settings(redis)
}

/// Adapts the settings to a Sentinel, which has no databases, and has users of its own.
fn sentinel(info: ConnectionInfo, host: &str, name: Option<&str>, password: Option<&str>) -> ConnectionInfo {
    let mut redis = info.redis_settings().clone().set_db(0);
    if let Some(name) = name {
        redis = redis.set_username(name);
    }
    if let Some(password) = password {
        redis = redis.set_password(password);
    }
    // The port is after the last colon, unless that is within an IPv6 address.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let addr = if has_port { info.addr().clone() } else { at(info.addr(), None, SENTINEL_PORT) };
    info.set_redis_settings(redis).set_addr(addr)
}

/// Returns an address with another port, and with another host if one is given.
pub(super) fn at(addr: &ConnectionAddr, other: Option<&str>, port: u16) -> ConnectionAddr {
    let host = |host: &String| other.map_or_else(|| host.clone(), str::to_owned);
    match addr {
        ConnectionAddr::TcpTls { host: old, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host(old), port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        ConnectionAddr::Tcp(old, _) => ConnectionAddr::Tcp(host(old), port),
        unix => unix.clone(),
    }
}

/// Formats hosts and ports, for logs.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, seed) in self.seeds.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", seed.addr())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        for (text, shown) in [
            ("redis://cache", "cache:6379"),
            ("valkey://:north@cache:7000/3", "cache:7000"),
            ("rediss://ada:no%40rth@cache", "cache:6379"),
            ("redis://[::1]:7000", "::1:7000"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
            ("redis-cluster://a:1,b:2,c", "a:1, b:2, c:6379"),
            ("rediss-cluster://ada:north@a:1,b:2", "a:1, b:2"),
            ("redis-sentinel://:north@a,b:2/3?master=main", "a:26379, b:2"),
            ("rediss-sentinel://a?master=main&sentinel_password=south", "a:26379"),
        ] {
            let address = Address::parse(text, None).unwrap();
            assert_eq!(address.to_string(), shown);
            let shown = format!("{address:?}");
            assert!(!shown.contains("rth") && !shown.contains("south"), "{shown}");
        }
    }

    #[test]
    fn credentials_go_where_they_belong() {
        let text = "redis-sentinel://ada:no%40rth@a,b/3?master=main&sentinel_user=bob&sentinel_password=south";
        let address = Address::parse(text, None).unwrap();
        for seed in &address.seeds {
            let redis = seed.redis_settings();
            assert_eq!((redis.username(), redis.password(), redis.db()), (Some("bob"), Some("south"), 0));
        }
        let Kind::Sentinel { master, engine } = address.kind else { panic!("Sentinels") };
        let redis = engine.redis_settings();
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("ada"), Some("no@rth"), 3));
        assert_eq!(master, "main");
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_shown() {
        for (text, says) in [
            ("north", "redis://"),
            ("http://:north@cache", "redis://"),
            ("redis://", "redis://"),
            ("redis://:north@cache:port", "redis://"),
            ("redis://:north@cache/first", "redis://"),
            ("redis://:north@a,b", "redis-cluster://"),
            ("redis://:north@cache?timeout=1", "timeout"),
            ("redis-sentinel://:north@a,b", "?master="),
            ("redis-cluster://:north@a,b/1", "database"),
            ("redis-cluster://:north@a,,b", "redis://"),
            ("rediss://:north@cache#insecure", "%23"),
        ] {
            let error = Address::parse(text, None).unwrap_err();
            assert!(error.contains(says) && !error.contains("north"), "{text}: {error}");
        }
        let error = Address::parse("rediss://cache", Some(b"-----BEGIN CERTIFICATE-----\nx\n")).unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }
}
