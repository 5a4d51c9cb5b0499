//! What FHIR R4 asks of a resource as a whole and no single row of a mapping can know.
//!
//! Small on purpose: everything a message says stays as it is.

use super::outcome::{ChangeKind, Fault, Refusal};
use super::update::{Assignment, Change, Policy};
use crate::fhir::{Json, date_range};

/// Lets an end that [`complete`] made of the start follow it when a message moves the start alone.
pub(super) fn end_follows_start(before: &Json, assignments: &[Assignment], after: &mut Json) {
    let tells = |name| assignments.iter().any(|one| one.path.first().is_some_and(|step| step.name == name));
    let Some(end) = before.get("end").filter(|end| before.get("start") == Some(end)) else { return };
    if before.str_at("resourceType") == Some("Appointment") && !tells("end") && after.get("end") == Some(end) {
        let start = after.get("start").cloned();
        if let (Json::Object(object), Some(start)) = (after, start) {
            object.insert("end", start);
        }
    }
}

/// Completes a resource after its elements were set: an Appointment with a start gets an end that is not before it
/// (R4 app-2, app-3), for senders that give none.
///
/// # Errors
/// When the message itself gives an end before the start.
pub(super) fn complete(change: &Change, kind: ChangeKind, resource: &mut Json) -> Result<(), Refusal> {
    if change.resource_type != "Appointment" {
        return Ok(());
    }
    let Some(start) = resource.get("start").cloned() else { return Ok(()) };
    let at = |time: Option<&Json>| time.and_then(Json::as_str).and_then(date_range).map(|(from, _)| from);
    let end = at(resource.get("end"));
    if end.is_none() || end < at(Some(&start)) {
        let told = change.text.is_some()
            || change.assignments.iter().any(|one| one.path.first().is_some_and(|step| step.name == "end"));
        let whole = kind == ChangeKind::Created || change.policy != Policy::Set || change.only.contains(&"end");
        if told && whole && end.is_some() {
            return Err(Refusal::new(Fault::Value, "SCH-11.5 (end) is before the start of the appointment"));
        }
        if let Json::Object(object) = resource {
            object.insert("end", start);
        }
    }
    Ok(())
}
