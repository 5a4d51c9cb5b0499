//! The FHIR R4 API of an environment: read, history, search, `$everything`, `metadata`.
//!
//! Read only, over what the store holds; Organizations come from the configuration.

mod accept;
mod binary;
mod bundle;
mod driver;
mod everything;
mod metadata;
mod outcome;
mod pairs;
mod query;
mod resource;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use fairway_core::record::ResourceId;
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use crate::store::Reader;
use accept::accepts_fhir;
use outcome::{FHIR_JSON, Failure};
use pairs::Pairs;

/// Resource types served from the store, in the order `$everything` gives them.
const STORED_TYPES: [&str; 7] =
    ["Patient", "CareTeam", "Appointment", "Encounter", "DiagnosticReport", "Observation", "DocumentReference"];
/// A page ends before it grows past this, in bytes.
const PAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A form of `_search` that is longer is refused, in bytes; about as long as an address may be.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// A type that is served from the store, by its name.
fn stored_type(name: &str) -> Option<&'static str> {
    STORED_TYPES.into_iter().find(|served| *served == name)
}

pub(super) fn routes() -> Router<Arc<App>> {
    let only_get = |get: MethodRouter<Arc<App>>| get.fallback(method_not_allowed);
    Router::new()
        .route("/{environment}/fhir/metadata", only_get(get(metadata)))
        .route("/{environment}/fhir/{kind}", only_get(get(search_get)))
        .route("/{environment}/fhir/{kind}/_search", post(search_post).fallback(method_not_allowed))
        .route("/{environment}/fhir/{kind}/{id}", only_get(get(read)))
        .route("/{environment}/fhir/{kind}/{id}/{operation}", only_get(get(operation)))
        .route("/{environment}/fhir/{kind}/{id}/_history/{version}", only_get(get(version)))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .route_layer(map_response(outcome::always))
}

/// Whatever has no route.
pub(super) async fn not_found(uri: Uri) -> Response {
    let hint = if uri.path().contains("/fhir") {
        "there is no such address in the FHIR API; start at /sandbox/fhir/metadata"
    } else {
        "there is no such page; start at /"
    };
    Failure::not_found(hint).into_response()
}

/// A request by a name that is not this machine's.
pub(super) fn wrong_host() -> Response {
    let text = "open access answers only to localhost or a loopback address in the Host header";
    Failure::new(StatusCode::FORBIDDEN, "forbidden", text).into_response()
}

/// A request that was not answered within its time.
pub(super) fn too_late() -> Response {
    Failure::unfinished().into_response()
}

async fn method_not_allowed() -> Response {
    let text = "this API is read only: use GET, or POST to _search";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", text).into_response()
}

/// One request: the store it reads and where it was sent to.
struct Call {
    app: Arc<App>,
    reader: Reader,
    /// Base of full URLs, without a slash at the end.
    base: String,
}

impl Call {
    fn new(app: Arc<App>, environment: &str, headers: &HeaderMap) -> Result<Call, Failure> {
        let environment = app
            .environment(environment)
            .ok_or_else(|| Failure::not_found("there is no such environment; use /sandbox/fhir or /production/fhir"))?;
        let (reader, base) = (environment.reader.clone(), base(headers, environment.name));
        Ok(Call { app, reader, base })
    }

    /// Makes the answer, to its last byte, outside the runtime's threads. Its place is free when it has been sent.
    async fn answer(
        self,
        make: impl FnOnce(&Call) -> Result<Response, Failure> + Send + 'static,
    ) -> Result<Response, Failure> {
        let app = self.app.clone();
        let (made, permit) = app.read(move || make(&self)).await.ok_or_else(Failure::unfinished)?;
        let (parts, body) = made?.into_parts();
        // All of it is there, so nothing waits or is copied.
        let bytes = to_bytes(body, usize::MAX).await.map_err(|_| Failure::unfinished())?;
        Ok(Response::from_parts(parts, Bytes::from_owner(Held { bytes, _permit: permit }).into()))
    }
}

