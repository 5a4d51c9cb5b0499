//! Bundles as this API gives them: searchsets and histories, their entries and links.
//!
//! Knows the form only; what goes in is decided elsewhere.

use fairway_core::fhir::Json;

use super::{Call, Pairs};

/// An entry of a searchset.
pub(super) fn entry(call: &Call, json: Json, mode: &'static str) -> Json {
    let (kind, id) = (json.str_at("resourceType").unwrap_or_default(), json.str_at("id").unwrap_or_default());
    Json::object([
        ("fullUrl", Json::string(format!("{}/{kind}/{id}", call.base))),
        ("resource", json),
        ("search", Json::object([("mode", Json::string(mode))])),
    ])
}

/// The Bundle with its links; `next` is the cursor of the next page, `path` the address below the base.
pub(super) fn bundle(
    call: &Call,
    kind: &'static str,
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
    let mut members = vec![("resourceType", Json::string("Bundle")), ("type", Json::string(kind))];
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
