//! Errors as OperationOutcome: what went wrong and what to do, without values of the request.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairway_core::fhir::Json;

use crate::store::StoreError;

/// Media type of everything the FHIR API says.
pub(super) const FHIR_JSON: &str = "application/fhir+json; fhirVersion=4.0; charset=utf-8";

/// A request that is not answered with what it asked for.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    /// Issue type of the R4 value set.
    code: &'static str,
    text: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Failure {
        Failure { status, code, text: text.into() }
    }

    pub(super) fn not_found(text: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "not-found", text)
    }

    pub(super) fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "invalid", text)
    }

    /// Whether something was asked for that this API does not have.
    pub(super) fn is_unsupported(&self) -> bool {
        self.code == "not-supported"
    }

    /// The call did not come to its end: it panicked, took too long, or the daemon stops.
    pub(super) fn unfinished() -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "the request could not be worked on; try again")
    }
}

/// Gives what the router refuses the form of every other error.
pub(super) async fn always(response: Response) -> Response {
    let status = response.status();
    let is_outcome = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == FHIR_JSON);
    if is_outcome || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (code, text) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("too-long", "the request is too long; ask for less at a time"),
        _ => ("invalid", "the request cannot be read; check its address and its encoding"),
    };
    Failure::new(status, code, text).into_response()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        tracing::error!(event = "store.read_failed", %error);
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "exception", "the store could not be read; ask the operator")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let issue = Json::object([
            ("severity", Json::string("error")),
            ("code", Json::string(self.code)),
            ("diagnostics", Json::string(self.text)),
        ]);
        let outcome =
            Json::object([("resourceType", Json::string("OperationOutcome")), ("issue", Json::Array(vec![issue]))]);
        let mut response = (self.status, outcome.to_vec()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
        response
    }
}
