//! `metadata`: what this API can do, built from the search parameters it really answers.

use fairway_core::fhir::Json;
use fairway_core::fhir::search::{SearchKind, parameter as parameter_of, parameters};

use super::STORED_TYPES;

/// Date of the statement: that of its last change.
const DATE: &str = "2026-11-24";

/// What the lists of a CapabilityStatement have no place for.
const REST: &str = "Read only. Results are paged by _count and next links; a page may be short or empty while there is a \
    next link. A total is given when all is on one page, and by _total=accurate, _summary=count and _count=0. What is filed \
    of a patient is also searched by patient.identifier or patient:identifier (subject likewise), as value or system|value. \
    Parameters that are not listed are refused, or left out of the search and of its self link when the client prefers \
    handling=lenient.";

fn coded(items: impl IntoIterator<Item = &'static str>) -> Json {
    Json::Array(items.into_iter().map(|code| Json::object([("code", Json::string(code))])).collect())
}

fn parameter(name: &'static str, kind: &'static str) -> Json {
    Json::object([("name", Json::string(name)), ("type", Json::string(kind))])
}

fn resource(kind: &'static str) -> Json {
    let mut members = vec![("type", Json::string(kind))];
    if kind == "Binary" {
        members.push(("interaction", coded(["read"])));
        return Json::object(members);
    }
    let interactions: &[&'static str] = if kind == "Organization" {
        &["read", "search-type"]
    } else {
        &["read", "vread", "history-instance", "search-type"]
    };
    members.push(("interaction", coded(interactions.iter().copied())));
    if kind != "Organization" {
        members.push(("versioning", Json::string("versioned")));
        let mut includes = Vec::new();
        if kind != "Patient" {
            includes.extend(["*:patient".to_owned(), format!("{kind}:patient")]);
            includes.extend(parameter_of(kind, "subject").map(|_| format!("{kind}:subject")));
        }
        if kind == "DiagnosticReport" {
            includes.push("DiagnosticReport:result".to_owned());
        }
        if !includes.is_empty() {
            members.push(("searchInclude", Json::Array(includes.into_iter().map(Json::string).collect())));
        }
    }
    let mut search = vec![parameter("_id", "token")];
    if kind != "Organization" {
        search.push(parameter("_lastUpdated", "date"));
    }
    search.extend(parameters(kind).iter().map(|one| {
        let kind = match one.kind {
            SearchKind::Token => "token",
            SearchKind::String => "string",
            SearchKind::Date => "date",
            SearchKind::Reference => "reference",
        };
        parameter(one.name, kind)
    }));
    members.push(("searchParam", Json::Array(search)));
    if kind == "Patient" {
        let everything = Json::object([
            ("name", Json::string("everything")),
            ("definition", Json::string("http://hl7.org/fhir/OperationDefinition/Patient-everything")),
        ]);
        members.push(("operation", Json::Array(vec![everything])));
    }
    Json::object(members)
}

pub(super) fn capability_statement(base: &str) -> Json {
    let resources = STORED_TYPES.into_iter().chain(["Organization", "Binary"]).map(resource);
    let rest = Json::object([
        ("mode", Json::string("server")),
        ("documentation", Json::string(REST)),
        ("resource", Json::Array(resources.collect())),
    ]);
    let mut members = vec![
        ("resourceType", Json::string("CapabilityStatement")),
        ("status", Json::string("active")),
        ("date", Json::string(DATE)),
        ("kind", Json::string("instance")),
        (
            "software",
            Json::object([("name", Json::string("Fairway")), ("version", Json::string(env!("CARGO_PKG_VERSION")))]),
        ),
    ];
    let mut implementation = vec![("description", Json::string("Records that Fairway filed from HL7 v2"))];
    if base.starts_with("http") {
        implementation.push(("url", Json::string(base)));
    }
    members.extend([
        ("implementation", Json::object(implementation)),
        ("fhirVersion", Json::string("4.0.1")),
        ("format", Json::Array(vec![Json::string("application/fhir+json")])),
        ("rest", Json::Array(vec![rest])),
    ]);
    Json::object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_statement_is_valid() {
        let issues = fairway_core::fhir::check(&capability_statement("http://localhost/sandbox/fhir"));
        assert!(issues.is_empty(), "{issues:?}");
    }
}
