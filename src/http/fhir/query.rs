//! The parameters of a search as they were asked, each known and well-formed.
//!
//! A parameter that is not known is refused: a filter that is silently ignored shows the wrong data. Never reads a store.

use axum::http::StatusCode;
use fairway_core::fhir::search::{ALTERNATIVES_MAX, SearchKind, SearchParameter, matches, parameter, parameters};
use fairway_core::fhir::{Json, Kind, Primitive, r4};

use super::Pairs;
use super::outcome::Failure;

/// Resources of a page unless `_count` says otherwise, and at most.
const COUNT_DEFAULT: usize = 50;
pub(super) const COUNT_MAX: usize = 1000;
/// Parameters of one search, so that a candidate costs little.
const PARAMETERS_MAX: usize = 64;

/// The code system of `true` and `false`.
const BOOLEANS: &str = "http://terminology.hl7.org/CodeSystem/special-values";
const LAST_UPDATED: SearchParameter =
    SearchParameter { name: "_lastUpdated", kind: SearchKind::Date, paths: &["meta.lastUpdated"], target: None };
const ID: SearchParameter = SearchParameter { name: "_id", kind: SearchKind::Token, paths: &["id"], target: None };

/// A search as asked.
pub(super) struct Query {
    pub(super) filters: Vec<Filter>,
    /// `patient.identifier`: the patient has one identifier of each of these.
    pub(super) patients: Vec<Vec<Identifier>>,
    pub(super) includes: Vec<Include>,
    pub(super) count: usize,
    pub(super) only_count: bool,
    pub(super) total: Total,
    pub(super) after: i64,
}

/// A parameter with its value; every filter must match.
pub(super) struct Filter {
    pub(super) parameter: &'static SearchParameter,
    pub(super) modifier: Option<String>,
    pub(super) value: String,
}

/// An identifier as it is searched: of any system when none is given.
pub(super) struct Identifier {
    pub(super) system: Option<String>,
    pub(super) value: String,
}

/// What total an answer has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    /// None, unless all is on one page.
    OfOnePage,
    /// That of all pages, unless it is too costly.
    Estimate,
    /// That of all pages.
    Accurate,
}

/// What `_include` adds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    Patient,
    Results,
}

/// Reads the parameters of a search for `kind`; `base` is what absolute references to this server begin with.
pub(super) fn read(kind: &'static str, pairs: &[(String, String)], base: &str) -> Result<Query, Failure> {
    if pairs.len() > PARAMETERS_MAX {
        return Err(Failure::invalid(format!("a search takes at most {PARAMETERS_MAX} parameters")));
    }
    let mut query = Query {
        filters: Vec::new(),
        patients: Vec::new(),
        includes: Vec::new(),
        count: COUNT_DEFAULT,
        only_count: false,
        total: Total::OfOnePage,
        after: 0,
    };
    for (name, value) in pairs {
        let (plain, modifier) = name.split_once(':').map_or((name.as_str(), None), |(name, rest)| (name, Some(rest)));
        match (plain, modifier) {
            ("_format" | "_pretty", None) => {}
            ("_count", None) => {
                query.count = count(value, COUNT_MAX)?;
                query.only_count |= query.count == 0;
            }
            ("_summary", None) => match value.as_str() {
                "count" => query.only_count = true,
                "false" => {}
                _ => return Err(Failure::invalid("_summary can be count or false")),
            },
            ("_total", None) => {
                query.total = match value.as_str() {
                    "none" => Total::OfOnePage,
                    "estimate" => Total::Estimate,
                    "accurate" => Total::Accurate,
                    _ => return Err(Failure::invalid("_total can be none, estimate or accurate")),
                };
            }
            ("_cursor", None) => query.after = cursor(value)?,
            ("_include", None) if parameter(kind, "patient").is_some() => query.includes.push(include(kind, value)?),
            ("_id", _) => query.filters.push(filter(kind, &ID, modifier, value, base)?),
            ("_lastUpdated", _) if kind != "Organization" => {
                query.filters.push(filter(kind, &LAST_UPDATED, modifier, value, base)?);
            }
            ("patient.identifier" | "subject.identifier", None)
            | ("patient" | "subject", Some("identifier" | "Patient.identifier"))
                if parameter(kind, plain.trim_end_matches(".identifier")).is_some() =>
            {
                query.patients.push(identifiers(value)?);
            }
            _ => {
                let known = parameter(kind, plain).ok_or_else(|| unknown(kind))?;
                query.filters.push(filter(kind, known, modifier, value, base)?);
            }
        }
    }
    if query.only_count {
        query.total = Total::Accurate;
    }
    Ok(query)
}

