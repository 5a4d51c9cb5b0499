//! Splits a file or a frame of several messages into messages.
//!
//! A message is what stands from one MSH line to the next, with FHS, BHS, BTS and FTS around several or not. Which line
//! is one of those, `lines` tells. [`split_batch`] splits and nothing more; [`Batch`] reads the envelope, holds its counts
//! against what came, and answers it as a batch. Neither reads a message, and neither leaves a line out: what no MSH leads
//! is handed over as what it is.

use std::ops::Range;

use bytes::Bytes;

use super::ack::{APPLICATION, control_id, echo};
use super::charset::{Utf16, utf16_to_utf8};
use super::lines::Lines;
use super::mllp::FS;
use super::separators::Separators;
use super::time::hl7_from_micros;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The messages of a batch, each sharing the batch's bytes. See [`split_batch`].
#[derive(Debug, Clone)]
pub struct Messages(Stretches);

/// Splits a batch into its messages, byte for byte as they were sent, those of UTF-16 in UTF-16. Lines that no MSH leads
/// are a message too, one that cannot be read. The lines of an envelope, blank lines and MLLP frame bytes around messages
/// are left out. One pass; only UTF-16 is copied.
pub fn split_batch(batch: Bytes) -> Messages {
    Messages(Stretches::of(batch))
}

impl Iterator for Messages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.0.by_ref().find(|(line, _)| *line == Line::Message).map(|(_, message)| message)
    }
}

/// What a line of a batch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    FileHeader,
    BatchHeader,
    /// Also lines that belong to no message.
    Message,
    BatchTrailer,
    FileTrailer,
}

/// A batch, stretch by stretch: the lines of its envelope, as text, and its messages, as sent.
#[derive(Debug, Clone)]
struct Stretches {
    sent: Bytes,
    /// What was sent; its UTF-8 when that is UTF-16.
    text: Bytes,
    utf16: Option<Utf16>,
    /// A place in `text` and the same place in `sent`.
    passed: (usize, usize),
    /// Where the next stretch begins in `text`, or blanks before it.
    at: usize,
    /// The field separator of the last header of a batch or file.
    envelope: Option<u8>,
}

impl Stretches {
    fn of(sent: Bytes) -> Self {
        let utf16 = Utf16::of(&sent);
        let text = utf16_to_utf8(&sent).map_or_else(|| sent.clone(), |(text, _)| text.into());
        // A byte order mark of UTF-16 is not in the text.
        let mark = utf16.map_or(0, Utf16::mark_bytes);
        Self { sent, text, utf16, passed: (0, mark), at: 0, envelope: None }
    }

    /// What was sent for a stretch of the text; stretches are asked for in their order.
    fn sent(&mut self, stretch: Range<usize>) -> Bytes {
        if self.utf16.is_none() {
            return self.sent.slice(stretch);
        }
        let mut place = |at: usize| {
            let passed = &self.text[self.passed.0..at];
            // UTF-16 has a unit for every character, and another for those that take four bytes in UTF-8.
            let units =
                passed.iter().map(|byte| usize::from(byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0)).sum::<usize>();
            // At the end there may be half a character.
            let end = at == self.text.len();
            self.passed = (at, if end { self.sent.len() } else { self.passed.1 + 2 * units });
            self.passed.1
        };
        let (start, end) = (place(stretch.start), place(stretch.end));
        self.sent.slice(start..end)
    }

    /// What the line at a place begins; `None` for one that goes on with `message`, or with lines that are none.
    fn line(&self, at: usize, lone_lf: bool, message: Option<Lines>) -> Option<Line> {
        let line = &self.text[at..];
        let delimiter = line.get(3).copied().filter(u8::is_ascii_punctuation);
        let kind = match line.get(..3)? {
            b"MSH" if delimiter.is_some() => Line::Message,
            b"FHS" if delimiter.is_some() => Line::FileHeader,
            b"BHS" if delimiter.is_some() => Line::BatchHeader,
            b"BTS" => Line::BatchTrailer,
            b"FTS" => Line::FileTrailer,
            _ => return None,
        };
        // The end of a frame may stand behind it.
        let line = &line[..until_line_end(line)];
        let line = &line[..line.len() - line.iter().rev().take_while(|&&byte| byte <= b' ').count()];
        // Where no message declares a delimiter, any is one.
        let lines = message.unwrap_or(Lines::behind(delimiter.unwrap_or(b'|'), false));
        let around = self.envelope.map(|field| lines.separated_by(field));
        [Some(lines), around].into_iter().flatten().any(|lines| lines.segment(line, lone_lf).is_some()).then_some(kind)
    }

