//! Character sets that a text switches to by `\Cxxyy\` and `\Mxxyyzz\` (HL7 v2 chapter 2.7.2), and back.
//!
//! The hexadecimal digits are the ISO 2022 escape sequence of the set without its ESC. Only sets that MSH-18 declares
//! are switched to; it never guesses one.

use std::borrow::Cow;

use super::charset::Charset;

/// A set that a text can switch to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeSet {
    /// One byte for a character.
    OneByte(Charset),
    /// Two bytes for a character, seven or eight bits each.
    Pairs(Pairs),
}

/// Sets of two bytes for a character, by their names in HL7 table 0211.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairs {
    /// `ISO IR87`, JIS X 0208.
    Jis0208,
    /// `ISO IR159`, JIS X 0212.
    Jis0212,
    /// `KS X 1001`.
    Ksx1001,
    /// `GB 2312`, or `GB 18030-2000`, which contains it.
    Gb2312,
}

impl CodeSet {
    /// The set that a repetition of MSH-18 declares.
    pub(super) fn of_label(label: &str) -> Option<Self> {
        if let Some(charset) = Charset::from_msh18(label) {
            return Some(Self::OneByte(charset));
        }
        let name: String = label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        Some(match name.as_str() {
            // The Latin letters of JIS X 0201.
            "ISOIR14" => Self::OneByte(Charset::Ascii),
            "ISOIR87" => Self::Pairs(Pairs::Jis0208),
            "ISOIR159" => Self::Pairs(Pairs::Jis0212),
            "KSX1001" => Self::Pairs(Pairs::Ksx1001),
            "GB2312" | "GB180302000" => Self::Pairs(Pairs::Gb2312),
            _ => return None,
        })
    }

    /// The set that an escape sequence switches to, given without its marks: `C2D41`.
    pub(super) fn of_escape(body: &[u8]) -> Option<Self> {
        if body.len() > 7 {
            return None;
        }
        Some(match body.to_ascii_uppercase().as_slice() {
            b"C2842" | b"C284A" => Self::OneByte(Charset::Ascii),
            b"C2D41" => Self::OneByte(Charset::Latin1),
            [b'C', b'2', b'D', last @ ..] => Self::OneByte(Charset::Iso8859(match last {
                b"42" => 2,
                b"43" => 3,
                b"44" => 4,
                b"4C" => 5,
                b"47" => 6,
                b"46" => 7,
                b"48" => 8,
                b"4D" => 9,
                b"56" => 10,
                b"54" => 11,
                b"59" => 13,
                b"5F" => 14,
                b"62" => 15,
                b"66" => 16,
                _ => return None,
            })),
            b"M2442" | b"M242842" | b"M242942" => Self::Pairs(Pairs::Jis0208),
            b"M242844" | b"M242944" => Self::Pairs(Pairs::Jis0212),
            b"M242843" | b"M242943" => Self::Pairs(Pairs::Ksx1001),
            b"M2441" | b"M242841" | b"M242941" => Self::Pairs(Pairs::Gb2312),
            _ => return None,
        })
    }

    /// Text of bytes in this set; `None` when they are none, so that the caller can keep them in the message's set.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<String> {
        let own = |(text, wrong): (Cow<'_, str>, bool)| (!wrong).then(|| text.into_owned());
        match self {
            Self::OneByte(charset) => own(charset.decode(bytes)),
            Self::Pairs(pairs) => own(pairs.encoding().decode_without_bom_handling(&pairs.eight_bit(bytes))),
        }
    }
}

impl Pairs {
    fn encoding(self) -> &'static encoding_rs::Encoding {
        match self {
            Self::Jis0208 | Self::Jis0212 => encoding_rs::EUC_JP,
            Self::Ksx1001 => encoding_rs::EUC_KR,
            Self::Gb2312 => encoding_rs::GBK,
        }
    }

    /// The pairs with their eighth bits set, as the EUC encodings have them; blanks and a byte without partner stay.
    fn eight_bit(self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2);
        let mut rest = bytes;
        let graphic = |byte: u8| (0x21..=0x7E).contains(&(byte & 0x7F));
        while let Some((&first, after)) = rest.split_first() {
            match after.split_first() {
                Some((&second, after)) if graphic(first) && graphic(second) => {
                    if self == Self::Jis0212 {
                        out.push(0x8F);
                    }
                    out.extend([first | 0x80, second | 0x80]);
                    rest = after;
                }
                _ => {
                    out.push(first);
                    rest = after;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_sequences_meet() {
        for (label, sequence) in [
            ("ASCII", "C2842"),
            ("8859/1", "C2D41"),
            ("8859/2", "c2d42"),
            ("8859/5", "C2D4C"),
            ("8859/7", "C2D46"),
            ("8859/15", "C2D62"),
            ("ISO IR87", "M2442"),
            ("ISO IR159", "M242844"),
            ("KS X 1001", "M242943"),
            ("GB 18030-2000", "M242941"),
        ] {
            assert!(CodeSet::of_label(label).is_some());
            assert_eq!(CodeSet::of_label(label), CodeSet::of_escape(sequence.as_bytes()), "{label}");
        }
        for sequence in ["", "C", "C2D", "C2D40", "C2D4100", "M", "M24", "X2842", "M244244444444"] {
            assert_eq!(CodeSet::of_escape(sequence.as_bytes()), None, "{sequence}");
        }
    }

    #[test]
    fn pairs_decode() {
        // 山田 in JIS X 0208, seven and eight bits; blanks between characters stay.
        assert_eq!(CodeSet::Pairs(Pairs::Jis0208).decode(b"\x3B\x33\x45\x44").as_deref(), Some("山田"));
        assert_eq!(CodeSet::Pairs(Pairs::Jis0208).decode(b"\xBB\xB3 \xC5\xC4").as_deref(), Some("山 田"));
        assert_eq!(CodeSet::Pairs(Pairs::Jis0212).decode(b"\x30\x21").as_deref(), Some("丂"));
        assert_eq!(CodeSet::Pairs(Pairs::Ksx1001).decode(b"\x31\x68").as_deref(), Some("김"));
        assert_eq!(CodeSet::Pairs(Pairs::Gb2312).decode(b"\x56\x50").as_deref(), Some("中"));
        // A byte without partner, and a pair that is no character.
        assert_eq!(CodeSet::Pairs(Pairs::Jis0208).decode(b"\x3B\x33x").as_deref(), Some("山x"));
        assert_eq!(CodeSet::Pairs(Pairs::Jis0208).decode(b"\x7E\x7E"), None);
        assert_eq!(CodeSet::OneByte(Charset::Iso8859(7)).decode(b"\xFF"), None);
    }
}
