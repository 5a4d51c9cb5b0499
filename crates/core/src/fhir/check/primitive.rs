//! The written form of FHIR's primitive values (R4 2.24.0.1), the calendar among it.
//!
//! Says which rule a value breaks, never the value itself: it may be personal data.

use serde_json::Number;

use super::super::date::{self, Precision};
use super::super::json::Json;
use super::super::table::Primitive;

/// What is wrong with the value of a primitive element, if anything.
pub(crate) fn fault(primitive: Primitive, value: &Json) -> Option<&'static str> {
    match (primitive, value) {
        (Primitive::Boolean, Json::Bool(_)) => None,
        (Primitive::Boolean, _) => Some("must be true or false"),
        (Primitive::Decimal, Json::Number(_)) => None,
        (Primitive::Decimal, _) => Some("must be a JSON number"),
        (Primitive::Integer, Json::Number(n)) => integer(n, i32::MIN, "must be a whole number of 32 bits"),
        (Primitive::PositiveInt, Json::Number(n)) => integer(n, 1, "must be a whole number from 1 to 2147483647"),
        (Primitive::UnsignedInt, Json::Number(n)) => integer(n, 0, "must be a whole number from 0 to 2147483647"),
        (Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt, _) => Some("must be a JSON number"),
        (_, Json::String(text)) => text_fault(primitive, text),
        _ => Some("must be a JSON string"),
    }
}

fn integer(number: &Number, least: i32, rule: &'static str) -> Option<&'static str> {
    // `1.0` and `1e0` are no integers in FHIR; Rust's reader takes neither, but it would take `+1`, which is no JSON.
    let value = number.as_str().parse::<i32>().ok();
    if value.is_some_and(|value| value >= least) { None } else { Some(rule) }
}

fn text_fault(primitive: Primitive, text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("must not be empty");
    }
    if has_control(text) {
        return Some("must not contain control characters");
    }
    let (valid, rule) = match primitive {
        Primitive::String | Primitive::Markdown => {
            let blank = text.as_bytes()[0].is_ascii_whitespace() && text.trim().is_empty();
            (!blank, "must not be only white space")
        }
        Primitive::Code => (is_code(text), "must be a code: no white space but single spaces inside"),
        Primitive::Id => (is_id(text), "must be an id: 1 to 64 letters, digits, `-` and `.`"),
        Primitive::Uri | Primitive::Url | Primitive::Canonical => (is_uri(text), "must be a URI without white space"),
        Primitive::Oid => (is_oid(text), "must be `urn:oid:` and an OID"),
        Primitive::Uuid => (is_uuid(text), "must be `urn:uuid:` and a UUID in lower case"),
        Primitive::Date => {
            let valid = date::parse(text).is_some_and(|date| date.precision <= Precision::Day);
            (valid, "must be a date of the calendar: YYYY, YYYY-MM or YYYY-MM-DD")
        }
        Primitive::DateTime => {
            let valid = |date: date::Date| date.precision <= Precision::Day || is_exact(date);
            (
                date::parse(text).is_some_and(valid),
                "must be a date of the calendar; with a time, seconds and offset too",
            )
        }
        Primitive::Instant => (
            date::parse(text).is_some_and(is_exact),
            "must be YYYY-MM-DDThh:mm:ss with an offset, on a day that exists",
        ),
        Primitive::Time => (date::is_time(text), "must be hh:mm:ss"),
        Primitive::Base64Binary => (is_base64(text), "must be base64"),
        Primitive::Xhtml => return xhtml_fault(text),
        Primitive::Boolean
        | Primitive::Integer
        | Primitive::PositiveInt
        | Primitive::UnsignedInt
        | Primitive::Decimal => return None,
    };
    if valid { None } else { Some(rule) }
}

fn is_exact(date: date::Date) -> bool {
    date.precision >= Precision::Second && date.has_offset
}

/// FHIR strings may contain tab, carriage return and line feed, and no other character below U+0020.
fn has_control(text: &str) -> bool {
    // Folding without leaving early lets the compiler use wide registers; documents are megabytes of base64.
    text.bytes().fold(false, |found, byte| found | ((byte < 0x20) & !matches!(byte, b'\t' | b'\n' | b'\r')))
}

