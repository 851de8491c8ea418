//! Minimal TURN client (RFC 8656) for the checks: an allocation with long-term credentials, a permission, and data in
//! both directions. All waits and message sizes are bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::web::Stream;

/// Timeout of one response.
const PATIENCE: Duration = Duration::from_secs(4);
/// Delay of the first retransmission over UDP; each delay is twice as long as the previous one (RFC 8489 §6.2.1).
const RETRANSMIT: Duration = Duration::from_millis(500);
/// Maximum bytes of a message.
const MESSAGE_BYTES: usize = 2_048;
const COOKIE: u32 = 0x2112_A442;

const BINDING: u16 = 0x001;
const ALLOCATE: u16 = 0x003;
const REFRESH: u16 = 0x004;
const SEND: u16 = 0x016;
const DATA_INDICATION: u16 = 0x017;
const CREATE_PERMISSION: u16 = 0x008;
const SUCCESS: u16 = 0x100;
const FAILURE: u16 = 0x110;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const LIFETIME: u16 = 0x000D;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

const UNAUTHENTICATED: u16 = 401;
const STALE_NONCE: u16 = 438;

/// Reason for a missing or unusable response.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// No response in time, or no connection.
    Silent(String),
    /// The server rejected the request (RFC 8489 §14.8).
    Refused(u16, String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

/// Transport to a server.
pub(super) enum Transport {
    /// A connected socket.
    Udp(UdpSocket),
    /// TCP with or without TLS.
    Stream(Stream),
}

/// Received message or indication.
#[derive(Debug)]
struct Message {
    kind: u16,
    transaction: [u8; 12],
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_at_checked(20)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[0] >= 64 || head[4..8] != COOKIE.to_be_bytes() || rest.len() < length {
            return None;
        }
        rest = &rest[..length];
        let mut attributes = Vec::new();
        while let Some((head, after)) = rest.split_at_checked(4) {
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            attributes.push((u16::from_be_bytes([head[0], head[1]]), after.get(..length)?.to_vec()));
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        let transaction = head[8..].try_into().ok()?;
        Some(Self { kind: u16::from_be_bytes([head[0], head[1]]), transaction, attributes })
    }

    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.as_slice())
    }

    fn address(&self, kind: u16) -> Option<SocketAddr> {
        let value = self.attribute(kind)?;
        let mut mask = COOKIE.to_be_bytes().to_vec();
        mask.extend(self.transaction);
        let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ (COOKIE >> 16) as u16;
        let open: Vec<u8> = value[4..].iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        let ip = match *value.get(1)? {
            1 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(open).ok()?)),
            _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(open).ok()?)),
        };
        Some(SocketAddr::new(ip, port))
    }

    fn refusal(&self) -> (u16, String) {
        let value = self.attribute(ERROR_CODE).unwrap_or_default();
        let code = value.get(2..4).map_or(0, |code| u16::from(code[0] & 7) * 100 + u16::from(code[1]));
        let reason = String::from_utf8_lossy(value.get(4..).unwrap_or_default());
        (code, reason.chars().filter(|c| !c.is_control()).take(80).collect())
    }
}

/// Message that is being written.
struct Writer {
    bytes: Vec<u8>,
    transaction: [u8; 12],
}

impl Writer {
    fn new(kind: u16) -> Self {
        let transaction: [u8; 12] = std::array::from_fn(|_| fastrand::u8(..));
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(COOKIE.to_be_bytes());
        bytes.extend(transaction);
        Self { bytes, transaction }
    }

    fn put(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length(0);
    }

