//! What a message has wrong, as far as the message alone tells it.
//!
//! Names places and says what is wrong there; it never judges what a feed or a mapping may still accept.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairway_core::hl7v2::dictionary::Version;
use fairway_core::hl7v2::{Message, Segment, Structure, TimeOfDay, Timestamp, Value, Warning, WarningCode};
use fairway_core::mapping::nhs_number;

use super::node::{Labels, Node, is_time};

/// Findings of one message that are told one by one.
const FINDINGS_MAX: usize = 100;

/// Characters of an escape sequence that are shown.
const ESCAPE_SHOWN_MAX: usize = 20;
/// The end mark of a PDF stands in its last bytes, so many.
const PDF_END_BYTES: usize = 1024;

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// The place as [`Labels`] writes it; none for the message as a whole.
    pub(super) place: Option<String>,
    /// What is wrong.
    pub(super) text: Cow<'static, str>,
}

/// Everything wrong with a message, in the order of its segments. Linear in its length.
pub(super) fn of(message: &Message, labels: &Labels<'_>, version: Version) -> Vec<Finding> {
    let mut search = Search { labels, found: Vec::new() };
    search.header(message);
    search.warnings(message);
    search.strays(message);
    for segment in message.segments() {
        for node in Node::of_segment(segment, version) {
            search.value(segment, &node);
        }
        if search.found.len() > FINDINGS_MAX {
            break;
        }
    }
    search.found.sort_by_key(|(segment, _)| *segment);
    let mut found: Vec<Finding> = search.found.into_iter().map(|(_, finding)| finding).collect();
    if found.len() > FINDINGS_MAX {
        found.truncate(FINDINGS_MAX);
        found.push(Finding { place: None, text: "more findings are not told".into() });
    }
    found
}

struct Search<'m> {
    labels: &'m Labels<'m>,
    /// With the index of their segments.
    found: Vec<(usize, Finding)>,
}

impl<'m> Search<'m> {
    fn add(&mut self, segment: usize, place: Option<String>, text: impl Into<Cow<'static, str>>) {
        // One more than is told shows that there are more.
        if self.found.len() <= FINDINGS_MAX {
            self.found.push((segment, Finding { place, text: text.into() }));
        }
    }

    fn header(&mut self, message: &Message) {
        let Some(header) = message.segment_at(0) else { return };
        for (n, what) in [(7, "date and time"), (9, "message type"), (10, "control id"), (12, "version")] {
            if !header.field(n).is_valued() {
                self.add(0, Some(format!("MSH-{n}")), format!("the {what} is missing"));
            }
        }
    }

    fn warnings(&mut self, message: &Message) {
        for Warning { code, offset } in message.warnings() {
            // Files often end so; it tells nothing of the sender.
            if *code == WarningCode::NoFinalTerminator {
                continue;
            }
            let segment = segment_at(message, *offset);
            let place = segment.map(|segment| self.place(segment, *offset));
            self.add(segment.map_or(0, |segment| segment.index()), place, code.to_string());
        }
    }

    fn strays(&mut self, message: &Message) {
        for index in Structure::of(message).strays() {
            if let Some(segment) = message.segment_at(*index).filter(|segment| segment.name() != "???") {
                let text = format!("this segment has no place here in {}^{}", message.code(), message.trigger());
                self.add(*index, Some(self.labels.segment(segment)), text);
            }
        }
    }

    fn value(&mut self, segment: Segment<'m>, node: &Node<'m>) {
        let mut divides = false;
        for part in node.parts() {
            divides = true;
            self.value(segment, &part);
        }
        let wrong = if divides { number_of_patient(node) } else { content(node) };
        if let Some(text) = wrong {
            self.add(segment.index(), Some(self.labels.node(segment, node)), text);
        }
    }

    /// The field, or else the segment, that a byte stands in.
    fn place(&self, segment: Segment<'m>, offset: usize) -> String {
        let start = segment.raw().as_ptr() as usize;
        let holds = |value: &Value<'m>| {
            let at = value.raw().as_ptr() as usize - start + segment.offset();
            (at..=at + value.raw().len()).contains(&offset)
        };
        match segment.fields().find(holds) {
            Some(field) if offset > segment.offset() => self.labels.field(segment, field.location().field),
            _ => self.labels.segment(segment),
        }
    }
}

/// The segment that a byte stands in or behind; none before the first.
fn segment_at(message: &Message, offset: usize) -> Option<Segment<'_>> {
    let (mut low, mut high) = (0, message.segment_count());
    while low < high {
        let middle = low + (high - low) / 2;
        match message.segment_at(middle) {
            Some(segment) if segment.offset() <= offset => low = middle + 1,
            _ => high = middle,
        }
    }
    message.segment_at(low.checked_sub(1)?)
}

/// An identifier that says it is an NHS number and is none.
fn number_of_patient(node: &Node<'_>) -> Option<Cow<'static, str>> {
    let (authority, kind) = (node.value.component(4).subcomponent(1).trimmed(), node.value.component(5).trimmed());
    // `NH{status:01}` carries the number's status.
    let nhs = match kind.split('{').next() {
        Some("NH" | "NHS") => true,
        other => authority == "NHS" && other == Some(""),
    };
    let nhs = nhs && node.data_type == "CX";
    let number = node.value.component(1);
    let wrong = nhs && number.is_valued() && nhs_number(&number.trimmed()).is_none();
    wrong.then(|| "not an NHS number: ten digits, the last one a check digit".into())
}

/// What is wrong with a value that does not divide.
fn content(node: &Node<'_>) -> Option<Cow<'static, str>> {
    if node.value.is_null() {
        return None;
    }
    if node.base64 {
        return document(&node.value.text());
    }
    if let Some(sequence) = node.value.unknown_escape() {
        return Some(match sequence.len() {
            1 => "an escape character stands alone and stays as typed".into(),
            _ => {
                let text: String = String::from_utf8_lossy(sequence).chars().take(ESCAPE_SHOWN_MAX).collect();
                format!("the escape sequence {text} is not known and stays as typed").into()
            }
        });
    }
    let text = node.value.trimmed();
    if text.is_empty() {
        return None;
    }
    let time = match &*node.data_type {
        "DT" => match Timestamp::parse(&text) {
            Ok(time) if time.hour.is_some() || time.offset_minutes.is_some() => {
                return Some("a date with a time, where its type DT has none".into());
            }
            other => other,
        },
        kind if is_time(kind) => Timestamp::parse(&text),
        "TM" if TimeOfDay::parse(&text).is_err() => return Some("not a time of day; write HHMM or HHMMSS".into()),
        "NM" => return (!is_number(&text)).then(|| "not a number, as its type NM asks".into()),
        _ => return None,
    };
    Some(time.err()?.to_string().into())
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && digits.parse::<f64>().is_ok()
}

/// What tells that a document in Base64 is not whole.
fn document(text: &str) -> Option<Cow<'static, str>> {
    let clean: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if !clean.len().is_multiple_of(4) && clean.iter().all(alphabet) {
        return Some("the Base64 ends in the middle of a group of four: it may be cut off".into());
    }
    let Ok(bytes) = STANDARD.decode(&clean) else {
        return Some("not valid Base64".into());
    };
    let end = &bytes[bytes.len().saturating_sub(PDF_END_BYTES)..];
    let cut = bytes.starts_with(b"%PDF") && !end.windows(5).any(|five| five == b"%%EOF");
    cut.then(|| "the PDF has no end (%%EOF): it may be cut off".into())
}
