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

use bytes::Bytes;

use super::charset::{Charset, Utf16, utf16_to_utf8};
use super::escape::escape;
use super::index::ParseOptions;
use super::message::Message;
use super::separators::Separators;
use super::time::{hl7_digits, hl7_from_micros};
use error::Place;

/// What MSA-3 of a rejection starts with (hl7-api 1.5).
pub const REJECTED: &str = "Parsing or validation error: ";
/// What MSA-3 of a failure starts with (hl7-api 1.5).
pub const FAILED: &str = "Unexpected error while processing: ";
/// How this engine names itself in MSH-3 and MSH-4 when the message names no receiver there.
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
    /// As the sender asks (MSH-15, MSH-16), with an ERR segment in the form of its version. When what it asks for comes to
    /// no answer at all, it gets one in original mode: over MLLP most senders wait for it whatever they wrote.
    #[default]
    Standard,
    /// As the sender asks, also when that is no answer at all.
    Strict,
    /// One answer in original mode without ERR segment, as hl7-api 1.5 has it.
    Plain,
}

/// Everything a message is answered, in order; empty when its sender asks for nothing, and for an acknowledgement, which
/// is never acknowledged. `ack` is the application acknowledgement (AA, AR, AE); `kept` says whether the message is
/// stored. Each answer takes a microsecond of its own from `now_micros` on, two at most.
pub fn answers(to: &Message, ack: &Ack, style: AckStyle, kept: bool, now_micros: i64) -> Vec<Vec<u8>> {
    if matches!(&*to.code(), "ACK" | "MCF") {
        return Vec::new();
    }
    let (accept, application) = match (style, Asked::of(to)) {
        (AckStyle::Plain, _) => {
            return vec![render(Some(to), &Ack { error: None, ..ack.clone() }, now_micros)];
        }
        (AckStyle::Standard | AckStyle::Strict, Asked::Original) => return vec![render(Some(to), ack, now_micros)],
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
    if answers.is_empty() && style == AckStyle::Standard {
        answers.push(render(Some(to), ack, now_micros));
    }
    answers
}

/// The same for bytes that are no readable message: looks for an MSH all the same, so that the sender can tell which of
/// its messages was refused, and is told in its own version. Such a message counts as not kept. Looks at the first 4 KB
/// only.
pub fn answers_unparsed(frame: &[u8], ack: &Ack, style: AckStyle, now_micros: i64) -> Vec<Vec<u8>> {
    match salvaged(frame) {
        Some(header) => answers(&header, ack, style, false, now_micros),
        None => vec![render(None, &Ack { error: None, ..ack.clone() }, now_micros)],
    }
}

/// An answer as text, and the set that it is in. What is not its text is shown as what it may be.
pub fn answer_text(answer: &Bytes) -> (String, Charset) {
    if let Some((text, _)) = utf16_to_utf8(answer) {
        return (text, Charset::Utf16);
    }
    let charset = match Message::parse(answer.clone(), &ParseOptions::default()) {
        Ok(message) => message.charset(),
        Err(_) => Charset::Utf8,
    };
    (charset.decode(answer).0.into_owned(), charset)
}

/// A message of the header alone.
fn salvaged(frame: &[u8]) -> Option<Message> {
    let head = &frame[..frame.len().min(HEADER_BYTES_MAX)];
    let wide = utf16_to_utf8(head);
    let text = wide.as_ref().map_or(head, |(text, _)| text.as_bytes());
    let header = &text[memchr::memmem::find(text, b"MSH")?..];
    let line = header.split(|&byte| byte == b'\r' || byte == b'\n').next()?;
    let line = match Separators::of_header(line) {
        Ok(_) => line.to_vec(),
        // MSH-2 is empty, broken or forgotten: what follows is read with the delimiters that HL7 recommends.
        Err(_) => {
            let separator = *line.get(3).filter(|byte| byte.is_ascii_punctuation() && !b"^~\\&".contains(byte))?;
            let second = line[4..].split(|&byte| byte == separator).next()?;
            let forgotten = second.iter().any(u8::is_ascii_alphanumeric);
            let rest = if forgotten { &line[3..] } else { &line[4 + second.len()..] };
            [b"MSH", &[separator][..], b"^~\\&", rest].concat()
        }
    };
    // So that the answer is in UTF-16, too.
    let line = match wide {
        Some(_) => Utf16::of(frame)?.encode(&String::from_utf8_lossy(&line)),
        None => line,
    };
    Message::parse(line.into(), &ParseOptions::default()).ok()
}

/// The ACK of a message, CR at the end of each segment; `now_micros` is microseconds since 1970
/// UTC and becomes MSH-7 and the control id. `None` answers bytes of which nothing is known: standard delimiters, empty
/// MSA-2.
fn render(to: Option<&Message>, ack: &Ack, now_micros: i64) -> Vec<u8> {
    let header = to.map_or_else(Header::default, Header::of);
    let place = to.zip(ack.reason.as_deref()).and_then(|(message, reason)| Place::of_reason(reason, message));
    header.answer(ack, place, now_micros)
}

/// What the answer takes from the sender's header, as raw bytes in its own delimiters.
struct Header {
    separators: Separators,
    /// MSH-2.
    encoding: Vec<u8>,
    charset: Charset,
    utf16: Option<Utf16>,
    /// The first repetition of MSH-18.
    label: String,
    application: Vec<u8>,
    facility: Vec<u8>,
    receiving_application: Vec<u8>,
    receiving_facility: Vec<u8>,
    trigger: String,
    control_id: Vec<u8>,
    processing_id: Vec<u8>,
    version: Vec<u8>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separators: Separators::STANDARD,
            encoding: Separators::STANDARD.encoding_characters(),
            charset: Charset::Ascii,
            utf16: None,
            label: String::new(),
            application: Vec::new(),
            facility: Vec::new(),
            receiving_application: Vec::new(),
            receiving_facility: Vec::new(),
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
        let separators = message.separators();
        let label = field(18);
        let label = label.split(|byte| [separators.repetition, separators.component].contains(byte)).next();
        let mut header = Self {
            separators,
            encoding: message.segment_at(0).map_or_else(Vec::new, |header| header.field(2).raw().to_vec()),
            charset: message.charset(),
            utf16: message.utf16(),
            label: String::from_utf8_lossy(label.unwrap_or_default()).trim().to_owned(),
            application: field(3),
            facility: field(4),
            receiving_application: field(5),
            receiving_facility: field(6),
            trigger: message.trigger().chars().take(16).collect(),
            control_id: field(10),
            processing_id: field(11),
            version: field(12),
        };
        // What is not of its set is read as Windows-1252, so that is the set of an answer that repeats it.
        if matches!(header.charset, Charset::Utf8 | Charset::Ascii)
            && header.repeated().iter().any(|field| std::str::from_utf8(field).is_err())
        {
            header.charset = Charset::Windows1252;
        }
        header
    }

    /// What the answer repeats.
    fn repeated(&self) -> [&[u8]; 7] {
        [
            &self.application,
            &self.facility,
            &self.receiving_application,
            &self.receiving_facility,
            &self.control_id,
            &self.processing_id,
            &self.version,
        ]
    }

    fn answer(self, ack: &Ack, place: Option<Place>, now_micros: i64) -> Vec<u8> {
        let separators = self.separators;
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
        let error = ack.error.filter(|_| separators.component != Separators::UNUSED).and_then(|error| {
            let reason = self.text(ack.reason.as_deref().unwrap_or_default());
            let version = String::from_utf8_lossy(or(&self.version, b"2.4")).into_owned();
            error::fields(error, place, &version, &separators, reason)
        });
        let label = self.charset_label([&text, &kind].into_iter().chain(error.iter().flatten()));
        let mut header: Vec<&[u8]> = vec![
            b"MSH",
            &self.encoding,
            or(&self.receiving_application, APPLICATION.as_bytes()),
            or(&self.receiving_facility, APPLICATION.as_bytes()),
            &self.application,
            &self.facility,
            &time,
            b"",
            &kind,
            &control_id,
            or(&self.processing_id, b"P"),
            or(&self.version, &version),
        ];
        if let Some(label) = &label {
            header.extend([&[][..]; 5]);
            header.push(label);
        }
        let mut answer: Vec<&[u8]> = vec![b"MSA", ack.code.as_str().as_bytes(), &self.control_id];
        if !text.is_empty() {
            answer.push(&text);
        }
        let mut segments = vec![header.join(&separators.field), answer.join(&separators.field)];
        if let Some(fields) = error {
            let fields: Vec<&[u8]> = [&b"ERR"[..]].into_iter().chain(fields.iter().map(Vec::as_slice)).collect();
            segments.push(fields.join(&separators.field));
        }
        let mut out = segments.join(&b'\r');
        out.push(b'\r');
        self.utf16.and_then(|utf16| utf16.framable(&out)).unwrap_or(out)
    }

    /// MSH-18 of an answer with these parts of our own: what the sender wrote, if the answer is in that set; else the
    /// name of the set, unless the answer is plain ASCII.
    fn charset_label<'a>(&self, mut parts: impl Iterator<Item = &'a Vec<u8>>) -> Option<Vec<u8>> {
        let plain = self.repeated().iter().all(|field| field.is_ascii()) && parts.all(|part| part.is_ascii());
        let charset = if self.utf16.is_some() { Charset::Utf16 } else { self.charset };
        let label = match Charset::from_msh18(&self.label) {
            Some(named) if named == charset || (plain && ![named, charset].contains(&Charset::Utf16)) => {
                self.label.as_str().into()
            }
            _ if plain && charset != Charset::Utf16 => return None,
            _ => charset.name(),
        };
        Some(self.text(&label))
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
