//! The resources a message speaks of, without any store: what `convert` prints.
//!
//! Decides nothing: a deletion shows nothing, and an update shows what the message itself says.

use std::collections::HashMap;

use super::complete::complete;
use super::outcome::ChangeKind;
use super::update::{Policy, RecordUpdate, apply, name_patient};
use super::{EventItem, ResourceId, encounter, patient, report};
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
    let mut sums: HashMap<usize, Vec<Json>> = HashMap::new();
    for change in &update.changes {
        if change.policy == Policy::Delete && change.item.is_none() {
            continue;
        }
        let mut body = change.resource();
        name_patient(&mut body, record);
        if let Some(item) = &change.item {
            let event = |cancels| EventItem {
                kind: item.kind.to_string(),
                at: item.at,
                when: item.when.clone(),
                entered_at: update.sent_at,
                label: change.label,
                cancels,
                resource: body.clone(),
            };
            // A cancellation shows what is left when there was nothing but the event.
            let is_cancellation = change.policy == Policy::Delete;
            let events: Vec<EventItem> =
                std::iter::once(event(false)).chain(is_cancellation.then(|| event(true))).collect();
            body = encounter::assemble(&events, &encounter::Stay::of(&events)).0;
        }
        // What is refused here is told by whoever decides.
        complete(change, ChangeKind::Created, &mut body).ok();
        match places.get(&change.id).and_then(|index: &usize| resources.get_mut(*index)) {
            Some(_) if change.sum => sums.entry(places[&change.id]).or_default().push(body),
            Some((_, _, earlier)) => *earlier = body,
            None => {
                places.insert(change.id, resources.len());
                resources.push((change.resource_type, change.id, body));
            }
        }
    }
    for (index, more) in sums {
        if let Some((_, _, first)) = resources.get_mut(index) {
            *first = report::join(std::iter::once(std::mem::take(first)).chain(more).collect());
        }
    }
    resources
}
