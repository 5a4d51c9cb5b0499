//! Splits a file or a frame of several messages into messages.
//!
//! A batch is what stands between its MSH lines, with FHS, BHS, BTS and FTS around them or
//! not. It splits and nothing more: it never reads a message and never counts against BTS-1.

use bytes::Bytes;

use super::mllp::FS;

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

#[cfg(test)]
mod tests {
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
}
