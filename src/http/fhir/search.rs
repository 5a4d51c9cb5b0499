//! Search of one resource type: the narrowest candidates from the store, every parameter checked, pages by cursor.
//!
//! A parameter that is not known is refused: a filter that is silently ignored shows the wrong data.

use std::collections::HashSet;

use axum::http::StatusCode;
use fairway_core::fhir::search::{SearchKind, SearchParameter, fold, matches, parameter, parameters};
use fairway_core::fhir::{Json, date_range};
use fairway_core::record::ResourceId;

use super::outcome::Failure;
use super::resource::{organizations, render, unknown_type};
use super::{Call, Pairs, reference_id, stored_type};
use crate::store::{Driver, Scan, Stored};

/// Resources of a page unless `_count` says otherwise, and at most.
const COUNT_DEFAULT: usize = 50;
const COUNT_MAX: usize = 1000;
/// Candidates looked at for one page; a search that needs more must be narrowed.
const EXAMINED_MAX: usize = 50_000;
/// Candidates fetched in one step.
const STEP: usize = 500;
/// A page ends before it grows past this, in bytes.
const PAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Ids or identifiers in one search.
const ALTERNATIVES_MAX: usize = 200;

const LAST_UPDATED: SearchParameter =
    SearchParameter { name: "_lastUpdated", kind: SearchKind::Date, paths: &["meta.lastUpdated"], target: None };
const ID: SearchParameter = SearchParameter { name: "_id", kind: SearchKind::Token, paths: &["id"], target: None };

/// A search as asked.
#[derive(Default)]
struct Query {
    filters: Vec<Filter>,
    /// Records that `patient.identifier` leads to.
    records: Option<Vec<ResourceId>>,
    includes: Vec<Include>,
    count: usize,
    only_count: bool,
    after: i64,
}

