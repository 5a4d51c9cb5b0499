//! Character sets: what MSH-18 says, what the bytes are, and turning one into text.
//!
//! Decoding never fails and never loses a byte. Where the label lies, the bytes win: valid
//! UTF-8 is read as UTF-8 whatever the label says, and what is not UTF-8 under a UTF-8 label
//! is read as Windows-1252, as is a byte that a one-byte set has no character for. It never
//! decides about a message: the caller keeps the flag.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::mllp::FS;

/// The bytes beyond ASCII.
const UPPER_BYTES: [u8; 128] = {
    let mut bytes = [0; 128];
    let mut at = 0;
    while at < 128 {
        bytes[at] = 0x80 + at as u8;
        at += 1;
    }
    bytes
};

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
    /// Borrows when the bytes are plain ASCII or valid UTF-8. A contradiction is: bytes above 127
    /// under `Ascii`, bytes that are no UTF-8 under `Utf8` (each read as Windows-1252), valid
    /// multi-byte UTF-8 under a one-byte set (read as UTF-8), a byte that a one-byte set has no character for (read as
    /// Windows-1252), a broken pair under `Utf16`. Linear.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> (Cow<'b, str>, bool) {
        if *self == Self::Utf16 {
            return match bytes {
                [0xFF, 0xFE, bytes @ ..] => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes),
                [0xFE, 0xFF, bytes @ ..] | bytes => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes),
            };
        }
        if let Some(text) = self.seen_as_utf8(bytes) {
            return (Cow::Borrowed(text), *self != Self::Utf8 && !text.is_ascii());
        }
        match self {
            // Byte by byte, so that one bad byte does not spoil the good characters beside it.
            Self::Utf8 | Self::Ascii | Self::Utf16 => {
                let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
                for chunk in bytes.utf8_chunks() {
                    text.push_str(chunk.valid());
                    let (rest, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(chunk.invalid());
                    text.push_str(&rest);
                }
                (Cow::Owned(text), true)
            }
            Self::Latin1 | Self::Windows1252 | Self::Iso8859(_) => {
                let (text, holes) = self.one_byte().decode_without_bom_handling(bytes);
                if !holes {
                    return (text, false);
                }
                let upper = self.upper_half();
                let character = |&byte: &u8| match byte.checked_sub(0x80) {
                    Some(at) => upper[usize::from(at)],
                    None => char::from(byte),
                };
                (Cow::Owned(bytes.iter().map(character).collect()), true)
            }
        }
    }

    /// The bytes as UTF-8 when they are that, whatever the label says.
    ///
    /// In Cyrillic, Arabic, Greek, Hebrew and Thai two letters in a row can by chance be one
    /// character of UTF-8 (`ТА` in 8859/5 is the degree sign); there only a byte of 80 to 9F, which
    /// is no letter in those sets, proves UTF-8.
    pub(super) fn seen_as_utf8<'b>(&self, bytes: &'b [u8]) -> Option<&'b str> {
        let text = std::str::from_utf8(bytes).ok()?;
        let proven = match self {
            Self::Iso8859(5..=8 | 11) => text.is_ascii() || bytes.iter().any(|byte| (0x80..0xA0).contains(byte)),
            Self::Ascii | Self::Utf8 | Self::Utf16 | Self::Latin1 | Self::Windows1252 | Self::Iso8859(_) => true,
        };
        proven.then_some(text)
    }

    /// Where the first byte stands that this one-byte set has no character for.
    pub(super) fn first_hole(&self, bytes: &[u8]) -> Option<usize> {
        let given = self.given_half();
        bytes.iter().position(|byte| byte.checked_sub(0x80).is_some_and(|at| given[usize::from(at)].is_none()))
    }

    /// The characters of bytes 80 to FF in a one-byte set, `None` for a hole.
    fn given_half(&self) -> [Option<char>; 128] {
        let (text, _) = self.one_byte().decode_without_bom_handling(&UPPER_BYTES);
        let mut characters = text.chars();
        std::array::from_fn(|_| characters.next().filter(|&c| c != char::REPLACEMENT_CHARACTER))
    }

    /// The characters of bytes 80 to FF in a one-byte set, each another one. A hole is filled from Windows-1252, which has
    /// none; where the set has that character for another byte (`×` in 8859/8), from U+F780 to U+F7FF, as WHATWG's
    /// `x-user-defined` does. So [`encode`](Self::encode) gives every byte back.
    fn upper_half(&self) -> [char; 128] {
        let given = self.given_half();
        let filling = Self::Windows1252.given_half();
        std::array::from_fn(|at| {
            let private = || char::from_u32(0xF780 + at as u32).unwrap_or_default();
            given[at].or(filling[at].filter(|c| !given.contains(&Some(*c)))).unwrap_or_else(private)
        })
    }

    /// Bytes of `text` in this set; `?` for each character that the set has not.
    ///
    /// UTF-16 is answered in UTF-8, since such a message is converted on entry.
    pub fn encode<'t>(&self, text: &'t str) -> Cow<'t, [u8]> {
        if text.is_ascii() {
            return Cow::Borrowed(text.as_bytes());
        }
        match self {
            Self::Utf8 | Self::Utf16 => Cow::Borrowed(text.as_bytes()),
            Self::Ascii => Cow::Owned(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect()),
            Self::Latin1 | Self::Windows1252 | Self::Iso8859(_) => {
                let upper = self.upper_half();
                let byte = |c: char| match upper.iter().position(|&known| known == c) {
                    _ if c.is_ascii() => c as u8,
                    Some(at) => UPPER_BYTES[at],
                    None => b'?',
                };
                Cow::Owned(text.chars().map(byte).collect())
            }
        }
    }

    /// The table of a one-byte set; Windows-1252 for every other.
    fn one_byte(&self) -> &'static Encoding {
        match self {
            Self::Iso8859(part) => {
                Encoding::for_label(format!("iso-8859-{part}").as_bytes()).unwrap_or(encoding_rs::WINDOWS_1252)
            }
            Self::Ascii | Self::Utf8 | Self::Utf16 | Self::Latin1 | Self::Windows1252 => encoding_rs::WINDOWS_1252,
        }
    }
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

    /// Text written alike.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        self.encode_part(text, true)
    }

    /// A part of a text written alike; the first has the mark.
    pub(super) fn encode_part(self, text: &str, first: bool) -> Vec<u8> {
        let mark = (self.marked && first).then_some(0xFEFF_u16);
        let units = mark.into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if self.little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    /// UTF-8 written alike; `None` when it would hold the end of an MLLP frame, as a letter of Malayalam (U+0D1C) does.
    pub(super) fn framable(self, text: &[u8]) -> Option<Vec<u8>> {
        let wide = self.encode(&String::from_utf8_lossy(text));
        let ends = |pair: &[u8]| pair[0] == FS && matches!(pair[1], b'\r' | b'\n');
        (!wide.windows(2).any(ends)).then_some(wide)
    }
}

