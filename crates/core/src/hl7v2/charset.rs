//! Character sets: what MSH-18 says, what the bytes are, and turning one into text.
//!
//! Decoding never fails and never loses a byte. Where the label lies, the bytes win: valid
//! UTF-8 is read as UTF-8 whatever the label says, and what is not UTF-8 under a UTF-8 label
//! is read as Windows-1252. It never decides about a message: the caller keeps the flag.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// What a decoder writes for a byte that it knows no character for.
const LOST: char = '\u{FFFD}';

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
            "UNICODEUTF16" | "UTF16" => Self::Utf16,
            "WINDOWS1252" | "CP1252" | "WIN1252" | "1252" | "ANSI" => Self::Windows1252,
            "LATIN1" => Self::Latin1,
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
        if let Ok(text) = std::str::from_utf8(bytes) {
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
                // One character for each byte in both; Windows-1252 has no holes.
                let (filling, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
                let filled = text.chars().zip(filling.chars()).map(|(c, filling)| if c == LOST { filling } else { c });
                (Cow::Owned(filled.collect()), true)
            }
        }
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
                let mut bytes = Vec::with_capacity(text.len());
                let mut one = [0u8; 4];
                for c in text.chars() {
                    let (encoded, _, unmappable) = self.one_byte().encode(c.encode_utf8(&mut one));
                    if unmappable { bytes.push(b'?') } else { bytes.extend_from_slice(&encoded) }
                }
                Cow::Owned(bytes)
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

/// UTF-8 copy of a message that came as UTF-16 (told by its first bytes) and whether half a character was lost on the
/// way, else `None`.
pub(super) fn utf16_to_utf8(bytes: &[u8]) -> Option<(String, bool)> {
    let little = match bytes {
        [0xFF, 0xFE, ..] | [b'M', 0, b'S', 0, ..] | [b'F' | b'B', 0, b'H', 0, ..] => true,
        [0xFE, 0xFF, ..] | [0, b'M', 0, b'S', ..] | [0, b'F' | b'B', 0, b'H', ..] => false,
        _ => return None,
    };
    let encoding = if little { encoding_rs::UTF_16LE } else { encoding_rs::UTF_16BE };
    // `decode` takes the byte order mark off.
    let (text, _, broken) = encoding.decode(bytes);
    Some((text.into_owned(), broken))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
