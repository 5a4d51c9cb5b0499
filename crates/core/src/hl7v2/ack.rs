//! The answer to a message: MSH and MSA in the sender's own delimiters (hl7-api 1.5).
//!
//! Renders what was decided; it never decides, asks no clock and has no ERR segment. What it
//! repeats from the sender is bounded and cannot break the frame.

use super::charset::Charset;
use super::escape::escape;
use super::message::Message;
use super::separators::Separators;
use super::time::{hl7_digits, hl7_from_micros};

/// How this engine names itself in MSH-3, and in MSH-4 when the message names no receiver.
const APPLICATION: &str = "FAIRWAY";
/// What is repeated from one field of the sender, in bytes. HL7 allows 199 for a control id.
const ECHO_BYTES_MAX: usize = 512;
/// How far into an unreadable message its header is looked for, in bytes.
const HEADER_BYTES_MAX: usize = 4096;

/// The acknowledgement codes in original mode (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Accepted.
    AA,
    /// Failed: send it again later.
    AE,
    /// Rejected: something in the message has to change.
    AR,
}

impl AckCode {
    /// The code as in MSA-1.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AA => "AA",
            Self::AE => "AE",
            Self::AR => "AR",
        }
    }
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1.
    pub code: AckCode,
    /// MSA-3, the reason; absent on AA.
    pub text: Option<String>,
}

/// The ACK of a message, CR at the end of each segment; `now_micros` is microseconds since 1970
/// UTC and becomes MSH-7 and the control id.
///
/// `None` answers bytes of which nothing is known: standard delimiters, empty MSA-2. Where the
/// bytes are at hand, [`render_unparsed`] does better.
pub fn render(to: Option<&Message>, ack: &Ack, now_micros: i64) -> Vec<u8> {
    let header = to.map_or_else(Header::default, Header::of);
    header.answer(ack, now_micros)
}

/// The ACK of bytes that are no readable message: looks for an MSH and its MSH-10 all the same, so
/// that the sender can tell which of its messages was refused. Looks at the first 4 KB only.
pub fn render_unparsed(frame: &[u8], ack: &Ack, now_micros: i64) -> Vec<u8> {
    let head = &frame[..frame.len().min(HEADER_BYTES_MAX)];
    let header = memchr::memmem::find(head, b"MSH").map(|at| &head[at..]);
    header.map_or_else(Header::default, Header::salvage).answer(ack, now_micros)
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

    fn answer(self, ack: &Ack, now_micros: i64) -> Vec<u8> {
        let separators = self.separators;
        let encoding: Vec<u8> = [
            separators.component,
            separators.repetition,
            separators.escape,
            separators.subcomponent,
            separators.truncation.unwrap_or(Separators::UNUSED),
        ]
        .into_iter()
        .filter(|&byte| byte != Separators::UNUSED)
        .collect();
        let time = hl7_from_micros(now_micros);
        let control_id =
            format!("FW-{}{:06}", hl7_digits(now_micros.div_euclid(1_000_000)), now_micros.rem_euclid(1_000_000));
        let mut kind = b"ACK".to_vec();
        if !self.trigger.is_empty() && separators.component != Separators::UNUSED {
            kind.push(separators.component);
            kind.extend_from_slice(&self.text(&self.trigger));
        }
        let text = self.text(ack.text.as_deref().unwrap_or_default());
        let header: [&[u8]; 12] = [
            b"MSH",
            &encoding,
            APPLICATION.as_bytes(),
            or(&self.receiver, APPLICATION.as_bytes()),
            &self.application,
            &self.facility,
            time.as_bytes(),
            b"",
            &kind,
            control_id.as_bytes(),
            or(&self.processing_id, b"P"),
            or(&self.version, b"2.4"),
        ];
        let mut out = header.join(&separators.field);
        out.push(b'\r');
        let mut answer: Vec<&[u8]> = vec![b"MSA", ack.code.as_str().as_bytes(), &self.control_id];
        if !text.is_empty() {
            answer.push(&text);
        }
        out.extend_from_slice(&answer.join(&separators.field));
        out.push(b'\r');
        out
    }

    /// Our own text in the sender's delimiters and character set.
    fn text(&self, text: &str) -> Vec<u8> {
        self.charset.encode(&escape(text, &self.separators)).into_owned()
    }
}

