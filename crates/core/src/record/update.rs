//! What one message asks for: whose record, and which changes. The pure result of translating it.
//!
//! Knows nothing of HL7 segments or of what is stored; [`super::decide`] compares it with the store.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use fairway_care::{Label, Organisation, TeamRequest};

use super::ResourceId;
use crate::fhir::{Json, Object};

/// A patient identifier as records are matched by it (hl7-api 2.1, 2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentifierKey {
    /// Identifier system, a URI. Local systems belong to one organisation, so a local number never matches outside it.
    pub system: Arc<str>,
    /// The value, normalised for its kind (NHS number: ten digits).
    pub value: String,
}

/// How far an identifier reaches (hl7-api 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierKind {
    /// One per person and country: NHS number, CHI, H&C.
    National,
    /// Numbers of one organisation or team; a patient may hold several.
    Local,
}

/// One usable identifier of the message's patient.
#[derive(Debug, Clone, PartialEq)]
pub struct PatientIdentifier {
    /// System and value.
    pub key: IdentifierKey,
    /// National or local.
    pub kind: IdentifierKind,
    /// The FHIR Identifier to file.
    pub json: Json,
}

/// One step of the path to a FHIR element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Element name as it stands in JSON, e.g. `deceasedBoolean`.
    pub name: &'static str,
    /// True when the element repeats and so is a JSON array.
    pub many: bool,
    /// Which item of a repeating element; none on the last step means the whole array.
    pub index: Option<usize>,
    /// For an element like `deceasedBoolean` the name it is a choice of, here `deceased`: setting it removes the others.
    pub choice: Option<&'static str>,
}

/// Path from a resource to an element, as compiled from a mapping row.
pub type ElementPath = Arc<[Step]>;

/// One element that the message speaks about.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Which element.
    pub path: ElementPath,
    /// Its new value, or none when the sender deleted it (`""`).
    pub value: Option<Json>,
    /// True for the default of a mapping row: it stands in for nothing and never replaces what is there.
    pub is_default: bool,
}

/// What a change does to a data point that may or may not exist (docs/mappings.md, write policies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The whole data point, or the one item of its kind, becomes what the message says.
    Replace,
    /// Elements that the message values are set; the others stay.
    Merge,
    /// Only the elements the mapping lists are set.
    Set,
    /// An item is added to those the data point has.
    Append,
    /// The data point, or the last received item of its kind, is marked deleted.
    Delete,
}

/// What a change does when the sender's key is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Create the data point.
    Create,
    /// Do nothing and accept the message.
    Ignore,
}

/// An item of a data point that is made of events (hl7-api 3.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Kind of event, e.g. `ADMIT`.
    pub kind: Arc<str>,
    /// When it happened, µs since 1970 UTC.
    pub at: i64,
    /// The same instant as FHIR dateTime, in the precision of the sender.
    pub when: String,
}

/// One data point and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// FHIR resource type.
    pub resource_type: &'static str,
    /// Id, derived from organisation, type and key.
    pub id: ResourceId,
    /// The sender's key; parts are joined by U+001F.
    pub key: String,
    /// Key of the group the data point is deleted with (filler order number of a result).
    pub group: Option<String>,
    /// True for a delete that takes the whole group.
    pub whole_group: bool,
    /// What to do.
    pub policy: Policy,
    /// What to do when the key is unknown.
    pub unknown: Unknown,
    /// The event that the change is about, for data points made of events.
    pub item: Option<Item>,
    /// The elements; applied to nothing they make the whole resource.
    pub assignments: Vec<Assignment>,
    /// The resource that the elements made, as JSON text, in place of them; see `Change::condense`.
    pub text: Option<Box<[u8]>>,
    /// With [`Policy::Set`]: the top-level elements that may change.
    pub only: Arc<[&'static str]>,
    /// The data point is what all messages of it add up to (hl7-api 6.1.2): a report of which a correction repeats only
    /// what it corrects.
    pub sum: bool,
    /// What is missing to create the data point: complete sentences for the sender.
    pub missing: Vec<String>,
    /// Privacy label by the rules of hl7-api 8.2; none when the message has no code that decides one, so that a data
    /// point that is changed and not replaced keeps its own.
    pub label: Option<Label>,
}

impl Change {
    /// The resource that the elements make when they are applied to nothing.
    pub(crate) fn resource(&self) -> Json {
        // What was written here can be read.
        let told = self.text.as_deref().and_then(|text| Json::parse(text).ok());
        let mut resource = told.unwrap_or_else(|| {
            let mut resource = Object::with_capacity(self.assignments.len() + 1);
            resource.insert("resourceType", self.resource_type);
            let mut resource = Json::Object(resource);
            apply(&self.assignments, &mut resource, &[]);
            resource
        });
        resource.shrink_to_fit();
        resource
    }

    /// Keeps the text of what replaces a data point in place of its elements: a quarter of their memory, which counts
    /// where a message has very many.
    pub(crate) fn condense(&mut self) {
        if self.policy == Policy::Replace {
            self.text = Some(self.resource().to_vec().into());
            self.assignments = Vec::new();
        }
    }
}

/// Whose record, and what the message says about the person.
#[derive(Debug, Clone, PartialEq)]
pub struct PatientUpdate {
    /// True for A28/A31 style messages: create when unknown, change demographics when known.
    pub demographics: bool,
    /// Identifiers by which the record is found; never empty in an update that reaches `decide`.
    pub identifiers: Vec<PatientIdentifier>,
    /// Elements of the Patient; applied to nothing they make the whole resource.
    pub assignments: Vec<Assignment>,
    /// What is missing to create a record.
    pub missing: Vec<String>,
}