fn is_code(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return true;
    }
    let spaces_only = text.chars().all(|c| c == ' ' || !c.is_whitespace());
    spaces_only && !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ")
}

/// Whether text is a FHIR id.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

fn is_uri(text: &str) -> bool {
    if text.is_ascii() { text.bytes().all(|b| b.is_ascii_graphic()) } else { !text.contains(char::is_whitespace) }
}

/// Whether text is `urn:oid:` and an OID.
pub(super) fn is_oid(text: &str) -> bool {
    let Some(oid) = text.strip_prefix("urn:oid:") else {
        return false;
    };
    let mut arcs = oid.split('.');
    let root = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let is_arc =
        |arc: &str| arc == "0" || (arc.bytes().all(|b| b.is_ascii_digit()) && !arc.is_empty() && !arc.starts_with('0'));
    root && oid.len() > 1 && arcs.all(is_arc)
}

/// Whether text is `urn:uuid:` and a UUID in lower case.
pub(super) fn is_uuid(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else {
        return false;
    };
    uuid.len() == 36
        && uuid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Base64 (RFC 4648, padded); white space may stand anywhere, as FHIR R4 allows. Linear, decodes nothing.
fn is_base64(text: &str) -> bool {
    let mut bytes = text.as_bytes();
    // All but the last four characters are usually plain: one wide loop.
    let plain = bytes.len().saturating_sub(4);
    if plain.is_multiple_of(4) && bytes[..plain].iter().fold(true, |all, &b| all & is_base64_digit(b)) {
        bytes = &bytes[plain..];
    }
    let (mut digits, mut padding) = (0_usize, 0_usize);
    for &byte in bytes {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'=' => padding += 1,
            _ if padding > 0 || !is_base64_digit(byte) => return false,
            _ => digits += 1,
        }
    }
    padding <= 2 && (digits + padding).is_multiple_of(4) && digits > 0
}

fn is_base64_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/')
}

/// Invariants txt-1 and txt-2, as far as they protect a reader: a `div` in the XHTML namespace with some content and no
/// active content.
fn xhtml_fault(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let Some((open, _)) = text.strip_prefix("<div").and_then(|rest| rest.split_once('>')) else {
        return Some("txt-1: must be an XHTML div");
    };
    let is_xhtml = open.contains("xmlns=\"http://www.w3.org/1999/xhtml\"")
        || open.contains("xmlns='http://www.w3.org/1999/xhtml'");
    if !is_xhtml || !(text.ends_with("</div>") || open.ends_with('/')) {
        return Some("txt-1: must be a div in the XHTML namespace");
    }
    if has_active_content(text) {
        return Some("txt-1: must not contain active content");
    }
    let mut in_tag = false;
    let mut shown = text.bytes().filter(|&byte| {
        let outside = !in_tag && byte != b'<';
        in_tag = byte == b'<' || (in_tag && byte != b'>');
        outside && !byte.is_ascii_whitespace()
    });
    let empty = shown.next().is_none() && !text.contains("<img");
    if empty { Some("txt-2: must have some content") } else { None }
}