struct Filter {
    parameter: &'static SearchParameter,
    modifier: Option<String>,
    value: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Include {
    Patient,
    Results,
}

/// Answers a search.
pub(super) async fn run(call: &Call<'_>, kind: &str, pairs: Pairs) -> Result<Json, Failure> {
    if kind == "Organization" {
        return search_organizations(call, &pairs);
    }
    let kind = stored_type(kind).ok_or_else(unknown_type)?;
    let query = read(call, kind, &pairs).await?;
    let driver = driver(call, kind, &query).await?;
    let page = match driver {
        Some(driver) => collect(call, kind, &query, driver).await?,
        None => Page::default(),
    };
    let mut entries: Vec<Json> = page.matches.iter().map(|json| entry(call, json, "match")).collect();
    if !query.only_count {
        for json in included(call, &query, &page).await? {
            entries.push(entry(call, &json, "include"));
        }
    }
    let total = (query.after == 0 && page.next.is_none()).then_some(page.count);
    Ok(bundle(call, kind, &pairs, total, page.next, if query.only_count { Vec::new() } else { entries }))
}

/// Reads the parameters; every one must be known.
async fn read(call: &Call<'_>, kind: &'static str, pairs: &Pairs) -> Result<Query, Failure> {
    let mut query = Query { count: COUNT_DEFAULT, ..Query::default() };
    for (name, value) in pairs {
        let (base, modifier) = match name.split_once(':') {
            Some((base, modifier)) => (base, Some(modifier.to_owned())),
            None => (name.as_str(), None),
        };
        match base {
            "_format" | "_pretty" => {}
            "_count" => {
                let count: usize = value.parse().map_err(|_| Failure::invalid("_count must be a whole number"))?;
                query.only_count |= count == 0;
                query.count = count.min(COUNT_MAX);
            }
            "_summary" if value == "count" => query.only_count = true,
            "_summary" if value == "false" => {}
            "_total" => {}
            "_cursor" => {
                let bad = || Failure::invalid("_cursor is not one this server gave; begin again without it");
                query.after = value.parse().map_err(|_| bad())?;
            }
            "_include" => query.includes.push(include(kind, value)?),
            "_id" => query.filters.push(Filter { parameter: &ID, modifier, value: value.clone() }),
            "_lastUpdated" => query.filters.push(Filter { parameter: &LAST_UPDATED, modifier, value: value.clone() }),
            "patient.identifier" | "subject.identifier" => {
                add_records(&mut query, records_of(call, value).await?);
            }
            "patient" | "subject"
                if modifier.as_deref().is_some_and(|one| one == "identifier" || one == "Patient.identifier") =>
            {
                add_records(&mut query, records_of(call, value).await?);
            }
            _ => match parameter(kind, base) {
                Some(parameter) => query.filters.push(Filter { parameter, modifier, value: value.clone() }),
                None => return Err(unknown_parameter(kind)),
            },
        }
    }
    Ok(query)
}

fn unknown_parameter(kind: &str) -> Failure {
    let known: Vec<&str> = parameters(kind).iter().map(|one| one.name).collect();
    let text = format!(
        "a parameter is not supported for {kind}; supported are _id, _lastUpdated, _count, _include, patient.identifier, {}",
        known.join(", ")
    );
    Failure::new(StatusCode::BAD_REQUEST, "not-supported", text)
}

fn add_records(query: &mut Query, found: Vec<ResourceId>) {
    query.records = Some(match query.records.take() {
        None => found,
        Some(held) => held.into_iter().filter(|record| found.contains(record)).collect(),
    });
}

fn include(kind: &str, value: &str) -> Result<Include, Failure> {
    let (source, target) = value.split_once(':').unwrap_or((value, ""));
    if source != "*" && source != kind {
        return Err(Failure::invalid("_include must start with the searched type or with *"));
    }
    match target {
        "patient" | "subject" => Ok(Include::Patient),
        "result" if kind == "DiagnosticReport" => Ok(Include::Results),
        _ => Err(Failure::invalid("_include can be *:patient, [type]:patient or DiagnosticReport:result")),
    }
}

/// The records that identifiers `system|value` or `value` lead to.
async fn records_of(call: &Call<'_>, value: &str) -> Result<Vec<ResourceId>, Failure> {
    let wanted: Vec<(Option<String>, String)> = value
        .split(',')
        .take(ALTERNATIVES_MAX)
        .map(|one| match one.split_once('|') {
            Some((system, value)) if !system.is_empty() => (Some(system.to_owned()), value.to_owned()),
            Some((_, value)) => (None, value.to_owned()),
            None => (None, one.to_owned()),
        })
        .collect();
    let reader = call.environment.reader.clone();
    let read = call.app.read(move || {
        let mut records = Vec::new();
        for (system, value) in wanted {
            records.extend(reader.records_of(system.as_deref(), &value)?);
        }
        Ok::<_, crate::store::StoreError>(records)
    });
    Ok(read.await.ok_or_else(Failure::unfinished)??)
}

/// The narrowest candidates; none when nothing can match.
async fn driver(call: &Call<'_>, kind: &'static str, query: &Query) -> Result<Option<Driver>, Failure> {
    let plain =
        |name: &str| query.filters.iter().find(|filter| filter.parameter.name == name && filter.modifier.is_none());
    let some = |ids: Vec<ResourceId>, make: fn(Vec<ResourceId>) -> Driver| {
        let ids: Vec<ResourceId> = ids.into_iter().take(ALTERNATIVES_MAX).collect();
        (!ids.is_empty()).then(|| make(ids))
    };
    if let Some(filter) = plain("_id") {
        return Ok(some(filter.value.split(',').filter_map(ResourceId::parse).collect(), Driver::Ids));
    }
    if let Some(records) = &query.records {
        return Ok(some(records.clone(), Driver::Records));
    }
    if let Some(filter) = plain("identifier") {
        if kind == "Patient" {
            return Ok(some(records_of(call, &filter.value).await?, Driver::Ids));
        }
        let values: Vec<String> = filter
            .value
            .split(',')
            .take(ALTERNATIVES_MAX)
            .map(|one| one.rsplit_once('|').map_or(one, |(_, value)| value).to_owned())
            .filter(|value| !value.is_empty())
            .collect();
        // `system|` alone names no value to look up.
        if !values.is_empty() {
            return Ok(Some(Driver::Identifiers(values)));
        }
    }
    for name in ["patient", "subject"] {
        if let Some(filter) = query.filters.iter().find(|filter| {
            filter.parameter.name == name && filter.modifier.as_deref().is_none_or(|one| one == "Patient")
        }) {
            return Ok(some(filter.value.split(',').filter_map(reference_id).collect(), Driver::Records));
        }
    }
    if kind == "Patient" {
        for name in ["family", "given", "birthdate"] {
            let Some(filter) = plain(name).filter(|filter| !filter.value.contains(',')) else { continue };
            match name {
                "birthdate" if filter.value.len() == 10 => {
                    return Ok(Some(Driver::Term("birthdate", filter.value.clone())));
                }
                "birthdate" => {}
                "family" => return Ok(Some(Driver::Term("family", fold(&filter.value)))),
                _ => return Ok(Some(Driver::Term("given", fold(&filter.value)))),
            }
        }
    } else if let Some(filter) = plain("date")
        && let Some((from, to)) = span(&filter.value)
    {
        return Ok(Some(Driver::Dates(from, to)));
    }
    if let Some(filter) = plain("_lastUpdated")
        && let Some((from, _)) = span(&filter.value)
        && from > i64::MIN
    {
        return Ok(Some(Driver::UpdatedFrom(from)));
    }
    Ok(Some(Driver::All))
}

/// A range of µs that holds every instant a date value with prefix can match.
fn span(value: &str) -> Option<(i64, i64)> {
    let (prefix, date) = match value.split_at_checked(2) {
        Some((prefix, rest)) if prefix.bytes().all(|byte| byte.is_ascii_lowercase()) => (prefix, rest),
        _ => ("eq", value),
    };
    let (from, to) = date_range(date)?;
    match prefix {
        "eq" => Some((from, to)),
        "ge" | "gt" | "sa" => Some((from, i64::MAX)),
        "le" | "lt" | "eb" => Some((i64::MIN, to)),
        _ => None,
    }
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

async fn collect(call: &Call<'_>, kind: &'static str, query: &Query, driver: Driver) -> Result<Page, Failure> {
    let mut page = Page::default();
    let (mut after, mut examined, mut bytes) = (query.after, 0, 0);
    loop {
        let (reader, scan) =
            (call.environment.reader.clone(), Scan { resource_type: kind, driver: driver.clone(), after, limit: STEP });
        let found = call.app.read(move || reader.scan(&scan)).await.ok_or_else(Failure::unfinished)??;
        let ended = found.len() < STEP;
        for candidate in found {
            let json = render(&candidate.stored);
            if fits(query, &candidate.stored, &json)? {
                if !query.only_count && (page.matches.len() >= query.count || bytes >= PAGE_BYTES_MAX) {
                    page.next = Some(after);
                    return Ok(page);
                }
                page.count += 1;
                if !query.only_count {
                    bytes += json.to_vec().len();
                    page.records.push(candidate.stored.record);
                    page.matches.push(json);
                }
            }
            after = candidate.cursor;
            examined += 1;
        }
        if ended {
            return Ok(page);
        }
        if examined >= EXAMINED_MAX {
            let text = "too many candidates; narrow the search by patient, identifier, _id, date or _lastUpdated";
            return Err(Failure::new(StatusCode::BAD_REQUEST, "too-costly", text));
        }
    }
}

/// True when every parameter matches.
fn fits(query: &Query, stored: &Stored, json: &Json) -> Result<bool, Failure> {
    if query.records.as_ref().is_some_and(|records| !records.contains(&stored.record)) {
        return Ok(false);
    }
    for Filter { parameter, modifier, value } in &query.filters {
        let matched = matches(parameter, json, value, modifier.as_deref())
            .map_err(|error| Failure::invalid(error.to_string()))?;
        if !matched {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The resources that `_include` adds, each once.
async fn included(call: &Call<'_>, query: &Query, page: &Page) -> Result<Vec<Json>, Failure> {
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
    wanted.retain(|(_, id)| seen.insert(*id));
    let reader = call.environment.reader.clone();
    let read = call.app.read(move || {
        let mut found = Vec::new();
        for (kind, id) in wanted {
            found.extend(reader.resource(kind, id)?.filter(|stored| !stored.deleted));
        }
        Ok::<_, crate::store::StoreError>(found)
    });
    let found = read.await.ok_or_else(Failure::unfinished)??;
    Ok(found.iter().map(render).collect())
}

/// An entry of a searchset.
pub(super) fn entry(call: &Call<'_>, json: &Json, mode: &'static str) -> Json {
    let (kind, id) = (json.str_at("resourceType").unwrap_or_default(), json.str_at("id").unwrap_or_default());
    Json::object([
        ("fullUrl", Json::string(format!("{}/{kind}/{id}", call.base))),
        ("resource", json.clone()),
        ("search", Json::object([("mode", Json::string(mode))])),
    ])
}

/// The searchset with its links.
pub(super) fn bundle(
    call: &Call<'_>,
    path: &str,
    pairs: &Pairs,
    total: Option<usize>,
    next: Option<i64>,
    entries: Vec<Json>,
) -> Json {
    let link = |relation: &'static str, cursor: Option<i64>| {
        let mut query: Vec<String> = pairs
            .iter()
            .filter(|(name, _)| name != "_cursor" || relation == "self")
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        query.extend(cursor.map(|cursor| format!("_cursor={cursor}")));
        let question = if query.is_empty() { "" } else { "?" };
        let url = format!("{}/{path}{question}{}", call.base, query.join("&"));
        Json::object([("relation", Json::string(relation)), ("url", Json::string(url))])
    };
    let mut links = vec![link("self", None)];
    links.extend(next.map(|next| link("next", Some(next))));
    let mut members = vec![("resourceType", Json::string("Bundle")), ("type", Json::string("searchset"))];
    members.extend(total.map(|total| ("total", Json::from(i64::try_from(total).unwrap_or(i64::MAX)))));
    members.push(("link", Json::Array(links)));
    if !entries.is_empty() {
        members.push(("entry", Json::Array(entries)));
    }
    Json::object(members)
}

/// Percent-encodes what a query component may not hold (RFC 3986).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~*,:$/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Organizations are few and come from the configuration: all of them are looked at.
fn search_organizations(call: &Call<'_>, pairs: &Pairs) -> Result<Json, Failure> {
    let mut found = organizations(call.app);
    for (name, value) in pairs {
        let (base, modifier) = name.split_once(':').map_or((name.as_str(), None), |(base, rest)| (base, Some(rest)));
        let parameter = match base {
            "_format" | "_pretty" | "_count" | "_total" => continue,
            "_id" => &ID,
            _ => parameter("Organization", base).ok_or_else(|| unknown_parameter("Organization"))?,
        };
        let mut kept = Vec::new();
        for json in found {
            if matches(parameter, &json, value, modifier).map_err(|error| Failure::invalid(error.to_string()))? {
                kept.push(json);
            }
        }
        found = kept;
    }
    let entries: Vec<Json> = found.iter().map(|json| entry(call, json, "match")).collect();
    Ok(bundle(call, "Organization", pairs, Some(entries.len()), None, entries))
}
