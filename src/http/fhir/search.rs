//! Search of one resource type: candidates from the store, every parameter checked on each, pages by cursor.
//!
//! Blocks; for a thread that may. Holds one page in memory, of a bounded number of bytes.

use std::collections::HashSet;
use std::ops::ControlFlow;

use axum::http::StatusCode;
use fairway_core::fhir::Json;
use fairway_core::fhir::search::matches;
use fairway_core::record::ResourceId;

use super::bundle::{bundle, entry};
use super::driver::candidates;
use super::outcome::Failure;
use super::query::{Include, Query, read};
use super::resource::{organizations, render, unserved};
use super::{Call, PAGE_BYTES_MAX, Pairs, reference_id, stored_type};
use crate::store::Scan;

/// Candidates looked at for one page; a search that needs more must be narrowed.
pub(super) const EXAMINED_MAX: usize = 50_000;

/// Answers a search.
pub(super) fn run(call: &Call, kind: &str, pairs: &Pairs) -> Result<Json, Failure> {
    if kind == "Organization" {
        return search_organizations(call, pairs);
    }
    let kind = stored_type(kind).ok_or_else(|| unserved(kind))?;
    let query = read(kind, pairs, &call.base)?;
    let page = collect(call, kind, &query)?;
    let total = (query.after == 0 && page.next.is_none()).then_some(page.count);
    let included = included(call, &query, &page)?;
    let matched = page.matches.into_iter().map(|json| entry(call, json, "match"));
    let entries = matched.chain(included.into_iter().map(|json| entry(call, json, "include"))).collect();
    Ok(bundle(call, "searchset", kind, pairs, total, page.next, entries))
}

/// What a page holds.
#[derive(Default)]
struct Page {
    matches: Vec<Json>,
    records: Vec<ResourceId>,
    /// Matches, also those that are only counted.
    count: usize,
    /// Cursor of the next page.
    next: Option<i64>,
}

fn collect(call: &Call, kind: &'static str, query: &Query) -> Result<Page, Failure> {
    let mut page = Page::default();
    let found = candidates(&call.reader, kind, query)?;
    let Some(driver) = found.driver else { return Ok(page) };
    let (mut after, mut examined, mut bytes, mut failure) = (query.after, 0, 0, None);
    let scan = Scan { resource_type: kind, driver, after, limit: EXAMINED_MAX + 1 };
    call.reader.visit(&scan, |candidate| {
        examined += 1;
        if examined > EXAMINED_MAX {
            failure = Some(too_costly("narrow the search by patient, identifier, _id, date or _lastUpdated"));
            return ControlFlow::Break(());
        }
        let json = render(&candidate.stored);
        let filed =
            found.records.as_ref().is_none_or(|records| records.binary_search(&candidate.stored.record).is_ok());
        match fits(query, &json) {
            Err(refused) => {
                failure = Some(refused);
                return ControlFlow::Break(());
            }
            Ok(fits) if !(fits && filed) => {}
            Ok(_) if query.only_count => page.count += 1,
            Ok(_) => {
                if page.matches.len() >= query.count || bytes >= PAGE_BYTES_MAX {
                    page.next = Some(after);
                    return ControlFlow::Break(());
                }
                page.count += 1;
                bytes += json.to_vec().len();
                page.records.push(candidate.stored.record);
                page.matches.push(json);
            }
        }
        after = candidate.cursor;
        ControlFlow::Continue(())
    })?;
    failure.map_or(Ok(page), Err)
}

fn too_costly(advice: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "too-costly", format!("this would look at too much; {advice}"))
}

/// True when every parameter matches.
fn fits(query: &Query, json: &Json) -> Result<bool, Failure> {
    for filter in &query.filters {
        let matched = matches(filter.parameter, json, &filter.value, filter.modifier.as_deref());
        if !matched.map_err(|error| Failure::invalid(error.to_string()))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The resources that `_include` adds, each once, none that is deleted.
fn included(call: &Call, query: &Query, page: &Page) -> Result<Vec<Json>, Failure> {
    let mut wanted: Vec<(&'static str, ResourceId)> = Vec::new();
    if query.includes.contains(&Include::Patient) {
        wanted.extend(page.records.iter().map(|record| ("Patient", *record)));
    }
    if query.includes.contains(&Include::Results) {
        for report in &page.matches {
            let results = report.get("result").and_then(Json::as_array).unwrap_or_default();
            let references = results.iter().filter_map(|result| result.str_at("reference"));
            wanted.extend(references.filter_map(reference_id).map(|id| ("Observation", id)));
        }
    }
    let mut seen: HashSet<ResourceId> =
        page.matches.iter().filter_map(|json| ResourceId::parse(json.str_at("id")?)).collect();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (kind, id) in wanted {
        if !seen.insert(id) {
            continue;
        }
        let Some(stored) = call.reader.resource(kind, id)?.filter(|stored| !stored.deleted) else { continue };
        let json = render(&stored);
        bytes += json.to_vec().len();
        if bytes > PAGE_BYTES_MAX {
            // To leave some out would pass for their not being there.
            return Err(too_costly("ask for fewer resources with _count, or without _include"));
        }
        found.push(json);
    }
    Ok(found)
}

/// Organizations are few and come from the configuration: all of them are looked at.
fn search_organizations(call: &Call, pairs: &Pairs) -> Result<Json, Failure> {
    let query = read("Organization", pairs, &call.base)?;
    let mut found = Vec::new();
    for json in organizations(&call.app) {
        if fits(&query, &json)? {
            found.push(json);
        }
    }
    let total = found.len();
    let after = usize::try_from(query.after).unwrap_or(usize::MAX);
    let shown = if query.only_count { 0 } else { query.count };
    let entries: Vec<Json> = found.into_iter().skip(after).take(shown).map(|json| entry(call, json, "match")).collect();
    let end = after.saturating_add(entries.len());
    let next = if query.only_count || end >= total { None } else { i64::try_from(end).ok() };
    let total = (after == 0 && next.is_none()).then_some(total);
    Ok(bundle(call, "searchset", "Organization", pairs, total, next, entries))
}