    /// The start of what follows the message, or the lines that are none, that begin at `start`.
    fn behind(&self, start: usize) -> usize {
        let text = &self.text[..];
        let (mut at, mut lone_lf, mut lines) = (start, false, None);
        loop {
            let end = at + until_line_end(&text[at..]);
            if at == start {
                let header = |_| Lines::behind(text[at + 3], text.get(end) == Some(&b'\r'));
                lines = self.line(at, false, None).map(header);
            } else if let Some(lines) = &mut lines {
                lines.pass(&text[at..end], lone_lf);
            }
            lone_lf = text.get(end) == Some(&b'\n');
            at = next_line(text, end);
            if at >= text.len() || self.line(at, lone_lf, lines).is_some() {
                return at;
            }
        }
    }
}

impl Iterator for Stretches {
    type Item = (Line, Bytes);

    fn next(&mut self) -> Option<(Line, Bytes)> {
        let start = next_line(&self.text, self.at);
        if start >= self.text.len() {
            return None;
        }
        match self.line(start, false, None).unwrap_or(Line::Message) {
            Line::Message => {
                self.at = self.behind(start);
                let length = content(&self.text[start..self.at]);
                Some((Line::Message, self.sent(start..start + length)))
            }
            line => {
                self.at = start + until_line_end(&self.text[start..]);
                if matches!(line, Line::FileHeader | Line::BatchHeader) {
                    self.envelope = self.text.get(start + 3).copied();
                }
                Some((line, self.text.slice(start..self.at)))
            }
        }
    }
}

/// The first byte from `at` on that is no blank, line end, frame byte or byte order mark.
fn next_line(text: &[u8], mut at: usize) -> usize {
    loop {
        match text.get(at) {
            Some(byte) if *byte <= b' ' => at += 1,
            Some(_) if text[at..].starts_with(BYTE_ORDER_MARK) => at += BYTE_ORDER_MARK.len(),
            Some(_) | None => return at,
        }
    }
}

fn until_line_end(bytes: &[u8]) -> usize {
    memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len())
}

/// The length of a message without what leads the next one: blank lines behind its last line do not belong to it, nor
/// does the end of its frame. Its last line does, with its blanks and its line end.
fn content(message: &[u8]) -> usize {
    let mut rest = message;
    loop {
        match rest {
            [before @ .., last] if *last <= b' ' => rest = before,
            _ => match rest.strip_suffix(BYTE_ORDER_MARK) {
                Some(before) => rest = before,
                None => break,
            },
        }
    }
    let line = rest.len() + until_line_end(&message[rest.len()..]);
    let framing = message[..line].iter().rev().take_while(|&&byte| byte == FS).count();
    match &message[line..] {
        _ if framing > 0 => line - framing,
        [b'\r', b'\n', ..] => line + 2,
        behind => line + behind.len().min(1),
    }
}

/// A batch with its envelope.
#[derive(Debug, Clone)]
pub struct Batch {
    stretches: Vec<(Line, Bytes)>,
    /// How it came as UTF-16.
    utf16: Option<Utf16>,
}

/// Findings of one envelope that are told one by one.
pub(super) const FINDINGS_MAX: usize = 20;

impl Batch {
    /// Reads the envelope; `None` when the bytes do not begin with FHS or BHS. One pass.
    pub fn read(bytes: Bytes) -> Option<Batch> {
        let utf16 = Utf16::of(&bytes);
        let mut stretches = Stretches::of(bytes).peekable();
        stretches.peek().filter(|(line, _)| matches!(line, Line::FileHeader | Line::BatchHeader))?;
        Some(Batch { stretches: stretches.collect(), utf16 })
    }

    /// The messages, in order, as [`split_batch`] gives them.
    pub fn messages(&self) -> impl Iterator<Item = Bytes> {
        self.stretches.iter().filter(|(line, _)| *line == Line::Message).map(|(_, message)| message.clone())
    }

