//! The subset of RFC 6455 that a client needs.

/// Frame of the server.
#[derive(Debug)]
pub enum Frame {
    Text(String),
    Ping,
    /// Close code, if there is one.
    Close(Option<u16>),
}

/// Builds a client frame. Its mask is zero, so that failures are readable.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

pub fn text(text: &str) -> Vec<u8> {
    frame(0x1, text.as_bytes())
}

pub fn pong() -> Vec<u8> {
    frame(0xa, &[])
}

pub fn close(code: u16) -> Vec<u8> {
    frame(0x8, &code.to_be_bytes())
}

/// Takes the first complete frame off the received bytes.
pub fn take(arrived: &mut Vec<u8>) -> Option<Frame> {
    let (header, len) = match arrived[..] {
        [_, 127, ..] => panic!("a message is longer than those of these tests"),
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [_, len @ 0..=125, ..] => (2, usize::from(len)),
        _ => return None,
    };
    if arrived.len() < header + len {
        return None;
    }
    let frame: Vec<u8> = arrived.drain(..header + len).collect();
    let payload = &frame[header..];
    Some(match frame[0] {
        0x81 => Frame::Text(String::from_utf8(payload.to_vec()).expect("UTF-8")),
        0x89 => Frame::Ping,
        0x88 => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        // This includes pongs, which these clients never request.
        other => panic!("unexpected opcode {other:x}"),
    })
}
