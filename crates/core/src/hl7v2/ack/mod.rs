//! The answers to a message: MSH, MSA and ERR in the sender's own delimiters (hl7-api 1.5).
//!
//! Renders what was decided; it never decides and asks no clock. What it repeats from the sender
//! is bounded and cannot break the frame.

mod asked;
mod error;
#[cfg(test)]
mod tests;

pub use asked::{Asked, When};
pub use error::ErrorCode;

use super::charset::Charset;
use super::escape::escape;
use super::message::Message;
use super::separators::Separators;
use super::time::{hl7_digits, hl7_from_micros};
use error::Place;

/// What MSA-3 of a rejection starts with (hl7-api 1.5).
pub const REJECTED: &str = "Parsing or validation error: ";
/// What MSA-3 of a failure starts with (hl7-api 1.5).
pub const FAILED: &str = "Unexpected error while processing: ";
/// How this engine names itself in MSH-3, and in MSH-4 when the message names no receiver.
pub(super) const APPLICATION: &str = "FAIRWAY";
/// What is repeated from one field of the sender, in bytes. HL7 allows 199 for a control id.
const ECHO_BYTES_MAX: usize = 512;
/// How far into an unreadable message its header is looked for, in bytes.
const HEADER_BYTES_MAX: usize = 4096;

/// The acknowledgement codes (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Accepted.
    AA,
    /// Failed: send it again later.
    AE,
    /// Rejected: something in the message has to change.
    AR,
    /// Enhanced mode: kept.
    CA,
    /// Enhanced mode: not kept, send it again later.
    CE,
    /// Enhanced mode: rejected.
    CR,
}

impl AckCode {
    /// The code as in MSA-1.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AA => "AA",
            Self::AE => "AE",
            Self::AR => "AR",
            Self::CA => "CA",
            Self::CE => "CE",
            Self::CR => "CR",
        }
    }
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1.
    pub code: AckCode,
    /// Why it is not accepted; absent on AA and CA. It begins with the place it is about.
    pub reason: Option<String>,
    /// Code of the ERR segment; without one there is no ERR segment.
    pub error: Option<ErrorCode>,
}

impl Ack {
    /// MSA-3: the reason behind what the text of the code starts with.
    pub fn text(&self) -> Option<String> {
        let start = match self.code {
            AckCode::AA | AckCode::CA => "",
            AckCode::AR | AckCode::CR => REJECTED,
            AckCode::AE | AckCode::CE => FAILED,
        };
        self.reason.as_ref().map(|reason| format!("{start}{reason}"))
    }
}

/// How the answers of an address look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AckStyle {
    /// As the sender asks (MSH-15, MSH-16), with an ERR segment in the form of its version. A message that asks for no
    /// answer at all (`NE` in both) gets one in original mode: over MLLP most senders wait for it whatever they wrote.
    #[default]
    Standard,
    /// As the sender asks, also when that is no answer at all.
    Strict,
    /// One answer in original mode without ERR segment, as hl7-api 1.5 has it.
    Plain,
}

/// Everything a message is answered, in order; empty when its sender asks for nothing. `ack` is the application
/// acknowledgement (AA, AR, AE); `kept` says whether the message is stored.
pub fn answers(to: &Message, ack: &Ack, style: AckStyle, kept: bool, now_micros: i64) -> Vec<Vec<u8>> {
    let (accept, application) = match (style, Asked::of(to)) {
        (AckStyle::Plain, _) => {
            return vec![render(Some(to), &Ack { error: None, ..ack.clone() }, now_micros)];
        }
        (AckStyle::Standard, Asked::Original | Asked::NOTHING) | (AckStyle::Strict, Asked::Original) => {
            return vec![render(Some(to), ack, now_micros)];
        }
        (AckStyle::Standard | AckStyle::Strict, Asked::Enhanced { accept, application }) => (accept, application),
    };
    let mut answers = Vec::with_capacity(2);
    let told = match (kept, application, ack.code) {
        (false, ..) => Ack { code: AckCode::CE, ..ack.clone() },
        (true, Some(_), _) | (true, None, AckCode::AA | AckCode::CA) => {
            Ack { code: AckCode::CA, reason: None, error: None }
        }
        (true, None, AckCode::AR | AckCode::CR) => Ack { code: AckCode::CR, ..ack.clone() },
        (true, None, AckCode::AE | AckCode::CE) => Ack { code: AckCode::CE, ..ack.clone() },
    };
    if accept.applies(told.code == AckCode::CA) {
        answers.push(render(Some(to), &told, now_micros));
    }
    if application.is_some_and(|application| application.applies(ack.code == AckCode::AA)) {
        // A message of its own, so it has a control id of its own.
        answers.push(render(Some(to), ack, now_micros + 1));
    }
    answers
}

/// The ACK of a message, CR at the end of each segment; `now_micros` is microseconds since 1970
/// UTC and becomes MSH-7 and the control id.
///
/// `None` answers bytes of which nothing is known: standard delimiters, empty MSA-2. Where the
/// bytes are at hand, [`render_unparsed`] does better.
pub fn render(to: Option<&Message>, ack: &Ack, now_micros: i64) -> Vec<u8> {
    let header = to.map_or_else(Header::default, Header::of);
    let place = to.zip(ack.reason.as_deref()).and_then(|(message, reason)| Place::of_reason(reason, message));
    header.answer(ack, place, now_micros)
}

