//! Where in the message a row stands, and what paths and conditions mean there.
//!
//! A path means the segment at hand, else one of its group, else one of the groups around; never one of a sibling group,
//! so that a result does not borrow another order's time or note. Knows nothing of FHIR.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use super::Refusal;
use crate::hl7v2::{GroupId, Index, Message, Path, Repetition, Segment, SegmentName, Structure, Value};
use crate::mapping::plan::{Check, Condition, Pattern};

/// How deep `each` may go: `OBR/OBX` and one more.
pub(super) const DEPTH_MAX: usize = 3;

/// Where a row stands: a group, and the segment that `each` is at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'m> {
    pub(super) group: GroupId,
    pub(super) segment: Option<Segment<'m>>,
    place: Place,
}

/// `OBR[1].OBX[2]`; empty for the whole message.
#[derive(Clone, Copy, Default)]
struct Place {
    steps: [Option<(SegmentName, usize)>; DEPTH_MAX],
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, number)) in self.steps.iter().flatten().enumerate() {
            write!(f, "{}{}[{number}]", if index > 0 { "." } else { "" }, name.as_str())?;
        }
        Ok(())
    }
}

impl<'m> Scope<'m> {
    /// The whole message.
    pub(super) fn whole() -> Scope<'m> {
        Scope { group: Structure::root(), segment: None, place: Place::default() }
    }

    fn inner(&self, segment: Segment<'m>, group: GroupId, name: SegmentName, number: usize) -> Scope<'m> {
        let mut place = self.place;
        if let Some(free) = place.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some((name, number));
        }
        Scope { group, segment: Some(segment), place }
    }

    /// The scope of one segment, at the same place.
    pub(super) fn at(&self, segment: Segment<'m>, group: GroupId) -> Scope<'m> {
        Scope { group, segment: Some(segment), place: self.place }
    }

    /// A refusal that begins with the place.
    pub(super) fn refusal(&self, text: &str) -> Refusal {
        if self.place.steps[0].is_none() {
            return Refusal(text.to_owned());
        }
        Refusal(format!("{}: {text}", self.place))
    }
}

/// The segments of a message with their groups, for look-ups.
pub(super) struct Places<'m> {
    pub(super) message: &'m Message,
    structure: Option<&'m Structure>,
    segments: Vec<(Segment<'m>, &'m str, GroupId)>,
    /// Groups of which the pattern is known.
    textual: RefCell<Vec<(GroupId, bool)>>,
}