/// Elements and attributes that FHIR forbids in narratives because they act. One pass.
fn has_active_content(text: &str) -> bool {
    const ELEMENTS: [&str; 10] =
        ["script", "iframe", "object", "embed", "form", "input", "link", "base", "frame", "applet"];
    let bytes = text.as_bytes();
    let starts = |at: usize, word: &str| {
        bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut in_tag = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'<' => {
                in_tag = true;
                let name = at + 1;
                let ends = |word: &str| !bytes.get(name + word.len()).is_some_and(u8::is_ascii_alphanumeric);
                if ELEMENTS.iter().any(|word| starts(name, word) && ends(word)) {
                    return true;
                }
            }
            b'>' => in_tag = false,
            // An event attribute: ` onclick=`.
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'/' if in_tag && starts(at + 1, "on") => {
                let name = bytes[at + 3..].iter().take(32).take_while(|b| b.is_ascii_alphabetic()).count();
                let next = bytes[at + 3 + name..].iter().take(32).find(|b| !b.is_ascii_whitespace());
                if name > 0 && next == Some(&b'=') {
                    return true;
                }
            }
            b'j' | b'J' if in_tag && starts(at, "javascript:") => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ok(primitive: Primitive, text: &str) -> bool {
        fault(primitive, &Json::parse(text.as_bytes()).unwrap()).is_none()
    }

    #[test]
    fn numbers_have_their_ranges_and_forms() {
        assert!(ok(Primitive::Integer, "-2147483648") && !ok(Primitive::Integer, "2147483648"));
        assert!(!ok(Primitive::Integer, "1.0") && !ok(Primitive::Integer, "1e0") && !ok(Primitive::Integer, "\"1\""));
        assert!(ok(Primitive::PositiveInt, "1") && !ok(Primitive::PositiveInt, "0"));
        assert!(ok(Primitive::UnsignedInt, "0") && !ok(Primitive::UnsignedInt, "-1"));
        assert!(ok(Primitive::Decimal, "100000000000000000000.50") && !ok(Primitive::Decimal, "\"1\""));
        assert!(ok(Primitive::Boolean, "false") && !ok(Primitive::Boolean, "\"false\""));
    }

    #[test]
    fn strings_have_their_forms() {
        let table: &[(Primitive, &[&str], &[&str])] = &[
            (Primitive::String, &["a", " a", "a\tb\r\nc"], &["", " ", "\n", "a\u{7}b", "\0"]),
            (Primitive::Code, &["a", "a b", "é"], &[" a", "a ", "a  b", "a\tb", "a\u{a0}b"]),
            (Primitive::Id, &["a", "A-1.b"], &["", "a_b", "a/b", &"a".repeat(65)]),
            (Primitive::Uri, &["urn:x", "http://a/b", "x"], &["", "a b", "a\u{2003}b"]),
            (
                Primitive::Oid,
                &["urn:oid:1.2.840", "urn:oid:2.0"],
                &["1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02", "urn:oid:1."],
            ),
            (
                Primitive::Uuid,
                &["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
                &[
                    "c757873d-ec9a-4326-a141-556f43239520",
                    "urn:uuid:C757873D-ec9a-4326-a141-556f43239520",
                    "urn:uuid:x",
                ],
            ),
            (Primitive::Date, &["2024", "2024-02", "2024-02-29"], &["2024-02-30", "19720314", "2024-02-29T10:00:00Z"]),
            (
                Primitive::DateTime,
                &["2024", "2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123+01:00"],
                &["2024-02-29T10:00:00", "2024-02-29T10:00Z", "2024-02-30T10:00:00Z"],
            ),
            (Primitive::Instant, &["2024-02-29T10:00:00Z"], &["2024-02-29", "2024-02-29T10:00:00"]),
            (Primitive::Time, &["10:00:00"], &["10:00", "24:00:00", "10:00:00Z"]),
            (
                Primitive::Base64Binary,
                &["QQ==", "QUI=", "QUJD", "QUJDQUJD", "QUJD\nQUI="],
                &["Q", "QQ", "QQ=", "====", "QQ==QUJD", "QU*D", "QUJDQ", "QUJD=", "QUJD===="],
            ),
        ];
        for (primitive, good, bad) in table {
            for text in *good {
                assert_eq!(fault(*primitive, &Json::from(*text)), None, "{primitive:?} {text:?}");
            }
            for text in *bad {
                assert!(fault(*primitive, &Json::from(*text)).is_some(), "{primitive:?} {text:?}");
            }
        }
    }

    #[test]
    fn narratives_are_inert() {
        let div = |inner: &str| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
        let good = ["a", "<p>one on = two</p>", "<b>the link</b>", "<img src=\"x.png\" alt=\"y\"/>"];
        for inner in good {
            assert_eq!(xhtml_fault(&div(inner)), None, "{inner}");
        }
        let bad = [
            "",
            " <p> </p>",
            "<script>x</script>",
            "<a href=\"javascript:x\">y</a>",
            "<p onclick=\"x\">y</p>",
            "<P\tONLOAD = 'x'>y</P>",
        ];
        for inner in bad {
            assert!(xhtml_fault(&div(inner)).is_some(), "{inner}");
        }
        assert!(xhtml_fault("<div>a</div>").is_some() && xhtml_fault("text").is_some());
    }
}
