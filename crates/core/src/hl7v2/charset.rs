//! Character sets: what MSH-18 says, what the bytes are, and turning one into text.
//!
//! Decoding never fails and never loses a byte: what is not UTF-8 under a UTF-8 label is read as Windows-1252, as is a
//! byte that a one-byte set has no character for. Whether a label lies is decided once for a message
//! ([`seen`](Charset::seen)); decoding a value then believes its set and looks bytes up.

use std::borrow::Cow;
use std::sync::LazyLock;

use encoding_rs::Encoding;

use super::mllp::{FS, VT};

/// The characters of bytes 80 to FF in a one-byte set, each another one.
///
/// A hole is filled from Windows-1252, which has none; where the set has that character for another byte (`×` in 8859/8),
/// from U+F780 to U+F7FF, as WHATWG's `x-user-defined` does. So every byte comes back.
struct Table {
    characters: [char; 128],
    holes: [bool; 128],
}

/// Windows-1252 at 0, and 8859/2 to 8859/16 at their numbers.
static TABLES: LazyLock<[Table; 17]> = LazyLock::new(|| std::array::from_fn(Table::of_part));

impl Table {
    fn of_part(part: usize) -> Table {
        let label = format!("iso-8859-{part}");
        let encoding = Encoding::for_label(label.as_bytes()).unwrap_or(encoding_rs::WINDOWS_1252);
        let (given, western) = (given_half(encoding), given_half(encoding_rs::WINDOWS_1252));
        let character = |at: usize| {
            let private = || char::from_u32(0xF780 + at as u32).unwrap_or_default();
            given[at].or(western[at].filter(|c| !given.contains(&Some(*c)))).unwrap_or_else(private)
        };
        Table { characters: std::array::from_fn(character), holes: given.map(|character| character.is_none()) }
    }

    /// The character of a byte, and whether the set has none for it.
    fn character(&self, byte: u8) -> (char, bool) {
        match byte.checked_sub(0x80).map(usize::from) {
            Some(at) => (self.characters[at], self.holes[at]),
            None => (char::from(byte), false),
        }
    }
}

/// The characters of bytes 80 to FF, `None` for a hole.
fn given_half(encoding: &'static Encoding) -> [Option<char>; 128] {
    let bytes: [u8; 128] = std::array::from_fn(|at| 0x80 | at as u8);
    let (text, _) = encoding.decode_without_bom_handling(&bytes);
    let mut characters = text.chars();
    std::array::from_fn(|_| characters.next().filter(|&c| c != char::REPLACEMENT_CHARACTER))
}

/// What the bytes of a message say to the label of a one-byte set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// They are no UTF-8.
    Labelled,
    /// They are UTF-8.
    Utf8,
    /// They could be either.
    Either,
}

/// A character set that HL7 table 0211 (or a sender's own habit) names in MSH-18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// Seven bits; the default of HL7.
    Ascii,
    /// `UNICODE UTF-8`.
    Utf8,
    /// `UNICODE UTF-16`, with or without byte order mark; big-endian without one.
    Utf16,
    /// `8859/1`, read as Windows-1252, its superset that senders really mean.
    Latin1,
    /// `8859/2` to `8859/16`.
    Iso8859(u8),
    /// Windows-1252, not in the HL7 table but common.
    Windows1252,
}

impl Charset {
    /// The set that one value of MSH-18 names; `None` when it names none that is known.
    ///
    /// Case, blanks and dashes do not matter: `8859/1`, `ISO-8859-1`, `UNICODE UTF-8`, `utf8`.
    /// `UNICODE` alone (deprecated) is taken as UTF-8.
    pub fn from_msh18(label: &str) -> Option<Self> {
        // The longest known label has 20 characters.
        if label.len() > 40 {
            return None;
        }
        let name: String = label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        Some(match name.as_str() {
            "ASCII" | "USASCII" | "ISOIR6" => Self::Ascii,
            "UNICODEUTF8" | "UTF8" | "UNICODE" => Self::Utf8,
            "UNICODEUTF16" | "UTF16" | "UTF16BE" | "UTF16LE" => Self::Utf16,
            "WINDOWS1252" | "CP1252" | "WIN1252" | "1252" | "ANSI" => Self::Windows1252,
            // The registration numbers of the upper halves, as DICOM names the sets.
            "LATIN1" | "ISOIR100" => Self::Latin1,
            "ISOIR101" => Self::Iso8859(2),
            "ISOIR109" => Self::Iso8859(3),
            "ISOIR110" => Self::Iso8859(4),
            "ISOIR144" => Self::Iso8859(5),
            "ISOIR127" => Self::Iso8859(6),
            "ISOIR126" => Self::Iso8859(7),
            "ISOIR138" => Self::Iso8859(8),
            "ISOIR148" => Self::Iso8859(9),
            "ISOIR166" => Self::Iso8859(11),
            "ISOIR203" => Self::Iso8859(15),
            _ => {
                let part = name.strip_prefix("ISO").unwrap_or(&name);
                match part.strip_prefix("8859")?.parse().ok()? {
                    1 => Self::Latin1,
                    part @ (2..=11 | 13..=16) => Self::Iso8859(part),
                    _ => return None,
                }
            }
        })
    }

