//! Makes the resources of a message by the profile `v2-to-fhir`: one for each segment a write goes through, and those
//! that rows make of values on the way.
//!
//! Ids follow from the message alone. What a message lacks or gets wrong is told and left out, never refused: this profile
//! shows what a message says, it files nothing.

use std::collections::{HashMap, HashSet};

use super::scope::{Places, Scope};
use super::trace::Trace;
use super::{Explained, Finding, Reads, Run};
use crate::fhir::{self, Json};
use crate::hl7v2::{Message, SegmentName, Structure, Zone};
use crate::mapping::plan::{BlockId, MakePlan, Plan, Work};
use crate::record::{Blob, Fault, Refusal, ResourceId, apply};

/// What a message makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundled {
    /// Resources with their ids, valid R4; every reference of theirs leads to one of them.
    pub resources: Vec<Json>,
    /// Documents that they refer to.
    pub blobs: Vec<Blob>,
    /// Values left out, codes without a mapping and the like.
    pub findings: Vec<Finding>,
    /// The fields it was made of.
    pub reads: Reads,
    /// The Identifier of the message (`v2-to-fhir MSH[Bundle]`); none without a control id.
    pub identifier: Option<Json>,
}

/// Resources under way.
#[derive(Default)]
pub(super) struct Resources {
    /// Which resource is made for a segment, by its index; none for the whole message.
    targets: HashMap<(&'static str, Option<usize>), ResourceId>,
    /// Reference and content, and where it was made.
    made: Vec<(String, Json, String)>,
    known: HashSet<String>,
}

/// The resources of a message; `zone` is that of times without an offset.
///
/// # Errors
/// A [`Refusal`] when the mapping does not handle the message type, or a check of it fails.
pub fn resources(plan: &Plan, message: &Message, zone: &Zone) -> Result<Bundled, Refusal> {
    resources_traced(plan, message, zone, Trace::default()).map(|(bundled, _)| bundled)
}

/// Where each element came from that [`resources`] makes; empty when it refuses the message.
pub fn explain_resources(plan: &Plan, message: &Message, zone: &Zone) -> Vec<Explained> {
    let traced = resources_traced(plan, message, zone, Trace::asked(true));
    traced.map(|(_, trace)| trace.into_found()).unwrap_or_default()
}

fn resources_traced(plan: &Plan, message: &Message, zone: &Zone, trace: Trace) -> Result<(Bundled, Trace), Refusal> {
    let (code, trigger) = (message.code(), message.trigger());
    let Some(of_message) = plan.message(&code, &trigger) else {
        let text = format!("MSH-9: {code}^{trigger} is not handled by the mapping {}", plan.name);
        return Err(Refusal::new(Fault::MessageType, text));
    };
    let Work::Resources(makes) = &of_message.work else {
        let text = format!("MSH-9: the mapping {} files messages in records; name a feed that uses it", plan.name);
        return Err(Refusal::new(Fault::Rule, text));
    };
    let structure = of_message.grouped.then(|| Structure::of(message));
    let sender = sender(message);
    let places = Places::new(message, structure.as_ref(), zone);
    let mut run = Run::new(plan, &sender, zone, places, trace);
    run.places.run_checks(&of_message.checks, &Scope::whole())?;
    run.make_all(makes, message)?;
    run.drop_invalid();
    let Run { mut blobs, mut findings, resources, trace, places, .. } = run;
    let reads = places.reading.into_reads();
    // What two rows read is told once, and a document that two elements name is there once.
    let (mut kept, mut told) = (HashSet::new(), HashSet::new());
    blobs.retain(|blob| kept.insert(blob.id.clone()));
    findings.retain(|finding| finding.path.is_empty() || told.insert((finding.path.clone(), finding.text.clone())));
    let resources = resources.made.into_iter().map(|(_, resource, _)| resource).collect();
    let control_id = message.control_id();
    let identifier = (!control_id.trim().is_empty()).then(|| {
        let system = format!("urn:fairway:{sender}:message");
        Json::object([("system", Json::String(system)), ("value", Json::string(control_id.trim()))])
    });
    Ok((Bundled { resources, blobs, findings, reads, identifier }, trace))
}

/// Whose codes and numbers a message holds: its sending facility, else its application.
fn sender(message: &Message) -> String {
    let header = message.segment_at(0);
    let name = |field| header.map(|header| header.field(field).component(1).trimmed()).unwrap_or_default();
    let given = [name(4), name(3)].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let plain: String = given.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    if plain.is_empty() { "sender".to_owned() } else { plain.to_ascii_lowercase() }
}

/// What a segment says but its own number; with the segments below it for what is made of several.
fn told_by<'m>(message: &'m Message, resource: &str, index: Option<usize>) -> Vec<&'m [u8]> {
    let segment = index.and_then(|index| message.segment_at(index));
    // MRG names patients, accounts and visits, and says nothing of them.
    let Some(segment) = segment.filter(|segment| segment.name() != "MRG") else { return Vec::new() };
    let with_more = matches!(resource, "Appointment" | "DocumentReference");
    let more = message.segments().skip(segment.index() + 1).take_while(|next| next.name() != segment.name());
    let segments = std::iter::once(segment).chain(more.take(if with_more { usize::MAX } else { 0 }));
    segments.flat_map(|segment| (2..=segment.field_count()).map(move |n| segment.field(n).raw())).collect()
}

