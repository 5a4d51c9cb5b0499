//! Resources as they are served: with id and meta, their versions, documents, Organizations of the configuration.

use std::collections::HashSet;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use fairway_core::fhir::Json;
use fairway_core::hl7v2::fhir_instant_from_micros;
use fairway_core::record::{ResourceId, team};

use super::outcome::{FHIR_JSON, Failure};
use super::{App, Call, HISTORY_MAX, RunningEnvironment, STORED_TYPES, stored_type};
use crate::store::Stored;

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
pub(super) fn place(kind: &str, id: &str) -> Result<(&'static str, ResourceId), Failure> {
    let kind = stored_type(kind).ok_or_else(unknown_type)?;
    let id = ResourceId::parse(id).ok_or_else(|| Failure::not_found(format!("there is no such {kind}")))?;
    Ok((kind, id))
}

pub(super) fn unknown_type() -> Failure {
    let text =
        format!("this resource type is not served; served are {}, Organization and Binary", STORED_TYPES.join(", "));
    Failure::new(StatusCode::NOT_FOUND, "not-supported", text)
}

/// The current version, deleted or not.
pub(super) async fn find(call: &Call<'_>, kind: &str, id: &str) -> Result<Stored, Failure> {
    let (kind, id) = place(kind, id)?;
    let reader = call.environment.reader.clone();
    let found = call.app.read(move || reader.resource(kind, id)).await.ok_or_else(Failure::unfinished)??;
    found.ok_or_else(|| Failure::not_found(format!("there is no such {kind}")))
}

/// A version with ETag and Last-Modified; 304 when the client has it.
pub(super) fn answer_version(stored: &Stored, headers: &HeaderMap) -> Result<Response, Failure> {
    let tag = format!("W/\"{}\"", stored.version);
    let held = headers.get(header::IF_NONE_MATCH).and_then(|held| held.to_str().ok());
    let mut response = match held {
        Some(held) if held.split(',').any(|one| one.trim() == tag) => StatusCode::NOT_MODIFIED.into_response(),
        Some(_) | None => {
            let mut response = render(stored).to_vec().into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
            response
        }
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Ok(time) = jiff::Timestamp::from_microsecond(stored.updated_at) {
        let text = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(text) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::LAST_MODIFIED, text);
        }
    }
    Ok(response)
}

/// Bundle of the versions, newest first.
pub(super) async fn history(call: &Call<'_>, kind: &str, id: &str) -> Result<Json, Failure> {
    let (kind, id) = place(kind, id)?;
    let reader = call.environment.reader.clone();
    let read = call.app.read(move || reader.history(kind, id, HISTORY_MAX));
    let versions = read.await.ok_or_else(Failure::unfinished)??;
    if versions.is_empty() {
        return Err(Failure::not_found(format!("there is no such {kind}")));
    }
    let entries = versions.iter().map(|stored| {
        let (method, status) = match (stored.deleted, stored.version) {
            (true, _) => ("DELETE", "204"),
            (false, 1) => ("POST", "201"),
            (false, _) => ("PUT", "200"),
        };
        let url = if method == "POST" { kind.to_owned() } else { format!("{kind}/{id}") };
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
    });
    Ok(Json::object([
        ("resourceType", Json::string("Bundle")),
        ("type", Json::string("history")),
        ("total", Json::from(i64::try_from(versions.len()).unwrap_or(i64::MAX))),
        ("entry", Json::Array(entries.collect())),
    ]))
}

/// Organisations and teams of the configuration as Organizations.
pub(super) fn organizations(app: &App) -> Vec<Json> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for organisation in &app.organisations {
        for (id, body) in team::organizations(organisation) {
            if !seen.insert(id) {
                continue;
            }
            all.push(Json::resource("Organization", &id.to_string(), None, &body));
        }
    }
    all
}

/// A document: as it is, or as Binary when the client asks for FHIR.
pub(super) async fn binary(
    app: &App,
    environment: &RunningEnvironment,
    id: &str,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let missing = || Failure::not_found("there is no such Binary");
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(missing());
    }
    let (reader, wanted) = (environment.reader.clone(), id.to_owned());
    let found = app.read(move || reader.blob(&wanted)).await.ok_or_else(Failure::unfinished)??;
    let (content_type, bytes) = found.ok_or_else(missing)?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("fhir+json") || accept.contains("application/json") {
        let json = Json::object([
            ("resourceType", Json::string("Binary")),
            ("id", Json::string(id)),
            ("contentType", Json::string(content_type)),
            ("data", Json::string(base64::engine::general_purpose::STANDARD.encode(&bytes))),
        ]);
        return Ok(super::answer(&json));
    }
    let mut response = bytes.into_response();
    let kind = HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // What a sender wrote is never run in a browser as a page of ours.
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}
