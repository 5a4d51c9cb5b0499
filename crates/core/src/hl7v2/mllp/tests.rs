//! The decoder on streams that matter, whole and in every split.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 200 * 1024;

/// Feeds the stream in pieces of the given lengths (the rest as one) and gives every event, and the error.
fn run(limit: usize, stream: &[u8], pieces: &[usize]) -> (Vec<Event>, Option<DecodeError>) {
    let (mut decoder, mut buffer, mut events) = (Decoder::new(limit), BytesMut::new(), Vec::new());
    let mut rest = stream;
    let lengths = pieces.iter().copied().chain([usize::MAX]);
    for length in lengths {
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(event)) => events.push(event),
                // Nothing is looked at twice: all but a mark that may go on has been dealt with. The longest is VT, a byte
                // order mark and a header but for its last byte.
                Ok(None) => {
                    let dealt_with = if decoder.in_frame { decoder.scanned + 2 * HEADER_CHARS_MAX + 2 } else { 0 };
                    assert!(buffer.len() <= dealt_with);
                    break;
                }
                Err(error) => return (events, Some(error)),
            }
        }
    }
    while let Some(event) = decoder.finish(&mut buffer) {
        events.push(event);
    }
    assert!(buffer.is_empty() && !decoder.in_frame() && decoder.skipping() == 0);
    (events, None)
}

fn frame(bytes: &[u8], end: FrameEnd) -> Event {
    Event::Frame { bytes: Bytes::copy_from_slice(bytes), end }
}

fn skipped(bytes: usize, blank: bool) -> Event {
    Event::Skipped { bytes, blank }
}

/// Whole, byte by byte, and in twos: always the expected events.
fn check(stream: &[u8], expected: &[Event]) {
    for piece in [stream.len(), 1, 2, 3] {
        let pieces = vec![piece; stream.len() / piece.max(1) + 1];
        let (events, error) = run(LIMIT, stream, &pieces);
        assert_eq!((events.as_slice(), error), (expected, None), "in pieces of {piece}");
    }
}

#[test]
fn frames_and_what_surrounds_them() {
    let (a, b) = (frame(b"MSH|a\r", FrameEnd::Full), frame(b"MSH|b\r", FrameEnd::Full));
    check(b"", &[]);
    check(b"\x0BMSH|a\r\x1C\r\x0BMSH|b\r\x1C\r", &[a.clone(), b.clone()]);
    check(b"junk\x0BMSH|a\r\x1C\r\n\x0BMSH|b\r\x1C\r", &[skipped(4, false), a.clone(), skipped(1, true), b.clone()]);
    check(b"\x0BMSH|a\r\x1C\x0BMSH|b\r\x1C", &[frame(b"MSH|a\r", FrameEnd::NoCr), frame(b"MSH|b\r", FrameEnd::NoCr)]);
    check(b"\x0B\x1C\r", &[frame(b"", FrameEnd::Full)]);
    check(b"MSH|unframed\r", &[skipped(13, false)]);
    check(b"\x1C\r", &[skipped(2, false)]);
}

#[test]
fn framing_bytes_inside_a_message_are_data() {
    check(
        b"\x0BOBX|\x1Cx|\x0Bx\r\x0Bx\r\x0BMSx\x1C\x1C\r",
        &[frame(b"OBX|\x1Cx|\x0Bx\r\x0Bx\r\x0BMSx\x1C", FrameEnd::Full)],
    );
    check(b"\x0BOBX\x0BMSHx\r\x1C\r", &[frame(b"OBX\x0BMSHx\r", FrameEnd::Full)]);
}

#[test]
fn fs_lf_ends_a_frame_and_fs_in_a_text_does_not() {
    check(
        b"\x0BMSH|a\r\x1C\n\x0BMSH|b\x1Cc\n\x1C\n",
        &[frame(b"MSH|a\r", FrameEnd::Lf), frame(b"MSH|b\x1Cc\n", FrameEnd::Lf)],
    );
}

