//! A report as the sum of the messages of its order (hl7-api 6.1.2).
//!
//! A correction seldom repeats all of a panel, and messages come late. So what each message said is kept while any of it
//! counts, and the report is worked out anew from it: the order of arrival does not matter.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use fairway_care::Label;

use super::EventItem;
use super::outcome::{Fault, Refusal};
use crate::fhir::{Json, Object};

/// Repeating elements that messages add to; of two items of one name the newer one counts.
const LISTS: [&str; 3] = ["result", "presentedForm", "extension"];
/// Elements that stand until a newer message has one.
const TEXTS: [&str; 1] = ["conclusion"];

/// Messages of which a report keeps something.
const PARTS_MAX: usize = 200;

/// What a part is called.
const PART: &str = "REPORT";
/// Marks when a group was last deleted, on each data point that it had then (hl7-api 6.1.3).
const DELETED: &str = "DELETED";

/// What one message says of a report.
pub(super) fn part(entered_at: i64, label: Option<Label>, mut resource: Json) -> EventItem {
    number_documents(&mut resource);
    let (kind, when, cancels) = (PART.to_owned(), String::new(), false);
    EventItem { kind, at: entered_at, when, entered_at, label, cancels, resource }
}

/// When the group of a data point was last deleted, as far as this one knows.
pub(super) fn deleted_at(items: &[EventItem]) -> Option<i64> {
    items.iter().filter(|item| item.kind == DELETED).map(|item| item.entered_at).max()
}

/// The items of a data point of a group that was deleted at this time: what was said before is gone.
pub(super) fn without(items: &[EventItem], deleted: i64) -> Vec<EventItem> {
    let last = deleted_at(items).map_or(deleted, |earlier| earlier.max(deleted));
    let (when, resource) = (String::new(), Json::Null);
    let mark =
        EventItem { kind: DELETED.to_owned(), at: last, when, entered_at: last, label: None, cancels: true, resource };
    let kept = items.iter().filter(|item| item.kind != DELETED && item.entered_at > deleted).cloned();
    std::iter::once(mark).chain(kept).collect()
}

/// Adds what a message says; `again` when it said something of this report before.
///
/// # Errors
/// When too many messages have something in the report already.
pub(super) fn add(items: &mut Vec<EventItem>, new: EventItem, again: bool) -> Result<(), Refusal> {
    let place = items.iter().rposition(|item| item.kind != DELETED && item.entered_at <= new.entered_at);
    match place.and_then(|index| items.get_mut(index)).filter(|item| again && item.entered_at == new.entered_at) {
        Some(said) => {
            said.resource = join(vec![std::mem::take(&mut said.resource), new.resource]);
            said.label = new.label.or(said.label);
        }
        None => {
            let first = items.iter().take_while(|item| item.kind == DELETED).count();
            items.insert(place.map_or(first, |index| index + 1), new);
        }
    }
    if items.iter().filter(|item| item.kind != DELETED).count() > PARTS_MAX {
        let text =
            format!("OBR-3.1: {PARTS_MAX} messages have something in the report already; send one that has all of it");
        return Err(Refusal::new(Fault::Rule, text));
    }
    Ok(())
}

/// The label under which several things may be shown together: the most guarded one of theirs, so that nobody sees what a
/// sensitive message said because a general one came beside it. The labels have no order of their own (hl7-api 8); this
/// one only decides where they meet.
pub(super) fn most_guarded(labels: impl Iterator<Item = Label>) -> Label {
    let rank = |label: &Label| match label {
        Label::GeneralHealth => 0,
        Label::SocialCare => 1,
        Label::MentalHealth => 2,
        Label::SexualHealth => 3,
    };
    labels.max_by_key(rank).unwrap_or(Label::GeneralHealth)
}

/// The report that `items` add up to, with its label; null when nothing was said. Parts of which nothing counts any more
/// are taken out by [`still_counting`].
///
/// Everything is as the newest part says, but lists and texts, to which older ones add. The label is the most guarded one
/// of the parts whose notes, documents and the like stand in it.
pub(super) fn assemble(items: &[EventItem]) -> (Json, Label) {
    let parts: Vec<&EventItem> = items.iter().filter(|item| item.kind != DELETED).collect();
    let Some(newest) = parts.last() else { return (Json::Null, Label::GeneralHealth) };
    let sums = sums(&parts);
    let mut report = Object::new();
    for (name, value) in newest.resource.as_object().map(Object::iter).into_iter().flatten() {
        // Their places; what they hold is all that the parts hold.
        let held = if sums.iter().any(|(sum, _)| *sum == name) { Json::Null } else { value.clone() };
        report.insert(name.to_owned(), held);
    }
    for (name, pieces) in &sums {
        match pieces.last() {
            None => drop(report.remove(name)),
            Some((_, text @ Json::String(_))) => drop(report.insert(*name, (*text).clone())),
            Some(_) => {
                let items: Vec<Json> = pieces.iter().map(|(_, piece)| (*piece).clone()).collect();
                report.insert(*name, Json::Array(items));
            }
        }
    }
    let standing = sums.iter().filter(|(name, _)| *name != "result").flat_map(|(_, pieces)| pieces);
    let shown = standing.map(|(index, _)| *index).chain([parts.len() - 1]);
    let label = most_guarded(shown.filter_map(|index| parts[index].label));
    (Json::Object(report), label)
}

