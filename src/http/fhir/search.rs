//! Search of one resource type: candidates from the store, every parameter checked on each, pages by cursor.
//!
//! Blocks; for a thread that may. Holds one page in memory, of a bounded number of bytes.

use std::collections::HashSet;
use std::ops::ControlFlow;

use axum::http::StatusCode;
use fairway_core::fhir::Json;
use fairway_core::fhir::search::matches;
use fairway_core::record::ResourceId;

use super::bundle::{Entries, bundle};
use super::driver::{Candidates, candidates};
use super::outcome::Failure;
use super::query::{Include, Query, Total, drop_unknown, read};
use super::resource::{organizations, render, unserved};
use super::{Call, PAGE_BYTES_MAX, Pairs, reference_id, stored_type};
use crate::store::{Driver, Found, Scan, Stored};

/// Candidates looked at for one page, which ends there and has a next link; so a page may be short, or empty.
const EXAMINED_MAX: usize = 50_000;
/// Candidates looked at for a total; a search that has more is given none.
const COUNTED_MAX: usize = 1_000_000;
/// Resources of a type that are counted for a total when nothing is to be looked at in them.
const WHOLE_MAX: usize = 20_000_000;

/// Answers a search. What is not known is refused unless the client is `lenient`.
pub(super) fn run(call: &Call, kind: &str, pairs: &mut Pairs, lenient: bool) -> Result<Vec<u8>, Failure> {
    let kind =
        if kind == "Organization" { Some("Organization") } else { stored_type(kind) }.ok_or_else(|| unserved(kind))?;
    if lenient {
        drop_unknown(kind, pairs);
    }
    if kind == "Organization" {
        return search_organizations(call, pairs);
    }
    let query = read(kind, pairs, &call.base)?;
    let mut page = if query.only_count { Page::default() } else { collect(call, kind, &query)? };
    let is_whole = !query.only_count && query.after == 0 && page.next.is_none();
    let total = match query.total {
        _ if is_whole => Some(page.entries.count),
        Total::OfOnePage => None,
        Total::Estimate => count(call, kind, &query)?,
        Total::Accurate => {
            let advice = format!(
                "a total takes {COUNTED_MAX} candidates at most: narrow the search, or follow its pages without \
                 _summary=count, _count=0 and _total=accurate"
            );
            Some(count(call, kind, &query)?.ok_or_else(|| too_costly(&advice))?)
        }
    };
    include(call, &mut page)?;
    Ok(bundle(call, "searchset", kind, pairs, total, page.next, page.entries))
}

/// What a page holds.
#[derive(Default)]
struct Page {
    entries: Entries,
    /// The matches' ids.
    seen: HashSet<ResourceId>,
    /// What `_include` asks for.
    wanted: Vec<(&'static str, ResourceId)>,
    /// Cursor of the next page.
    next: Option<i64>,
}

fn collect(call: &Call, kind: &'static str, query: &Query) -> Result<Page, Failure> {
    let mut page = Page::default();
    let (mut examined, mut after) = (0, query.after);
    visit(call, kind, query, query.after, EXAMINED_MAX + 1, |candidate, matched| {
        let full = page.entries.count >= query.count || page.entries.len() >= PAGE_BYTES_MAX;
        if examined == EXAMINED_MAX || full && matched.is_some() {
            page.next = Some(after);
            return ControlFlow::Break(());
        }
        if let Some(json) = matched {
            page.seen.insert(candidate.stored.id);
            page.wanted.extend(query.includes.iter().flat_map(|one| referred(*one, &candidate.stored)));
            page.entries.found(call, json, "match");
        }
        (examined, after) = (examined + 1, candidate.cursor);
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// How many resources match on all pages; none when that is too much to look at.
fn count(call: &Call, kind: &'static str, query: &Query) -> Result<Option<usize>, Failure> {
    if query.filters.is_empty() && query.patients.is_empty() {
        let scan = Scan { resource_type: kind, driver: Driver::All, after: 0, limit: WHOLE_MAX + 1 };
        return Ok(Some(call.reader.width(&scan)?).filter(|count| *count <= WHOLE_MAX));
    }
    let (mut examined, mut count) = (0, 0);
    visit(call, kind, query, 0, COUNTED_MAX + 1, |_, matched| {
        examined += 1;
        count += usize::from(matched.is_some());
        ControlFlow::Continue(())
    })?;
    Ok((examined <= COUNTED_MAX).then_some(count))
}

/// Gives the candidates behind a cursor, in order, each with the resource it is when it matches.
fn visit(
    call: &Call,
    kind: &'static str,
    query: &Query,
    after: i64,
    limit: usize,
    mut each: impl FnMut(Found, Option<Json>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let Candidates { driver, records } = candidates(&call.reader, kind, query, after)?;
    let mut failure = None;
    call.reader.visit(&Scan { resource_type: kind, driver, after, limit }, |candidate| {
        let json = render(&candidate.stored);
        let filed = records.as_ref().is_none_or(|records| records.binary_search(&candidate.stored.record).is_ok());
        match fits(query, &json) {
            Ok(fits) => each(candidate, (fits && filed).then_some(json)),
            Err(refused) => {
                failure = Some(refused);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(()), Err)
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

/// What an `_include` adds to a match.
fn referred(include: Include, stored: &Stored) -> Vec<(&'static str, ResourceId)> {
    match include {
        Include::Patient => vec![("Patient", stored.record)],
        Include::Results => {
            let results = stored.body.get("result").and_then(Json::as_array).unwrap_or_default();
            let references = results.iter().filter_map(|result| result.str_at("reference"));
            references.filter_map(reference_id).map(|id| ("Observation", id)).collect()
        }
    }
}

/// Adds the resources that `_include` asks for, each once, none that is deleted.
fn include(call: &Call, page: &mut Page) -> Result<(), Failure> {
    let matches = page.entries.len();
    for (kind, id) in std::mem::take(&mut page.wanted) {
        if !page.seen.insert(id) {
            continue;
        }
        let Some(stored) = call.reader.resource(kind, id)?.filter(|stored| !stored.deleted) else { continue };
        page.entries.found(call, render(&stored), "include");
        if page.entries.len() - matches > PAGE_BYTES_MAX {
            // To leave some out would pass for their not being there.
            return Err(too_costly("ask for fewer resources with _count, or without _include"));
        }
    }
    Ok(())
}

/// Organizations are few and come from the configuration: all of them are looked at.
fn search_organizations(call: &Call, pairs: &Pairs) -> Result<Vec<u8>, Failure> {
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
    let mut entries = Entries::default();
    found.into_iter().skip(after).take(shown).for_each(|json| entries.found(call, json, "match"));
    let end = after.saturating_add(entries.count);
    let next = if query.only_count || end >= total { None } else { i64::try_from(end).ok() };
    let total = (query.total != Total::OfOnePage || after == 0 && next.is_none()).then_some(total);
    Ok(bundle(call, "searchset", "Organization", pairs, total, next, entries))
}
