//! Code sets: what a sender's code is in FHIR, as CSV with the columns `code,value,system,display`.
//!
//! A code is matched exactly; nothing is guessed for a code that is not listed. What it stands for must be a code that its
//! system has, where the system's codes are known.

use std::collections::HashMap;
use std::sync::Arc;

use crate::fhir::{self, Json, Primitive};
use crate::nearest::nearest;
use crate::source::{self, Place, Problems, Source};

/// So many codes of a system a hint lists; of a larger one it names the nearest.
const CODES_SHOWN: usize = 20;

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
    /// Reads a CSV file; a wrong heading, a missing value, a code given twice, a system that is no URI, a code that its system
    /// lacks or a display of another code is a problem with its line.
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
            coded(&entry, problems);
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

/// Reports a system that is no URI, and a code and display that its system does not have.
fn coded(entry: &Entry, problems: &mut Problems) {
    let Some(uri) = &entry.system else { return };
    let scheme = uri.split_once(':').map_or("", |parts| parts.0);
    let fault = fhir::primitive_fault(Primitive::Uri, &Json::string(uri.as_str()));
    if fault.is_some() || !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        let fault = fault.map_or("it has no scheme".to_owned(), |fault| fault.to_string());
        let hint = "write that of the code system, e.g. `http://terminology.hl7.org/CodeSystem/v3-MaritalStatus`";
        problems.hint(&column(entry, 2), format!("`{uri}` is no URI: {fault}"), hint);
        return;
    }
    if let Some(fault) = fhir::primitive_fault(Primitive::Code, &Json::string(entry.value.as_str())) {
        problems.hint(&column(entry, 1), format!("`{}` is no code: {fault}", entry.value), "write it as FHIR does");
        return;
    }
    let Some(system) = fhir::code_system(uri) else { return };
    let name = uri.rsplit('/').next().unwrap_or(uri);
    let display = entry.display.as_deref();
    let Some(known) = system.display(&entry.value) else {
        let hint = match display.and_then(|display| system.code_of(display)) {
            Some(code) => format!("`{}` is its `{code}`", display.unwrap_or_default()),
            None if system.codes().len() > CODES_SHOWN => match nearest(&entry.value, system.codes()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("look it up in {uri}"),
            },
            None => {
                let mut codes: Vec<&str> = system.codes().collect();
                codes.sort_unstable();
                source::meant(&entry.value, codes, "it has")
            }
        };
        problems.hint(&column(entry, 1), format!("{name} has no code `{}`", entry.value), hint);
        return;
    };
    let other = display.filter(|display| display.to_lowercase() != known.to_lowercase());
    if let Some((display, code)) = other.and_then(|display| Some((display, system.code_of(display)?))) {
        let message = format!("`{display}` is what {name} calls `{code}`, and this is `{}`", entry.value);
        let hint = format!("write `{known}`, or the code `{code}`");
        problems.hint(&column(entry, 3), message, hint);
    }
}

/// Where a column of an entry's line stands, from 0; commas between double quotes are text.
fn column(entry: &Entry, index: usize) -> Place {
    let Place { source, span } = &entry.place;
    let line = source.text.get(span.clone()).unwrap_or_default();
    let mut quoted = false;
    let mut commas = line.bytes().enumerate().filter_map(|(at, byte)| {
        quoted ^= byte == b'"';
        (byte == b',' && !quoted).then_some(at)
    });
    let from = index.checked_sub(1).and_then(|before| commas.nth(before)).map_or(0, |at| at + 1);
    let to = commas.next().unwrap_or(line.len());
    let text = line.get(from..to).unwrap_or_default();
    let start = span.start + from + (text.len() - text.trim_start().len());
    Place { source: source.clone(), span: start..start + text.trim().len() }
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

    #[test]
    fn systems_are_uris_and_have_the_codes() {
        const MARITAL: &str = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus";
        for (row, expected) in [
            ("Q,QQ,not a uri,Foo", "2:6: `not a uri` is no URI: must be a URI without white space (hint: write that"),
            ("Q,M,v3-MaritalStatus,Married", "2:5: `v3-MaritalStatus` is no URI: it has no scheme (hint: write that"),
            ("\"Q,1\",M , bad uri ,Married", "2:11: `bad uri` is no URI"),
            ("Q,M  M,urn:x,Foo", "2:3: `M  M` is no code: "),
            (
                "Q,QQ,MARITAL,Foo",
                "2:3: v3-MaritalStatus has no code `QQ` (hint: it has: A, C, D, I, L, M, P, S, T, U, W)",
            ),
            ("Q,MM,MARITAL,Foo", "2:3: v3-MaritalStatus has no code `MM` (hint: did you mean `M`?)"),
            ("Q,QQ,MARITAL,divorced", "2:3: v3-MaritalStatus has no code `QQ` (hint: `divorced` is its `D`)"),
            (
                "Q,M,MARITAL,Divorced",
                "2:60: `Divorced` is what v3-MaritalStatus calls `D`, and this is `M` (hint: write `Married`, or the code `D`)",
            ),
            (
                "Q,IMPP,http://terminology.hl7.org/CodeSystem/v3-ActCode,Foo",
                "2:3: v3-ActCode has no code `IMPP` (hint: did you mean `IMP`?)",
            ),
            (
                "Q,ABCDEFGHIJ,http://terminology.hl7.org/CodeSystem/v3-ActCode,Foo",
                "2:3: v3-ActCode has no code `ABCDEFGHIJ` (hint: look it up in http",
            ),
        ] {
            let (_, problems) = read(&format!("code,value,system,display\n{}\n", row.replace("MARITAL", MARITAL)));
            assert!(
                problems.len() == 1 && problems[0].starts_with(&format!("codes/x.csv:{expected}")),
                "{row}\n{expected}\n{problems:#?}"
            );
        }
        // A display of one's own is fine, and so is what a system has of which nothing is known.
        for row in ["Q,M,MARITAL,Verheiratet", "Q,M,MARITAL,married", "Q,M,MARITAL,", "Q,QQ,urn:x,Foo", "Q,a b,,"] {
            let (_, problems) = read(&format!("code,value,system,display\n{}\n", row.replace("MARITAL", MARITAL)));
            assert_eq!(problems, [""; 0], "{row}");
        }
    }
}
