//! Paths: their text forms, what they find, and what they say when they are wrong.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::hl7v2::ParseOptions;
use proptest::prelude::*;

const MESSAGE: &str = "MSH|^~\\&|PAS\r\
    PID|1||123^^^NHS&2.16&ISO^NH~A7^^^RXX^MR~\"\"~B8^^^^DL||Doe^Jo&van\r\
    OBX|1|NM|a||5~6\rOBX|2|NM|b||\rOBX|3|NM|c||7\r";

fn found(path: &str) -> Vec<String> {
    let message = Message::parse(MESSAGE.into(), &ParseOptions::default()).unwrap();
    let path = Path::parse(path).unwrap();
    let values: Vec<_> = path.in_message(&message).collect();
    assert_eq!(message.get(&path).map(|v| v.raw()), values.first().map(|v| v.raw()));
    values.iter().map(|value| String::from_utf8_lossy(value.raw()).into_owned()).collect()
}

#[test]
fn paths_find_values() {
    for (path, values) in [
        ("PID-3.1", &["123"][..]),
        ("PID-3", &["123^^^NHS&2.16&ISO^NH"]),
        ("PID-3[2].1.1", &["A7"]),
        ("PID-3[*].1", &["123", "A7", "\"\"", "B8"]),
        ("PID-3[NHS].1", &["123"]),
        ("PID-3[RXX].1", &["A7"]),
        ("PID-3[DL].1", &["B8"]),
        ("PID-3[XX].1", &[]),
        ("PID-3.4.2", &["2.16"]),
        ("PID-5.2.2", &["van"]),
        ("PID-3[9]", &[]),
        ("PID-9", &[]),
        ("OBX-5", &["5"]),
        ("OBX[*]-5", &["5", "7"]),
        ("OBX[*]-5[*]", &["5", "6", "7"]),
        ("OBX[2]-5[1]", &[]),
        ("OBX[3]-5[1]", &["7"]),
        ("OBX[9]-5", &[]),
        ("ZZZ-1", &[]),
        ("MSH-2", &["^~\\&"]),
        (".1", &[]),
    ] {
        assert_eq!(found(path), values, "{path}");
    }
}

#[test]
fn relative_paths_and_other_segments() {
    let message = Message::parse(MESSAGE.into(), &ParseOptions::default()).unwrap();
    let pid = message.first("PID").unwrap();
    let second = pid.field(3).repetition(2);
    assert_eq!(Path::parse(".4").unwrap().in_value(second).text(), "RXX");
    assert_eq!(Path::parse(".4.1").unwrap().in_value(pid.field(3)).text(), "NHS");
    assert_eq!(Path::parse("OBX-5").unwrap().in_segment(pid).count(), 0);
    assert_eq!(Path::parse("OBX-3").unwrap().in_segment(message.segment_at(4).unwrap()).count(), 1);
    assert_eq!(Path::parse("PID-3[*].4").unwrap().in_segment(pid).count(), 2);
}

#[test]
fn a_wrong_path_says_where_and_what() {
    for (text, offset) in [
        ("", 0),
        ("PID", 3),
        ("pid-3", 0),
        ("PID3", 3),
        ("PID-", 4),
        ("PID-0", 4),
        ("PID-70000", 4),
        ("PID-3.", 6),
        ("PID-3.x", 6),
        ("PID-3.0", 6),
        ("PID-3.1.", 8),
        ("PID-3.1.1.1", 9),
        ("PID-3[", 6),
        ("PID-3[]", 6),
        ("PID-3[0]", 6),
        ("PID-3[NHS", 6),
        ("PID-3[ NHS ]", 6),
        ("PID-3[2 ]", 6),
        ("PID-3[+2]", 6),
        ("PID-3[-1]", 6),
        ("PID-3[1]x", 8),
        ("PID[x]-3", 4),
        ("PID-3 ", 5),
        ("é", 0),
    ] {
        let error = Path::parse(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(!error.hint.is_empty());
    }
    assert!(Path::parse(&"P".repeat(1000)).is_err());
    assert_eq!(
        Path::parse("PID-").unwrap_err().to_string(),
        "a field number is missing at column 5; write a number from 1 on"
    );
}

proptest! {
    #[test]
    fn display_round_trips(
        text in "[A-Z][A-Z0-9]{2}(\\[([1-9]|\\*)\\])?-[1-9][0-9]?(\\[([1-9][0-9]?|\\*|[A-Za-z0-9][A-Za-z.é ]{0,9}x)\\])?(\\.[1-9](\\.[1-9])?)?",
    ) {
        prop_assert_eq!(Path::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn any_text_is_survived(text in "[A-Z.\\-\\[\\]0-9*é]{0,12}") {
        if let Ok(path) = Path::parse(&text) {
            prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
        }
    }
}