/// Takes out the parts of which nothing counts any more.
pub(super) fn still_counting(items: &[EventItem]) -> Vec<EventItem> {
    let parts: Vec<&EventItem> = items.iter().filter(|item| item.kind != DELETED).collect();
    let sums = sums(&parts);
    let counts = |index: usize| {
        index + 1 == parts.len() || sums.iter().any(|(_, pieces)| pieces.iter().any(|(of, _)| *of == index))
    };
    let marks = items.iter().filter(|item| item.kind == DELETED);
    let counting = parts.iter().enumerate().filter(|(index, _)| counts(*index)).map(|(_, part)| *part);
    marks.chain(counting).cloned().collect()
}

/// Pieces of an element, each with the part that it is from.
type Pieces<'a> = Vec<(usize, &'a Json)>;

/// What the parts, oldest first, add up to in the elements that they add to. Linear in the number of items.
fn sums<'a>(parts: &[&'a EventItem]) -> Vec<(&'static str, Pieces<'a>)> {
    let lists = LISTS.iter().map(|name| {
        let mut pieces: Pieces<'_> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let items = part.resource.get(name).and_then(Json::as_array).unwrap_or_default();
            pieces = renewed(pieces, index, items);
        }
        (*name, pieces)
    });
    let texts = TEXTS.iter().map(|name| {
        let last = parts.iter().enumerate().rev().find_map(|(index, part)| Some((index, part.resource.get(name)?)));
        (*name, last.into_iter().collect())
    });
    lists.chain(texts).collect()
}

/// The pieces of an element with those of a newer part: what it says takes the place of all of that name. So what it says
/// again is its own and stands when the older part is deleted.
fn renewed<'a>(held: Pieces<'a>, index: usize, items: &'a [Json]) -> Pieces<'a> {
    let mut new: HashMap<Cow<'_, str>, VecDeque<&Json>> = HashMap::new();
    for item in items {
        let (name, named) = name_of(item);
        let alike = new.entry(name).or_default();
        if named || alike.is_empty() {
            alike.push_back(item);
        }
    }
    let mut pieces = Pieces::new();
    for (of, piece) in held {
        match new.get_mut(&name_of(piece).0) {
            None => pieces.push((of, piece)),
            // The first one of a name gives its place to all new ones.
            Some(alike) => pieces.extend(alike.drain(..).map(|item| (index, item))),
        }
    }
    let rest = items.iter().filter_map(|item| new.get_mut(&name_of(item).0)?.pop_front());
    pieces.extend(rest.map(|item| (index, item)));
    pieces
}

/// What an item is called, and whether that is a name of its own: an extension by its URL, a document by its test, else by
/// its title; what has no name by all of it. Of two items of one name the newer one counts.
fn name_of(item: &Json) -> (Cow<'_, str>, bool) {
    // A document's own `url` is its content.
    let names: &[&str] = if item.get("contentType").is_some() { &["id", "title"] } else { &["id", "url", "title"] };
    let Some(name) = names.iter().find_map(|name| item.str_at(name)) else {
        // A report of many results has a reference to each.
        let reference = item.str_at("reference").filter(|_| item.as_object().is_some_and(|object| object.len() == 1));
        return (reference.map_or_else(|| Cow::Owned(item.to_string()), Cow::Borrowed), false);
    };
    // The second document of one test has the id of the first with a number.
    let first = name.split_once('.').map(|(name, _)| name).filter(|_| item.get("id").is_some());
    (Cow::Borrowed(first.unwrap_or(name)), true)
}

/// Gives each document an element id of its own, as FHIR asks: those of one test are numbered.
fn number_documents(report: &mut Json) {
    let Json::Object(object) = report else { return };
    let Some(Json::Array(forms)) = object.get_mut("presentedForm") else { return };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for form in forms {
        let Some(name) = form.str_at("id").map(|id| id.split_once('.').map_or(id, |(name, _)| name).to_owned()) else {
            continue;
        };
        let number = seen.entry(name.clone()).or_default();
        *number += 1;
        if let (Json::Object(form), 2..) = (form, *number) {
            form.insert("id", Json::string(format!("{name}.{number}")));
        }
    }
}

/// What the segments of one message say of a report: items of all, lines of all, and else what the last one says. Linear
/// in the number of items, also when each of many segments has one.
pub(super) fn join(mut parts: Vec<Json>) -> Json {
    let Some(mut last) = parts.pop() else { return Json::Null };
    if parts.is_empty() {
        return last;
    }
    parts.iter_mut().chain([&mut last]).for_each(number_documents);
    for name in LISTS {
        let (mut items, mut known): (Vec<Json>, HashSet<String>) = Default::default();
        for part in parts.iter_mut().chain([&mut last]) {
            let Some(Json::Array(more)) = part.as_object_mut().and_then(|object| object.get_mut(name)) else {
                continue;
            };
            let more = std::mem::take(more).into_iter().map(|item| (item.to_string(), item));
            let new: Vec<(String, Json)> = more.filter(|(text, _)| !known.contains(text)).collect();
            for (text, item) in new {
                known.insert(text);
                items.push(item);
            }
        }
        put(&mut last, name, (!items.is_empty()).then_some(Json::Array(items)));
    }
    for name in TEXTS {
        let lines: Vec<&str> = parts.iter().chain([&last]).filter_map(|part| part.str_at(name)).collect();
        let text = (!lines.is_empty()).then(|| Json::String(lines.join("\n")));
        put(&mut last, name, text);
    }
    number_documents(&mut last);
    last
}

fn put(report: &mut Json, name: &'static str, value: Option<Json>) {
    if let (Json::Object(object), Some(value)) = (report, value) {
        object.insert(name, value);
    }
}