/// Takes out what is not known for `kind`, as a client may ask for (`Prefer: handling=lenient`, R4 3.1.1.2.1). The self
/// link then shows what is left.
pub(super) fn drop_unknown(kind: &'static str, pairs: &mut Pairs) {
    pairs.retain(|pair| !read(kind, std::slice::from_ref(pair), "").is_err_and(|failure| failure.is_unsupported()));
}

/// `_count`: at most `most`, which a server may choose (R4 3.1.1.5.3).
pub(super) fn count(value: &str, most: usize) -> Result<usize, Failure> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::invalid("_count must be a whole number"));
    }
    // What is too long for a number is more than `most`.
    Ok(value.parse().map_or(most, |count: usize| count.min(most)))
}

/// `_cursor` of a next link.
pub(super) fn cursor(value: &str) -> Result<i64, Failure> {
    let cursor = value.parse().ok().filter(|cursor| *cursor >= 0);
    cursor.ok_or_else(|| Failure::invalid("_cursor is not one this server gave; begin again without it"))
}

fn unknown(kind: &str) -> Failure {
    let mut known = vec!["_id", "_count", "_total", "_summary=count"];
    if kind != "Organization" {
        known.push("_lastUpdated");
    }
    if parameter(kind, "patient").is_some() {
        known.extend(["_include", "patient.identifier"]);
    }
    known.extend(parameters(kind).iter().map(|one| one.name));
    let text = format!("a parameter is not supported for {kind}; supported are {}", known.join(", "));
    Failure::new(StatusCode::BAD_REQUEST, "not-supported", text)
}

/// A filter whose value and modifier are right, whatever resources there are.
fn filter(
    kind: &str,
    parameter: &'static SearchParameter,
    modifier: Option<&str>,
    value: &str,
    base: &str,
) -> Result<Filter, Failure> {
    let mut value = value.to_owned();
    if parameter.kind == SearchKind::Reference {
        // What fullUrl says names the same resource as the relative reference that is stored.
        let relative =
            |one: &str| one.strip_prefix(base).and_then(|one| one.strip_prefix('/')).unwrap_or(one).to_owned();
        value = value.split(',').map(relative).collect::<Vec<_>>().join(",");
    }
    let nothing = Json::object([("resourceType", Json::string("Basic"))]);
    matches(parameter, &nothing, &value, modifier).map_err(|error| Failure::invalid(error.to_string()))?;
    if parameter.kind == SearchKind::Token && matches!(modifier, None | Some("not")) {
        systems_fit(kind, parameter, &value)?;
    }
    Ok(Filter { parameter, modifier: modifier.map(str::to_owned), value })
}