    fn put_address(&mut self, kind: u16, address: SocketAddr) {
        let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
        value.extend((address.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
        let mut mask = COOKIE.to_be_bytes().to_vec();
        mask.extend(self.transaction);
        let octets = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        value.extend(octets.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        self.put(kind, &value);
    }

    /// Appends the message integrity of RFC 8489 §14.5. It covers all preceding bytes, and the length includes it.
    fn sign(&mut self, key: &[u8]) {
        self.set_length(24);
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("any length");
        mac.update(&self.bytes);
        self.put(MESSAGE_INTEGRITY, &mac.finalize().into_bytes());
    }

    fn set_length(&mut self, more: usize) {
        let length = (self.bytes.len() - 20 + more) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Authentication data of the server.
struct Session {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: Vec<u8>,
}

/// Connection to one server with at most one allocation.
pub(super) struct Client {
    transport: Transport,
    credentials: (String, String),
    session: Option<Session>,
    /// Data that arrived while the client waited for something else.
    came: Vec<Vec<u8>>,
}

/// Result of an allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocation {
    /// Address at which the relay accepts data for this client.
    pub(super) relayed: SocketAddr,
    /// Address of this client as seen by the server.
    pub(super) mapped: Option<SocketAddr>,
}

impl Client {
    /// Makes a client with the username and the credential of a `welcome`.
    pub(super) fn new(transport: Transport, username: &str, credential: &str) -> Self {
        let credentials = (username.to_owned(), credential.to_owned());
        Self { transport, credentials, session: None, came: Vec::new() }
    }

    /// Returns the address of this client as seen by the server (RFC 8489 §3).
    pub(super) async fn bind(&mut self) -> Result<Option<SocketAddr>, Fault> {
        let answer = self.exchange(Writer::new(BINDING)).await?;
        Ok(answer.address(XOR_MAPPED_ADDRESS))
    }

    /// Allocates a relay port for UDP (RFC 8656 §7).
    pub(super) async fn allocate(&mut self) -> Result<Allocation, Fault> {
        let answer = self.request(ALLOCATE, |writer| writer.put(REQUESTED_TRANSPORT, &[17, 0, 0, 0])).await?;
        let relayed = answer.address(XOR_RELAYED_ADDRESS);
        let relayed = relayed.ok_or_else(|| Fault::Refused(0, "an allocation without an address".into()))?;
        Ok(Allocation { relayed, mapped: answer.address(XOR_MAPPED_ADDRESS) })
    }

    /// Permits data from this address (RFC 8656 §9).
    pub(super) async fn permit(&mut self, peer: SocketAddr) -> Result<(), Fault> {
        self.request(CREATE_PERMISSION, |writer| writer.put_address(XOR_PEER_ADDRESS, peer)).await.map(drop)
    }

    /// Sends data through the relay (RFC 8656 §11). Delivery is not confirmed.
    pub(super) async fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Result<(), Fault> {
        let mut writer = Writer::new(SEND);
        writer.put_address(XOR_PEER_ADDRESS, peer);
        writer.put(DATA, data);
        self.write(&writer.bytes).await
    }

    /// Returns whether this data arrives through the relay before the deadline.
    pub(super) async fn receives(&mut self, data: &[u8], deadline: Instant) -> bool {
        loop {
            if self.came.iter().any(|came| came == data) {
                return true;
            }
            match timeout_at(deadline, self.read()).await {
                Ok(Ok(message)) => self.keep(&message),
                Ok(Err(_)) | Err(_) => return false,
            }
        }
    }

    /// Releases the allocation.
    pub(super) async fn release(mut self) {
        // The relay releases it by itself after some minutes.
        let _ = self.request(REFRESH, |writer| writer.put(LIFETIME, &[0; 4])).await;
    }

    /// Sends an authenticated request (RFC 8489 §9.2). The first response contains the realm and the nonce.
    async fn request(&mut self, kind: u16, fill: impl Fn(&mut Writer)) -> Result<Message, Fault> {
        for _ in 0..3 {
            let mut writer = Writer::new(kind);
            fill(&mut writer);
            let signed = self.session.is_some();
            if let Some(Session { realm, nonce, key }) = &self.session {
                writer.put(USERNAME, self.credentials.0.as_bytes());
                writer.put(REALM, realm);
                writer.put(NONCE, nonce);
                writer.sign(key);
            }
            let answer = self.exchange(writer).await?;
            if answer.kind & FAILURE != FAILURE {
                return Ok(answer);
            }
            let (code, reason) = answer.refusal();
            let again = code == STALE_NONCE || (code == UNAUTHENTICATED && !signed);
            let (Some(realm), Some(nonce), true) = (answer.attribute(REALM), answer.attribute(NONCE), again) else {
                return Err(Fault::Refused(code, reason));
            };
            self.session = Some(self.session_of(realm, nonce));
        }
        Err(Fault::Refused(STALE_NONCE, "the nonce is stale again and again".into()))
    }

    fn session_of(&self, realm: &[u8], nonce: &[u8]) -> Session {
        let (username, credential) = &self.credentials;
        let text = [username.as_bytes(), realm, credential.as_bytes()].join(&b':');
        Session { realm: realm.to_vec(), nonce: nonce.to_vec(), key: Md5::digest(text).to_vec() }
    }

    async fn exchange(&mut self, writer: Writer) -> Result<Message, Fault> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = RETRANSMIT;
        loop {
            self.write(&writer.bytes).await?;
            let again = match self.transport {
                Transport::Udp(_) => deadline.min(Instant::now() + pause),
                Transport::Stream(_) => deadline,
            };
            pause *= 2;
            while let Ok(read) = timeout_at(again, self.read()).await {
                let message = read?;
                if message.transaction == writer.transaction && message.kind & SUCCESS == SUCCESS {
                    return Ok(message);
                }
                self.keep(&message);
            }
            if Instant::now() >= deadline {
                return Err(Fault::Silent(format!("no answer within {PATIENCE:?}")));
            }
        }
    }

    fn keep(&mut self, message: &Message) {
        if message.kind == DATA_INDICATION && self.came.len() < 64 {
            self.came.extend(message.attribute(DATA).map(<[u8]>::to_vec));
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match &mut self.transport {
            Transport::Udp(socket) => drop(socket.send(bytes).await?),
            Transport::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    /// Reads the next message. An invalid one is skipped on UDP and is an error on a stream.
    async fn read(&mut self) -> Result<Message, Fault> {
        let mut bytes = [0; MESSAGE_BYTES];
        match &mut self.transport {
            Transport::Udp(socket) => loop {
                let length = socket.recv(&mut bytes).await?;
                if let Some(message) = Message::parse(&bytes[..length]) {
                    return Ok(message);
                }
            },
            Transport::Stream(stream) => {
                stream.read_exact(&mut bytes[..20]).await?;
                let end = 20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                let body = bytes.get_mut(20..end).ok_or_else(|| Fault::Silent("it is no TURN server".into()))?;
                stream.read_exact(body).await?;
                Message::parse(&bytes[..end]).ok_or_else(|| Fault::Silent("it is no TURN server".into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_were_written() {
        for address in ["192.0.2.1:3478", "[2001:db8::7]:65535"] {
            let address: SocketAddr = address.parse().unwrap();
            let mut writer = Writer::new(BINDING | SUCCESS);
            writer.put(DATA, b"odd");
            writer.put_address(XOR_RELAYED_ADDRESS, address);
            let message = Message::parse(&writer.bytes).unwrap();
            assert_eq!(message.address(XOR_RELAYED_ADDRESS), Some(address));
            assert_eq!(message.attribute(DATA), Some(&b"odd"[..]));
        }
    }

    /// Example of the long-term key in RFC 8489 §9.2.2.
    #[test]
    fn the_key_is_the_one_of_the_rfc() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let client = Client::new(Transport::Udp(UdpSocket::from_std(socket).unwrap()), "user", "pass");
        let key = client.session_of(b"realm", b"nonce").key;
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "8493fbc53ba582fb4c044c456bdc40eb");
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_passed_over(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), cookie: bool) {
            if cookie && bytes.len() >= 20 {
                bytes[0] &= 63;
                bytes[4..8].copy_from_slice(&COOKIE.to_be_bytes());
                let length = bytes.len() - 20;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            }
            if let Some(message) = Message::parse(&bytes) {
                let _ = (message.address(XOR_MAPPED_ADDRESS), message.refusal());
            }
        }
    }
}