impl<'m> Places<'m> {
    pub(super) fn new(message: &'m Message, structure: Option<&'m Structure>) -> Places<'m> {
        let group = |segment: &Segment<'m>| {
            structure.map_or(Structure::root(), |structure| structure.group_of(segment.index()))
        };
        let segments = message.segments().map(|segment| (segment, segment.name(), group(&segment))).collect();
        Places { message, structure, segments, textual: RefCell::default() }
    }

    pub(super) fn is_within(&self, inner: GroupId, outer: GroupId) -> bool {
        self.structure.is_none_or(|structure| structure.within(inner, outer))
    }

    /// The segments of a name inside a group, with their own groups, in order.
    fn inside(&self, name: &str, group: GroupId) -> impl Iterator<Item = (Segment<'m>, GroupId)> {
        let found = self.segments.iter().filter(move |(_, found, own)| *found == name && self.is_within(*own, group));
        found.map(|(segment, _, own)| (*segment, *own))
    }

    /// Every segment with name and group, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &(Segment<'m>, &'m str, GroupId)> {
        self.segments.iter()
    }

    /// Name of a group in the standard.
    pub(super) fn group_name(&self, group: GroupId) -> &'static str {
        self.structure.map_or("MESSAGE", |structure| structure.name(group))
    }

    /// The segment a path means: the one at hand, else the first of its name in the scope's group, else, going outwards,
    /// the first that is in no sibling of the group we came from.
    pub(super) fn segment(&self, scope: &Scope<'m>, name: SegmentName) -> Option<Segment<'m>> {
        let name = name.as_str();
        if let Some(segment) = scope.segment.filter(|segment| segment.name() == name) {
            return Some(segment);
        }
        if let Some((segment, _)) = self.inside(name, scope.group).next() {
            return Some(segment);
        }
        let structure = self.structure?;
        let mut from = scope.group;
        while let Some(around) = structure.parent(from) {
            let sibling = |own: GroupId| self.is_in_sibling(structure, own, from, around);
            if let Some((segment, _)) = self.inside(name, around).find(|(_, own)| !sibling(*own)) {
                return Some(segment);
            }
            from = around;
        }
        None
    }

    /// True when `own` lies in another group of `from`'s kind under `around`.
    fn is_in_sibling(&self, structure: &Structure, own: GroupId, from: GroupId, around: GroupId) -> bool {
        let mut group = own;
        while group != around {
            if group != from && structure.name(group) == structure.name(from) {
                return true;
            }
            match structure.parent(group) {
                Some(parent) => group = parent,
                None => return false,
            }
        }
        false
    }

    /// Hands each value of a path to `take`, repetitions as the path says, until it says stop.
    pub(super) fn each_value(&self, scope: &Scope<'m>, path: &Path, mut take: impl FnMut(Value<'m>) -> bool) {
        let Some(name) = path.segment else { return };
        match path.segment_index {
            Index::First => {
                if let Some(segment) = self.segment(scope, name) {
                    path.in_segment(segment).find(|value| take(*value));
                }
            }
            Index::Nth(_) | Index::All => {
                path.in_message(self.message).find(|value| take(*value));
            }
        }
    }

    /// The first value of a path here, also when it is not valued.
    pub(super) fn value(&self, scope: &Scope<'m>, path: &Path) -> Option<Value<'m>> {
        if path.segment_index == Index::First && path.repetition == Repetition::First {
            return path.in_segment(self.segment(scope, path.segment?)?).next();
        }
        let mut first = None;
        self.each_value(scope, path, |value| {
            first = Some(value);
            true
        });
        first
    }

    fn any_valued(&self, scope: &Scope<'m>, path: &Path) -> bool {
        let mut valued = false;
        self.each_value(scope, path, |value| {
            valued = value.is_valued();
            valued
        });
        valued
    }

    pub(super) fn text(&self, scope: &Scope<'m>, path: &Path) -> Cow<'m, str> {
        self.value(scope, path).map(|value| value.trimmed()).unwrap_or_default()
    }

    pub(super) fn first_text(&self, scope: &Scope<'m>, paths: &[Path]) -> Cow<'m, str> {
        let mut texts = paths.iter().map(|path| self.text(scope, path));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    }

    pub(super) fn all_hold(&self, scope: &Scope<'m>, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds(scope, condition))
    }

    /// A condition on the segment at hand alone: false when it speaks of another segment.
    pub(super) fn holds_for(&self, scope: &Scope<'m>, condition: &Condition) -> bool {
        let own = scope.segment.map(|segment| segment.name());
        match condition {
            Condition::In(path, _) | Condition::NotIn(path, _) | Condition::Valued(path) | Condition::Absent(path) => {
                path.segment.is_some_and(|name| Some(name.as_str()) == own) && self.holds(scope, condition)
            }
            Condition::SegmentValued(_) | Condition::Differ(_) | Condition::Count { .. } | Condition::Pattern(_) => {
                self.holds(scope, condition)
            }
        }
    }

    fn holds(&self, scope: &Scope<'m>, condition: &Condition) -> bool {
        match condition {
            Condition::Valued(path) => self.any_valued(scope, path),
            Condition::Absent(path) => !self.any_valued(scope, path),
            Condition::SegmentValued(name) => {
                self.segment(scope, *name).is_some_and(|segment| segment.fields().any(|field| field.is_valued()))
            }
            Condition::In(path, codes) => codes.iter().any(|code| *code == self.text(scope, path)),
            Condition::NotIn(path, codes) => !codes.iter().any(|code| *code == self.text(scope, path)),
            Condition::Differ(paths) => self.differ(scope, paths),
            Condition::Count { segment, below, above } => {
                let count = self.segments.iter().filter(|(_, name, _)| *name == segment.as_str()).count();
                below.is_some_and(|limit| count < limit) || above.is_some_and(|limit| count > limit)
            }
            Condition::Pattern(Pattern::TextualReport) => self.is_textual_report(scope),
            Condition::Pattern(Pattern::Collection) => !self.is_textual_report(scope),
        }
    }

    fn differ(&self, scope: &Scope<'m>, paths: &[Path]) -> bool {
        let mut seen: Option<Cow<'_, str>> = None;
        let mut differ = false;
        for path in paths {
            self.each_value(scope, path, |value| {
                let text = value.trimmed();
                if text.is_empty() {
                    return false;
                }
                differ |= seen.as_ref().is_some_and(|first| *first != text);
                seen.get_or_insert(text);
                differ
            });
        }
        differ
    }

    /// hl7-api 6.1.1, asked of the order the scope is in.
    fn is_textual_report(&self, scope: &Scope<'m>) -> bool {
        let observation = scope.segment.is_some_and(|segment| segment.name() == "OBX");
        let group = match self.structure {
            Some(structure) if observation => structure.parent(scope.group).unwrap_or(scope.group),
            Some(_) | None => scope.group,
        };
        if let Some((_, known)) = self.textual.borrow().iter().find(|(known, _)| *known == group) {
            return *known;
        }
        let textual = self.reads_as_text(group);
        self.textual.borrow_mut().push((group, textual));
        textual
    }

    /// At least two lines of text, every OBX-2 in TX, FT, ST, and one code over all OBX of the group.
    fn reads_as_text(&self, group: GroupId) -> bool {
        let mut lines = 0;
        let mut first: Option<(Cow<'_, str>, Cow<'_, str>)> = None;
        for (segment, _) in self.inside("OBX", group) {
            if !matches!(&*segment.field(2).trimmed(), "TX" | "FT" | "ST") {
                return false;
            }
            let test = (segment.field(3).component(1).trimmed(), segment.field(3).component(3).trimmed());
            if first.get_or_insert_with(|| test.clone()) != &test {
                return false;
            }
            for repetition in segment.field(5).repetitions() {
                lines += repetition.formatted().split('\n').filter(|line| !line.trim().is_empty()).count();
            }
        }
        lines >= 2
    }

    /// Refuses when a check's conditions hold.
    pub(super) fn run_checks(&self, checks: &[Check], scope: &Scope<'m>) -> Result<(), Refusal> {
        for check in checks {
            self.each_scope(scope, &check.each, &mut |scope| {
                if self.all_hold(scope, &check.conditions) { Err(scope.refusal(&check.refusal)) } else { Ok(()) }
            })?;
        }
        Ok(())
    }

    /// Runs `take` for each scope that `each` goes through; for the scope itself when there is no `each`.
    pub(super) fn each_scope(
        &self,
        scope: &Scope<'m>,
        each: &[SegmentName],
        take: &mut dyn FnMut(&Scope<'m>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Some((name, rest)) = each.split_first() else { return take(scope) };
        for (index, (segment, own)) in self.inside(name.as_str(), scope.group).enumerate() {
            self.each_scope(&scope.inner(segment, own, *name, index + 1), rest, take)?;
        }
        Ok(())
    }
}
