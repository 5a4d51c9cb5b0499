//! The invariants of FHIR R4 that the checker holds resources to; those that look at values are here as code.
//!
//! Source: the constraints of the R4 StructureDefinitions, named by their keys. Only those of severity error.

use super::super::date::{self, Precision};
use super::super::json::{Json, Object};
use super::super::table::{Element, Type};
use super::together::{Mask, masks_of};
use super::{Path, Walk};

/// The invariants of one type, ready to be tried.
#[derive(Debug)]
pub(crate) struct Rules {
    masks: Vec<Mask>,
    special: Option<Special>,
}

/// Types with rules about values.
#[derive(Clone, Copy, Debug)]
enum Special {
    AllergyIntolerance,
    Appointment,
    Bundle,
    Condition,
    Observation,
    Organization,
    Period,
    Range,
}

/// The invariants of the type with this name and these elements.
pub(crate) fn rules_of(name: &str, elements: &[Element]) -> Rules {
    let special = match name {
        "AllergyIntolerance" => Some(Special::AllergyIntolerance),
        "Appointment" => Some(Special::Appointment),
        "Bundle" => Some(Special::Bundle),
        "Condition" => Some(Special::Condition),
        "Observation" => Some(Special::Observation),
        "Organization" => Some(Special::Organization),
        "Period" => Some(Special::Period),
        "Range" => Some(Special::Range),
        _ => None,
    };
    Rules { masks: masks_of(name, elements), special }
}

impl<'r> Walk<'r> {
    /// The invariants of a type; `seen` are the slots that are filled.
    pub(super) fn rules(&mut self, t: &'static Type, object: &'r Object, seen: u64, path: &Path<'_>) {
        for text in t.rules().masks.iter().filter_map(|mask| mask.fault(seen)) {
            self.issue(path, text);
        }
        match t.rules().special {
            None => {}
            Some(Special::AllergyIntolerance) => self.allergy(object, path),
            Some(Special::Appointment) => self.appointment(object, path),
            Some(Special::Bundle) => self.bundle_rules(object, path),
            Some(Special::Condition) => self.condition(object, path),
            Some(Special::Observation) => self.observation(object, path),
            Some(Special::Organization) => self.organization(object, path),
            Some(Special::Period) if is_reversed(object) => self.issue(path, "per-1: must not end before it starts"),
            Some(Special::Range) if is_falling(object) => self.issue(path, "rng-2: low must not be above high"),
            Some(Special::Period | Special::Range) => {}
        }
    }

    fn allergy(&mut self, object: &Object, path: &Path<'_>) {
        let system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
        let is_error = has_coding(object.get("verificationStatus"), system, &["entered-in-error"]);
        match (is_error, object.contains("clinicalStatus")) {
            (false, false) => self.issue(path, "ait-1: clinicalStatus is required unless entered in error"),
            (true, true) => self.issue(path, "ait-2: clinicalStatus must not be present when entered in error"),
            (true, false) | (false, true) => {}
        }
    }

    fn appointment(&mut self, object: &Object, path: &Path<'_>) {
        let status = object.get("status").and_then(Json::as_str).unwrap_or_default();
        // A time that is told to be unknown is there, too.
        let has = |name: &str, sibling: &str| object.contains(name) || object.contains(sibling);
        let timed = has("start", "_start") && has("end", "_end");
        if !timed && !matches!(status, "proposed" | "cancelled" | "waitlist") {
            self.issue(path, "app-3: start and end are required unless proposed, cancelled or waitlisted");
        }
        if object.contains("cancelationReason") && !matches!(status, "cancelled" | "noshow") {
            self.issue(path, "app-4: cancelationReason is for cancelled and noshow only");
        }
    }

    fn condition(&mut self, object: &Object, path: &Path<'_>) {
        let status = object.get("clinicalStatus");
        let verification = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
        if status.is_some() && has_coding(object.get("verificationStatus"), verification, &["entered-in-error"]) {
            self.issue(path, "con-5: clinicalStatus must not be present when entered in error");
        }
        let clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical";
        let abated = object.iter().any(|(name, _)| name.trim_start_matches('_').starts_with("abatement"));
        if abated && !has_coding(status, clinical, &["inactive", "remission", "resolved"]) {
            self.issue(path, "con-4: an abated condition must be inactive, resolved or in remission");
        }
    }