    /// The set's name as HL7 table 0211 writes it.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Ascii => "ASCII",
            Self::Utf8 => "UNICODE UTF-8",
            Self::Utf16 => "UNICODE UTF-16",
            Self::Latin1 => "8859/1",
            Self::Iso8859(part) => return Cow::Owned(format!("8859/{part}")),
            Self::Windows1252 => "WINDOWS-1252",
        })
    }

    /// The set's name in media types (IANA).
    pub fn iana(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Ascii => "us-ascii",
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Latin1 => "iso-8859-1",
            Self::Iso8859(part) => return Cow::Owned(format!("iso-8859-{part}")),
            Self::Windows1252 => "windows-1252",
        })
    }

    /// Text of `bytes`, and whether the bytes contradicted this character set.
    ///
    /// Borrows when the text is those very bytes. A contradiction is: bytes above 127 under `Ascii`, bytes that are no
    /// UTF-8 under `Utf8` (each read as Windows-1252), a byte that a one-byte set has no character for (read as
    /// Windows-1252), a broken pair under `Utf16`. Linear.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> (Cow<'b, str>, bool) {
        if *self == Self::Utf16 {
            return match bytes {
                [0xFF, 0xFE, bytes @ ..] => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes),
                [0xFE, 0xFF, bytes @ ..] | bytes => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes),
            };
        }
        if let Ok(text) = std::str::from_utf8(bytes)
            && (text.is_ascii() || self.table().is_none())
        {
            return (Cow::Borrowed(text), *self == Self::Ascii && !text.is_ascii());
        }
        let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
        let Some(table) = self.table() else {
            // Byte by byte, so that one bad byte does not spoil the good characters beside it.
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|byte| TABLES[0].character(*byte).0));
            }
            return (Cow::Owned(text), true);
        };
        let mut holes = false;
        for byte in bytes {
            let (character, hole) = table.character(*byte);
            text.push(character);
            holes |= hole;
        }
        (Cow::Owned(text), holes)
    }

    /// Whether the bytes of a message that is labelled with this set are UTF-8 in truth. Linear.
    ///
    /// By chance two letters are one character of UTF-8 (`ÓŹ` in 8859/2, `ТА` in 8859/5, `É»` in 8859/1), so that valid
    /// UTF-8 is proven only by what the label would make nonsense of: a byte of 80 to 9F, where no 8859 set has a letter;
    /// in the Latin sets a capital behind a small letter; and where A0 to BF are no letters either (8859/1 and 8859/9, read
    /// with the letters of Windows at 80 to 9F) also what such a sender writes in UTF-8: Latin letters, punctuation, and
    /// words of another script.
    pub(super) fn seen(&self, bytes: &[u8]) -> Seen {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_ascii() => text,
            Ok(_) | Err(_) => return Seen::Labelled,
        };
        let control = || bytes.iter().any(|byte| (0x80..0xA0).contains(byte));
        // The first of two bytes of UTF-8 is a capital in every Latin set; from U+07C0 on it is none.
        let capital = |c: char| ('\u{80}'..'\u{7c0}').contains(&c);
        let small = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase());
        let beyond = |c: Option<char>| c.is_some_and(|c| !c.is_ascii());
        let proven = match self {
            Self::Ascii | Self::Utf8 | Self::Utf16 => true,
            Self::Iso8859(5..=8 | 11) => control(),
            Self::Latin1 | Self::Windows1252 | Self::Iso8859(9) => any_beyond_ascii(text, |before, c, behind| {
                matches!(c, '\u{80}'..='\u{17f}' | '\u{1e00}'..='\u{2fff}' | '\u{10000}'..)
                    || capital(c) && (small(before) || small(behind))
                    || beyond(before)
                    || beyond(behind)
            }),
            Self::Iso8859(_) => control() || any_beyond_ascii(text, |before, c, _| capital(c) && small(before)),
        };
        if proven { Seen::Utf8 } else { Seen::Either }
    }

    /// Where the first byte stands that this one-byte set has no character for.
    pub(super) fn first_hole(&self, bytes: &[u8]) -> Option<usize> {
        let table = self.table()?;
        bytes.iter().position(|byte| table.character(*byte).1)
    }

    /// Bytes of `text` in this set; `?` for each character that the set has not.
    ///
    /// UTF-16 is answered in UTF-8, since such a message is converted on entry.
    pub fn encode<'t>(&self, text: &'t str) -> Cow<'t, [u8]> {
        if text.is_ascii() {
            return Cow::Borrowed(text.as_bytes());
        }
        match self.table() {
            None if *self == Self::Ascii => {
                Cow::Owned(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect())
            }
            None => Cow::Borrowed(text.as_bytes()),
            Some(table) => {
                let byte = |c: char| match table.characters.iter().position(|&known| known == c) {
                    _ if c.is_ascii() => c as u8,
                    Some(at) => 0x80 | at as u8,
                    None => b'?',
                };
                Cow::Owned(text.chars().map(byte).collect())
            }
        }
    }

    /// The table of a one-byte set.
    fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Ascii | Self::Utf8 | Self::Utf16 => None,
            Self::Latin1 | Self::Windows1252 => Some(&TABLES[0]),
            Self::Iso8859(part) => Some(TABLES.get(usize::from(*part)).unwrap_or(&TABLES[0])),
        }
    }
}

