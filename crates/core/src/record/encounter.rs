//! An Encounter as the sum of its events (hl7-api 3).
//!
//! Senders report admissions, transfers and discharges; the Encounter resource is worked out anew from the events that
//! remain, so that cancelling one puts things back exactly as they were.

use fairway_care::Label;
use serde::{Deserialize, Serialize};

use super::outcome::{Fault, Refusal};
use super::report::most_guarded;
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
    /// MSH-7 of the message that told what a cancelled event still tells, µs since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<i64>,
    /// The Encounter as this event alone describes it; of a cancelled one at most the admission time that it told.
    pub resource: Json,
}

/// Takes the event at `index` out of the stay by a message of this time. Updates go with the admission when nothing else is
/// left: an A08 alone is no stay (hl7-api 3.3).
pub(super) fn cancel(items: &mut Vec<EventItem>, index: usize, entered_at: i64) {
    if let Some(item) = items.get_mut(index) {
        // What a transfer or discharge told of the admission is not taken back with it.
        let told = item.resource.at("period.start").filter(|_| !begins_stay(&item.kind)).cloned();
        let told = told.map(|start| Json::object([("period", Json::object([("start", start)]))]));
        item.told_at = told.is_some().then_some(item.entered_at);
        (item.cancelled, item.entered_at, item.resource) = (true, entered_at, told.unwrap_or(Json::Null));
    }
    if is_cancelled(items) {
        items.retain(|item| item.cancelled);
    }
}

/// Whether the stay is: its admission is cancelled, and nothing but updates is left. A transfer or discharge that is
/// cancelled leaves the patient where they were.
pub(super) fn is_cancelled(items: &[EventItem]) -> bool {
    items.iter().any(|item| item.cancelled && begins_stay(&item.kind))
        && items.iter().all(|item| item.cancelled || item.kind == "UPDATE")
}

/// Whether a stay begins with an event of this kind: an admission, or one that is planned.
fn begins_stay(kind: &str) -> bool {
    kind != "TRANSFER" && kind != "DISCHARGE"
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

/// The label of an encounter: the most guarded one of its events, since their places, services and doctors stand side by
/// side in it. A cancelled encounter keeps the label it had.
pub(super) fn label(items: &[EventItem], held: Label) -> Label {
    if items.iter().all(|item| item.cancelled) {
        return held;
    }
    most_guarded(items.iter().filter(|item| !item.cancelled).filter_map(|item| item.label))
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
        reopen(object, Times::of(items).start, items.iter().any(|item| item.kind == "TRANSFER"));
        return (encounter, None);
    }
    for name in ["class", "classHistory", "location", "period", "participant", "serviceType"] {
        object.remove(name);
    }
    let times = Times::of(items);
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

/// Puts a stay back to where nothing is known but its start, if that was told, and its place unless the patient `moved`.
fn reopen(object: &mut Object, start: Option<&str>, moved: bool) {
    object.insert("status", Json::string("in-progress"));
    let tell = |object: &mut Object| match period(start, None) {
        Some(period) => drop(object.insert("period", period)),
        None => drop(object.remove("period")),
    };
    tell(object);
    match object.get_mut("location") {
        Some(Json::Array(places)) if !moved => {
            if let Some(Json::Object(last)) = places.last_mut() {
                tell(last);
            }
        }
        // What the transfers told goes with them.
        _ => ["location", "serviceType", "participant"].iter().for_each(|name| drop(object.remove(name))),
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
    fn of(items: &'a [EventItem]) -> Times<'a> {
        let standing = || items.iter().filter(|item| !item.cancelled);
        let newest = |times: &mut dyn Iterator<Item = (i64, &'a str)>| times.max_by_key(|(entered_at, _)| *entered_at);
        let of = |kind: &str| standing().rfind(|item| item.kind == kind);
        let told = |item: &'a EventItem| {
            Some((item.told_at.unwrap_or(item.entered_at), item.resource.str_at("period.start")?))
        };
        let starts = items.iter().filter_map(told);
        let ends = standing().filter_map(|item| Some((item.entered_at, item.resource.str_at("period.end")?)));
        let start = newest(&mut { starts }).map(|(_, start)| start);
        let discharge = of("DISCHARGE");
        let later = newest(&mut ends.filter(|(at, _)| discharge.is_some_and(|one| one.entered_at < *at)));
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
        // Senders know minutes: of events of one moment the stay begins with its admission and ends with its discharge, and
        // the rest stands as it was told.
        let rank = |item: &EventItem| match item.kind.as_str() {
            "TRANSFER" | "UPDATE" => 1,
            "DISCHARGE" => 2,
            _ => 0,
        };
        standing.sort_by_key(|item| (self.moment(item), rank(item), item.entered_at));
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
