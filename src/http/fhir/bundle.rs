//! Bundles as this API gives them: searchsets and histories, their entries and links.
//!
//! Knows the form only; what goes in is decided elsewhere. A resource is written once, and what is written is counted.

use fairway_core::fhir::Json;

use super::{Call, Pairs};

/// The entries of a Bundle as they are sent.
#[derive(Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    pub(super) count: usize,
}

impl Entries {
    /// Length of what is there, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, entry: &Json) {
        if self.count > 0 {
            self.bytes.push(b',');
        }
        self.bytes.extend(entry.to_vec());
        self.count += 1;
    }

    /// Adds an entry of a searchset.
    pub(super) fn found(&mut self, call: &Call, json: Json, mode: &'static str) {
        let (kind, id) = (json.str_at("resourceType").unwrap_or_default(), json.str_at("id").unwrap_or_default());
        self.push(&Json::object([
            ("fullUrl", Json::string(format!("{}/{kind}/{id}", call.base))),
            ("resource", json),
            ("search", Json::object([("mode", Json::string(mode))])),
        ]));
    }
}

/// The Bundle with its links; `next` is the cursor of the next page, `path` the address below the base.
pub(super) fn bundle(
    call: &Call,
    kind: &'static str,
    path: &str,
    pairs: &Pairs,
    total: Option<usize>,
    next: Option<i64>,
    entries: Entries,
) -> Vec<u8> {
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
    let mut bytes = Json::object(members).to_vec();
    if entries.count > 0 {
        // Before the brace that ends the object.
        bytes.pop();
        bytes.reserve(entries.len() + 16);
        bytes.extend(b",\"entry\":[");
        bytes.extend(entries.bytes);
        bytes.extend(b"]}");
    }
    bytes
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
