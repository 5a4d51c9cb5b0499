//! An HL7 v2 message: a flat index over the bytes as received, read lazily below the field.
//!
//! Zero-copy: segments and values are views on the bytes. It never changes them, never fails
//! to read what is there and never judges what it means.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::charset::{Charset, Utf16};
use super::error::{ParseError, Warning};
use super::index::{MessageIndex, ParseOptions};
use super::path::Path;
use super::segment::Segment;
use super::separators::Separators;
use super::switch::CodeSet;
use super::value::Value;

/// One message and the index over it. Cloning copies a pointer.
#[derive(Clone)]
pub struct Message {
    index: Arc<MessageIndex>,
}

impl Message {
    /// Indexes a message: one pass, linear in its length, no copy of the bytes.
    ///
    /// # Errors
    /// Refuses what cannot be read without guessing: no MSH, no usable delimiters, a second MSH,
    /// a batch, or more than `options` allow. Everything else is read, with a [`Warning`] for each
    /// irregularity.
    pub fn parse(bytes: Bytes, options: &ParseOptions) -> Result<Message, ParseError> {
        let index = MessageIndex::build(bytes, options)?;
        Ok(Self { index: Arc::new(index) })
    }

    pub(super) fn index(&self) -> &MessageIndex {
        &self.index
    }

    /// The bytes as received; for a message that came as UTF-16, their UTF-8 form.
    pub fn bytes(&self) -> &Bytes {
        &self.index.bytes
    }

    /// The delimiters that MSH-1 and MSH-2 declare.
    pub fn separators(&self) -> Separators {
        self.index.separators
    }

    /// The character set the text is read in: MSH-18 or the feed's default, unless the bytes
    /// are UTF-8 against the label.
    pub fn charset(&self) -> Charset {
        self.index.charset
    }

    /// How the message was written, when it came as UTF-16.
    pub(super) fn utf16(&self) -> Option<Utf16> {
        self.index.utf16
    }

    /// The sets between which `\Cxxyy\` and `\Mxxyyzz\` switch.
    pub(super) fn switchable(&self) -> &[CodeSet] {
        &self.index.switchable
    }

    /// What was irregular, in no special order; at most [`WARNINGS_MAX`](super::WARNINGS_MAX).
    pub fn warnings(&self) -> &[Warning] {
        &self.index.warnings
    }

    /// All segments in order, lines that are not segments among them.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        (0..self.segment_count()).filter_map(|index| Segment::new(self, index))
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.index.segments.len()
    }

    /// The segment at a place, from 0.
    pub fn segment_at(&self, index: usize) -> Option<Segment<'_>> {
        Segment::new(self, index)
    }

    /// The first segment of a name. Linear in the number of segments.
    pub fn first(&self, name: &str) -> Option<Segment<'_>> {
        self.segments().find(|segment| segment.name_bytes().as_slice() == name.as_bytes())
    }

    /// All segments of a name, in order. Linear in the number of segments.
    pub fn named<'m>(&'m self, name: &str) -> impl Iterator<Item = Segment<'m>> {
        self.segments().filter(move |segment| segment.name() == name)
    }

    /// The first value that a path finds and that is not empty; it may be null.
    pub fn get(&self, path: &Path) -> Option<Value<'_>> {
        path.in_message(self).next()
    }

    /// The text a path finds first; `None` when the path is not one, or the value is absent, empty
    /// or null. For tests and tools: it parses the path each time.
    pub fn text(&self, path: &str) -> Option<String> {
        let path = Path::parse(path).ok()?;
        let text = self.get(&path)?.text();
        (!text.is_empty()).then(|| text.into_owned())
    }

    fn header(&self, field: u16, component: usize) -> Cow<'_, str> {
        match self.segment_at(0) {
            Some(header) => header.field(field).component(component).trimmed(),
            None => Cow::Borrowed(""),
        }
    }

    /// MSH-3.1, the sending application.
    pub fn sending_application(&self) -> Cow<'_, str> {
        self.header(3, 1)
    }

    /// MSH-4.1, the sending facility.
    pub fn sending_facility(&self) -> Cow<'_, str> {
        self.header(4, 1)
    }

    /// MSH-5.1, the receiving application.
    pub fn receiving_application(&self) -> Cow<'_, str> {
        self.header(5, 1)
    }

    /// MSH-6.1, the receiving facility.
    pub fn receiving_facility(&self) -> Cow<'_, str> {
        self.header(6, 1)
    }

    /// MSH-9.1, the message code: `ADT`.
    pub fn code(&self) -> Cow<'_, str> {
        self.header(9, 1)
    }

    /// MSH-9.2, the trigger event: `A28`; EVN-1 where MSH-9.2 is empty.
    pub fn trigger(&self) -> Cow<'_, str> {
        match self.header(9, 2) {
            trigger if !trigger.is_empty() => trigger,
            empty => self.first("EVN").map_or(empty, |event| event.field(1).component(1).trimmed()),
        }
    }

    /// MSH-9.3, the message structure: `ADT_A05`.
    pub fn structure_id(&self) -> Cow<'_, str> {
        self.header(9, 3)
    }

    /// MSH-10, the control id that the ACK repeats.
    pub fn control_id(&self) -> Cow<'_, str> {
        self.header(10, 1)
    }

    /// MSH-11.1, the processing id: `P`, `T` or `D`.
    pub fn processing_id(&self) -> Cow<'_, str> {
        self.header(11, 1)
    }

    /// MSH-12.1, the HL7 version: `2.4`.
    pub fn version(&self) -> Cow<'_, str> {
        self.header(12, 1)
    }
}

impl fmt::Debug for Message {
    // Content is a patient's; what is printed names no one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.bytes().len())
            .field("segments", &self.segment_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
