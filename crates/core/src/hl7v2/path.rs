//! Paths: how a mapping, a tool or an error names a value, in HL7's own one-based numbers.
//!
//! `PID-3.1`, `PID-3[2].1.1`, `PID-3[*].1`, `PID-3[NHS].1`, `OBX[*]-5`, `OBX[2]-5[1]`, and
//! `.1.2` for a component of the value at hand, `.` for that value. A path finds values; it never converts them.

use std::fmt;

use super::message::Message;
use super::segment::{Segment, SegmentName};
use super::value::Value;

/// A longer text is no path, in bytes.
pub const PATH_BYTES_MAX: usize = 200;

/// Which of several segments of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Index {
    /// The first; nothing is written.
    #[default]
    First,
    /// The `n`th, from 1: `OBX[2]`.
    Nth(u16),
    /// Every one: `OBX[*]`.
    All,
}

/// Which of several repetitions of a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Repetition {
    /// The first; nothing is written.
    #[default]
    First,
    /// The `n`th, from 1: `PID-3[2]`.
    Nth(u16),
    /// Every one: `PID-3[*]`.
    All,
    /// The first whose assigning authority (component 4.1) is this, or, when there is none, the
    /// first whose type (component 5) is: `PID-3[NHS]`.
    Authority(String),
}

/// A path to values of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    /// The segment; `None` for a relative path (`.1.2`).
    pub segment: Option<SegmentName>,
    /// Which of the segments of that name.
    pub segment_index: Index,
    /// The field, from 1; 0 for a relative path.
    pub field: u16,
    /// Which repetition of the field.
    pub repetition: Repetition,
    /// The component, from 1.
    pub component: Option<u16>,
    /// The subcomponent, from 1.
    pub subcomponent: Option<u16>,
}

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {}; {hint}", offset + 1)]
pub struct PathError {
    /// Where in the text, in bytes from 0.
    pub offset: usize,
    /// What is wrong.
    pub message: &'static str,
    /// What to write instead.
    pub hint: &'static str,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// Says where the text stops being a path and what was expected there.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(PathError {
                offset: PATH_BYTES_MAX,
                message: "the path is too long",
                hint: "write one path, as in PID-3.1",
            });
        }
        Parser { text, at: 0 }.path()
    }

    /// The values of this path in one segment that are not empty (null is not empty). None when
    /// the segment has another name. [`segment_index`](Self::segment_index) is not looked at.
    pub fn in_segment<'m>(&self, segment: Segment<'m>) -> impl Iterator<Item = Value<'m>> {
        let ours = self.segment.is_some_and(|name| name.bytes() == segment.name_bytes());
        let repetitions = ours.then(|| self.repetitions(segment.field(self.field)));
        repetitions.into_iter().flatten().map(|repetition| self.in_value(repetition)).filter(|value| !value.is_empty())
    }

    /// The component and subcomponent of this path within a value, whatever its level.
    pub fn in_value<'m>(&self, value: Value<'m>) -> Value<'m> {
        let component = match self.component {
            Some(n) => value.component(usize::from(n)),
            None => value,
        };
        match self.subcomponent {
            Some(n) => component.subcomponent(usize::from(n)),
            None => component,
        }
    }

    /// The values of this path in a message that are not empty, in order. Linear in the number
    /// of segments. Nothing for a relative path.
    pub fn in_message<'m>(&self, message: &'m Message) -> impl Iterator<Item = Value<'m>> {
        let named =
            message.segments().filter(|segment| self.segment.is_some_and(|name| name.bytes() == segment.name_bytes()));
        let (skip, take) = match self.segment_index {
            Index::First => (0, 1),
            Index::Nth(n) => (usize::from(n.saturating_sub(1)), 1),
            Index::All => (0, usize::MAX),
        };
        named.skip(skip).take(take).flat_map(|segment| self.in_segment(segment))
    }

    /// The repetitions of a field that this path asks for.
    fn repetitions<'m>(&self, field: Value<'m>) -> impl Iterator<Item = Value<'m>> + use<'m> {
        let (one, all) = match &self.repetition {
            // The whole field, so that `PID-3` gives what stands there when it cannot repeat.
            Repetition::First => (Some(field.repetition(1)), None),
            Repetition::Nth(n) => (Some(field.repetition(usize::from(*n))), None),
            Repetition::All => (None, Some(field.repetitions())),
            Repetition::Authority(name) => (of_authority(field, name), None),
        };
        one.into_iter().chain(all.into_iter().flatten())
    }
}

