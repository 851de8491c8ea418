//! Violations of RFC 6455 and of message limits: oversized messages, fragments, compression bombs, invalid UTF-8, wrong
//! opcodes, unmasked frames.

use crate::common::raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, Raw, TEXT, masked};
use crate::stage::{FEW, MANY, Stage, crowd, room};

/// First reserved bit, which means "compressed" if that was negotiated (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;

/// Maximum bytes of a message.
const LONGEST: usize = 64 * 1024;

/// Masked, with a length of eight bytes.
const LONG: u8 = 0x80 | 127;

/// Name of the case, bytes to send, and expected close code.
type Case = (&'static str, Vec<u8>, u16);

/// Sends each case as a member of a new room, and without having joined; `at_once` of them run concurrently.
async fn all(stage: &Stage, at_once: usize, cases: &[Case]) {
    crowd(
        at_once,
        cases.iter().flat_map(|case| [(case, true), (case, false)]).map(|((what, bytes, code), joins)| async move {
            let mut raw = stage.raw(&room()).await;
            if joins {
                raw = raw.joined("Eve").await.0;
            }
            raw.bytes(bytes).await;
            assert_eq!(raw.close_code().await, *code, "{what}, joined: {joins}");
        }),
    )
    .await;
}

/// Builds a header that announces this many bytes, of which few follow.
fn announced(first: u8, bytes: u64) -> Vec<u8> {
    [&[first, LONG][..], &bytes.to_be_bytes(), &[0; 4], &[b'x'; 100]].concat()
}

fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| masked(*first, payload)).collect()
}

#[tokio::test]
async fn oversize() {
    let half = vec![b'x'; LONGEST / 2];
    let cases = [
        ("2^63 bytes", announced(FIN | TEXT, 1 << 63), 1009),
        ("2^64 - 1 bytes", announced(FIN | BINARY, u64::MAX), 1009),
        ("a terabyte", announced(FIN | TEXT, 1 << 40), 1009),
        ("one byte too many", announced(FIN | TEXT, LONGEST as u64 + 1), 1009),
        ("three halves", frames(&[(TEXT, &half), (CONTINUATION, &half), (FIN | CONTINUATION, b"x")]), 1009),
        (
            "2^63 bytes behind half a message",
            [frames(&[(TEXT, &half)]), announced(CONTINUATION, 1 << 63)].concat(),
            1009,
        ),
        ("a ping of 2^63 bytes", announced(FIN | PING, 1 << 63), 1009),
    ];
    Stage::set(&[]).await.under("oversize", async |stage| all(stage, MANY, &cases).await).await;
}

#[tokio::test]
async fn fragments() {
    let single = frames(&[(CONTINUATION, b"x")]).repeat(LONGEST);
    let with_pings = frames(&[(CONTINUATION, b"x"), (FIN | PING, b"?")]).repeat(1_000);
    let of_nothing = frames(&[(CONTINUATION, b"")]).repeat(10_000);
    let begun = || frames(&[(TEXT, b"{")]);
    let cases = [
        ("64 Ki fragments of a byte", [begun(), single].concat(), 1009),
        ("a continuation of nothing", frames(&[(CONTINUATION, b"x")]), 1002),
        ("the end of nothing", frames(&[(FIN | CONTINUATION, b"x")]), 1002),
        ("a message within a message", frames(&[(TEXT, b"{"), (TEXT, b"{")]), 1002),
        ("a ping in fragments", frames(&[(PING, b"x"), (FIN | CONTINUATION, b"x")]), 1002),
    ];
    // The burst is 640 KiB and 1,000 pings. Endless ones are slowed, and then closed (R75).
    let endless = [&of_nothing, &with_pings];
    let settings = [("ROUNDTABLE_RATE_PATIENCE", "500ms")];
    Stage::set(&settings)
        .await
        .under("fragments", async |stage| {
            all(stage, FEW, &cases).await;
            crowd(
                FEW,
                [true, false].into_iter().flat_map(|joins| endless.map(|flood| (flood, joins))).map(
                    |(flood, joins)| async move {
                        let mut raw = stage.raw(&room()).await;
                        if joins {
                            raw = raw.joined("Eve").await.0;
                        }
                        raw.frame(TEXT, b"{").await;
                        assert_eq!(raw.flood(flood).await, 4011);
                    },
                ),
            )
            .await;
        })
        .await;
}

