//! Code sets: what a sender's code is in FHIR, as CSV with the columns `code,value,system,display`.
//!
//! A code is matched exactly; nothing is guessed for a code that is not listed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::source::{Place, Problems, Source};

/// One code set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSet {
    /// Name, that of its file.
    pub name: String,
    entries: HashMap<String, Entry>,
}

/// What one code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// FHIR code.
    pub value: String,
    /// Code system, a URI; none for plain codes.
    pub system: Option<String>,
    /// Display text.
    pub display: Option<String>,
    /// Its line in the file.
    pub place: Place,
}

impl CodeSet {
    /// Reads a CSV file; a wrong heading, a missing value or a code given twice is a problem with its line.
    pub fn read(name: &str, source: &Arc<Source>, problems: &mut Problems) -> CodeSet {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source.text.as_bytes());
        let place = |start: usize, length: usize| Place { source: source.clone(), span: start..start + length };
        let length =
            |start: usize| source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default().len();
        let heading = source.text.lines().next().unwrap_or_default();
        if heading.trim() != "code,value,system,display" {
            problems.hint(
                &place(0, heading.len()),
                "wrong heading of a code set",
                "the first line must be `code,value,system,display`, with commas between the columns",
            );
            return CodeSet { name: name.to_owned(), entries: HashMap::new() };
        }
        let mut entries = HashMap::new();
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let start = error.position().map_or(0, |position| position.byte() as usize);
                    let message = match error.kind() {
                        csv::ErrorKind::UnequalLengths { len, .. } => {
                            format!("this line has {len} columns instead of 4")
                        }
                        _ => format!("cannot read this line as CSV: {error}"),
                    };
                    let hint = "write `code,value,system,display`; what holds a comma stands between double quotes";
                    problems.hint(&place(start, length(start)), message, hint);
                    continue;
                }
            };
            let start = record.position().map_or(0, |position| position.byte() as usize);
            let length = length(start);
            let text = |index: usize| record.get(index).filter(|text| !text.is_empty()).map(str::to_owned);
            let (Some(code), Some(value)) = (text(0), text(1)) else {
                problems.hint(&place(start, length), "`code` and `value` must both be given", "fill both columns");
                continue;
            };
            let entry = Entry { value, system: text(2), display: text(3), place: place(start, length) };
            if let Some(earlier) = entries.insert(code.clone(), entry) {
                let hint = format!("line {} has it, too; keep one of the lines", earlier.place.line_and_column().0);
                problems.hint(&place(start, length), format!("code `{code}` is given twice"), hint);
            }
        }
        if entries.is_empty() {
            problems.hint(&place(0, heading.len()), "the code set has no code", "add lines below the heading");
        }
        CodeSet { name: name.to_owned(), entries }
    }

    /// What a code stands for.
    pub fn get(&self, code: &str) -> Option<&Entry> {
        self.entries.get(code)
    }

    /// What a code stands for, be it written in capitals or not.
    pub fn get_any_case(&self, code: &str) -> Option<&Entry> {
        let same = |entry: &(&String, &Entry)| entry.0.to_lowercase() == code.to_lowercase();
        self.get(code)
            .or_else(|| self.entries.iter().filter(same).min_by_key(|(code, _)| *code).map(|(_, entry)| entry))
    }

    /// True when nothing could be read of its file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every code.
    pub fn codes(&self) -> impl Iterator<Item = &String> {
        self.entries.keys()
    }

    /// Every entry.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(code, entry)| (code.as_str(), entry))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> (CodeSet, Vec<String>) {
        let source = Arc::new(Source { name: "codes/x.csv".into(), text: text.into() });
        let mut problems = Problems::default();
        let set = CodeSet::read("x", &source, &mut problems);
        (set, problems.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_code_set_is_read_and_its_faults_are_placed() {
        let (set, problems) =
            read("code,value,system,display\nM,male,,\nF,female,urn:x,\"Female, adult\"\nM,x,,\n,y,,\n");
        assert_eq!(set.get("F").unwrap().display.as_deref(), Some("Female, adult"));
        assert_eq!(set.get("f"), None);
        assert_eq!(
            problems,
            [
                "codes/x.csv:4:1: code `M` is given twice (hint: line 2 has it, too; keep one of the lines)",
                "codes/x.csv:5:1: `code` and `value` must both be given (hint: fill both columns)",
            ]
        );
        let (_, problems) = read("a,b\n");
        assert!(problems[0].starts_with("codes/x.csv:1:1: wrong heading"));
    }
}
