//! Escape sequences (HL7 v2 chapter 2.7): `\F\`, `\T\`, `\X0D\`, `\.br\` and their kin.
//!
//! Works on bytes so that `\X..\` can carry characters of the message's own set. What is not
//! a sequence that we know stays exactly as typed; nothing is ever swallowed. Linear.

use std::borrow::Cow;

use super::charset::Charset;
use super::separators::Separators;
use super::switch::CodeSet;

/// Most lines that one `\.sp n\`, and most blanks that one `\.in n\`, `\.ti n\` or `\.sk n\`, can ask for.
pub(super) const LAYOUT_MAX: usize = 100;

/// A stretch of a value, or what one of its escape sequences asks for.
pub(super) enum Piece<'r> {
    /// Bytes as typed.
    Typed(&'r [u8]),
    /// A delimiter, or a byte that `\X..\` spells.
    Byte(u8),
    /// Formatting.
    Command(Command),
    /// What follows is in another character set, up to the next delimiter.
    Switch(CodeSet),
}

/// Formatting commands (HL7 v2 chapters 2.7.1 and 2.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// `\.br\` and `\.sp n\`: so many line ends.
    Break(usize),
    /// `\.ce\`: end the line and centre the next.
    Centre,
    /// `\.in n\`: the left margin from here on, in blanks.
    Margin(i32),
    /// `\.ti n\`: for one line, so many blanks more than the margin.
    Indent(i32),
    /// `\.sk n\`: so many blanks.
    Skip(usize),
    /// `\.fi\` and `\.nf\`: whether lines are wrapped.
    Wrap(bool),
    /// `\H\` and `\N\`: whether the text is highlighted.
    Highlight(bool),
}

impl Command {
    /// What is left of a command in a text without layout.
    pub(super) fn append_plain(self, out: &mut Vec<u8>) {
        match self {
            Self::Break(count) => out.extend(std::iter::repeat_n(b'\n', count)),
            Self::Centre => out.push(b'\n'),
            Self::Skip(count) => out.extend(std::iter::repeat_n(b' ', count)),
            Self::Margin(_) | Self::Indent(_) | Self::Wrap(_) | Self::Highlight(_) => {}
        }
    }
}

/// Text with its escape sequences resolved; borrowed when there are none.
///
/// - `\F\ \S\ \R\ \T\ \E\ \P\` become the message's delimiters,
/// - `\X68C3A9\` becomes the bytes it spells, read as UTF-8,
/// - `\.br\ \.sp n\ \.ce\` become line breaks, `\.sk n\` blanks; `\.in n\ \.ti n\ \.fi\ \.nf\ \H\ \N\` vanish,
/// - `\Cxxyy\ \Mxxyyzz\ \Zxx\`, anything else and an escape character without partner stay as typed.
pub fn unescape<'t>(text: &'t str, separators: &Separators) -> Cow<'t, str> {
    if !has_mark(text.as_bytes(), separators) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    pieces(text.as_bytes(), separators, &[], |piece| match piece {
        Piece::Typed(typed) => bytes.extend_from_slice(typed),
        Piece::Byte(byte) => bytes.push(byte),
        Piece::Command(command) => command.append_plain(&mut bytes),
        // None is declared.
        Piece::Switch(_) => {}
    });
    Cow::Owned(Charset::Utf8.decode(&bytes).0.into_owned())
}

/// Whether there can be an escape sequence.
pub(super) fn has_mark(raw: &[u8], separators: &Separators) -> bool {
    separators.escape != Separators::UNUSED && memchr::memchr(separators.escape, raw).is_some()
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

/// Gives `raw` piece by piece, its escape sequences resolved; `switchable` are the character sets that they may switch to.
pub(super) fn pieces<'r>(
    raw: &'r [u8],
    separators: &Separators,
    switchable: &[CodeSet],
    mut sink: impl FnMut(Piece<'r>),
) {
    let mark = separators.escape;
    let mut rest = raw;
    let mut open = match mark {
        Separators::UNUSED => None,
        mark => memchr::memchr(mark, raw),
    };
    // Every step passes at least one escape character and looks no further than the next one.
    while let Some(at) = open {
        let body = &rest[at + 1..];
        let close = memchr::memchr(mark, body);
        let found = close.and_then(|end| resolve(&body[..end], separators, switchable).map(|found| (end, found)));
        let Some((end, found)) = found else {
            // As typed, the mark included; the next mark may open a sequence.
            let passed = close.map_or(rest.len(), |end| at + 1 + end);
            sink(Piece::Typed(&rest[..passed]));
            rest = &rest[passed..];
            open = close.map(|_| 0);
            continue;
        };
        sink(Piece::Typed(&rest[..at]));
        match found {
            Found::Delimiter(byte) => sink(Piece::Byte(byte)),
            Found::Hex(digits) => digits.chunks_exact(2).for_each(|pair| sink(Piece::Byte(spelt(pair)))),
            Found::Command(command) => sink(Piece::Command(command)),
            Found::Switch(set) => sink(Piece::Switch(set)),
        }
        rest = &body[end + 1..];
        open = memchr::memchr(mark, rest);
    }
    sink(Piece::Typed(rest));
}

/// The first sequence of `raw` that stays as typed because it is none we know, its escape characters included; an escape
/// character without partner stands alone.
pub(super) fn first_unknown<'r>(raw: &'r [u8], separators: &Separators, switchable: &[CodeSet]) -> Option<&'r [u8]> {
    let mark = separators.escape;
    if mark == Separators::UNUSED {
        return None;
    }
    let mut rest = raw;
    loop {
        rest = &rest[memchr::memchr(mark, rest)?..];
        let Some(end) = memchr::memchr(mark, &rest[1..]) else {
            return rest.get(..1);
        };
        let (sequence, behind) = rest.split_at(end + 2);
        if resolve(&sequence[1..=end], separators, switchable).is_none() {
            return Some(sequence);
        }
        rest = behind;
    }
}