/// Whether a character beyond ASCII, with those before and behind it, proves something.
fn any_beyond_ascii(text: &str, proves: impl Fn(Option<char>, char, Option<char>) -> bool) -> bool {
    let (mut before, mut rest) = (None, text.chars().peekable());
    while let Some(c) = rest.next() {
        if !c.is_ascii() && proves(before, c, rest.peek().copied()) {
            return true;
        }
        before = Some(c);
    }
    false
}

/// How a message that came as UTF-16 was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utf16 {
    little: bool,
    /// With a byte order mark.
    marked: bool,
}

impl Utf16 {
    /// Told by the first bytes; `None` when they are no UTF-16.
    pub(super) fn of(bytes: &[u8]) -> Option<Utf16> {
        let (little, marked) = match bytes {
            [0xFF, 0xFE, ..] => (true, true),
            [0xFE, 0xFF, ..] => (false, true),
            [b'M', 0, b'S', 0, ..] | [b'F' | b'B', 0, b'H', 0, ..] => (true, false),
            [0, b'M', 0, b'S', ..] | [0, b'F' | b'B', 0, b'H', ..] => (false, false),
            _ => return None,
        };
        Some(Utf16 { little, marked })
    }

    /// Bytes of its mark.
    pub(super) fn mark_bytes(self) -> usize {
        if self.marked { 2 } else { 0 }
    }

    /// A code unit written alike.
    pub(super) fn unit(self, unit: u16) -> [u8; 2] {
        if self.little { unit.to_le_bytes() } else { unit.to_be_bytes() }
    }

    /// Text written alike.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        let mark = self.marked.then_some(0xFEFF_u16);
        mark.into_iter().chain(text.encode_utf16()).flat_map(|unit| self.unit(unit)).collect()
    }

    /// UTF-8 written alike; `None` when it would hold the end of an MLLP frame, as a letter of Malayalam (U+0D1C) does, or
    /// what is taken for the start of another.
    pub(super) fn framable(self, text: &[u8]) -> Option<Vec<u8>> {
        let wide = self.encode(&String::from_utf8_lossy(text));
        let ends = |pair: &[u8]| pair[0] == FS && matches!(pair[1], b'\r' | b'\n');
        let breaks = wide.windows(2).any(ends) || memchr::memmem::find(&wide, &[VT, b'M', b'S', b'H']).is_some();
        (!breaks).then_some(wide)
    }
}

