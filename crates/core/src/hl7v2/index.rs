//! One pass over a message's bytes: where its segments and fields begin.
//!
//! Finds line ends and field separators and nothing below them. It never copies or changes a
//! byte (UTF-16 is the one exception: it is converted first), never drops a line, and holds
//! every limit. Linear in the message's length.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::charset::{Charset, Seen, Utf16, utf16_to_utf8};
use super::error::{ParseError, ParseErrorKind, Warning, WarningCode};
use super::lines::{Begun, Lines};
use super::scan::Delimiters;
use super::separators::Separators;
use super::switch::CodeSet;

/// A longer message is refused, in bytes; offsets are 32 bits wide.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Default of [`ParseOptions::segments_max`].
pub const SEGMENTS_MAX_DEFAULT: usize = 250_000;
/// Default of [`ParseOptions::fields_max`]; the index takes four bytes for each.
pub const FIELDS_MAX_DEFAULT: usize = 4_000_000;
/// A segment with more fields is refused.
pub const FIELDS_PER_SEGMENT_MAX: usize = u16::MAX as usize - 1;
/// Most warnings kept for one message; later ones are not recorded.
pub const WARNINGS_MAX: usize = 100;
/// Most repetitions of MSH-18 that are looked at.
const SWITCHABLE_MAX: usize = 16;

/// How to read messages of one feed.
#[derive(Debug, Clone)]
pub struct ParseOptions {
    /// Character set of messages whose MSH-18 is empty or unknown.
    pub default_charset: Charset,
    /// Most segments of one message.
    pub segments_max: usize,
    /// Most fields of one message, counted over all segments.
    pub fields_max: usize,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self { default_charset: Charset::Utf8, segments_max: SEGMENTS_MAX_DEFAULT, fields_max: FIELDS_MAX_DEFAULT }
    }
}

/// What a line that is no segment is called.
pub(super) const NOT_A_SEGMENT: &[u8; 3] = b"???";

/// Everything that is known of a message before a field is looked at.
pub(super) struct MessageIndex {
    pub(super) bytes: Bytes,
    pub(super) separators: Separators,
    pub(super) charset: Charset,
    /// How the message was written, when it came as UTF-16.
    pub(super) utf16: Option<Utf16>,
    /// The sets between which escape sequences switch; empty unless MSH-18 repeats.
    pub(super) switchable: Vec<CodeSet>,
    pub(super) segments: Vec<SegmentIndex>,
    /// Starts of all pieces between field separators but the first of each segment.
    pub(super) fields: Vec<u32>,
    pub(super) warnings: Vec<Warning>,
}

/// One segment: a range of bytes and a range of the field starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentIndex {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) fields_start: u32,
    pub(super) fields_count: u16,
    /// `???` for a line that is not a segment.
    pub(super) name: [u8; 3],
    /// 1-based among the segments of the same name.
    pub(super) occurrence: u32,
}

