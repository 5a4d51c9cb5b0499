//! Translates one message by a compiled mapping into a record update; pure, no I/O, no clock.
//!
//! A message the mapping has no answer for is refused with a reason that names segment, field and repetition; nothing
//! is dropped without being counted (see [`unmapped`]).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use fairway_care::{Label, Organisation, TeamRequest};

use super::convert::{self, Conversion};
use super::identifiers::{IdentifierType, patient_identifiers};
use super::plan::{
    BlockId, Check, CodeShape, Condition, KeyPart, MessagePlan, Need, Op, Pattern, Plan, Row, Source, WritePlan,
};
use crate::fhir::Json;
use crate::hl7v2::{GroupId, Message, Path, Repetition, Segment, SegmentName, Structure, Value, Zone};
use crate::record::{
    Assignment, Blob, Change, Item, PATIENT_REFERENCE, PatientUpdate, Policy, RecordUpdate, ResourceId, apply,
};

/// Everything of a feed that translating its messages needs.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Name, that of its file.
    pub name: String,
    /// Its mapping.
    pub plan: Arc<Plan>,
    /// Who sends it.
    pub organisation: Arc<Organisation>,
    /// Patient identifiers it knows: the national ones and the organisation's own.
    pub identifiers: Arc<[IdentifierType]>,
    /// Zone of times without an offset.
    pub zone: Zone,
    /// Labels by PV1-10 code (hl7-api 8.2, rule 1).
    pub specialty_labels: HashMap<String, Label>,
    /// Labels by OBR-4 code (hl7-api 8.2, rule 2).
    pub service_labels: HashMap<String, Label>,
    /// Only national numbers of the reserved test range are taken (design 3).
    pub test_numbers_only: bool,
    /// Only messages with MSH-11 `P` are taken (hl7-api 1.4).
    pub production_only: bool,
}

/// A message that is answered `AR`: why, for its sender, without the prefix of hl7-api 1.5.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Something an integration engineer should look at in an accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where in the message, e.g. `PID-8.1`.
    pub path: String,
    /// What was found; never the value itself.
    pub text: String,
}

/// What a message asks for, and what was noticed on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Translation {
    /// The record update.
    pub update: RecordUpdate,
    /// Codes without a mapping and the like.
    pub findings: Vec<Finding>,
}

/// Translates a message of this feed.
///
/// # Errors
/// A [`Refusal`] when the mapping does not handle the message type, a check of it fails, a required element is missing
/// or a value cannot be read.
pub fn translate(feed: &Feed, message: &Message) -> Result<Translation, Refusal> {
    let refuse = |text: String| Err(Refusal(text));
    let (code, trigger) = (message.code(), message.trigger());
    let Some(plan) = feed.plan.message(&code, &trigger) else {
        return refuse(format!("MSH-9: {code}^{trigger} is not handled by the feed {}", feed.name));
    };
    if feed.production_only && message.processing_id() != "P" {
        return refuse("MSH-11.1 (processing id) must be P in production".to_owned());
    }
    if message.control_id().trim().is_empty() {
        return refuse("MSH-10.1 (message control id) must be provided. You provided []".to_owned());
    }
    let header = message.segment_at(0).map(|segment| segment.field(7).component(1));
    let sent_at = match header.map(convert::timestamp) {
        Some(Ok(Some(time))) => time.instant(&feed.zone),
        Some(Err(text)) => return refuse(format!("MSH-7.1 (message time) {text}")),
        Some(Ok(None)) | None => {
            return refuse("MSH-7.1 (message time) must be provided. You provided []".to_owned());
        }
    };
    let structure = plan.grouped.then(|| Structure::of(message));
    let mut run = Run { feed, message, structure: structure.as_ref(), blobs: Vec::new(), findings: Vec::new() };
    let whole = Scope { group: Structure::root(), segment: None, place: String::new() };
    run.checks(&plan.checks, &whole)?;
    let identifiers = patient_identifiers(message, &feed.identifiers, feed.test_numbers_only).map_err(Refusal)?;
    if identifiers.is_empty() {
        return refuse(
            "PID-3: at least one patient identifier that this organisation uses must be provided".to_owned(),
        );
    }
    let mut patient = PatientUpdate {
        demographics: plan.patient.demographics,
        identifiers,
        assignments: Vec::new(),
        missing: Vec::new(),
    };
    run.block(plan.patient.rows, &whole, &mut patient.assignments, &mut patient.missing)?;
    let teams = plan.teams.as_ref().and_then(|(add, remove)| teams(message, add, remove));
    let changes = run.writes(plan, &whole)?;
    let source_team = feed.organisation.team(message.sending_facility().trim());
    let creating_team = source_team.unwrap_or_else(|| feed.organisation.default_team()).alias.clone();
    let Run { blobs, findings, .. } = run;
    let update = RecordUpdate {
        organisation: feed.organisation.clone(),
        creating_team,
        sent_at,
        patient,
        teams,
        changes,
        blobs,
    };
    Ok(Translation { update, findings })
}

