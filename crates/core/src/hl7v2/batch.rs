//! Splits a file or a frame of several messages into messages.
//!
//! A batch is what stands between its MSH lines, with FHS, BHS, BTS and FTS around them or
//! not. [`split_batch`] splits and nothing more; [`Batch`] reads the envelope, holds its counts
//! against what came, and answers it as a batch. Neither reads a message.

use bytes::Bytes;

use super::ack::{APPLICATION, control_id, echo};
use super::charset::{Utf16, utf16_to_utf8};
use super::mllp::FS;
use super::separators::Separators;
use super::time::hl7_from_micros;

/// The messages of a batch, each sharing the batch's bytes. See [`split_batch`].
#[derive(Debug, Clone)]
pub struct Messages {
    batch: Bytes,
    at: usize,
}

/// Splits a batch into its messages: every line that starts with `MSH` and a delimiter starts
/// one, and every envelope line (FHS, BHS, BTS, FTS) ends one. What stands before the first MSH is
/// passed over. One pass; nothing is copied. MLLP frame bytes around messages are left out.
pub fn split_batch(batch: Bytes) -> Messages {
    let at = next_line(&batch, 0, is_header);
    Messages { batch, at }
}

impl Iterator for Messages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.at >= self.batch.len() {
            return None;
        }
        let start = self.at;
        let end = next_line(&self.batch, start + 3, |line| is_header(line) || is_envelope(line));
        self.at = match is_header(&self.batch[end..]) {
            true => end,
            false => next_line(&self.batch, end, is_header),
        };
        let message = &self.batch[start..end];
        // Blank lines behind the last line do not belong to this message, nor does what leads the next one, nor the end
        // of its own frame. Its last line does, with its blanks and its line end.
        let content = message.len() - message.iter().rev().take_while(|&&b| leads(b)).count();
        let line = content + until_line_end(&message[content..]);
        let framing = message[..line].iter().rev().take_while(|&&b| b == FS).count();
        let line_end = match &message[line..] {
            _ if framing > 0 => 0,
            [b'\r', b'\n', ..] => 2,
            rest => rest.len().min(1),
        };
        Some(self.batch.slice(start..start + line - framing + line_end))
    }
}

/// Start of the first line from `from` on that `wanted` accepts, or the end. The line's start is
/// behind a line end and whatever blanks, byte order mark or frame byte lead it.
fn next_line(bytes: &[u8], from: usize, wanted: fn(&[u8]) -> bool) -> usize {
    let mut line = from;
    if from > 0 {
        line += until_line_end(&bytes[from..]);
    }
    loop {
        line += bytes[line..].iter().take_while(|&&b| leads(b)).count();
        if line >= bytes.len() || wanted(&bytes[line..]) {
            return line;
        }
        line += until_line_end(&bytes[line..]);
    }
}

/// Whether a byte may stand before a line: blanks, line ends, frame bytes, a byte order mark.
fn leads(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, 0xEF | 0xBB | 0xBF)
}

fn until_line_end(bytes: &[u8]) -> usize {
    memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len())
}

fn is_header(line: &[u8]) -> bool {
    line.starts_with(b"MSH") && line.get(3).is_some_and(u8::is_ascii_punctuation)
}

fn is_envelope(line: &[u8]) -> bool {
    let named = [b"FHS", b"BHS", b"BTS", b"FTS"].iter().any(|name| line.starts_with(*name));
    named && line.get(3).is_none_or(|&b| b.is_ascii_punctuation() || b <= b' ')
}

