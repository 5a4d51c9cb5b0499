//! Reads HL7 paths, keys, conditions and checks of a mapping file, each with the place of what is wrong.
//!
//! Remembers every path that is read, so that unread fields can be told.

use std::collections::HashSet;

use super::Compiler;
use crate::hl7v2::{self, Path, Repetition, SegmentName};
use crate::mapping::plan::{Check, Condition, Gate, KeyPart, Pattern, Read};
use crate::nearest::nearest;
use crate::source::{self, Place, Table, Value};

/// What a condition may ask, one of them.
const QUESTIONS: [&str; 15] = [
    "valued",
    "absent",
    "no-quantity",
    "document",
    "no-document",
    "time",
    "date",
    "path",
    "differ",
    "after",
    "count",
    "loose",
    "pattern",
    "within",
    "outside",
];

impl Compiler<'_> {
    /// `checks = "name"`, `["name", { … }]` or a list of tables.
    pub(super) fn checks_of(&mut self, value: &Value) -> Vec<Check> {
        let mut checks = Vec::new();
        for item in source::one_or_many(value) {
            if let Some(name) = item.as_text() {
                checks.extend(self.named_checks(name, &item.place, &[]));
                continue;
            }
            let Some(mut table) = item.as_table() else {
                let hint = "write `{ if = { … }, refuse = \"…\" }` or a name of `[checks]`";
                self.problems.hint(&item.place, "a check must be a table or the name of checks", hint);
                continue;
            };
            let each = self.each(&mut table);
            if let Some((name, place)) = table.text("use", self.problems) {
                table.finish(self.problems);
                checks.extend(self.named_checks(&name, &place, &each));
                continue;
            }
            let given = table.has("if");
            let gate = self.gate(&mut table, "if");
            let conditions = gate.when();
            self.check_gates.push(gate);
            if !given {
                let hint = "say when the message is refused, e.g. `if = { count = \"SCH\", above = 1 }`";
                self.problems.hint(&item.place, "`if` is missing", hint);
            }
            let refusal = table.required_text("refuse", self.problems);
            table.finish(self.problems);
            if let Some((_, place)) = refusal.as_ref().filter(|(text, _)| text.trim().is_empty()) {
                self.problems.hint(place, "the refusal says nothing", "tell the sender what is wrong, and where");
            }
            if let Some((refusal, _)) = refusal {
                checks.push(Check { each, conditions, refusal });
            }
        }
        checks
    }

    pub(super) fn named_checks(&mut self, name: &str, place: &Place, each: &[SegmentName]) -> Vec<Check> {
        self.used.insert(("checks", name.to_owned()));
        let Some((_, value)) = self.checks.get(name).cloned() else {
            if !self.whole {
                self.problems.follows();
                return Vec::new();
            }
            let hint = self.near(name, self.checks.keys());
            self.problems.hint(place, format!("there are no checks `{name}`"), hint);
            return Vec::new();
        };
        let mut checks = self.checks_of(&value);
        for check in &mut checks {
            check.each.splice(0..0, each.iter().copied());
        }
        checks
    }

    pub(super) fn each(&mut self, table: &mut Table) -> Vec<SegmentName> {
        let Some((text, place)) = table.text("each", self.problems) else { return Vec::new() };
        self.grouped = true;
        let each: Vec<SegmentName> = text.split('/').filter_map(|name| self.segment(name, &place)).collect();
        self.nests(&each, &place);
        each
    }

    pub(super) fn segment(&mut self, name: &str, place: &Place) -> Option<SegmentName> {
        match SegmentName::parse(name) {
            Some(segment) => self.known(segment, place),
            None => {
                let hint = "three characters, e.g. `OBX`; `OBR/OBX` for the OBX of each OBR";
                self.problems.hint(place, format!("`{name}` is no segment name"), hint);
                None
            }
        }
    }

    /// The segment when the standard, Fairway or a file of the mapping knows it; otherwise a problem.
    fn known(&mut self, segment: SegmentName, place: &Place) -> Option<SegmentName> {
        let name = segment.as_str();
        let mut known: Vec<&str> = hl7v2::segment_names().collect();
        known.extend(self.segments.iter().map(SegmentName::as_str));
        if known.contains(&name) {
            return Some(segment);
        }
        let declare = format!("a segment of your own is declared at the top of the file: `segments = [\"{name}\"]`");
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`? Or {declare}"),
            None => declare,
        };
        self.problems.hint(&part(place, name), format!("unknown segment `{name}`"), hint);
        None
    }

    /// The path when its segment is known and a version of the standard has what it names.
    fn known_path(&mut self, path: Path, text: &str, place: &Place) -> Option<Path> {
        let segment = self.known(path.segment?, place)?;
        self.has(&path, text, place).then(|| {
            self.places.insert(segment, place.clone());
            path
        })
    }

    /// Whether some version of the standard has what a path names, or its segment is declared as a site's own.
    pub(super) fn has(&mut self, path: &Path, text: &str, place: &Place) -> bool {
        let Some(segment) = path.segment.filter(|segment| !self.segments.contains(segment)) else { return true };
        let Some(absent) = hl7v2::dictionary::absent(path) else { return true };
        let own = format!("a site's own: `segments = [\"{segment}\"]` at the top of the file");
        self.problems.hint(place, format!("`{text}`: {}", absent.message), format!("{}; {own}", absent.hint));
        false
    }

    /// Reports segments that are read and that messages of the event never hold.
    pub(super) fn read_in_vain(&mut self, (code, trigger): &(String, String), event: &Place) {
        let mut told = HashSet::new();
        for &Read { segment, field, .. } in &self.reads {
            if hl7v2::never_in(segment, code) && told.insert(segment) {
                let place = self.places.get(&segment).unwrap_or(event);
                let message = format!("{code}^{trigger} never holds {segment}-{field}: its messages have no {segment}");
                self.problems.hint(
                    place,
                    message,
                    "read another segment, or do it in the `[[message]]` that has this one",
                );
            }
        }
    }

    /// One condition or several; a gate of none is open.
    pub(super) fn gate(&mut self, table: &mut Table, name: &'static str) -> Gate {
        let tables = table.tables(name, self.problems);
        let place = tables.first().map_or_else(|| table.place().clone(), |condition| condition.place().clone());
        let mut conditions = Vec::new();
        for table in tables {
            let place = table.place().clone();
            conditions.extend(self.condition(table).map(|condition| (condition, place)));
        }
        let gate = Gate { place, conditions };
        self.contradictions(&gate.when(), &gate.place);
        gate
    }

    pub(super) fn condition(&mut self, mut table: Table) -> Option<Condition> {
        let place = table.place().clone();
        let condition = if let Some(given) = table.text("valued", self.problems) {
            match SegmentName::parse(&given.0) {
                Some(segment) => self.known(segment, &given.1).map(Condition::SegmentValued),
                None => self.path(&given).map(Condition::Valued),
            }
        } else if let Some(given) = table.text("absent", self.problems) {
            match SegmentName::parse(&given.0) {
                Some(segment) => self.known(segment, &given.1).map(Condition::SegmentAbsent),
                None => self.path(&given).map(Condition::Absent),
            }
        } else if table.has("within") {
            self.grouped = true;
            Some(Condition::Within(self.segments_of(&mut table, "within")))
        } else if table.has("outside") {
            self.grouped = true;
            Some(Condition::Outside(self.segments_of(&mut table, "outside")))
        } else if let Some(given) = table.text("no-quantity", self.problems) {
            self.path(&given).map(Condition::NoQuantity)
        } else if let Some(given) = table.text("document", self.problems) {
            self.implied("OBX-2", &given.1);
            self.path(&given).map(Condition::Document)
        } else if let Some(given) = table.text("no-document", self.problems) {
            self.implied("OBX-2", &given.1);
            self.path(&given).map(Condition::NoDocument)
        } else if let Some(given) = table.text("time", self.problems) {
            self.path(&given).map(Condition::Time)
        } else if let Some(given) = table.text("date", self.problems) {
            self.path(&given).map(Condition::Date)
        } else if let Some(given) = table.text("path", self.problems) {
            let path = self.path(&given);
            let within: Vec<String> = table.texts("in", self.problems).into_iter().map(|text| text.0).collect();
            let without: Vec<String> = table.texts("not-in", self.problems).into_iter().map(|text| text.0).collect();
            match (within.is_empty(), without.is_empty()) {
                (false, true) => path.map(|path| Condition::In(path, within)),
                (true, false) => path.map(|path| Condition::NotIn(path, without)),
                _ => {
                    self.problems.hint(&place, "`path` needs `in` or `not-in`", "add e.g. `in = [\"R\"]`");
                    None
                }
            }
        } else if table.has("after") {
            match <[Path; 2]>::try_from(self.paths(&mut table, "after")) {
                Ok(times) => Some(Condition::After(times)),
                Err(_) => {
                    let hint = "write e.g. `after = [\"PV1-44.1\", \"PV1-45.1\"]`: the first is the later";
                    self.problems.hint(&place, "`after` compares two times", hint);
                    None
                }
            }
        } else if let Some((name, place)) = table.text("count", self.problems) {
            let below = table.integer("below", 0..1000, self.problems).and_then(|n| usize::try_from(n).ok());
            let above = table.integer("above", 0..1000, self.problems).and_then(|n| usize::try_from(n).ok());
            if !table.has("above") && !table.has("below") {
                let hint = "add e.g. `above = 0`: there is at least one";
                self.problems.hint(&place, "`count` needs `above` or `below`", hint);
            }
            self.segment(&name, &place).map(|segment| Condition::Count { segment, below, above })
        } else if let Some((name, place)) = table.text("loose", self.problems) {
            self.grouped = true;
            self.segment(&name, &place).map(Condition::Loose)
        } else if let Some((name, place)) = table.text("pattern", self.problems) {
            self.grouped = true;
            match name.as_str() {
                "textual-report" => Some(Condition::Pattern(Pattern::TextualReport)),
                "collection" => Some(Condition::Pattern(Pattern::Collection)),
                "result" => {
                    // What makes a line one of an earlier text.
                    for path in ["OBX-2", "OBX-3", "OBX-4"] {
                        self.implied(path, &place);
                    }
                    Some(Condition::Pattern(Pattern::Result))
                }
                _ => {
                    let hint = "write `textual-report`, `collection` or `result`";
                    self.problems.hint(&place, format!("unknown pattern `{name}`"), hint);
                    None
                }
            }
        } else {
            let given = table.has("differ");
            let paths = self.paths(&mut table, "differ");
            if !given {
                self.no_question(table, &place);
                return None;
            }
            Some(Condition::Differ(paths))
        };
        let asked: Vec<&str> = QUESTIONS.into_iter().filter(|name| table.has(name)).collect();
        if asked.len() > 1 {
            let message = format!("a condition asks one thing, and this asks `{}`", asked.join("` and `"));
            let hint = "write a list, of which all must hold: `[{ valued = \"…\" }, { absent = \"…\" }]`";
            self.problems.hint(&place, message, hint);
            return None;
        }
        table.finish(self.problems);
        condition
    }

    /// Reports a table that asks nothing, by the names it has instead.
    fn no_question(&mut self, mut table: Table, place: &Place) {
        let mut unknown = table.take_all();
        // What only goes with a question.
        unknown.retain(|(name, _, _)| !["in", "not-in", "above", "below"].contains(&name.as_str()));
        if unknown.is_empty() {
            let hint = format!("it asks one of: {}", QUESTIONS.join(", "));
            self.problems.hint(place, "a condition says nothing", hint);
        }
        for (name, place, _) in unknown {
            let hint = source::meant(&name, QUESTIONS, "it asks one of");
            self.problems.hint(&place, format!("unknown key `{name}`"), hint);
        }
    }

    /// Names of segments: one text or several.
    pub(super) fn segments_of(&mut self, table: &mut Table, name: &'static str) -> Vec<SegmentName> {
        table.texts(name, self.problems).iter().filter_map(|(name, place)| self.segment(name, place)).collect()
    }

    pub(super) fn paths(&mut self, table: &mut Table, name: &'static str) -> Vec<Path> {
        table.texts(name, self.problems).iter().filter_map(|given| self.path(given)).collect()
    }

    pub(super) fn path(&mut self, (text, place): &(String, Place)) -> Option<Path> {
        match Path::parse(text) {
            Ok(path) if path.segment.is_some() => {
                let path = self.known_path(path, text, place)?;
                self.reads_path(&path, false);
                Some(path)
            }
            Ok(path) if self.in_value => {
                self.own_parts.push((path.clone(), place.clone()));
                Some(path)
            }
            Ok(_) => {
                let hint = "write e.g. `PID-5.1`; `.1` is for rows that a row with `from` names";
                self.problems.hint(place, format!("`{text}` names no segment"), hint);
                None
            }
            Err(error) => {
                // The text stands between quotes, so its first byte is one after the start of the value.
                let start = (place.span.start + 1 + error.offset).min(place.span.end);
                let at = Place { source: place.source.clone(), span: start..place.span.end };
                self.problems.hint(&at, format!("`{text}` is no HL7 path: {}", error.message), error.hint);
                None
            }
        }
    }

    /// `[["SCH-9.1", "SCH-10.1"]]`: pairs of a number and its unit.
    pub(super) fn pairs(&mut self, value: &Value) -> Vec<[Path; 2]> {
        let mut pairs = Vec::new();
        for pair in source::one_or_many(value) {
            let given = source::texts("plus", &pair, self.problems);
            let paths: Vec<Path> = given.iter().filter_map(|given| self.path(given)).collect();
            match <[Path; 2]>::try_from(paths) {
                Ok(paths) => pairs.push(paths),
                Err(_) if given.len() == 2 => {}
                Err(_) => {
                    let hint = "write e.g. `plus = [[\"SCH-9.1\", \"SCH-10.1\"]]`";
                    self.problems.hint(&pair.place, "a duration is a number and its unit", hint);
                }
            }
        }
        pairs
    }

    /// A path that a conversion reads of itself.
    pub(super) fn implied(&mut self, text: &'static str, place: &Place) -> Option<Path> {
        self.path(&(text.to_owned(), place.clone()))
    }

    /// Remembers a path that is read; `all` when that is every repetition, whatever the path says.
    pub(super) fn reads_path(&mut self, path: &Path, all: bool) {
        if let Some(segment) = path.segment {
            let all = all || path.repetition != Repetition::First;
            let component = path.component.unwrap_or(0);
            self.reads.push(Read { segment, field: path.field, component, all });
        }
    }

    /// `"SCH-1.1"`, or a list of parts, each a path or a list of alternatives; `?` marks a part that may be empty.
    pub(super) fn key(&mut self, value: &Value, labels: &[(String, Place)]) -> Vec<KeyPart> {
        let parts = source::one_or_many(value);
        if parts.is_empty() {
            self.problems.hint(&value.place, "the key has no part", "name the sender's id, e.g. `key = \"SCH-1.1\"`");
        }
        let mut key = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut optional = false;
            let mut paths = Vec::new();
            for (text, place) in source::texts("key", part, self.problems) {
                optional |= text.ends_with('?');
                paths.extend(self.path(&(text.trim_end_matches('?').to_owned(), place)));
            }
            let label = labels.get(index).map_or_else(|| "key".to_owned(), |label| label.0.clone());
            key.push(KeyPart { paths, optional, label });
        }
        key
    }
}

/// The place of a name in the value at `place`.
fn part(place: &Place, name: &str) -> Place {
    let written = place.source.text.get(place.span.clone()).unwrap_or_default();
    match written.find(name).map(|offset| place.span.start + offset) {
        Some(start) => Place { source: place.source.clone(), span: start..start + name.len() },
        None => place.clone(),
    }
}

impl Condition {
    pub(super) fn paths(&self) -> &[Path] {
        match self {
            Condition::Valued(path)
            | Condition::Absent(path)
            | Condition::NoQuantity(path)
            | Condition::Document(path)
            | Condition::NoDocument(path)
            | Condition::Time(path)
            | Condition::Date(path)
            | Condition::In(path, _)
            | Condition::NotIn(path, _) => std::slice::from_ref(path),
            Condition::Differ(paths) => paths,
            Condition::After(times) => times,
            Condition::SegmentValued(_)
            | Condition::SegmentAbsent(_)
            | Condition::Within(_)
            | Condition::Outside(_)
            | Condition::Count { .. }
            | Condition::Loose(_)
            | Condition::Pattern(_) => &[],
        }
    }
}