/// A code or boolean is stored without its system, which follows from the element: a value with another one means
/// something else and is refused.
fn systems_fit(kind: &str, parameter: &SearchParameter, value: &str) -> Result<(), Failure> {
    let mut known: Vec<&str> = Vec::new();
    for path in parameter.paths {
        let element = r4().resolve(kind, path).ok().and_then(|elements| elements.last().copied());
        match element.map(|element| (element.kind(), element.value_set())) {
            Some((Kind::Primitive(_), Some(set))) => known.extend(set.systems().iter().map(|(system, _)| *system)),
            Some((Kind::Primitive(Primitive::Boolean), None)) => known.push(BOOLEANS),
            // The system of other codes follows from nothing that is known here.
            Some((Kind::Primitive(Primitive::Code), None)) => return Ok(()),
            Some((Kind::Primitive(_), None)) => {}
            Some((Kind::Complex(_) | Kind::Resource, _)) | None => return Ok(()),
        }
    }
    let fits = |parts: &Vec<String>| match &parts[..] {
        [system, _] => system.is_empty() || known.contains(&system.as_str()),
        _ => true,
    };
    if alternatives(value).iter().all(fits) {
        return Ok(());
    }
    let text = format!("`{}` has no values of that system; leave the system out", parameter.name);
    Err(Failure::invalid(text))
}

fn include(kind: &str, value: &str) -> Result<Include, Failure> {
    let (source, target) = value.split_once(':').unwrap_or((value, ""));
    if source != "*" && source != kind {
        return Err(Failure::invalid("_include must start with the searched type or with *"));
    }
    match target {
        "patient" | "patient:Patient" if parameter(kind, "patient").is_some() => Ok(Include::Patient),
        "subject" | "subject:Patient" if parameter(kind, "subject").is_some() => Ok(Include::Patient),
        "result" | "result:Observation" if kind == "DiagnosticReport" => Ok(Include::Results),
        _ => Err(Failure::invalid(
            "_include can be *:patient, [type]:patient, [type]:subject or DiagnosticReport:result",
        )),
    }
}

/// Identifiers that lead to patients: `value` or `system|value`, commas between alternatives.
fn identifiers(value: &str) -> Result<Vec<Identifier>, Failure> {
    let all: Option<Vec<Identifier>> = alternatives(value).into_iter().map(identifier).collect();
    let all = all.filter(|all| all.len() <= ALTERNATIVES_MAX);
    all.ok_or_else(|| {
        let text = format!("patient.identifier must be value or system|value, at most {ALTERNATIVES_MAX} with commas");
        Failure::invalid(text)
    })
}

/// An identifier that has a value.
pub(super) fn identifier(parts: Vec<String>) -> Option<Identifier> {
    let mut parts = parts.into_iter();
    let found = match (parts.next(), parts.next(), parts.next()) {
        (Some(value), None, None) => Identifier { system: None, value },
        (Some(system), Some(value), None) => Identifier { system: Some(system), value },
        _ => return None,
    };
    (!found.value.is_empty()).then_some(found)
}

/// The alternatives of a value, each as its parts between bars, without escapes (R4 3.1.1.4.3.1). Linear.
pub(super) fn alternatives(value: &str) -> Vec<Vec<String>> {
    let (mut all, mut parts, mut part) = (Vec::new(), Vec::new(), String::new());
    let mut escaped = false;
    for c in value.chars() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '|' if !escaped => parts.push(std::mem::take(&mut part)),
            ',' if !escaped => {
                parts.push(std::mem::take(&mut part));
                all.push(std::mem::take(&mut parts));
            }
            _ => part.push(c),
        }
        escaped = false;
    }
    parts.push(part);
    all.push(parts);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_keep_separators_in_values() {
        let parts = |value: &str| alternatives(value).iter().map(|one| one.join("/")).collect::<Vec<_>>();
        assert_eq!(parts("a,b|c"), ["a", "b/c"]);
        assert_eq!(parts("a\\,b,c\\|d|e\\\\"), ["a,b", "c|d/e\\"]);
        assert_eq!(parts(""), [""]);
        assert_eq!(parts("|x"), ["/x"]);
    }

    #[test]
    fn a_modifier_on_what_has_none_is_refused() {
        for name in ["_count:exact", "_cursor:not", "patient.identifier:not", "_include:recurse"] {
            let pairs = vec![(name.to_owned(), "1".to_owned())];
            assert!(read("Appointment", &pairs, "").is_err(), "{name}");
        }
    }
}
