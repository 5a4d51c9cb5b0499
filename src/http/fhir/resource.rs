//! Resources as they are served: with id and meta, their versions, Organizations of the configuration.
//!
//! Blocks where it reads the store; for a thread that may.

use std::collections::HashSet;
use std::ops::ControlFlow;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairway_core::fhir::Json;
use fairway_core::hl7v2::fhir_instant_from_micros;
use fairway_core::record::{ResourceId, team};

use super::bundle::{Entries, bundle};
use super::outcome::Failure;
use super::query::{self, COUNT_MAX};
use super::{App, Call, PAGE_BYTES_MAX, Pairs, STORED_TYPES, answer, stored_type};
use crate::store::Stored;

/// Versions of a history's page unless `_count` says otherwise.
const COUNT_DEFAULT: usize = 50;

/// The resource of a stored version: `resourceType`, `id`, `meta`, then its elements in their order.
pub(super) fn render(stored: &Stored) -> Json {
    let label = Json::object([
        ("system", Json::string(team::LABEL_SYSTEM)),
        ("code", Json::string(stored.label.code())),
        ("display", Json::string(stored.label.display())),
    ]);
    let meta = Json::object([
        ("versionId", Json::string(stored.version.to_string())),
        ("lastUpdated", Json::string(fhir_instant_from_micros(stored.updated_at))),
        ("security", Json::Array(vec![label])),
    ]);
    Json::resource(&stored.resource_type, &stored.id.to_string(), Some(meta), &stored.body)
}

/// A served type and a well-formed id.
fn place(kind: &str, id: &str) -> Result<(&'static str, ResourceId), Failure> {
    let kind = stored_type(kind).ok_or_else(|| unserved(kind))?;
    // Ids are the same only when they are written alike.
    let id = ResourceId::parse(id).filter(|parsed| parsed.to_string() == id).ok_or_else(|| missing(kind))?;
    Ok((kind, id))
}

fn missing(kind: &str) -> Failure {
    Failure::not_found(format!("there is no such {kind}; search for it, ids are those of the answers"))
}

/// A type that is not in the store, and what can be done instead.
pub(super) fn unserved(kind: &str) -> Failure {
    let text = match kind {
        "Binary" => "a Binary can only be read by id, as the url of an attachment says it".to_owned(),
        "Organization" => "an Organization has no versions here: it comes from the configuration".to_owned(),
        _ => format!("this resource type is not served; served are {}, Organization, Binary", STORED_TYPES.join(", ")),
    };
    Failure::new(StatusCode::NOT_FOUND, "not-supported", text)
}

/// The current version. What is deleted is hidden with all its versions; they stay in the store.
pub(super) fn find(call: &Call, kind: &str, id: &str) -> Result<Stored, Failure> {
    let (kind, id) = place(kind, id)?;
    let stored = call.reader.resource(kind, id)?.ok_or_else(|| missing(kind))?;
    if stored.deleted {
        let text = "the resource was deleted; its _history says when";
        return Err(Failure::new(StatusCode::GONE, "deleted", text));
    }
    Ok(stored)
}

/// The current version.
pub(super) fn read(call: &Call, kind: &str, id: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    if kind == "Organization" {
        let found = organizations(&call.app).into_iter().find(|one| one.str_at("id") == Some(id));
        return found.map(|json| answer(json.to_vec())).ok_or_else(|| missing(kind));
    }
    Ok(answer_version(&find(call, kind, id)?, headers))
}

/// One version, by its number.
pub(super) fn version(
    call: &Call,
    kind: &str,
    id: &str,
    version: &str,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let newest = find(call, kind, id)?;
    let none = || Failure::not_found("there is no such version; _history has those there are");
    let wanted: u32 = version.parse().map_err(|_| none())?;
    let mut found = None;
    call.reader.versions(&newest.resource_type, newest.id, wanted.saturating_add(1), |stored| {
        found = Some(stored);
        ControlFlow::Break(())
    })?;
    let stored = found.filter(|stored| stored.version == wanted).ok_or_else(none)?;
    if stored.deleted {
        return Err(Failure::new(StatusCode::GONE, "deleted", "this version is the deletion of the resource"));
    }
    Ok(answer_version(&stored, headers))
}