#[test]
fn vt_written_more_than_once_opens_one_frame() {
    let a = frame(b"MSH|a\r", FrameEnd::Full);
    check(b"\x0B\x0BMSH|a\r\x1C\r", &[skipped(1, false), a.clone()]);
    check(b"\x0B\x0B\x0BMSH|a\r\x1C\r", &[skipped(2, false), a.clone()]);
    check(b"\x0B\r\x0BMSH|a\r\x1C\r", &[skipped(2, false), a.clone()]);
    check(b"\x0B\r\n \x0B\x0B\x0BMSH|a\r\x1C\r", &[skipped(6, false), a]);
}

#[test]
fn blanks_between_frames_are_told_from_junk() {
    let a = frame(b"MSH|a\r", FrameEnd::Full);
    check(
        b"\x0BMSH|a\r\x1C\r\r\n \t\x0BMSH|a\r\x1C\r\n.\n\x0BMSH|a\r\x1C\r\n",
        &[a.clone(), skipped(4, true), a.clone(), skipped(3, false), a, skipped(1, true)],
    );
}

#[test]
fn an_abandoned_frame_is_handed_out() {
    check(
        b"\x0BMSH|a\r\x0BMSH|b\r\x1C\r",
        &[Event::Restarted { dropped: Bytes::from_static(b"MSH|a\r") }, frame(b"MSH|b\r", FrameEnd::Full)],
    );
    // Wherever it broke off: the rest must never be read as the end of what came before.
    check(
        b"\x0BMSH|a\rEVN|A3\x0BMSH|b\r\x1C\r",
        &[Event::Restarted { dropped: Bytes::from_static(b"MSH|a\rEVN|A3") }, frame(b"MSH|b\r", FrameEnd::Full)],
    );
    check(b"\x0BMSH|a\r\x0BMS", &[Event::Unfinished { bytes: Bytes::from_static(b"MSH|a\r\x0BMS") }]);
    check(b"\x0B", &[Event::Unfinished { bytes: Bytes::new() }]);
}

#[test]
fn the_limit_counts_the_message_alone() {
    let mut stream = BytesMut::new();
    encode(b"12345", &mut stream);
    assert_eq!(run(5, &stream, &[]).1, None);
    assert_eq!(run(5, &stream, &[1; 20]).1, None);
    for pieces in [&[][..], &[1; 20]] {
        assert_eq!(run(4, &stream, pieces), (vec![], Some(DecodeError::TooLarge { limit: 4 })));
    }
    assert_eq!(run(4, b"\x0B123456789", &[2; 9]).1, Some(DecodeError::TooLarge { limit: 4 }));
}

#[test]
fn a_refused_frame_can_be_read_from_the_buffer() {
    let (mut decoder, mut buffer) = (Decoder::new(3), BytesMut::from(&b"x\x0BMSH|"[..]));
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(skipped(1, false))));
    assert!(decoder.decode(&mut buffer).is_err() && decoder.decode(&mut buffer).is_err());
    assert_eq!(&buffer[..], b"MSH|");
}

#[test]
fn a_small_frame_does_not_hold_the_read_buffer() {
    let mut buffer = BytesMut::with_capacity(1 << 20);
    encode(b"MSH|small", &mut buffer);
    let address = buffer.as_ptr();
    let event = Decoder::new(LIMIT).decode(&mut buffer).unwrap().unwrap();
    buffer.reserve(1 << 20);
    assert_eq!(buffer.as_ptr(), address, "the memory is in use again while the frame lives");
    drop(event);
}

#[test]
fn a_document_is_not_copied_and_takes_its_memory_along() {
    let mut buffer = BytesMut::new();
    encode(&vec![b'x'; LIMIT], &mut buffer);
    let address = buffer.as_ptr();
    buffer.extend_from_slice(b"\x0BMSH");
    let Some(Event::Frame { bytes, .. }) = Decoder::new(LIMIT).decode(&mut buffer).unwrap() else { panic!("a frame") };
    assert_eq!((bytes.as_ptr(), bytes.len()), (address.wrapping_add(1), LIMIT));
    assert_eq!(&buffer[..], b"\x0BMSH");
    assert!(buffer.capacity() < 1024);
}

#[test]
fn events_print_no_content() {
    assert_eq!(format!("{:?}", frame(b"PID|1|secret", FrameEnd::Full)), "Frame(12 bytes, Full)");
}

