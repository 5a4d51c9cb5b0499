//! One segment of a message and its fields.
//!
//! A view on the index: numbers become slices here and nothing is copied.

use std::fmt;

use super::index::SegmentIndex;
use super::message::Message;
use super::value::{Level, Value};

/// The three characters that name a segment: `PID`, `ZTM`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName([u8; 3]);

impl SegmentName {
    /// Reads a name: an upper-case letter, then two upper-case letters or digits.
    pub fn parse(text: &str) -> Option<Self> {
        let &[first, second, third] = text.as_bytes() else {
            return None;
        };
        let inner = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        (first.is_ascii_uppercase() && inner(second) && inner(third)).then_some(Self([first, second, third]))
    }

    /// The name as bytes, to compare.
    pub(super) fn bytes(&self) -> &[u8; 3] {
        &self.0
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        name_text(&self.0)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn name_text(name: &[u8; 3]) -> &str {
    // Names are ASCII.
    std::str::from_utf8(name).unwrap_or("???")
}

/// One segment of a message. Copies freely; lives as long as the message.
#[derive(Clone, Copy)]
pub struct Segment<'m> {
    message: &'m Message,
    index: u32,
}

impl<'m> Segment<'m> {
    pub(super) fn new(message: &'m Message, index: usize) -> Option<Self> {
        (index < message.segment_count()).then_some(Self { message, index: index as u32 })
    }

    fn place(&self) -> &'m SegmentIndex {
        &self.message.index().segments[self.index as usize]
    }

    /// Its three-character name; `???` for a line that is not a segment.
    pub fn name(&self) -> &'m str {
        name_text(self.name_bytes())
    }

    pub(super) fn name_bytes(&self) -> &'m [u8; 3] {
        &self.place().name
    }

    /// Its place in the message, from 0.
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Its place among the message's segments of the same name, from 1.
    pub fn occurrence(&self) -> usize {
        self.place().occurrence as usize
    }

    /// Where it starts, in bytes from the start of [`Message::bytes`].
    pub fn offset(&self) -> usize {
        self.place().start as usize
    }

    /// Its bytes, without the terminator.
    pub fn raw(&self) -> &'m [u8] {
        let place = self.place();
        &self.message.bytes()[place.start as usize..place.end as usize]
    }

    /// The message it belongs to.
    pub fn message(&self) -> &'m Message {
        self.message
    }

    /// Field `n`, numbered as in HL7; empty when the segment is shorter.
    ///
    /// `MSH-1` is the field separator and `MSH-2` the encoding characters as they stand. Field 0
    /// is the name (of a line that is no segment: all before its first separator). Constant time.
    pub fn field(&self, n: u16) -> Value<'m> {
        let place = self.place();
        let header = self.is_header();
        let (start, end) = match n {
            1 if header => (place.start + 3, place.start + 4),
            n => self.piece(if header { n.saturating_sub(1) } else { n }),
        };
        Value::new(self.message, start, end, self.index, n, Level::Field, header && n <= 2)
    }

    /// The number of the last field that is there, `MSH-1` counted.
    pub fn field_count(&self) -> u16 {
        self.place().fields_count + u16::from(self.is_header())
    }

    /// All fields, from field 1 on.
    pub fn fields(&self) -> impl Iterator<Item = Value<'m>> + use<'m> {
        let segment = *self;
        (1..=segment.field_count()).map(move |n| segment.field(n))
    }

    /// MSH and the batch headers carry their delimiters as fields 1 and 2.
    fn is_header(&self) -> bool {
        matches!(self.name_bytes(), b"MSH" | b"FHS" | b"BHS") && self.place().fields_count > 0
    }

    /// The range of the `n`th piece between field separators; piece 0 is the name.
    fn piece(&self, n: u16) -> (u32, u32) {
        let place = self.place();
        if n > place.fields_count {
            return (place.end, place.end);
        }
        let starts = &self.message.index().fields[place.fields_start as usize..][..usize::from(place.fields_count)];
        let start = match n {
            0 => place.start,
            n => starts[usize::from(n) - 1],
        };
        let end = starts.get(usize::from(n)).map_or(place.end, |next| next - 1);
        (start, end)
    }
}

impl fmt::Debug for Segment<'_> {
    // Content is a patient's; a name and a number are enough to find it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name(), self.occurrence())
    }
}