/// A batch with its envelope.
#[derive(Debug, Clone)]
pub struct Batch {
    /// In UTF-8 when it came as UTF-16.
    bytes: Bytes,
    /// How it came as UTF-16, and as what bytes.
    wide: Option<(Utf16, Bytes)>,
    /// Where each line of the envelope and each message begins.
    lines: Vec<(Line, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    FileHeader,
    BatchHeader,
    Message,
    BatchTrailer,
    FileTrailer,
}

impl Batch {
    /// Reads the envelope; `None` when the bytes do not begin with FHS or BHS. One pass.
    pub fn read(bytes: Bytes) -> Option<Batch> {
        let (bytes, wide) = match Utf16::of(&bytes).zip(utf16_to_utf8(&bytes)) {
            Some((utf16, (text, _))) => (Bytes::from(text), Some((utf16, bytes))),
            None => (bytes, None),
        };
        let first = next_line(&bytes, 0, |_| true);
        if !matches!(line_of(&bytes[first..]), Some(Line::FileHeader | Line::BatchHeader)) {
            return None;
        }
        let (mut lines, mut in_message) = (Vec::new(), false);
        let mut at = first;
        while at < bytes.len() {
            match line_of(&bytes[at..]) {
                Some(line) => {
                    in_message = line == Line::Message;
                    lines.push((line, at));
                }
                None if in_message => {}
                // Lines that no MSH leads are handed over as what they are, so that they are kept and answered.
                None => {
                    in_message = true;
                    lines.push((Line::Message, at));
                }
            }
            at = next_line(&bytes, at + 1, |_| true);
        }
        Some(Batch { bytes, wide, lines })
    }

    /// The messages, in order; lines that belong to none are one that cannot be read.
    pub fn messages(&self) -> impl Iterator<Item = Bytes> {
        let ends = self.lines.iter().skip(1).map(|(_, at)| *at).chain([self.bytes.len()]);
        let messages = self.lines.iter().zip(ends).filter(|((line, _), _)| *line == Line::Message);
        // Up to where the batch is given out, in its text and as it came.
        let mut given = (0, self.wide.as_ref().map_or(0, |(utf16, _)| utf16.mark_bytes()));
        messages.map(move |((_, at), end)| {
            let whole = self.bytes.slice(*at..end);
            let message = split_batch(whole.clone()).next().filter(|_| is_header(&whole)).unwrap_or(whole);
            let Some((_, wide)) = &self.wide else { return message };
            let from = (given.1 + utf16_bytes(&self.bytes[given.0..*at])).min(wide.len());
            given = (at + message.len(), (from + utf16_bytes(&message)).min(wide.len()));
            wide.slice(from..given.1)
        })
    }

    /// Where the counts of BTS-1 and FTS-1 are not what came; never content.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        self.walk(|line| {
            if let Answer::BatchEnd(_, Some(finding)) | Answer::FileEnd(_, Some(finding)) = line {
                findings.push(finding);
            }
        });
        findings
    }

    /// The answer to the batch: its own envelope around the answers to its messages, which are given in order, each as
    /// the segments it is answered with (none when its sender asks for none); an answer behind those is to a batch without
    /// a message. What is found wrong with the counts stands in BTS-2 and FTS-2. `now_micros` gives the time for each
    /// header of the envelope, each another, in microseconds since 1970 UTC.
    pub fn acknowledge(&self, answers: &[Bytes], mut now_micros: impl FnMut() -> i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(answers.iter().map(Bytes::len).sum::<usize>() + 512);
        let (mut separator, mut answers) = (b'|', answers.iter());
        let none = !self.lines.iter().any(|(line, _)| *line == Line::Message);
        let utf16 = self.wide.as_ref().map(|(utf16, _)| *utf16);
        self.walk(|line| {
            let mut part = match line {
                Answer::Header(name, header) => {
                    let (part, declared) = envelope_header(name, header, now_micros());
                    separator = declared;
                    part
                }
                Answer::Message => return out.extend_from_slice(answers.next().map_or(&[][..], |answer| answer)),
                Answer::BatchEnd(count, finding) => envelope_trailer("BTS", count, finding, separator),
                Answer::FileEnd(count, finding) => envelope_trailer("FTS", count, finding, separator),
            };
            if none && !part.starts_with(b"FHS") && !part.starts_with(b"BHS") {
                part = answers.by_ref().flatten().copied().chain(part).collect();
            }
            match utf16 {
                Some(utf16) => {
                    out.extend(utf16.encode_part(&String::from_utf8_lossy(&part), out.is_empty()));
                }
                None => out.extend_from_slice(&part),
            }
        });
        out
    }

    /// Goes through the batch line by line; ends that its sender left out are added.
    fn walk(&self, mut take: impl FnMut(Answer<'_>)) {
        let (mut messages, mut batches) = (0_usize, 0_usize);
        let (mut in_file, mut in_batch) = (false, false);
        for &(line, at) in &self.lines {
            let text = &self.bytes[at..at + until_line_end(&self.bytes[at..])];
            if in_batch && matches!(line, Line::BatchHeader | Line::FileTrailer | Line::FileHeader) {
                take(Answer::BatchEnd(messages, Some("the batch has no BTS".to_owned())));
                in_batch = false;
            }
            match line {
                Line::FileHeader => {
                    (in_file, batches) = (true, 0);
                    take(Answer::Header("FHS", text));
                }
                Line::BatchHeader => {
                    (in_batch, messages) = (true, 0);
                    batches += 1;
                    take(Answer::Header("BHS", text));
                }
                Line::Message => {
                    messages += 1;
                    take(Answer::Message);
                }
                Line::BatchTrailer if in_batch => {
                    in_batch = false;
                    take(Answer::BatchEnd(messages, miscounted("BTS-1", "messages", text, messages)));
                }
                Line::FileTrailer if in_file => {
                    in_file = false;
                    take(Answer::FileEnd(batches, miscounted("FTS-1", "batches", text, batches)));
                }
                // A trailer without its header ends nothing.
                Line::BatchTrailer | Line::FileTrailer => {}
            }
        }
        if in_batch {
            take(Answer::BatchEnd(messages, Some("the batch has no BTS".to_owned())));
        }
        if in_file {
            take(Answer::FileEnd(batches, Some("the file has no FTS".to_owned())));
        }
    }
}

