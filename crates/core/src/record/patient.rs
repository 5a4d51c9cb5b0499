//! Finding the record a message is about, and the identifiers a record holds (hl7-api 2.1, 2.4).

use std::collections::HashSet;
use std::sync::Arc;

use super::outcome::{Fault, Refusal};
use super::update::apply;
use super::update::{IdentifierKey, IdentifierKind, PatientIdentifier, PatientUpdate, RecordUpdate};
use super::view::{IdentifierEffect, PointHead, View};
use super::{EventItem, ResourceId};
use crate::fhir::Json;

/// What the identifiers of a message lead to.
pub(super) enum Found {
    /// No record holds any of them.
    Nobody,
    /// Exactly one record.
    Record(ResourceId),
    /// Why they lead to no single record: a sentence for the sender.
    Conflict(String),
}

/// Hard match: the one record that holds at least one identifier, unless identifiers disagree.
pub(super) fn find(view: &View, patient: &PatientUpdate) -> Found {
    let mut found: Option<ResourceId> = None;
    for (index, identifier) in patient.identifiers.iter().enumerate() {
        let twice = patient.identifiers[..index].iter().any(|earlier| {
            identifier.kind == IdentifierKind::National
                && earlier.key.system == identifier.key.system
                && earlier.key.value != identifier.key.value
        });
        if twice {
            return Found::Conflict("PID-3: two different national numbers of one kind; send one".to_owned());
        }
        let Some(&record) = view.identifiers.get(&identifier.key) else { continue };
        if found.is_some_and(|other| other != record) {
            return Found::Conflict(
                "PID-3: the identifiers belong to different records; records are not merged, correct the identifiers"
                    .to_owned(),
            );
        }
        found = Some(record);
    }
    found.map_or(Found::Nobody, Found::Record)
}

/// System and value of each identifier that a Patient holds.
fn held(patient: &Json) -> impl Iterator<Item = (&str, &str)> {
    let identifiers = patient.get("identifier").and_then(Json::as_array).unwrap_or_default();
    identifiers
        .iter()
        .filter_map(|identifier| Some((identifier.get("system")?.as_str()?, identifier.get("value")?.as_str()?)))
}

/// Whether a Patient has an identifier of this system.
pub(super) fn holds_system(patient: &Json, system: &str) -> bool {
    held(patient).any(|(held, _)| held == system)
}

/// The national number of the same kind that the record holds, when the message has another one.
pub(super) fn national_conflict<'a>(head: &'a PointHead, patient: &'a PatientUpdate) -> Option<&'a PatientIdentifier> {
    patient.identifiers.iter().find(|identifier| {
        identifier.kind == IdentifierKind::National
            && held(&head.body)
                .any(|(system, value)| system == &*identifier.key.system && value != identifier.key.value)
    })
}

/// What becomes of the identifier table when a demographic message is applied to a record: new ones lead to it, and a
/// changed national number replaces the one before (hl7-api 2.4).
pub(super) fn identifier_effects(record: ResourceId, current: &Json, patient: &PatientUpdate) -> Vec<IdentifierEffect> {
    let mut effects = Vec::new();
    for identifier in &patient.identifiers {
        let key = &identifier.key;
        if held(current).any(|(system, value)| system == &*key.system && value == key.value) {
            continue;
        }
        if identifier.kind == IdentifierKind::National {
            for (system, value) in held(current).filter(|(system, _)| *system == &*key.system) {
                let key = IdentifierKey { system: system.into(), value: value.to_owned() };
                effects.push(IdentifierEffect::Remove { key });
            }
        }
        effects.push(IdentifierEffect::Put { key: key.clone(), record });
    }
    effects
}

/// What the times of numbers are called among the items of a Patient.
const NUMBER: &str = "NUMBER";

/// MSH-7 of the message that last told the number of a system; that of the newest message unless it told none.
pub(super) fn told_at(head: &PointHead, system: &str) -> i64 {
    let told = head.items.iter().find(|item| item.kind == NUMBER && item.resource.as_str() == Some(system));
    told.map_or(head.entered_at, |item| item.entered_at)
}

