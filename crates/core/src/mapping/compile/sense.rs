//! What is well written and still makes no sense: segments that never stand in each other, references to what nothing
//! writes, conditions that exclude each other, elements that FHIR requires inside others.

use super::Compiler;
use crate::hl7v2::{self, SegmentName};
use crate::mapping::plan::{Condition, KeyPart, MakePlan, Op, Row, Source as RowSource, Work};
use crate::record::Step;
use crate::source::{self, Place};

/// The kinds of events that an Encounter is made of (hl7-api 3.1).
pub(super) const EVENT_KINDS: [&str; 6] = ["ADMIT", "TRANSFER", "DISCHARGE", "PRE_ADMIT", "PENDING_ADMIT", "UPDATE"];

/// Two segments that an `each` goes through, one inside the other.
#[derive(Debug, Clone)]
pub(super) struct Nesting {
    outer: SegmentName,
    inner: SegmentName,
    place: Place,
}

impl Compiler<'_> {
    /// Remembers which segments `each` looks for inside others.
    pub(super) fn nests(&mut self, each: &[SegmentName], place: &Place) {
        for pair in each.windows(2) {
            let [outer, inner] = pair else { continue };
            self.nestings.push(Nesting { outer: *outer, inner: *inner, place: place.clone() });
        }
    }

    /// Reports an `each` that goes through segments which messages of the event never hold inside each other.
    pub(super) fn nested_in_vain(&mut self, (code, trigger): &(String, String)) {
        for Nesting { outer, inner, place } in std::mem::take(&mut self.nestings) {
            if !hl7v2::can_stand_in(code, trigger, outer, inner) {
                let message = format!("{code}^{trigger}: no {inner} ever belongs to an {outer}");
                let turned = hl7v2::can_stand_in(code, trigger, inner, outer);
                let hint = if turned {
                    format!("write `{inner}/{outer}` for the {outer} of each {inner}")
                } else {
                    format!("write `{inner}` for each {inner} of the message")
                };
                self.problems.hint(&place, message, hint);
            }
        }
    }

    /// Reports conditions of which never all hold.
    pub(super) fn contradictions(&mut self, conditions: &[Condition], place: &Place) {
        let contradict = |one: &Condition, other: &Condition| match (one, other) {
            (Condition::Valued(path), Condition::Absent(none)) => path == none,
            (Condition::Absent(none), Condition::In(path, codes)) => {
                path == none && codes.iter().all(|code| !code.is_empty())
            }
            (Condition::In(path, codes), Condition::NotIn(same, others)) => {
                path == same && codes.iter().all(|code| others.contains(code))
            }
            (Condition::In(path, codes), Condition::In(same, others)) => {
                path == same && !codes.iter().any(|code| others.contains(code))
            }
            _ => false,
        };
        let never = conditions
            .iter()
            .enumerate()
            .any(|(index, one)| conditions.iter().enumerate().any(|(at, other)| at != index && contradict(one, other)));
        if never {
            self.problems.hint(place, "these conditions exclude each other, so this is never reached", "take one away");
        }
    }

    /// Reports rows for all items of a repeating element behind rows for parts of its first item, which they replace.
    pub(super) fn filled_in_vain(&mut self, rows: &[Row]) {
        for (index, row) in rows.iter().enumerate() {
            let [whole] = &*row.path else { continue };
            let lost = rows.iter().take(index).find(|earlier| {
                earlier.path.len() > 1 && earlier.path.first().is_some_and(|step| step.many && step.name == whole.name)
            });
            if let (true, None, Some(lost)) = (whole.many, whole.index, lost) {
                let (line, _) = lost.place.line_and_column();
                let message =
                    format!("`{}` is filled whole here, which replaces what line {line} puts into it", whole.name);
                let hint = format!("fill each item with `to = \"{}\"` and `rows`", whole.name);
                self.problems.hint(&row.place, message, hint);
            }
        }
    }

    /// Reports fallbacks behind a row that always fills the element, and rows behind which a constant replaces what they fill.
    pub(super) fn never_needed(&mut self, rows: &[Row]) {
        for (index, row) in rows.iter().enumerate() {
            let (before, after) = (rows.iter().take(index), rows.iter().skip(index + 1));
            // A fallback asks for the element itself, whatever part of it is filled.
            let same = |one: &Step, other: &Step| {
                one.name == other.name || (one.choice.is_some() && one.choice == other.choice)
            };
            let filled = |earlier: &&Row| {
                earlier.always_fills()
                    && earlier.path.first().zip(row.path.first()).is_some_and(|(one, other)| same(one, other))
            };
            let replaced = |later: &&Row| {
                matches!(later.op, Op::Constant(_)) && later.always_fills() && !later.fallback && later.path == row.path
            };
            let name = row.path.first().map_or("", |step| step.name);
            if let Some(earlier) = before.into_iter().find(filled).filter(|_| row.fallback) {
                let message = format!("`{name}` is always filled at {}, so this row never runs", earlier.place);
                self.problems.hint(&row.place, message, "put this row first, and `fallback = true` into the other");
            } else if let Some(later) = after.into_iter().find(replaced).filter(|later| !later.many) {
                let message = format!("what this row fills is always replaced at {}", later.place);
                let hint = "leave one of the rows out, or give the later one `fallback = true`";
                self.problems.hint(&row.place, message, hint);
            }
        }
    }

    /// Elements that FHIR requires inside an element and no row of its block fills.
    pub(super) fn required_inside(&mut self, block: usize, type_name: &'static str, place: &Place) {
        // A backbone element, or an extension: other data types require nothing of what a row would forget.
        if type_name.contains('.') || type_name == "Extension" {
            self.required_elements(block, type_name, place);
        }
    }

    /// Reports references to what no write of the message makes, and to types that the element cannot refer to.
    pub(super) fn references(&mut self, work: &Work) {
        let (mut keys, mut makes): (Vec<(&str, Vec<String>)>, &[MakePlan]) = (Vec::new(), &[]);
        let mut open: Vec<usize> = Vec::new();
        match work {
            Work::Record { patient, writes, .. } => {
                open.push(patient.rows);
                for write in writes {
                    keys.push((write.resource, shown(&write.key)));
                    open.extend(write.rows);
                }
            }
            Work::Resources(all) => {
                makes = all;
                open.extend(all.iter().map(|make| make.rows));
            }
        }
        let mut seen = Vec::new();
        let mut wrong = Vec::new();
        while let Some(block) = open.pop() {
            if seen.contains(&block) {
                continue;
            }
            seen.push(block);
            for row in self.blocks.get(block).into_iter().flatten() {
                match &row.op {
                    Op::Block(inner) | Op::Make { block: inner, .. } => open.push(*inner),
                    Op::Refer { resource, key } => {
                        let key = shown(key);
                        let made = keys.iter().any(|(of, made)| of == resource && *made == key);
                        if !made {
                            wrong.push((row.place.clone(), told_of_key(resource, &key, &keys)));
                        }
                    }
                    Op::ReferTo { resource, .. } if !makes.iter().any(|make| make.resource == *resource) => {
                        let message = format!("no write of this message makes {resource}");
                        let mut made: Vec<&str> = makes.iter().map(|make| make.resource).collect();
                        made.dedup();
                        wrong.push((row.place.clone(), (message, format!("there are: {}", made.join(", ")))));
                    }
                    _ => {}
                }
            }
        }
        for (place, (message, hint)) in wrong {
            self.problems.hint(&place, message, hint);
        }
    }

    /// Reports a reference to a type that FHIR does not allow in the element.
    pub(super) fn refers_to(&mut self, resource: &str, targets: &[&'static str], place: &Place) {
        if !targets.is_empty() && !targets.contains(&resource) {
            let message = format!("this element cannot refer to a {resource}");
            let hint = source::meant(resource, targets.iter().copied(), "it refers to");
            self.problems.hint(place, message, hint);
        }
    }

    /// The kind of event when there is such a kind.
    pub(super) fn event_kind(&mut self, (kind, place): (String, Place)) -> Option<String> {
        if EVENT_KINDS.contains(&kind.as_str()) {
            return Some(kind);
        }
        let hint = source::meant(&kind, EVENT_KINDS, "one of");
        self.problems.hint(&place, format!("`{kind}` is no kind of event"), hint);
        None
    }
}