/// The ACK of bytes that are no readable message: looks for an MSH and its MSH-10 all the same, so
/// that the sender can tell which of its messages was refused. Looks at the first 4 KB only.
pub fn render_unparsed(frame: &[u8], ack: &Ack, now_micros: i64) -> Vec<u8> {
    let head = &frame[..frame.len().min(HEADER_BYTES_MAX)];
    let header = memchr::memmem::find(head, b"MSH").map(|at| &head[at..]);
    header.map_or_else(Header::default, Header::salvage).answer(ack, None, now_micros)
}

/// What the answer takes from the sender's header, as raw bytes in its own delimiters.
struct Header {
    separators: Separators,
    charset: Charset,
    application: Vec<u8>,
    facility: Vec<u8>,
    receiver: Vec<u8>,
    trigger: String,
    control_id: Vec<u8>,
    processing_id: Vec<u8>,
    version: Vec<u8>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separators: Separators::STANDARD,
            charset: Charset::Ascii,
            application: Vec::new(),
            facility: Vec::new(),
            receiver: Vec::new(),
            trigger: String::new(),
            control_id: Vec::new(),
            processing_id: Vec::new(),
            version: Vec::new(),
        }
    }
}

impl Header {
    fn of(message: &Message) -> Self {
        let field = |n| match message.segment_at(0) {
            Some(header) => echo(header.field(n).raw()),
            None => Vec::new(),
        };
        Self {
            separators: message.separators(),
            charset: message.charset(),
            application: field(3),
            facility: field(4),
            receiver: field(6),
            trigger: message.trigger().chars().take(16).collect(),
            control_id: field(10),
            processing_id: field(11),
            version: field(12),
        }
    }

    /// From bytes that start with `MSH` but are no message.
    fn salvage(header: &[u8]) -> Self {
        let line = header.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default();
        let Some(&separator) = line.get(3).filter(|b| b.is_ascii_punctuation()) else {
            return Self::default();
        };
        let mut fields = line.split(|&b| b == separator);
        let separators = match Separators::of_header(line) {
            Ok((separators, ..)) => separators,
            Err(_) => Separators::STANDARD,
        };
        // Piece n of the line is MSH-(n + 1). What is not in our delimiters is not repeated.
        let control_id = fields.nth(9).map(echo).unwrap_or_default();
        match separators.field == separator {
            true => Self { separators, control_id, ..Self::default() },
            false => Self::default(),
        }
    }

    fn answer(self, ack: &Ack, place: Option<Place>, now_micros: i64) -> Vec<u8> {
        let separators = self.separators;
        let encoding = separators.encoding_characters();
        // A sender's delimiter may be any of our own characters, even the point of a version.
        let time = self.text(&hl7_from_micros(now_micros));
        let control_id = self.text(&control_id(now_micros));
        let version = self.text("2.4");
        let mut kind = b"ACK".to_vec();
        if !self.trigger.is_empty() && separators.component != Separators::UNUSED {
            kind.push(separators.component);
            kind.extend_from_slice(&self.text(&self.trigger));
        }
        let text = self.text(&ack.text().unwrap_or_default());
        let header: [&[u8]; 12] = [
            b"MSH",
            &encoding,
            APPLICATION.as_bytes(),
            or(&self.receiver, APPLICATION.as_bytes()),
            &self.application,
            &self.facility,
            &time,
            b"",
            &kind,
            &control_id,
            or(&self.processing_id, b"P"),
            or(&self.version, &version),
        ];
        let mut out = header.join(&separators.field);
        out.push(b'\r');
        let mut answer: Vec<&[u8]> = vec![b"MSA", ack.code.as_str().as_bytes(), &self.control_id];
        if !text.is_empty() {
            answer.push(&text);
        }
        out.extend_from_slice(&answer.join(&separators.field));
        out.push(b'\r');
        if let Some(error) = ack.error.filter(|_| separators.component != Separators::UNUSED) {
            let delimiters = [separators.component, separators.subcomponent].map(char::from);
            let reason = self.text(ack.reason.as_deref().unwrap_or_default());
            let version = String::from_utf8_lossy(or(&self.version, b"2.4")).into_owned();
            if let Some(fields) = error::fields(error, place, &version, delimiters, reason) {
                out.extend_from_slice(b"ERR");
                for field in fields {
                    out.push(separators.field);
                    out.extend_from_slice(&field);
                }
                out.push(b'\r');
            }
        }
        out
    }

    /// Our own text in the sender's delimiters and character set.
    fn text(&self, text: &str) -> Vec<u8> {
        self.charset.encode(&escape(text, &self.separators)).into_owned()
    }
}

/// A control id of our own, from the clock.
pub(super) fn control_id(now_micros: i64) -> String {
    format!("FW-{}{:06}", hl7_digits(now_micros.div_euclid(1_000_000)), now_micros.rem_euclid(1_000_000))
}

fn or<'a>(value: &'a [u8], default: &'a [u8]) -> &'a [u8] {
    if value.is_empty() { default } else { value }
}

/// A sender's field to repeat: null is nothing, control characters go, length is bounded.
pub(super) fn echo(raw: &[u8]) -> Vec<u8> {
    if raw == b"\"\"" {
        return Vec::new();
    }
    raw.iter().copied().filter(|&b| b >= b' ').take(ECHO_BYTES_MAX).collect()
}
