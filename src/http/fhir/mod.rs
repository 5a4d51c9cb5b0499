//! The FHIR R4 API of an environment: read, history, search, `$everything`, `metadata`.
//!
//! Read only, over what the store holds; Organizations come from the configuration.

mod everything;
mod metadata;
mod outcome;
mod resource;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use fairway_core::fhir::Json;
use fairway_core::record::ResourceId;

use super::{App, RunningEnvironment};
use outcome::{FHIR_JSON, Failure};

/// Resource types served from the store, in the order `$everything` gives them.
const STORED_TYPES: [&str; 7] =
    ["Patient", "CareTeam", "Appointment", "Encounter", "DiagnosticReport", "Observation", "DocumentReference"];
/// Versions a history gives at most.
const HISTORY_MAX: usize = 1000;

/// A type that is served from the store, by its name.
fn stored_type(name: &str) -> Option<&'static str> {
    STORED_TYPES.into_iter().find(|served| *served == name)
}

type Pairs = Vec<(String, String)>;
type GivenQuery = Result<Query<Pairs>, QueryRejection>;

pub(super) fn routes() -> Router<Arc<App>> {
    let only_get = |get: MethodRouter<Arc<App>>| get.fallback(method_not_allowed);
    Router::new()
        .route("/{environment}/fhir/metadata", only_get(get(metadata)))
        .route("/{environment}/fhir/{kind}", only_get(get(search_get)))
        .route("/{environment}/fhir/{kind}/_search", post(search_post).fallback(method_not_allowed))
        .route("/{environment}/fhir/{kind}/{id}", only_get(get(read)))
        .route("/{environment}/fhir/{kind}/{id}/{operation}", only_get(get(operation)))
        .route("/{environment}/fhir/{kind}/{id}/_history/{version}", only_get(get(version)))
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

async fn method_not_allowed() -> Response {
    let text = "this API is read only: use GET, or POST to _search";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", text).into_response()
}

/// One request: the environment it is for and where it was sent to.
struct Call<'a> {
    app: &'a App,
    environment: &'a RunningEnvironment,
    /// Base of full URLs, without a slash at the end.
    base: String,
}

