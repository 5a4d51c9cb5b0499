//! Reads TOML files with the place of every value, and collects every problem of every file in one run.
//!
//! Works on text it is handed; whoever reads the file from disk brings it here. Used for mappings, feeds and the
//! configuration, so that all of them report errors alike.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;

/// A text file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name shown in messages, e.g. `mappings/patient.toml`.
    pub name: String,
    /// Content.
    pub text: String,
}

/// Where something stands: a file and a range of bytes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// Byte range in its text.
    pub span: Range<usize>,
}

impl Place {
    /// The start of a file, for what concerns all of it.
    pub fn start(source: &Arc<Source>) -> Place {
        Place { source: source.clone(), span: 0..source.text.lines().next().unwrap_or_default().len() }
    }

    /// One-based line and column (in characters) of the start.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or(&self.source.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_and_column();
        write!(f, "{}:{line}:{column}", self.source.name)
    }
}

/// Something wrong in a file, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; none when there is no file to show and the message names what is meant.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

/// Collects problems while files are read: each once, though several mappings include its file.
#[derive(Debug, Default)]
pub struct Problems {
    told: Vec<Problem>,
    /// File, byte and message of those that are told.
    known: HashSet<(Option<(String, usize)>, String)>,
    found: usize,
    /// Text that could not be read as TOML: what is found there follows from that fault and is not told.
    broken: Vec<Place>,
}

impl Problems {
    /// Adds a problem at a place, with what to do.
    pub fn hint(&mut self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Some(place), message.into(), Some(hint.into()));
    }

    /// Adds a problem about something that is not there. It is not told of a file with broken syntax, where it may stand
    /// unread.
    pub fn absent(&mut self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        match self.broken.iter().any(|broken| broken.source.name == place.source.name) {
            true => self.follows(),
            false => self.hint(place, message, hint),
        }
    }

    /// Adds a problem that has no place in a file.
    pub fn general(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.add(None, message.into(), Some(hint.into()));
    }

    /// Counts a problem that follows from one already told.
    pub fn follows(&mut self) {
        self.found += 1;
    }

    fn add(&mut self, place: Option<&Place>, message: String, hint: Option<String>) {
        let follows = |place: &Place| {
            let around =
                |broken: &Place| broken.source.name == place.source.name && broken.span.contains(&place.span.start);
            self.broken.iter().any(around)
        };
        self.found += 1;
        if !place.is_some_and(follows) {
            self.tell(Problem { place: place.cloned(), message, hint });
        }
    }

    fn tell(&mut self, problem: Problem) {
        let place = problem.place.as_ref().map(|place| (place.source.name.clone(), place.span.start));
        if self.known.insert((place, problem.message.clone())) {
            self.told.push(problem);
        }
    }

    /// A syntax error; `lost` is the text that cannot be trusted after it.
    fn syntax(&mut self, problem: Problem, lost: Place) {
        self.found += 1;
        self.tell(problem);
        self.broken.push(lost);
    }

    /// Number of syntax errors so far, those of a file counted each time it is read.
    pub fn syntax_errors(&self) -> usize {
        self.broken.len()
    }

    /// Number of problems found so far, those counted that are told already or follow from another.
    pub fn len(&self) -> usize {
        self.found
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.found == 0
    }

    /// All problems, in the order they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.told
    }
}

