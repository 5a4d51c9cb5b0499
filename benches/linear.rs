//! Cost per byte of the readers from 1 KB to 100 MB and on 10 MB of one delimiter, beside a `memchr` over the same bytes.
//!
//! `cargo bench --bench linear [WORD]`; with a word, only rows that hold it. Never a test: it sets no threshold. Linear
//! means that the first column does not grow with the length.

#![allow(clippy::unwrap_used, missing_docs)]

mod messages;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fairway_core::hl7v2::mllp::{Decoder, encode};
use fairway_core::hl7v2::{Message, ParseOptions, Separators, escape, split_batch, unescape};

/// Every row is measured for at least this long; the fastest run counts.
const BUDGET: Duration = Duration::from_millis(400);
/// A read from a socket, in bytes.
const READ_BYTES: usize = 8 * 1024;
const KB: usize = 1_000;
const MB: usize = 1_000_000;

/// Nanoseconds of the fastest of several runs.
fn fastest(mut run: impl FnMut()) -> f64 {
    let (started, mut best) = (Instant::now(), Duration::MAX);
    while started.elapsed() < BUDGET {
        let once = Instant::now();
        run();
        best = best.min(once.elapsed());
    }
    best.as_nanos() as f64
}

fn row(name: &str, bytes: &[u8], run: impl FnMut()) {
    if std::env::args().skip(1).any(|word| word != "--bench" && !name.contains(word.as_str())) {
        return;
    }
    // No byte of a message is 0xFF, so this is one pass over the memory and nothing else.
    let scan = fastest(|| assert!(black_box(memchr::memchr(0xFF, black_box(bytes))).is_none()));
    let ours = fastest(run);
    let per_byte = |nanos: f64| nanos / bytes.len() as f64;
    println!(
        "{name:<28} {:>11} bytes {:>8.3} ns/byte {:>8.3} ns/byte of memchr  ratio {:>6.1}",
        bytes.len(),
        per_byte(ours),
        per_byte(scan),
        ours / scan
    );
}

fn parse(name: &str, bytes: &Bytes) {
    let options = ParseOptions { segments_max: usize::MAX, fields_max: usize::MAX, ..ParseOptions::default() };
    row(name, bytes, || drop(black_box(Message::parse(bytes.clone(), &options))));
}

/// Every value of the message, split to its subcomponents and decoded.
fn read(name: &str, bytes: &Bytes) {
    let options = ParseOptions { segments_max: usize::MAX, fields_max: usize::MAX, ..ParseOptions::default() };
    let message = Message::parse(bytes.clone(), &options).unwrap();
    row(name, bytes, || {
        for field in message.segments().flat_map(|segment| segment.fields()) {
            let components = field.repetitions().flat_map(|repetition| repetition.components());
            for value in components.flat_map(|component| component.subcomponents()) {
                black_box(value.text());
            }
        }
    });
}

/// Frames that arrive in reads of 8 KB.
fn framing(name: &str, stream: &[u8]) {
    row(name, stream, || {
        let (mut decoder, mut buffer) = (Decoder::new(usize::MAX), BytesMut::new());
        for read in stream.chunks(READ_BYTES) {
            buffer.extend_from_slice(read);
            while let Some(event) = decoder.decode(&mut buffer).unwrap() {
                black_box(event);
            }
        }
        black_box(decoder.finish(&mut buffer));
    });
}

/// Escapes and resolves it again.
fn escapes(name: &str, text: &str) {
    row(name, text.as_bytes(), || {
        black_box(escape(black_box(text), &Separators::STANDARD));
        black_box(unescape(black_box(text), &Separators::STANDARD));
    });
}

fn batch(name: &str, bytes: &Bytes) {
    row(name, bytes, || {
        black_box(split_batch(bytes.clone()).count());
    });
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let adt = messages::adt("A31", 1, "C1", 1);
    let header = &adt[..=adt.iter().position(|&b| b == b'\r').unwrap()];
    let body = &adt[header.len()..];
    let (framed, text) = {
        let mut framed = BytesMut::new();
        encode(&adt, &mut framed);
        (framed, "Fit & well, 50\\ mg daily\\.br\\caf\u{e9} \\T\\ bar. ")
    };
    for length in [KB, 10 * KB, 100 * KB, MB, 10 * MB, 100 * MB] {
        println!();
        let times = |unit: &[u8]| unit.repeat(length.div_ceil(unit.len()));
        let long = Bytes::from([header, &times(body)].concat());
        parse("parse ADT segments", &long);
        read("read ADT segments", &long);
        // Greek, with a byte in every value that 8859/7 has no character for.
        let greek =
            [b"MSH|^~\\&|LAB||||||ADT^A31|1|P|2.4||||||8859/7\r".as_slice(), &times(b"NTE|1||\xE1\xE2\xD2\xE3\r")];
        read("read 8859/7 with holes", &greek.concat().into());
        parse("parse one document", &[header, b"OBX|1|ED|||", &times(b"QUJD"), b"\r"].concat().into());
        framing("framing 1 KB frames", &times(&framed));
        framing("framing one frame", &[b"\x0B", &times(body)[..], b"\x1C\r"].concat());
        escapes("escape text", &String::from_utf8(times(text.as_bytes())).unwrap());
        batch("batch of 1 KB messages", &times(&adt).into());
        batch("batch one message", &long);
    }
    for unit in ["|", "~", "^", "\r", "\\"] {
        let times = unit.repeat(10 * MB);
        let name = unit.escape_default();
        // A segment may hold 65,534 fields, so that bare `|` are refused early; in lines they are all read.
        let lines = match unit {
            "|" => format!("OBX{}\r", "|".repeat(60_000)).repeat(10 * MB / 60_000),
            unit => format!("OBX|{}\r", unit.repeat(10 * MB)),
        };
        let message = Bytes::from([header, lines.as_bytes()].concat());
        if unit == "|" {
            parse("parse 10 MB of | in one", &[header, b"OBX", times.as_bytes()].concat().into());
        }
        parse(&format!("parse 10 MB of {name}"), &message);
        read(&format!("read 10 MB of {name}"), &message);
        framing(&format!("framing 10 MB of {name}"), &[b"\x0B", times.as_bytes(), b"\x1C\r"].concat());
        escapes(&format!("escape 10 MB of {name}"), &times);
        batch(&format!("batch 10 MB of {name}"), &message);
    }
}
