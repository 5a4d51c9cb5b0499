//! The reader on the inputs that real senders produce and hostile ones invent.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::hl7v2::{Level, ParseErrorKind, WarningCode};
use proptest::prelude::*;

const HEADER: &str = "MSH|^~\\&|PAS^1|RXX|RCV|FAC|20240403||ADT^A28^ADT_A05|ID1|P^T|2.4\r";

fn parse(text: impl Into<Bytes>) -> Message {
    Message::parse(text.into(), &ParseOptions::default()).unwrap()
}

fn with(lines: &str) -> Message {
    parse(format!("{HEADER}{lines}"))
}

fn names(message: &Message) -> Vec<&str> {
    message.segments().map(|segment| segment.name()).collect()
}

fn codes(message: &Message) -> Vec<WarningCode> {
    message.warnings().iter().map(|warning| warning.code).collect()
}

fn refused(bytes: &'static [u8]) -> ParseErrorKind {
    let error = Message::parse(bytes.into(), &ParseOptions::default()).unwrap_err();
    assert!(error.offset <= bytes.len());
    error.kind
}

#[test]
fn header_shortcuts() {
    let message = parse(HEADER);
    assert_eq!(message.sending_application(), "PAS");
    assert_eq!(message.sending_facility(), "RXX");
    assert_eq!(message.receiving_application(), "RCV");
    assert_eq!(message.receiving_facility(), "FAC");
    assert_eq!((message.code(), message.trigger()), ("ADT".into(), "A28".into()));
    assert_eq!(message.structure_id(), "ADT_A05");
    assert_eq!(message.control_id(), "ID1");
    assert_eq!(message.processing_id(), "P");
    assert_eq!(message.version(), "2.4");
    assert_eq!(message.warnings(), []);
    assert_eq!(parse("MSH|^~\\&|||||||ADT\rEVN|A31\r").trigger(), "A31");
    let header = message.first("MSH").unwrap();
    assert_eq!(header.field(1).raw(), b"|");
    assert_eq!(header.field(2).text(), "^~\\&");
    assert_eq!(header.field(2).repetitions().count(), 1);
    assert_eq!(header.field(2).component(1).raw(), b"^~\\&");
    assert_eq!(header.field(2).component(2).raw(), b"");
    assert_eq!(header.field_count(), 12);
}

#[test]
fn values_at_every_level() {
    let message = with("PID|1||A^B&b2&b3~C^^D|\"\"||^^~|x&y\r");
    let pid = message.first("PID").unwrap();
    let field = pid.field(3);
    assert_eq!(field.level(), Level::Field);
    assert_eq!(field.repetitions().map(|r| r.raw()).collect::<Vec<_>>(), [b"A^B&b2&b3".as_slice(), b"C^^D"]);
    assert_eq!(field.component(2).raw(), b"B&b2&b3");
    assert_eq!(field.component(2).subcomponent(3).text(), "b3");
    assert_eq!(field.subcomponent(1).text(), "A");
    assert_eq!(field.repetition(2).component(3).text(), "D");
    assert_eq!(field.repetition(2).components().count(), 3);
    assert_eq!(field.component(2).component(1).raw(), b"B&b2&b3", "component 1 of a component is itself");
    assert!(field.component(2).component(2).is_empty());
    assert!(field.repetition(3).is_empty() && field.repetition(0).is_empty());
    assert_eq!(pid.field(2).repetitions().count(), 0);
    assert_eq!(pid.field(2).components().count(), 0);
    let null = pid.field(4);
    assert!(null.is_null() && !null.is_empty() && !null.is_valued());
    assert_eq!((null.text(), null.component(1).is_null()), ("".into(), true));
    assert!(!pid.field(6).is_valued() && !pid.field(6).is_empty());
    assert!(pid.field(7).is_valued() && pid.field(1).is_valued());
    assert!(pid.field(99).is_empty() && pid.field(u16::MAX).is_empty());
    assert_eq!(pid.field(7).component(1).text(), "x&y", "an ampersand in text survives");
}

