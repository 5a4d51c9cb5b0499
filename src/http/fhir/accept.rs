//! What form of an answer a client takes: `_format` first, then the Accept header (R4 3.1.0.1.10, RFC 9110 12.5.1).
//!
//! FHIR JSON is all there is, and documents in the form they came in; weights only say what is refused.

use axum::http::{HeaderMap, StatusCode, header};

use super::Pairs;
use super::outcome::Failure;

/// The form of a document's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    Fhir,
    Document,
}

/// Refuses a client that takes no FHIR JSON.
pub(super) fn accepts_fhir(headers: &HeaderMap, pairs: &Pairs) -> Result<(), Failure> {
    if let Some(format) = format(pairs) {
        return is_fhir(&format).then_some(()).ok_or_else(|| refuse("_format must be json"));
    }
    let accept = accept(headers);
    let taken = accept.trim().is_empty() || ranges(&accept).any(|range| is_fhir(range) || is_any(range, "application"));
    taken.then_some(()).ok_or_else(|| refuse("only application/fhir+json is served; ask for it in Accept"))
}

/// The form in which a client takes a document of this media type: FHIR only when it names it.
pub(super) fn accepted_document(headers: &HeaderMap, pairs: &Pairs, content_type: &str) -> Result<Accepted, Failure> {
    if let Some(format) = format(pairs) {
        return is_fhir(&format).then_some(Accepted::Fhir).ok_or_else(|| refuse("_format must be json"));
    }
    let accept = accept(headers);
    if ranges(&accept).any(is_fhir) {
        return Ok(Accepted::Fhir);
    }
    let whole = content_type.split(';').next().unwrap_or_default().trim();
    let kind = whole.split('/').next().unwrap_or_default();
    let taken = |range: &str| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(whole);
    if accept.trim().is_empty() || ranges(&accept).any(|range| taken(range) || is_any(range, kind)) {
        return Ok(Accepted::Document);
    }
    Err(refuse("this document has another media type; ask for */* or application/fhir+json in Accept"))
}

fn refuse(text: &str) -> Failure {
    Failure::new(StatusCode::NOT_ACCEPTABLE, "not-supported", text)
}

/// `_format`, in which a `+` that the client forgot to encode arrives as a space.
fn format(pairs: &Pairs) -> Option<String> {
    pairs.iter().find(|(name, _)| name == "_format").map(|(_, format)| format.replace(' ', "+"))
}

fn accept(headers: &HeaderMap) -> String {
    headers.get_all(header::ACCEPT).iter().filter_map(|one| one.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// The media ranges a client takes, without those of weight 0.
fn ranges(accept: &str) -> impl Iterator<Item = &str> {
    accept.split(',').map(str::trim).filter(|range| {
        let weight = range.split(';').skip(1).find_map(|one| one.trim().strip_prefix("q="));
        weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// FHIR JSON of R4, or JSON of any kind of which it is one.
fn is_fhir(range: &str) -> bool {
    let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    matches!(kind.as_str(), "application/fhir+json" | "application/json" | "text/json" | "json")
        && parts.all(|part| part.strip_prefix("fhirversion=").is_none_or(|version| version.trim_matches('"') == "4.0"))
}

/// `*/*`, or any subtype of `kind`.
fn is_any(range: &str, kind: &str) -> bool {
    let range = range.split(';').next().unwrap_or_default().trim();
    range == "*/*" || range.strip_suffix("/*").is_some_and(|any| any.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_document_is_fhir_only_by_name() {
        for (accept, form) in [
            ("", Some(Accepted::Document)),
            ("*/*", Some(Accepted::Document)),
            ("TEXT/*;q=0.2", Some(Accepted::Document)),
            ("text/plain; charset=utf-8", Some(Accepted::Document)),
            ("application/fhir+json, */*", Some(Accepted::Fhir)),
            ("application/fhir+json;q=0, */*", Some(Accepted::Document)),
            ("application/fhir+json; fhirVersion=\"4.0\"", Some(Accepted::Fhir)),
            ("application/fhir+json; fhirVersion=3.0", None),
            ("application/*", None),
            ("*/*;q=0", None),
            ("*/*;q=x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(accepted_document(&headers, &Vec::new(), "text/plain;charset=utf-8").ok(), form, "{accept}");
        }
    }
}