    /// Where the envelope is not whole, or the counts of BTS-1 and FTS-1 are not what came; never content. Past
    /// twenty the last one tells how many more there are.
    pub fn findings(&self) -> Vec<String> {
        let (mut findings, mut more) = (Vec::new(), 0_usize);
        self.walk(|line| {
            if let Answer::BatchEnd(_, Some(finding)) | Answer::FileEnd(_, Some(finding)) = line {
                if findings.len() < FINDINGS_MAX { findings.push(finding) } else { more += 1 }
            }
        });
        if more > 0 {
            findings.push(format!("and {more} more of the kind"));
        }
        findings
    }

    /// The answer to the batch: its own envelope around the answers to its messages, which are given in order, each as
    /// the segments it is answered with (none when its sender asks for none); an answer behind those is to a batch without
    /// a message. What is found wrong with the counts stands in BTS-2 and FTS-2. To UTF-16 all of it is UTF-16, or UTF-8
    /// when it would hold the end of an MLLP frame, whatever an answer to a part that cannot be read is in. `now_micros` gives the time for each
    /// header of the envelope, each another, in microseconds since 1970 UTC.
    pub fn acknowledge(&self, answers: &[Bytes], mut now_micros: impl FnMut() -> i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(answers.iter().map(Bytes::len).sum::<usize>() + 512);
        let (mut separator, mut answers) = (b'|', answers.iter());
        let put = |out: &mut Vec<u8>, answer: &Bytes| match self.utf16.and_then(|_| utf16_to_utf8(answer)) {
            Some((text, _)) => out.extend_from_slice(text.as_bytes()),
            None => out.extend_from_slice(answer),
        };
        let none = !self.stretches.iter().any(|(line, _)| *line == Line::Message);
        self.walk(|line| {
            let part = match line {
                Answer::Header(name, header) => {
                    let (part, declared) = envelope_header(name, header, now_micros());
                    separator = declared;
                    part
                }
                Answer::Message => return answers.next().map_or((), |answer| put(&mut out, answer)),
                Answer::BatchEnd(count, finding) => envelope_trailer("BTS", count, finding, separator),
                Answer::FileEnd(count, finding) => envelope_trailer("FTS", count, finding, separator),
            };
            if none && !part.starts_with(b"FHS") && !part.starts_with(b"BHS") {
                answers.by_ref().for_each(|answer| put(&mut out, answer));
            }
            out.extend_from_slice(&part);
        });
        self.utf16.and_then(|utf16| utf16.framable(&out)).unwrap_or(out)
    }

