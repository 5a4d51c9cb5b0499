//! What FHIR R4 asks of a resource as a whole and no single row of a mapping can know.
//!
//! Small on purpose: everything a message says stays as it is.

use crate::fhir::{Json, date_range};

/// Completes a resource after its elements were set: an Appointment with a start gets an end that is not before it
/// (R4 app-2, app-3), for senders that give none.
pub(super) fn complete(resource_type: &str, resource: &mut Json) {
    if resource_type != "Appointment" {
        return;
    }
    let Some(start) = resource.get("start").cloned() else { return };
    let at = |time: Option<&Json>| time.and_then(Json::as_str).and_then(date_range).map(|(from, _)| from);
    let end = at(resource.get("end"));
    if (end.is_none() || end < at(Some(&start)))
        && let Json::Object(object) = resource
    {
        object.insert("end", start);
    }
}
