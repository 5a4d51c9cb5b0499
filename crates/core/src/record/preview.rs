//! The resources a message speaks of, without any store: what `convert` prints.
//!
//! Decides nothing: a deletion shows nothing, and an update shows what the message itself says.

use std::collections::HashMap;

use super::complete::complete;
use super::outcome::ChangeKind;
use super::update::{Policy, RecordUpdate, apply, gather, name_patient, unite};
use super::{EventItem, ResourceId, encounter, patient};
use crate::fhir::Json;

/// Type, id and content of the Patient and of each data point, in the order of the message.
pub fn preview(update: &RecordUpdate) -> Vec<(&'static str, ResourceId, Json)> {
    let Some(record) = patient::first_record_id(update) else { return Vec::new() };
    let mut body = Json::object([("resourceType", Json::string("Patient"))]);
    if let Json::Object(object) = &mut body {
        object.insert("identifier", patient::join_identifiers(&Json::Null, &update.patient));
    }
    apply(&update.patient.assignments, &mut body, &[]);
    let mut resources = vec![("Patient", record, body)];
    let mut places = HashMap::new();
    for change in &update.changes {
        if change.policy == Policy::Delete && change.item.is_none() {
            continue;
        }
        let mut body = Json::object([("resourceType", Json::string(change.resource_type))]);
        apply(&change.assignments, &mut body, &[]);
        name_patient(&mut body, record);
        if let Some(item) = &change.item {
            let event = EventItem {
                cancelled: false,
                kind: item.kind.to_string(),
                at: item.at.unwrap_or(update.sent_at),
                when: item.when.clone().unwrap_or_default(),
                entered_at: update.sent_at,
                label: change.label,
                resource: body.clone(),
            };
            let events = if change.policy == Policy::Delete { vec![] } else { vec![event] };
            body = encounter::assemble(&body, &events);
        }
        // What is refused here is told by whoever decides.
        complete(change, ChangeKind::Created, &mut body).ok();
        match places.get(&change.id).and_then(|index: &usize| resources.get_mut(*index)) {
            Some((_, _, earlier)) => {
                unite(&change.unite, earlier, &mut body);
                gather(&change.gather, earlier, &mut body, true);
                *earlier = body;
            }
            None => {
                places.insert(change.id, resources.len());
                resources.push((change.resource_type, change.id, body));
            }
        }
    }
    resources
}