/// Reads a file; syntax errors become problems and what could be read is returned.
pub fn parse(source: &Arc<Source>, problems: &mut Problems) -> Table {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let mut errors: Vec<(Range<usize>, String)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message().to_owned())).collect();
    errors.sort_by_key(|error| error.0.start);
    let unclosed = errors
        .iter()
        .any(|(_, message)| message.starts_with("unclosed array,") || message.starts_with("unclosed inline table,"));
    let last = errors.last().map_or(0, |error| error.0.start);
    let mut told_before = 0;
    for (span, message) in errors {
        if span.start < told_before {
            continue;
        }
        let kind = message.split(',').next().unwrap_or_default().to_owned();
        let (before, rest) = source.text.split_at_checked(span.start).unwrap_or_default();
        let open_quote = kind.ends_with(" string") && (message.ends_with("`\"`") || message.ends_with("`'`"));
        // What is left open makes an error of every line behind it, and the first is near the fault.
        let left_open = unclosed
            && match kind.as_str() {
                "missing comma between array elements" | "missing key for inline table element" => true,
                "string values must be quoted" => {
                    rest.get(span.len()..).is_some_and(|rest| rest.trim_start().starts_with('='))
                }
                _ => false,
            };
        let hint = match kind.as_str() {
            _ if open_quote => "close the text with the quote that opened it",
            _ if left_open => "close with `]` or `}` what stands before this, or put a comma",
            "missing comma between key-value pairs" | "missing comma between array elements" => {
                "put a comma before this, or close with `]` or `}` what stands before it"
            }
            "duplicate key" => "give each name once: keep one of the two",
            "unclosed array" | "unclosed table" => "add the closing `]`",
            "unclosed array table" => "close the heading: `[[name]]`",
            "unclosed inline table" => "add the closing `}`",
            "string values must be quoted" | "missing opening quote" => {
                "put the text between straight quotes: `\"text\"`"
            }
            "key with no value" => "add `=` and a value",
            "missing escaped value" => "write a backslash twice, or put the text between single quotes",
            _ => "write it as TOML: `name = \"text\"`, `name = [\"one\", \"two\"]`, `name = { key = \"text\" }`",
        };
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let up_to = |mark: &str| rest.find(mark).map_or(source.text.len() + 1, |length| span.start + length);
        let line = up_to("\n");
        // Up to where what was read cannot be trusted.
        let end = match kind.as_str() {
            _ if left_open || (open_quote && last > line) => source.text.len() + 1,
            "unclosed table" | "unclosed array table" => up_to("\n["),
            _ => line,
        };
        told_before = if left_open || open_quote { end } else { line };
        let lost = Place { source: source.clone(), span: start..end };
        let place = Some(Place { source: source.clone(), span });
        problems.syntax(Problem { place, hint: Some(hint.to_owned()), message }, lost);
    }
    let span = table.span();
    Table::new(source, table.into_inner(), span)
}

/// A table whose keys are taken one by one; [`Table::finish`] reports those nobody asked for.
#[derive(Debug)]
pub struct Table {
    place: Place,
    entries: Vec<(String, Place, Value, bool)>,
    asked: Vec<&'static str>,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Value {
    /// Where it stands.
    pub place: Place,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Text(String),
    Integer(i64),
    Other,
    Boolean(bool),
    Array(Vec<Value>),
    Table(Vec<(String, Place, Value)>),
}