#[tokio::test]
async fn compressed_bombs() {
    let bomb = bomb();
    assert!(bomb.len() < LONGEST);
    let cases = [
        ("a bomb", frames(&[(FIN | COMPRESSED | TEXT, &bomb)]), 1002),
        ("a bomb in fragments", frames(&[(COMPRESSED | TEXT, &bomb), (FIN | CONTINUATION, &bomb)]), 1002),
        ("a bomb that is announced", announced(FIN | COMPRESSED | BINARY, 1 << 40), 1009),
        ("an empty one", frames(&[(FIN | COMPRESSED | TEXT, b"")]), 1002),
        ("a compressed ping", frames(&[(FIN | COMPRESSED | PING, b"")]), 1002),
    ];
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15, x-webkit-deflate-frame\r\n";
    Stage::set(&[])
        .await
        .under("compression bombs", async |stage| {
            all(stage, MANY, &cases).await;
            // A client that offers compression is accepted without it.
            let mut raw = Raw::over(stage.tcp().await, &room(), offer, b"").await;
            assert!(!raw.head.to_lowercase().contains("extensions"), "{}", raw.head);
            raw.bytes(&cases[0].1).await;
            assert_eq!(raw.close_code().await, 1002);
        })
        .await;
}

/// Builds 60 KB in the format of RFC 1951 that would inflate to 9 MB: one literal, and then "258 times the previous
/// byte" (§3.2.6).
fn bomb() -> Vec<u8> {
    // The final block, with fixed codes; a zero.
    let begin = [true, true, false].into_iter().chain(bits(0b0011_0000, 8));
    let repeat = || bits(0b1100_0101, 8).chain(bits(0, 5));
    let all: Vec<bool> = begin.chain((0..37_000).flat_map(|_| repeat())).chain(bits(0, 7)).collect();
    all.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | u8::from(*bit))).collect()
}

/// Returns bits with the most significant first, as Huffman codes are written.
fn bits(value: u32, count: u32) -> impl Iterator<Item = bool> {
    (0..count).rev().map(move |at| value >> at & 1 == 1)
}

#[tokio::test]
async fn text_that_is_no_utf8() {
    let cases = [
        ("no character", frames(&[(FIN | TEXT, b"\xff")]), 1007),
        ("longer than needed", frames(&[(FIN | TEXT, b"\xc0\xaf")]), 1007),
        ("half of a pair", frames(&[(FIN | TEXT, b"\xed\xa0\x80")]), 1007),
        ("beyond Unicode", frames(&[(FIN | TEXT, b"\xf4\x90\x80\x80")]), 1007),
        ("an end within a character", frames(&[(FIN | TEXT, b"\xe5\x9c")]), 1007),
        ("a character that goes on wrongly", frames(&[(TEXT, b"\xe5\x9c"), (FIN | CONTINUATION, b"x")]), 1007),
        (
            "a character in three parts, of which the last is missing",
            frames(&[(TEXT, b"\xe5"), (CONTINUATION, b"\x9c"), (FIN | CONTINUATION, b"")]),
            1007,
        ),
        ("64 KiB of it", frames(&[(FIN | TEXT, &[0xff; LONGEST])]), 1007),
        ("a reason to close", frames(&[(FIN | CLOSE, b"\x03\xe8\xff")]), 1007),
    ];
    Stage::set(&[]).await.under("invalid UTF-8", async |stage| all(stage, MANY, &cases).await).await;
}

#[tokio::test]
async fn wrong_opcodes_and_no_masks() {
    let mut cases: Vec<Case> =
        (3..=7).chain(0xb..=0xf).map(|op| ("no opcode", frames(&[(FIN | op, b"{}")]), 1002)).collect();
    cases.extend([
        ("reserved bits", frames(&[(FIN | 0x30 | TEXT, b"{}")]), 1002),
        ("no mask", b"\x81\x02{}".to_vec(), 1002),
        ("no mask, and long", [&b"\x81\x7e\x01\x00"[..], &[b'x'; 256]].concat(), 1002),
        ("a ping without a mask", b"\x89\x00".to_vec(), 1002),
        ("a ping of 126 bytes", frames(&[(FIN | PING, &[0; 126])]), 1002),
        ("a close frame of one byte", frames(&[(FIN | CLOSE, b"\x03")]), 1002),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(), 1002),
    ]);
    Stage::set(&[]).await.under("opcodes and masks", async |stage| all(stage, MANY, &cases).await).await;
}
