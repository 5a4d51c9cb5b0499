//! Escape sequences (HL7 v2 chapter 2.7): `\F\`, `\T\`, `\X0D\`, `\.br\` and their kin.
//!
//! Works on bytes so that `\X..\` can carry characters of the message's own set. What is not
//! a sequence that we know stays exactly as typed; nothing is ever swallowed. Linear.

use std::borrow::Cow;

use super::charset::Charset;
use super::separators::Separators;

/// Most lines that one `\.sp n\`, and most blanks that one `\.in n\` or `\.ti n\`, can ask for.
const LAYOUT_MAX: usize = 100;

/// How much of the sender's page layout to keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Line breaks only.
    Lines,
    /// Line breaks and indents.
    Page,
}

/// Text with its escape sequences resolved; borrowed when there are none.
///
/// - `\F\ \S\ \R\ \T\ \E\ \P\` become the message's delimiters,
/// - `\X68C3A9\` becomes the bytes it spells, read as UTF-8,
/// - `\.br\ \.sp n\ \.ce\` become line breaks; `\.in n\ \.ti n\ \.fi\ \.nf\ \H\ \N\` vanish,
/// - `\Cxxyy\ \Mxxyyzz\ \Zxx\`, anything else and an escape character without partner stay as typed.
pub fn unescape<'t>(text: &'t str, separators: &Separators) -> Cow<'t, str> {
    match unescape_bytes(text.as_bytes(), separators, Layout::Lines) {
        None => Cow::Borrowed(text),
        Some(bytes) => Cow::Owned(Charset::Utf8.decode(&bytes).0.into_owned()),
    }
}

/// `text` with every delimiter, escape character and control character that would break a
/// message replaced by its escape sequence; borrowed when there are none.
///
/// Line breaks become `\X0D\` and `\X0A\`, so that [`unescape`] gives the same text back. When
/// the message declares no escape character, such characters become blanks.
pub fn escape<'t>(text: &'t str, separators: &Separators) -> Cow<'t, str> {
    let special = |c: char| u8::try_from(c).is_ok_and(|byte| byte < b' ' || letter(byte, separators).is_some());
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    let mark = separators.escape as char;
    for c in text.chars() {
        if !special(c) {
            escaped.push(c);
        } else if separators.escape == Separators::UNUSED {
            escaped.push(' ');
        } else {
            escaped.push(mark);
            match letter(c as u8, separators) {
                Some(letter) => escaped.push(letter),
                // A control character: below 32, so its first digit is 0 or 1.
                None => {
                    escaped.push_str(if (c as u8) < 16 { "X0" } else { "X1" });
                    escaped.push(char::from(b"0123456789ABCDEF"[usize::from(c as u8 % 16)]));
                }
            }
            escaped.push(mark);
        }
    }
    Cow::Owned(escaped)
}

/// The letter that stands for a delimiter in an escape sequence.
fn letter(byte: u8, separators: &Separators) -> Option<char> {
    match byte {
        Separators::UNUSED => None,
        b if b == separators.field => Some('F'),
        b if b == separators.component => Some('S'),
        b if b == separators.subcomponent => Some('T'),
        b if b == separators.repetition => Some('R'),
        b if b == separators.escape => Some('E'),
        b if Some(b) == separators.truncation => Some('P'),
        _ => None,
    }
}

/// `raw` with its escape sequences resolved, still in the message's character set;
/// `None` when there are none.
pub(super) fn unescape_bytes(raw: &[u8], separators: &Separators, layout: Layout) -> Option<Vec<u8>> {
    let mark = separators.escape;
    if mark == Separators::UNUSED {
        return None;
    }
    let first = memchr::memchr(mark, raw)?;
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    let mut next = Some(first);
    // Every step consumes at least one escape character and looks no further than the next one.
    while let Some(open) = next {
        let (before, from_mark) = rest.split_at(open);
        out.extend_from_slice(before);
        let body = &from_mark[1..];
        let close = memchr::memchr(mark, body);
        match close {
            Some(end) if resolve(&body[..end], separators, layout, &mut out) => {
                rest = &body[end + 1..];
                next = memchr::memchr(mark, rest);
            }
            _ => {
                out.push(mark);
                rest = body;
                next = close;
            }
        }
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The first sequence of `raw` that stays as typed because it is none we know, its escape characters included; an escape
/// character without partner stands alone.
pub(super) fn first_unknown<'r>(raw: &'r [u8], separators: &Separators) -> Option<&'r [u8]> {
    let mark = separators.escape;
    if mark == Separators::UNUSED {
        return None;
    }
    let (mut rest, mut resolved) = (raw, Vec::new());
    loop {
        rest = &rest[memchr::memchr(mark, rest)?..];
        let Some(end) = memchr::memchr(mark, &rest[1..]) else {
            return rest.get(..1);
        };
        let (sequence, behind) = rest.split_at(end + 2);
        resolved.clear();
        if !resolve(&sequence[1..=end], separators, Layout::Lines, &mut resolved) {
            return Some(sequence);
        }
        rest = behind;
    }
}

/// Appends what one sequence stands for; `false` (and nothing appended) when it is unknown.
fn resolve(body: &[u8], separators: &Separators, layout: Layout, out: &mut Vec<u8>) -> bool {
    match body {
        b"F" => out.push(separators.field),
        b"S" => out.push(or(separators.component, b'^')),
        b"T" => out.push(or(separators.subcomponent, b'&')),
        b"R" => out.push(or(separators.repetition, b'~')),
        b"E" => out.push(separators.escape),
        b"P" => out.push(separators.truncation.unwrap_or(b'#')),
        // Highlighting has no place in plain text.
        b"H" | b"N" => {}
        [b'X' | b'x', digits @ ..] => return hex(digits, out),
        [b'.', command @ ..] => return format_command(command, layout, out),
        _ => return false,
    }
    true
}

