//! A message as a tree of segments, fields and components for people.

use std::collections::HashSet;
use std::io::{self, Write};

use fairway_core::hl7v2::{Message, Segment, Structure, dictionary};

use super::node::{Labels, Node};
use super::page::{Ink, Page, Row};
use super::{Content, Shown};

/// Repetitions of a field, and parts of a value, that are shown.
const ITEMS_MAX: usize = 100;
/// Characters and lines of a value that are shown.
const VALUE_MAX: (usize, usize) = (2_000, 40);
/// Characters of a document in Base64 that are shown.
const BASE64_MAX: usize = 24;

/// Prints a message with its findings.
pub(super) fn message<W: Write>(shown: &Shown, page: &mut Page<'_, W>) -> io::Result<()> {
    page.rule(&shown.source)?;
    match &shown.content {
        Content::Unreadable(bytes) => {
            let text = String::from_utf8_lossy(bytes.get(..VALUE_MAX.0.min(bytes.len())).unwrap_or_default());
            let lines = text.lines().flat_map(|line| line.split('\r')).take(VALUE_MAX.1);
            page.paragraph(&lines.collect::<Vec<_>>().join("\n"), 4, Ink::Plain)?;
            if text.len() < bytes.len() {
                page.line(&format!("    … {} in all", size(bytes.len())), Ink::Dim)?;
            }
        }
        Content::Message { message, version } => {
            page.paragraph(&summary(message, *version, shown.findings.len()), 0, Ink::Bold)?;
            let structure = Structure::of(message);
            let places = shown.findings.iter().filter_map(|finding| finding.place.as_deref()).collect();
            let tree = Tree { labels: &Labels::of(message), places, version: *version };
            for one in message.segments() {
                tree.segment(one, &super::groups(&structure, one.index()), page)?;
            }
        }
    }
    for finding in &shown.findings {
        let place = finding.place.as_deref().unwrap_or("message");
        page.paragraph(&format!("! {place}: {}", finding.text), 0, Ink::Finding)?;
    }
    Ok(())
}

fn summary(message: &Message, version: dictionary::Version, findings: usize) -> String {
    let (code, trigger) = (message.code(), message.trigger());
    let mut parts = vec![match dictionary::meaning(3, &trigger) {
        Some(meaning) => format!("{code}^{trigger} {meaning}"),
        None => format!("{code}^{trigger}"),
    }];
    match message.version() {
        told if told == version.name() => parts.push(format!("HL7 {told}")),
        told => parts.push(format!("HL7 {told} (names of {})", version.name())),
    }
    parts.push(format!("control id {}", message.control_id()));
    parts.push(message.charset().name().into_owned());
    parts.push(size(message.bytes().len()));
    parts.push(match findings {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        several => format!("{several} findings"),
    });
    parts.join(" · ")
}

/// How the values of one message are shown.
pub(super) struct Tree<'m> {
    pub(super) labels: &'m Labels<'m>,
    /// Places with findings.
    pub(super) places: HashSet<&'m str>,
    pub(super) version: dictionary::Version,
}

impl<'m> Tree<'m> {
    /// A segment with all its fields.
    pub(super) fn segment<W: Write>(
        &self,
        segment: Segment<'m>,
        groups: &[&str],
        page: &mut Page<'_, W>,
    ) -> io::Result<()> {
        let label = self.labels.segment(segment);
        let name = match segment.name() {
            "???" => "a line that is no segment",
            name => dictionary::segment(self.version, name).unwrap_or_default(),
        };
        page.heading(&label, self.places.contains(&*label), name, &groups.join(" › "))?;
        if segment.name() == "???" {
            let (text, note) = shortened(&segment.message().charset().decode(segment.raw()).0, page.full);
            page.paragraph(&text, 4, Ink::Plain)?;
            return page.paragraph(&note, 4, Ink::Meaning);
        }
        let (mut field, mut shown, mut hidden) = (0, 0, 0_usize);
        for node in Node::of_segment(segment, self.version) {
            let n = node.value.location().field;
            if n != field {
                self.more(hidden, page)?;
                (field, shown, hidden) = (n, 0, 0);
            }
            if shown < ITEMS_MAX || page.full {
                shown += 1;
                self.value(segment, &node, 0, page)?;
            } else {
                hidden += 1;
            }
        }
        self.more(hidden, page)
    }