/// When each number was told that a Patient holds, of those that the newest message does not tell.
pub(super) fn numbers_told(head: &PointHead, patient: &PatientUpdate, sent_at: i64) -> Arc<[EventItem]> {
    let newest = head.entered_at.max(sent_at);
    let told: Vec<&str> = patient.identifiers.iter().map(|identifier| &*identifier.key.system).collect();
    let mut times: Vec<(&str, i64)> = told.iter().map(|system| (*system, sent_at)).collect();
    times.extend(
        held(&head.body)
            .map(|(system, _)| system)
            .filter(|system| !told.contains(system))
            .map(|system| (system, told_at(head, system))),
    );
    times.sort_unstable();
    times.dedup_by_key(|(system, _)| *system);
    let older = times.into_iter().filter(|(_, at)| *at < newest);
    older
        .map(|(system, at)| EventItem {
            kind: NUMBER.to_owned(),
            at,
            when: String::new(),
            entered_at: at,
            label: None,
            cancels: false,
            resource: Json::string(system),
        })
        .collect()
}

/// The id a new record gets: that of its first national identifier, else of its first identifier.
pub(super) fn first_record_id(update: &RecordUpdate) -> Option<ResourceId> {
    let identifiers = &update.patient.identifiers;
    let first = identifiers
        .iter()
        .find(|identifier| identifier.kind == IdentifierKind::National)
        .or_else(|| identifiers.first())?;
    Some(ResourceId::derive(&["record", &first.key.system, &first.key.value]))
}

/// System under which e-mail addresses are kept, so that one address sits on one record only (hl7-api 2.12). They never
/// match a record.
const EMAIL_SYSTEM: &str = "urn:fairway:e-mail";

/// The e-mail addresses of a Patient, folded as they are compared.
fn emails(patient: &Json) -> impl Iterator<Item = IdentifierKey> {
    let telecoms = patient.get("telecom").and_then(Json::as_array).unwrap_or_default();
    telecoms.iter().filter(|telecom| telecom.str_at("system") == Some("email")).filter_map(|telecom| {
        let value = telecom.str_at("value")?.trim().to_lowercase();
        Some(IdentifierKey { system: EMAIL_SYSTEM.into(), value })
    })
}

/// The addresses that the elements of a message would give a Patient.
pub(super) fn emails_of(patient: &PatientUpdate) -> Vec<IdentifierKey> {
    let mut body = Json::Object(Default::default());
    apply(&patient.assignments, &mut body, &["telecom"]);
    emails(&body).collect()
}

/// What becomes of the addresses of a record whose Patient changes.
///
/// # Errors
/// When an address is on another record.
pub(super) fn email_effects(
    view: &View,
    record: ResourceId,
    before: &Json,
    after: &Json,
) -> Result<Vec<IdentifierEffect>, Refusal> {
    let held: HashSet<IdentifierKey> = emails(before).collect();
    let wanted: HashSet<IdentifierKey> = emails(after).collect();
    let mut effects = Vec::new();
    for key in emails(after).filter(|key| !held.contains(key)) {
        if view.identifiers.get(&key).is_some_and(|other| *other != record) {
            let text = "PID-13, PID-14: the e-mail address is on another record; leave it out or correct it";
            return Err(Refusal::new(Fault::Conflict, text));
        }
        effects.push(IdentifierEffect::Put { key, record });
    }
    effects.extend(emails(before).filter(|key| !wanted.contains(key)).map(|key| IdentifierEffect::Remove { key }));
    Ok(effects)
}

/// A number without its verification status keeps the one it had (hl7-api 2.2: blank keeps).
fn with_status(held: &Json, given: &Json) -> Json {
    let mut given = given.clone();
    if held.str_at("value") == given.str_at("value")
        && given.get("extension").is_none()
        && let (Some(status), Json::Object(object)) = (held.get("extension"), &mut given)
    {
        object.insert("extension", status.clone());
    }
    given
}

/// The identifiers of a Patient after a message: its own replace those of the same system and value, and a national
/// number any of its system; the rest stay, in their order.
pub(super) fn join_identifiers(current: &Json, patient: &PatientUpdate) -> Json {
    let mut joined = current.get("identifier").and_then(Json::as_array).unwrap_or_default().to_vec();
    for identifier in &patient.identifiers {
        let same = joined.iter().position(|held| {
            held.get("system").and_then(Json::as_str) == Some(&identifier.key.system)
                && (identifier.kind == IdentifierKind::National
                    || held.get("value").and_then(Json::as_str) == Some(&identifier.key.value))
        });
        match same {
            Some(index) => joined[index] = with_status(&joined[index], &identifier.json),
            None => joined.push(identifier.json.clone()),
        }
    }
    Json::Array(joined)
}