impl MessageIndex {
    pub(super) fn build(bytes: Bytes, options: &ParseOptions) -> Result<Self, ParseError> {
        let refuse = |kind, offset| Err(ParseError { kind, offset });
        if bytes.len() > MESSAGE_BYTES_MAX {
            return refuse(ParseErrorKind::TooLong, MESSAGE_BYTES_MAX);
        }
        let mut warnings = Vec::new();
        let utf16 = Utf16::of(&bytes);
        let bytes = match utf16_to_utf8(&bytes) {
            Some((text, broken)) => {
                warnings.push(Warning { code: WarningCode::Utf16, offset: 0 });
                if broken {
                    warnings.push(Warning {
                        code: WarningCode::InvalidCharacters,
                        offset: text.find('\u{FFFD}').unwrap_or(0),
                    });
                }
                Bytes::from(text)
            }
            None => bytes,
        };
        let start = skip_leading(&bytes, &mut warnings);
        let end = skip_trailing(&bytes, start, &mut warnings);
        match bytes.get(start..start + 3) {
            _ if start >= end => return refuse(ParseErrorKind::Empty, start),
            Some(b"MSH") => {}
            Some(b"FHS" | b"BHS") => return refuse(ParseErrorKind::BatchEnvelope, start),
            _ => return refuse(ParseErrorKind::NoHeader, start),
        }
        let (separators, _, regular) =
            Separators::of_header(&bytes[start..end]).map_err(|kind| ParseError { kind, offset: start + 3 })?;
        if !regular {
            warnings.push(Warning { code: WarningCode::OddEncodingCharacters, offset: start + 4 });
        }
        let mut builder = Builder {
            bytes: &bytes[..end],
            options,
            segments: Vec::with_capacity(16),
            fields: Vec::with_capacity((end - start).min(1024) / 4),
            warnings,
            occurrences: BTreeMap::new(),
            field: separators.field,
            lines: Lines::behind(separators.field, false),
        };
        builder.lines(start)?;
        let Builder { segments, fields, mut warnings, .. } = builder;
        let msh18 = msh18(&segments, &fields);
        let (declared, switchable) = declared(&bytes[msh18.clone()], msh18.start, &separators, &mut warnings);
        let charset = match declared.unwrap_or(options.default_charset) {
            // What is indexed is one byte wide, whatever the label.
            Charset::Utf16 => Charset::Utf8,
            other => other,
        };
        // Where the text switches from set to set, its bytes are of several, and the labels are believed.
        let switches = |letter| memchr::memmem::find(&bytes, &[separators.escape, letter]).is_some();
        // A byte order mark is no chance: what begins with one is UTF-8, whatever it is labelled.
        let marked = warnings.iter().any(|warning| warning.code == WarningCode::ByteOrderMark);
        let charset = match utf16.is_some() || marked {
            true => Charset::Utf8,
            false if !switchable.is_empty() && (switches(b'C') || switches(b'M')) => charset,
            false => settled(charset, &bytes, &mut warnings),
        };
        Ok(Self { bytes, separators, charset, utf16, switchable, segments, fields, warnings })
    }
}

/// Blanks, line ends and framing bytes may precede MSH; so may a byte order mark.
fn skip_leading(bytes: &[u8], warnings: &mut Vec<Warning>) -> usize {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let junk = rest.iter().take_while(|&&b| b <= b' ').count();
        // A mark or two with blanks around them are an accident; more are no message.
        if junk > 0 {
            warnings.push(Warning { code: WarningCode::LeadingBytes, offset: at });
            at += junk;
        } else if rest.starts_with(BYTE_ORDER_MARK) && warnings.len() < 8 {
            warnings.push(Warning { code: WarningCode::ByteOrderMark, offset: at });
            at += BYTE_ORDER_MARK.len();
        } else {
            return at;
        }
    }
}

/// Framing bytes (FS), padding (NUL) and old end-of-file marks (SUB) may follow the message.
fn skip_trailing(bytes: &[u8], start: usize, warnings: &mut Vec<Warning>) -> usize {
    let is_tail = |&&b: &&u8| matches!(b, 0x1C | 0x00 | 0x1A | b'\r' | b'\n');
    let tail = bytes[start..].iter().rev().take_while(is_tail).count();
    let tail_start = bytes.len() - tail;
    match bytes[tail_start..].iter().position(|b| !matches!(b, b'\r' | b'\n')) {
        None => bytes.len(),
        Some(at) => {
            warnings.push(Warning { code: WarningCode::TrailingBytes, offset: tail_start + at });
            tail_start + at
        }
    }
}

struct Builder<'b> {
    bytes: &'b [u8],
    options: &'b ParseOptions,
    segments: Vec<SegmentIndex>,
    fields: Vec<u32>,
    warnings: Vec<Warning>,
    occurrences: BTreeMap<[u8; 3], u32>,
    field: u8,
    lines: Lines,
}

