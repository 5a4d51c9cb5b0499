//! Which candidates a search looks at: the fewest that one of its parameters leads to, in whatever order they are asked.
//!
//! Knows which parameters an index answers; the store says how many candidates each has.

use fairway_core::fhir::search::{ALTERNATIVES_MAX, dated, fold};
use fairway_core::record::ResourceId;

use super::outcome::Failure;
use super::query::{Filter, Identifier, Query, alternatives, identifier};
use super::reference_id;
use crate::store::{Driver, Reader, Scan, StoreError, UPDATED_CURSOR};

/// How far candidates are counted: as far as the first when a parameter has fewer, else as far as the second. Where each
/// has more, no order but that of the type itself is worth its making.
const COUNTED: [usize; 2] = [1_000, 100_000];
/// `_lastUpdated` is kept in µs and shown, and so searched, in ms.
const SHOWN_MICROS: i64 = 1_000;

/// Candidates, and the records that `patient.identifier` leads to.
pub(super) struct Candidates {
    pub(super) driver: Driver,
    /// Only what is filed in these records matches.
    pub(super) records: Option<Vec<ResourceId>>,
}

/// The candidates behind the cursor `after` of a search for `kind`.
pub(super) fn candidates(
    reader: &Reader,
    kind: &'static str,
    query: &Query,
    after: i64,
) -> Result<Candidates, Failure> {
    let mut records: Option<Vec<ResourceId>> = None;
    for wanted in &query.patients {
        let found = records_of(reader, wanted)?;
        records = Some(match records {
            None => found,
            Some(held) => held.into_iter().filter(|record| found.contains(record)).collect(),
        });
    }
    let updated = span(query, "_lastUpdated")
        .map(|(from, to)| Driver::Updated(from.saturating_sub(SHOWN_MICROS), to.saturating_add(SHOWN_MICROS)));
    let mut drivers = Vec::new();
    // The next pages of a search keep the order that its first page had.
    if after <= UPDATED_CURSOR {
        drivers.extend(records.clone().map(Driver::Records));
        for filter in &query.filters {
            drivers.extend(driver(reader, kind, filter)?);
        }
        if kind == "Patient" {
            drivers.extend(born(query));
        } else {
            // No element of a Patient is what `date` means.
            drivers.extend(span(query, "date").map(|(from, to)| Driver::Dates(from, to)));
        }
    }
    if after == 0 || after > UPDATED_CURSOR {
        drivers.extend(updated);
    }
    Ok(Candidates { driver: narrowest(reader, kind, after, drivers)?, records })
}

/// The driver of the fewest candidates; the first of those that have as many.
fn narrowest(reader: &Reader, kind: &'static str, after: i64, mut drivers: Vec<Driver>) -> Result<Driver, StoreError> {
    // Behind a cursor of its own `_lastUpdated` leads alone.
    if after <= UPDATED_CURSOR {
        drivers.push(Driver::All);
    }
    for most in COUNTED.into_iter().take_while(|_| drivers.len() > 1) {
        let (mut fewest, mut found) = (most, None);
        for driver in &drivers {
            let scan = Scan { resource_type: kind, driver: driver.clone(), after, limit: fewest };
            let width = reader.width(&scan)?;
            if width < fewest {
                (fewest, found) = (width, Some(driver));
            }
        }
        if let Some(driver) = found {
            return Ok(driver.clone());
        }
    }
    Ok(drivers.pop().unwrap_or(Driver::All))
}

/// What leads to everything that a filter of this kind matches, if an index does.
fn driver(reader: &Reader, kind: &str, filter: &Filter) -> Result<Option<Driver>, StoreError> {
    let (name, modifier) = (filter.parameter.name, filter.modifier.as_deref());
    Ok(match (name, modifier) {
        ("_id", None) => Some(Driver::Ids(ids(filter))),
        ("identifier", None) => {
            // `system|` alone names no value to look up.
            let wanted: Option<Vec<Identifier>> = alternatives(&filter.value).into_iter().map(identifier).collect();
            match wanted {
                Some(wanted) if kind == "Patient" => Some(Driver::Ids(records_of(reader, &wanted)?)),
                Some(wanted) => Some(Driver::Identifiers(wanted.into_iter().map(|one| one.value).collect())),
                None => None,
            }
        }
        ("patient" | "subject", None | Some("Patient")) => Some(Driver::Records(ids(filter))),
        // What is equal starts so, too.
        ("family" | "given", None | Some("exact")) if kind == "Patient" => {
            let mut values = alternatives(&filter.value);
            let value = values.pop().filter(|parts| values.is_empty() && parts.len() == 1);
            value.and_then(|mut parts| parts.pop()).map(|value| starting(name, fold(&value)))
        }
        _ => None,
    })
}

/// Patients with a search term that starts with `value`.
fn starting(name: &'static str, value: String) -> Driver {
    let last = format!("{value}{LAST}");
    Driver::Term(name, value, last)
}

/// Behind every text that starts with what is before it.
const LAST: char = '\u{10ffff}';

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

/// The dates of birth, as text, of everything that matches all filters by `birthdate`. A date may be stored as its year
/// alone, which stands before all days of it.
fn born(query: &Query) -> Option<Driver> {
    let filters = query.filters.iter().filter(|one| one.parameter.name == "birthdate" && one.modifier.is_none());
    let ranges = filters.filter_map(|filter| {
        let (prefix, ..) = dated(&filter.value)?;
        let date = &filter.value[prefix.len()..];
        // With a time it may be another day of ours.
        let year = date.get(..4).filter(|_| date.len() <= 10)?;
        let last = format!("{date}{LAST}");
        match prefix {
            "" | "eq" => Some((date.to_owned(), last)),
            "ge" | "gt" | "sa" => Some((year.to_owned(), LAST.to_string())),
            "le" | "lt" | "eb" => Some((String::new(), last)),
            _ => None,
        }
    });
    let range = ranges.reduce(|(from, to), (later, earlier)| (from.max(later), to.min(earlier)));
    range.map(|(from, to)| Driver::Term("birthdate", from, to))
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