/// The aliases of the segment that lists teams; none when it is not there or empty.
fn teams(message: &Message, add: &Path, remove: &Path) -> Option<TeamRequest> {
    let aliases = |path: &Path| -> Vec<String> {
        let values = path.in_message(message).map(|value| value.trimmed().into_owned());
        values.filter(|alias| !alias.is_empty()).collect()
    };
    let request = TeamRequest { add: aliases(add), remove: aliases(remove) };
    (!request.add.is_empty() || !request.remove.is_empty()).then_some(request)
}

/// The valued fields of a message that its mapping does not read, as `PID-10` or, where only other components are read,
/// `PID-5.7`; each once.
pub fn unmapped(plan: &Plan, message: &Message) -> Vec<String> {
    let Some(plan) = plan.message(&message.code(), &message.trigger()) else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    let mut add = |path: String| {
        if !found.contains(&path) {
            found.push(path);
        }
    };
    for segment in message.segments() {
        let name = segment.name();
        for number in 1..=segment.field_count() {
            // Separators and set ids say nothing of the patient.
            if (name == "MSH" && number < 3) || (number == 1 && matches!(name, "PID" | "PV1" | "OBR" | "OBX" | "NTE")) {
                continue;
            }
            let field = segment.field(number);
            if !field.is_valued() {
                continue;
            }
            let reads = plan.reads.iter().filter(|read| read.0.as_str() == name && read.1 == number);
            let components: Vec<u16> = reads.map(|read| read.2).collect();
            if components.is_empty() {
                add(format!("{name}-{number}"));
            } else if !components.contains(&0) {
                for repetition in field.repetitions() {
                    for (index, component) in repetition.components().enumerate() {
                        let component_number = u16::try_from(index + 1).unwrap_or(u16::MAX);
                        if component.is_valued() && !components.contains(&component_number) {
                            add(format!("{name}-{number}.{component_number}"));
                        }
                    }
                }
            }
        }
    }
    found
}

/// Where in the message a row stands: a group, and the segment that `each` is at.
struct Scope<'m> {
    group: GroupId,
    segment: Option<Segment<'m>>,
    /// `OBR[1].OBX[2]` for refusals; empty for the whole message.
    place: String,
}

struct Run<'a, 'm> {
    feed: &'a Feed,
    message: &'m Message,
    structure: Option<&'a Structure>,
    blobs: Vec<Blob>,
    findings: Vec<Finding>,
}