impl Builder<'_> {
    fn warn(&mut self, code: WarningCode, offset: usize) {
        // The last two places are for the character set.
        if self.warnings.len() < WARNINGS_MAX - 2 {
            self.warnings.push(Warning { code, offset });
        }
    }

    /// Indexes every line from `start` on.
    fn lines(&mut self, start: usize) -> Result<(), ParseError> {
        let bytes = self.bytes;
        let field = self.field;
        let mut open = self.open(start, Some(*b"MSH"))?;
        // Line ends and blanks before this place are dealt with; each is looked at once.
        let mut resume = start;
        for at in Delimiters::of(&bytes[start..], field) {
            let at = start + at;
            if at < resume {
                continue;
            }
            if bytes[at] == field {
                self.field(&mut open, at)?;
                continue;
            }
            let next = self.next_line(at);
            resume = next;
            let name = match self.line(at, next) {
                Begun::Segment(name) => Some(name),
                Begun::Unknown => None,
                Begun::Text => {
                    self.warn(WarningCode::WrappedLine, at);
                    continue;
                }
            };
            self.report_gap(at, next);
            open.end = at as u32;
            self.segments.push(open);
            if next == bytes.len() {
                return Ok(());
            }
            open = self.open(next, name)?;
        }
        open.end = bytes.len() as u32;
        self.warn(WarningCode::NoFinalTerminator, bytes.len());
        self.segments.push(open);
        Ok(())
    }

    fn field(&mut self, open: &mut SegmentIndex, at: usize) -> Result<(), ParseError> {
        let full = usize::from(open.fields_count) >= FIELDS_PER_SEGMENT_MAX;
        if full || self.fields.len() >= self.options.fields_max {
            return Err(ParseError { kind: ParseErrorKind::TooManyFields, offset: at });
        }
        self.fields.push(at as u32 + 1);
        open.fields_count += 1;
        Ok(())
    }

    /// Start of the first line behind the line end at `at` that is not blank.
    fn next_line(&self, at: usize) -> usize {
        let is_gap = |b: &&u8| matches!(b, b'\r' | b'\n' | b' ' | b'\t');
        at + self.bytes[at..].iter().take_while(is_gap).count()
    }

    /// Blank lines and blanks between the line end at `at` and the line at `next`.
    fn report_gap(&mut self, at: usize, next: usize) {
        let bytes = self.bytes;
        let mut line = at;
        loop {
            line += if bytes[line..].starts_with(b"\r\n") { 2 } else { 1 };
            match memchr::memchr2(b'\r', b'\n', &bytes[line.min(next)..next]) {
                Some(blank) => {
                    self.warn(WarningCode::BlankLine, line);
                    line += blank;
                }
                None => break,
            }
        }
        if line < next && next < bytes.len() {
            self.warn(WarningCode::LeadingBlanks, line);
        }
    }

    /// What begins at `next`, behind the line end at `at`.
    fn line(&mut self, at: usize, next: usize) -> Begun {
        let lone_lf = self.bytes[at] == b'\n';
        if self.segments.is_empty() {
            self.lines = Lines::behind(self.field, !lone_lf);
            if lone_lf || self.bytes.get(at + 1) == Some(&b'\n') {
                self.warn(WarningCode::LineFeed, at);
            }
        }
        self.lines.pass(&self.bytes[next..], lone_lf)
    }

    /// Opens the segment of this name, or a line that is none, that begins at `at`.
    fn open(&mut self, at: usize, name: Option<[u8; 3]>) -> Result<SegmentIndex, ParseError> {
        if self.segments.len() >= self.options.segments_max {
            return Err(ParseError { kind: ParseErrorKind::TooManySegments, offset: at });
        }
        // The header of a batch with delimiters of its own has no fields here.
        let ours = |b: &u8| *b == self.field || *b <= b' ';
        let name = name.filter(|name| name == b"MSH" || self.bytes.get(at + 3).is_none_or(ours));
        if name.is_none() {
            self.warn(WarningCode::NotASegment, at);
        }
        let name = name.unwrap_or(*NOT_A_SEGMENT);
        match &name {
            // Reading on would file one patient's results in another's record.
            b"MSH" if !self.segments.is_empty() => {
                return Err(ParseError { kind: ParseErrorKind::SecondHeader, offset: at });
            }
            b"FHS" | b"BHS" | b"BTS" | b"FTS" => self.warn(WarningCode::BatchEnvelope, at),
            _ => {}
        }
        let seen = self.occurrences.entry(name).or_insert(0);
        *seen += 1;
        Ok(SegmentIndex {
            start: at as u32,
            end: at as u32,
            fields_start: self.fields.len() as u32,
            fields_count: 0,
            name,
            occurrence: *seen,
        })
    }
}

