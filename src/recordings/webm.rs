//! Checks that a file begins as WebM: with an EBML header (RFC 8794 §8) of the document type `webm` (RFC 9559 §4).

/// Longest header that is accepted, in bytes. Browsers write about 40.
const LONGEST: usize = 256;
/// Number of bytes of a file that [`may_be_webm`] needs: the header with its ID and its size.
pub(super) const BEGINNING: u64 = LONGEST as u64 + 12;

const EBML: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
const DOC_TYPE: [u8; 2] = [0x42, 0x82];

/// Reason why a header cannot be read.
enum Unreadable {
    /// The bytes end before the header does.
    Incomplete,
    Invalid,
}

/// Returns whether a file that begins with these bytes can be a WebM file. An incomplete header is accepted: some
/// browsers write the first byte alone.
pub(super) fn may_be_webm(bytes: &[u8]) -> bool {
    !matches!(check(bytes), Err(Unreadable::Invalid))
}

fn check(bytes: &[u8]) -> Result<(), Unreadable> {
    let (id, rest) = bytes.split_at(bytes.len().min(EBML.len()));
    if !EBML.starts_with(id) {
        return Err(Unreadable::Invalid);
    }
    let (size, body) = size(rest)?;
    if size > LONGEST {
        return Err(Unreadable::Invalid);
    }
    let mut header = body.get(..size).ok_or(Unreadable::Incomplete)?;
    while let Some(first) = header.first() {
        let (id, rest) = header.split_at_checked(length(*first)?).ok_or(Unreadable::Invalid)?;
        let (size, rest) = self::size(rest).map_err(|_| Unreadable::Invalid)?;
        let (content, rest) = rest.split_at_checked(size).ok_or(Unreadable::Invalid)?;
        if id == DOC_TYPE {
            return if content == b"webm" { Ok(()) } else { Err(Unreadable::Invalid) };
        }
        header = rest;
    }
    Err(Unreadable::Invalid)
}

/// Reads the size of an element, and returns it with what follows.
fn size(bytes: &[u8]) -> Result<(usize, &[u8]), Unreadable> {
    let length = length(*bytes.first().ok_or(Unreadable::Incomplete)?)?;
    let (number, rest) = bytes.split_at_checked(length).ok_or(Unreadable::Incomplete)?;
    // Only the first byte contains the marker of the length.
    let first = u64::from(number[0]) & (0x7f >> (length - 1));
    let value = number[1..].iter().fold(first, |value, byte| value << 8 | u64::from(*byte));
    // All ones stand for an unknown size, which no header has.
    if value == (1 << (7 * length)) - 1 {
        return Err(Unreadable::Invalid);
    }
    usize::try_from(value).map(|value| (value, rest)).map_err(|_| Unreadable::Invalid)
}

/// Returns the length of a variable-size integer by its first byte (RFC 8794 §4).
fn length(first: u8) -> Result<usize, Unreadable> {
    if first == 0 { Err(Unreadable::Invalid) } else { Ok(first.leading_zeros() as usize + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers that Chromium and Firefox write, with sizes of one byte and of eight.
    fn headers() -> [Vec<u8>; 2] {
        let body = b"\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02";
        [&b"\x9f"[..], b"\x01\x00\x00\x00\x00\x00\x00\x1f"]
            .map(|size| [&EBML, size, body, b"\x18\x53\x80\x67"].concat())
    }

    #[test]
    fn every_beginning_of_a_webm_file_is_accepted() {
        for header in headers() {
            assert!((0..=header.len()).all(|end| may_be_webm(&header[..end])));
            assert!(check(&header).is_ok());
        }
    }

    #[test]
    fn other_files_are_rejected_as_soon_as_they_differ() {
        let mut matroska = headers()[0].clone();
        let at = matroska.windows(4).position(|four| four == b"webm").unwrap();
        matroska[at..at + 4].copy_from_slice(b"mkv\0");
        let cases: [&[u8]; 8] = [
            b"<",
            b"<!doctype html>",
            b"\x1a\x45\xdf\xa4",
            // Headers of 1 MiB, of unknown size, without a document type, and of invalid size.
            b"\x1a\x45\xdf\xa3\x10\x10\x00\x00",
            b"\x1a\x45\xdf\xa3\xff\x42\x82\x84webm",
            b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01",
            b"\x1a\x45\xdf\xa3\x00",
            &matroska,
        ];
        for case in cases {
            assert!(!may_be_webm(case), "{}", case.escape_ascii());
        }
    }
}