impl Value {
    fn new(source: &Arc<Source>, value: Spanned<DeValue<'_>>) -> Value {
        let place = Place { source: source.clone(), span: value.span() };
        let kind = match value.into_inner() {
            DeValue::String(text) => Kind::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Kind::Integer(number),
                Err(_) => Kind::Other,
            },
            DeValue::Float(_) | DeValue::Datetime(_) => Kind::Other,
            DeValue::Boolean(truth) => Kind::Boolean(truth),
            DeValue::Array(items) => Kind::Array(items.into_iter().map(|item| Value::new(source, item)).collect()),
            DeValue::Table(table) => Kind::Table(entries(source, table)),
        };
        Value { place, kind }
    }

    /// A list of values at a place.
    pub fn list(place: Place, items: Vec<Value>) -> Value {
        Value { place, kind: Kind::Array(items) }
    }

    /// The text, when it is a string.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Integer(_) | Kind::Other | Kind::Boolean(_) | Kind::Array(_) | Kind::Table(_) => None,
        }
    }

    /// The number, when it is a whole number.
    pub fn as_integer(&self) -> Option<i64> {
        match self.kind {
            Kind::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// The truth value, when it is one.
    pub fn as_boolean(&self) -> Option<bool> {
        match self.kind {
            Kind::Boolean(truth) => Some(truth),
            _ => None,
        }
    }

    /// The items, when it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The value as a table to take keys from, when it is one.
    pub fn as_table(&self) -> Option<Table> {
        match &self.kind {
            Kind::Table(entries) => Some(Table {
                place: self.place.clone(),
                entries: entries
                    .iter()
                    .map(|(name, place, value)| (name.clone(), place.clone(), value.clone(), false))
                    .collect(),
                asked: Vec::new(),
            }),
            _ => None,
        }
    }
}

fn entries(source: &Arc<Source>, table: DeTable<'_>) -> Vec<(String, Place, Value)> {
    table
        .into_iter()
        .map(|(key, value)| {
            let place = Place { source: source.clone(), span: key.span() };
            (key.into_inner().into_owned(), place, Value::new(source, value))
        })
        .collect()
}

impl Table {
    fn new(source: &Arc<Source>, table: DeTable<'_>, span: Range<usize>) -> Table {
        let entries =
            entries(source, table).into_iter().map(|(name, place, value)| (name, place, value, false)).collect();
        Table { place: Place { source: source.clone(), span }, entries, asked: Vec::new() }
    }

    /// Where the table stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// True when the key is given.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.0 == name)
    }

    /// Takes a value, whatever it is.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        let entry = self.entries.iter_mut().find(|entry| entry.0 == name)?;
        entry.3 = true;
        Some(entry.2.clone())
    }

    /// Takes every entry that is left, with the place of its name: for tables whose keys are free.
    pub fn take_all(&mut self) -> Vec<(String, Place, Value)> {
        let mut taken = Vec::new();
        for (name, place, value, seen) in &mut self.entries {
            if !std::mem::replace(seen, true) {
                taken.push((name.clone(), place.clone(), value.clone()));
            }
        }
        taken
    }

    /// Takes a string.
    pub fn text(&mut self, name: &'static str, problems: &mut Problems) -> Option<(String, Place)> {
        let value = self.take(name)?;
        match value.as_text() {
            Some(text) => Some((text.to_owned(), value.place)),
            None => {
                problems.hint(&value.place, format!("`{name}` must be a string"), format!("write `{name} = \"…\"`"));
                None
            }
        }
    }

    /// Takes a string that must be there.
    pub fn required_text(&mut self, name: &'static str, problems: &mut Problems) -> Option<(String, Place)> {
        if self.has(name) {
            return self.text(name, problems);
        }
        self.asked.push(name);
        problems.absent(&self.place, format!("`{name}` is missing"), format!("add `{name} = \"…\"`"));
        None
    }

    /// Takes a truth value.
    pub fn boolean(&mut self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_boolean().is_none() {
            let hint = format!("write `{name} = true` without quotes");
            problems.hint(&value.place, format!("`{name}` must be true or false"), hint);
        }
        value.as_boolean()
    }

    /// Takes a whole number within limits.
    pub fn integer(&mut self, name: &'static str, within: Range<i64>, problems: &mut Problems) -> Option<i64> {
        let value = self.take(name)?;
        match value.as_integer() {
            Some(number) if within.contains(&number) => Some(number),
            _ => {
                let message = format!(
                    "`{name}` must be a whole number from {} to {}",
                    within.start,
                    within.end.saturating_sub(1)
                );
                problems.hint(&value.place, message, format!("write e.g. `{name} = {}`, without quotes", within.start));
                None
            }
        }
    }

    /// Takes a string or an array of strings; empty when the key is absent.
    pub fn texts(&mut self, name: &'static str, problems: &mut Problems) -> Vec<(String, Place)> {
        self.take(name).map(|value| texts(name, &value, problems)).unwrap_or_default()
    }

    /// Takes a table or an array of tables; empty when the key is absent.
    pub fn tables(&mut self, name: &'static str, problems: &mut Problems) -> Vec<Table> {
        let Some(value) = self.take(name) else { return Vec::new() };
        one_or_many(&value)
            .iter()
            .filter_map(|item| {
                let table = item.as_table();
                if table.is_none() {
                    let hint = format!("write `{name} = {{ … }}` or a list of such");
                    problems.hint(&item.place, format!("`{name}` must be a table or an array of tables"), hint);
                }
                table
            })
            .collect()
    }

    /// Takes a table; none when the key is absent.
    pub fn table(&mut self, name: &'static str, problems: &mut Problems) -> Option<Table> {
        let value = self.take(name)?;
        let table = value.as_table();
        if table.is_none() {
            problems.hint(&value.place, format!("`{name}` must be a table"), format!("write `{name} = {{ … }}`"));
        }
        table
    }

    /// Reports the keys that nobody took.
    pub fn finish(self, problems: &mut Problems) {
        for (name, place, _, seen) in &self.entries {
            if *seen {
                continue;
            }
            let message = format!("unknown key `{name}`");
            problems.hint(place, message, meant(name, self.asked.iter().copied(), "known here"));
        }
    }
}

