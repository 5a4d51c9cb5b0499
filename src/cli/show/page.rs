//! Lines of a terminal: columns, wrapping and colour.
//!
//! Nothing of a message reaches the terminal as a control character.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Narrower pages put the value under its name.
const NARROW: usize = 64;
/// Columns of a name at least and at most.
const NAME_COLUMNS: (usize, usize) = (22, 44);
/// Columns before a value under its name.
const INDENT: usize = 4;

/// How a text stands out.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Plain,
    Bold,
    Dim,
    Heading,
    Null,
    Meaning,
    Finding,
}

/// Where lines go.
pub(super) struct Page<'o, W> {
    pub(super) out: &'o mut W,
    /// Columns.
    pub(super) width: usize,
    pub(super) colour: bool,
    /// Long values are shown whole.
    pub(super) full: bool,
}

/// One line of the tree.
pub(super) struct Row<'r> {
    /// There is a finding at this place.
    pub(super) marked: bool,
    pub(super) label: &'r str,
    pub(super) label_columns: usize,
    pub(super) depth: usize,
    pub(super) name: &'r str,
    /// Parts follow: of the value only a glimpse is shown.
    pub(super) heading: bool,
    pub(super) value: &'r str,
    pub(super) ink: Ink,
    /// What is said of the value, behind it.
    pub(super) note: &'r str,
}

impl<W: Write> Page<'_, W> {
    pub(super) fn line(&mut self, text: &str, ink: Ink) -> io::Result<()> {
        writeln!(self.out, "{}", self.paint(&shown(text), ink))
    }

    /// A title in a line across the page.
    pub(super) fn rule(&mut self, title: &str) -> io::Result<()> {
        let title = glimpse(title, self.width.saturating_sub(4));
        let rest = self.width.saturating_sub(4 + title.width());
        self.line(&format!("── {title} {}", "─".repeat(rest)), Ink::Dim)
    }

    /// The heading of a segment; what is told behind it is left out where it does not fit.
    pub(super) fn heading(&mut self, label: &str, marked: bool, name: &str, behind: &str) -> io::Result<()> {
        let room = self.width.saturating_sub(label.width() + 5);
        let name = cut(name, room);
        let behind = if name.width() + 2 + behind.width() > room { "" } else { behind };
        let texts = [(label, Ink::Heading), (&name, Ink::Bold), (behind, Ink::Dim)];
        let texts = texts.into_iter().filter(|(text, _)| !text.is_empty()).map(|(text, ink)| self.paint(text, ink));
        let mut texts: Vec<String> = texts.collect();
        if marked {
            texts.insert(1, self.paint("!", Ink::Finding));
        }
        writeln!(self.out, "{}", texts.join("  "))
    }

    /// A paragraph, its lines behind `before` blanks.
    pub(super) fn paragraph(&mut self, text: &str, before: usize, ink: Ink) -> io::Result<()> {
        for line in wrap(text, self.width.saturating_sub(before)) {
            writeln!(self.out, "{:before$}{}", "", self.paint(&line, ink))?;
        }
        Ok(())
    }

    pub(super) fn paint(&self, text: &str, ink: Ink) -> String {
        let code = match ink {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Ink::Plain => return text.to_owned(),
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Heading => "1;36",
            Ink::Null => "35",
            Ink::Meaning => "32",
            Ink::Finding => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A line of the tree: place, name and value beside each other, or on a narrow page the value below.
    pub(super) fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let narrow = self.width < NARROW;
        let label = pad(row.label, if narrow { 0 } else { row.label_columns });
        let before = label.width() + 3;
        let name_columns = match narrow {
            true => self.width.saturating_sub(before),
            false => (self.width * 2 / 5).saturating_sub(before / 2).clamp(NAME_COLUMNS.0, NAME_COLUMNS.1),
        };
        let name = cut(&format!("{:1$}{2}", "", row.depth * 2, row.name), name_columns);
        let indent = if narrow { INDENT } else { before + name_columns + 1 };
        let columns = self.width.saturating_sub(indent);
        let lines = match row.heading {
            true => vec![glimpse(row.value, columns.saturating_sub(row.note.width() + 2))],
            false => wrap(row.value, columns),
        };
        let note_ink = if row.heading { Ink::Dim } else { Ink::Meaning };
        let room = columns.saturating_sub(lines.last().map_or(0, |line| line.width()));
        let mut lines: Vec<String> = lines.iter().map(|line| self.paint(line, row.ink)).collect();
        match lines.last_mut() {
            Some(line) if !row.note.is_empty() && row.note.width() + 2 <= room => {
                line.push_str(&format!("  {}", self.paint(row.note, note_ink)));
            }
            _ => lines.extend(wrap(row.note, columns).iter().map(|line| self.paint(line, note_ink))),
        }
        let mark = if row.marked { self.paint("!", Ink::Finding) } else { " ".to_owned() };
        write!(self.out, "{mark} {} {name}", self.paint(&label, Ink::Dim))?;
        let mut lines = lines.into_iter();
        if !narrow && let Some(first) = lines.next() {
            write!(self.out, "{:1$}{first}", "", name_columns + 1 - name.width().min(name_columns))?;
        }
        writeln!(self.out)?;
        lines.try_for_each(|line| match line.is_empty() {
            true => writeln!(self.out),
            false => writeln!(self.out, "{:indent$}{line}", ""),
        })
    }
}

/// The text in lines of at most so many columns, broken at blanks where there are any.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    for line in text.lines() {
        let line: String = line.chars().map(visible).collect();
        let mut rest = line.as_str();
        loop {
            let end = fitting(rest, columns);
            if end == rest.len() {
                break;
            }
            let (head, behind) = match rest[..end].rfind(' ') {
                _ if rest[end..].starts_with(' ') => (end, end + 1),
                Some(blank) if blank > 0 => (blank, blank + 1),
                _ => (end, end),
            };
            lines.push(rest[..head].to_owned());
            rest = &rest[behind..];
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// Where the first so many columns end, in bytes; behind one character at least.
fn fitting(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > columns && at > 0 {
            return at;
        }
    }
    text.len()
}

/// The start of a text on one line.
fn glimpse(text: &str, columns: usize) -> String {
    cut(&text.chars().take(columns + 1).map(visible).collect::<String>(), columns)
}

fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    format!("{}…", text[..fitting(text, columns.saturating_sub(1))].trim_end())
}

fn pad(text: &str, columns: usize) -> String {
    format!("{text}{:1$}", "", columns.saturating_sub(text.width()))
}

/// A text as the terminal may have it.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// A character as the terminal may have it: control characters and those that turn the direction of text around have a
/// picture instead.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        '\0'..'\x20' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('�'),
        '\x7f' => '␡',
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '�',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one two three", 7 + 1), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("", 8), [] as [String; 0]);
        assert_eq!(wrap("日本語日本語", 8), ["日本語日", "本語"]);
        assert_eq!(wrap(" 12345678", 8), [" 1234567", "8"]);
    }

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(wrap("a\x1b[31mb\u{9b}c\u{202e}\x7f", 40), ["a␛[31mb�c�␡"]);
    }
}