/// A version with ETag and Last-Modified; 304 when the client has it.
fn answer_version(stored: &Stored, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", stored.version);
    let held = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|held| held.to_str().ok());
    // Tags are compared weakly (RFC 9110 13.1.2).
    let is_held = held
        .flat_map(|held| held.split(','))
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag);
    let mut response = if is_held { StatusCode::NOT_MODIFIED.into_response() } else { answer(render(stored).to_vec()) };
    if let Ok(tag) = HeaderValue::from_str(&format!("W/{tag}")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Ok(time) = jiff::Timestamp::from_microsecond(stored.updated_at) {
        let text = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(text) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::LAST_MODIFIED, text);
        }
    }
    response
}

/// Bundle of the versions, newest first, by pages; the cursor is the version the page before ended with. Of what is
/// deleted it has the deletion only.
pub(super) fn history(call: &Call, kind: &str, id: &str, pairs: &Pairs) -> Result<Vec<u8>, Failure> {
    let (kind, id) = place(kind, id)?;
    let (mut count, mut below) = (COUNT_DEFAULT, u32::MAX);
    for (name, value) in pairs {
        match name.as_str() {
            "_format" | "_pretty" => {}
            "_count" => count = query::count(value, COUNT_MAX)?.max(1),
            "_cursor" => below = u32::try_from(query::cursor(value)?).unwrap_or(u32::MAX),
            _ => return Err(Failure::invalid("_history takes _count and _cursor")),
        }
    }
    let newest = call.reader.resource(kind, id)?.ok_or_else(|| missing(kind))?;
    if newest.deleted {
        below = u32::MAX;
    }
    let (mut entries, mut last, mut next) = (Entries::default(), below, None);
    call.reader.versions(kind, id, below, |stored| {
        if entries.count >= count || entries.len() >= PAGE_BYTES_MAX {
            next = Some(i64::from(last));
            return ControlFlow::Break(());
        }
        entries.push(&history_entry(call, &stored));
        last = stored.version;
        if newest.deleted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let total = if newest.deleted { 1 } else { call.reader.versions_count(kind, id)? };
    let total = usize::try_from(total).ok();
    Ok(bundle(call, "history", &format!("{kind}/{id}/_history"), pairs, total, next, entries))
}

fn history_entry(call: &Call, stored: &Stored) -> Json {
    let (kind, id) = (&stored.resource_type, stored.id);
    let (method, status) = match (stored.deleted, stored.version) {
        (true, _) => ("DELETE", "204"),
        (false, 1) => ("POST", "201"),
        (false, _) => ("PUT", "200"),
    };
    let url = if method == "POST" { kind.clone() } else { format!("{kind}/{id}") };
    let mut entry = vec![("fullUrl", Json::string(format!("{}/{kind}/{id}", call.base)))];
    if !stored.deleted {
        entry.push(("resource", render(stored)));
    }
    entry.push(("request", Json::object([("method", Json::string(method)), ("url", Json::string(url))])));
    entry.push((
        "response",
        Json::object([
            ("status", Json::string(status)),
            ("etag", Json::string(format!("W/\"{}\"", stored.version))),
            ("lastModified", Json::string(fhir_instant_from_micros(stored.updated_at))),
        ]),
    ));
    Json::object(entry)
}

/// Organisations and teams of the configuration as Organizations, each once.
pub(super) fn organizations(app: &App) -> Vec<Json> {
    let mut seen = HashSet::new();
    let all = app.organisations.iter().flat_map(|organisation| team::organizations(organisation));
    all.filter(|(id, _)| seen.insert(*id))
        .map(|(id, body)| {
            let meta = Json::object([("versionId", Json::string("1"))]);
            Json::resource("Organization", &id.to_string(), Some(meta), &body)
        })
        .collect()
}
