//! `Patient/[id]/$everything`: all that is filed in one record, in a stable order, by pages.

use std::collections::HashSet;

use fairway_core::fhir::{Json, date_range};

use super::outcome::Failure;
use super::resource::{self, organizations, render};
use super::search::{bundle, entry};
use super::{Call, Pairs, STORED_TYPES};
use crate::store::{Driver, Scan};

/// Resources of a page unless `_count` says otherwise, and at most.
const COUNT_DEFAULT: usize = 200;
const COUNT_MAX: usize = 1000;
/// A cursor is the type's place times this, plus the cursor within the type.
const CURSOR_TYPE: i64 = 1 << 56;

/// What may be asked for.
struct Asked {
    count: usize,
    since: i64,
    types: Vec<usize>,
    after: i64,
}

fn read(pairs: &Pairs) -> Result<Asked, Failure> {
    let mut asked = Asked { count: COUNT_DEFAULT, since: i64::MIN, types: (0..STORED_TYPES.len()).collect(), after: 0 };
    for (name, value) in pairs {
        match name.as_str() {
            "_format" | "_pretty" => {}
            "_count" => {
                let count = value.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
                asked.count = count.ok_or_else(|| Failure::invalid("_count must be from 1 to 1000"))?;
            }
            "_since" => {
                let since = date_range(value).map(|(from, _)| from);
                asked.since = since.ok_or_else(|| Failure::invalid("_since must be a date or an instant"))?;
            }
            "_type" => {
                let wanted: HashSet<&str> = value.split(',').collect();
                asked.types.retain(|index| wanted.contains(STORED_TYPES[*index]));
            }
            "_cursor" => {
                let bad = || Failure::invalid("_cursor is not one this server gave; begin again without it");
                asked.after = value.parse().ok().filter(|cursor| *cursor >= 0).ok_or_else(bad)?;
            }
            _ => return Err(Failure::invalid("$everything takes _count, _since, _type and _cursor")),
        }
    }
    Ok(asked)
}

pub(super) async fn run(call: &Call<'_>, id: &str, pairs: &Pairs) -> Result<Json, Failure> {
    let asked = read(pairs)?;
    let patient = resource::find(call, "Patient", id).await?;
    let (first, mut after) = (asked.after / CURSOR_TYPE, asked.after % CURSOR_TYPE);
    let mut found: Vec<Json> = Vec::new();
    let mut next = None;
    'types: for index in asked.types.iter().copied() {
        let place = i64::try_from(index).unwrap_or(i64::MAX);
        if place < first {
            continue;
        }
        if place > first {
            after = 0;
        }
        loop {
            let limit = asked.count + 1 - found.len();
            let driver = Driver::Records(vec![patient.record]);
            let scan = Scan { resource_type: STORED_TYPES[index], driver, after, limit };
            let reader = call.environment.reader.clone();
            let step = call.app.read(move || reader.scan(&scan)).await.ok_or_else(Failure::unfinished)??;
            let ended = step.len() < limit;
            for candidate in step {
                if candidate.stored.updated_at >= asked.since {
                    if found.len() == asked.count {
                        next = Some(place * CURSOR_TYPE + after);
                        break 'types;
                    }
                    found.push(render(&candidate.stored));
                }
                after = candidate.cursor;
            }
            if ended {
                break;
            }
        }
    }
    let mut entries: Vec<Json> = found.iter().map(|json| entry(call, json, "match")).collect();
    let referred: HashSet<String> = found.iter().flat_map(references).collect();
    for organization in organizations(call.app) {
        let name = format!("Organization/{}", organization.str_at("id").unwrap_or_default());
        if referred.contains(&name) {
            entries.push(entry(call, &organization, "include"));
        }
    }
    let total = (asked.after == 0 && next.is_none()).then_some(found.len());
    Ok(bundle(call, &format!("Patient/{id}/$everything"), pairs, total, next, entries))
}

/// Every reference in a resource.
fn references(json: &Json) -> Vec<String> {
    let mut open = vec![json];
    let mut found = Vec::new();
    while let Some(json) = open.pop() {
        match json {
            Json::Array(items) => open.extend(items),
            Json::Object(object) => {
                for (name, value) in object.iter() {
                    match value {
                        Json::String(text) if name == "reference" => found.push(text.clone()),
                        _ => open.push(value),
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    found
}
