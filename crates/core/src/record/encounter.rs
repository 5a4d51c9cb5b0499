//! An Encounter as the sum of its events (hl7-api 3).
//!
//! Senders report admissions, transfers and discharges; the Encounter resource is worked out anew from the events that
//! remain, so that cancelling one puts things back exactly as they were.

use serde::{Deserialize, Serialize};

use crate::fhir::Json;

/// One event of an encounter, as received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventItem {
    /// Kind: `ADMIT`, `TRANSFER`, `DISCHARGE`, `PRE_ADMIT`, `PENDING_ADMIT` or `UPDATE`.
    pub kind: String,
    /// When it happened, µs since 1970 UTC.
    pub at: i64,
    /// The same as FHIR dateTime in the sender's precision.
    pub when: String,
    /// MSH-7 of the message that brought it, µs since 1970 UTC.
    pub entered_at: i64,
    /// The Encounter as this event alone describes it.
    pub resource: Json,
}

/// The Encounter that `items` add up to; `base` is the resource of the newest message (identifier, subject).
///
/// Status: no event left, `cancelled`; a discharge, `finished`; an admission, transfer or update, `in-progress`;
/// else `planned` (mapping-pitfalls 6). Class, service and doctors come from the latest event that has them; class
/// and place keep their history with the times between which they held (hl7-api 10.4).
pub(super) fn assemble(base: &Json, items: &[EventItem]) -> Json {
    let mut encounter = base.clone();
    let Json::Object(object) = &mut encounter else { return encounter };
    for name in ["class", "classHistory", "location", "period", "participant", "serviceType"] {
        object.remove(name);
    }
    let mut ordered: Vec<&EventItem> = items.iter().collect();
    ordered.sort_by_key(|item| item.at);
    let of = |kind: &str| ordered.iter().rev().find(|item| item.kind == kind);
    let status = if ordered.is_empty() {
        "cancelled"
    } else if of("DISCHARGE").is_some() {
        "finished"
    } else if ordered.iter().any(|item| matches!(item.kind.as_str(), "ADMIT" | "TRANSFER" | "UPDATE")) {
        "in-progress"
    } else {
        "planned"
    };
    object.insert("status", Json::string(status));

    let latest = |name: &str| ordered.iter().rev().find_map(|item| item.resource.get(name));
    let fallback = base.get("class").cloned();
    if let Some(class) = latest("class").cloned().or(fallback) {
        object.insert("class", class);
    }
    let classes = runs(&ordered, |item| item.resource.get("class"));
    if classes.len() > 1 {
        let history = classes.into_iter().map(|run| run.describe("class", run.value.clone())).collect();
        object.insert("classHistory", Json::Array(history));
    }
    for name in ["serviceType", "participant"] {
        if let Some(value) = latest(name) {
            object.insert(name, value.clone());
        }
    }
    let mut period = Vec::new();
    // Without an admission event, the admission time that another event told (PV1-44), else the first event.
    let told = ordered.iter().rev().find_map(|item| item.resource.str_at("period.start"));
    let first = ordered.first().filter(|item| item.kind != "DISCHARGE").map(|item| item.when.as_str());
    if let Some(start) = of("ADMIT").map(|item| item.when.as_str()).or(told).or(first) {
        period.push(("start", Json::string(start)));
    }
    if let Some(end) = of("DISCHARGE") {
        period.push(("end", Json::string(end.when.as_str())));
    }
    if !period.is_empty() {
        object.insert("period", Json::object(period));
    }
    let places: Vec<Json> =
        runs(&ordered, |item| item.resource.get("location").and_then(|list| list.as_array()?.first()))
            .into_iter()
            .filter_map(|run| run.value.get("location").map(|place| run.describe("location", place.clone())))
            .collect();
    if !places.is_empty() {
        object.insert("location", Json::Array(places));
    }
    encounter
}

/// A run of consecutive events with one value.
struct Run<'a> {
    value: &'a Json,
    start: &'a str,
    end: Option<&'a str>,
}

impl Run<'_> {
    fn describe(&self, name: &'static str, value: Json) -> Json {
        let mut period = vec![("start", Json::string(self.start))];
        if let Some(end) = self.end {
            period.push(("end", Json::string(end)));
        }
        Json::object([(name, value), ("period", Json::object(period))])
    }
}

/// Consecutive events with equal values; events without the value prolong the run before them.
fn runs<'a>(ordered: &[&'a EventItem], value: impl Fn(&'a EventItem) -> Option<&'a Json>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for item in ordered {
        let Some(value) = value(item) else { continue };
        if let Some(last) = runs.last_mut() {
            if last.value == value {
                continue;
            }
            last.end = Some(&item.when);
        }
        runs.push(Run { value, start: &item.when, end: None });
    }
    if let (Some(last), Some(discharge)) = (runs.last_mut(), ordered.iter().rev().find(|item| item.kind == "DISCHARGE"))
        && last.start != discharge.when
    {
        last.end = Some(&discharge.when);
    }
    runs
}