/// The repetition that an authority, or else an identifier type, names.
fn of_authority<'m>(field: Value<'m>, name: &str) -> Option<Value<'m>> {
    let with = |component: usize| {
        field
            .repetitions()
            .find(|identifier| identifier.component(component).subcomponent(1).trimmed().as_ref() == name)
    };
    with(4).or_else(|| with(5))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segment.is_none() && self.component.is_none() {
            return f.write_str(".");
        }
        if let Some(segment) = self.segment {
            write!(f, "{segment}")?;
            match self.segment_index {
                Index::First => {}
                Index::Nth(n) => write!(f, "[{n}]")?,
                Index::All => f.write_str("[*]")?,
            }
            write!(f, "-{}", self.field)?;
            match &self.repetition {
                Repetition::First => {}
                Repetition::Nth(n) => write!(f, "[{n}]")?,
                Repetition::All => f.write_str("[*]")?,
                Repetition::Authority(name) => write!(f, "[{name}]")?,
            }
        }
        self.component.into_iter().chain(self.subcomponent).try_for_each(|n| write!(f, ".{n}"))
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn path(mut self) -> Result<Path, PathError> {
        let mut path = Path {
            segment: None,
            segment_index: Index::First,
            field: 0,
            repetition: Repetition::First,
            component: None,
            subcomponent: None,
        };
        if !self.rest().starts_with('.') {
            self.absolute(&mut path)?;
        }
        if self.text == "." {
            return Ok(path);
        }
        if self.take('.') {
            path.component = Some(self.number("a component number is missing")?);
            if self.take('.') {
                path.subcomponent = Some(self.number("a subcomponent number is missing")?);
            }
        }
        if !self.rest().is_empty() {
            return self.fail("the path goes on", "end it here, or write .n or [n]");
        }
        Ok(path)
    }

    fn absolute(&mut self, path: &mut Path) -> Result<(), PathError> {
        path.segment = self.rest().get(..3).and_then(SegmentName::parse);
        if path.segment.is_none() {
            return self.fail(
                "a segment name is missing",
                "start with a name in capitals, as in PID-3.1, or with a dot, as in .1",
            );
        }
        self.at += 3;
        path.segment_index = match self.bracket()? {
            None => Index::First,
            Some((_, "*")) => Index::All,
            Some((start, inner)) => Index::Nth(self.nth(start, inner)?),
        };
        if !self.take('-') {
            return self.fail("a field is missing", "write a dash and its number, as in PID-3");
        }
        path.field = self.number("a field number is missing")?;
        path.repetition = match self.bracket()? {
            None => Repetition::First,
            Some((_, "*")) => Repetition::All,
            Some((start, inner)) if inner.bytes().all(|b| b.is_ascii_digit()) => {
                Repetition::Nth(self.nth(start, inner)?)
            }
            Some((start, inner)) if inner.trim() != inner || inner.starts_with(['+', '-']) => {
                self.at = start;
                return self
                    .fail("this is neither a number nor an authority", "write [2], [*] or [NHS], without blanks");
            }
            // Codes of organisations begin with a digit, too, as 8J094.
            Some((_, inner)) => Repetition::Authority(inner.to_owned()),
        };
        Ok(())
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, c: char) -> bool {
        let taken = self.rest().starts_with(c);
        self.at += usize::from(taken);
        taken
    }

    /// What stands between brackets, and where; `None` when there is no bracket.
    fn bracket(&mut self) -> Result<Option<(usize, &'t str)>, PathError> {
        if !self.take('[') {
            return Ok(None);
        }
        let start = self.at;
        match self.rest().split_once(']') {
            Some((inner, _)) if !inner.trim().is_empty() => {
                self.at += inner.len() + 1;
                Ok(Some((start, inner)))
            }
            _ => self.fail("a bracket is empty or not closed", "write [2], [*] or [NHS]"),
        }
    }

    /// A number from 1 on.
    fn number(&mut self, missing: &'static str) -> Result<u16, PathError> {
        let start = self.at;
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return self.fail(missing, "write a number from 1 on");
        }
        self.at += length;
        let digits = self.text.get(start..self.at).unwrap_or_default();
        self.nth(start, digits)
    }

    fn nth(&mut self, start: usize, digits: &str) -> Result<u16, PathError> {
        match digits.parse() {
            Ok(n) if n > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => {
                self.at = start;
                self.fail("this is no number from 1 to 65535", "HL7 counts from 1")
            }
        }
    }

    fn fail<T>(&self, message: &'static str, hint: &'static str) -> Result<T, PathError> {
        Err(PathError { offset: self.at, message, hint })
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