fn or(declared: u8, standard: u8) -> u8 {
    if declared == Separators::UNUSED { standard } else { declared }
}

fn hex(digits: &[u8], out: &mut Vec<u8>) -> bool {
    let even = digits.len().is_multiple_of(2);
    if digits.is_empty() || !even || !digits.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        letter => (letter | 0x20) - b'a' + 10,
    };
    out.extend(digits.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])));
    true
}

/// Formatting commands of FT data (HL7 v2 chapter 2.7.3).
fn format_command(command: &[u8], layout: Layout, out: &mut Vec<u8>) -> bool {
    let Some((name, argument)) = command.split_at_checked(2) else {
        return false;
    };
    let Ok(argument) = std::str::from_utf8(argument) else {
        return false;
    };
    let argument = argument.trim();
    let count = match argument.strip_prefix('+').unwrap_or(argument) {
        "" => None,
        digits => match digits.parse::<i32>() {
            Ok(count) => Some(count),
            Err(_) => return false,
        },
    };
    let count = count.map(|count| (count.max(0) as usize).min(LAYOUT_MAX));
    match (name.to_ascii_lowercase().as_slice(), count) {
        (b"br", None) | (b"ce", _) => out.push(b'\n'),
        (b"sp", count) => out.extend(std::iter::repeat_n(b'\n', count.unwrap_or(1).max(1))),
        (b"in" | b"ti", count) => {
            if layout == Layout::Page {
                out.extend(std::iter::repeat_n(b' ', count.unwrap_or(0)));
            }
        }
        (b"fi" | b"nf", None) => {}
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(typed: &str, meant: &str) {
        assert_eq!(unescape(typed, &Separators::STANDARD), meant, "{typed}");
    }

    #[test]
    fn every_sequence() {
        check(r"a\F\b\S\c\T\d\R\e\E\f\P\g", r"a|b^c&d~e\f#g");
        check(r"\X48656C6C6F\", "Hello");
        check(r"\X0D\\X0A\", "\r\n");
        check(r"\XC3\\XA9\ \XE9\", "é é");
        check(r"\H\bold\N\ plain", "bold plain");
        check(r"one\.br\two\.BR\three\.sp\four\.sp 2\five\.sp+3\six", "one\ntwo\nthree\nfour\n\nfive\n\n\nsix");
        check(r"\.in+4\a\.ti 2\b\.fi\c\.nf\d\.ce\e", "abcd\ne");
    }

    #[test]
    fn the_first_unknown_sequence_is_found() {
        let check = |typed: &str| {
            first_unknown(typed.as_bytes(), &Separators::STANDARD)
                .map(|found| String::from_utf8_lossy(found).into_owned())
        };
        assert_eq!(check(r"a\F\b\X0D\\.br\"), None);
        assert_eq!(check(r"\T\ \Zab\ \Y\").as_deref(), Some(r"\Zab\"));
        assert_eq!(check(r"C:\path").as_deref(), Some(r"\"));
        assert_eq!(check(r"\E\\E").as_deref(), Some(r"\"));
        assert_eq!(check(r"\\").as_deref(), Some(r"\\"));
    }

    #[test]
    fn what_is_no_sequence_stays() {
        for text in [
            r"50\ mg daily",
            r"C:\temp\x",
            r"\",
            r"\\",
            r"\\\",
            r"a\Zxx\b",
            r"\C2842\",
            r"\M24422A\",
            r"\X\",
            r"\X4\",
            r"\XGG\",
            r"\.xx\",
            r"\.\",
            r"\.br",
            r"\f\",
            r"\.sp x\",
            "\\é\\",
        ] {
            check(text, text);
        }
        check(r"café \T\ bar", "café & bar");
        check(r"€5 \T\ more", "€5 & more");
        check(r"😀\T\", "😀&");
        check(r"50\ mg \T\ more", r"50\ mg & more");
    }

    #[test]
    fn the_declared_delimiters_are_used() {
        let separators = Separators { field: b'$', component: b'*', ..Separators::STANDARD };
        assert_eq!(unescape(r"\F\\S\", &separators), "$*");
        assert_eq!(escape("$*|^", &separators), r"\F\\S\|^");
        let none = Separators { escape: Separators::UNUSED, ..separators };
        assert_eq!(unescape(r"\F\", &none), r"\F\");
        assert_eq!(escape("a$b", &none), "a b");
    }

    #[test]
    fn layout_is_bounded() {
        assert_eq!(unescape(r"\.sp 99999999\", &Separators::STANDARD).len(), LAYOUT_MAX);
        check(r"\.sp 99999999999999999999\", r"\.sp 99999999999999999999\");
    }

    proptest! {
        #[test]
        fn round_trip(text in any::<String>()) {
            let separators = Separators { truncation: Some(b'#'), ..Separators::STANDARD };
            let escaped = escape(&text, &separators).into_owned();
            prop_assert!(!escaped.contains(['|', '^', '~', '&', '#', '\r', '\n', '\x0b', '\x1c']));
            prop_assert_eq!(unescape(&escaped, &separators), text.as_str());
        }

        #[test]
        fn any_text_is_survived(text in r"[\\XF.brspZé0-9 ]{0,40}") {
            unescape(&text, &Separators::STANDARD);
        }
    }
}
