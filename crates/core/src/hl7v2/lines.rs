//! What a line begins: the one rule by which messages are read and batches are split.
//!
//! A line counts for what it is by the delimiters that the header before it declares, so that words of a text
//! (`MSH-2 lost`, `BTS guidelines`, `NAD`) stay text. It looks at one line at a time and never at what a segment says.

use super::names;
use super::separators::Separators;

/// What a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Segment([u8; 3]),
    /// Nothing: it goes on with the field before it, whose text has a line end in it.
    Text,
    Unknown,
}

/// The lines behind a header, read one by one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    /// Ends a segment's name and its fields.
    field: u8,
    /// The header ends in CR or CR LF, so that a lone LF behind it may be part of a text.
    end_in_cr: bool,
    /// There is a field that a line may go on with; after a bare name there is none.
    in_field: bool,
    /// And it is one of free text.
    in_text: bool,
}

impl Lines {
    /// Lines behind a header with this field separator that does, or does not, end in CR or CR LF.
    pub(super) fn behind(field: u8, end_in_cr: bool) -> Self {
        Self { field, end_in_cr, in_field: true, in_text: false }
    }

    /// The same with another field separator.
    pub(super) fn separated_by(self, field: u8) -> Self {
        Self { field, ..self }
    }

    /// What the next line begins, and passes it. `lone_lf`: the line end before it is LF without CR.
    pub(super) fn pass(&mut self, line: &[u8], lone_lf: bool) -> Begun {
        match self.segment(line, lone_lf) {
            Some(name) => {
                self.in_field = line.get(3) == Some(&self.field);
                self.in_text = self.in_field && matches!(&name, b"OBX" | b"NTE");
                Begun::Segment(name)
            }
            None if self.goes_on(line, lone_lf) => Begun::Text,
            None => {
                (self.in_field, self.in_text) = (true, false);
                Begun::Unknown
            }
        }
    }

    /// Whether a line that is no segment goes on with the field before it: the field is one of free text, or the line end
    /// before it ends no segment of this message.
    fn goes_on(&self, line: &[u8], lone_lf: bool) -> bool {
        let typed = lone_lf && self.end_in_cr;
        // Control characters are no text, and a name in small letters is a segment gone wrong.
        let text = match line {
            [a, b, c, d, ..] if *d == self.field && !(self.in_text && typed) => {
                *a > b' ' && ![a, b, c].into_iter().all(u8::is_ascii_alphanumeric)
            }
            [first, ..] => *first > b' ',
            [] => false,
        };
        text && self.in_field && (self.in_text || typed)
    }

    /// The segment that `line` begins; `None` when it is none. A segment's name is an upper-case letter and two letters
    /// or digits, then a field or the line's end. Where a text may go on, only a name that is known counts, and inside
    /// free text behind a line end that was typed, only one with fields.
    pub(super) fn segment(&self, line: &[u8], lone_lf: bool) -> Option<[u8; 3]> {
        let (name, rest) = line.split_first_chunk::<3>()?;
        let inner = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if !name[0].is_ascii_uppercase() || !name.iter().all(inner) {
            return None;
        }
        let typed = lone_lf && self.end_in_cr;
        let known = || name[0] == b'Z' || names::is_segment(name);
        let begins = match rest.iter().find(|&&b| b != b' ' && b != b'\t') {
            None | Some(b'\r' | b'\n') => match (self.in_text, typed) {
                (true, true) => false,
                (false, false) => true,
                (true, false) | (false, true) => known(),
            },
            Some(_) if rest[0] == self.field => !(self.in_text && typed) || known(),
            // Another message, with delimiters of its own.
            Some(_) => {
                matches!(name, b"MSH" | b"FHS" | b"BHS") && Separators::of_header(line).is_ok_and(|found| found.2)
            }
        };
        begins.then_some(*name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CR: Lines = Lines { field: b'|', end_in_cr: true, in_field: true, in_text: false };

    fn check(lines: Lines, lone_lf: bool, line: &str, expected: bool) {
        let found = lines.segment(line.as_bytes(), lone_lf);
        assert_eq!(found.is_some(), expected, "{line:?} {lines:?} {lone_lf}");
    }

    #[test]
    fn names_with_the_declared_separator_begin_a_segment() {
        for line in ["PID|1", "ZTM|", "QQQ|1", "EVN", "EVN \t\r", "MSH|PAS", "BTS|1", "BTS\n", "MSH#^~\\&#A"] {
            check(CR, false, line, true);
        }
        for line in
            ["", "PI", "pid|1", "PID-3", "1ID|", "BTS guidelines", "MSH-2 lost", "MSH: normal", "MSH#^#A", "BTS^1"]
        {
            check(CR, false, line, false);
            check(CR, true, line, false);
        }
    }

    #[test]
    fn text_goes_on_where_it_may() {
        let text = Lines { in_text: true, ..CR };
        // Behind a line end of the message's own, a bare name must be known.
        for (line, expected) in [("NAD", false), ("ACC", true), ("ZZZ", true), ("ABC|three", true), ("OBX|2", true)] {
            check(text, false, line, expected);
        }
        // Behind one that was typed, a bare name is a word.
        for (line, expected) in
            [("NAD", false), ("PID\r", false), ("BTS", false), ("ABC|three", false), ("OBX|2", true)]
        {
            check(text, true, line, expected);
        }
        for (line, expected) in [("USA", false), ("EVN", true), ("ABC|three", true)] {
            check(CR, true, line, expected);
        }
        check(Lines { end_in_cr: false, ..text }, true, "ACC", true);
    }
}
