//! An Encounter as the sum of its events (hl7-api 3).
//!
//! Senders report admissions, transfers and discharges; the Encounter resource is worked out anew from the events that
//! remain, so that cancelling one puts things back exactly as they were.

use fairway_care::Label;
use serde::{Deserialize, Serialize};

use super::outcome::{Fault, Refusal};
use crate::fhir::{Json, date_range};

/// Events an encounter keeps; past it the oldest update goes, which its versions still tell.
const EVENTS_MAX: usize = 1000;

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
    /// The privacy label its own codes decide; none when it has none (hl7-api 8.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The event was cancelled. It says nothing of the stay any more, but keeps an older message from bringing it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// The Encounter as this event alone describes it; null when cancelled.
    pub resource: Json,
}

/// Takes the event at `index` out of the stay by a message of this time. Updates go with the last event that they could
/// belong to: an A08 alone is no stay (hl7-api 3.3).
pub(super) fn cancel(items: &mut Vec<EventItem>, index: usize, entered_at: i64) {
    if let Some(item) = items.get_mut(index) {
        (item.cancelled, item.entered_at, item.resource) = (true, entered_at, Json::Null);
    }
    if items.iter().all(|item| item.cancelled || item.kind == "UPDATE") {
        items.retain(|item| item.cancelled);
    }
}

/// An event of this kind that is cancelled already is cancelled once more: nothing older than this brings it back.
pub(super) fn cancel_again(items: &mut [EventItem], kind: &str, entered_at: i64) -> bool {
    let last = items.iter_mut().rev().find(|item| item.kind == kind && item.cancelled);
    let Some(last) = last.filter(|item| item.entered_at < entered_at) else { return false };
    last.entered_at = entered_at;
    true
}

/// Adds an event.
///
/// # Errors
/// When the encounter has too many to keep.
pub(super) fn add(items: &mut Vec<EventItem>, event: EventItem) -> Result<(), Refusal> {
    if items.len() >= EVENTS_MAX {
        let update = items.iter().position(|item| item.kind == "UPDATE" || item.cancelled);
        let text = format!("PV1-19: the encounter has {EVENTS_MAX} events already; start a new one");
        items.remove(update.ok_or_else(|| Refusal::new(Fault::Rule, text))?);
    }
    items.push(event);
    Ok(())
}

/// The label of an encounter: that of its latest event that decides one, like its service. A cancelled encounter keeps
/// the label it had.
pub(super) fn label(items: &[EventItem], held: Label) -> Label {
    let ordered = in_order(items);
    if ordered.is_empty() {
        return held;
    }
    ordered.iter().rev().find_map(|item| item.label).unwrap_or(Label::GeneralHealth)
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
    let ordered = in_order(items);
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
    // Without an admission event, the admission time that the newest message told (PV1-44), else the first event.
    let told = ordered.iter().filter_map(|item| Some((item.entered_at, item.resource.str_at("period.start")?)));
    let told = told.max_by_key(|(entered_at, _)| *entered_at).map(|(_, start)| start);
    let first = ordered.first().filter(|item| item.kind != "DISCHARGE").map(|item| item.when.as_str());
    let start = of("ADMIT").map(|item| item.when.as_str()).or(told).or(first);
    if let Some(period) = period(start, of("DISCHARGE").map(|item| item.when.as_str())) {
        object.insert("period", period);
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

/// The events that count, in the order in which they happened.
fn in_order(items: &[EventItem]) -> Vec<&EventItem> {
    let mut ordered: Vec<&EventItem> = items.iter().filter(|item| !item.cancelled).collect();
    ordered.sort_by_key(|item| moment(item));
    ordered
}

/// Where an event stands among the others: a discharge known to the day is the last of that day.
fn moment(item: &EventItem) -> i64 {
    let last = || date_range(&item.when).map(|(_, to)| to - 1);
    if item.kind == "DISCHARGE" { last().unwrap_or(item.at) } else { item.at }
}

/// A Period, which never ends before it starts: times of one message mean more than when another was sent, so then the
/// end stands. A start at 10:00 is not after an end on that day.
fn period(start: Option<&str>, end: Option<&str>) -> Option<Json> {
    let range = |time: Option<&str>| time.and_then(date_range);
    let start = start.filter(|_| match (range(start), range(end)) {
        (Some((from, _)), Some((_, to))) => from < to,
        _ => true,
    });
    let ends = [("start", start), ("end", end)];
    let members: Vec<_> = ends.into_iter().filter_map(|(name, time)| Some((name, Json::string(time?)))).collect();
    (!members.is_empty()).then(|| Json::object(members))
}

/// A run of consecutive events with one value.
struct Run<'a> {
    value: &'a Json,
    start: Option<&'a str>,
    moment: i64,
    end: Option<&'a str>,
}

impl Run<'_> {
    fn describe(&self, name: &'static str, value: Json) -> Json {
        let mut members = vec![(name, value)];
        members.extend(period(self.start, self.end).map(|period| ("period", period)));
        Json::object(members)
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
        runs.push(Run { value, start: Some(&item.when), moment: moment(item), end: None });
    }
    if let (Some(last), Some(discharge)) = (runs.last_mut(), ordered.iter().rev().find(|item| item.kind == "DISCHARGE"))
    {
        // What was told after the discharge holds on.
        last.end = (last.moment <= moment(discharge)).then_some(&discharge.when);
    }
    runs
}