/// UTF-8 copy of a message that came as UTF-16 and whether half a character was lost on the way, else `None`.
pub(super) fn utf16_to_utf8(bytes: &[u8]) -> Option<(String, bool)> {
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
        assert_eq!(Charset::Latin1.decode("Siân".as_bytes()), ("Siân".into(), true));
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

    #[test]
    fn letters_that_look_like_utf8() {
        assert_eq!(Charset::Iso8859(5).decode(b"\xC2\xB0"), ("ТА".into(), false));
        assert_eq!(Charset::Iso8859(5).decode("Тата".as_bytes()), ("Тата".into(), true));
        assert_eq!(Charset::Iso8859(11).decode(b"\xC3\xA9"), ("รฉ".into(), false));
        assert_eq!(Charset::Latin1.decode(b"\xC3\xA9"), ("é".into(), true));
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
        /// No bytes in any set are lost: they are the text's UTF-8, or the set gives them back, or (where no set fits)
        /// each wrong byte is a character of its own.
        #[test]
        fn nothing_is_lost(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0xA0u8.., 0x20u8..0x7F], 0..60)) {
            for charset in one_byte_sets() {
                let (text, wrong) = charset.decode(&bytes);
                prop_assert!(charset.encode(&text).as_ref() == bytes || (wrong && text.as_bytes() == bytes));
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
