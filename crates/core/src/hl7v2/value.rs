//! A field, repetition, component or subcomponent: a slice and the level it is at.
//!
//! Splits on demand, one level at a time, and decodes when asked. It never decides what a
//! value means: empty ("no news") and null ("delete") are told apart and left to the mapping.

use std::borrow::Cow;
use std::fmt;

use super::charset::Charset;
use super::escape::{Command, Piece, first_unknown, has_mark, pieces};
use super::layout::Layout;
use super::location::Location;
use super::message::Message;
use super::segment::{Segment, SegmentName};
use super::separators::Separators;
use super::switch::CodeSet;

/// How deep a [`Value`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A whole field, with all its repetitions.
    Field,
    /// One repetition of a field.
    Repetition,
    /// One component.
    Component,
    /// One subcomponent.
    Subcomponent,
}

/// A piece of a message at one [`Level`]. Copies freely (32 bytes); lives as long as the message.
#[derive(Clone, Copy)]
pub struct Value<'m> {
    message: &'m Message,
    start: u32,
    end: u32,
    segment: u32,
    repetition: u32,
    field: u16,
    component: u16,
    subcomponent: u16,
    level: Level,
    /// `MSH-1` and `MSH-2` are delimiters themselves and are never split.
    whole: bool,
}

impl<'m> Value<'m> {
    pub(super) fn new(
        message: &'m Message,
        start: u32,
        end: u32,
        segment: u32,
        field: u16,
        level: Level,
        whole: bool,
    ) -> Self {
        let (repetition, component, subcomponent) = (0, 0, 0);
        Self { message, start, end, segment, repetition, field, component, subcomponent, level, whole }
    }