/// Streams made of the bytes and runs that matter, so that every branch meets every split.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just(vec![VT]),
        3 => Just(vec![FS, CR]),
        2 => Just(vec![FS]),
        2 => Just(vec![CR]),
        1 => Just(vec![b'\n']),
        2 => Just(b"\r\x0BMSH|".to_vec()),
        2 => Just(b"MSH".to_vec()),
        1 => Just(b"MS".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (COPIED_BYTES_MAX - 2..COPIED_BYTES_MAX + 3).prop_map(|n| vec![b'x'; n]),
        2 => (ways(), "\r{0,1}").prop_map(|(way, line_end)| written(&line_end, way)),
        3 => (ways(), wide_texts(), 0..60_usize).prop_map(|(way, text, cut)| {
            let mut message = written(&text, way);
            message.truncate(message.len() - cut.min(message.len()) / 2);
            [&[VT], &message[..]].concat()
        }),
    ];
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// The ways in which UTF-16 is written: little-endian or not, with a byte order mark or not.
const WAYS: [(bool, bool); 4] = [(true, false), (true, true), (false, false), (false, true)];

/// Text as UTF-16.
fn written(text: &str, (little, marked): (bool, bool)) -> Vec<u8> {
    let units = marked.then_some(0xFEFF_u16).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

/// Texts of which some bytes in UTF-16 are those of a frame's end or beginning, alone or beside each other.
const LETTERS: [&str; 18] = [
    "\u{a1c}",
    "\u{d1c}",
    "\u{b1c}",
    "\u{1c0d}",
    "\u{1c0a}",
    "\u{1c0b}",
    "\u{1ca0}",
    "\u{201c}\u{d87}",
    "\u{201c}\u{b87}",
    "\u{1c0d}\u{1c0d}",
    "\u{d3e}\u{1c00}\u{10d}",
    "\u{100}\u{d1c}\u{d3e}",
    "\u{d1c}\u{d1c}",
    "\u{b95}",
    "\u{200b}",
    "\u{b}",
    "\u{1c}",
    "\u{1c}\u{d}OBX",
];

fn ways() -> impl Strategy<Value = (bool, bool)> {
    prop::sample::select(&WAYS[..])
}

/// Messages of such letters.
fn wide_texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&LETTERS[..]),
        2 => prop::sample::select(&["a", "|", "\rOBX|", "\r\nx", "\n", "MSH", "MSH|", " "][..]),
    ];
    let end = prop::sample::select(&["\r", "\r\n", "\r\r"][..]);
    (prop::collection::vec(piece, 0..30), end)
        .prop_map(|(pieces, end)| format!("MSH|^~\\&|A\rOBX|1|{}|F{end}", pieces.concat()))
}

proptest! {
    #[test]
    fn every_split_gives_the_same_events(
        stream in streams(),
        pieces in prop::collection::vec(prop_oneof![0usize..8, 0usize..100_000], 0..64),
        limit in prop_oneof![0usize..60, Just(COPIED_BYTES_MAX), Just(LIMIT)],
    ) {
        prop_assert_eq!(run(limit, &stream, &pieces), run(limit, &stream, &[]));
    }

    #[test]
    fn every_byte_is_accounted_for(stream in streams()) {
        let (events, error) = run(usize::MAX, &stream, &[]);
        prop_assert_eq!(error, None);
        let data: usize = events.iter().map(|event| match event {
            Event::Frame { bytes, .. } => bytes.len() + 2,
            Event::Skipped { bytes, .. } => *bytes,
            Event::Restarted { dropped } => dropped.len() + 1,
            Event::Unfinished { bytes } => bytes.len() + 1,
        }).sum();
        let full = events.iter().filter(|e| matches!(e, Event::Frame { end: FrameEnd::Full | FrameEnd::Lf, .. })).count();
        prop_assert_eq!(data + full, stream.len());
    }

    #[test]
    fn what_is_encoded_is_decoded(messages in prop::collection::vec("[ -~\r]{0,80}", 0..20), pieces in prop::collection::vec(0usize..30, 0..64)) {
        let mut stream = BytesMut::new();
        messages.iter().for_each(|message| encode(message.as_bytes(), &mut stream));
        let expected: Vec<Event> = messages.iter().map(|message| frame(message.as_bytes(), FrameEnd::Full)).collect();
        prop_assert_eq!(run(LIMIT, &stream, &pieces), (expected, None));
    }

    /// Whole messages come out as they are, cut ones never as a frame and never with the next one in them.
    #[test]
    fn utf16_is_decoded_whole_or_told_as_cut(
        messages in prop::collection::vec((ways(), wide_texts(), prop::option::of(any::<prop::sample::Index>())), 0..8),
        pieces in prop::collection::vec(0usize..30, 0..64),
    ) {
        let (mut stream, mut expected) = (BytesMut::new(), Vec::new());
        for (way, text, cut) in &messages {
            let message = written(text, *way);
            match cut {
                None => {
                    encode(&message, &mut stream);
                    expected.push(frame(&message, FrameEnd::Full));
                }
                // Cut behind its header, without which there is no telling that it begins another.
                Some(cut) => {
                    let header = 2 * HEADER_CHARS_MAX + 2;
                    let cut = &message[..header + cut.index(message.len() - header)];
                    stream.extend_from_slice(&[&[VT], cut].concat());
                    expected.push(Event::Restarted { dropped: Bytes::copy_from_slice(cut) });
                }
            }
        }
        encode(b"MSH|^~\\&|last\r", &mut stream);
        expected.push(frame(b"MSH|^~\\&|last\r", FrameEnd::Full));
        prop_assert_eq!(run(LIMIT, &stream, &pieces), (expected, None));
    }
}