/// An answer and its place among those in memory.
struct Held {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Base URL by the Host header, when that is one; relative otherwise.
fn base(headers: &HeaderMap, environment: &str) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']');
    if host.is_empty() || host.len() > 255 || !host.chars().all(valid) {
        return format!("/{environment}/fhir");
    }
    format!("http://{host}/{environment}/fhir")
}

fn pairs_of(RawQuery(query): RawQuery) -> Result<Pairs, Failure> {
    pairs::read(&[query.unwrap_or_default().as_bytes()])
}

fn answer(json: Vec<u8>) -> Response {
    let mut response = json.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    response
}

async fn metadata(
    State(app): State<Arc<App>>,
    Path(environment): Path<String>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Failure> {
    let call = Call::new(app, &environment, &headers)?;
    accepts_fhir(&headers, &pairs_of(query)?)?;
    Ok(answer(metadata::capability_statement(&call.base).to_vec()))
}

async fn search_get(
    State(app): State<Arc<App>>,
    Path((environment, kind)): Path<(String, String)>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Failure> {
    search(app, &environment, kind, &headers, pairs_of(query)?).await
}

async fn search_post(
    State(app): State<Arc<App>>,
    Path((environment, kind)): Path<(String, String)>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Failure> {
    let pairs = pairs::read(&[query.unwrap_or_default().as_bytes(), form(&headers, &body)?])?;
    search(app, &environment, kind, &headers, pairs).await
}

async fn search(
    app: Arc<App>,
    environment: &str,
    kind: String,
    headers: &HeaderMap,
    mut pairs: Pairs,
) -> Result<Response, Failure> {
    let call = Call::new(app, environment, headers)?;
    accepts_fhir(headers, &pairs)?;
    let preferences = headers.get_all("prefer").iter().filter_map(|one| one.to_str().ok());
    let mut preferences = preferences.flat_map(|one| one.split([',', ';']));
    let lenient = preferences.any(|one| one.trim().eq_ignore_ascii_case("handling=lenient"));
    call.answer(move |call| Ok(answer(search::run(call, &kind, &mut pairs, lenient)?))).await
}

/// The parameters of a form, encoded. What is none is refused: a search without its filters shows the wrong data.
fn form<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<&'b [u8], Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if body.is_empty() || kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(body.trim_ascii());
    }
    let text = "_search takes a form: Content-Type application/x-www-form-urlencoded";
    Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-supported", text))
}

async fn read(
    State(app): State<Arc<App>>,
    Path((environment, kind, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Failure> {
    let (call, pairs) = (Call::new(app, &environment, &headers)?, pairs_of(query)?);
    if kind == "Binary" {
        return call.answer(move |call| binary::read(call, &id, &headers, &pairs)).await;
    }
    accepts_fhir(&headers, &pairs)?;
    call.answer(move |call| resource::read(call, &kind, &id, &headers)).await
}

async fn operation(
    State(app): State<Arc<App>>,
    Path((environment, kind, id, operation)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Failure> {
    let (call, pairs) = (Call::new(app, &environment, &headers)?, pairs_of(query)?);
    accepts_fhir(&headers, &pairs)?;
    call.answer(move |call| match (kind.as_str(), operation.as_str()) {
        ("Patient", "$everything") => Ok(answer(everything::run(call, &id, &pairs)?)),
        (_, "_history") => Ok(answer(resource::history(call, &kind, &id, &pairs)?)),
        _ => Err(Failure::new(
            StatusCode::NOT_FOUND,
            "not-supported",
            "there is no such operation; _history and Patient/[id]/$everything are",
        )),
    })
    .await
}

async fn version(
    State(app): State<Arc<App>>,
    Path((environment, kind, id, version)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Failure> {
    let call = Call::new(app, &environment, &headers)?;
    accepts_fhir(&headers, &pairs_of(query)?)?;
    call.answer(move |call| resource::version(call, &kind, &id, &version, &headers)).await
}

/// The id of a reference value: `Patient/id`, an absolute URL ending so, or the bare id.
fn reference_id(value: &str) -> Option<ResourceId> {
    ResourceId::parse(value.rsplit('/').next().unwrap_or(value))
}