impl<'m> Run<'_, 'm> {
    fn make_all(&mut self, makes: &[MakePlan], message: &Message) -> Result<(), Refusal> {
        // Who made the message, for what has no name beyond it.
        let header = message.segment_at(0);
        let of_header = |field| header.map(|header| header.field(field).trimmed().into_owned()).unwrap_or_default();
        let origin = [of_header(3), of_header(4), of_header(7), of_header(10)].join("\u{1f}");
        let mut work = Vec::new();
        // What the first segment said that was given an id.
        let mut first: HashMap<ResourceId, (Option<SegmentName>, Vec<&[u8]>)> = HashMap::new();
        for make in makes {
            let mut scopes = Vec::new();
            self.places.each_scope(&Scope::whole(), &make.each, &mut |scope| {
                if self.places.all_hold(scope, &make.when) {
                    scopes.push(*scope);
                }
                Ok(())
            })?;
            for scope in scopes {
                let index = scope.segment.map(|(segment, _)| segment.index());
                let key = self.key(&make.key, &scope).map(|(_, key)| key).unwrap_or_default();
                let place = index.map(|index| index.to_string()).unwrap_or_default();
                let patient = make.per_patient.then(|| self.reference_to("Patient", SegmentName::parse("PID"), &scope));
                let patient = patient.flatten().map(|patient| patient.to_string()).unwrap_or_default();
                let by_key = |more: &[&str]| {
                    ResourceId::derive(&[&["key", self.organisation, make.resource, &key], more].concat())
                };
                let owner: &[&str] = if make.per_patient { &[&patient] } else { &[] };
                let id = match key.as_str() {
                    "" => ResourceId::derive(&["message", make.resource, &origin, &place]),
                    _ => {
                        let name = scope.segment.map(|(_, name)| name);
                        let told = told_by(message, make.resource, index);
                        let id = by_key(owner);
                        let (whose, before) = first.entry(id).or_insert_with(|| (name, told.clone()));
                        // Another segment with the number of the first that says something else is about something else.
                        if *whose == name && *before != told { by_key(&[&patient, &place]) } else { id }
                    }
                };
                self.resources.targets.entry((make.resource, index)).or_insert(id);
                work.push((make, scope, id));
            }
        }
        for (make, scope, id) in work {
            let mut missing = Vec::new();
            let (mut inner, mut body) = (Vec::new(), resource(make.resource, id));
            let (since, around, page) = (self.trace.mark(), self.trace.begin(), self.places.reading.page());
            let told = self.block(make.rows, &scope, &mut inner, &mut missing)?;
            self.trace.resume(around);
            self.trace.name(since, &format!("{}/{id}", make.resource));
            for text in missing.iter() {
                let path = scope.path();
                let text = text.strip_prefix(&format!("{path}: ")).unwrap_or(text).to_owned();
                self.findings.push(Finding { path, text });
            }
            if (told || make.bare) && missing.is_empty() {
                apply(&inner, &mut body, &[]);
                self.keep(make.resource, id, body, &scope);
            } else {
                self.places.reading.take_back(page);
            }
            self.places.reading.settle();
        }
        Ok(())
    }

    fn keep(&mut self, kind: &str, id: ResourceId, body: Json, scope: &Scope<'m>) {
        let reference = format!("{kind}/{id}");
        if self.resources.known.insert(reference.clone()) {
            self.resources.made.push((reference, body, scope.path()));
        }
    }

    /// A resource of what stands here, named by its own content, so that who is named twice is one.
    pub(super) fn make_here(
        &mut self,
        kind: &'static str,
        block: BlockId,
        scope: &Scope<'m>,
    ) -> Result<Option<Json>, Refusal> {
        let (since, around) = (self.trace.mark(), self.trace.begin());
        let made = self.block_json(block, scope, &mut Vec::new())?;
        self.trace.resume(around);
        let Some(told) = made.as_ref().map(Json::to_string) else { return Ok(None) };
        let Some(Json::Object(elements)) = made else { return Ok(None) };
        let id = ResourceId::derive(&["content", self.organisation, kind, &told]);
        self.trace.name(since, &format!("{kind}/{id}"));
        if self.resources.known.contains(&format!("{kind}/{id}")) {
            self.trace.take_back(since);
        }
        let mut body = resource(kind, id);
        if let Json::Object(object) = &mut body {
            for (name, value) in elements {
                object.insert(name, value);
            }
        }
        self.keep(kind, id, body, scope);
        Ok(Some(reference(kind, id)))
    }

    /// A reference to what is made for the segment at hand, or for the one that a name means here.
    pub(super) fn reference_to(&self, kind: &'static str, of: Option<SegmentName>, scope: &Scope<'m>) -> Option<Json> {
        let segment = match of {
            Some(name) => Some(self.places.segment(scope, name)?),
            None => scope.segment.map(|(segment, _)| segment),
        };
        self.reference_at(kind, segment.map(|segment| segment.index()))
    }

    /// A reference to what is made for the segment of this index.
    pub(super) fn reference_at(&self, kind: &'static str, index: Option<usize>) -> Option<Json> {
        self.resources.targets.get(&(kind, index)).map(|id| reference(kind, *id))
    }

    /// Leaves out what is no valid R4 and references to what is not there, until all is well. One bad item of a resource
    /// does not cost the rest of it; a resource that is not valid without it goes as a whole.
    fn drop_invalid(&mut self) {
        loop {
            let before = self.resources.made.len();
            let mut findings = Vec::new();
            self.resources.made.retain_mut(|(reference, body, path)| {
                let kind = reference.split('/').next().unwrap_or_default();
                while let Some(issue) = fhir::check(body).first() {
                    let whole = !(remove_end(body, issue) || remove_item(body, &issue.path));
                    let what = if whole { kind } else { "part of it" };
                    let text = format!("makes no valid {kind}, so {what} is left out: {issue}");
                    findings.push(Finding { path: path.clone(), text });
                    if whole {
                        return false;
                    }
                }
                true
            });
            self.findings.append(&mut findings);
            let there: HashSet<String> = self.resources.made.iter().map(|(reference, ..)| reference.clone()).collect();
            let mut pruned = false;
            for (_, body, _) in &mut self.resources.made {
                prune(body, &there, &mut pruned);
            }
            if !pruned && self.resources.made.len() == before {
                return;
            }
        }
    }
}