#[test]
fn a_soft_line_break_before_a_word_is_text() {
    for text in ["MSH-2 lost\x0BMSH-6 lost", "raised\x0BMSH, LH and FSH", "\x0BMSH: normal", "a\x0BMSH-", "a\x0BMSH#1"]
    {
        let stream = format!("\x0BMSH|^~\\&|A\rOBX|1|TX|R||{text}\r\x1C\r");
        for split in 0..stream.len() {
            let mut decoder = Decoder::new(1000);
            let mut buffer = BytesMut::from(&stream.as_bytes()[..split]);
            let mut events = Vec::new();
            for rest in [&b""[..], &stream.as_bytes()[split..]] {
                buffer.extend_from_slice(rest);
                while let Some(event) = decoder.decode(&mut buffer).unwrap() {
                    events.push(event);
                }
            }
            assert!(matches!(&events[..], [Event::Frame { .. }]), "{text} {split}: {events:?}");
        }
    }
    // A whole header is a new start, also with delimiters of its own.
    let mut buffer = BytesMut::from(&b"\x0BMSH|^~\\&|A\rOBX|1\x0BMSH#:*!@#B\r\x1C\r"[..]);
    let mut decoder = Decoder::new(1000);
    assert!(matches!(decoder.decode(&mut buffer), Ok(Some(Event::Restarted { .. }))));
}

/// A message whose text has this in the middle, at the end of a field and at the end of a line.
fn noted(text: &str) -> String {
    format!("MSH|^~\\&|A\rOBX|1|ST|A||Note: {text} seen{text}|{text}\rOBX|2|NM|K||7.2|||HH|||F\r")
}

#[test]
fn letters_of_utf16_that_look_like_framing_are_text() {
    for (way, letters) in WAYS.into_iter().flat_map(|way| LETTERS.map(|letters| (way, letters))) {
        let message = written(&noted(letters), way);
        let mut stream = BytesMut::new();
        encode(&message, &mut stream);
        let one = frame(&message, FrameEnd::Full);
        check(&stream, std::slice::from_ref(&one));
        check(&stream.repeat(2), &[one.clone(), one.clone()]);
        check(&[&stream[..], b"\n", &stream[..]].concat(), &[one.clone(), skipped(1, true), one.clone()]);
        for split in 0..stream.len() {
            let (mut decoder, mut buffer) = (Decoder::new(LIMIT), BytesMut::from(&stream[..split]));
            assert_eq!(decoder.decode(&mut buffer), Ok(None), "{letters:?} {way:?} {split}");
            buffer.extend_from_slice(&stream[split..]);
            // Without anything behind it.
            assert_eq!(decoder.decode(&mut buffer), Ok(Some(one.clone())), "{letters:?} {way:?} {split}");
        }
    }
}