impl<'a> Call<'a> {
    fn new(app: &'a App, environment: &str, headers: &HeaderMap, pairs: &Pairs) -> Result<Call<'a>, Failure> {
        let environment = app
            .environment(environment)
            .ok_or_else(|| Failure::not_found("there is no such environment; use /sandbox/fhir or /production/fhir"))?;
        acceptable(headers, pairs)?;
        Ok(Call { app, environment, base: base(headers, environment.name) })
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

/// FHIR JSON is all there is; a client that takes only something else is told so.
fn acceptable(headers: &HeaderMap, pairs: &Pairs) -> Result<(), Failure> {
    let json = |text: &str| {
        ["json", "*/*", "application/*"].iter().any(|known| text.contains(known)) || text.trim().is_empty()
    };
    let asked = pairs.iter().find(|(name, _)| name == "_format").map(|(_, format)| format.as_str());
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match asked {
        Some(format) if !json(format) => Err("_format must be json"),
        None if !json(accept) => Err("only application/fhir+json is served"),
        Some(_) | None => Ok(()),
    }
    .map_err(|text| Failure::new(StatusCode::NOT_ACCEPTABLE, "not-supported", text))
}

fn pairs_of(query: GivenQuery) -> Result<Pairs, Failure> {
    query.map(|Query(pairs)| pairs).map_err(|_| Failure::invalid("the query cannot be read; check its encoding"))
}

fn answer(json: &Json) -> Response {
    let mut response = json.to_vec().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    response
}

async fn metadata(
    State(app): State<Arc<App>>,
    Path(environment): Path<String>,
    headers: HeaderMap,
    query: GivenQuery,
) -> Result<Response, Failure> {
    let call = Call::new(&app, &environment, &headers, &pairs_of(query)?)?;
    Ok(answer(&metadata::capability_statement(&call.base)))
}

async fn search_get(
    State(app): State<Arc<App>>,
    Path((environment, kind)): Path<(String, String)>,
    headers: HeaderMap,
    query: GivenQuery,
) -> Result<Response, Failure> {
    let pairs = pairs_of(query)?;
    let call = Call::new(&app, &environment, &headers, &pairs)?;
    Ok(answer(&search::run(&call, &kind, pairs).await?))
}

async fn search_post(
    State(app): State<Arc<App>>,
    Path((environment, kind)): Path<(String, String)>,
    headers: HeaderMap,
    query: GivenQuery,
    body: Bytes,
) -> Result<Response, Failure> {
    let mut pairs = pairs_of(query)?;
    let form: Result<Query<Pairs>, QueryRejection> = std::str::from_utf8(&body)
        .ok()
        .and_then(|body| format!("http://form/?{}", body.trim()).parse::<Uri>().ok())
        .map_or_else(|| Ok(Query(Vec::new())), |uri| Query::try_from_uri(&uri));
    pairs.extend(pairs_of(form)?);
    let call = Call::new(&app, &environment, &headers, &pairs)?;
    Ok(answer(&search::run(&call, &kind, pairs).await?))
}

async fn read(
    State(app): State<Arc<App>>,
    Path((environment, kind, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    query: GivenQuery,
) -> Result<Response, Failure> {
    let pairs = pairs_of(query)?;
    if kind == "Binary" {
        let environment = app.environment(&environment).ok_or_else(|| Failure::not_found("no such environment"))?;
        return resource::binary(&app, environment, &id, &headers).await;
    }
    let call = Call::new(&app, &environment, &headers, &pairs)?;
    if kind == "Organization" {
        let found = resource::organizations(call.app).into_iter().find(|one| one.str_at("id") == Some(&id));
        return found.map(|json| answer(&json)).ok_or_else(|| Failure::not_found("there is no such Organization"));
    }
    let stored = resource::find(&call, &kind, &id).await?;
    if stored.deleted {
        let text = "the resource was deleted; its versions are in its _history";
        return Err(Failure::new(StatusCode::GONE, "deleted", text));
    }
    resource::answer_version(&stored, &headers)
}

async fn operation(
    State(app): State<Arc<App>>,
    Path((environment, kind, id, operation)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    query: GivenQuery,
) -> Result<Response, Failure> {
    let pairs = pairs_of(query)?;
    let call = Call::new(&app, &environment, &headers, &pairs)?;
    match (kind.as_str(), operation.as_str()) {
        ("Patient", "$everything") => Ok(answer(&everything::run(&call, &id, &pairs).await?)),
        (_, "_history") => Ok(answer(&resource::history(&call, &kind, &id).await?)),
        _ => Err(Failure::new(
            StatusCode::NOT_FOUND,
            "not-supported",
            "there is no such operation; _history and Patient/[id]/$everything are",
        )),
    }
}

async fn version(
    State(app): State<Arc<App>>,
    Path((environment, kind, id, version)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    query: GivenQuery,
) -> Result<Response, Failure> {
    let call = Call::new(&app, &environment, &headers, &pairs_of(query)?)?;
    let wanted: u32 = version.parse().map_err(|_| Failure::not_found("there is no such version"))?;
    let (kind, id) = resource::place(&kind, &id)?;
    let reader = call.environment.reader.clone();
    let versions = app.read(move || reader.history(kind, id, HISTORY_MAX)).await.ok_or_else(Failure::unfinished)??;
    let found = versions.iter().find(|stored| stored.version == wanted);
    match found {
        Some(stored) if stored.deleted => {
            Err(Failure::new(StatusCode::GONE, "deleted", "this version is the deletion of the resource"))
        }
        Some(stored) => resource::answer_version(stored, &headers),
        None => Err(Failure::not_found("there is no such version")),
    }
}

/// The id of a reference value: `Patient/id`, an absolute URL ending so, or the bare id.
fn reference_id(value: &str) -> Option<ResourceId> {
    ResourceId::parse(value.rsplit('/').next().unwrap_or(value))
}
