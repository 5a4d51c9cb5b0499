//! An Encounter as the sum of its events (hl7-api 3).
//!
//! Senders report admissions, transfers and discharges; the Encounter resource is worked out anew from the events that
//! remain, so that cancelling one puts things back exactly as they were.

use fairway_care::Label;
use serde::{Deserialize, Serialize};

use super::outcome::{Fault, Refusal};
use crate::fhir::{Json, Object, date_range};

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

/// Takes the event at `index` out of the stay by a message of this time. Updates go with the admission when nothing else is
/// left: an A08 alone is no stay (hl7-api 3.3).
pub(super) fn cancel(items: &mut Vec<EventItem>, index: usize, entered_at: i64) {
    if let Some(item) = items.get_mut(index) {
        (item.cancelled, item.entered_at, item.resource) = (true, entered_at, Json::Null);
    }
    if is_cancelled(items) {
        items.retain(|item| item.cancelled);
    }
}

/// Whether the stay is: its admission is cancelled, and nothing but updates is left. A transfer or discharge that is
/// cancelled leaves the patient where they were.
fn is_cancelled(items: &[EventItem]) -> bool {
    items.iter().any(|item| item.cancelled && item.kind != "TRANSFER" && item.kind != "DISCHARGE")
        && items.iter().all(|item| item.cancelled || item.kind == "UPDATE")
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
    let standing: Vec<&EventItem> = items.iter().filter(|item| !item.cancelled).collect();
    if standing.is_empty() {
        return held;
    }
    let ordered = Times::of(&standing).in_order(standing);
    ordered.iter().rev().find_map(|item| item.label).unwrap_or(Label::GeneralHealth)
}

/// The Encounter that `items` add up to, and what contradicts itself in it, if anything does: a complete sentence. `base`
/// is the resource of the newest message (identifier, subject), or the stored one when events were cancelled.
///
/// Status: the admission cancelled and no event left, `cancelled`; a discharge, `finished`; an admission, transfer or
/// update, `in-progress`; else `planned` (mapping-pitfalls 6). Class, service and doctors come from the latest event that
/// has them; class and place keep their history with the times between which they held (hl7-api 10.4). Admission and
/// discharge have the times of the whole stay (hl7-api 3.1).
pub(super) fn assemble(base: &Json, items: &[EventItem]) -> (Json, Option<&'static str>) {
    let mut encounter = base.clone();
    let Json::Object(object) = &mut encounter else { return (encounter, None) };
    let standing: Vec<&EventItem> = items.iter().filter(|item| !item.cancelled).collect();
    if standing.is_empty() && !is_cancelled(items) && !items.is_empty() {
        // Nothing but a discharge or transfers was ever told, and that was taken back.
        reopen(object, items.iter().any(|item| item.kind == "TRANSFER"));
        return (encounter, None);
    }
    for name in ["class", "classHistory", "location", "period", "participant", "serviceType"] {
        object.remove(name);
    }
    let times = Times::of(&standing);
    let ordered = times.in_order(standing);
    let has = |kind: &str| ordered.iter().any(|item| item.kind == kind);
    let status = if ordered.is_empty() {
        "cancelled"
    } else if has("DISCHARGE") {
        "finished"
    } else if ["ADMIT", "TRANSFER", "UPDATE"].into_iter().any(has) {
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
    let classes = runs(&times, &ordered, |item| item.resource.get("class"));
    if classes.len() > 1 {
        let history = classes.into_iter().map(|run| run.describe("class", run.value.clone())).collect();
        object.insert("classHistory", Json::Array(history));
    }
    for name in ["serviceType", "participant"] {
        if let Some(value) = latest(name) {
            object.insert(name, value.clone());
        }
    }
    let first = ordered.first().filter(|item| item.kind != "DISCHARGE").map(|item| item.when.as_str());
    if let Some(period) = period(times.start.or(first), times.end) {
        object.insert("period", period);
    }
    let places: Vec<Json> =
        runs(&times, &ordered, |item| item.resource.get("location").and_then(|list| list.as_array()?.first()))
            .into_iter()
            .filter_map(|run| run.value.get("location").map(|place| run.describe("location", place.clone())))
            .collect();
    if !places.is_empty() {
        object.insert("location", Json::Array(places));
    }
    let contradicts = times.are_told && !in_order(times.start, times.end);
    (
        encounter,
        contradicts.then_some("PV1-45.1 (discharge time) is before the admission time of the encounter (PV1-44.1)"),
    )
}

/// Puts a stay back to where nothing is known of its end, nor, when the patient `moved`, of its place.
fn reopen(object: &mut Object, moved: bool) {
    fn endless(object: &mut Object) {
        if let Some(Json::Object(period)) = object.get_mut("period") {
            period.remove("end");
            if period.is_empty() {
                object.remove("period");
            }
        }
    }
    object.insert("status", Json::string("in-progress"));
    endless(object);
    match object.get_mut("location") {
        Some(Json::Array(places)) if !moved => {
            if let Some(Json::Object(last)) = places.last_mut() {
                endless(last);
            }
        }
        _ => drop(object.remove("location")),
    }
}

/// When a stay began and ended, as the newest messages told.
struct Times<'a> {
    start: Option<&'a str>,
    end: Option<&'a str>,
    /// Both were told as such (PV1-44, PV1-45), so that one of them is wrong when they contradict each other.
    are_told: bool,
}