    /// The bytes as received.
    pub fn raw(&self) -> &'m [u8] {
        &self.message.bytes()[self.start as usize..self.end as usize]
    }

    /// How deep this value is.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Nothing is there: no news.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Exactly `""`: delete what is known (HL7 v2 chapter 2.5.3).
    pub fn is_null(&self) -> bool {
        self.raw() == b"\"\""
    }

    /// There is a character that is no delimiter and no blank, and not only nulls: `^^^`, `~ ` and
    /// `""^` are not valued.
    pub fn is_valued(&self) -> bool {
        let raw = self.raw();
        let separators = self.separators();
        let delimits = |&byte: &u8| !self.whole && separates(&separators, self.level, byte);
        match raw.first() {
            None => false,
            Some(first) if *first != b'"' && *first > b' ' && !delimits(first) => true,
            Some(_) => raw.split(delimits).map(<[u8]>::trim_ascii).any(|piece| !piece.is_empty() && piece != b"\"\""),
        }
    }

    /// Its repetitions; a repetition, component or subcomponent is its own one repetition. Nothing
    /// when empty. Every step is linear in the repetition's length.
    pub fn repetitions(&self) -> impl Iterator<Item = Value<'m>> + Clone + use<'m> {
        self.split(Level::Repetition)
    }

    /// Its components, of the first repetition when this is a field; a component or subcomponent is
    /// its own one component. Nothing when empty.
    pub fn components(&self) -> impl Iterator<Item = Value<'m>> + Clone + use<'m> {
        self.first_at(Level::Repetition).split(Level::Component)
    }

    /// Its subcomponents, of the first component when this is higher. Nothing when empty.
    pub fn subcomponents(&self) -> impl Iterator<Item = Value<'m>> + Clone + use<'m> {
        self.first_at(Level::Component).split(Level::Subcomponent)
    }

    /// Repetition `n`, from 1; empty when it is not there.
    pub fn repetition(&self, n: usize) -> Value<'m> {
        self.nth_at(Level::Repetition, n)
    }

    /// Component `n`, from 1, of the first repetition when this is a field; empty when it is not
    /// there.
    pub fn component(&self, n: usize) -> Value<'m> {
        self.first_at(Level::Repetition).nth_at(Level::Component, n)
    }

    /// Subcomponent `n`, from 1, of the first component when this is higher; empty when it is not
    /// there.
    pub fn subcomponent(&self, n: usize) -> Value<'m> {
        self.first_at(Level::Component).nth_at(Level::Subcomponent, n)
    }

    /// The whole slice as text: character set decoded, escape sequences resolved, delimiters of
    /// lower levels as typed (`A&E` survives). Empty for null. Borrows when nothing had to change.
    pub fn text(&self) -> Cow<'m, str> {
        if !self.has_escapes() {
            return self.unescaped();
        }
        let mut text = String::new();
        self.read(Commands::Plain, |part| match part {
            Part::Text(part) if text.is_empty() => text = part,
            Part::Text(part) => text.push_str(&part),
            Part::Command(_) => {}
        });
        Cow::Owned(text)
    }

    /// [`text`](Self::text) without white space at both ends.
    pub fn trimmed(&self) -> Cow<'m, str> {
        match self.text() {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => {
                let trimmed = text.trim();
                if trimmed.len() == text.len() { Cow::Owned(text) } else { Cow::Owned(trimmed.to_owned()) }
            }
        }
    }

    /// Formatted text (FT, TX) as plain text: as [`text`](Self::text), with the sender's indents
    /// and every line end as one LF. A margin (`\.in n\`) holds for all lines behind it, an indent
    /// (`\.ti n\`) for one; centring, no-wrap and highlighting have no place in plain text.
    pub fn formatted(&self) -> Cow<'m, str> {
        if self.has_escapes() {
            return Cow::Owned(self.laid_out(false));
        }
        let text = self.unescaped();
        if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { text }
    }

    /// Formatted text (FT, TX) as a piece of HTML that can stand in a `<div>`: line ends as `<br/>`,
    /// highlighting as `<b>`, centred lines as `<div style="text-align:center">`, no-wrap as
    /// `<span style="white-space:pre">`, indents and blanks in a row as `&#160;`.
    ///
    /// Those are the only tags, each is closed, and everything else is escaped: no markup of the
    /// sender comes through. Pieces may be joined with `<br/>`; no state goes from one to the next.
    pub fn html(&self) -> String {
        self.laid_out(true)
    }

    fn laid_out(&self, html: bool) -> String {
        let mut layout = Layout::new(html);
        self.read(Commands::Given, |part| match part {
            Part::Text(text) => layout.text(&text),
            Part::Command(command) => layout.command(command),
        });
        layout.finish()
    }

    /// The first escape sequence that [`text`](Self::text) leaves as typed because it is none we know, as received; one
    /// byte for an escape character without partner.
    pub fn unknown_escape(&self) -> Option<&'m [u8]> {
        if self.whole { None } else { first_unknown(self.raw(), &self.separators(), self.message.switchable()) }
    }

    /// Where this value stands.
    pub fn location(&self) -> Location {
        let segment = Segment::new(self.message, self.segment as usize);
        Location {
            segment: segment.and_then(|segment| SegmentName::parse(segment.name())),
            occurrence: segment.map_or(0, |segment| segment.occurrence()),
            field: self.field,
            repetition: self.repetition,
            component: self.component,
            subcomponent: self.subcomponent,
        }
    }

    /// The segment this value stands in.
    pub fn segment(&self) -> Option<Segment<'m>> {
        Segment::new(self.message, self.segment as usize)
    }

    /// The number of the field it is in, or is.
    pub fn field(&self) -> u16 {
        self.field
    }

    fn has_escapes(&self) -> bool {
        !self.whole && has_mark(self.raw(), &self.separators())
    }

    /// The text of a value without escape sequences.
    fn unescaped(&self) -> Cow<'m, str> {
        if self.is_null() { Cow::Borrowed("") } else { self.message.charset().decode(self.raw()).0 }
    }

    /// Reads the text part by part. A set that an escape sequence switched to ends at the next
    /// delimiter (HL7 v2 chapter 2.7.2).
    fn read(&self, commands: Commands, mut sink: impl FnMut(Part)) {
        if !self.has_escapes() {
            return sink(Part::Text(self.unescaped().into_owned()));
        }
        let separators = self.separators();
        let charset = self.message.charset();
        let mut run = Vec::with_capacity(self.raw().len());
        let mut set = None;
        let end = |run: &mut Vec<u8>, set: Option<CodeSet>, sink: &mut dyn FnMut(Part)| {
            if !run.is_empty() {
                sink(Part::Text(decoded(std::mem::take(run), set, charset)));
            }
        };
        pieces(self.raw(), &separators, self.message.switchable(), |piece| match piece {
            Piece::Typed(typed) => {
                let delimiter = set.and_then(|_| typed.iter().position(|&b| separates(&separators, self.level, b)));
                let (before, behind) = typed.split_at(delimiter.unwrap_or(0));
                run.extend_from_slice(before);
                if delimiter.is_some() {
                    end(&mut run, set.take(), &mut sink);
                }
                run.extend_from_slice(behind);
            }
            Piece::Byte(byte) => run.push(byte),
            Piece::Command(command) => match commands {
                Commands::Plain => command.append_plain(&mut run),
                Commands::Given => {
                    end(&mut run, set, &mut sink);
                    sink(Part::Command(command));
                }
            },
            Piece::Switch(to) => {
                end(&mut run, set, &mut sink);
                set = Some(to);
            }
        });
        end(&mut run, set, &mut sink);
    }

    fn separators(&self) -> Separators {
        self.message.separators()
    }

    /// This value at `level`, if it is above it: its first piece. Empty values stay empty.
    fn first_at(&self, level: Level) -> Value<'m> {
        let mut value = *self;
        while value.level < level {
            value = value.nth_at(below(value.level), 1);
        }
        value
    }

    /// The `n`th piece at `level`, which is the next one below, or this value itself.
    fn nth_at(&self, level: Level, n: usize) -> Value<'m> {
        // One piece past the end tells where an absent piece would stand.
        match n.checked_sub(1).and_then(|skip| self.split(level).nth(skip)) {
            Some(value) => value,
            None => {
                let mut absent = *self;
                absent.start = absent.end;
                if absent.level < level {
                    absent.place(level, n);
                }
                absent
            }
        }
    }

    fn split(&self, level: Level) -> Pieces<'m> {
        let rest = match self.is_empty() {
            true => None,
            false => Some(*self),
        };
        let separator = match self.whole || self.level >= level {
            true => Separators::UNUSED,
            false => delimiter(&self.separators(), level),
        };
        Pieces { rest, level, separator, count: 0 }
    }

    /// Marks this value as the `n`th at `level`.
    fn place(&mut self, level: Level, n: usize) {
        let narrow = u16::try_from(n).unwrap_or(u16::MAX);
        match level {
            Level::Field => {}
            Level::Repetition => self.repetition = u32::try_from(n).unwrap_or(u32::MAX),
            Level::Component => self.component = narrow,
            Level::Subcomponent => self.subcomponent = narrow,
        }
        self.level = level;
    }
}

