//! `Patient/[id]/$everything`: all that is filed in one record, in a stable order, by pages.
//!
//! Blocks; for a thread that may. Documents themselves are not in it: their DocumentReference says where they are.

use std::collections::HashSet;
use std::ops::ControlFlow;

use fairway_core::fhir::Json;
use fairway_core::fhir::search::dated;

use super::bundle::{Entries, bundle};
use super::outcome::Failure;
use super::query::{self, COUNT_MAX};
use super::resource::{self, organizations, render};
use super::{Call, PAGE_BYTES_MAX, Pairs, STORED_TYPES};
use crate::store::{Driver, Scan};

/// Resources of a page unless `_count` says otherwise.
const COUNT_DEFAULT: usize = 200;
/// A cursor is the type's place times this, plus the cursor within the type.
const CURSOR_TYPE: i64 = 1 << 56;

/// What may be asked for.
struct Asked {
    count: usize,
    since: i64,
    types: Vec<usize>,
    organizations: bool,
    after: i64,
}

fn read(pairs: &Pairs) -> Result<Asked, Failure> {
    let mut asked = Asked {
        count: COUNT_DEFAULT,
        since: i64::MIN,
        types: (0..STORED_TYPES.len()).collect(),
        organizations: true,
        after: 0,
    };
    for (name, value) in pairs {
        match name.as_str() {
            "_format" | "_pretty" => {}
            "_count" => {
                asked.count = query::count(value, COUNT_MAX)?;
                if asked.count == 0 {
                    return Err(Failure::invalid("_count must be from 1 to 1000"));
                }
            }
            "_since" => {
                let since = dated(value).filter(|(prefix, ..)| prefix.is_empty());
                let since = since.ok_or_else(|| Failure::invalid("_since must be a date or an instant"))?;
                asked.since = since.1;
            }
            "_type" => {
                let wanted: HashSet<&str> = value.split(',').collect();
                if wanted.iter().any(|kind| *kind != "Organization" && !STORED_TYPES.contains(kind)) {
                    let text = format!("_type can be {} and Organization, with commas", STORED_TYPES.join(", "));
                    return Err(Failure::invalid(text));
                }
                asked.types.retain(|index| wanted.contains(STORED_TYPES[*index]));
                asked.organizations &= wanted.contains("Organization");
            }
            "_cursor" => asked.after = query::cursor(value)?,
            _ => return Err(Failure::invalid("$everything takes _count, _since, _type and _cursor")),
        }
    }
    Ok(asked)
}

pub(super) fn run(call: &Call, id: &str, pairs: &Pairs) -> Result<Vec<u8>, Failure> {
    let asked = read(pairs)?;
    let patient = resource::find(call, "Patient", id)?;
    let (first, inside) = (asked.after / CURSOR_TYPE, asked.after % CURSOR_TYPE);
    let (mut entries, mut next) = (Entries::default(), None);
    // References of what is found; without `_type=Organization` nobody looks.
    let mut referred = HashSet::new();
    for index in asked.types {
        let place = i64::try_from(index).unwrap_or(i64::MAX);
        if place < first {
            continue;
        }
        let mut after = if place == first { inside } else { 0 };
        let driver = Driver::Records(vec![patient.record]);
        let scan = Scan { resource_type: STORED_TYPES[index], driver, after, limit: usize::MAX };
        call.reader.visit(&scan, |candidate| {
            if candidate.stored.updated_at >= asked.since {
                if entries.count == asked.count || entries.len() >= PAGE_BYTES_MAX {
                    next = Some(place * CURSOR_TYPE + after);
                    return ControlFlow::Break(());
                }
                let json = render(&candidate.stored);
                references(&json, &mut referred);
                entries.found(call, json, "match");
            }
            after = candidate.cursor;
            ControlFlow::Continue(())
        })?;
        if next.is_some() {
            break;
        }
    }
    let total = (asked.after == 0 && next.is_none()).then_some(entries.count);
    if asked.organizations {
        with_wholes(call, referred, &mut entries);
    }
    Ok(bundle(call, "searchset", &format!("Patient/{id}/$everything"), pairs, total, next, entries))
}

/// Adds the Organizations referred to, and those they are part of.
fn with_wholes(call: &Call, mut referred: HashSet<String>, entries: &mut Entries) {
    let all = organizations(&call.app);
    let name = |json: &Json| format!("Organization/{}", json.str_at("id").unwrap_or_default());
    for organization in &all {
        if referred.contains(&name(organization)) {
            references(organization, &mut referred);
        }
    }
    for organization in all.into_iter().filter(|organization| referred.contains(&name(organization))) {
        entries.found(call, organization, "include");
    }
}

/// Every reference in a resource.
fn references(json: &Json, found: &mut HashSet<String>) {
    let mut open = vec![json];
    while let Some(json) = open.pop() {
        match json {
            Json::Array(items) => open.extend(items),
            Json::Object(object) => {
                for (name, value) in object.iter() {
                    match value {
                        Json::String(text) if name == "reference" => {
                            found.insert(text.clone());
                        }
                        _ => open.push(value),
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}