/// A document kept once under its content's hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Blob {
    /// SHA-256 over media type and content, lower-case hexadecimal; the id of the Binary.
    pub id: String,
    /// Media type.
    pub content_type: Cow<'static, str>,
    /// The content.
    pub bytes: Bytes,
}

/// The pure result of translating one message.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordUpdate {
    /// Who sent it.
    pub organisation: Arc<Organisation>,
    /// Alias of the Creating Team (hl7-api 2.8).
    pub creating_team: String,
    /// MSH-7 as µs since 1970 UTC: the entered time of everything in the message.
    pub sent_at: i64,
    /// Whose record.
    pub patient: PatientUpdate,
    /// Teams to add and remove, when the message has a ZTM segment.
    pub teams: Option<TeamRequest>,
    /// Data points, in the order they are to be applied.
    pub changes: Vec<Change>,
    /// Documents that the changes refer to.
    pub blobs: Vec<Blob>,
}

/// Stands for the record's Patient in translated resources, whose id is only known once the record is found.
pub const PATIENT_REFERENCE: &str = "Patient/$record";

/// Applies assignments to a resource (an object), in order; elements that are absent are created, and `None` removes.
pub fn apply(assignments: &[Assignment], resource: &mut Json, only: &[&str]) {
    for assignment in assignments {
        let Some(first) = assignment.path.first() else { continue };
        if !only.is_empty() && !only.contains(&first.name) {
            continue;
        }
        match &assignment.value {
            Some(_) if assignment.is_default && has(resource, &assignment.path) => {}
            Some(value) => set(resource, &assignment.path, value),
            None => {
                clear(resource, &assignment.path);
            }
        }
    }
}

/// True when the element is there.
fn has(target: &Json, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    let Some(held) = target.get(step.name) else { return false };
    match held {
        Json::Array(items) if !rest.is_empty() || step.index.is_some() => {
            items.get(step.index.unwrap_or(0)).is_some_and(|item| has(item, rest))
        }
        _ => has(held, rest),
    }
}

fn set(target: &mut Json, path: &[Step], value: &Json) {
    let Json::Object(object) = target else { return };
    let Some((step, rest)) = path.split_first() else { return };
    if let Some(choice) = step.choice {
        let other = |name: &str| name != step.name && is_choice_of(name, choice);
        // `deceasedBoolean` true says less than the time that is known.
        if *value == Json::Bool(true) && object.iter().any(|(name, _)| other(name)) {
            return;
        }
        object.retain(|name, _| name == step.name || !is_choice_of(name, choice));
    }
    let empty = || if step.many { Json::Array(Vec::with_capacity(1)) } else { Json::Object(Default::default()) };
    if rest.is_empty() && !(step.many && step.index.is_some()) {
        match (object.get_mut(step.name), value) {
            (Some(Json::Array(held)), Json::Array(items)) => *held = join_items(held, items),
            (Some(held), _) => *held = value.clone(),
            (None, _) => {
                object.insert(step.name, value.clone());
            }
        }
        return;
    }
    let next = object.get_or_insert_with(step.name, empty);
    let Json::Array(items) = next else { return set(next, rest, value) };
    let index = step.index.unwrap_or(0).min(items.len());
    if rest.is_empty() {
        if index == items.len() {
            items.push(value.clone())
        } else {
            items[index] = value.clone()
        }
        return;
    }
    if index == items.len() {
        items.push(Json::Object(Default::default()));
    }
    set(&mut items[index], rest, value);
}

/// True for `deceasedBoolean` when asked for `deceased`.
fn is_choice_of(name: &str, choice: &str) -> bool {
    name.strip_prefix(choice).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// New items of a repeating element: those of the message, and of the stored ones those with an element id that the
/// message has no item for: they are blank in the message, so they stay. `home.1` and `home.2` are items for `home`.
fn join_items(held: &[Json], items: &[Json]) -> Vec<Json> {
    fn slot(item: &Json) -> Option<&str> {
        let id = item.get("id").and_then(Json::as_str)?;
        Some(id.split_once('.').map_or(id, |(slot, _)| slot))
    }
    let told: HashSet<&str> = items.iter().filter_map(slot).collect();
    let kept = held.iter().filter(|item| slot(item).is_some_and(|slot| !told.contains(slot)));
    items.iter().chain(kept).cloned().collect()
}

/// Removes an element and the objects and arrays that this empties; true when `target` itself became empty.
fn clear(target: &mut Json, path: &[Step]) -> bool {
    let Json::Object(object) = target else { return false };
    let Some((step, rest)) = path.split_first() else { return false };
    if let Some(held) = object.get_mut(step.name) {
        let gone = match held {
            Json::Array(items) if !rest.is_empty() || step.index.is_some() => {
                let index = step.index.unwrap_or(0);
                if index < items.len() && (rest.is_empty() || clear(&mut items[index], rest)) {
                    items.remove(index);
                }
                items.is_empty()
            }
            Json::Object(_) if !rest.is_empty() => clear(held, rest),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => true,
        };
        if gone {
            object.remove(step.name);
        }
    }
    object.is_empty()
}

/// Puts the record's id where a translated resource says [`PATIENT_REFERENCE`].
pub fn name_patient(resource: &mut Json, record: ResourceId) {
    match resource {
        Json::String(text) if text == PATIENT_REFERENCE => *text = format!("Patient/{record}"),
        Json::Array(items) => items.iter_mut().for_each(|item| name_patient(item, record)),
        Json::Object(object) => object.iter_mut().for_each(|(_, value)| name_patient(value, record)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