impl Row {
    /// Whether the element has a value behind this row, whatever the message holds.
    fn always_fills(&self) -> bool {
        let gives = match &self.op {
            Op::Constant(_) | Op::Patient => true,
            Op::Convert { default, .. } => default.is_some() && matches!(self.source, RowSource::First(_)),
            Op::Codes { default, .. } => default.is_some() && matches!(self.source, RowSource::First(_)),
            Op::Block(_) | Op::Make { .. } | Op::ReferTo { .. } | Op::Refer { .. } | Op::ObservationValue { .. } => {
                false
            }
        };
        gives && self.when.is_empty() && self.each.is_empty()
    }
}

/// A key as it is written.
fn shown(key: &[KeyPart]) -> Vec<String> {
    key.iter().map(|part| part.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")).collect()
}

fn told_of_key(resource: &str, key: &[String], keys: &[(&str, Vec<String>)]) -> (String, String) {
    let message = format!("no write of this message makes {resource} with the key {}", key.join(", "));
    let made: Vec<String> = keys.iter().filter(|(of, _)| *of == resource).map(|(_, key)| key.join(", ")).collect();
    let hint = if made.is_empty() {
        let mut kinds: Vec<&str> = keys.iter().map(|(of, _)| *of).collect();
        kinds.dedup();
        format!("it makes: {}", kinds.join(", "))
    } else {
        format!("its keys are: {}", made.join("; "))
    };
    (message, hint)
}
