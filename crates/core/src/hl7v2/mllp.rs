//! Frames HL7 v2 messages for MLLP: `<VT> message <FS><CR>`, and finds them again in a stream of bytes.
//!
//! Knows bytes only: no socket, no clock, no segment but the header that opens a message. It never searches a byte
//! twice, never drops one without saying so, and never prints what it read.
//!
//! MLLP (release 1) is made for character sets in which FS is no part of a letter. UTF-16 is sent all the same, and there
//! FS CR is also U+0D1C (little-endian) or U+1C0D, or the halves of two letters. So a frame that begins as UTF-16 ends only
//! where that is no text: in step with its code units, and right behind the CR that ends its last segment (HL7 v2.5, 2.5.4).

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::charset::Utf16;

/// Opens a frame: vertical tab (MLLP release 1, start block).
pub const VT: u8 = 0x0B;
/// Ends a frame together with [`CR`]: file separator (MLLP release 1, end block).
pub const FS: u8 = 0x1C;
/// Follows [`FS`] at the end of a frame; inside a message it ends a segment.
pub const CR: u8 = 0x0D;

/// Frames up to this many bytes are copied out of the buffer; longer ones take the buffer's memory with them.
///
/// A copy of a routine message costs less than the allocation of the next read buffer, and a message that waits in
/// a queue then holds its own length and not a whole read buffer. A document is handed over without a copy.
pub const COPIED_BYTES_MAX: usize = 64 * 1024;

/// What begins a frame inside another one of UTF-16, or in UTF-16.
const HEADERS: [&[u8; 3]; 3] = [b"MSH", b"FHS", b"BHS"];
/// Characters of a header up to the delimiter behind MSH-2, as `MSH|^~\\&#|`; one more delimiter is one too many.
const HEADER_CHARS_MAX: usize = 11;

/// How the end of a frame was marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameEnd {
    /// `FS CR`, as the standard asks.
    Full,
    /// `FS LF`, from senders that end segments in LF too. Never in UTF-16, where it is text (U+0A1C).
    Lf,
    /// `FS` without `CR`: the next frame's `VT` or the end of the stream followed at once.
    NoCr,
}

/// What a stretch of the stream turned out to be.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// One message, without its framing bytes. May be empty.
    Frame {
        /// The message as sent.
        bytes: Bytes,
        /// How its end was marked.
        end: FrameEnd,
    },
    /// Bytes outside of any frame, counted as one run and dropped; also what is blank between two `VT` that open one frame.
    Skipped {
        /// Length of the run in bytes.
        bytes: usize,
        /// Nothing but blanks and line ends, as some senders write behind each frame.
        blank: bool,
    },
    /// A frame that never ended: a new `VT` opened the next message (`MSH`), wherever this one broke off.
    /// The next frame is being read already.
    Restarted {
        /// What had been read of the abandoned frame.
        dropped: Bytes,
    },
    /// The stream ended inside a frame. Only [`Decoder::finish`] says this.
    Unfinished {
        /// What had been read of the frame.
        bytes: Bytes,
    },
}

impl fmt::Debug for Event {
    /// Lengths only: the content is patient data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Frame { bytes, end } => write!(f, "Frame({} bytes, {end:?})", bytes.len()),
            Event::Skipped { bytes, blank } => write!(f, "Skipped({bytes} bytes, blank: {blank})"),
            Event::Restarted { dropped } => write!(f, "Restarted({} bytes)", dropped.len()),
            Event::Unfinished { bytes } => write!(f, "Unfinished({} bytes)", bytes.len()),
        }
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A frame holds more bytes than allowed. The buffer starts with the frame's first byte.
    #[error("the MLLP frame is longer than {limit} bytes")]
    TooLarge {
        /// The limit given to [`Decoder::new`], in bytes.
        limit: usize,
    },
}

/// What the byte at the scan position means.
enum Mark {
    /// A frame ends here; this many framing bytes are to be dropped.
    End(FrameEnd, usize),
    /// The next frame starts here although this one has not ended.
    Restart,
    Data,
    /// Cannot be told before more bytes arrive.
    Undecided,
}