impl fmt::Debug for Value<'_> {
    // The place, never the content: content is a patient's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.location(), f)
    }
}

/// The pieces of a value at one level.
#[derive(Clone)]
struct Pieces<'m> {
    rest: Option<Value<'m>>,
    level: Level,
    /// `UNUSED` when the value is one piece.
    separator: u8,
    count: usize,
}

impl<'m> Iterator for Pieces<'m> {
    type Item = Value<'m>;

    fn next(&mut self) -> Option<Value<'m>> {
        let mut piece = self.rest?;
        self.count += 1;
        let at = match self.separator {
            Separators::UNUSED => None,
            separator => memchr::memchr(separator, piece.raw()),
        };
        self.rest = at.map(|at| {
            let mut rest = piece;
            rest.start += at as u32 + 1;
            piece.end = rest.start - 1;
            rest
        });
        if piece.level < self.level {
            piece.place(self.level, self.count);
        }
        Some(piece)
    }
}

fn below(level: Level) -> Level {
    match level {
        Level::Field => Level::Repetition,
        Level::Repetition => Level::Component,
        Level::Component | Level::Subcomponent => Level::Subcomponent,
    }
}

/// The delimiter between values of `level`.
fn delimiter(separators: &Separators, level: Level) -> u8 {
    match level {
        Level::Field => separators.field,
        Level::Repetition => separators.repetition,
        Level::Component => separators.component,
        Level::Subcomponent => separators.subcomponent,
    }
}

/// Whether `byte` delimits anything inside a value of `level`.
fn separates(separators: &Separators, level: Level, byte: u8) -> bool {
    byte != Separators::UNUSED
        && [Level::Repetition, Level::Component, Level::Subcomponent]
            .into_iter()
            .any(|lower| level < lower && delimiter(separators, lower) == byte)
}

/// What becomes of formatting commands.
#[derive(Clone, Copy)]
enum Commands {
    /// The line ends and blanks they stand for, as text.
    Plain,
    /// Parts of their own.
    Given,
}

/// A part of a value's text.
enum Part {
    Text(String),
    Command(Command),
}

/// Text of bytes in the set switched to, or in the message's when there is none or they are not of that set.
fn decoded(bytes: Vec<u8>, set: Option<CodeSet>, charset: Charset) -> String {
    if let Some(text) = set.and_then(|set| set.decode(&bytes)) {
        return text;
    }
    if let (Cow::Owned(text), _) = charset.decode(&bytes) {
        return text;
    }
    // The text is those very bytes.
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
