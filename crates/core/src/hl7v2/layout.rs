//! Lays out formatted text (FT, TX) as plain text or as HTML.
//!
//! It gives line ends, indents, centring, no-wrap and highlighting, and everything else as text: in HTML every character
//! that could be markup is escaped, so nothing of the sender's is ever a tag, an attribute or an entity.

use super::escape::{Command, LAYOUT_MAX};

/// Most blanks and blank lines that one value can ask for by commands; later ones count as one line end or as nothing. So
/// a value cannot grow a hundredfold.
const LAYOUT_TOTAL_MAX: usize = 100_000;

const CENTRED: [&str; 2] = ["<div style=\"text-align:center\">", "</div>"];
const NO_WRAP: [&str; 2] = ["<span style=\"white-space:pre\">", "</span>"];
const HIGHLIGHTED: [&str; 2] = ["<b>", "</b>"];

/// A page being written, top to bottom.
pub(super) struct Layout {
    out: String,
    html: bool,
    /// Left margin in blanks, and what one line has instead.
    margin: usize,
    indent: Option<usize>,
    highlighted: bool,
    wrapped: bool,
    /// The line at hand is to be centred.
    centred: bool,
    line: Option<Line>,
    budget: usize,
}

/// A line that has text, and the tags open in it, in this order.
#[derive(Clone, Copy)]
struct Line {
    centred: bool,
    unwrapped: bool,
    highlighted: bool,
    /// The last character was a blank, so that HTML would swallow another.
    blank: bool,
}

impl Layout {
    pub(super) fn new(html: bool) -> Self {
        Self {
            out: String::new(),
            html,
            margin: 0,
            indent: None,
            highlighted: false,
            wrapped: true,
            centred: false,
            line: None,
            budget: LAYOUT_TOTAL_MAX,
        }
    }

    /// Text; line ends in it count as such.
    pub(super) fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = memchr::memchr2(b'\r', b'\n', rest.as_bytes()) {
            self.put(&rest[..at]);
            self.end_line();
            rest = &rest[at..];
            rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
        }
        self.put(rest);
    }

    /// A formatting command.
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Break(count) => {
                let more = self.spend(count.saturating_sub(1));
                (0..=more).for_each(|_| self.end_line());
            }
            Command::Centre => {
                if self.line.is_some() {
                    self.end_line();
                }
                self.centred = true;
            }
            Command::Margin(n) => {
                self.margin = usize::try_from(n).unwrap_or(0).min(LAYOUT_MAX);
                // Behind the first character of a line it has no meaning in the standard; words stay apart.
                self.blanks_within(self.margin);
            }
            Command::Indent(n) => {
                let blanks = self.margin.saturating_add_signed(n as isize).min(LAYOUT_MAX);
                match self.line {
                    None => self.indent = Some(blanks),
                    Some(_) => self.blanks_within(usize::try_from(n).unwrap_or(0).min(LAYOUT_MAX)),
                }
            }
            Command::Skip(count) => {
                let count = self.spend(count);
                self.put(&" ".repeat(count));
            }
            Command::Wrap(wrapped) => self.wrapped = wrapped,
            Command::Highlight(on) => self.highlighted = on,
        }
    }

    /// The page.
    pub(super) fn finish(mut self) -> String {
        self.close();
        self.out
    }

    fn spend(&mut self, count: usize) -> usize {
        let count = count.min(self.budget);
        self.budget -= count;
        count
    }

    fn blanks_within(&mut self, count: usize) {
        if self.line.is_some() {
            let count = self.spend(count);
            self.put(&" ".repeat(count));
        }
    }

    /// Text of one line.
    fn put(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut line = match self.line {
            Some(line) => line,
            None => self.open(),
        };
        if self.html && line.highlighted != self.highlighted {
            self.out.push_str(HIGHLIGHTED[usize::from(line.highlighted)]);
            line.highlighted = self.highlighted;
        }
        match self.html {
            true => self.escaped(text, &mut line),
            false => self.out.push_str(text),
        }
        self.line = Some(line);
    }

    fn open(&mut self) -> Line {
        let blanks = self.indent.take().unwrap_or(self.margin);
        let blanks = self.spend(blanks);
        let mut line = Line { centred: self.centred, unwrapped: !self.wrapped, highlighted: false, blank: true };
        if !self.html {
            self.out.extend(std::iter::repeat_n(' ', blanks));
            return line;
        }
        if line.centred {
            self.out.push_str(CENTRED[0]);
        }
        if line.unwrapped {
            self.out.push_str(NO_WRAP[0]);
        }
        self.escaped(&" ".repeat(blanks), &mut line);
        line
    }

    fn escaped(&mut self, text: &str, line: &mut Line) {
        for c in text.chars() {
            let blank = std::mem::replace(&mut line.blank, matches!(c, ' ' | '\t'));
            match c {
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '&' => self.out.push_str("&amp;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                ' ' if blank && !line.unwrapped => self.out.push_str("&#160;"),
                '\t' if !line.unwrapped => self.out.push_str("&#160;&#160;&#160; "),
                '\t' => self.out.push('\t'),
                // No document may hold these; the message keeps them.
                c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {
                    self.out.push(char::REPLACEMENT_CHARACTER);
                }
                c => self.out.push(c),
            }
        }
    }

    /// Closes the tags of the line; whether one of them ends the line by itself.
    fn close(&mut self) -> bool {
        let Some(line) = self.line.take().filter(|_| self.html) else {
            return false;
        };
        let tags = [(line.highlighted, HIGHLIGHTED), (line.unwrapped, NO_WRAP), (line.centred, CENTRED)];
        tags.iter().filter(|(open, _)| *open).for_each(|(_, tag)| self.out.push_str(tag[1]));
        line.centred
    }

    fn end_line(&mut self) {
        let ended = self.close();
        self.centred = false;
        self.indent = None;
        match (self.html, ended) {
            (false, _) => self.out.push('\n'),
            (true, false) => self.out.push_str("<br/>"),
            (true, true) => {}
        }
    }
}