#[test]
fn a_cut_message_never_takes_the_next_one_in_utf16() {
    let narrow = noted("x").into_bytes();
    let all: Vec<Vec<u8>> = WAYS.iter().map(|way| written(&noted("\u{d1c}\u{1c0d}"), *way)).chain([narrow]).collect();
    for (first, next) in all.iter().flat_map(|first| all.iter().map(move |next| (first, next))) {
        for cut in 2..=first.len() {
            let mut stream = BytesMut::from(&[&[VT], &first[..cut]].concat()[..]);
            encode(next, &mut stream);
            let dropped = Bytes::copy_from_slice(&first[..cut]);
            check(&stream, &[Event::Restarted { dropped }, frame(next, FrameEnd::Full)]);
        }
    }
    // A batch as well.
    for way in WAYS {
        let (first, next) = (written("MSH|^~\\&|A\rOBX|1|cu", way), written("FHS|^~\\&|A\rMSH|^~\\&|B\r", way));
        for first in [&first[..], &first[..first.len() - 1]] {
            let stream = [&[VT], first, &[VT], &next[..], &[FS, CR]].concat();
            let dropped = Bytes::copy_from_slice(first);
            check(&stream, &[Event::Restarted { dropped }, frame(&next, FrameEnd::Full)]);
        }
    }
}

#[test]
fn the_end_of_utf16_is_in_step_and_behind_a_segment() {
    for way in WAYS {
        let (whole, open) = (written(&noted("x"), way), written(noted("x").trim_end(), way));
        let framed = |message: &[u8], end: &[u8]| [&[VT], message, end].concat();
        let (full, no_cr) = (frame(&whole, FrameEnd::Full), frame(&whole, FrameEnd::NoCr));
        check(&framed(&whole, b"\x1C"), std::slice::from_ref(&no_cr));
        check(&framed(&whole, b"\x1C").repeat(2), &[no_cr.clone(), no_cr]);
        // FS CR behind a letter may be another letter, of a message that was cut behind it. FS LF is always one, and nothing
        // is the end out of step.
        let odd = [&whole[..], b"\r"].concat();
        for (message, end) in [(&open, &b"\x1C\r"[..]), (&open, b"\x1C"), (&whole, b"\x1C\n"), (&odd, b"\x1C\r")] {
            let bytes = Bytes::from([message, end].concat());
            check(&framed(message, end), &[Event::Unfinished { bytes: bytes.clone() }]);
            let next = [framed(message, end), framed(&whole, b"\x1C\r")].concat();
            check(&next, &[Event::Restarted { dropped: bytes }, full.clone()]);
        }
    }
}

#[test]
fn blanks_and_a_second_vt_before_utf16_are_passed_over() {
    for way in WAYS {
        let message = written(&noted("\u{d1c}\u{1c0d}\u{201c}\u{d87}"), way);
        let own = ["\r\n ", "\n"].map(|blanks| written(blanks, (way.0, false)));
        for blanks in [&b""[..], b"\n", b"\r\n", &own[0], &own[1]] {
            // LF and the first zero of big-endian text are a little-endian LF.
            if blanks != b"\n" || way != (false, false) {
                let content = [blanks, &message].concat();
                check(&[&[VT], &content[..], &[FS, CR]].concat(), &[frame(&content, FrameEnd::Full)]);
            }
            let doubled = [&[VT], blanks, &[VT], &message, &[FS, CR]].concat();
            check(&doubled, &[skipped(blanks.len() + 1, false), frame(&message, FrameEnd::Full)]);
        }
    }
}

#[test]
fn half_a_letter_of_utf16_before_a_word_is_no_frame() {
    for (way, letter) in WAYS.into_iter().flat_map(|way| ["\u{b95}", "\u{200b}", "\u{b}"].map(|letter| (way, letter))) {
        for word in ["MSH", "MSH|", "MSH|^", "MSH-2 lost", "MSH||", "MSH|^~\\& |"] {
            let message = written(&noted(&format!("{letter}{word}")), way);
            check(&[&[VT], &message[..], &[FS, CR]].concat(), &[frame(&message, FrameEnd::Full)]);
        }
    }
}
