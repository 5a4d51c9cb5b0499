//! What the reader refuses ([`ParseError`]) and what it tolerates but reports ([`Warning`]).
//!
//! Neither ever carries message content: a code, a byte offset and what to do about it, so
//! both may go to logs and to people who must not see the patient.

use std::fmt;

/// Why bytes are not a readable HL7 v2 message. Carries the place, never the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (byte {offset})")]
pub struct ParseError {
    /// What is wrong and what to do.
    pub kind: ParseErrorKind,
    /// Where, in bytes from the start of what was given.
    pub offset: usize,
}

/// The kinds of refusal. `Display` says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// No byte but white space.
    Empty,
    /// The first segment is not MSH.
    NoHeader,
    /// A batch or file envelope (FHS, BHS) stands where MSH was expected.
    BatchEnvelope,
    /// A second MSH stands inside the message: two messages, perhaps two patients.
    SecondHeader,
    /// Nothing usable stands behind `MSH`, so the field separator is unknown.
    FieldSeparator,
    /// MSH-2 is empty.
    EncodingCharactersMissing,
    /// MSH-2 holds letters, digits, blanks or other bytes that cannot be delimiters.
    EncodingCharacters,
    /// More bytes than [`MESSAGE_BYTES_MAX`](super::MESSAGE_BYTES_MAX).
    TooLong,
    /// More segments than [`ParseOptions::segments_max`](super::ParseOptions::segments_max).
    TooManySegments,
    /// More fields than [`ParseOptions::fields_max`](super::ParseOptions::fields_max), or more in
    /// one segment than [`FIELDS_PER_SEGMENT_MAX`](super::FIELDS_PER_SEGMENT_MAX).
    TooManyFields,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the message is empty; send at least an MSH segment",
            Self::NoHeader => "the message does not start with MSH; send the MSH segment first",
            Self::BatchEnvelope => "this is the envelope of a batch (FHS, BHS) without a message",
            Self::SecondHeader => "a second MSH stands inside the message; send one message per frame",
            Self::FieldSeparator => "MSH-1 is missing or no delimiter; start the message with MSH|^~\\&|",
            Self::EncodingCharactersMissing => "MSH-2 is empty; send the encoding characters, as in MSH|^~\\&|",
            Self::EncodingCharacters => {
                "MSH-2 holds characters that cannot be delimiters; send punctuation, as in ^~\\&"
            }
            Self::TooLong => "the message is too long to index; send large documents by reference",
            Self::TooManySegments => "too many segments for one message; split it",
            Self::TooManyFields => "too many fields for one message; split it",
        })
    }
}

/// An irregularity that was tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Which irregularity.
    pub code: WarningCode,
    /// Where, in bytes from the start of [`Message::bytes`](super::Message::bytes).
    pub offset: usize,
}

/// The irregularities that are tolerated and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningCode {
    /// A byte order mark stood before MSH.
    ByteOrderMark,
    /// Blanks, line ends or control characters stood before MSH.
    LeadingBytes,
    /// Control characters (FS, NUL, SUB) stood behind the last segment; they are not read.
    TrailingBytes,
    /// An empty line between segments.
    BlankLine,
    /// Blanks stood before a segment's name.
    LeadingBlanks,
    /// A line that is not a segment; it is kept as a segment named `???`.
    NotASegment,
    /// A line that continues the field before it (a line end typed inside a text); the field
    /// was read across the line end.
    WrappedLine,
    /// Segments end in LF or CR LF where HL7 wants CR alone. Reported once.
    LineFeed,
    /// The last segment has no CR.
    NoFinalTerminator,
    /// MSH-2 is shorter than four characters, longer than five, or repeats a character.
    OddEncodingCharacters,
    /// MSH-18 names a character set that is not known; the feed's default is used.
    UnknownCharset,
    /// The bytes are UTF-8 although MSH-18 says otherwise; they are read as UTF-8.
    MislabelledCharset,
    /// The bytes could be UTF-8, but make sense in the set of MSH-18, too; they are read in that.
    AmbiguousCharset,
    /// Some bytes are not valid in the character set; they are read as Windows-1252 (U+F780 to U+F7FF where the
    /// set has that character for another byte), or in UTF-16, where half a character
    /// is left, as U+FFFD.
    InvalidCharacters,
    /// The message came as UTF-16 and was converted to UTF-8 before reading.
    Utf16,
    /// A batch trailer (BTS, FTS) or header (BHS, FHS) stands inside the message.
    BatchEnvelope,
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByteOrderMark => "a byte order mark stands before MSH",
            Self::LeadingBytes => "blanks or control characters stand before MSH",
            Self::TrailingBytes => "control characters stand behind the last segment",
            Self::BlankLine => "a blank line stands between segments",
            Self::LeadingBlanks => "blanks stand before a segment's name",
            Self::NotASegment => "a line is not a segment",
            Self::WrappedLine => "a line end stands inside a field",
            Self::LineFeed => "segments end in LF or CR LF, not in CR",
            Self::NoFinalTerminator => "the last segment has no CR",
            Self::OddEncodingCharacters => "MSH-2 is not four or five different characters",
            Self::UnknownCharset => "MSH-18 names an unknown character set",
            Self::MislabelledCharset => "the text is UTF-8 but MSH-18 says otherwise; it is read as UTF-8",
            Self::AmbiguousCharset => "the text could be UTF-8 by chance; it is read in the character set of MSH-18",
            Self::InvalidCharacters => "some bytes are not valid in the character set",
            Self::Utf16 => "the message is UTF-16",
            Self::BatchEnvelope => "a batch header or trailer stands inside the message",
        })
    }
}
