//! Outgoing WebSocket frames: a payload that is encoded once and shared, and a short head for each recipient.

use std::io::Write;
use std::num::NonZeroU64;

use bytes::Bytes;

use super::CloseCode;

/// JSON of a server message. Clones share the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame(Bytes);

/// Item to send on one socket: a message with its number for this recipient (R47), or a control frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outgoing {
    /// A message, with its number if it is counted. One variant for both is smaller than two.
    Message(Option<NonZeroU64>, Frame),
    /// A ping without payload.
    Ping,
    /// A close frame. Its reason is the code's name.
    Close(CloseCode),
}

/// The bytes of an [`Outgoing`] that its recipients do not share: the frame header (RFC 6455 §5.2, unmasked) and the
/// number. Built for each write, so that queues do not store it.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; HEAD_BYTES],
    len: u8,
}

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;

/// Frame header of at most 10 bytes, and `{"seq":18446744073709551615,` of 28.
const HEAD_BYTES: usize = 40;

impl Frame {
    /// Concatenates `parts` to the JSON of a message, in one allocation. The JSON must be an object with at least one
    /// field, because a number is inserted before the first field.
    pub fn text<const N: usize>(parts: [&str; N]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            bytes.extend_from_slice(part.as_bytes());
        }
        debug_assert!(bytes.starts_with(b"{\""));
        Self(bytes.into())
    }

    /// Accepts a message that another server has encoded. Returns `None` if it is not a JSON object in UTF-8.
    pub fn of(bytes: Bytes) -> Option<Self> {
        let whole = bytes.starts_with(b"{\"") && bytes.ends_with(b"}");
        (whole && std::str::from_utf8(&bytes).is_ok()).then_some(Self(bytes))
    }

    /// Returns the bytes of [`Frame::payload`] without copying them.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Returns the JSON, without a number.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }

    /// Returns the message's type. Empty if the JSON does not start with `type`, as every server message does.
    pub fn kind(&self) -> &str {
        let kind = self.0.strip_prefix(br#"{"type":""#).unwrap_or_default();
        let end = kind.iter().position(|byte| *byte == b'"').unwrap_or(0);
        std::str::from_utf8(&kind[..end]).unwrap_or_default()
    }

    /// Returns the bytes that this frame counts in a queue: its payload and the longest head.
    pub fn cost(&self) -> usize {
        HEAD_BYTES + self.0.len()
    }
}

impl Outgoing {
    /// Makes a message without a number.
    pub fn plain(frame: Frame) -> Self {
        Self::Message(None, frame)
    }

    /// Makes a message with its number, which starts at 1.
    pub fn numbered(number: u64, frame: Frame) -> Self {
        Self::Message(NonZeroU64::new(number), frame)
    }

    /// Builds the bytes that are specific to this recipient.
    pub fn head(&self) -> Head {
        let mut head = Head::default();
        match self {
            Self::Message(None, frame) => head.header(TEXT, frame.0.len()),
            Self::Message(Some(number), frame) => {
                // `{"seq":`, the digits and `,` replace the message's own brace.
                let digits = number.ilog10() as usize + 1;
                head.header(TEXT, frame.0.len() + digits + 7);
                let mut rest = &mut head.bytes[head.len as usize..];
                let before = rest.len();
                // The array has room for the longest number.
                let _ = write!(rest, "{{\"seq\":{number},");
                let written = before - rest.len();
                head.len += written as u8;
            }
            Self::Ping => head.header(PING, 0),
            Self::Close(code) => {
                let reason = code.as_str();
                head.header(CLOSE, 2 + reason.len());
                head.push(&(*code as u16).to_be_bytes());
                head.push(reason.as_bytes());
            }
        }
        head
    }

    /// Returns the bytes that all recipients share.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Message(None, frame) => &frame.0,
            Self::Message(Some(_), frame) => frame.0.get(1..).unwrap_or_default(),
            Self::Ping | Self::Close(_) => &[],
        }
    }

    /// Returns the bytes that this item counts in a queue.
    pub fn cost(&self) -> usize {
        match self {
            Self::Message(_, frame) => frame.cost(),
            Self::Ping | Self::Close(_) => HEAD_BYTES,
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self { bytes: [0; HEAD_BYTES], len: 0 }
    }
}

impl Head {
    /// Returns the bytes to write.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    fn push(&mut self, bytes: &[u8]) {
        let start = self.len as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }

    fn header(&mut self, opcode: u8, payload: usize) {
        self.push(&[FIN | opcode]);
        match payload {
            0..=125 => self.push(&[payload as u8]),
            126..=0xffff => {
                self.push(&[126]);
                self.push(&(payload as u16).to_be_bytes());
            }
            _ => {
                self.push(&[127]);
                self.push(&(payload as u64).to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

    /// Parses the frame with a WebSocket library and returns its payload.
    fn read(out: &Outgoing) -> Vec<u8> {
        let bytes = [out.head().as_bytes(), out.body()].concat();
        let mut cursor = std::io::Cursor::new(&bytes);
        let (header, payload) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        assert!(header.is_final && header.mask.is_none());
        assert_eq!(cursor.position() as usize + payload as usize, bytes.len());
        bytes[cursor.position() as usize..].to_vec()
    }

    #[test]
    fn r47_a_number_stands_before_a_message_of_any_length() {
        for len in [0, 1, 90, 91, 92, 110, 111, 112, 125, 0xffff - 40, 0xffff, 0x10000, 70_000] {
            let text = format!(r#"{{"x":"{}"}}"#, "x".repeat(len));
            let frame = Frame::text([&text]);
            assert_eq!(read(&Outgoing::plain(frame.clone())), text.as_bytes());
            for number in [1, 9, 10, 99, 100, u64::MAX - 1, u64::MAX] {
                let numbered = read(&Outgoing::numbered(number, frame.clone()));
                assert_eq!(numbered, format!(r#"{{"seq":{number},{}"#, &text[1..]).as_bytes());
            }
        }
    }

    #[test]
    fn control_frames_are_all_head() {
        assert_eq!(Outgoing::Ping.head().as_bytes(), [FIN | PING, 0]);
        let close = Outgoing::Close(CloseCode::MessageTooLarge);
        assert_eq!(read(&close), b"\x03\xf1message_too_large");
    }
}