/// A line of the answer to a batch.
enum Answer<'b> {
    Header(&'static str, &'b [u8]),
    Message,
    BatchEnd(usize, Option<String>),
    FileEnd(usize, Option<String>),
}

fn line_of(line: &[u8]) -> Option<Line> {
    if is_header(line) {
        return Some(Line::Message);
    }
    if !is_envelope(line) {
        return None;
    }
    Some(match &line[..3] {
        b"FHS" => Line::FileHeader,
        b"BHS" => Line::BatchHeader,
        b"BTS" => Line::BatchTrailer,
        _ => Line::FileTrailer,
    })
}

/// How long a stretch of UTF-8, also one that begins inside a character, is in UTF-16.
fn utf16_bytes(text: &[u8]) -> usize {
    let units = |&byte: &u8| usize::from(byte & 0xC0 != 0x80) + usize::from(byte >= 0xF0);
    text.iter().map(units).sum::<usize>() * 2
}

/// What is wrong with the count in a trailer; nothing when it gives none.
fn miscounted(field: &str, of: &str, line: &[u8], found: usize) -> Option<String> {
    let separator = *line.get(3)?;
    let count = line.split(|&byte| byte == separator).nth(1)?.trim_ascii();
    if matches!(count, b"" | b"\"\"") {
        return None;
    }
    if !count.iter().all(u8::is_ascii_digit) {
        return Some(format!("{field} is no number and {found} {of} came"));
    }
    let told: Option<usize> = std::str::from_utf8(count).ok().and_then(|digits| digits.parse().ok());
    (told != Some(found)).then(|| match told {
        Some(told) => format!("{field} tells of {told} {of} and {found} came"),
        None => format!("{field} tells of too many {of} and {found} came"),
    })
}

/// FHS or BHS with sender and receiver changed over; its control id comes back as reference (BHS-12). Gives also the
/// delimiter that the header declares.
fn envelope_header(name: &str, header: &[u8], now_micros: i64) -> (Vec<u8>, u8) {
    let declared = Separators::of_header(header);
    let separator = declared.map_or(Separators::STANDARD, |(separators, ..)| separators).field;
    let standard = Separators::STANDARD.encoding_characters();
    let encoding = declared.map_or(&standard[..], |(_, end, _)| &header[4..end]);
    let fields: Vec<&[u8]> = header.split(|&byte| byte == separator).collect();
    // Piece n of the line is field n + 1.
    let field = |number: usize| echo(fields.get(number - 1).copied().unwrap_or_default());
    let ours = |number: usize| match field(number) {
        receiver if receiver.is_empty() => APPLICATION.into(),
        receiver => receiver,
    };
    let (time, id) = (hl7_from_micros(now_micros), control_id(now_micros));
    let parts: [&[u8]; 12] = [
        name.as_bytes(),
        encoding,
        &ours(5),
        &ours(6),
        &field(3),
        &field(4),
        time.as_bytes(),
        b"",
        b"",
        b"",
        id.as_bytes(),
        &field(11),
    ];
    let mut out = parts.join(&separator);
    out.push(b'\r');
    (out, separator)
}