/// How a frame is written, told once by what it begins with.
#[derive(Debug, Clone, Copy)]
enum Units {
    Bytes,
    /// UTF-16 whose first code unit, but for a byte order mark, begins at this place in the frame.
    Pairs(usize, Utf16),
}

impl Units {
    /// Told by the content up to its first `FS` or `VT`: the letter of a header behind blanks, each of one byte or in UTF-16
    /// themselves.
    fn of(content: &[u8]) -> Units {
        let blanks = content.iter().take_while(|&&byte| byte <= b' ').count();
        // The first byte of a big-endian letter looks like a blank, and so does the last one of a little-endian blank.
        let half = blanks % 2 == 1 && content.get(blanks - 1) == Some(&0);
        let start = blanks - usize::from(half);
        let Some(utf16) = Utf16::of(content.get(start..).unwrap_or_default()) else { return Units::Bytes };
        let start = start + utf16.mark_bytes();
        let is_blank = |unit: &&[u8]| (0..=0x20).any(|blank| utf16.unit(blank) == **unit);
        let first = content.get(start..).unwrap_or_default().chunks_exact(2).find(|unit| !is_blank(unit));
        // A mark alone makes no message: garbage ends as any other.
        match first.is_some_and(|unit| b"MFB".iter().any(|letter| utf16.unit((*letter).into()) == *unit)) {
            true => Units::Pairs(start, utf16),
            false => Units::Bytes,
        }
    }

    /// Whether an `FS` behind this content may be framing.
    fn may_end(self, content: &[u8]) -> bool {
        let Units::Pairs(start, utf16) = self else { return true };
        let text = content.get(start..).unwrap_or_default();
        let [cr, lf] = [CR, b'\n'].map(|byte| utf16.unit(byte.into()));
        let line = text.strip_suffix(&lf).unwrap_or(text);
        text.len().is_multiple_of(2) && (text.is_empty() || line.ends_with(&cr))
    }
}

/// Finds frames in a growing buffer. One for each stream; the caller owns the buffer and appends what it reads.
///
/// Every split of a stream into reads yields the same events. The cost is linear in the bytes of the stream, however
/// they are split, because the decoder remembers how far it has looked. It consumes what it has dealt with from the
/// front of the buffer; in between the caller may only append.
#[derive(Debug)]
pub struct Decoder {
    frame_bytes_max: usize,
    in_frame: bool,
    /// Inside a frame: the first so many bytes of the buffer are known to be data.
    scanned: usize,
    /// Inside a frame, from its first `FS` or `VT` on: how it is written.
    units: Option<Units>,
    /// Outside: length of the present run of bytes that belong to no frame.
    skipped: usize,
    /// Whether there is nothing but blanks and line ends in it.
    blank: bool,
}