    fn observation(&mut self, object: &'r Object, path: &Path<'_>) {
        let Some(components) = object.get("component").and_then(Json::as_array) else {
            return;
        };
        if !object.iter().any(|(name, _)| name.starts_with("value")) {
            return;
        }
        let mut codes: Vec<_> = codings(object.get("code")).collect();
        codes.sort_unstable();
        let same = |component: &'r Json| codings(component.get("code")).any(|code| codes.binary_search(&code).is_ok());
        if components.iter().any(same) {
            self.issue(path, "obs-7: a value must not stand beside a component of the same code");
        }
    }

    fn organization(&mut self, object: &Object, path: &Path<'_>) {
        for (name, rule) in
            [("address", "org-2: must not be a home address"), ("telecom", "org-3: must not be of use home")]
        {
            let items = object.get(name).and_then(Json::as_array).unwrap_or_default();
            if items.iter().any(|item| item.get("use").and_then(Json::as_str) == Some("home")) {
                self.issue(&path.child(name), rule);
            }
        }
    }

    fn bundle_rules(&mut self, object: &Object, path: &Path<'_>) {
        let kind = object.get("type").and_then(Json::as_str).unwrap_or_default();
        let entries = object.get("entry").and_then(Json::as_array).unwrap_or_default();
        if object.contains("total") && !matches!(kind, "searchset" | "history") {
            self.issue(path, "bdl-1: total is for searchset and history only");
        }
        let asks = matches!(kind, "batch" | "transaction" | "history");
        let answers = matches!(kind, "batch-response" | "transaction-response" | "history");
        for (index, entry) in entries.iter().enumerate() {
            let path = path.child("entry").item(index);
            if entry.get("search").is_some() && kind != "searchset" {
                self.issue(&path, "bdl-2: search is for a searchset only");
            }
            if entry.get("request").is_some() != asks {
                self.issue(&path, "bdl-3: a request is for batch, transaction and history, and required there");
            }
            if entry.get("response").is_some() != answers {
                self.issue(&path, "bdl-4: a response is for responses and history, and required there");
            }
        }
        let first = entries.first().and_then(|entry| entry.get("resource")).and_then(Json::resource_type);
        match kind {
            "document" => {
                let identifier = object.get("identifier");
                if !identifier.is_some_and(|i| i.get("system").is_some() && i.get("value").is_some()) {
                    self.issue(path, "bdl-9: a document needs an identifier with system and value");
                }
                if !object.contains("timestamp") {
                    self.issue(path, "bdl-10: a document needs a timestamp");
                }
                if first != Some("Composition") {
                    self.issue(path, "bdl-11: a document must start with a Composition");
                }
            }
            "message" if first != Some("MessageHeader") => {
                self.issue(path, "bdl-12: a message must start with a MessageHeader");
            }
            _ => {}
        }
    }
}

/// System and code of each coding of a CodeableConcept.
fn codings(concept: Option<&Json>) -> impl Iterator<Item = (Option<&str>, &str)> {
    let codings = concept.and_then(|c| c.get("coding")).and_then(Json::as_array).unwrap_or_default();
    codings.iter().filter_map(|c| Some((c.get("system").and_then(Json::as_str), c.get("code")?.as_str()?)))
}

fn has_coding(concept: Option<&Json>, system: &str, any: &[&str]) -> bool {
    codings(concept).any(|(found, code)| found == Some(system) && any.contains(&code))
}

/// Whether a Period certainly ends before it starts. A date beside a date with time is compared by the day.
fn is_reversed(period: &Object) -> bool {
    let text = |name| period.get(name).and_then(Json::as_str);
    let (Some(start), Some(end)) = (text("start"), text("end")) else {
        return false;
    };
    let (Some(from), Some(to)) = (date::parse(start), date::parse(end)) else {
        return false;
    };
    if (from.precision <= Precision::Day) == (to.precision <= Precision::Day) {
        return from.from >= to.to;
    }
    let days = 10.min(start.len()).min(end.len());
    start.as_bytes()[..days] > end.as_bytes()[..days]
}

/// Whether a Range's low is above its high; told only for equal units.
fn is_falling(range: &Object) -> bool {
    let (Some(low), Some(high)) = (range.get("low"), range.get("high")) else {
        return false;
    };
    let alike = ["system", "code", "unit"].iter().all(|name| low.get(name) == high.get(name));
    let number = |q: &Json| q.get("value")?.as_number()?.as_f64();
    alike && number(low).zip(number(high)).is_some_and(|(low, high)| low > high)
}
