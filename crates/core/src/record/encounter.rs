//! An Encounter as the sum of its events (hl7-api 3).
//!
//! Senders report admissions, transfers and discharges; the Encounter resource is worked out anew from the events that
//! remain, so that cancelling one puts things back exactly as they were.

use fairway_care::Label;
use serde::{Deserialize, Serialize};

use super::outcome::{Fault, Refusal};
use super::report::most_guarded;
use crate::fhir::{Json, Object, date_range};

/// Messages of a stay that are kept; past it the oldest update goes, which its versions still tell.
const EVENTS_MAX: usize = 1000;

/// What one message told of a data point that is the sum of its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventItem {
    /// Kind of event: `ADMIT`, `TRANSFER`, `DISCHARGE`, `PRE_ADMIT`, `PENDING_ADMIT` or `UPDATE`.
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
    /// The message tells no event: it takes back the last one of this kind that was told before it (hl7-api 3.3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancels: bool,
    /// The Encounter as this event alone describes it.
    pub resource: Json,
}

/// Adds what a message told, in the order in which messages were entered; its place. One that tells again what was told at
/// the same time takes its place.
///
/// # Errors
/// When the encounter has too many to keep.
pub(super) fn add(items: &mut Vec<EventItem>, new: EventItem) -> Result<usize, Refusal> {
    let same = |item: &EventItem| *item == EventItem { label: item.label, ..new.clone() } && !item.cancels;
    if let Some(index) = items.iter().position(same) {
        items[index] = new;
        return Ok(index);
    }
    if items.len() >= EVENTS_MAX {
        make_room(items)?;
    }
    let index = items.partition_point(|item| item.entered_at <= new.entered_at);
    items.insert(index, new);
    Ok(index)
}

/// Takes out the oldest update, else something that says nothing any more.
fn make_room(items: &mut Vec<EventItem>) -> Result<(), Refusal> {
    let stay = Stay::of(items);
    let is_silent =
        |index: &usize| items[*index].kind == "UPDATE" || !stay.counts(*index) && !stay.was_taken_back(*index);
    let text = format!("PV1-19: the encounter has {EVENTS_MAX} events already; start a new one");
    let silent = (0..items.len()).find(is_silent);
    let pair = || stay.taken_back.first().map(|(event, by)| vec![*by, *event]);
    let gone = silent.map(|index| vec![index]).or_else(pair).ok_or_else(|| Refusal::new(Fault::Rule, text))?;
    for index in gone {
        items.remove(index);
    }
    Ok(())
}

/// What the messages of a stay, in the order in which they were entered, leave of it. Places are those in the list.
pub(super) struct Stay {
    /// Events that stand.
    standing: Vec<usize>,
    /// Each event that was taken back, with the cancellation that did it.
    taken_back: Vec<(usize, usize)>,
    /// Its admission, or the one that was planned, was taken back and nothing but updates is left: an A08 alone is no stay
    /// (hl7-api 3.3). A transfer or discharge that is taken back leaves the patient where they were.
    pub(super) is_cancelled: bool,
}

impl Stay {
    /// There is at most one event of a kind but transfers and updates (hl7-api 3.1). O(n²) in the worst case, n at most 1,000.
    pub(super) fn of(items: &[EventItem]) -> Stay {
        let mut stay = Stay { standing: Vec::new(), taken_back: Vec::new(), is_cancelled: false };
        let (mut begun, mut admission_taken_back) = (false, false);
        for (index, item) in items.iter().enumerate() {
            let last = stay.standing.iter().rposition(|event| items[*event].kind == item.kind);
            if !item.cancels {
                let many = matches!(item.kind.as_str(), "TRANSFER" | "UPDATE");
                last.filter(|_| !many).map(|last| stay.standing.remove(last));
                // An update of what nobody told of, or of what was taken back, is none (hl7-api 3.3).
                begun |= item.kind != "UPDATE";
                stay.standing.extend((item.kind != "UPDATE" || begun && !stay.is_cancelled).then_some(index));
            } else if let Some(last) = last {
                stay.taken_back.push((stay.standing.remove(last), index));
                admission_taken_back |= begins_stay(&item.kind);
            }
            stay.is_cancelled =
                admission_taken_back && stay.standing.iter().all(|event| items[*event].kind == "UPDATE");
            if stay.is_cancelled {
                stay.standing.clear();
            }
        }
        stay
    }

    /// Whether a message has a part in what the stay is now: its event stands, or its cancellation took one back.
    pub(super) fn counts(&self, index: usize) -> bool {
        self.standing.contains(&index) || self.taken_back.iter().any(|(_, by)| *by == index)
    }

    fn was_taken_back(&self, index: usize) -> bool {
        self.taken_back.iter().any(|(event, _)| *event == index)
    }
}

/// The class of an encounter whose class nobody told (`PKBCS04`).
const OTHER: &str = "OTH";

/// The class that an event tells: `OTHER` stands for one that it does not tell (hl7-api 3.2), and takes the place of none.
fn class_told(item: &EventItem) -> Option<&Json> {
    item.resource.get("class").filter(|class| class.str_at("code") != Some(OTHER))
}

/// Whether a stay begins with an event of this kind: an admission, or one that is planned.
fn begins_stay(kind: &str) -> bool {
    kind != "TRANSFER" && kind != "DISCHARGE"
}

/// The label of an encounter: the most guarded one of its events, since their places, services and doctors stand side by
/// side in it; of all that were told when it is cancelled.
pub(super) fn label(items: &[EventItem], stay: &Stay) -> Label {
    if stay.standing.is_empty() {
        return most_guarded(items.iter().filter_map(|item| item.label));
    }
    most_guarded(stay.standing.iter().filter_map(|index| items[*index].label))
}

