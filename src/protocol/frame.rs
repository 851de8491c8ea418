//! Outgoing WebSocket frames, encoded once and shared by everyone who gets them.

use bytes::Bytes;

use super::CloseCode;

/// A complete WebSocket frame as a server sends it: header and unmasked payload (RFC 6455 §5.2).
/// A clone shares the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame(Bytes);

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;

impl Frame {
    /// A text frame whose payload is `parts`, one after the other, in one allocation.
    pub fn text<const N: usize>(parts: [&str; N]) -> Self {
        let payload = parts.iter().map(|part| part.len()).sum();
        let mut bytes = Vec::with_capacity(header_len(payload) + payload);
        push_header(&mut bytes, TEXT, payload);
        for part in parts {
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes.into())
    }

    /// An empty ping.
    pub fn ping() -> Self {
        Self(Bytes::from_static(&[FIN | PING, 0]))
    }

    /// A close frame with the code and, as its reason, the code's name.
    pub fn close(code: CloseCode) -> Self {
        let reason = code.as_str();
        let payload = 2 + reason.len();
        let mut bytes = Vec::with_capacity(header_len(payload) + payload);
        push_header(&mut bytes, CLOSE, payload);
        bytes.extend_from_slice(&(code as u16).to_be_bytes());
        bytes.extend_from_slice(reason.as_bytes());
        Self(bytes.into())
    }

    /// The bytes for the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes on the wire, header included.
    pub fn wire_len(&self) -> usize {
        self.0.len()
    }

    /// The payload without its header.
    pub fn payload(&self) -> &[u8] {
        let header = match self.0.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        &self.0[header..]
    }
}

fn header_len(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

fn push_header(bytes: &mut Vec<u8>, opcode: u8, payload: usize) {
    bytes.push(FIN | opcode);
    match payload {
        0..=125 => bytes.push(payload as u8),
        126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

    #[test]
    fn headers_are_what_a_websocket_library_reads() {
        for len in [0, 1, 125, 126, 127, 0xffff, 0x10000, 70_000] {
            let text = "x".repeat(len);
            let frame = Frame::text([&text]);
            let mut cursor = std::io::Cursor::new(frame.as_bytes());
            let (header, payload) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert!(header.is_final && header.mask.is_none());
            assert_eq!(payload as usize, len);
            assert_eq!(frame.payload().len(), len);
            assert_eq!(cursor.position() as usize + len, frame.wire_len());
        }
    }
}
