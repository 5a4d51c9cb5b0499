//! Fills the elements of a resource: rows, blocks, conversions, code sets, lines of text.

use std::sync::Arc;

use super::changes::must_be_provided;
use super::scope::Scope;
use super::{Finding, Run};
use crate::fhir::{Json, Object};
use crate::hl7v2::{Path, Precision, Value, fhir_instant_from_micros};
use crate::mapping::codes::{CodeSet, Entry};
use crate::mapping::convert::{self, Conversion};
use crate::mapping::plan::{Argument, BlockId, CodeShape, Need, Op, Row, Source};
use crate::record::{Assignment, ElementPath, Fault, PATIENT_REFERENCE, Refusal, ResourceId, Step, apply};

impl<'m> Run<'_, 'm> {
    /// Runs a block of rows; what is missing to create the resource goes to `missing`. False when the block has rows that
    /// are no constants, and none of them made anything: constants alone tell nothing.
    pub(super) fn block(
        &mut self,
        block: BlockId,
        scope: &Scope<'m>,
        assignments: &mut Vec<Assignment>,
        missing: &mut Vec<String>,
    ) -> Result<bool, Refusal> {
        let plan = self.plan;
        let (mut asks, mut told) = (false, false);
        for row in plan.blocks.get(block).into_iter().flatten() {
            if row.fallback && assignments.iter().any(|made| same_element(&made.path, &row.path)) {
                continue;
            }
            let (made, asked) = self.row_in_scopes(row, scope, missing)?;
            if !matches!(row.op, Op::Constant(_)) {
                asks = true;
                told |= made.is_some();
            }
            match made {
                Some(Made::Values(path, mut values)) => {
                    if let Some(id) = &row.id {
                        number(id, &mut values);
                    }
                    if row.latest {
                        // An instant is written in UTC, so that texts compare as times.
                        values.sort_by(|one, other| other.as_str().cmp(&one.as_str()));
                    }
                    add(assignments, path, row.many, values);
                }
                Some(Made::Deleted) => {
                    assignments.push(Assignment { path: row.path.clone(), value: None, is_default: false });
                }
                Some(Made::Default(value)) => {
                    if let Some(text) = &row.issue {
                        let path = row.first_path().map(|path| scope.place(&path.to_string())).unwrap_or_default();
                        self.findings.push(Finding { path, text: text.clone() });
                    }
                    let value = if row.many { Json::Array(vec![value]) } else { value };
                    assignments.push(Assignment { path: row.path.clone(), value: Some(value), is_default: true });
                }
                None if row.need == Need::Rows => return Ok(false),
                None if row.need == Need::Never || !asked => {}
                None => {
                    let refusal = scope.refusal(Fault::Missing, &row.missing_text());
                    if row.need == Need::Always && !self.is_lenient() {
                        return Err(refusal);
                    }
                    missing.push(refusal.text);
                }
            }
        }
        Ok(told || !asks)
    }

    /// What a row makes over all its scopes, and whether its conditions held in any.
    fn row_in_scopes(
        &mut self,
        row: &Row,
        scope: &Scope<'m>,
        missing: &mut Vec<String>,
    ) -> Result<(Option<Made>, bool), Refusal> {
        if row.each.is_empty() {
            if !self.places.all_hold(scope, &row.when) {
                return Ok((None, false));
            }
            return Ok((self.row(row, scope, missing)?, true));
        }
        let mut scopes = Vec::new();
        self.places.each_scope(scope, &row.each, &mut |scope| {
            if self.places.all_hold(scope, &row.when) {
                scopes.push(*scope);
            }
            Ok(())
        })?;
        let mut made: Option<Made> = None;
        for scope in &scopes {
            match (&mut made, self.row(row, scope, missing)?) {
                (_, None) => {}
                (Some(Made::Values(path, values)), Some(Made::Values(more_path, more)))
                    if Arc::ptr_eq(path, &more_path) =>
                {
                    values.extend(more);
                }
                (made, more) => *made = more,
            }
        }
        Ok((made, !scopes.is_empty()))
    }

    fn row(&mut self, row: &Row, scope: &Scope<'m>, missing: &mut Vec<String>) -> Result<Option<Made>, Refusal> {
        let one = |json: Json| Some(Made::Values(row.path.clone(), vec![json]));
        match &row.op {
            Op::Constant(json) => {
                self.trace.made(row, &row.path, None);
                Ok(one(json.clone()))
            }
            Op::Patient => {
                self.trace.made(row, &row.path, None);
                Ok(one(Json::object([("reference", Json::string(PATIENT_REFERENCE))])))
            }
            Op::Refer { resource, key } => {
                let (_, key) = self.key(key, scope)?;
                let id = ResourceId::of_point(self.organisation, resource, &key);
                self.trace.made(row, &row.path, None);
                Ok(one(Json::object([("reference", Json::string(format!("{resource}/{id}")))])))
            }
            Op::Block(_) | Op::Make { .. } => {
                let mut made = Vec::new();
                for scope in self.value_scopes(row, scope) {
                    let json = match &row.op {
                        Op::Make { resource, block } => {
                            let json = self.make_here(resource, *block, &scope)?;
                            if json.is_some() {
                                self.trace.made(row, &row.path, scope.value);
                            }
                            json
                        }
                        Op::Block(block) => {
                            self.trace.enter(row);
                            let json = self.block_json(*block, &scope, missing)?;
                            self.trace.leave();
                            json
                        }
                        _ => None,
                    };
                    made.extend(json);
                }
                Ok((!made.is_empty()).then(|| Made::Values(row.path.clone(), made)))
            }
            Op::ReferTo { resource, of, same } => {
                let mut made: Vec<Json> = match (of, &same[..]) {
                    (Some(of), [_, ..]) => {
                        let found = self.places.same_as(scope, *of, same);
                        found.into_iter().filter_map(|index| self.reference_at(resource, Some(index))).collect()
                    }
                    _ => self.reference_to(resource, *of, scope).into_iter().collect(),
                };
                if !row.many {
                    made.truncate(1);
                }
                made.iter().for_each(|_| self.trace.made(row, &row.path, None));
                Ok((!made.is_empty()).then(|| Made::Values(row.path.clone(), made)))
            }
            Op::Convert { .. } | Op::Codes { .. } | Op::ObservationValue { .. } => self.read(row, scope),
        }
    }

    /// The places where the rows of a block stand: each value of its source, or where the row stands itself.
    fn value_scopes(&self, row: &Row, scope: &Scope<'m>) -> Vec<Scope<'m>> {
        let Source::First(paths) = &row.source else { return vec![*scope] };
        let mut found = Vec::new();
        for path in paths {
            self.places.values_at(scope, path, |value| {
                if value.is_valued() {
                    found.push(scope.at_value(value));
                }
                !row.many && !found.is_empty()
            });
            if !found.is_empty() {
                break;
            }
        }
        found
    }

    /// What a block makes; none when it tells nothing or lacks something.
    pub(super) fn block_json(
        &mut self,
        block: BlockId,
        scope: &Scope<'m>,
        missing: &mut Vec<String>,
    ) -> Result<Option<Json>, Refusal> {
        let mut inner = Vec::new();
        let (before, since, page) = (missing.len(), self.trace.mark(), self.places.reading.page());
        let told = self.block(block, scope, &mut inner, missing)?;
        if !told || missing.len() > before || inner.is_empty() {
            self.trace.take_back(since);
            self.places.reading.take_back(page);
            return Ok(None);
        }
        let mut json = Json::Object(Default::default());
        apply(&inner, &mut json, &[]);
        Ok(Some(json))
    }

    /// Rows that read values.
    fn read(&mut self, row: &Row, scope: &Scope<'m>) -> Result<Option<Made>, Refusal> {
        if let Source::Lines(paths) = &row.source {
            let lines = self.lines(row, scope, paths);
            if lines.trim().is_empty() {
                return Ok(None);
            }
            self.trace.made(row, &row.path, None);
            let lines = lines.trim_end().to_owned();
            let made = match &row.op {
                Op::Convert { conversion: Conversion::TextAttachment, argument, .. } => {
                    let (json, blob) = convert::text_attachment(lines, self.title(scope, argument));
                    self.blobs.push(blob);
                    json
                }
                _ => Json::String(lines),
            };
            return Ok(Some(Made::Values(row.path.clone(), vec![made])));
        }
        let Source::First(paths) = &row.source else { return Ok(None) };
        if let Op::ObservationValue { elements, .. } = &row.op
            && let Some(text) = self.text_here(scope)
        {
            let Some(path) = elements.get(convert::VALUE_STRING) else { return Ok(None) };
            self.trace.made(row, path, None);
            return Ok(Some(Made::Values(path.clone(), vec![Json::String(text)])));
        }
        let mut deleted = false;
        for path in paths {
            let mut valued: Vec<Value<'m>> = Vec::new();
            self.places.each_value(scope, path, |value| {
                deleted |= row.null_deletes && value.is_null();
                if value.is_valued() {
                    valued.push(value);
                }
                !row.many && !valued.is_empty()
            });
            let Some(first) = valued.first() else { continue };
            if let Op::ObservationValue { elements, paths } = &row.op {
                let made = self.observation(*first, scope, elements, paths);
                if let Some(Made::Values(path, _)) = &made {
                    self.trace.made(row, path, Some(*first));
                }
                return Ok(made);
            }
            let mut made = Vec::with_capacity(valued.len());
            for (index, value) in valued.into_iter().enumerate() {
                let place = || match path.segment {
                    Some(_) => path.to_string().replace("[*]", &format!("[{}]", index + 1)),
                    None => scope.value.map(place_of).unwrap_or_default(),
                };
                let (noticed, documents) = (self.findings.len(), self.blobs.len());
                let fault = if matches!(row.op, Op::Codes { .. }) { Fault::Code } else { Fault::Value };
                let converted = match self.convert(row, scope, value) {
                    Ok(converted) => converted,
                    Err(text) if self.is_lenient() => {
                        self.findings.push(Finding { path: String::new(), text: text.to_owned() });
                        None
                    }
                    Err(text) => {
                        let blank = if text.starts_with('.') { "" } else { " " };
                        return Err(scope.refusal(fault, &format!("{}{blank}{text}", place())));
                    }
                };
                for finding in self.findings.iter_mut().skip(noticed) {
                    finding.path = scope.place(&place());
                }
                if converted.is_some() {
                    self.trace.made(row, &row.path, Some(value));
                    if let Some(blob) = self.blobs.get(documents) {
                        self.trace.made_document(row, &blob.id.to_string(), value);
                    }
                }
                made.extend(converted);
                if let (Op::Convert { conversion: Conversion::ContactPoint, argument, .. }, true) = (&row.op, row.many)
                {
                    made.extend(convert::mail_beside(value, argument.with.as_deref()));
                }
            }
            if !made.is_empty() {
                return Ok(Some(Made::Values(row.path.clone(), made)));
            }
        }
        if deleted {
            return Ok(Some(Made::Deleted));
        }
        let made = self.fallback(row, scope)?;
        if made.is_some() {
            self.trace.made(row, &row.path, None);
        }
        Ok(made)
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
            | Op::Make { .. }
            | Op::Patient
            | Op::ReferTo { .. }
            | Op::Refer { .. } => Ok(None),
        }
    }

    fn convert(&mut self, row: &Row, scope: &Scope<'m>, value: Value<'m>) -> convert::Converted {
        let zone = self.zone;
        match &row.op {
            Op::Convert { conversion, argument, .. } => match conversion {
                Conversion::Text | Conversion::ObservationValue | Conversion::TextAttachment => {
                    Ok(convert::text(value))
                }
                Conversion::TestCode => Ok(convert::test_code(value, self.organisation)),
                Conversion::NdlHumanName => Ok(convert::ndl_human_name(value)),
                Conversion::NdlIdentifier => Ok(convert::ndl_identifier(value, self.organisation)),
                Conversion::LowOfRange | Conversion::HighOfRange => {
                    let unit = argument.paths.first().and_then(|unit| self.places.value(scope, unit));
                    let (low, high) = convert::reference_range(value, unit, self.organisation);
                    Ok(if *conversion == Conversion::LowOfRange { low } else { high })
                }
                Conversion::Instant if self.is_lenient() && argument.plus.is_empty() => {
                    convert::exact_instant(value, zone)
                }
                Conversion::Boolean => convert::boolean(value),
                Conversion::Integer => convert::integer(value),
                Conversion::Days => convert::days(value),
                Conversion::Decimal => convert::decimal(value),
                Conversion::Date => convert::date(value),
                Conversion::DateTime => convert::date_time(value, zone),
                Conversion::Instant if !argument.plus.is_empty() => {
                    let start = convert::timestamp(value)?.filter(|time| time.precision() >= Precision::Minute);
                    let start = start.ok_or("has no time of the day that a duration could be added to")?;
                    Ok(self.lasting(scope, &argument.plus).map(|seconds| {
                        Json::String(fhir_instant_from_micros(start.instant(zone) + seconds * 1_000_000))
                    }))
                }
                Conversion::Instant | Conversion::EndOfAppointment => convert::instant(value, zone),
                Conversion::TimedDate => Ok(convert::timed_date(value, zone)),
                Conversion::Minutes => convert::minutes(value, &self.places.first_text(scope, &argument.paths)),
                Conversion::Address => Ok(convert::address(value)),
                Conversion::PostalAddress => Ok(convert::postal_address(value, zone)),
                Conversion::ContactPoint if self.is_lenient() => {
                    Ok(convert::telecom(value, argument.with.as_deref(), zone))
                }
                Conversion::ContactPoint => Ok(convert::contact_point(value, argument.with.as_deref())),
                Conversion::XcnName => Ok(convert::xcn_name(value)),
                Conversion::NdlName => Ok(convert::ndl_name(value)),
                Conversion::Coded => Ok(convert::coded(value, self.organisation)),
                Conversion::Coding => Ok(convert::coding(value, self.organisation)),
                Conversion::HumanName => Ok(convert::human_name(value, zone)),
                Conversion::XcnHumanName => Ok(convert::xcn_human_name(value, zone)),
                Conversion::CxIdentifier => {
                    if convert::is_wrong_nhs_number(value) {
                        let text = "is no NHS number, which has ten digits and a valid check digit; kept as a number of the sender";
                        self.findings.push(Finding { path: String::new(), text: text.to_owned() });
                    }
                    Ok(convert::cx_identifier(value, argument.with.as_deref(), self.organisation, zone))
                }
                Conversion::XcnIdentifier => Ok(convert::xcn_identifier(value, self.organisation)),
                Conversion::EiIdentifier => {
                    Ok(convert::ei_identifier(value, argument.with.as_deref(), self.organisation))
                }
                Conversion::HdName => Ok(convert::hd_name(value)),
                Conversion::HdIdentifier => Ok(convert::hd_identifier(value, argument.with.as_deref())),
                Conversion::XonIdentifier => {
                    Ok(convert::xon_identifier(value, argument.with.as_deref(), self.organisation))
                }
                Conversion::Period => Ok(convert::period(value, zone)),
                Conversion::Quantity => {
                    let unit = argument.paths.first().and_then(|unit| self.places.value(scope, unit));
                    convert::quantity(value, unit, self.organisation)
                }
                Conversion::AuthorityUri => Ok(convert::authority_uri(value, self.organisation)),
                Conversion::Pointer => match convert::pointer(value, self.title(scope, argument)) {
                    Some(json) => self.as_document(json, scope, argument).map(Some),
                    None => Ok(None),
                },
                Conversion::Attachment => {
                    let title = self.title(scope, argument);
                    let made = if self.is_lenient() {
                        convert::document(value, title)
                    } else {
                        convert::attachment(value, title)
                    };
                    let Some((json, blob)) = made? else { return Ok(None) };
                    self.blobs.push(blob);
                    self.as_document(json, scope, argument).map(Some)
                }
            },
            Op::Codes { set, shape, otherwise, any_case, .. } => {
                let code = value.component(1).trimmed();
                let known = if *any_case { set.get_any_case(&code) } else { set.get(&code) };
                if let Some(json) = known.map(|entry| entry_as(entry, *shape)) {
                    return Ok(Some(json));
                }
                let text = format!("code is not in the code set {}", set.name);
                self.findings.push(Finding { path: String::new(), text });
                if row.need == Need::Always {
                    return Err("is not a code this organisation uses here");
                }
                Ok(match (otherwise, shape) {
                    (Some(otherwise), _) => coded_as(set, *shape, otherwise, Some(otherwise)),
                    (None, CodeShape::CodeableConcept) => convert::coded(value, self.organisation),
                    (None, CodeShape::Code | CodeShape::Coding) => None,
                })
            }
            Op::ObservationValue { .. }
            | Op::Constant(_)
            | Op::Block(_)
            | Op::Make { .. }
            | Op::Patient
            | Op::ReferTo { .. }
            | Op::Refer { .. } => Ok(None),
        }
    }

    /// The first duration that can be read, in seconds.
    fn lasting(&self, scope: &Scope<'m>, durations: &[[Path; 2]]) -> Option<i64> {
        durations.iter().find_map(|[amount, unit]| {
            convert::seconds(&self.places.text(scope, amount), &self.places.text(scope, unit))
        })
    }

    /// A document with what tells it from others of its report, and its delay.
    fn as_document(&self, json: Json, scope: &Scope<'m>, argument: &Argument) -> Result<Json, &'static str> {
        let identity: Vec<String> =
            argument.identity.iter().map(|path| self.places.text(scope, path).into_owned()).collect();
        let mut members: Vec<(&'static str, Json)> = Vec::new();
        if identity.iter().any(|part| !part.is_empty()) {
            let parts: Vec<&str> = std::iter::once("document").chain(identity.iter().map(String::as_str)).collect();
            members.push(("id", Json::string(ResourceId::derive(&parts).to_string())));
        }
        if let Some(delay) = argument.delay.as_ref().and_then(|path| self.places.value(scope, path))
            && let Some(days) = convert::days(delay)?
        {
            let extension = [("url", Json::string(PATIENT_DELAY)), ("valueInteger", days)];
            members.push(("extension", Json::Array(vec![Json::object(extension)])));
        }
        let Json::Object(object) = json else { return Ok(json) };
        let mut told = Object::with_capacity(object.len() + members.len());
        for (name, value) in members {
            told.insert(name, value);
        }
        for (name, value) in object {
            told.insert(name, value);
        }
        Ok(Json::Object(told))
    }

    fn title(&self, scope: &Scope<'m>, argument: &Argument) -> Option<Json> {
        let title = self.places.first_text(scope, &argument.paths);
        (!title.is_empty()).then(|| Json::string(&*title))
    }

    fn observation(
        &mut self,
        value: Value<'m>,
        scope: &Scope<'m>,
        elements: &[ElementPath],
        [kind, unit]: &[Path; 2],
    ) -> Option<Made> {
        let kind = self.places.text(scope, kind);
        let unit = self.places.value(scope, unit);
        // OBX-5 may repeat; the conversion sees the whole field.
        let field = value.segment().map_or(value, |segment| segment.field(5));
        let sender = (self.zone, self.organisation);
        if !self.is_lenient() {
            let (index, json) = convert::observation_value(field, &kind, unit, sender)?;
            return Some(Made::Values(elements.get(index)?.clone(), vec![json]));
        }
        let segment = value.segment()?;
        if convert::is_document(segment) {
            // In a coded value the document's components are no codes; what names it is kept.
            let coded = matches!(&*kind, "CE" | "CWE" | "CNE" | "CF");
            let words = coded.then(|| convert::text(field.component(2))).flatten()?;
            let path = elements.get(convert::VALUE_CONCEPT)?.clone();
            return Some(Made::Values(path, vec![Json::object([("text", words)])]));
        }
        let mut made = convert::result_values(field, &kind, unit, sender);
        if matches!(&*kind, "DT" | "TS" | "DTM" | "TM") && made.iter().any(|(index, _)| *index == convert::VALUE_STRING)
        {
            let text = format!("is no {kind} that could be read; kept as text");
            self.findings.push(Finding { path: scope.place("OBX-5"), text });
        }
        if let [_] = made[..] {
            let (index, json) = made.pop()?;
            return Some(Made::Values(elements.get(index)?.clone(), vec![json]));
        }
        // Several values are components, each under the code of the whole (v2-to-fhir OBX[Observation-Component]).
        let code = convert::test_code(segment.field(3), self.organisation)?;
        let component =
            |(index, json)| Some(Json::object([("code", code.clone()), (*convert::VALUE_ELEMENTS.get(index)?, json)]));
        let components: Vec<Json> = made.into_iter().filter_map(component).collect();
        (!components.is_empty())
            .then(|| elements.last().map(|path| Made::Values(path.clone(), vec![Json::Array(components)])))?
    }

    /// The text over several OBX that begins here, with the notes on all but the first; none when one OBX is all.
    fn text_here(&self, scope: &Scope<'m>) -> Option<String> {
        let (segment, _) = scope.segment.filter(|_| self.is_lenient())?;
        let obx = self.places.text_lines(segment.index());
        if obx.len() < 2 {
            return None;
        }
        let mut lines = Vec::new();
        let (first, _) = obx[0];
        for (position, (segment, group)) in obx.iter().enumerate() {
            let before = lines.len();
            [2, 3, 4, 5].into_iter().for_each(|field| self.places.reading.read(*segment, field));
            self.places.reading.read_alike(first, *segment);
            lines.extend(convert::report_lines(*segment));
            if lines.len() == before {
                lines.push(String::new());
            }
            for note in self.places.notes_of(*segment, *group).filter(|_| position > 0) {
                self.places.reading.read(note, 3);
                lines.extend(note.field(3).repetitions().map(|line| line.formatted().into_owned()));
            }
        }
        let text = lines.join("\n");
        (!text.trim().is_empty()).then(|| text.trim_end().to_owned())
    }

    /// Start and duration when the end itself is not given (mapping-pitfalls 8).
    fn appointment_end(&self, scope: &Scope<'m>, paths: &[Path]) -> Result<Option<Json>, Refusal> {
        let [.., start, duration, unit] = paths else { return Ok(None) };
        let start = match self.places.value(scope, start).map(convert::timestamp) {
            Some(Ok(Some(start))) => start.instant(self.zone),
            _ => return Ok(None),
        };
        let amount: Option<i64> =
            self.places.text(scope, duration).parse().ok().filter(|amount| (1..=1_000_000).contains(amount));
        let seconds = match self.places.text(scope, unit).to_uppercase().as_str() {
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
        let mut first = None;
        for ((segment, group), path) in self.places.named_by(paths, scope.group) {
            let Some(name) = path.segment else { continue };
            // Of the whole message only what belongs to its subject, not to its resources, diagnoses and the like.
            let inside =
                scope.segment.is_some() || matches!(self.places.group_name(group), "MESSAGE" | "PATIENT" | "VISIT");
            let here = scope.at(segment, name, group);
            let left_out = row.outside.iter().any(|name| self.places.begins_with(group, *name));
            if !inside || left_out || row.unless.iter().any(|condition| self.places.holds_for(&here, condition)) {
                continue;
            }
            let before = lines.len();
            self.places.reading.read(segment, path.field);
            let first = *first.get_or_insert(segment);
            if first.name() == segment.name() {
                self.places.reading.read_alike(first, segment);
            }
            if (name.as_str(), path.field) == ("OBX", 5) {
                lines.extend(convert::report_lines(segment));
            } else {
                lines.extend(segment.field(path.field).repetitions().map(|line| line.formatted().into_owned()));
            }
            if lines.len() == before {
                // An empty line is a line.
                lines.push(String::new());
            }
        }
        lines.join("\n")
    }
}

/// Days to hold something back from the patient (hl7-api 5.3).
const PATIENT_DELAY: &str = "urn:fairway:extension:patient-delay-days";

/// What a row made: values for an element, or its deletion.
enum Made {
    Values(ElementPath, Vec<Json>),
    Default(Json),
    Deleted,
}

/// Gives items the id of their row and a number.
fn number(id: &str, items: &mut [Json]) {
    for (index, item) in items.iter_mut().enumerate() {
        if let Json::Object(object) = item {
            let mut named = Object::with_capacity(object.len() + 1);
            named.insert("id", Json::string(format!("{id}.{}", index + 1)));
            for (name, value) in std::mem::take(object) {
                named.insert(name, value);
            }
            *object = named;
        }
    }
}

/// Where a value stands in the segment at hand, as `OBX-5[1]`.
fn place_of(value: Value<'_>) -> String {
    let place = value.location().to_string();
    let cut = place.split_once('[').and_then(|(name, rest)| Some((name, rest.split_once(']')?.1)));
    cut.map_or_else(|| place.clone(), |(name, rest)| format!("{name}{rest}"))
}

/// Whether two paths fill one element, or two choices of one.
fn same_element(one: &ElementPath, other: &ElementPath) -> bool {
    // The extensions of a primitive (`_end.extension`) are its own.
    let name = |step: &Step| step.name.strip_prefix('_').unwrap_or(step.name);
    one.first()
        .zip(other.first())
        .is_some_and(|(one, other)| name(one) == name(other) || (one.choice.is_some() && one.choice == other.choice))
}

/// Adds values for an element; rows for one repeating element share its path and add to each other.
fn add(assignments: &mut Vec<Assignment>, path: ElementPath, many: bool, mut values: Vec<Json>) {
    if !many {
        if let Some(value) = values.into_iter().next() {
            assignments.push(Assignment { path, value: Some(value), is_default: false });
        }
        return;
    }
    let earlier = assignments.iter_mut().find(|assignment| Arc::ptr_eq(&assignment.path, &path));
    match earlier {
        Some(Assignment { value: Some(Json::Array(items)), .. }) => items.append(&mut values),
        _ => assignments.push(Assignment { path, value: Some(Json::Array(values)), is_default: false }),
    }
}

/// A code of a set in the shape an element needs; `literal` is what a plain code becomes when the set lacks it.
fn coded_as(set: &CodeSet, shape: CodeShape, code: &str, literal: Option<&str>) -> Option<Json> {
    let Some(entry) = set.get(code) else {
        return literal.filter(|_| shape == CodeShape::Code).map(Json::string);
    };
    Some(entry_as(entry, shape))
}

fn entry_as(entry: &Entry, shape: CodeShape) -> Json {
    if shape == CodeShape::Code {
        return Json::string(entry.value.as_str());
    }
    let mut coding = Vec::with_capacity(3);
    coding.extend(entry.system.as_ref().map(|system| ("system", Json::string(system.as_str()))));
    coding.push(("code", Json::string(entry.value.as_str())));
    coding.extend(entry.display.as_ref().map(|display| ("display", Json::string(display.as_str()))));
    let coding = Json::object(coding);
    if shape == CodeShape::Coding {
        return coding;
    }
    let mut concept = vec![("coding", Json::Array(vec![coding]))];
    concept.extend(entry.display.as_ref().map(|display| ("text", Json::string(display.as_str()))));
    Json::object(concept)
}

impl Row {
    /// What the sender is told when the row has no value.
    fn missing_text(&self) -> String {
        if let Some(text) = &self.missing {
            return text.clone();
        }
        let path = self.first_path().map(ToString::to_string).unwrap_or_default();
        must_be_provided(&path, &self.label)
    }

    fn first_path(&self) -> Option<&Path> {
        match &self.source {
            Source::Nothing => None,
            Source::First(paths) | Source::Lines(paths) => paths.first(),
        }
    }
}