impl Decoder {
    /// A decoder at the start of a stream. `frame_bytes_max` is the longest allowed message without framing, in bytes.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, in_frame: false, scanned: 0, units: None, skipped: 0, blank: true }
    }

    /// The next event in `buffer`, or `None` when more bytes are needed. Call until `None` after each read.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] as soon as a frame is known to exceed the limit, and again on every later call: the
    /// stream cannot be read on. So the buffer need never hold more than the limit and one read.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, DecodeError> {
        if !self.in_frame && !self.open(buffer) {
            return Ok(None);
        }
        if let Some(skipped) = self.skipped() {
            return Ok(Some(skipped));
        }
        loop {
            let rest = buffer.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr::memchr2(FS, VT, rest) else {
                self.scanned = buffer.len();
                self.check_limit()?;
                return Ok(None);
            };
            self.scanned += found;
            self.check_limit()?;
            match self.mark(buffer) {
                Mark::End(end, framing) => {
                    let bytes = self.cut(buffer, framing);
                    self.in_frame = false;
                    return Ok(Some(Event::Frame { bytes, end }));
                }
                // A VT written more than once starts one frame; all but the last are junk, with the blanks between them.
                Mark::Restart if buffer.iter().take(self.scanned).all(|&byte| byte <= b' ') => {
                    let bytes = std::mem::take(&mut self.scanned) + 1;
                    buffer.advance(bytes);
                    self.units = None;
                    return Ok(Some(Event::Skipped { bytes, blank: false }));
                }
                // The new VT is consumed, and the decoder stays inside a frame: the new one.
                Mark::Restart => {
                    return Ok(Some(Event::Restarted { dropped: self.cut(buffer, 1) }));
                }
                Mark::Data => self.scanned += 1,
                Mark::Undecided => return Ok(None),
            }
        }
    }

    /// Whether a frame has been opened and not ended yet.
    pub fn in_frame(&self) -> bool {
        self.in_frame
    }

    /// Length of the present run of bytes outside of any frame that no event has reported yet.
    pub fn skipping(&self) -> usize {
        self.skipped
    }

    /// What the end of the stream leaves behind. Call until `None` after [`decode`](Self::decode) has yielded `None`.
    ///
    /// A frame whose last byte is `FS` counts as a frame (in UTF-16 where `FS CR` would end it); any other rest of one is
    /// [`Event::Unfinished`].
    pub fn finish(&mut self, buffer: &mut BytesMut) -> Option<Event> {
        if let Some(skipped) = self.skipped() {
            return Some(skipped);
        }
        if !std::mem::take(&mut self.in_frame) {
            return None;
        }
        self.scanned = 0;
        let (bytes, units) = (buffer.split().freeze(), self.units.take());
        match bytes.strip_suffix(&[FS]) {
            Some(content) if units.is_none_or(|units| units.may_end(content)) => {
                Some(Event::Frame { bytes: bytes.slice_ref(content), end: FrameEnd::NoCr })
            }
            _ => Some(Event::Unfinished { bytes }),
        }
    }

    /// The run of skipped bytes that ends here, if there is one.
    fn skipped(&mut self) -> Option<Event> {
        let (bytes, blank) = (std::mem::take(&mut self.skipped), std::mem::replace(&mut self.blank, true));
        (bytes > 0).then_some(Event::Skipped { bytes, blank })
    }

    /// Drops bytes up to and including the next `VT`; false when there is none.
    fn open(&mut self, buffer: &mut BytesMut) -> bool {
        let start = memchr::memchr(VT, buffer);
        let junk = start.unwrap_or(buffer.len());
        self.skipped += junk;
        self.blank &= buffer.iter().take(junk).all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        buffer.advance(junk + usize::from(start.is_some()));
        self.in_frame = start.is_some();
        self.in_frame
    }

    /// Judges the `FS` or `VT` at the scan position.
    fn mark(&mut self, buffer: &[u8]) -> Mark {
        let content = buffer.get(..self.scanned).unwrap_or_default();
        let next = buffer.get(self.scanned + 1..).unwrap_or_default();
        let units = *self.units.get_or_insert_with(|| Units::of(content));
        if buffer.get(self.scanned) == Some(&VT) {
            return restart(units, content, next);
        }
        match (next.first(), units) {
            _ if !units.may_end(content) => Mark::Data,
            (None, _) => Mark::Undecided,
            (Some(&CR), _) => Mark::End(FrameEnd::Full, 2),
            (Some(b'\n'), Units::Bytes) => Mark::End(FrameEnd::Lf, 2),
            (Some(&VT), _) => Mark::End(FrameEnd::NoCr, 1),
            (Some(_), _) => Mark::Data,
        }
    }

    /// Takes the scanned bytes out of the buffer and drops `framing` bytes after them. Costs at most their length.
    fn cut(&mut self, buffer: &mut BytesMut, framing: usize) -> Bytes {
        let length = std::mem::take(&mut self.scanned);
        self.units = None;
        if length <= COPIED_BYTES_MAX {
            let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            buffer.advance(length + framing);
            return bytes;
        }
        let bytes = buffer.split_to(length).freeze();
        buffer.advance(framing);
        // The rest moves to memory of its own, so that it does not keep the document's alive. A rest longer than the
        // frame stays: to move it for each frame would be quadratic.
        if buffer.len() <= length {
            *buffer = BytesMut::from(&buffer[..]);
        }
        bytes
    }

    fn check_limit(&self) -> Result<(), DecodeError> {
        match self.scanned > self.frame_bytes_max {
            true => Err(DecodeError::TooLarge { limit: self.frame_bytes_max }),
            false => Ok(()),
        }
    }
}