/// Takes the end out of a Period that ends before it starts. Its start is told by more than one event.
fn remove_end(resource: &mut Json, issue: &fhir::Issue) -> bool {
    if !issue.message.starts_with("per-1") {
        return false;
    }
    let steps = issue.path.split(['.', '[', ']']).skip(1).filter(|step| !step.is_empty());
    let mut period = resource;
    for step in steps {
        let inner = match period {
            Json::Object(object) => object.get_mut(step),
            Json::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        };
        let Some(inner) = inner else { return false };
        period = inner;
    }
    let Json::Object(period) = period else { return false };
    period.remove("end").is_some()
}

/// Takes the element of a resource at a path out, of a repeating one the item: `Patient.contact[1].name` loses the second
/// contact. False when there is none.
fn remove_item(resource: &mut Json, path: &str) -> bool {
    let Json::Object(object) = resource else { return false };
    let Some(step) = path.split('.').nth(1) else { return false };
    let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
        Some((name, index)) => (name, index.parse::<usize>().ok()),
        None => (step, None),
    };
    if let (Some(index), Some(Json::Array(items))) = (index, object.get_mut(name))
        && index < items.len()
        && items.len() > 1
    {
        items.remove(index);
        return true;
    }
    object.remove(name).is_some()
}

fn resource(kind: &str, id: ResourceId) -> Json {
    Json::object([("resourceType", Json::string(kind)), ("id", Json::string(id.to_string()))])
}

fn reference(kind: &str, id: ResourceId) -> Json {
    Json::object([("reference", Json::string(format!("{kind}/{id}")))])
}

/// Takes references to what is not there out of a resource, and what that empties; true when `json` became empty.
fn prune(json: &mut Json, there: &HashSet<String>, pruned: &mut bool) -> bool {
    let leads_nowhere = |json: &Json| {
        let target = json
            .str_at("reference")
            .filter(|target| target.split_once('/').is_some_and(|(_, id)| ResourceId::parse(id).is_some()));
        target.is_some_and(|target| !there.contains(target))
    };
    if leads_nowhere(json) {
        *pruned = true;
        return true;
    }
    match json {
        Json::Object(object) => {
            let mut gone = Vec::new();
            for (name, value) in object.iter_mut() {
                if prune(value, there, pruned) {
                    gone.push(name.to_owned());
                }
            }
            for name in gone {
                object.remove(&name);
            }
            object.is_empty()
        }
        Json::Array(items) => {
            items.retain_mut(|item| !prune(item, there, pruned));
            items.is_empty()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}