#[test]
fn places_are_named_and_values_are_small() {
    let message = with("OBX|1\rOBX|1||||a^b~c&d\rjunk|x\r");
    let obx = message.segment_at(2).unwrap();
    let place = |value: Value<'_>| value.location().to_string();
    assert_eq!(place(obx.field(5)), "OBX[2]-5");
    assert_eq!(place(obx.field(5).component(2)), "OBX[2]-5[1].2");
    assert_eq!(place(obx.field(5).repetition(2).subcomponent(2)), "OBX[2]-5[2].1.2");
    assert_eq!(place(obx.field(9).component(3)), "OBX[2]-9[1].3", "absent values have a place");
    assert_eq!(place(obx.field(1).repetition(7)), "OBX[2]-1[7]");
    assert_eq!(format!("{:?}", obx.field(5)), "OBX[2]-5", "debug output shows no content");
    assert!(size_of::<Value<'_>>() <= 32);
}

#[test]
fn header_oddities() {
    assert_eq!(refused(b""), ParseErrorKind::Empty);
    assert_eq!(refused(b"\r\n \0"), ParseErrorKind::Empty);
    assert_eq!(refused(b"\x1c\r"), ParseErrorKind::Empty);
    assert_eq!(refused(b"MSH"), ParseErrorKind::FieldSeparator);
    assert_eq!(refused(b"MSH|"), ParseErrorKind::EncodingCharactersMissing);
    assert_eq!(refused(b"MSH|\n"), ParseErrorKind::EncodingCharactersMissing);
    assert_eq!(refused(b"MSH||PAS|"), ParseErrorKind::EncodingCharactersMissing);
    assert_eq!(refused(b"MSH|PAS|RXX"), ParseErrorKind::EncodingCharacters);
    assert_eq!(refused(b"PID|1\r"), ParseErrorKind::NoHeader);
    assert_eq!(refused(b"FHS|^~\\&\rMSH|^~\\&|\r"), ParseErrorKind::BatchEnvelope);
    assert_eq!(refused(b"MSH|^~\\&|A\rPID|1\rMSH|^~\\&|B\r"), ParseErrorKind::SecondHeader);
    let five = parse("MSH|^~\\&#|PAS|RXX|||2024||ADT^A01|ID\r");
    assert_eq!((five.trigger(), five.control_id()), ("A01".into(), "ID".into()));
    assert_eq!(five.separators().truncation, Some(b'#'));
    let other = parse("MSH$*!?@$PAS\rPID$a*b!c$x?F?y\r");
    assert_eq!(other.text("PID-1.2").as_deref(), Some("b"));
    assert_eq!(other.text("PID-1[2]").as_deref(), Some("c"));
    assert_eq!(other.text("PID-2").as_deref(), Some("x$y"));
    let short = parse("MSH|^|PAS\rPID|a~b&c\r");
    assert_eq!(short.text("PID-1").as_deref(), Some("a~b&c"), "what is not declared is text");
    assert_eq!(codes(&short), [WarningCode::OddEncodingCharacters]);
    let alone = parse("MSH|^~\\&");
    assert_eq!((alone.segment_count(), alone.control_id()), (1, "".into()));
}

#[test]
fn every_version_and_none() {
    for version in ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.2", "", "9"]
    {
        let message = parse(format!("MSH|^~\\&|PAS||||||ADT^A01|1|P|{version}^GBR\rPID|1||7^^^NHS\rZXX|a\r"));
        assert_eq!((message.version().as_ref(), names(&message).join(" ").as_str()), (version, "MSH PID ZXX"));
        assert_eq!(message.text("PID-3[NHS].1").as_deref(), Some("7"));
        assert_eq!(codes(&message), []);
    }
}

#[test]
fn line_ends() {
    for end in ["\r", "\n", "\r\n"] {
        let message = parse(["MSH|^~\\&|PAS", "EVN|A28", "PID|1|2"].join(end) + end);
        assert_eq!(names(&message), ["MSH", "EVN", "PID"], "{end:?}");
        assert_eq!(message.text("PID-2").as_deref(), Some("2"));
        let expected: &[_] = if end == "\r" { &[] } else { &[WarningCode::LineFeed] };
        assert_eq!(codes(&message), expected, "{end:?}");
    }
    assert_eq!(codes(&parse("MSH|^~\\&|\rPID|1")), [WarningCode::NoFinalTerminator]);
}

#[test]
fn lines_are_never_dropped() {
    let message = with("\r\rEVN\r  \r PID|1|x\rgarbage in|the middle\rEVN|2\rpv1|1\r\r");
    assert_eq!(names(&message), ["MSH", "EVN", "PID", "???", "EVN", "???"]);
    assert_eq!(message.text("PID-2").as_deref(), Some("x"));
    assert_eq!(message.first("EVN").unwrap().field_count(), 0, "a segment without fields");
    assert_eq!(message.segment_at(3).unwrap().raw(), b"garbage in|the middle");
    assert_eq!(message.segment_at(3).unwrap().field(1).text(), "the middle");
    assert_eq!(message.segment_at(5).unwrap().occurrence(), 2);
    assert_eq!(message.text("EVN[2]-1").as_deref(), Some("2"));
    let found = codes(&message);
    for code in [WarningCode::BlankLine, WarningCode::LeadingBlanks, WarningCode::NotASegment] {
        assert!(found.contains(&code), "{code:?}");
    }
}

#[test]
fn wrapped_lines_stay_in_their_field() {
    // A text typed with line ends: in OBX whatever the terminator, elsewhere when it is CR.
    let message = with("OBX|1|TX|||line one\r\rline two\rIMP: x|||||F\rNTE|1||a\nb\rPID|1|x\ny|z\r");
    assert_eq!(names(&message), ["MSH", "OBX", "NTE", "PID"]);
    assert_eq!(message.get(&Path::parse("OBX-5").unwrap()).unwrap().formatted(), "line one\n\nline two\nIMP: x");
    assert_eq!(message.text("OBX-10").as_deref(), Some("F"));
    assert_eq!(message.text("NTE-3").as_deref(), Some("a\nb"));
    assert_eq!(message.text("PID-3").as_deref(), Some("z"));
    assert_eq!(codes(&message), [WarningCode::WrappedLine; 4]);
    assert_eq!(names(&with("OBX|1||x\robx|2||y\r")), ["MSH", "OBX", "???"]);
    let feeds = parse("MSH|^~\\&|\nPID|1|x\njunk\nOBX|1|TX|||a\nb\n");
    assert_eq!(names(&feeds), ["MSH", "PID", "???", "OBX"]);
    assert_eq!(feeds.text("OBX-5").as_deref(), Some("a\nb"));
}

#[test]
fn words_on_a_line_of_their_own_are_text() {
    // Typed line ends in a message that ends its segments in CR; line ends of the message's own.
    for (end, lines) in [("\r", "\n"), ("\n", "\n"), ("\r\n", "\r\n"), ("\r", "\r")] {
        let text = ["OBX|1|TX|||CHEST X-RAY:", "NAD", "No fracture seen.||||||F"].join(lines);
        let message = parse([HEADER.trim_end(), &text, "NTE|1||done", "EVN|1", ""].join(end));
        assert_eq!(names(&message), ["MSH", "OBX", "NTE", "EVN"], "{end:?} {lines:?}");
        assert_eq!(
            message.get(&Path::parse("OBX-5").unwrap()).unwrap().formatted(),
            "CHEST X-RAY:\nNAD\nNo fracture seen."
        );
        assert_eq!(message.text("OBX-11").as_deref(), Some("F"));
    }
    let message = with("OBX|1|TX|||Diagnosis:\nPID\nBTS\nMSH\nMSH-2 lost\nABC|x\rOBX|2\nOBX|3\rZZZ\nnot of its name\r");
    assert_eq!(names(&message), ["MSH", "OBX", "OBX", "OBX", "ZZZ", "???"]);
    assert_eq!(message.text("OBX-5").as_deref(), Some("Diagnosis:\nPID\nBTS\nMSH\nMSH-2 lost\nABC"));
    assert_eq!(message.text("OBX-6").as_deref(), Some("x"));
    assert_eq!(message.segment_at(4).unwrap().field(0).raw(), b"ZZZ", "no text is hidden in a segment's name");
    // Elsewhere a typed line end is believed for words, too, but not for segments of either kind.
    assert_eq!(names(&with("PID|1|12 HIGH ST\nUSA\nEVN\nABC|1\r")), ["MSH", "PID", "EVN", "ABC"]);
}

#[test]
fn another_message_with_other_delimiters_is_refused() {
    assert_eq!(refused(b"MSH|^~\\&|A\rPID|1\rMSH#^~\\&#B\rPID#2\r"), ParseErrorKind::SecondHeader);
    assert_eq!(refused(b"MSH|^~\\&|A\rOBX|1||a\nMSH|^~\\&|B\r"), ParseErrorKind::SecondHeader);
}

#[test]
fn what_stands_around_the_message() {
    let message = parse("\u{feff}\x0b MSH|^~\\&|PAS\rPID|1\r\x1c\r");
    assert_eq!(names(&message), ["MSH", "PID"]);
    assert_eq!(codes(&message), [WarningCode::ByteOrderMark, WarningCode::LeadingBytes, WarningCode::TrailingBytes]);
    let trailer = with("PID|1\rBTS|1\r");
    assert_eq!(codes(&trailer), [WarningCode::BatchEnvelope]);
    assert_eq!(names(&with("PID|1\rBHS#^~\\&#A\r")), ["MSH", "PID", "???"]);
}

#[test]
fn character_sets() {
    let check = |msh18: &str, name: &[u8], expected: &str, warnings: &[WarningCode]| {
        let mut bytes = format!("MSH|^~\\&|||||||ADT^A28|1|P|2.4||||||{msh18}\rPID|||||").into_bytes();
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(b"^x\r");
        let message = parse(bytes);
        assert_eq!(message.text("PID-5.1").as_deref(), Some(expected), "{msh18}");
        assert_eq!(codes(&message), warnings, "{msh18}");
    };
    check("8859/1", b"Si\xE2n", "Siân", &[]);
    check("8859/15", b"\xA4", "€", &[]);
    check("UNICODE UTF-8", "Siân".as_bytes(), "Siân", &[]);
    check("", "Siân".as_bytes(), "Siân", &[]);
    check("8859/1", "Siân".as_bytes(), "Siân", &[WarningCode::MislabelledCharset]);
    check("ASCII", "Siân".as_bytes(), "Siân", &[WarningCode::MislabelledCharset]);
    check("UNICODE UTF-8", b"Si\xE2n", "Siân", &[WarningCode::InvalidCharacters]);
    check("", b"Si\xE2n", "Siân", &[WarningCode::InvalidCharacters]);
    check("ASCII", b"Si\xE2n", "Siân", &[WarningCode::InvalidCharacters]);
    // Letters that are UTF-8 by chance, alone in their message.
    check("8859/2", b"J\xd3\xacWIAK", "JÓŹWIAK", &[WarningCode::AmbiguousCharset]);
    check("8859/4", b"\xd3\xaaNI\xd1\xa9", "ĶĒNIŅŠ", &[WarningCode::AmbiguousCharset]);
    check("8859/15", b"KR\xc4\xb4", "KRÄŽ", &[WarningCode::AmbiguousCharset]);
    check("8859/1", b"CAF\xc9\xbb", "CAFÉ»", &[WarningCode::AmbiguousCharset]);
    check("8859/2", "Siân".as_bytes(), "Siân", &[WarningCode::MislabelledCharset]);
    // One value decides nothing for itself.
    check("8859/1", b"CAF\xc9\xbb Si\xe2n", "CAFÉ» Siân", &[]);
    check("8859/1", b"CAF\xc9\xbb^\xe2", "CAFÉ»", &[]);
    check("KLINGON", b"Sian", "Sian", &[WarningCode::UnknownCharset]);
    check("8859/1~UNICODE UTF-8", b"Si\xE2n", "Siân", &[]);
    check("8859/1", b"\\XE9\\", "é", &[]);
    check("", b"\\XC3A9\\ caf\\XC3\\\\XA9\\", "é café", &[]);
    check("", b"\xFF\xFE\x81", "ÿþ\u{81}", &[WarningCode::InvalidCharacters]);
    let utf16: Vec<u8> = "\u{feff}MSH|^~\\&|PAS\rPID|1|Siân\r".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let message = parse(utf16);
    assert_eq!(message.text("PID-2").as_deref(), Some("Siân"));
    assert_eq!(codes(&message), [WarningCode::Utf16]);
}

#[test]
fn text_borrows_when_nothing_changes() {
    let message = with("PID|plain|Siân|a\\T\\b| x |a\\.br\\b\r");
    let pid = message.first("PID").unwrap();
    assert!(matches!(pid.field(1).text(), Cow::Borrowed("plain")));
    assert!(matches!(pid.field(2).text(), Cow::Borrowed("Siân")));
    assert_eq!(pid.field(3).text(), "a&b");
    assert_eq!((pid.field(4).text(), pid.field(4).trimmed()), (" x ".into(), "x".into()));
    assert_eq!(pid.field(5).text(), "a\nb");
}

#[test]
fn limits_hold() {
    let options = ParseOptions { segments_max: 3, fields_max: 20, ..ParseOptions::default() };
    let kind = |lines: String| Message::parse(format!("{HEADER}{lines}").into(), &options).map_err(|e| e.kind);
    assert!(kind("PID|1\rPV1|1\r".into()).is_ok());
    assert_eq!(kind("A01\r".repeat(3)).err(), Some(ParseErrorKind::TooManySegments));
    assert_eq!(kind("|".repeat(30)).err(), Some(ParseErrorKind::TooManyFields));
    let wide = format!("{HEADER}PID{}", "|".repeat(70_000));
    let error = Message::parse(wide.into(), &ParseOptions::default()).unwrap_err();
    assert_eq!(error.kind, ParseErrorKind::TooManyFields);
    assert!(with(&"\r".repeat(10_000)).warnings().len() <= crate::hl7v2::WARNINGS_MAX);
    let error = error.to_string();
    assert!(error.contains("split") && error.contains("byte"), "says what the sender can do: {error}");
}

/// Megabytes of each delimiter. A quadratic reader would need hours.
#[test]
fn hostile_sizes_are_read_in_linear_time() {
    const BYTES: usize = 2_000_000;
    let options = ParseOptions { segments_max: usize::MAX, fields_max: usize::MAX, ..ParseOptions::default() };
    let line = |content: &str| content.repeat(BYTES / content.len());
    for lines in [
        line("\r"),
        line("\n"),
        line("PID|||||||||||||||||||||\r"),
        line("A00\rB01\rC02\r"),
        line("x\r"),
        format!("OBX|1{}", line("\n")),
        format!("OBX|1{}x", line("\r \n")),
        format!("NTE|1{}", line("\nx")),
        format!("{} x", line(" ")),
    ] {
        let message = Message::parse(format!("{HEADER}{lines}").into(), &options).unwrap();
        assert!(message.segment_count() >= 1);
    }
    for content in ["~", "^", "&", "\\", "\\X4\\", "\\.br\\", "\\.in99\\x", "\\H\\x\\N\\", "\"\"~"] {
        let message = Message::parse(format!("{HEADER}OBX|{}", line(content)).into(), &options).unwrap();
        let field = message.segment_at(1).unwrap().field(1);
        field.is_valued();
        field.text();
        assert!(field.formatted().len() < 3 * BYTES && field.html().len() < 8 * BYTES, "{content}");
        assert!(field.repetitions().count() + field.components().count() >= 1);
        assert!(field.component(usize::MAX).is_empty());
    }
}

#[test]
fn a_large_document_is_not_copied() {
    let bytes = Bytes::from(format!("{HEADER}OBX|1|ED|||{}\r", "QUJD".repeat(1_000_000)));
    let message = Message::parse(bytes.clone(), &ParseOptions::default()).unwrap();
    let document = message.first("OBX").unwrap().field(5);
    assert!(bytes.as_ptr_range().contains(&document.raw().as_ptr()));
    assert!(matches!(document.text(), Cow::Borrowed(text) if text.len() == 4_000_000));
}

/// Every byte behind the leading junk lies in a segment or is a line end, blank or trailing byte,
/// and every line with something on it is reachable.
fn nothing_is_lost(message: &Message) {
    let bytes = message.bytes();
    let base = bytes.as_ptr() as usize;
    let mut at = message.segment_at(0).unwrap().raw().as_ptr() as usize - base;
    for segment in message.segments() {
        let start = segment.raw().as_ptr() as usize - base;
        assert!(bytes[at..start].iter().all(|b| b" \t\r\n".contains(b)));
        let pieces: Vec<&[u8]> = (0..=segment.field_count())
            .filter(|n| !(segment.name() == "MSH" && *n == 1))
            .map(|n| segment.field(n).raw())
            .collect();
        assert_eq!(pieces.join(&message.separators().field), segment.raw());
        at = start + segment.raw().len();
    }
    assert!(bytes[at..].iter().all(|b| b" \t\r\n\0\x1a\x1c".contains(b)));
}

fn read_all(message: &Message) {
    for segment in message.segments() {
        for field in segment.fields() {
            let repetitions: Vec<&[u8]> = field.repetitions().map(|r| r.raw()).collect();
            let separator = message.separators().repetition;
            if separator != Separators::UNUSED && !field.is_empty() {
                assert_eq!(repetitions.join(&separator), field.raw());
            }
            field.text();
            field.formatted();
            field.html();
            for value in field.components().flat_map(|component| component.subcomponents()) {
                value.trimmed();
                value.location().to_string();
            }
        }
    }
    crate::hl7v2::Structure::of(message);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::parse(bytes.into(), &ParseOptions::default()) {
            read_all(&message);
        }
    }

    #[test]
    fn any_message_is_reachable(
        header in "MSH[|$!][\\^~\\\\&#*]{1,6}",
        lines in proptest::collection::vec("([A-Z]{3}|OBX|NTE|PID|[a-z ]{0,4})?[|^~&\\\\\"a-zXé 0$!]{0,20}[\r\n]{0,3}", 0..12),
        tail in "[\r\n\x1c\0]{0,3}",
    ) {
        let text = format!("{header}|PAS\r{}{tail}", lines.concat());
        if let Ok(message) = Message::parse(text.into(), &ParseOptions::default()) {
            nothing_is_lost(&message);
            read_all(&message);
        }
    }

    /// Where `hl7-parser` is right (ASCII, no escapes, regular lines) both read the same.
    #[test]
    fn agrees_with_hl7_parser(
        segments in proptest::collection::vec(("[ACDEG-L][A-Z0-9]{2}", "\\|[a-z0-9|^~&.]{0,40}"), 1..8),
    ) {
        let mut text = String::from("MSH|^~\\&|PAS|RXX|a^b~c|");
        for (name, fields) in &segments {
            text.push_str(&format!("\r{name}{fields}"));
        }
        let theirs = hl7_parser::Message::parse(&text).unwrap();
        let ours = parse(text.clone());
        prop_assert_eq!(theirs.segments().count(), ours.segment_count());
        for (their, our) in theirs.segments().zip(ours.segments()) {
            prop_assert_eq!(their.name, our.name());
            for n in 1..=our.field_count() {
                let field = our.field(n);
                let expected = their.field(usize::from(n));
                prop_assert_eq!(expected.map_or("", |f| f.raw_value()).as_bytes(), field.raw());
                let Some(expected) = expected.filter(|f| n > 2 && !f.raw_value().is_empty()) else { continue };
                for (r, repeat) in expected.repeats().enumerate() {
                    for (c, component) in repeat.components().enumerate() {
                        for (s, sub) in component.subcomponents().enumerate() {
                            let value = field.repetition(r + 1).component(c + 1).subcomponent(s + 1);
                            prop_assert_eq!(sub.raw_value().as_bytes(), value.raw());
                        }
                    }
                }
            }
        }
    }
}
