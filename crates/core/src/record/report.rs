//! A report as the sum of the messages of its order (hl7-api 6.1.2).
//!
//! A correction seldom repeats all of a panel, and messages come late. So what each message said is kept while any of it
//! counts, and the report is worked out anew from it: the order of arrival does not matter.

use fairway_care::Label;

use super::EventItem;
use crate::fhir::Json;

/// Repeating elements that messages add to; of two items of one name the newer one counts.
const LISTS: [&str; 3] = ["result", "presentedForm", "extension"];
/// Elements that stand until a newer message has one.
const TEXTS: [&str; 1] = ["conclusion"];

/// Messages a report remembers; past it the oldest two become one.
const PARTS_MAX: usize = 100;

/// What a part is called.
const PART: &str = "REPORT";
/// Marks when a group was last deleted, on each data point that it had then (hl7-api 6.1.3).
const DELETED: &str = "DELETED";

/// What one message says of a report.
pub(super) fn part(entered_at: i64, label: Option<Label>, resource: Json) -> EventItem {
    let (kind, when, cancelled) = (PART.to_owned(), String::new(), false);
    EventItem { kind, at: entered_at, when, entered_at, label, cancelled, resource }
}

/// When the group of a data point was last deleted, as far as this one knows.
pub(super) fn deleted_at(items: &[EventItem]) -> Option<i64> {
    items.iter().filter(|item| item.kind == DELETED).map(|item| item.entered_at).max()
}

/// The items of a data point of a group that was deleted at this time: what was said before is gone.
pub(super) fn without(items: &[EventItem], deleted: i64) -> Vec<EventItem> {
    let last = deleted_at(items).map_or(deleted, |earlier| earlier.max(deleted));
    let (when, resource) = (String::new(), Json::Null);
    let mark = EventItem {
        kind: DELETED.to_owned(),
        at: last,
        when,
        entered_at: last,
        label: None,
        cancelled: true,
        resource,
    };
    let kept = items.iter().filter(|item| item.kind != DELETED && item.entered_at > deleted).cloned();
    std::iter::once(mark).chain(kept).collect()
}

/// Adds what a message says; `again` when it said something of this report before.
pub(super) fn add(items: &mut Vec<EventItem>, new: EventItem, again: bool) {
    let place = items.iter().rposition(|item| item.kind != DELETED && item.entered_at <= new.entered_at);
    match place.and_then(|index| items.get_mut(index)).filter(|item| again && item.entered_at == new.entered_at) {
        Some(said) => {
            said.resource = join(&said.resource, new.resource);
            said.label = new.label.or(said.label);
        }
        None => {
            let first = items.iter().take_while(|item| item.kind == DELETED).count();
            items.insert(place.map_or(first, |index| index + 1), new);
        }
    }
    let parts = items.iter().filter(|item| item.kind != DELETED).count();
    if parts > PARTS_MAX {
        let first = items.len() - parts;
        let (body, label) = assemble(&items[first..first + 2]);
        items.remove(first);
        (items[first].resource, items[first].label) = (body, Some(label));
    }
}

/// The report that `items` add up to, with its label; null when nothing was said. Parts of which nothing counts any more
/// are taken out by [`still_counting`].
///
/// Everything is as the newest part says, but lists and texts, to which older ones add. The label is the newest part's too,
/// unless what stands of an older one has a label of its own: what a sensitive message said never comes under the general
/// label because a later one did not repeat it.
pub(super) fn assemble(items: &[EventItem]) -> (Json, Label) {
    let parts: Vec<&EventItem> = items.iter().filter(|item| item.kind != DELETED).collect();
    let Some(newest) = parts.last() else { return (Json::Null, Label::GeneralHealth) };
    let mut report = newest.resource.clone();
    let sums = sums(&parts);
    if let Json::Object(object) = &mut report {
        for (name, pieces) in &sums {
            let items: Vec<Json> = pieces.iter().map(|(_, piece)| (*piece).clone()).collect();
            match items.last() {
                None => {}
                Some(text @ Json::String(_)) => drop(object.insert(*name, text.clone())),
                Some(_) => drop(object.insert(*name, Json::Array(items))),
            }
        }
    }
    let label = |part: &EventItem| part.label.unwrap_or(Label::GeneralHealth);
    let standing = sums.iter().filter(|(name, _)| *name != "result").flat_map(|(_, pieces)| pieces);
    let mut older: Vec<usize> = standing.map(|(index, _)| *index).filter(|index| index + 1 < parts.len()).collect();
    older.sort_unstable();
    let special = older.iter().rev().map(|index| label(parts[*index])).find(|label| *label != Label::GeneralHealth);
    let own = label(newest);
    (report, if own == Label::GeneralHealth { special.unwrap_or(own) } else { own })
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

/// What the parts, oldest first, add up to in the elements that they add to.
fn sums<'a>(parts: &[&'a EventItem]) -> Vec<(&'static str, Pieces<'a>)> {
    let lists = LISTS.iter().map(|name| {
        let mut pieces: Pieces<'_> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            for item in part.resource.get(name).and_then(Json::as_array).unwrap_or_default() {
                let same = |(of, held): &(usize, &Json)| *held == item || (*of < index && is_newer_of(held, item));
                match pieces.iter().position(same) {
                    Some(place) => pieces[place] = (index, item),
                    None => pieces.push((index, item)),
                }
            }
        }
        (*name, pieces)
    });
    let texts = TEXTS.iter().map(|name| {
        let last = parts.iter().enumerate().rev().find_map(|(index, part)| Some((index, part.resource.get(name)?)));
        (*name, last.into_iter().collect())
    });
    lists.chain(texts).collect()
}

/// Whether two items are one thing told twice: an extension of one URL, or a document of one title.
fn is_newer_of(held: &Json, item: &Json) -> bool {
    ["url", "title"].iter().any(|name| {
        // A document's own `url` is its content.
        let named = |json: &Json| {
            if json.get("contentType").is_some() && *name == "url" {
                None
            } else {
                json.str_at(name).map(str::to_owned)
            }
        };
        named(held).is_some_and(|held| named(item) == Some(held))
    })
}

/// What two segments of one message say of a report: items of both, and lines of both.
pub(super) fn join(first: &Json, second: Json) -> Json {
    let mut both = second;
    let Json::Object(object) = &mut both else { return both };
    for name in LISTS {
        let mut items = first.get(name).and_then(Json::as_array).unwrap_or_default().to_vec();
        let more = object.get(name).and_then(Json::as_array).unwrap_or_default().to_vec();
        items.extend(
            more.into_iter()
                .filter(|item| !first.get(name).and_then(Json::as_array).unwrap_or_default().contains(item)),
        );
        if !items.is_empty() {
            object.insert(name, Json::Array(items));
        }
    }
    for name in TEXTS {
        let Some(text) = first.str_at(name) else { continue };
        let lines = match object.get(name).and_then(Json::as_str) {
            Some(more) => format!("{text}\n{more}"),
            None => text.to_owned(),
        };
        object.insert(name, Json::String(lines));
    }
    both
}