    /// Goes through the batch line by line. Every header and trailer may be left out (HL7 v2 chapter 2.10.3): messages
    /// without BHS are a batch, too. A trailer whose header came is added.
    fn walk(&self, mut take: impl FnMut(Answer<'_>)) {
        let (mut batch, mut batches, mut in_file) = (None::<Open>, 0_usize, false);
        for (line, text) in &self.stretches {
            let ends = matches!(line, Line::BatchHeader | Line::FileHeader | Line::FileTrailer);
            if let Some(open) = batch.take_if(|_| ends) {
                open.end(&mut take);
            }
            let open = || Open { messages: 0, headed: *line == Line::BatchHeader };
            match line {
                Line::FileHeader => {
                    if std::mem::replace(&mut in_file, true) {
                        take(Answer::FileEnd(batches, Some(NO_FTS.to_owned())));
                    }
                    batches = 0;
                    take(Answer::Header("FHS", text));
                }
                Line::BatchHeader => {
                    batches += 1;
                    batch = Some(open());
                    take(Answer::Header("BHS", text));
                }
                Line::Message => {
                    batches += usize::from(batch.is_none());
                    batch.get_or_insert_with(open).messages += 1;
                    take(Answer::Message);
                }
                Line::BatchTrailer => {
                    batches += usize::from(batch.is_none());
                    let messages = batch.take().map_or(0, |open| open.messages);
                    take(Answer::BatchEnd(messages, miscounted("BTS-1", "messages", text, messages)));
                }
                Line::FileTrailer => {
                    take(Answer::FileEnd(batches, miscounted("FTS-1", "batches", text, batches)));
                    (in_file, batches) = (false, 0);
                }
            }
        }
        if let Some(open) = batch {
            open.end(&mut take);
        }
        if in_file {
            take(Answer::FileEnd(batches, Some(NO_FTS.to_owned())));
        }
    }
}

const NO_FTS: &str = "the file has no FTS";

/// A batch whose end is still to come.
struct Open {
    messages: usize,
    /// It began with BHS, not with a message.
    headed: bool,
}

impl Open {
    /// Without a BTS.
    fn end(self, take: &mut impl FnMut(Answer<'_>)) {
        if self.headed {
            take(Answer::BatchEnd(self.messages, Some("the batch has no BTS".to_owned())));
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
        check("MSH|a\rBTS\x1c\r", &["MSH|a\r"]);
        // Blanks at the end of the last line are the sender's; a mark behind them is not.
        check("MSH|a\rPID|x  \rMSH|b ", &["MSH|a\rPID|x  \r", "MSH|b "]);
        check("MSH|a \x1c\r\n\u{feff}\x0bMSH|b\n\u{feff} MSH|c\r", &["MSH|a ", "MSH|b\n", "MSH|c\r"]);
    }

    #[test]
    fn words_of_a_text_end_no_message() {
        let whole = |message: &'static str| check(message, &[message]);
        whole("MSH|^~\\&|A\rOBX|1|TX|||as per\nBTS guidelines\rOBX|2\r");
        whole("MSH|^~\\&|A\nOBX|1|TX|||as per\nBTS guidelines\nOBX|2\n");
        whole("MSH|^~\\&|A\rOBX|1|TX|||proteins:\nMLH1 retained\nMSH-2 lost\nMSH-6 lost\rOBX|2\r");
        whole("MSH|^~\\&|A\rNTE|1||\nBTS\nFTS^1\nBHS: x\nMSH\rOBX|2\r");
        whole("MSH|^~\\&|A\rPID|1\rMSHX\r");
        whole("MSH$%*!@$A\rOBX$1$TX$$$\nBTS|1\nMSH|2\r");
        check(
            "BHS|^~\\&\rMSH|^~\\&|A\rOBX|1|TX|||as per\nBTS guidelines\rOBX|2\rBTS|1\r",
            &["MSH|^~\\&|A\rOBX|1|TX|||as per\nBTS guidelines\rOBX|2\r"],
        );
        // Each message and the batch around it may have delimiters of its own.
        check("BHS|^~\\&\rMSH#^~\\&#a\rMSH$^~\\&$b\nPID$1\nBTS|2\n", &["MSH#^~\\&#a\r", "MSH$^~\\&$b\nPID$1\n"]);
        // One message on a line of its own, in a file of such lines.
        check("MSH|a\rPID|1\nMSH|b\rPID|2\n", &["MSH|a\rPID|1\n", "MSH|b\rPID|2\n"]);
    }

    #[test]
    fn what_no_message_leads_is_handed_over() {
        check("no messages\rat all", &["no messages\rat all"]);
        check("a note\nPID|1\nMSH|a\n", &["a note\nPID|1\n", "MSH|a\n"]);
        check("BHS|^\rMS|a\rMSH|b\rBTS|1\rPID|2\rFTS|1\r", &["MS|a\r", "MSH|b\r", "PID|2\r"]);
        // Bytes of a byte order mark that are none.
        let bytes = Bytes::from_static(b"MSH|a\rNTE|1||\xAB\r\xBB\xBB\r\n\xEF\xBB\xBF\r");
        assert_eq!(split_batch(bytes).collect::<Vec<_>>(), [&b"MSH|a\rNTE|1||\xAB\r\xBB\xBB\r\n"[..]]);
    }

    #[test]
    fn utf16_is_split_as_it_was_sent() {
        let text = "FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|A\rPID|1||😀 Siân\r\rMSH|^~\\&|B\rBTS|2\rFTS|1\r";
        let (first, second) = ("MSH|^~\\&|A\rPID|1||😀 Siân\r", "MSH|^~\\&|B\r");
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide = |text: &str| Bytes::from(text.encode_utf16().flat_map(order).collect::<Vec<u8>>());
            for mark in ["", "\u{feff}"] {
                let batch = Batch::read(wide(&format!("{mark}{text}"))).unwrap();
                assert_eq!(batch.messages().collect::<Vec<_>>(), [wide(first), wide(second)]);
                assert_eq!(batch.findings(), [] as [String; 0]);
                assert!(batch.acknowledge(&[], || 0).ends_with(&wide("BTS|2\rFTS|1\r")));
            }
            // Half a character at the end stays, also behind half a pair.
            for half in [vec![b'M'], [&order(0xD83D)[..], b"M"].concat()] {
                let cut = [&wide(second)[..], &half].concat();
                assert_eq!(split_batch(cut.clone().into()).collect::<Vec<_>>(), [cut]);
            }
        }
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
        let many = Batch::read(Bytes::from("BHS|^~\\&\r".repeat(5000))).unwrap().findings();
        assert_eq!((many.len(), many[FINDINGS_MAX].as_str()), (FINDINGS_MAX + 1, "and 4980 more of the kind"));
        assert_eq!(
            findings("FHS|^~\\&\rBHS|^~\\&\rMSH|a\rBHS|^~\\&\rMSH|b\rBTS|1\rFTS|1\rPID|1\r"),
            "the batch has no BTS; FTS-1 tells of 1 batches and 2 came"
        );
        // What no MSH leads is not lost.
        let strays = read("BHS|^~\\&\rMS|a\rPID|1\rMSH|b\r\rBTS|1\rPID|2\r");
        assert_eq!(strays.messages().collect::<Vec<_>>(), ["MS|a\rPID|1\r", "MSH|b\r", "PID|2\r"]);
        assert_eq!(strays.findings(), ["BTS-1 tells of 1 messages and 2 came"]);
        assert_eq!(findings("BHS|^~\\&\rBTS|99999999999999999999\r"), "BTS-1 tells of too many messages and 0 came");
        // Headers and trailers may be left out, and then the others count all the same.
        assert_eq!(findings("FHS|^~\\&\rMSH|a\rMSH|b\rFTS|1\r"), "");
        assert_eq!(findings("FHS|^~\\&\rMSH|a\rMSH|b\rBTS|2\rMSH|c\rBTS|1\rFTS|2\r"), "");
        assert_eq!(findings("BHS|^~\\&\rMSH|a\rBTS|1\rFTS|1\r"), "");
        assert_eq!(
            findings("FHS|^~\\&\rMSH|a\rBTS|5\rFTS|3\r"),
            "BTS-1 tells of 5 messages and 1 came; FTS-1 tells of 3 batches and 1 came"
        );
        assert_eq!(findings("FHS|^~\\&\rMSH|a\rFHS|^~\\&\rFTS|0\r"), "the file has no FTS");
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

    #[test]
    fn the_answer_to_utf16_is_utf16_throughout_and_keeps_its_frame_whole() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        // What no MSH leads is answered in ASCII.
        let batch = Batch::read(wide("BHS|^~\\&|L\rMS|x\rMSH|^~\\&|b\rBTS|2\r").into()).unwrap();
        let answers = [Bytes::from_static(b"MSH|1\rMSA|AE\r"), wide("MSH|2\rMSA|AA\r").into()];
        let answer = batch.acknowledge(&answers, || 0);
        let whole = "BHS|^~\\&|FAIRWAY|FAIRWAY|L||19700101000000+0000||||FW-19700101000000000000|\r\
                     MSH|1\rMSA|AE\rMSH|2\rMSA|AA\rBTS|2\r";
        assert_eq!(answer, wide(whole));
        // The last letter of the control id and the CR behind it would be FS CR.
        let batch = Batch::read(wide("BHS|^~\\&|L||||||||X\u{1c00}|\rMSH|^~\\&|b\rBTS|1\r").into()).unwrap();
        let answer = batch.acknowledge(&answers[1..], || 0);
        let whole = "BHS|^~\\&|FAIRWAY|FAIRWAY|L||19700101000000+0000||||FW-19700101000000000000|X\u{1c00}\r\
                     MSH|2\rMSA|AA\rBTS|1\r";
        assert_eq!(String::from_utf8(answer).unwrap(), whole);
    }
}
