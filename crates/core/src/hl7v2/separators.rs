//! The delimiters a message declares in MSH-1 and MSH-2.
//!
//! Reads the header's first bytes and nothing else; it never assumes a delimiter that the
//! sender did not declare.

use super::error::ParseErrorKind;

/// The delimiters of one message, as declared in MSH-1 and MSH-2.
///
/// A delimiter that MSH-2 leaves out is [`Separators::UNUSED`]: HL7 lets a sender drop the ones
/// that its message does not use, and then that character is plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separators {
    /// Between fields, MSH-1, usually `|`.
    pub field: u8,
    /// Between components, usually `^`.
    pub component: u8,
    /// Between repetitions, usually `~`.
    pub repetition: u8,
    /// Around escape sequences, usually `\`.
    pub escape: u8,
    /// Between subcomponents, usually `&`.
    pub subcomponent: u8,
    /// Marks a cut-off value, usually `#`; HL7 v2.7 and later.
    pub truncation: Option<u8>,
}

impl Default for Separators {
    fn default() -> Self {
        Self::STANDARD
    }
}

impl Separators {
    /// The recommended delimiters: `|^~\&`.
    pub const STANDARD: Self =
        Self { field: b'|', component: b'^', repetition: b'~', escape: b'\\', subcomponent: b'&', truncation: None };

    /// Stands for a delimiter that the message does not use. Never matches any byte.
    pub const UNUSED: u8 = 0;

    /// MSH-2 for these delimiters.
    pub(super) fn encoding_characters(&self) -> Vec<u8> {
        let truncation = self.truncation.unwrap_or(Self::UNUSED);
        let all = [self.component, self.repetition, self.escape, self.subcomponent, truncation];
        all.into_iter().filter(|&byte| byte != Self::UNUSED).collect()
    }

    /// Reads the delimiters from a message that starts with `MSH` (or `BHS`, `FHS`).
    ///
    /// Returns them with the end of MSH-2 and whether MSH-2 is regular.
    pub(super) fn of_header(header: &[u8]) -> Result<(Self, usize, bool), ParseErrorKind> {
        let field = match header.get(3) {
            Some(&byte) if is_delimiter(byte) => byte,
            _ => return Err(ParseErrorKind::FieldSeparator),
        };
        let rest = &header[4..];
        let length =
            rest.iter().position(|&byte| byte == field || byte == b'\r' || byte == b'\n').unwrap_or(rest.len());
        let declared = &rest[..length];
        if declared.is_empty() {
            return Err(ParseErrorKind::EncodingCharactersMissing);
        }
        // Five characters is the most that HL7 defines; a few more are tolerated, a whole
        // value in this place means that MSH-2 was forgotten.
        if declared.len() > 8 || !declared.iter().all(|&byte| is_delimiter(byte)) {
            return Err(ParseErrorKind::EncodingCharacters);
        }
        // A character has one role, the first: `^~\\&` (a doubled escape) means `^~\&`.
        let mut roles = [Self::UNUSED; 5];
        let mut used = 0;
        for &byte in declared {
            if used < roles.len() && !roles[..used].contains(&byte) {
                roles[used] = byte;
                used += 1;
            }
        }
        let separators = Self {
            field,
            component: roles[0],
            repetition: roles[1],
            escape: roles[2],
            subcomponent: roles[3],
            truncation: (roles[4] != Self::UNUSED).then_some(roles[4]),
        };
        let regular = used == declared.len() && used >= 4;
        Ok((separators, 4 + length, regular))
    }
}

/// A delimiter is a visible ASCII character that no value is made of.
fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_punctuation()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn roles_follow_their_order() {
        let (separators, end, regular) = Separators::of_header(b"MSH|^~\\&#|x").unwrap();
        assert_eq!((separators.truncation, end, regular), (Some(b'#'), 9, true));
        let (separators, _, regular) = Separators::of_header(b"MSH$%*!@$x").unwrap();
        assert_eq!(separators.field, b'$');
        assert_eq!(separators.subcomponent, b'@');
        assert!(regular);
    }

    #[test]
    fn short_and_doubled_headers_are_tolerated() {
        let (separators, _, regular) = Separators::of_header(b"MSH|^|x").unwrap();
        assert_eq!(separators.repetition, Separators::UNUSED);
        assert!(!regular);
        let (separators, _, regular) = Separators::of_header(b"MSH|^~\\\\&|x").unwrap();
        assert_eq!(separators, Separators::STANDARD);
        assert!(!regular);
    }

    #[test]
    fn no_delimiters_are_guessed() {
        let check = |text: &str| Separators::of_header(text.as_bytes()).unwrap_err();
        assert_eq!(check("MSH"), ParseErrorKind::FieldSeparator);
        assert_eq!(check("MSH\r"), ParseErrorKind::FieldSeparator);
        assert_eq!(check("MSHx^~\\&x"), ParseErrorKind::FieldSeparator);
        assert_eq!(check("MSH|"), ParseErrorKind::EncodingCharactersMissing);
        assert_eq!(check("MSH||a"), ParseErrorKind::EncodingCharactersMissing);
        assert_eq!(check("MSH|PAS|RXX|"), ParseErrorKind::EncodingCharacters);
    }
}
