//! Which candidates a search looks at: the narrowest that its parameters allow, and never fewer than can match.
//!
//! Decides by the parameters alone, but for identifiers, which the store leads to their records.

use fairway_core::fhir::search::{ALTERNATIVES_MAX, dated, fold};
use fairway_core::record::ResourceId;

use super::outcome::Failure;
use super::query::{Filter, Identifier, Query, alternatives, identifier};
use super::reference_id;
use super::search::EXAMINED_MAX;
use crate::store::{Driver, Reader, StoreError, UPDATED_CURSOR};

/// Candidates, and the records that `patient.identifier` leads to.
pub(super) struct Candidates {
    /// `None` when nothing can match.
    pub(super) driver: Option<Driver>,
    /// Only what is filed in these records matches.
    pub(super) records: Option<Vec<ResourceId>>,
}

/// The candidates of a search for `kind`.
pub(super) fn candidates(reader: &Reader, kind: &str, query: &Query) -> Result<Candidates, Failure> {
    let mut records: Option<Vec<ResourceId>> = None;
    for wanted in &query.patients {
        let found = records_of(reader, wanted)?;
        records = Some(match records {
            None => found,
            Some(held) => held.into_iter().filter(|record| found.contains(record)).collect(),
        });
    }
    let driver = if plain(query, "_id").is_none() && records.is_some() {
        some(records.clone().unwrap_or_default(), Driver::Records)
    } else {
        driver(reader, kind, query)?
    };
    Ok(Candidates { driver, records })
}

fn driver(reader: &Reader, kind: &str, query: &Query) -> Result<Option<Driver>, StoreError> {
    if let Some(filter) = plain(query, "_id") {
        return Ok(some(ids(filter), Driver::Ids));
    }
    if let Some(filter) = plain(query, "identifier") {
        // `system|` alone names no value to look up.
        let wanted: Option<Vec<Identifier>> = alternatives(&filter.value).into_iter().map(identifier).collect();
        match wanted {
            Some(wanted) if kind == "Patient" => return Ok(some(records_of(reader, &wanted)?, Driver::Ids)),
            Some(wanted) => return Ok(some(wanted.into_iter().map(|one| one.value).collect(), Driver::Identifiers)),
            None => {}
        }
    }
    let to_patient = |filter: &&Filter| {
        matches!(filter.parameter.name, "patient" | "subject")
            && matches!(filter.modifier.as_deref(), None | Some("Patient"))
    };
    if let Some(filter) = query.filters.iter().find(to_patient) {
        return Ok(some(ids(filter), Driver::Records));
    }
    if kind == "Patient"
        && let Some((name, value)) = query.filters.iter().find_map(term)
    {
        return Ok(Some(Driver::Term(name, value)));
    }
    // No element of a Patient is what `date` means.
    if kind != "Patient"
        && let Some((from, to)) = span(query, "date")
    {
        return Ok(Some(Driver::Dates(from, to)));
    }
    match span(query, "_lastUpdated") {
        Some((from, _)) if from > i64::MIN && is_recent(reader, query, from)? => Ok(Some(Driver::UpdatedFrom(from))),
        Some(_) | None => Ok(Some(Driver::All)),
    }
}

/// Whether so little was stored since an instant that it is quickly gone through, whatever its types. The next pages of
/// a search keep the order that its first page had.
fn is_recent(reader: &Reader, query: &Query, from: i64) -> Result<bool, StoreError> {
    match query.after {
        0 => Ok(usize::try_from(reader.versions_from(from)?).is_ok_and(|count| count <= EXAMINED_MAX)),
        after => Ok(after > UPDATED_CURSOR),
    }
}

/// The first filter of a parameter that has no modifier.
fn plain<'q>(query: &'q Query, name: &str) -> Option<&'q Filter> {
    query.filters.iter().find(|filter| filter.parameter.name == name && filter.modifier.is_none())
}

/// A list of alternatives; none leads to nothing. Reading the query has refused longer ones than a statement can take.
fn some<T>(all: Vec<T>, make: fn(Vec<T>) -> Driver) -> Option<Driver> {
    (!all.is_empty()).then(|| make(all))
}

fn ids(filter: &Filter) -> Vec<ResourceId> {
    filter.value.split(',').take(ALTERNATIVES_MAX).filter_map(reference_id).collect()
}

/// The records that any of the identifiers leads to, each once.
fn records_of(reader: &Reader, wanted: &[Identifier]) -> Result<Vec<ResourceId>, StoreError> {
    let mut records = Vec::new();
    for Identifier { system, value } in wanted {
        records.extend(reader.records_of(system.as_deref(), value)?);
    }
    records.sort_unstable();
    records.dedup();
    Ok(records)
}

/// A search term of Patients that everything the filter matches has.
fn term(filter: &Filter) -> Option<(&'static str, String)> {
    let mut values = alternatives(&filter.value);
    let value = values.pop().filter(|parts| values.is_empty() && parts.len() == 1)?.pop()?;
    match (filter.parameter.name, filter.modifier.as_deref()) {
        // What is equal starts so, too.
        ("family", None | Some("exact")) => Some(("family", fold(&value))),
        ("given", None | Some("exact")) => Some(("given", fold(&value))),
        ("birthdate", None) => {
            let date = value.strip_prefix("eq").unwrap_or(&value);
            date.starts_with(|c: char| c.is_ascii_digit()).then(|| ("birthdate", date.to_owned()))
        }
        _ => None,
    }
}

/// A range of µs that everything touches which matches all date filters of one parameter; each of them alone must let
/// the two ends be used, so alternatives and `ne` give none.
fn span(query: &Query, name: &str) -> Option<(i64, i64)> {
    let filters = query.filters.iter().filter(|one| one.parameter.name == name && one.modifier.is_none());
    let spans = filters.filter_map(|filter| {
        let (prefix, from, to) = dated(&filter.value)?;
        match prefix {
            "" | "eq" => Some((from, to)),
            "ge" | "gt" | "sa" => Some((from, i64::MAX)),
            "le" | "lt" | "eb" => Some((i64::MIN, to)),
            _ => None,
        }
    });
    spans.reduce(|(from, to), (later, earlier)| (from.max(later), to.min(earlier)))
}