impl<'a> Times<'a> {
    /// The admission time that the newest message told, whatever its event, else that of the admission. The discharge time
    /// of the discharge, or one that a newer message told; none without a discharge.
    fn of(standing: &[&'a EventItem]) -> Times<'a> {
        let told = |name: &'static str| {
            standing.iter().filter_map(move |item| Some((item.entered_at, item.resource.str_at(name)?)))
        };
        let newest = |times: &mut dyn Iterator<Item = (i64, &'a str)>| times.max_by_key(|(entered_at, _)| *entered_at);
        let of = |kind: &str| standing.iter().rev().find(|item| item.kind == kind);
        let start = newest(&mut told("period.start")).map(|(_, start)| start);
        let discharge = of("DISCHARGE");
        let later = newest(&mut told("period.end").filter(|(at, _)| discharge.is_some_and(|one| one.entered_at < *at)));
        let end = later.map(|(_, end)| end).or(discharge.map(|one| one.when.as_str()));
        let end_is_told = later.is_some() || discharge.is_some_and(|one| one.resource.str_at("period.end").is_some());
        let are_told = start.is_some() && discharge.is_some() && end_is_told;
        Times {
            start: start.or(of("ADMIT").map(|item| item.when.as_str())),
            end: end.filter(|_| discharge.is_some()),
            are_told,
        }
    }

    /// The events in the order in which they happened.
    fn in_order(&self, mut standing: Vec<&'a EventItem>) -> Vec<&'a EventItem> {
        standing.sort_by_key(|item| self.moment(item));
        standing
    }

    /// When an event happened, in the precision of its sender.
    fn when(&self, item: &'a EventItem) -> &'a str {
        match item.kind.as_str() {
            "ADMIT" => self.start.unwrap_or(&item.when),
            "DISCHARGE" => self.end.unwrap_or(&item.when),
            _ => &item.when,
        }
    }

    /// Where an event stands among the others: a discharge known to the day is the last of that day.
    fn moment(&self, item: &'a EventItem) -> i64 {
        match (date_range(self.when(item)), item.kind.as_str()) {
            (Some((_, to)), "DISCHARGE") => to - 1,
            (Some((from, _)), "ADMIT") => from,
            _ => item.at,
        }
    }
}

/// A start at 10:00 is not after an end on that day.
fn in_order(start: Option<&str>, end: Option<&str>) -> bool {
    let range = |time: Option<&str>| time.and_then(date_range);
    range(start).zip(range(end)).is_none_or(|((from, _), (_, to))| from < to)
}

/// A Period, which never ends before it starts: times of one message mean more than when another was sent, so then the
/// end stands.
fn period(start: Option<&str>, end: Option<&str>) -> Option<Json> {
    let start = start.filter(|start| in_order(Some(start), end));
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
fn runs<'a>(
    times: &Times<'a>,
    ordered: &[&'a EventItem],
    value: impl Fn(&'a EventItem) -> Option<&'a Json>,
) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for item in ordered {
        let Some(value) = value(item) else { continue };
        let when = times.when(item);
        if let Some(last) = runs.last_mut() {
            if last.value == value {
                continue;
            }
            last.end = Some(when);
        }
        // What a discharge alone tells held from the admission on.
        let start = if item.kind == "DISCHARGE" && runs.is_empty() { times.start } else { Some(when) };
        runs.push(Run { value, start, moment: times.moment(item), end: None });
    }
    if let (Some(last), Some(discharge)) = (runs.last_mut(), ordered.iter().rev().find(|item| item.kind == "DISCHARGE"))
    {
        // What was told after the discharge holds on.
        last.end = (last.moment <= times.moment(discharge)).then_some(times.when(discharge));
    }
    runs
}
