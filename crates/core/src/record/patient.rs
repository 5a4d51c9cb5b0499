//! Finding the record a message is about, and the identifiers a record holds (hl7-api 2.1, 2.4).

use super::ResourceId;
use super::update::{IdentifierKey, IdentifierKind, PatientIdentifier, PatientUpdate};
use super::view::{IdentifierEffect, PointHead, View};
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
            Some(index) => joined[index] = identifier.json.clone(),
            None => joined.push(identifier.json.clone()),
        }
    }
    Json::Array(joined)
}