/// UTF-8 copy of a message that came as UTF-16 and whether half a character was lost on the way, else `None`.
pub fn utf16_to_utf8(bytes: &[u8]) -> Option<(String, bool)> {
    let encoding = if Utf16::of(bytes)?.little { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE };
    // `decode` takes the byte order mark off.
    let (text, _, broken) = encoding.decode(bytes);
    Some((text.into_owned(), broken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels() {
        for (label, charset) in [
            ("ASCII", Some(Charset::Ascii)),
            ("UNICODE UTF-8", Some(Charset::Utf8)),
            ("utf8", Some(Charset::Utf8)),
            ("UNICODE", Some(Charset::Utf8)),
            ("UNICODE UTF-16", Some(Charset::Utf16)),
            ("8859/1", Some(Charset::Latin1)),
            ("ISO-8859-15", Some(Charset::Iso8859(15))),
            ("8859/12", None),
            ("8859/", None),
            ("", None),
            ("ISO IR87", None),
        ] {
            assert_eq!(Charset::from_msh18(label), charset, "{label}");
        }
    }

    #[test]
    fn one_byte_sets_decode() {
        assert_eq!(Charset::Latin1.decode(b"Z\xFCrich"), ("Zürich".into(), false));
        assert_eq!(Charset::Latin1.decode(b"\x80 5 \x93x\x94"), ("€ 5 “x”".into(), false));
        assert_eq!(Charset::Iso8859(15).decode(b"\xA4"), ("€".into(), false));
        assert_eq!(Charset::Iso8859(7).decode(b"\xC1\xD2"), ("ΑÒ".into(), true), "a hole is filled, not lost");
        assert_eq!(Charset::Iso8859(2).decode(b"\xA3\xF3d\xBC"), ("Łódź".into(), false));
    }

    #[test]
    fn a_lying_label_is_seen_through() {
        assert_eq!(Charset::Ascii.decode("Siân".as_bytes()), ("Siân".into(), true));
        assert_eq!(Charset::Utf8.decode("Siân".as_bytes()), ("Siân".into(), false));
        assert_eq!(Charset::Utf8.decode(b"Si\xE2n"), ("Siân".into(), true));
        assert_eq!(Charset::Ascii.decode(b"Si\xE2n"), ("Siân".into(), true));
        // One broken byte does not spoil the others.
        assert_eq!(Charset::Utf8.decode(b"Zo\xC3\xAB Si\xE2n"), ("Zoë Siân".into(), true));
    }

    #[test]
    fn encode_is_the_way_back() {
        for charset in [Charset::Utf8, Charset::Latin1, Charset::Iso8859(15), Charset::Windows1252] {
            assert_eq!(charset.decode(&charset.encode("Siân Zoë")).0, "Siân Zoë");
        }
        assert_eq!(Charset::Latin1.encode("Łódź").as_ref(), b"?\xF3d?");
        assert_eq!(Charset::Ascii.encode("Siân").as_ref(), b"Si?n");
    }

    #[test]
    fn utf16_is_recognised() {
        assert_eq!(utf16_to_utf8(b"\xFE\xFF\0M\0S\0H"), Some(("MSH".into(), false)));
        assert_eq!(utf16_to_utf8(b"M\0S\0H\0"), Some(("MSH".into(), false)));
        assert_eq!(utf16_to_utf8(b"M\0S\0H\0|"), Some(("MSH\u{FFFD}".into(), true)));
        assert_eq!(utf16_to_utf8(b"MSH|"), None);
    }

    #[test]
    fn utf16_that_is_broken_is_told() {
        assert_eq!(utf16_to_utf8(b"\xFF\xFEM\0S\0H\0"), Some(("MSH".into(), false)));
        // A lone high surrogate, a lone low one.
        assert_eq!(utf16_to_utf8(b"M\0S\0\x3D\xD8H\0"), Some(("MS\u{FFFD}H".into(), true)));
        assert_eq!(utf16_to_utf8(b"M\0S\0H\0\0\xDC"), Some(("MSH\u{FFFD}".into(), true)));
    }

    #[test]
    fn holes_come_back() {
        // 8859/7 has no character at AE, D2 and FF; 8859/8 has × at AA and nothing at D7, where Windows-1252 has it.
        assert_eq!(Charset::Iso8859(7).decode(b"\xE1\xD2\xAE"), ("αÒ®".into(), true));
        assert_eq!(Charset::Iso8859(8).decode(b"\xAA\xD7"), ("×\u{F7D7}".into(), true));
        assert_eq!(Charset::Iso8859(3).first_hole(b"ok\xA5"), Some(2));
        assert_eq!(Charset::Latin1.first_hole(b"\x81\xA5"), None);
    }

    const WESTERN: [Charset; 3] = [Charset::Latin1, Charset::Windows1252, Charset::Iso8859(9)];

    #[test]
    fn utf8_is_seen_where_the_label_makes_no_sense() {
        for text in
            ["Siân", "André", "JOSÉ", "Paweł", "Łukasz", "Émile", "50 €", "it’s", "Αθήνα", "Ionuț", "Ștefan", "😀"]
        {
            for charset in WESTERN {
                assert_eq!(charset.seen(text.as_bytes()), Seen::Utf8, "{text} {charset:?}");
            }
        }
        for part in [2, 3, 4, 10, 13, 14, 15, 16] {
            for text in ["Siân", "André", "JOSÉ", "Paweł", "Łukasz", "it’s", "Αθήνα", "50 €"] {
                assert_eq!(Charset::Iso8859(part).seen(text.as_bytes()), Seen::Utf8, "{text} {part}");
            }
        }
        assert_eq!(Charset::Iso8859(5).seen("Тата".as_bytes()), Seen::Utf8);
        assert_eq!(Charset::Ascii.seen("ÓŹ".as_bytes()), Seen::Utf8);
    }

    #[test]
    fn letters_that_look_like_utf8_are_left_alone() {
        for (charset, text) in [
            (Charset::Iso8859(2), "JÓŹWIAK MÍŠEK ALOÍŠ DÚŽA ÓŚMY"),
            (Charset::Iso8859(4), "ĶĒNIŅŠ"),
            (Charset::Iso8859(15), "KRÄŽ"),
            (Charset::Latin1, "CAFÉ»"),
            (Charset::Latin1, "MÍŠEK DÚŽA"),
            (Charset::Latin1, "Spaß»"),
            (Charset::Windows1252, "“CAFÉ…”"),
            (Charset::Iso8859(5), "ТА"),
            (Charset::Iso8859(11), "รฉ"),
        ] {
            for word in text.split(' ') {
                let bytes = charset.encode(word);
                assert_eq!(charset.decode(&bytes), (word.into(), false), "{word} {charset:?}");
                assert_ne!(charset.seen(&bytes), Seen::Utf8, "{word} {charset:?}");
            }
        }
        assert_eq!(Charset::Latin1.seen(b"CAF\xC9\xBB"), Seen::Either);
        assert_eq!(Charset::Latin1.seen(b"CAF\xC9"), Seen::Labelled);
        assert_eq!(Charset::Iso8859(2).seen(b"ASCII"), Seen::Labelled);
    }

    fn one_byte_sets() -> impl Iterator<Item = Charset> {
        let parts = (2..=16).filter(|part| *part != 12).map(Charset::Iso8859);
        [Charset::Latin1, Charset::Windows1252].into_iter().chain(parts)
    }

    #[test]
    fn every_byte_of_every_one_byte_set_comes_back() {
        for charset in one_byte_sets() {
            let bytes: Vec<u8> = (0..=255).collect();
            let (text, _) = charset.decode(&bytes);
            assert_eq!(text.chars().count(), 256, "{charset:?}");
            assert_eq!(charset.encode(&text).as_ref(), bytes, "{charset:?}");
        }
    }

    proptest! {
        /// No bytes in any set are lost: the set gives them back, or (where no set fits) each wrong byte is a character of
        /// its own.
        #[test]
        fn nothing_is_lost(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0xA0u8.., 0x20u8..0x7F], 0..60)) {
            for charset in one_byte_sets() {
                let text = charset.decode(&bytes).0;
                prop_assert!(charset.encode(&text).as_ref() == bytes);
            }
            for charset in [Charset::Utf8, Charset::Ascii] {
                let (text, wrong) = charset.decode(&bytes);
                let valid: usize = bytes.utf8_chunks().map(|chunk| chunk.valid().chars().count()).sum();
                let invalid: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
                prop_assert_eq!(text.chars().count(), valid + invalid);
                prop_assert!(wrong || invalid == 0);
            }
            let (text, wrong) = Charset::Utf16.decode(&bytes);
            let order: fn(u16) -> [u8; 2] = if bytes.starts_with(b"\xFF\xFE") { u16::to_le_bytes } else { u16::to_be_bytes };
            let back: Vec<u8> = text.encode_utf16().flat_map(order).collect();
            prop_assert!(wrong || bytes.ends_with(&back));
        }
    }
}
