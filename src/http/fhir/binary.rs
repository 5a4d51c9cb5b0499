//! Documents: as their sender wrote them, or as Binary when the client asks for FHIR.
//!
//! Blocks; for a thread that may. Nothing a sender wrote is ever shown by a browser as a page of ours.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use fairway_core::fhir::Json;

use super::accept::{Accepted, accepted_document};
use super::outcome::Failure;
use super::{Call, Pairs, answer};

/// A document by the name of its content: SHA-256 in hexadecimal.
pub(super) fn read(call: &Call, id: &str, headers: &HeaderMap, pairs: &Pairs) -> Result<Response, Failure> {
    let missing = || Failure::not_found("there is no such Binary; use the url of an attachment as it is");
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(missing());
    }
    let (content_type, bytes) = call.reader.blob(id)?.ok_or_else(missing)?;
    match accepted_document(headers, pairs, &content_type)? {
        Accepted::Fhir => {
            let json = Json::object([
                ("resourceType", Json::string("Binary")),
                ("id", Json::string(id)),
                ("contentType", Json::string(content_type)),
                ("data", Json::string(base64::engine::general_purpose::STANDARD.encode(&bytes))),
            ]);
            Ok(answer(json.to_vec()))
        }
        Accepted::Document => {
            let mut response = bytes.into_response();
            let kind =
                HeaderValue::from_str(&content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            Ok(response)
        }
    }
}