/// The strings of a string or an array of strings.
pub fn texts(name: &str, value: &Value, problems: &mut Problems) -> Vec<(String, Place)> {
    one_or_many(value)
        .iter()
        .filter_map(|item| match item.as_text() {
            Some(text) => Some((text.to_owned(), item.place.clone())),
            None => {
                let hint = format!("write `{name} = \"…\"` or `{name} = [\"…\", \"…\"]`");
                problems.hint(&item.place, format!("`{name}` must be a string or an array of strings"), hint);
                None
            }
        })
        .collect()
}

/// An array's items, or the value itself as the only one.
pub fn one_or_many(value: &Value) -> Vec<Value> {
    value.as_array().map_or_else(|| vec![value.clone()], <[Value]>::to_vec)
}

/// What to do about a name that is none of the `names`: the one that was meant, else all of them behind `all`.
pub fn meant<'a>(name: &str, names: impl IntoIterator<Item = &'a str>, all: &str) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there is none yet".to_owned(),
        None => format!("{all}: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> (Table, Problems) {
        let source = Arc::new(Source { name: "t.toml".into(), text: text.into() });
        let mut problems = Problems::default();
        let table = parse(&source, &mut problems);
        (table, problems)
    }

    #[test]
    fn every_problem_has_its_place_and_a_hint() {
        let (mut table, mut problems) = read("name = 3\nfromm = \"x\"\nzone = true\n");
        assert!(table.text("name", &mut problems).is_none());
        assert!(table.text("from", &mut problems).is_none());
        assert_eq!(table.boolean("zone", &mut problems), Some(true));
        assert!(table.required_text("system", &mut problems).is_none());
        table.finish(&mut problems);
        let shown: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "t.toml:1:8: `name` must be a string (hint: write `name = \"…\"`)",
                "t.toml:1:1: `system` is missing (hint: add `system = \"…\"`)",
                "t.toml:2:1: unknown key `fromm` (hint: did you mean `from`?)",
            ]
        );
    }

    #[test]
    fn syntax_errors_are_problems_and_the_rest_is_read() {
        let (mut table, mut problems) = read("a = \nb = \"kept\"\nc = [1,\n");
        assert!(problems.len() >= 2, "{problems:?}");
        assert_eq!(table.text("b", &mut problems).unwrap().0, "kept");
        assert!(problems.into_vec().iter().all(|problem| problem.place.is_some() && problem.hint.is_some()));
    }

    #[test]
    fn what_follows_from_a_syntax_error_is_not_told() {
        let (mut table, mut problems) = read("list = [{ name = \"open },\n  { name = \"b\" },\n]\nzone = true\n");
        assert!(table.required_text("system", &mut problems).is_none());
        table.finish(&mut problems);
        assert!(problems.len() > 1);
        let shown: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        let hint = "(hint: close the text with the quote that opened it)";
        assert_eq!(shown, [format!("t.toml:1:26: invalid basic string, expected `\"` {hint}")]);
    }

    #[test]
    fn something_left_open_is_told_once() {
        let (_, problems) = read("list = [\"a\"\nname = \"b\"\nzone = \"c\"\nmore = \"d\"\n");
        let lines: Vec<usize> =
            problems.into_vec().iter().map(|problem| problem.place.as_ref().unwrap().line_and_column().0).collect();
        assert!(lines.len() <= 3 && lines[0] == 2, "{lines:?}");
    }
}