fn or<'a>(value: &'a [u8], default: &'a [u8]) -> &'a [u8] {
    if value.is_empty() { default } else { value }
}

/// A sender's field to repeat: null is nothing, control characters go, length is bounded.
fn echo(raw: &[u8]) -> Vec<u8> {
    if raw == b"\"\"" {
        return Vec::new();
    }
    raw.iter().copied().filter(|&b| b >= b' ').take(ECHO_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hl7v2::ParseOptions;

    /// 2024-04-03T09:30:15.000042Z
    const NOW: i64 = 1_712_136_615_000_042;

    fn message(text: &'static str) -> Message {
        Message::parse(text.into(), &ParseOptions::default()).unwrap()
    }

    fn check(ack: &[u8], expected: &str) {
        assert_eq!(String::from_utf8_lossy(ack), expected);
    }

    #[test]
    fn accepted() {
        let to = message("MSH|^~\\&|PAS^1^ISO|RXX|HL7API|PKB|20240403||ADT^A28|ID 1|T|2.5\r");
        check(
            &render(Some(&to), &Ack { code: AckCode::AA, text: None }, NOW),
            "MSH|^~\\&|FAIRWAY|PKB|PAS^1^ISO|RXX|20240403093015+0000||ACK^A28|FW-20240403093015000042|T|2.5\r\
             MSA|AA|ID 1\r",
        );
    }

    #[test]
    fn a_reason_is_escaped_in_the_senders_delimiters() {
        let to = message("MSH$*~\\@$PAS\rEVN$A31\r");
        let text = Some("a|b$c*d\re".to_owned());
        check(
            &render(Some(&to), &Ack { code: AckCode::AR, text }, NOW),
            "MSH$*~\\@$FAIRWAY$FAIRWAY$PAS$$20240403093015+0000$$ACK*A31$FW-20240403093015000042$P$2.4\r\
             MSA$AR$$a|b\\F\\c\\S\\d\\X0D\\e\r",
        );
    }

    #[test]
    fn unreadable_bytes_are_answered() {
        let ack = Ack { code: AckCode::AE, text: Some("no".to_owned()) };
        let plain = "MSH|^~\\&|FAIRWAY|FAIRWAY|||20240403093015+0000||ACK|FW-20240403093015000042|P|2.4\r\
                     MSA|AE||no\r";
        check(&render(None, &ack, NOW), plain);
        for frame in ["", "MSH", "MSH|", "garbage", "MSHxyz"] {
            check(&render_unparsed(frame.as_bytes(), &ack, NOW), plain);
        }
        let named = plain.replace("||no", "|ID7|no");
        check(&render_unparsed(b"MSH||PAS|RXX|||2024||ADT^A28|ID7|P", &ack, NOW), &named);
        check(&render_unparsed(b"junk\rMSH|^~\\&|PAS|RXX|||2024||ADT^A28|ID7", &ack, NOW), &named);
    }

    #[test]
    fn what_is_repeated_is_bounded() {
        let long = format!("MSH|^~\\&|||||||ADT^A28|{}\r", "x".repeat(100_000));
        let to = Message::parse(long.into(), &ParseOptions::default()).unwrap();
        let ack = render(Some(&to), &Ack { code: AckCode::AA, text: None }, NOW);
        assert!(ack.len() < 1000);
    }

    #[test]
    fn the_answer_is_a_message() {
        let to = message("MSH|^~\\&#|PAS|RXX|||2024||SIU^S12|9|P|2.8|||||||8859/1\rPV1||\u{e9}\r");
        let ack = Ack { code: AckCode::AR, text: Some("SCH-1.1 is missing".to_owned()) };
        let bytes = render(Some(&to), &ack, NOW);
        let answer = Message::parse(bytes.into(), &ParseOptions::default()).unwrap();
        assert_eq!(answer.warnings(), []);
        assert_eq!(answer.text("MSA-3").as_deref(), Some("SCH-1.1 is missing"));
        assert_eq!(answer.text("MSA-2").as_deref(), Some("9"));
    }
}