/// What one sequence stands for.
enum Found<'r> {
    Delimiter(u8),
    /// Pairs of hexadecimal digits.
    Hex(&'r [u8]),
    Command(Command),
    Switch(CodeSet),
}

/// What the sequence of this body stands for; `None` when it is unknown.
fn resolve<'r>(body: &'r [u8], separators: &Separators, switchable: &[CodeSet]) -> Option<Found<'r>> {
    Some(match body {
        b"F" => Found::Delimiter(separators.field),
        b"S" => Found::Delimiter(or(separators.component, b'^')),
        b"T" => Found::Delimiter(or(separators.subcomponent, b'&')),
        b"R" => Found::Delimiter(or(separators.repetition, b'~')),
        b"E" => Found::Delimiter(separators.escape),
        b"P" => Found::Delimiter(separators.truncation.unwrap_or(b'#')),
        b"H" => Found::Command(Command::Highlight(true)),
        b"N" => Found::Command(Command::Highlight(false)),
        [b'X' | b'x', digits @ ..] => {
            let pairs = !digits.is_empty() && digits.len().is_multiple_of(2);
            return (pairs && digits.iter().all(u8::is_ascii_hexdigit)).then_some(Found::Hex(digits));
        }
        [b'.', command @ ..] => return format_command(command).map(Found::Command),
        [b'C' | b'M', ..] => {
            return CodeSet::of_escape(body).filter(|set| switchable.contains(set)).map(Found::Switch);
        }
        _ => return None,
    })
}

fn or(declared: u8, standard: u8) -> u8 {
    if declared == Separators::UNUSED { standard } else { declared }
}

/// The byte that hexadecimal digits spell.
fn spelt(digits: &[u8]) -> u8 {
    digits.iter().fold(0, |byte, &digit| byte << 4 | char::from(digit).to_digit(16).unwrap_or(0) as u8)
}

/// Formatting commands of FT data (HL7 v2 chapter 2.7.3).
fn format_command(command: &[u8]) -> Option<Command> {
    let (name, argument) = command.split_at_checked(2)?;
    let argument = std::str::from_utf8(argument).ok()?.trim();
    let number = match argument.strip_prefix('+').unwrap_or(argument) {
        "" => None,
        digits => Some(digits.parse::<i32>().ok()?),
    };
    let count = number.map_or(1, |number| usize::try_from(number).unwrap_or(0).clamp(1, LAYOUT_MAX));
    Some(match (name.to_ascii_lowercase().as_slice(), number) {
        (b"br", None) => Command::Break(1),
        (b"sp", _) => Command::Break(count),
        (b"ce", _) => Command::Centre,
        (b"in", number) => Command::Margin(number.unwrap_or(0)),
        (b"ti", number) => Command::Indent(number.unwrap_or(0)),
        (b"sk", _) => Command::Skip(count),
        (b"fi", None) => Command::Wrap(true),
        (b"nf", None) => Command::Wrap(false),
        _ => return None,
    })
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
        check(r"a\.sk3\b\.sk\c\.sp-2\d\.sp\\.sp\", "a   b c\nd\n\n");
    }

    #[test]
    fn the_first_unknown_sequence_is_found() {
        let check = |typed: &str| {
            first_unknown(typed.as_bytes(), &Separators::STANDARD, &[])
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

    /// Any four or five different delimiters that MSH-1 and MSH-2 can declare.
    fn any_separators() -> impl Strategy<Value = Separators> {
        let marks: Vec<u8> = (b'!'..=b'~').filter(u8::is_ascii_punctuation).collect();
        (proptest::sample::subsequence(marks, 6).prop_shuffle(), any::<bool>()).prop_map(|(marks, truncates)| {
            let header = [b"MSH".as_slice(), &marks[..if truncates { 6 } else { 5 }], &marks[..1]].concat();
            let (separators, _, regular) = Separators::of_header(&header).unwrap_or((Separators::STANDARD, 0, false));
            assert!(regular && separators.truncation.is_some() == truncates, "{header:?}");
            separators
        })
    }

    proptest! {
        #[test]
        fn round_trip(
            text in prop_oneof![any::<String>(), "[!-/:-@\\[-`{-~FSTREXHN0D.br\r\n\u{0}-\u{1f}é]{0,40}"],
            separators in any_separators(),
        ) {
            let escaped = escape(&text, &separators).into_owned();
            for byte in [separators.field, separators.component, separators.repetition, separators.subcomponent] {
                prop_assert!(!escaped.as_bytes().contains(&byte));
            }
            prop_assert!(separators.truncation.is_none_or(|byte| !escaped.as_bytes().contains(&byte)));
            prop_assert!(!escaped.contains(|c: char| c < ' '));
            prop_assert_eq!(unescape(&escaped, &separators), text.as_str());
        }

        #[test]
        fn any_text_is_survived(text in r"[\\XF.brspZé0-9 ]{0,40}") {
            unescape(&text, &Separators::STANDARD);
        }
    }
}