fn envelope_trailer(name: &str, count: usize, finding: Option<String>, separator: u8) -> Vec<u8> {
    let count = count.to_string();
    let parts = [Some(name), Some(&*count), finding.as_deref()];
    let parts: Vec<&[u8]> = parts.into_iter().flatten().map(str::as_bytes).collect();
    let mut out = parts.join(&separator);
    out.push(b'\r');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(batch: &'static str, messages: &[&str]) {
        let found: Vec<Bytes> = split_batch(Bytes::from_static(batch.as_bytes())).collect();
        assert_eq!(found, messages, "{batch:?}");
    }

    #[test]
    fn batches_split() {
        check("", &[]);
        check("MSH|a\rPID|1\r", &["MSH|a\rPID|1\r"]);
        check("MSH|a\rPID|1\n\nMSH|b\n \n\u{feff}MSH|c\u{bf}\n", &["MSH|a\rPID|1\n", "MSH|b\n", "MSH|c\u{bf}\n"]);
        check("FHS|^\rBHS|^\rMSH|a\rPID|1\rMSH|b\rBTS|2\rFTS|1\r", &["MSH|a\rPID|1\r", "MSH|b\r"]);
        check("MSH|a\r\nPID|1\r\n\r\nMSH|b", &["MSH|a\r\nPID|1\r\n", "MSH|b"]);
        check("\x0bMSH|a\r\x1c\r\x0bMSH|b\r\x1c\r", &["MSH|a\r", "MSH|b\r"]);
        check("\u{feff}MSH|a\rNTE|MSH|\rMSHX\r", &["MSH|a\rNTE|MSH|\rMSHX\r"]);
        check("BHS|^\rMSH|a\rBTS|1\rBHS|^\rMSH|b\rBTS\r", &["MSH|a\r", "MSH|b\r"]);
        check("FHS|^\rFTS|0\r", &[]);
        // Blanks at the end of the last line are the sender's; a mark behind them is not.
        check("MSH|a\rPID|x  \rMSH|b ", &["MSH|a\rPID|x  \r", "MSH|b "]);
        check("MSH|a \x1c\r\n\u{feff}\x0bMSH|b\n\u{feff} MSH|c\r", &["MSH|a ", "MSH|b\n", "MSH|c\r"]);
        check("no messages\rat all", &[]);
    }

    fn read(batch: &'static str) -> Batch {
        Batch::read(Bytes::from_static(batch.as_bytes())).unwrap()
    }

    #[test]
    fn counts_are_held_against_what_came() {
        let findings = |batch: &'static str| read(batch).findings().join("; ");
        assert_eq!(findings("FHS|^~\\&\rBHS|^~\\&\rMSH|a\rMSH|b\rBTS|2\rFTS|1\r"), "");
        assert_eq!(findings("BHS|^~\\&\nMSH|a\nBTS\n"), "");
        assert_eq!(findings("BHS|^~\\&\rMSH|a\rPID|1\rBTS|3\r"), "BTS-1 tells of 3 messages and 1 came");
        assert_eq!(findings("BHS|^~\\&\rMSH|a\r"), "the batch has no BTS");
        assert_eq!(
            findings("FHS|^~\\&\rBHS|^~\\&\rMSH|a\rBHS|^~\\&\rMSH|b\rBTS|1\rFTS|1\rPID|1\r"),
            "the batch has no BTS; FTS-1 tells of 1 batches and 2 came"
        );
        // What no MSH leads is not lost.
        let strays = read("BHS|^~\\&\rMS|a\rPID|1\rMSH|b\r\rBTS|1\rPID|2\r");
        assert_eq!(strays.messages().collect::<Vec<_>>(), ["MS|a\rPID|1\r", "MSH|b\r", "PID|2\r"]);
        assert_eq!(strays.findings(), ["BTS-1 tells of 1 messages and 2 came"]);
        assert_eq!(findings("BHS|^~\\&\rBTS|99999999999999999999\r"), "BTS-1 tells of too many messages and 0 came");
        assert!(Batch::read(Bytes::from_static(b"MSH|a\rBTS|1\r")).is_none());
        assert!(Batch::read(Bytes::new()).is_none());
    }

    #[test]
    fn a_batch_is_answered_as_one() {
        let batch = read(
            "\u{feff}FHS|^~\\&|LAB|RXX|HL7API|PKB|||||F1\rBHS|^~\\&|LAB|RXX|HL7API|PKB|||||B1\rMSH|a\rMSH|b\rBTS|3\r",
        );
        assert_eq!(batch.messages().count(), 2);
        let answers = [Bytes::from_static(b"MSH|1\rMSA|AA|1\r"), Bytes::new()];
        let mut now = 1_712_136_615_000_041;
        let mut clock = || {
            now += 1;
            now
        };
        let answer = String::from_utf8(batch.acknowledge(&answers, &mut clock)).unwrap();
        assert_eq!(
            answer.split('\r').collect::<Vec<_>>(),
            [
                "FHS|^~\\&|HL7API|PKB|LAB|RXX|20240403093015+0000||||FW-20240403093015000042|F1",
                "BHS|^~\\&|HL7API|PKB|LAB|RXX|20240403093015+0000||||FW-20240403093015000043|B1",
                "MSH|1",
                "MSA|AA|1",
                "BTS|2|BTS-1 tells of 3 messages and 2 came",
                "FTS|1|the file has no FTS",
                ""
            ]
        );
    }

    #[test]
    fn a_count_that_is_no_number_is_told() {
        let findings = |batch: &'static str| read(batch).findings().join("; ");
        for count in ["abc", "1x", "-1", "1.5"] {
            let batch = format!("FHS|^~\\&\rBHS|^~\\&\rMSH|a\rBTS|{count}\rFTS|{count}\r");
            let found = Batch::read(Bytes::from(batch)).unwrap().findings().join("; ");
            assert_eq!(
                found, "BTS-1 is no number and 1 messages came; FTS-1 is no number and 1 batches came",
                "{count}"
            );
        }
        assert_eq!(findings("BHS|^~\\&\rMSH|a\rBTS|\"\"\r"), "");
        assert_eq!(findings("BHS|^~\\&\rMSH|a\rBTS| 1 \r"), "");
    }

    #[test]
    fn the_answer_has_the_delimiters_as_declared() {
        let answer = read("BHS#^^\\&#A#B#C#D\rMSH|a\rBTS#2\r").acknowledge(&[], || 0);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("BHS#^^\\&#C#D#A#B#"), "{answer}");
        assert!(answer.ends_with("\rBTS#1#BTS-1 tells of 2 messages and 1 came\r"), "{answer}");
    }

    #[test]
    fn a_batch_without_a_message_is_answered_as_a_batch() {
        let batch = read("BHS|^~\\&|A\rBTS|0\r");
        let answer = batch.acknowledge(&[Bytes::from_static(b"MSH|1\rMSA|AE\r")], || 0);
        let answer = String::from_utf8(answer).unwrap();
        let names: Vec<&str> = answer.split('\r').map(|line| line.get(..3).unwrap_or_default()).collect();
        assert_eq!(names, ["BHS", "MSH", "MSA", "BTS", ""]);
    }

    #[test]
    fn a_batch_in_utf16_is_read_and_answered_in_utf16() {
        let wide = |text: &str, mark: bool| -> Vec<u8> {
            let units = mark.then_some(0xFEFF_u16).into_iter().chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        };
        for mark in [true, false] {
            let whole = wide("BHS|^~\\&|L\u{1F600}\rMSH|^~\\&|Zo\u{eb} \u{1F600}\r\rMSH|^~\\&|b\rBTS|2\r", mark);
            let batch = Batch::read(whole.into()).unwrap();
            let messages: Vec<Bytes> = batch.messages().collect();
            assert_eq!(messages, [wide("MSH|^~\\&|Zo\u{eb} \u{1F600}\r", false), wide("MSH|^~\\&|b\r", false)]);
            let answers = [wide("MSH|1\r", false).into(), wide("MSH|2\r", false).into()];
            let answer = batch.acknowledge(&answers, || 0);
            let expected = "BHS|^~\\&|FAIRWAY|FAIRWAY|L\u{1F600}||19700101000000+0000||||FW-19700101000000000000|\r\
                            MSH|1\rMSH|2\rBTS|2\r";
            assert_eq!(answer, wide(expected, mark));
        }
    }
}