/// The Encounter that `items` add up to, of which `stay` is left, and what contradicts itself in it, if anything does: a complete sentence.
///
/// Status: the admission taken back and no event left, `cancelled`; a discharge, `finished`; nothing but a planned admission
/// and its updates, `planned`; else `in-progress` (mapping-pitfalls 6). Class, service and doctors come from the latest event that
/// has them; class and place keep their history with the times between which they held (hl7-api 10.4). Admission and
/// discharge have the times of the whole stay (hl7-api 3.1). What else there is comes from the newest message.
pub(super) fn assemble(items: &[EventItem], stay: &Stay) -> (Json, Option<&'static str>) {
    let standing: Vec<&EventItem> = stay.standing.iter().map(|index| &items[*index]).collect();
    let told = items.iter().filter(|item| !item.cancels);
    let newest = standing.iter().copied().max_by_key(|item| item.entered_at).or(told.clone().next_back());
    let mut encounter = newest.map_or(Json::Null, |item| item.resource.clone());
    let Json::Object(object) = &mut encounter else { return (encounter, None) };
    let times = Times::of(items, stay);
    if standing.is_empty() && !stay.is_cancelled {
        // Nothing but a discharge or transfers was ever told, and that was taken back.
        reopen(object, times.start, told.clone().any(|item| item.kind == "TRANSFER"));
        return (encounter, None);
    }
    for name in ["class", "classHistory", "location", "period", "participant", "serviceType"] {
        object.remove(name);
    }
    let ordered = times.in_order(standing);
    let has = |kind: &str| ordered.iter().any(|item| item.kind == kind);
    let status = if ordered.is_empty() {
        "cancelled"
    } else if has("DISCHARGE") {
        "finished"
    } else if has("ADMIT") || has("TRANSFER") || !(has("PRE_ADMIT") || has("PENDING_ADMIT")) {
        "in-progress"
    } else {
        "planned"
    };
    object.insert("status", Json::string(status));

    let latest = |name: &str| ordered.iter().rev().find_map(|item| item.resource.get(name));
    let told_class = ordered.iter().rev().find_map(|item| class_told(item)).cloned();
    let any_class = || latest("class").or_else(|| told.rev().find_map(|item| item.resource.get("class"))).cloned();
    if let Some(class) = told_class.or_else(any_class) {
        object.insert("class", class);
    }
    let classes = runs(&times, &ordered, class_told);
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
    let start = times.start.or(first);
    // A time that was told means more than when the discharge was sent.
    let end = times.end.filter(|end| times.end_is_told || in_order(start, Some(end)));
    if let Some(period) = period(start, end) {
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
    let contradicts = times.start_is_told && times.end_is_told && !in_order(times.start, times.end);
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
    /// As such (PV1-44), and not by when a message was sent.
    start_is_told: bool,
    /// As such (PV1-45).
    end_is_told: bool,
    /// The discharge, when there is one.
    discharge: Option<&'a EventItem>,
}

impl<'a> Times<'a> {
    /// The admission time that the newest message told, whatever its event, else that of the admission. The discharge time
    /// of the discharge, or one that a newer message told; none without a discharge.
    fn of(items: &'a [EventItem], stay: &Stay) -> Times<'a> {
        let standing = || stay.standing.iter().map(|index| &items[*index]);
        let newest = |times: &mut dyn Iterator<Item = (i64, &'a str)>| times.max_by_key(|(entered_at, _)| *entered_at);
        let of = |kind: &str| standing().rfind(|item| item.kind == kind);
        // What a transfer or discharge told of the admission is not taken back with it.
        let taken_back =
            stay.taken_back.iter().map(|(event, _)| &items[*event]).filter(|item| !begins_stay(&item.kind));
        let told = |item: &'a EventItem| Some((item.entered_at, item.resource.str_at("period.start")?));
        let starts = taken_back.chain(standing()).filter_map(told);
        let ends = standing().filter_map(|item| Some((item.entered_at, item.resource.str_at("period.end")?)));
        let start = newest(&mut { starts }).map(|(_, start)| start);
        let discharge = of("DISCHARGE");
        let later = newest(&mut ends.filter(|(at, _)| discharge.is_some_and(|one| one.entered_at < *at)));
        let end = later.map(|(_, end)| end).or(discharge.map(|one| one.when.as_str()));
        let end_is_told = later.is_some() || discharge.is_some_and(|one| one.resource.str_at("period.end").is_some());
        Times {
            start: start.or(of("ADMIT").map(|item| item.when.as_str())),
            end: end.filter(|_| discharge.is_some()),
            start_is_told: start.is_some(),
            end_is_told,
            discharge,
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
            _ => self.typed_late(item).map_or(&item.when, |discharge| self.when(discharge)),
        }
    }

    /// Where an event stands among the others: a discharge known to the day is the last of that day.
    fn moment(&self, item: &'a EventItem) -> i64 {
        match (date_range(self.when(item)), item.kind.as_str()) {
            (Some((_, to)), "DISCHARGE") => to - 1,
            (Some((from, _)), "ADMIT") => from,
            _ => self.typed_late(item).map_or(item.at, |discharge| self.moment(discharge)),
        }
    }

    /// The discharge, when an event that was told before it seems to have happened after it: it has the time of its message,
    /// and was typed when the patient had gone.
    fn typed_late(&self, item: &EventItem) -> Option<&'a EventItem> {
        let discharge = self.discharge.filter(|discharge| item.entered_at < discharge.entered_at)?;
        let (_, end) = date_range(self.when(discharge))?;
        (item.at >= end).then_some(discharge)
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