/// Where MSH-18 stands: the 17th piece behind `MSH`, for MSH-1 is the separator itself. Empty when it is absent.
fn msh18(segments: &[SegmentIndex], fields: &[u32]) -> Range<usize> {
    let Some(header) = segments.first().filter(|header| header.fields_count >= 17) else {
        return 0..0;
    };
    let end = if header.fields_count > 17 { fields[17] - 1 } else { header.end };
    fields[16] as usize..end as usize
}

/// The set of the first repetition of MSH-18, when it names one, and the sets between which escape sequences switch.
/// An unknown name is reported once.
fn declared(
    msh18: &[u8],
    offset: usize,
    separators: &Separators,
    warnings: &mut Vec<Warning>,
) -> (Option<Charset>, Vec<CodeSet>) {
    let mut labels = msh18.split(|&byte| byte == separators.repetition).map(|repetition| {
        let label = repetition.split(|&byte| byte == separators.component).next().unwrap_or_default();
        // What is no text names nothing.
        std::str::from_utf8(label).map_or("?", str::trim)
    });
    let is_empty = |label: &str| matches!(label, "" | "\"\"");
    let first = labels.next().unwrap_or_default();
    let set = match CodeSet::of_label(first) {
        Some(CodeSet::OneByte(set)) => Some(set),
        // None that a message can be written in without switching to it.
        Some(CodeSet::Pairs(_)) | None => None,
    };
    let mut unknown = set.is_none() && !is_empty(first);
    let mut switchable: Vec<CodeSet> = Vec::new();
    for label in labels.take(SWITCHABLE_MAX).filter(|label| !is_empty(label)) {
        match CodeSet::of_label(label) {
            Some(found) => switchable.push(found),
            None => unknown = true,
        }
    }
    if !switchable.is_empty() {
        // The way back.
        switchable.extend(set.map(CodeSet::OneByte));
        switchable.push(CodeSet::OneByte(Charset::Ascii));
    }
    if unknown {
        warnings.push(Warning { code: WarningCode::UnknownCharset, offset });
    }
    (set, switchable)
}

/// The declared character set, corrected by what the bytes are.
fn settled(declared: Charset, bytes: &[u8], warnings: &mut Vec<Warning>) -> Charset {
    let mut warn = |code, offset| warnings.push(Warning { code, offset });
    match (declared, declared.seen(bytes)) {
        (Charset::Utf8, Seen::Utf8) => {}
        (_, Seen::Utf8) => {
            warn(WarningCode::MislabelledCharset, first_not_ascii(bytes));
            return Charset::Utf8;
        }
        (_, Seen::Either) => warn(WarningCode::AmbiguousCharset, first_not_ascii(bytes)),
        (_, Seen::Labelled) if bytes.is_ascii() => {}
        (Charset::Ascii, Seen::Labelled) => warn(WarningCode::InvalidCharacters, first_not_ascii(bytes)),
        (Charset::Utf8 | Charset::Utf16, Seen::Labelled) => {
            let valid = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
            warn(WarningCode::InvalidCharacters, valid);
        }
        (Charset::Latin1 | Charset::Windows1252 | Charset::Iso8859(_), Seen::Labelled) => {
            if let Some(offset) = declared.first_hole(bytes) {
                warn(WarningCode::InvalidCharacters, offset);
            }
        }
    }
    declared
}

fn first_not_ascii(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !b.is_ascii()).unwrap_or(0)
}