/// Judges the `VT` behind this content by what follows it.
///
/// A text may hold a VT as data, and `MSH` behind it may be a word: a soft line break before `MSH-2 lost`. A header is a new
/// start, wherever the frame before it broke off: to read on would file one message under another's header.
fn restart(units: Units, content: &[u8], next: &[u8]) -> Mark {
    let narrow = match (units, next.strip_prefix(b"MSH").and_then(<[u8]>::first)) {
        (Units::Bytes, Some(&delimiter)) if delimiter == b'|' || own_delimiter(content) == Some(delimiter) => {
            Mark::Restart
        }
        (Units::Bytes, _) => header(next, &[b"MSH"]),
        // The VT may be half a letter, and what follows it letters that look like these bytes, but for a whole header.
        (Units::Pairs(..), _) => header(next, &HEADERS),
    };
    match narrow {
        Mark::Data => wide_header(next),
        told => told,
    }
}

/// The delimiter that the frame of this content declares.
fn own_delimiter(content: &[u8]) -> Option<u8> {
    let header = content.trim_ascii_start().strip_prefix(b"MSH")?;
    header.first().copied().filter(u8::is_ascii_punctuation)
}

/// Whether a message in UTF-16 follows. Only a whole header shows it: U+0B95 before `MSH|` is VT and the same letters.
fn wide_header(next: &[u8]) -> Mark {
    let (little, units) = match next {
        [] | [0xFF | 0xFE] => return Mark::Undecided,
        [0xFF, 0xFE, units @ ..] => (true, units),
        [0xFE, 0xFF, units @ ..] => (false, units),
        [first, ..] => (*first != 0, next),
    };
    let mut text = [0; HEADER_CHARS_MAX];
    let mut length = 0;
    for (character, unit) in text.iter_mut().zip(units.chunks_exact(2)) {
        length += 1;
        *character = match (unit, little) {
            (&[ascii, 0], true) | (&[0, ascii], false) => ascii,
            _ => break,
        };
    }
    header(text.get(..length).unwrap_or_default(), &HEADERS)
}

/// Whether this is the beginning of a message: one of the names and what MSH-1 and MSH-2 declare.
fn header(text: &[u8], names: &[&[u8; 3]]) -> Mark {
    let name = text.get(..3).unwrap_or(text);
    match (names.iter().any(|known| known.starts_with(name)), text.get(3)) {
        (true, Some(&delimiter)) if delimiter.is_ascii_punctuation() => {
            encoding_characters(text.get(4..).unwrap_or_default(), delimiter)
        }
        (true, None) => Mark::Undecided,
        (_, _) => Mark::Data,
    }
}

/// Whether what follows `MSH` and a delimiter is MSH-2: two to six delimiters, and the first one again.
fn encoding_characters(rest: &[u8], delimiter: u8) -> Mark {
    let length = rest.iter().take(7).take_while(|&&byte| byte != delimiter && byte.is_ascii_punctuation()).count();
    match rest.get(length) {
        Some(&byte) if byte == delimiter && (2..=6).contains(&length) => Mark::Restart,
        Some(_) => Mark::Data,
        None if length < 7 => Mark::Undecided,
        None => Mark::Data,
    }
}

/// Appends `message` to `out` as one frame. The message must not hold `FS CR` or `FS LF`, and in UTF-16 must end in CR;
/// nothing is escaped in MLLP.
pub fn encode(message: &[u8], out: &mut BytesMut) {
    out.reserve(message.len() + 3);
    out.extend_from_slice(&[VT]);
    out.extend_from_slice(message);
    out.extend_from_slice(&[FS, CR]);
}

#[cfg(test)]
mod tests;
