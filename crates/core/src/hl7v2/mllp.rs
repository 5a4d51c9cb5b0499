//! Frames HL7 v2 messages for MLLP: `<VT> message <FS><CR>`, and finds them again in a stream of bytes.
//!
//! Knows bytes only: no socket, no clock, no segment but the three letters that open one. It never searches a byte
//! twice, never drops one without saying so, and never prints what it read.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

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

/// How the end of a frame was marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameEnd {
    /// `FS CR`, as the standard asks.
    Full,
    /// `FS LF`, from senders that end segments in LF too.
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
    /// A frame that never ended: a new `VT` opened the next message (`MSH`) right after a segment end.
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
    /// Outside: length of the present run of bytes that belong to no frame.
    skipped: usize,
    /// Whether there is nothing but blanks and line ends in it.
    blank: bool,
}

impl Decoder {
    /// A decoder at the start of a stream. `frame_bytes_max` is the longest allowed message without framing, in bytes.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, in_frame: false, scanned: 0, skipped: 0, blank: true }
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
    /// A frame whose last byte is `FS` counts as a frame; any other rest of one is [`Event::Unfinished`].
    pub fn finish(&mut self, buffer: &mut BytesMut) -> Option<Event> {
        if let Some(skipped) = self.skipped() {
            return Some(skipped);
        }
        if !std::mem::take(&mut self.in_frame) {
            return None;
        }
        self.scanned = 0;
        let mut bytes = buffer.split().freeze();
        if bytes.last() != Some(&FS) {
            return Some(Event::Unfinished { bytes });
        }
        bytes.truncate(bytes.len() - 1);
        Some(Event::Frame { bytes, end: FrameEnd::NoCr })
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
    fn mark(&self, buffer: &[u8]) -> Mark {
        let at = self.scanned;
        let next = buffer.get(at + 1..).unwrap_or_default();
        if buffer.get(at) == Some(&FS) {
            return match next.first() {
                None => Mark::Undecided,
                Some(&CR) => Mark::End(FrameEnd::Full, 2),
                Some(b'\n') => Mark::End(FrameEnd::Lf, 2),
                Some(&VT) => Mark::End(FrameEnd::NoCr, 1),
                Some(_) => Mark::Data,
            };
        }
        // A text may hold a VT as data, and `MSH` behind it may be a word: a soft line break before `MSH-2 lost`. A header
        // is a new start, wherever the frame before it broke off: to read on would file one message under another's header.
        let start = next.get(..4).unwrap_or(next);
        let letters = start.get(..3).unwrap_or(start);
        match (b"MSH".starts_with(letters), start.get(3)) {
            (false, _) => Mark::Data,
            (true, Some(&delimiter)) if delimiter == b'|' || own_delimiter(buffer) == Some(delimiter) => Mark::Restart,
            (true, Some(&delimiter)) if delimiter.is_ascii_punctuation() => {
                encoding_characters(next.get(4..).unwrap_or_default(), delimiter)
            }
            (true, Some(_)) => Mark::Data,
            (true, None) => Mark::Undecided,
        }
    }

    /// Takes the scanned bytes out of the buffer and drops `framing` bytes after them. Costs at most their length.
    fn cut(&mut self, buffer: &mut BytesMut, framing: usize) -> Bytes {
        let length = std::mem::take(&mut self.scanned);
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

/// The delimiter that the frame at the start of the buffer declares.
fn own_delimiter(buffer: &[u8]) -> Option<u8> {
    let header = buffer.trim_ascii_start().strip_prefix(b"MSH")?;
    header.first().copied().filter(u8::is_ascii_punctuation)
}

/// Whether what follows `MSH` and an unusual delimiter is MSH-2: two to six delimiters, and the first one again.
fn encoding_characters(rest: &[u8], delimiter: u8) -> Mark {
    let length = rest.iter().take(7).take_while(|&&byte| byte != delimiter && byte.is_ascii_punctuation()).count();
    match rest.get(length) {
        Some(&byte) if byte == delimiter && (2..=6).contains(&length) => Mark::Restart,
        Some(_) => Mark::Data,
        None if length < 7 => Mark::Undecided,
        None => Mark::Data,
    }
}

/// Appends `message` to `out` as one frame. The message must not hold `FS CR` or `FS LF`; nothing is escaped in MLLP.
pub fn encode(message: &[u8], out: &mut BytesMut) {
    out.reserve(message.len() + 3);
    out.extend_from_slice(&[VT]);
    out.extend_from_slice(message);
    out.extend_from_slice(&[FS, CR]);
}

#[cfg(test)]
mod tests;
