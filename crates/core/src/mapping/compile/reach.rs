//! Finds conditions that no message of a mapping's events ever meets, so that what stands behind them never runs.
//!
//! Only what the event tells is looked at: MSH-9.1, MSH-9.2, and segments that its messages never hold. What several
//! messages share is in vain only when none of them comes there.

use std::collections::HashSet;

use super::{Compiler, Library};
use crate::hl7v2::{self, SegmentName};
use crate::mapping::plan::{BlockId, Condition, Gate, Op, Plan};
use crate::source::{Place, Problems};

/// MSH-9.1 and MSH-9.2.
type Event = (String, String);

/// How many events a message names; of more it tells the number.
const EVENTS_SHOWN: usize = 3;

/// What is told of a gate where messages come and none goes on.
const HINT: &str = "correct it, or do it in the `[[message]]` of an event that meets it";

impl Compiler<'_> {
    /// Follows the events of one message through its writes and all their rows.
    pub(super) fn reach(
        &mut self,
        events: &[Event],
        checks: &[Gate],
        writes: &[(Gate, Option<BlockId>)],
        patient: Option<BlockId>,
    ) {
        for check in checks {
            // A check may ask for a segment that should not be there.
            self.pass(check, events, by_type);
        }
        let mut open: Vec<(BlockId, Vec<Event>)> = patient.map(|block| (block, events.to_vec())).into_iter().collect();
        for (gate, block) in writes {
            let passed = self.pass(gate, events, can_hold);
            open.extend(block.map(|block| (block, passed)));
        }
        let mut seen = HashSet::new();
        while let Some((block, events)) = open.pop() {
            if events.is_empty() || !seen.insert((block, events.clone())) {
                continue;
            }
            let gates = self.gates.get(block).cloned().unwrap_or_default();
            for (index, gates) in gates.iter().enumerate() {
                let passed = gates.iter().fold(events.clone(), |events, gate| self.pass(gate, &events, can_hold));
                if let Some(Op::Block(inner) | Op::Make { block: inner, .. }) =
                    self.blocks.get(block).and_then(|rows| rows.get(index)).map(|row| &row.op)
                {
                    open.push((*inner, passed));
                }
            }
        }
    }

    /// The events that go through a gate; remembers whether any does.
    fn pass(&mut self, gate: &Gate, events: &[Event], holds: fn(&Condition, &Event) -> bool) -> Vec<Event> {
        if gate.conditions.is_empty() {
            return events.to_vec();
        }
        let all = |event: &&Event| gate.conditions.iter().all(|(condition, _)| holds(condition, event));
        let passed: Vec<Event> = events.iter().filter(all).cloned().collect();
        if passed.is_empty() && !events.is_empty() {
            // The condition that none meets, or else the first of those that exclude each other.
            let never = |(condition, _): &&(Condition, Place)| !events.iter().any(|event| holds(condition, event));
            if let Some((_, place)) = gate.conditions.iter().find(never).or(gate.conditions.first()) {
                self.shut.push((gate.place.clone(), place.clone(), shown(events)));
            }
        } else if !passed.is_empty() {
            self.passed.push(gate.place.clone());
        }
        passed
    }

    /// Reports the gates of the mapping's own files that nothing goes through; the others are kept in the plan, since other
    /// mappings may include them, too.
    pub(super) fn shut_gates(&mut self) -> Vec<(Place, Place, String)> {
        let passed: HashSet<(&str, usize)> = self.passed.iter().map(key).collect();
        let mut shut = std::mem::take(&mut self.shut);
        shut.retain(|(gate, ..)| !passed.contains(&key(gate)));
        let (shared, own) = shut.into_iter().partition(|(gate, ..)| self.library.is_shared(gate));
        tell(own, self.problems);
        shared
    }
}

impl Library {
    /// Whether a place lies in a file that mappings include.
    fn is_shared(&self, place: &Place) -> bool {
        let file = |name: &String| self.files.get(name).is_some_and(|source| source.name == place.source.name);
        self.shared.iter().any(file)
    }
}

/// Reports conditions of shared files that no message of any of these mappings ever meets.
pub fn unreachable<'p>(plans: impl IntoIterator<Item = &'p Plan>, problems: &mut Problems) {
    let (mut passed, mut shut) = (HashSet::new(), Vec::new());
    for plan in plans {
        passed.extend(plan.passed.iter().map(key));
        shut.extend(plan.shut.iter().cloned());
    }
    shut.retain(|(gate, ..)| !passed.contains(&key(gate)));
    tell(shut, problems);
}

fn tell(shut: Vec<(Place, Place, String)>, problems: &mut Problems) {
    let mut told = HashSet::new();
    for (_, place, events) in &shut {
        if told.insert(key(place)) {
            problems.hint(place, format!("this never holds for {events}, so it is never reached"), HINT);
        }
    }
}

fn key(place: &Place) -> (&str, usize) {
    (&place.source.name, place.span.start)
}

fn shown(events: &[Event]) -> String {
    let names: Vec<String> = events.iter().map(|(code, trigger)| format!("{code}^{trigger}")).collect();
    match names.len() {
        0..=EVENTS_SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..EVENTS_SHOWN].join(", "), count - EVENTS_SHOWN),
    }
}

/// Whether a message of the event may meet a condition.
fn can_hold(condition: &Condition, event: &Event) -> bool {
    let never = |segment: &SegmentName| hl7v2::never_in(*segment, &event.0);
    match condition {
        Condition::SegmentValued(segment) | Condition::Count { segment, above: Some(_), .. } => !never(segment),
        Condition::Within(segments) => segments.is_empty() || !segments.iter().all(never),
        _ => by_type(condition, event),
    }
}

/// Whether what a condition asks of MSH-9 is so in messages of the event. A sender may leave MSH-9.2 to EVN-1.
fn by_type(condition: &Condition, (code, trigger): &Event) -> bool {
    let known = |path: &hl7v2::Path| match path.to_string().as_str() {
        "MSH-9.1" => Some(code),
        "MSH-9.2" => Some(trigger),
        _ => None,
    };
    match condition {
        Condition::In(path, codes) => {
            known(path).is_none_or(|text| codes.iter().any(|code| code == text || code.is_empty()))
        }
        Condition::NotIn(path, codes) => known(path).is_none_or(|text| !codes.contains(text)),
        _ => true,
    }
}