impl<'m> Run<'_, 'm> {
    /// The segment a path means here: the one at hand, else the first of its name in the innermost group around.
    fn segment(&self, scope: &Scope<'m>, name: SegmentName) -> Option<Segment<'m>> {
        let name = name.as_str();
        if let Some(segment) = scope.segment.filter(|segment| segment.name() == name) {
            return Some(segment);
        }
        let Some(structure) = self.structure else { return self.message.first(name) };
        let mut group = scope.group;
        loop {
            let inside = |segment: &Segment<'_>| structure.within(structure.group_of(segment.index()), group);
            if let Some(segment) = self.message.named(name).find(inside) {
                // Going outwards, a segment of a sibling group is not ours: another order's OBX, say.
                let own = structure.group_of(segment.index());
                let sibling = own != group && group != scope.group && !structure.within(scope.group, own);
                if !sibling || !self.repeats(structure, own) {
                    return Some(segment);
                }
            }
            group = structure.parent(group)?;
        }
    }

    /// True when the group is one of several of its kind under its parent.
    fn repeats(&self, structure: &Structure, group: GroupId) -> bool {
        structure.named(structure.name(group)).nth(1).is_some()
    }

    /// The values of a path here, repetitions as the path says.
    fn values<'p>(&self, scope: &Scope<'m>, path: &'p Path) -> Vec<Value<'m>>
    where
        'm: 'p,
    {
        let Some(name) = path.segment else { return Vec::new() };
        match path.segment_index {
            crate::hl7v2::Index::First => match self.segment(scope, name) {
                Some(segment) => path.in_segment(segment).collect(),
                None => Vec::new(),
            },
            crate::hl7v2::Index::Nth(_) | crate::hl7v2::Index::All => path.in_message(self.message).collect(),
        }
    }

    /// The first value of a path here, also when it is not valued.
    fn value(&self, scope: &Scope<'m>, path: &Path) -> Option<Value<'m>> {
        if path.repetition == Repetition::First && path.segment_index == crate::hl7v2::Index::First {
            let segment = self.segment(scope, path.segment?)?;
            return path.in_segment(segment).next();
        }
        self.values(scope, path).into_iter().next()
    }

    fn text(&self, scope: &Scope<'m>, path: &Path) -> Cow<'m, str> {
        self.value(scope, path).map(|value| value.trimmed()).unwrap_or_default()
    }

    fn first_text(&self, scope: &Scope<'m>, paths: &[Path]) -> Cow<'m, str> {
        let mut texts = paths.iter().map(|path| self.text(scope, path));
        texts.find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn holds(&self, scope: &Scope<'m>, condition: &Condition) -> bool {
        match condition {
            Condition::Valued(path) => self.values(scope, path).iter().any(Value::is_valued),
            Condition::Absent(path) => !self.values(scope, path).iter().any(Value::is_valued),
            Condition::SegmentValued(name) => {
                self.segment(scope, *name).is_some_and(|segment| segment.fields().any(|field| field.is_valued()))
            }
            Condition::In(path, codes) => codes.iter().any(|code| *code == self.text(scope, path)),
            Condition::NotIn(path, codes) => !codes.iter().any(|code| *code == self.text(scope, path)),
            Condition::Differ(paths) => {
                let mut seen: Option<Cow<'_, str>> = None;
                for value in paths.iter().flat_map(|path| self.values(scope, path)) {
                    let text = value.trimmed();
                    match &seen {
                        _ if text.is_empty() => {}
                        Some(first) if *first != text => return true,
                        Some(_) => {}
                        None => seen = Some(text),
                    }
                }
                false
            }
            Condition::Count { segment, below, above } => {
                let count = self.message.named(segment.as_str()).count();
                below.is_some_and(|limit| count < limit) || above.is_some_and(|limit| count > limit)
            }
            Condition::Pattern(pattern) => {
                let textual = self.textual_report(scope);
                match pattern {
                    Pattern::TextualReport => textual,
                    Pattern::Collection => !textual,
                }
            }
        }
    }

    /// hl7-api 6.1.1: at least two lines of text, every OBX-2 in TX, FT, ST, and one code over all OBX of the group.
    fn textual_report(&self, scope: &Scope<'m>) -> bool {
        let mut lines = 0;
        let mut first: Option<(Cow<'_, str>, Cow<'_, str>)> = None;
        for segment in self.inside(scope, "OBX") {
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

    /// The segments of a name inside the scope's group, in order.
    fn inside(&self, scope: &Scope<'m>, name: &'m str) -> impl Iterator<Item = Segment<'m>> {
        let (structure, group) = (self.structure, self.outer(scope));
        self.message.named(name).filter(move |segment| {
            structure.is_none_or(|structure| structure.within(structure.group_of(segment.index()), group))
        })
    }

    /// The group around a scope, for patterns asked at an OBX: its order, not itself.
    fn outer(&self, scope: &Scope<'m>) -> GroupId {
        let observation = scope.segment.is_some_and(|segment| segment.name() == "OBX");
        match self.structure {
            Some(structure) if observation => structure.parent(scope.group).unwrap_or(scope.group),
            _ => scope.group,
        }
    }

    fn checks(&self, checks: &[Check], scope: &Scope<'m>) -> Result<(), Refusal> {
        for check in checks {
            for scope in self.scopes(scope, &check.each) {
                let scope = scope.as_ref();
                if check.conditions.iter().all(|condition| self.holds(scope, condition)) {
                    return Err(self.refusal(scope, &check.refusal));
                }
            }
        }
        Ok(())
    }

    fn refusal(&self, scope: &Scope<'m>, text: &str) -> Refusal {
        if scope.place.is_empty() { Refusal(text.to_owned()) } else { Refusal(format!("{}: {text}", scope.place)) }
    }

    /// The scopes that `each` goes through; the scope itself when there is no `each`.
    fn scopes<'s>(&self, scope: &'s Scope<'m>, each: &[SegmentName]) -> Vec<Cow2<'s, 'm>> {
        let Some((name, rest)) = each.split_first() else { return vec![Cow2::Borrowed(scope)] };
        let mut scopes = Vec::new();
        let structure = self.structure;
        let around = scope.group;
        let here = self.message.segments().filter(|segment| {
            segment.name() == name.as_str()
                && structure.is_none_or(|structure| structure.within(structure.group_of(segment.index()), around))
        });
        for (index, segment) in here.enumerate() {
            let group = structure.map_or(Structure::root(), |structure| structure.group_of(segment.index()));
            let mut place = scope.place.clone();
            if !place.is_empty() {
                place.push('.');
            }
            // Writing to a String cannot fail.
            write!(place, "{}[{}]", name.as_str(), index + 1).unwrap_or_default();
            let inner = Scope { group, segment: Some(segment), place };
            if rest.is_empty() {
                scopes.push(Cow2::Owned(inner));
            } else {
                for scope in self.scopes(&inner, rest) {
                    scopes.push(Cow2::Owned(scope.into_owned()));
                }
            }
        }
        scopes
    }

    fn writes(&mut self, plan: &MessagePlan, whole: &Scope<'m>) -> Result<Vec<Change>, Refusal> {
        let mut changes: Vec<Change> = Vec::new();
        for write in &plan.writes {
            for scope in self.scopes(whole, &write.each) {
                let scope = scope.as_ref();
                if !write.when.iter().all(|condition| self.holds(scope, condition)) {
                    continue;
                }
                let change = self.change(write, scope)?;
                if write.once && changes.iter().any(|earlier| earlier.id == change.id) {
                    let text = "a second value for one test under one filler order number; send one value per test";
                    return Err(self.refusal(scope, text));
                }
                changes.push(change);
            }
        }
        Ok(changes)
    }

    fn change(&mut self, write: &WritePlan, scope: &Scope<'m>) -> Result<Change, Refusal> {
        let (parts, key) = self.key(&write.key, scope)?;
        let organisation = self.feed.organisation.code();
        let id = ResourceId::of_point(organisation, write.resource, &key);
        let item = match &write.item {
            None => None,
            Some((kind, at)) => Some(self.item(kind, at, scope)?),
        };
        let mut assignments = Vec::with_capacity(16);
        let mut missing = Vec::new();
        let identifier = match &write.identifier[..] {
            [] => parts.join("|"),
            paths => self.first_text(scope, paths).into_owned(),
        };
        assignments.push(Assignment {
            path: identifier_path(write.resource),
            value: Some(sender_identifier(organisation, write.resource, &identifier)),
            is_default: false,
        });
        if let Some(rows) = write.rows {
            self.block(rows, scope, &mut assignments, &mut missing)?;
        }
        if write.policy == Policy::Replace
            && let Some(text) = missing.first()
        {
            return Err(Refusal(text.clone()));
        }
        let group = self.first_text(scope, &write.group).into_owned();
        Ok(Change {
            resource_type: write.resource,
            id,
            key,
            group: (!write.group.is_empty()).then_some(group),
            whole_group: write.whole_group,
            policy: write.policy,
            unknown: write.unknown,
            item,
            assignments,
            only: write.only.clone(),
            unite: write.unite.clone(),
            missing,
            label: self.label(write, scope),
        })
    }

    /// The parts of a key and the key itself.
    fn key(&self, parts: &[KeyPart], scope: &Scope<'m>) -> Result<(Vec<String>, String), Refusal> {
        let mut found = Vec::with_capacity(parts.len());
        for part in parts {
            let text: String = self.first_text(scope, &part.paths).chars().filter(|c| !c.is_control()).collect();
            if text.is_empty() && !part.optional {
                let path = part.paths.first().map(ToString::to_string).unwrap_or_default();
                return Err(self.refusal(scope, &must_be_provided(&path, &part.label)));
            }
            found.push(text);
        }
        while found.len() > 1 && found.last().is_some_and(String::is_empty) {
            found.pop();
        }
        let key = found.join("\u{1f}");
        Ok((found, key))
    }

    fn item(&self, kind: &Arc<str>, at: &[Path], scope: &Scope<'m>) -> Result<Item, Refusal> {
        for path in at {
            let Some(value) = self.value(scope, path) else { continue };
            match convert::timestamp(value) {
                Ok(None) => {}
                Ok(Some(time)) => {
                    let zone = &self.feed.zone;
                    let when = Some(time.fhir_date_time(zone));
                    return Ok(Item { kind: kind.clone(), at: Some(time.instant(zone)), when });
                }
                Err(text) => return Err(self.refusal(scope, &format!("{path} {text}"))),
            }
        }
        Ok(Item { kind: kind.clone(), at: None, when: None })
    }

    /// hl7-api 8.2, the rules that need no patient: specialty, order service, else general health.
    fn label(&self, write: &WritePlan, scope: &Scope<'m>) -> Label {
        let of = |path: &Option<Path>, labels: &HashMap<String, Label>| {
            let path = path.as_ref().filter(|_| !labels.is_empty())?;
            labels.get(&*self.text(scope, path)).copied()
        };
        of(&write.specialty, &self.feed.specialty_labels)
            .or_else(|| of(&write.service, &self.feed.service_labels))
            .unwrap_or(Label::GeneralHealth)
    }

    fn block(
        &mut self,
        block: BlockId,
        scope: &Scope<'m>,
        assignments: &mut Vec<Assignment>,
        missing: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let plan = self.feed.plan.clone();
        let Some(rows) = plan.blocks.get(block) else { return Ok(()) };
        for row in rows {
            let mut made: Option<Made> = None;
            let mut asked = false;
            for scope in self.scopes(scope, &row.each) {
                let scope = scope.as_ref();
                if !row.when.iter().all(|condition| self.holds(scope, condition)) {
                    continue;
                }
                asked = true;
                let Some(more) = self.row(row, scope, missing)? else { continue };
                match (&mut made, more) {
                    (Some(Made::Values(path, values)), Made::Values(more_path, more)) if *path == more_path => {
                        values.extend(more);
                    }
                    (made, more) => *made = Some(more),
                }
            }
            match made {
                Some(Made::Values(path, values)) => add(assignments, path, row.many, values),
                Some(Made::Deleted) => {
                    assignments.push(Assignment { path: row.path.clone(), value: None, is_default: false });
                }
                Some(Made::Default(value)) => {
                    let value = if row.many { Json::Array(vec![value]) } else { value };
                    assignments.push(Assignment { path: row.path.clone(), value: Some(value), is_default: true });
                }
                None if row.need == Need::Never || !asked => {}
                None => {
                    let text = match &row.missing {
                        Some(text) => text.clone(),
                        None => {
                            let path = row.first_path().map(ToString::to_string).unwrap_or_default();
                            must_be_provided(&path, &row.label)
                        }
                    };
                    let text = self.refusal(scope, &text).0;
                    if row.need == Need::Always {
                        return Err(Refusal(text));
                    }
                    missing.push(text);
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, row: &Row, scope: &Scope<'m>, missing: &mut Vec<String>) -> Result<Option<Made>, Refusal> {
        let one = |json: Json| Some(Made::Values(row.path.clone(), vec![json]));
        match &row.op {
            Op::Constant(json) => Ok(one(json.clone())),
            Op::Patient => Ok(one(Json::object([("reference", Json::string(PATIENT_REFERENCE))]))),
            Op::Refer { resource, key } => {
                let (_, key) = self.key(key, scope)?;
                let id = ResourceId::of_point(self.feed.organisation.code(), resource, &key);
                Ok(one(Json::object([("reference", Json::string(format!("{resource}/{id}")))])))
            }
            Op::Block(block) => {
                let mut inner = Vec::new();
                let before = missing.len();
                self.block(*block, scope, &mut inner, missing)?;
                if missing.len() > before || inner.is_empty() {
                    return Ok(None);
                }
                let mut json = Json::Object(Default::default());
                apply(&inner, &mut json, &[]);
                Ok(one(json))
            }
            Op::Convert { .. } | Op::Codes { .. } | Op::ObservationValue { .. } => self.read(row, scope),
        }
    }

    /// Rows that read values.
    fn read(&mut self, row: &Row, scope: &Scope<'m>) -> Result<Option<Made>, Refusal> {
        if let Source::Lines(paths) = &row.source {
            let lines = self.lines(row, scope, paths);
            return Ok((!lines.trim().is_empty())
                .then(|| Made::Values(row.path.clone(), vec![Json::String(lines.trim_end().to_owned())])));
        }
        let Source::First(paths) = &row.source else { return Ok(None) };
        let mut deleted = false;
        for path in paths {
            let values: Vec<Value<'m>> = self.values(scope, path);
            deleted |= row.null_deletes && values.iter().any(Value::is_null);
            let valued: Vec<Value<'m>> = values.into_iter().filter(Value::is_valued).collect();
            if valued.is_empty() {
                continue;
            }
            if let Op::ObservationValue { elements, paths } = &row.op {
                return Ok(self.observation(valued[0], scope, elements, paths));
            }
            let mut made = Vec::with_capacity(valued.len());
            for (index, value) in valued.into_iter().enumerate() {
                let converted = self.convert(row, scope, path, value).map_err(|text| {
                    let repetition =
                        if path.repetition == Repetition::All { format!("[{}]", index + 1) } else { String::new() };
                    let blank = if text.starts_with('.') { "" } else { " " };
                    self.refusal(scope, &format!("{path}{repetition}{blank}{text}").replace("[*][", "["))
                })?;
                made.extend(converted);
                if !row.many {
                    break;
                }
            }
            if !made.is_empty() {
                return Ok(Some(Made::Values(row.path.clone(), made)));
            }
        }
        if deleted {
            return Ok(Some(Made::Deleted));
        }
        self.fallback(row, scope)
    }

    /// What a row gives when nothing was read.
    fn fallback(&mut self, row: &Row, scope: &Scope<'m>) -> Result<Option<Made>, Refusal> {
        match &row.op {
            Op::Convert { conversion: Conversion::EndOfAppointment, argument, .. } => {
                let end = self.appointment_end(scope, &argument.paths)?;
                Ok(end.map(|end| Made::Values(row.path.clone(), vec![end])))
            }
            Op::Convert { default, .. } => Ok(default.clone().map(Made::Default)),
            Op::Codes { set, shape, default: Some(default), .. } => {
                Ok(coded_as(set, *shape, default, Some(default)).map(Made::Default))
            }
            Op::Codes { default: None, .. }
            | Op::ObservationValue { .. }
            | Op::Constant(_)
            | Op::Block(_)
            | Op::Patient
            | Op::Refer { .. } => Ok(None),
        }
    }

    fn convert(&mut self, row: &Row, scope: &Scope<'m>, path: &Path, value: Value<'m>) -> convert::Converted {
        let zone = &self.feed.zone;
        match &row.op {
            Op::Convert { conversion, argument, .. } => match conversion {
                Conversion::Text | Conversion::ObservationValue => Ok(convert::text(value)),
                Conversion::Boolean => convert::boolean(value),
                Conversion::Integer => convert::integer(value),
                Conversion::Decimal => convert::decimal(value),
                Conversion::Date => convert::date(value),
                Conversion::DateTime => convert::date_time(value, zone),
                Conversion::Instant | Conversion::EndOfAppointment => convert::instant(value, zone),
                Conversion::Address => Ok(convert::address(value)),
                Conversion::ContactPoint => Ok(convert::contact_point(value, argument.with.as_deref())),
                Conversion::XcnName => Ok(convert::xcn_name(value)),
                Conversion::NdlName => Ok(convert::ndl_name(value)),
                Conversion::Coded => Ok(convert::coded(value)),
                Conversion::Attachment => {
                    let title = self.first_text(scope, &argument.paths);
                    let title = (!title.is_empty()).then(|| Json::string(&*title));
                    let Some((json, blob)) = convert::attachment(value, title)? else { return Ok(None) };
                    if self.blobs.iter().all(|earlier| earlier.id != blob.id) {
                        self.blobs.push(blob);
                    }
                    Ok(Some(json))
                }
            },
            Op::Codes { set, shape, otherwise, .. } => {
                let code = value.component(1).trimmed();
                if let Some(json) = coded_as(set, *shape, &code, None) {
                    return Ok(Some(json));
                }
                let text = format!("code is not in the code set {}", set.name);
                self.findings.push(Finding { path: path.to_string(), text });
                if row.need == Need::Always {
                    return Err("is not a code this organisation uses here");
                }
                Ok(match (otherwise, shape) {
                    (Some(otherwise), _) => coded_as(set, *shape, otherwise, Some(otherwise)),
                    (None, CodeShape::CodeableConcept) => convert::coded(value),
                    (None, CodeShape::Code | CodeShape::Coding) => None,
                })
            }
            Op::ObservationValue { .. } | Op::Constant(_) | Op::Block(_) | Op::Patient | Op::Refer { .. } => Ok(None),
        }
    }

    fn observation(
        &self,
        value: Value<'m>,
        scope: &Scope<'m>,
        elements: &[crate::record::ElementPath],
        [kind, unit]: &[Path; 2],
    ) -> Option<Made> {
        let kind = self.text(scope, kind);
        let unit = self.value(scope, unit);
        // OBX-5 may repeat; the conversion sees the whole field.
        let field = value.segment().map_or(value, |segment| segment.field(5));
        let (index, json) = convert::observation_value(field, &kind, unit, &self.feed.zone)?;
        Some(Made::Values(elements.get(index)?.clone(), vec![json]))
    }

    /// Start and duration when the end itself is not given (mapping-pitfalls 8).
    fn appointment_end(&self, scope: &Scope<'m>, paths: &[Path]) -> Result<Option<Json>, Refusal> {
        let [.., start, duration, unit] = paths else { return Ok(None) };
        let start = match self.value(scope, start).map(convert::timestamp) {
            Some(Ok(Some(start))) => start.instant(&self.feed.zone),
            _ => return Ok(None),
        };
        let amount: Option<i64> =
            self.text(scope, duration).parse().ok().filter(|amount| (1..=1_000_000).contains(amount));
        let seconds = match self.text(scope, unit).to_uppercase().as_str() {
            "" | "MIN" | "M" | "MINUTE" | "MINUTES" => Some(60),
            "S" | "SEC" | "SECOND" | "SECONDS" => Some(1),
            "H" | "HR" | "HOUR" | "HOURS" => Some(3600),
            _ => None,
        };
        let end = amount.zip(seconds).map(|(amount, seconds)| start + amount * seconds * 1_000_000);
        Ok(end.map(|end| Json::String(crate::hl7v2::fhir_instant_from_micros(end))))
    }

    /// The lines of all paths inside the scope, in the order of the message.
    fn lines(&self, row: &Row, scope: &Scope<'m>, paths: &[Path]) -> String {
        let mut lines: Vec<String> = Vec::new();
        for segment in self.message.segments() {
            let Some(path) = paths.iter().find(|path| path.segment.is_some_and(|n| n.as_str() == segment.name()))
            else {
                continue;
            };
            let group = self.structure.map_or(Structure::root(), |structure| structure.group_of(segment.index()));
            let inside = match (self.structure, scope.segment) {
                (None, _) => true,
                (Some(structure), Some(_)) => structure.within(group, scope.group),
                // For the whole message, notes inside its groups belong to those groups.
                (Some(structure), None) => {
                    paths.len() > 1 || group == scope.group || !self.repeats_inside(structure, group, segment)
                }
            };
            if !inside {
                continue;
            }
            let here = Scope { group, segment: Some(segment), place: String::new() };
            if row.unless.iter().any(|condition| segment.name() == "OBX" && self.holds(&here, condition)) {
                continue;
            }
            let before = lines.len();
            for repetition in segment.field(path.field).repetitions() {
                lines.push(repetition.formatted().into_owned());
            }
            if lines.len() == before {
                // An empty line is a line.
                lines.push(String::new());
            }
        }
        lines.join("\n")
    }

    /// True for a note that stands under a resource, a diagnosis or the like rather than under the message's subject.
    fn repeats_inside(&self, structure: &Structure, group: GroupId, note: Segment<'_>) -> bool {
        structure.anchor(group) != note.index() && !matches!(structure.name(group), "PATIENT" | "MESSAGE" | "SCHEDULE")
    }
}

/// What a row made: values for an element, or its deletion.
enum Made {
    Values(crate::record::ElementPath, Vec<Json>),
    Default(Json),
    Deleted,
}

/// A scope that is there already or was made for `each`.
enum Cow2<'s, 'm> {
    Borrowed(&'s Scope<'m>),
    Owned(Scope<'m>),
}

impl<'m> Cow2<'_, 'm> {
    fn as_ref(&self) -> &Scope<'m> {
        match self {
            Cow2::Borrowed(scope) => scope,
            Cow2::Owned(scope) => scope,
        }
    }

    fn into_owned(self) -> Scope<'m> {
        match self {
            Cow2::Borrowed(scope) => Scope { group: scope.group, segment: scope.segment, place: scope.place.clone() },
            Cow2::Owned(scope) => scope,
        }
    }
}

/// Adds values for an element; rows for one repeating element add to each other.
fn add(assignments: &mut Vec<Assignment>, path: crate::record::ElementPath, many: bool, mut values: Vec<Json>) {
    if !many {
        if let Some(value) = values.into_iter().next() {
            assignments.push(Assignment { path, value: Some(value), is_default: false });
        }
        return;
    }
    let earlier = assignments.iter_mut().find(|assignment| assignment.path == path);
    match earlier {
        Some(Assignment { value: Some(Json::Array(items)), .. }) => items.append(&mut values),
        _ => assignments.push(Assignment { path, value: Some(Json::Array(values)), is_default: false }),
    }
}

fn must_be_provided(path: &str, label: &str) -> String {
    if label.is_empty() {
        format!("{path} must be provided. You provided []")
    } else {
        format!("{path} ({label}) must be provided. You provided []")
    }
}

/// A code of a set in the shape an element needs; `literal` is what a plain code becomes when the set lacks it.
fn coded_as(set: &super::codes::CodeSet, shape: CodeShape, code: &str, literal: Option<&str>) -> Option<Json> {
    let Some(entry) = set.get(code) else {
        return literal.filter(|_| shape == CodeShape::Code).map(Json::string);
    };
    if shape == CodeShape::Code {
        return Some(Json::string(entry.value.as_str()));
    }
    let mut coding = Vec::with_capacity(3);
    coding.extend(entry.system.as_ref().map(|system| ("system", Json::string(system.as_str()))));
    coding.push(("code", Json::string(entry.value.as_str())));
    coding.extend(entry.display.as_ref().map(|display| ("display", Json::string(display.as_str()))));
    let coding = Json::object(coding);
    if shape == CodeShape::Coding {
        return Some(coding);
    }
    let mut concept = vec![("coding", Json::Array(vec![coding]))];
    concept.extend(entry.display.as_ref().map(|display| ("text", Json::string(display.as_str()))));
    Some(Json::object(concept))
}

/// The Identifier of the sender's own id for a data point (design 5).
fn sender_identifier(organisation: &str, resource: &str, value: &str) -> Json {
    let system = format!("urn:fairway:{}:{}", organisation.to_lowercase(), resource.to_lowercase());
    Json::Array(vec![Json::object([("system", Json::String(system)), ("value", Json::string(value))])])
}

fn identifier_path(_resource: &str) -> crate::record::ElementPath {
    static PATH: std::sync::LazyLock<crate::record::ElementPath> = std::sync::LazyLock::new(|| {
        Arc::new([crate::record::Step { name: "identifier", many: true, index: None, choice: None }])
    });
    PATH.clone()
}

impl Row {
    fn first_path(&self) -> Option<&Path> {
        match &self.source {
            Source::Nothing => None,
            Source::First(paths) | Source::Lines(paths) => paths.first(),
        }
    }
}