    /// A value and its parts.
    pub(super) fn value<W: Write>(
        &self,
        segment: Segment<'m>,
        node: &Node<'m>,
        depth: usize,
        page: &mut Page<'_, W>,
    ) -> io::Result<()> {
        let label = self.labels.node(segment, node);
        let name = match node.element {
            None => "".into(),
            Some(element) if element.since > self.version => format!("{} ({})", element.name, element.since.name()),
            Some(element) => element.name.to_owned(),
        };
        let mut parts = node.parts().peekable();
        let divides = parts.peek().is_some();
        let (value, note, ink) = if divides {
            let raw = node.value.raw();
            let start = raw.get(..page.width * 4).unwrap_or(raw);
            (segment.message().charset().decode(start).0.into_owned(), node.type_name().to_owned(), Ink::Dim)
        } else if node.value.is_null() {
            ("null".to_owned(), String::new(), Ink::Null)
        } else if node.base64 && !page.full {
            let (value, note) = document(&node.value.text());
            (value, note, Ink::Plain)
        } else {
            let (value, note) = shortened(&node.value.formatted(), page.full);
            let note = if note.is_empty() { node.meaning().unwrap_or_default() } else { note };
            (value, note, Ink::Plain)
        };
        page.row(&Row {
            marked: self.places.contains(&*label),
            label: &label,
            label_columns: self.labels.width(),
            depth,
            name: &name,
            heading: divides,
            value: &value,
            ink,
            note: &note,
        })?;
        let shown = if page.full { usize::MAX } else { ITEMS_MAX };
        for part in parts.by_ref().take(shown) {
            self.value(segment, &part, depth + 1, page)?;
        }
        self.more(parts.count(), page)
    }

    fn more<W: Write>(&self, hidden: usize, page: &mut Page<'_, W>) -> io::Result<()> {
        match hidden {
            0 => Ok(()),
            hidden => page.line(&format!("  … and {hidden} more"), Ink::Dim),
        }
    }
}

/// The start of a long text, and how long it is; the text and nothing when it is short or wanted in full.
fn shortened(text: &str, full: bool) -> (String, String) {
    let (characters, lines) = if full { (usize::MAX, usize::MAX) } else { VALUE_MAX };
    let by_lines = text.match_indices('\n').nth(lines.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at).min(by_lines);
    match text.get(..end) {
        Some(start) if !text[end..].trim().is_empty() => (format!("{start}…"), format!("{} in all", size(text.len()))),
        _ => (text.to_owned(), String::new()),
    }
}

/// The start of a document in Base64, and what it is.
fn document(text: &str) -> (String, String) {
    let start: String = text.chars().take(BASE64_MAX).collect();
    let kinds = [
        ("JVBER", "PDF"),
        ("/9j/", "JPEG"),
        ("iVBOR", "PNG"),
        ("R0lGO", "GIF"),
        ("SUkqA", "TIFF"),
        ("TU0AK", "TIFF"),
        ("e1xyd", "RTF"),
        ("UEsDB", "ZIP or office document"),
        ("0M8R4", "office document"),
        ("PD94b", "XML"),
        ("PGh0b", "HTML"),
    ];
    let kind = kinds.iter().find(|(signature, _)| start.starts_with(signature)).map_or("", |(_, kind)| kind);
    let length = text.bytes().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).count();
    let mark = if start.len() < text.len() { "…" } else { "" };
    let size = size(length / 4 * 3 + length % 4 * 3 / 4);
    let note = if kind.is_empty() { format!("{size} in Base64") } else { format!("{kind}, {size}") };
    (format!("{start}{mark}"), note)
}

/// `812 bytes`, `12.3 KB`, `4.5 MB`.
fn size(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
