//! Where in the message a row stands, and what paths and conditions mean there.
//!
//! A path means the segment at hand, else one of its group, else one of the groups around; never one of a sibling group,
//! so that a result does not borrow another order's time or note. Knows nothing of FHIR.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::reads::Reading;
use crate::fhir::date_range;
use crate::hl7v2::{
    GroupId, Index, Message, Path, Precision, Repetition, Segment, SegmentName, Structure, Timestamp, Value, Zone,
};
use crate::mapping::convert;
use crate::mapping::plan::{Check, Condition, Pattern, Same};
use crate::record::{Fault, Refusal};

/// How deep `each` may go: `OBR/OBX` and one more.
pub(super) const DEPTH_MAX: usize = 3;

/// Where a row stands: a group, and the segment that `each` is at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'m> {
    pub(super) group: GroupId,
    pub(super) segment: Option<(Segment<'m>, SegmentName)>,
    /// The value that relative paths start at.
    pub(super) value: Option<Value<'m>>,
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

/// True when a group, or one around it below `around`, is of this kind.
fn lies_in(structure: &Structure, own: GroupId, kind: &str, around: GroupId) -> bool {
    let mut group = own;
    while group != around {
        if structure.name(group) == kind {
            return true;
        }
        match structure.parent(group) {
            Some(parent) => group = parent,
            None => return false,
        }
    }
    false
}

impl<'m> Scope<'m> {
    /// The whole message.
    pub(super) fn whole() -> Scope<'m> {
        Scope { group: Structure::root(), segment: None, value: None, place: Place::default() }
    }

    fn inner(&self, segment: Segment<'m>, group: GroupId, name: SegmentName, number: usize) -> Scope<'m> {
        let mut place = self.place;
        if let Some(free) = place.steps.iter_mut().find(|step| step.is_none()) {
            *free = Some((name, number));
        }
        Scope { group, segment: Some((segment, name)), value: None, place }
    }

    /// The scope of one segment, at the same place.
    pub(super) fn at(&self, segment: Segment<'m>, name: SegmentName, group: GroupId) -> Scope<'m> {
        Scope { group, segment: Some((segment, name)), value: None, place: self.place }
    }

    /// The scope of one value, at the same place.
    pub(super) fn at_value(&self, value: Value<'m>) -> Scope<'m> {
        Scope { value: Some(value), ..*self }
    }

    /// A refusal that begins with the place.
    pub(super) fn refusal(&self, fault: Fault, text: &str) -> Refusal {
        Refusal::new(fault, self.place(text))
    }

    /// Where it is: `OBR[1].OBX[2]`; empty for the whole message.
    pub(super) fn path(&self) -> String {
        self.place.to_string()
    }

    /// What stands at this place: `OBR[1].OBX[2]: OBX-8`.
    pub(super) fn place(&self, text: &str) -> String {
        match self.place.steps[0] {
            None => text.to_owned(),
            Some(_) => format!("{}: {text}", self.place),
        }
    }
}

/// A name looked for inside a group, outside groups of a kind.
type Outside = (SegmentName, GroupId, &'static str);

/// Indexes of segments by the text at a path.
type ByValue = HashMap<String, Vec<usize>>;

/// The texts of an order: which OBX began the text of a line, and the lines of each text in order.
#[derive(Default)]
struct Texts {
    starts: HashMap<usize, usize>,
    lines: HashMap<usize, Vec<usize>>,
}

/// What `OBR[*]-3` finds, gathered once for a message, whatever asks for it and how often.
#[derive(Default)]
struct Everywhere<'m> {
    /// What is not empty, in order; of what is not valued, which tells nothing more the second time, the first, and the
    /// first `""`.
    values: Vec<Value<'m>>,
    nulled: bool,
    /// The first text and the first other one.
    texts: [Option<Cow<'m, str>>; 2],
}

impl<'m> Everywhere<'m> {
    fn add(&mut self, value: Value<'m>) {
        let nulls = !self.nulled && value.is_null();
        self.nulled |= nulls;
        if nulls || self.values.is_empty() || value.is_valued() {
            self.values.push(value);
        }
        if self.texts[1].is_some() {
            return;
        }
        let text = value.trimmed();
        match &self.texts[0] {
            None if !text.is_empty() => self.texts[0] = Some(text),
            Some(first) if !text.is_empty() && *first != text => self.texts[1] = Some(text),
            None | Some(_) => {}
        }
    }
}

/// A segment with its group.
type Found<'m> = (Segment<'m>, GroupId);

/// The segments of a message with their groups, for look-ups. No look-up goes through the whole message, so that the
/// cost stays linear in its length.
pub(super) struct Places<'m> {
    structure: Option<&'m Structure>,
    zone: &'m Zone,
    segments: Vec<(Segment<'m>, Option<SegmentName>, GroupId)>,
    /// Indexes into `segments` by name, in order.
    by_name: Vec<(SegmentName, Vec<usize>)>,
    /// Groups of which the pattern is known.
    textual: RefCell<HashMap<GroupId, bool>>,
    /// What a name means outside a group of some kind, where that had to be searched for.
    outside: RefCell<HashMap<Outside, Option<usize>>>,
    /// Indexes of segments by name, path and value.
    valued: RefCell<HashMap<(SegmentName, Path), ByValue>>,
    /// Texts of the orders where they are known.
    texts: RefCell<HashMap<GroupId, Texts>>,
    /// What paths through all segments of a name find.
    everywhere: RefCell<HashMap<Path, Rc<Everywhere<'m>>>>,
    pub(super) reading: Reading,
}

impl<'m> Places<'m> {
    pub(super) fn new(message: &'m Message, structure: Option<&'m Structure>, zone: &'m Zone) -> Places<'m> {
        let mut segments = Vec::with_capacity(message.segment_count());
        let mut by_name: Vec<(SegmentName, Vec<usize>)> = Vec::new();
        for (index, segment) in message.segments().enumerate() {
            let name = SegmentName::parse(segment.name());
            let group = structure.map_or(Structure::root(), |structure| structure.group_of(segment.index()));
            segments.push((segment, name, group));
            let Some(name) = name else { continue };
            match by_name.iter_mut().find(|(known, _)| *known == name) {
                Some((_, indexes)) => indexes.push(index),
                None => by_name.push((name, vec![index])),
            }
        }
        let (textual, outside) = (RefCell::default(), RefCell::default());
        let (valued, texts, everywhere) = (RefCell::default(), RefCell::default(), RefCell::default());
        let reading = Reading::of(message);
        Places { structure, zone, segments, by_name, textual, outside, valued, texts, everywhere, reading }
    }

    /// Number of segments of a name.
    fn count(&self, name: SegmentName) -> usize {
        self.by_name.iter().find(|(known, _)| *known == name).map_or(0, |(_, indexes)| indexes.len())
    }

    fn span(&self, group: GroupId) -> (usize, usize) {
        self.structure.map_or((0, usize::MAX), |structure| structure.span(group))
    }

    /// Indexes of the segments of a name inside a group, in order.
    fn indexes(&self, name: SegmentName, group: GroupId) -> &[usize] {
        let indexes = self.by_name.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, indexes)| indexes);
        let (first, last) = self.span(group);
        let from = indexes.partition_point(|index| *index < first);
        let to = indexes.partition_point(|index| *index <= last);
        indexes.get(from..to).unwrap_or_default()
    }

    fn found(&self, index: usize) -> Option<Found<'m>> {
        self.segments.get(index).map(|(segment, _, group)| (*segment, *group))
    }

    /// The segments of a name inside a group, with their own groups, in order.
    fn inside(&self, name: SegmentName, group: GroupId) -> impl Iterator<Item = Found<'m>> {
        self.indexes(name, group).iter().filter_map(|index| self.found(*index))
    }

    /// The notes on an OBX, in order; none where its group is not its own, so that they are not its alone.
    pub(super) fn notes_of(&self, obx: Segment<'m>, group: GroupId) -> impl Iterator<Item = Segment<'m>> {
        let own = self.structure.is_some_and(|structure| structure.anchor(group) == obx.index());
        let name = SegmentName::parse("NTE").filter(|_| own);
        name.into_iter().flat_map(move |name| self.inside(name, group)).map(|(note, _)| note)
    }

    /// The segments of a group that paths name, in order, each with the first such path.
    pub(super) fn named_by<'p>(&self, paths: &'p [Path], group: GroupId) -> Vec<(Found<'m>, &'p Path)> {
        let mut found: Vec<(usize, &'p Path)> = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            let Some(name) = path.segment else { continue };
            if !paths.iter().take(at).any(|before| before.segment == path.segment) {
                found.extend(self.indexes(name, group).iter().map(|index| (*index, path)));
            }
        }
        found.sort_unstable_by_key(|(index, _)| *index);
        found.into_iter().filter_map(|(index, path)| Some((self.found(index)?, path))).collect()
    }

    /// Whether a group is opened by a segment of this name.
    pub(super) fn begins_with(&self, group: GroupId, name: SegmentName) -> bool {
        let Some(structure) = self.structure else { return false };
        self.segments.get(structure.anchor(group)).is_some_and(|(_, own, _)| *own == Some(name))
    }

    /// Name of a group in the standard.
    pub(super) fn group_name(&self, group: GroupId) -> &'static str {
        self.structure.map_or("MESSAGE", |structure| structure.name(group))
    }

    /// The segment a path means: the one at hand, else the first of its name in the scope's group, else, going outwards,
    /// the first that is in no sibling of the group we came from.
    pub(super) fn segment(&self, scope: &Scope<'m>, name: SegmentName) -> Option<Segment<'m>> {
        if let Some((segment, own)) = scope.segment
            && own == name
        {
            return Some(segment);
        }
        if let Some(index) = self.indexes(name, scope.group).first() {
            return self.found(*index).map(|(segment, _)| segment);
        }
        let structure = self.structure?;
        let mut from = scope.group;
        while let Some(around) = structure.parent(from) {
            if let Some(index) = self.outside(structure, name, structure.name(from), around) {
                return self.found(index).map(|(segment, _)| segment);
            }
            from = around;
        }
        None
    }

    /// The first segment of a name inside `around` that lies in no group of this kind.
    fn outside(&self, structure: &Structure, name: SegmentName, kind: &'static str, around: GroupId) -> Option<usize> {
        let fits = |index: &usize| match self.found(*index) {
            Some((_, own)) => !lies_in(structure, own, kind, around),
            None => false,
        };
        let candidates = self.indexes(name, around);
        let first = candidates.first()?;
        if fits(first) {
            return Some(*first);
        }
        let key = (name, around, kind);
        if let Some(known) = self.outside.borrow().get(&key) {
            return *known;
        }
        let found = candidates.iter().find(|index| fits(index)).copied();
        self.outside.borrow_mut().insert(key, found);
        found
    }

    /// Hands each value of a path to `take`, repetitions as the path says, until it says stop.
    pub(super) fn each_value(&self, scope: &Scope<'m>, path: &Path, mut take: impl FnMut(Value<'m>) -> bool) {
        self.values_at(scope, path, |value| {
            self.read_value(value);
            take(value)
        });
    }

    fn read_value(&self, value: Value<'m>) {
        if let Some(segment) = value.segment() {
            self.reading.read(segment, value.field());
        }
    }

    /// As [`Self::each_value`], where nothing but the place is asked for.
    pub(super) fn values_at(&self, scope: &Scope<'m>, path: &Path, mut take: impl FnMut(Value<'m>) -> bool) {
        let Some(name) = path.segment else {
            scope.value.map(|value| path.in_value(value)).filter(|value| !value.is_empty()).map(take);
            return;
        };
        match path.segment_index {
            Index::First => {
                if let Some(segment) = self.segment(scope, name) {
                    path.in_segment(segment).find(|value| take(*value));
                }
            }
            Index::Nth(number) => {
                let index = self.indexes(name, Structure::root()).get(usize::from(number).saturating_sub(1));
                let segment = index.and_then(|index| self.found(*index));
                segment.and_then(|(segment, _)| path.in_segment(segment).find(|value| take(*value)));
            }
            Index::All => {
                self.everywhere(name, path).values.iter().find(|value| take(**value));
            }
        }
    }

    /// What a path finds in all segments of a name.
    fn everywhere(&self, name: SegmentName, path: &Path) -> Rc<Everywhere<'m>> {
        if let Some(known) = self.everywhere.borrow().get(path) {
            return known.clone();
        }
        let mut found = Everywhere::default();
        for (segment, _) in self.inside(name, Structure::root()) {
            path.in_segment(segment).for_each(|value| found.add(value));
        }
        let found = Rc::new(found);
        self.everywhere.borrow_mut().insert(path.clone(), found.clone());
        found
    }

    /// The first value of a path here, also when it is not valued.
    pub(super) fn value(&self, scope: &Scope<'m>, path: &Path) -> Option<Value<'m>> {
        if path.segment.is_some() && path.segment_index == Index::First && path.repetition == Repetition::First {
            let segment = self.segment(scope, path.segment?)?;
            self.reading.read(segment, path.field);
            return path.in_segment(segment).next();
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
        let own = scope.segment.map(|(_, name)| name);
        match condition {
            Condition::In(path, _)
            | Condition::NotIn(path, _)
            | Condition::Valued(path)
            | Condition::Absent(path)
            | Condition::NoQuantity(path)
            | Condition::Document(path)
            | Condition::NoDocument(path)
            | Condition::Time(path)
            | Condition::Date(path) => path.segment.is_some() && path.segment == own && self.holds(scope, condition),
            Condition::SegmentValued(_)
            | Condition::SegmentAbsent(_)
            | Condition::Within(_)
            | Condition::Outside(_)
            | Condition::Differ(_)
            | Condition::After(_)
            | Condition::Count { .. }
            | Condition::Loose(_)
            | Condition::Pattern(_) => self.holds(scope, condition),
        }
    }

    fn holds(&self, scope: &Scope<'m>, condition: &Condition) -> bool {
        match condition {
            Condition::Valued(path) => self.any_valued(scope, path),
            Condition::Time(path) => self.time(scope, path).is_some(),
            Condition::Date(path) => self.time(scope, path).is_some_and(|time| time.precision() < Precision::Hour),
            Condition::Absent(path) => !self.any_valued(scope, path),
            Condition::NoQuantity(path) => {
                self.value(scope, path).and_then(|value| value.segment()).is_none_or(|obx| !convert::is_quantity(obx))
            }
            Condition::Document(path) => self.is_document(scope, path),
            Condition::NoDocument(path) => !self.is_document(scope, path),
            Condition::SegmentValued(name) => {
                self.segment(scope, *name).is_some_and(|segment| segment.fields().any(|field| field.is_valued()))
            }
            Condition::SegmentAbsent(name) => self.segment(scope, *name).is_none(),
            Condition::Within(names) => self.lies_within(scope, names),
            Condition::Outside(names) => !self.lies_within(scope, names),
            Condition::In(path, codes) => codes.iter().any(|code| *code == self.text(scope, path)),
            Condition::NotIn(path, codes) => !codes.iter().any(|code| *code == self.text(scope, path)),
            Condition::Differ(paths) => self.differ(scope, paths),
            Condition::After([later, earlier]) => self.is_after(scope, later, earlier),
            Condition::Count { segment, below, above } => {
                let count = self.count(*segment);
                below.is_some_and(|limit| count < limit) || above.is_some_and(|limit| count > limit)
            }
            Condition::Loose(name) => self.structure.is_some_and(|structure| {
                self.outside(structure, *name, "ORDER_OBSERVATION", Structure::root()).is_some()
            }),
            Condition::Pattern(Pattern::TextualReport) => self.is_textual_report(scope),
            Condition::Pattern(Pattern::Collection) => !self.is_textual_report(scope),
            Condition::Pattern(Pattern::Result) => {
                scope.segment.is_none_or(|(segment, _)| self.text_start(segment.index()) == segment.index())
            }
        }
    }

    fn is_document(&self, scope: &Scope<'m>, path: &Path) -> bool {
        let Some(segment) = self.value(scope, path).and_then(|value| value.segment()) else { return false };
        // OBX-2 tells it as well.
        self.reading.read(segment, 2);
        convert::is_document(segment)
    }

    /// Whether the group of the segment at hand, or one around it, begins with one of these segments.
    fn lies_within(&self, scope: &Scope<'m>, names: &[SegmentName]) -> bool {
        let mut group = Some(scope.group);
        while let Some(at) = group {
            if names.iter().any(|name| self.begins_with(at, *name)) {
                return true;
            }
            group = self.structure.and_then(|structure| structure.parent(at));
        }
        false
    }

    /// The segments of a name, wherever they stand, whose values are those found here; not the one at hand.
    pub(super) fn same_as(&self, scope: &Scope<'m>, of: SegmentName, pairs: &[Same]) -> Vec<usize> {
        let Some((first, others)) = pairs.split_first() else { return Vec::new() };
        let value = self.text(scope, &first.here);
        if value.is_empty() {
            return Vec::new();
        }
        let own = scope.segment.map(|(segment, _)| segment.index());
        let there = |index: usize| Some(scope.at(self.found(index)?.0, of, self.found(index)?.1));
        let key = (of, first.there.clone());
        let mut valued = self.valued.borrow_mut();
        let by_value = valued.entry(key).or_insert_with(|| {
            let mut by_value = ByValue::new();
            for index in self.indexes(of, Structure::root()) {
                let text = there(*index).map(|scope| self.text(&scope, &first.there)).unwrap_or_default();
                if !text.is_empty() {
                    by_value.entry(text.into_owned()).or_default().push(*index);
                }
            }
            by_value
        });
        let equal = |scope_there: &Scope<'m>, pair: &Same| {
            let (here, there) = (self.text(scope, &pair.here), self.text(scope_there, &pair.there));
            here == there || pair.optional && (here.is_empty() || there.is_empty())
        };
        let found = by_value.get(&*value).into_iter().flatten().copied().filter(|index| Some(*index) != own);
        found.filter(|index| there(*index).is_some_and(|at| others.iter().all(|pair| equal(&at, pair)))).collect()
    }

    /// The OBX that began the text of which this OBX is a line; itself when it is a result of its own.
    fn text_start(&self, index: usize) -> usize {
        let around = self.around_of(index);
        let mut texts = self.texts.borrow_mut();
        let texts = texts.entry(around).or_insert_with(|| self.texts_of(around));
        texts.starts.get(&index).map_or(index, |start| *start)
    }

    /// The OBX of one text, in order; only this one when it is no text.
    pub(super) fn text_lines(&self, index: usize) -> Vec<Found<'m>> {
        let start = self.text_start(index);
        let texts = self.texts.borrow();
        let lines = texts.get(&self.around_of(index)).and_then(|texts| texts.lines.get(&start));
        match lines {
            Some(lines) => lines.iter().filter_map(|line| self.found(*line)).collect(),
            None => self.found(index).into_iter().collect(),
        }
    }

    /// The group around that of an OBX: its order.
    fn around_of(&self, index: usize) -> GroupId {
        let group = self.found(index).map_or(Structure::root(), |(_, group)| group);
        self.structure.and_then(|structure| structure.parent(group)).unwrap_or(group)
    }

    /// For each line of text in an order the OBX that began it (mapping-pitfalls 12). Lines go on under one code and
    /// sub-id; all of them where an order holds nothing but one text; and the parts of a report, which suffixes of the code
    /// name (`&GDT`, `&IMP`, `&REC`).
    fn texts_of(&self, around: GroupId) -> Texts {
        let Some(name) = SegmentName::parse("OBX") else { return Texts::default() };
        let own = self.indexes(name, around).iter().copied().filter(|index| self.around_of(*index) == around);
        let lines: Vec<(usize, Segment<'m>)> = own.filter_map(|index| Some((index, self.found(index)?.0))).collect();
        let kind = |obx: &Segment<'m>| obx.field(2).component(1).trimmed();
        let code = |obx: &Segment<'m>| {
            let code = obx.field(3).component(1);
            let code = if convert::code_suffix(obx.field(3)).is_some() { code.subcomponent(1) } else { code };
            (code.trimmed().into_owned(), obx.field(3).component(3).trimmed().into_owned())
        };
        let is_text = |obx: &Segment<'m>| matches!(&*kind(obx), "TX" | "FT" | "ST") && !convert::is_document(*obx);
        let one_text = lines.iter().all(|(_, obx)| is_text(obx))
            && lines
                .iter()
                .all(|(_, obx)| obx.field(3).component(1).trimmed() == lines[0].1.field(3).component(1).trimmed())
            && lines.iter().any(|(_, obx)| kind(obx) != "ST");
        let mut starts: HashMap<_, usize> = HashMap::new();
        let mut found = Texts::default();
        for (index, obx) in &lines {
            let part = is_text(obx) && convert::code_suffix(obx.field(3)).is_some();
            if !is_text(obx) || !part && !one_text && kind(obx) == "ST" {
                continue;
            }
            let sub_id = if part || one_text { String::new() } else { obx.field(4).trimmed().into_owned() };
            let start = *starts.entry((code(obx), sub_id, part)).or_insert(*index);
            found.starts.insert(*index, start);
            found.lines.entry(start).or_default().push(*index);
        }
        found
    }

    fn time(&self, scope: &Scope<'m>, path: &Path) -> Option<Timestamp> {
        self.value(scope, path).and_then(|value| convert::timestamp(value).ok().flatten())
    }

    /// Compares by what the times stand for: 10:00 is not after the day it lies in.
    fn is_after(&self, scope: &Scope<'m>, later: &Path, earlier: &Path) -> bool {
        let range = |path| {
            let time = convert::date_time(self.value(scope, path)?, self.zone).ok()??;
            date_range(time.as_str()?)
        };
        range(later).zip(range(earlier)).is_some_and(|((from, _), (_, to))| from >= to)
    }

    fn differ(&self, scope: &Scope<'m>, paths: &[Path]) -> bool {
        let mut seen: Option<Cow<'m, str>> = None;
        let mut differ = false;
        let mut tell = |text: Cow<'m, str>| {
            if !text.is_empty() {
                differ |= seen.as_ref().is_some_and(|first| *first != text);
                seen.get_or_insert(text);
            }
            differ
        };
        for path in paths {
            match path.segment.filter(|_| path.segment_index == Index::All) {
                Some(name) => {
                    self.everywhere(name, path).texts.iter().flatten().cloned().for_each(|text| _ = tell(text))
                }
                None => self.each_value(scope, path, |value| tell(value.trimmed())),
            }
        }
        differ
    }

    /// hl7-api 6.1.1, asked of the order the scope is in.
    fn is_textual_report(&self, scope: &Scope<'m>) -> bool {
        let observation = scope.segment.is_some_and(|(_, name)| name.as_str() == "OBX");
        let group = match self.structure {
            Some(structure) if observation => structure.parent(scope.group).unwrap_or(scope.group),
            Some(_) | None => scope.group,
        };
        if let Some(known) = self.textual.borrow().get(&group) {
            return *known;
        }
        let textual = self.reads_as_text(group);
        self.textual.borrow_mut().insert(group, textual);
        textual
    }

    /// At least two lines of text, every OBX-2 in TX, FT, ST, and one code over all OBX of the group.
    fn reads_as_text(&self, group: GroupId) -> bool {
        let mut lines = 0;
        let mut first: Option<(Cow<'_, str>, Cow<'_, str>)> = None;
        for (segment, _) in SegmentName::parse("OBX").into_iter().flat_map(|name| self.inside(name, group)) {
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
                if self.all_hold(scope, &check.conditions) {
                    Err(scope.refusal(check.fault(), &check.refusal))
                } else {
                    Ok(())
                }
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
        for (index, (segment, own)) in self.inside(*name, scope.group).enumerate() {
            self.each_scope(&scope.inner(segment, own, *name, index + 1), rest, take)?;
        }
        Ok(())
    }
}
