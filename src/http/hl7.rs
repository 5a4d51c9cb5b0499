//! Messages over HTTP: ER7 by `POST`, and the SOAP envelope of hl7-api 1.2. The same way as over MLLP, from the frame on.
//!
//! Knows credentials and bodies; what becomes of a message is intake's matter.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, HttpBody};
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, body};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use fairway_core::hl7v2::mllp::{FS, VT};
use fairway_core::hl7v2::soap::{self, SoapError, SoapVersion};
use fairway_core::hl7v2::{AckStyle, Charset, answer_text, split_batch};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::App;
use crate::config::{ConfiguredFeed, Credential};
use crate::intake::{Current, Intake, Memory, Work};
use crate::mllp::budget::{Budget, Grant, PACE, Pace};
use crate::mllp::listener::Handler as _;
use crate::telemetry::Metrics;

/// Memory for bodies past their first 64 KiB, from their arrival to their answer, in bytes; past it requests wait.
const BODIES_BYTES: usize = 256 * 1024 * 1024;
/// So much of a body is not counted, in bytes.
const BODY_BYTES_FREE: usize = 64 * 1024;

/// The sender's address, put into a request where its connection is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What HTTP reaches of one environment: the feeds that its listeners serve.
pub struct Entrance {
    /// `sandbox` or `production`.
    pub environment: &'static str,
    /// Its feeds, each with how its answers look; in the sandbox they may change.
    pub feeds: Current<Vec<(Arc<ConfiguredFeed>, AckStyle)>>,
    /// Longest message, in bytes.
    pub frame_bytes_max: usize,
    /// To the writer.
    pub queue: mpsc::Sender<Work>,
    /// Memory for messages on their way; shared with the listeners.
    pub memory: Arc<Memory>,
}

/// The way in for messages over HTTP, until it is closed.
pub(super) struct Entrances {
    open: Mutex<Option<Arc<Vec<Entrance>>>>,
    credentials: Vec<Credential>,
    metrics: Arc<Metrics>,
    bodies: Budget,
}

impl Entrances {
    pub(super) fn new(entrances: Vec<Entrance>, credentials: Vec<Credential>, metrics: Arc<Metrics>) -> Entrances {
        let bodies = Budget::new(BODIES_BYTES);
        Entrances { open: Mutex::new(Some(Arc::new(entrances))), credentials, metrics, bodies }
    }

    /// Takes no more messages; those that were handed over are answered.
    pub(super) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn open(&self) -> Option<Arc<Vec<Entrance>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who sends: `Ok(None)` when no credential is configured, so that whoever reaches the address may send.
    fn sender(&self, headers: &HeaderMap) -> Result<Option<&Credential>, Failure> {
        if self.credentials.is_empty() {
            return Ok(None);
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let decoded = given
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, password) = decoded.as_deref().and_then(|text| text.split_once(':')).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(password.as_bytes()).into();
        let known = self.credentials.iter().find(|one| one.user == user && same(&one.password_sha256, &digest));
        known.map(Some).ok_or_else(|| {
            tracing::warn!(event = "http.credentials_refused");
            Failure::Credentials
        })
    }

    /// Reads a body, taking memory as it arrives. A client that sends nothing for a [`PACE`], or too little while others
    /// wait for memory, is given up.
    async fn read(&self, mut body: Body, length: Option<u64>, most: usize) -> Result<(Bytes, Grant), Failure> {
        let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if length.is_some_and(|length| length > most) {
            return Err(Failure::TooLong(most));
        }
        let (mut bytes, mut held, mut pace) = (BytesMut::new(), Grant::default(), Pace::new());
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let Ok(frame) = timeout_at(pace.since + PACE, frame).await else {
                if pace.bytes == 0 || pace.is_behind(&held, &self.bodies, PACE) {
                    return Err(Failure::TooSlow);
                }
                pace = Pace::new();
                continue;
            };
            let Some(frame) = frame else { return Ok((bytes.freeze(), held)) };
            let Ok(data) = frame.map_err(|_| Failure::Broken)?.into_data() else { continue };
            let needed = bytes.len() + data.len();
            if needed > most {
                return Err(Failure::TooLong(most));
            }
            if needed > bytes.capacity() {
                let wanted = (2 * needed).min(length.unwrap_or(most)).max(needed);
                let counted = wanted.saturating_sub(BODY_BYTES_FREE);
                if !held.covers(counted) {
                    held.merge(self.bodies.clone().take(counted - held.bytes()).await);
                    // The time of waiting is not the client's.
                    pace = Pace::new();
                }
                bytes.reserve(wanted - bytes.len());
            }
            bytes.extend_from_slice(&data);
            pace.bytes += data.len();
        }
    }
}

/// Why a request brings no message in.
enum Failure {
    Credentials,
    Stopping,
    NoFeed,
    MediaType(&'static str),
    /// The named character set is not known.
    Charset,
    TooLong(usize),
    TooSlow,
    Broken,
    /// Several MLLP frames.
    Framed,
    /// A SOAP fault.
    Envelope {
        reason: String,
        not_understood: bool,
        version: SoapVersion,
    },
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Failure::Credentials => {
                let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"Fairway\", charset=\"UTF-8\"")];
                (StatusCode::UNAUTHORIZED, challenge, "credentials are missing or wrong\n").into_response()
            }
            Failure::Stopping => {
                (StatusCode::SERVICE_UNAVAILABLE, "no messages are taken now; send it again later\n").into_response()
            }
            Failure::NoFeed => {
                (StatusCode::NOT_FOUND, "there is no such feed here that your credentials are for\n").into_response()
            }
            Failure::MediaType(wanted) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("send it as {wanted}\n")).into_response()
            }
            Failure::TooLong(most) => {
                let text = format!("the message is longer than this address takes ({most} bytes)\n");
                (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
            }
            Failure::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "the body came too slowly; send it again\n").into_response()
            }
            Failure::Broken => (StatusCode::BAD_REQUEST, "the body broke off\n").into_response(),
            Failure::Framed => {
                let text = "the body holds more than one MLLP frame; send them one by one, or as a batch\n";
                (StatusCode::BAD_REQUEST, text).into_response()
            }
            Failure::Charset => {
                let text = "the character set of the media type is not known; send charset=utf-8\n";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response()
            }
            Failure::Envelope { reason, not_understood, version } => {
                let status = match (version, not_understood) {
                    (SoapVersion::V12, false) => StatusCode::BAD_REQUEST,
                    (SoapVersion::V11, _) | (SoapVersion::V12, true) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                xml(status, version.media_type(), soap::fault(&reason, not_understood, version))
            }
        }
    }
}

/// Whether two digests are the same, in a time that does not depend on them.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().zip(right).fold(0, |differ, (left, right)| differ | (left ^ right)) == 0
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{environment}/hl7/{feed}", post(plain))
        .route("/{environment}/services/hl7", get(description).post(enveloped))
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The `charset` of the media type.
fn charset(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut named = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl App {
    /// Hands a message to intake on the feeds that `wanted` picks.
    async fn take(
        &self,
        environment: &str,
        sender: Option<&Credential>,
        wanted: impl Fn(&ConfiguredFeed) -> bool,
        (style, charset): (Option<AckStyle>, Option<Charset>),
        (message, peer): (Bytes, SocketAddr),
    ) -> Option<Vec<Bytes>> {
        let intake = {
            // Let go before the message is waited for, so that a stop need not wait for slow senders.
            let open = self.hl7.open()?;
            let entrance = open.iter().find(|entrance| entrance.environment == environment)?;
            let all = entrance.feeds.get();
            let feeds = all.iter().filter(|(feed, _)| allowed(feed, sender) && wanted(feed));
            let style = style.or_else(|| feeds.clone().next().map(|(_, style)| *style)).unwrap_or_default();
            Intake {
                environment: entrance.environment,
                feeds: Current::new(feeds.map(|(feed, _)| for_sender(feed, sender, charset)).collect()),
                queue: entrance.queue.clone(),
                memory: entrance.memory.clone(),
                style,
                metrics: self.hl7.metrics.clone(),
            }
        };
        intake.handle(message, peer).await
    }

    /// Longest message of an environment one of whose feeds is `wanted`.
    fn entrance(&self, environment: &str, wanted: impl Fn(&ConfiguredFeed) -> bool) -> Result<usize, Failure> {
        let open = self.hl7.open().ok_or(Failure::Stopping)?;
        let found = open.iter().find(|entrance| entrance.environment == environment);
        let found = found.filter(|entrance| entrance.feeds.get().iter().any(|(feed, _)| wanted(feed)));
        found.map(|entrance| entrance.frame_bytes_max).ok_or(Failure::NoFeed)
    }
}

/// A credential is for the feeds of its organisation.
fn allowed(feed: &ConfiguredFeed, sender: Option<&Credential>) -> bool {
    sender.is_none_or(|sender| sender.organisation == feed.feed.organisation.code())
}

/// The feed as it is for a sender whose credential is that of a team (hl7-api 2.8), or who names a character set.
fn for_sender(
    feed: &Arc<ConfiguredFeed>,
    sender: Option<&Credential>,
    charset: Option<Charset>,
) -> Arc<ConfiguredFeed> {
    let team = sender.and_then(|sender| sender.team.as_deref());
    match (team, charset.filter(|charset| *charset != feed.parse.default_charset)) {
        (None, None) => feed.clone(),
        (team, charset) => Arc::new(feed.for_sender(team, charset)),
    }
}

/// `POST /{environment}/hl7/{feed}`: ER7, one message or a batch.
async fn plain(
    State(app): State<Arc<App>>,
    Path((environment, feed)): Path<(String, String)>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    match plain_or_why(&app, (&environment, &feed), peer, &parts.headers, body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn plain_or_why(
    app: &App,
    (environment, feed): (&str, &str),
    peer: SocketAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let sender = app.hl7.sender(headers)?;
    let kind = media_type(headers).to_ascii_lowercase();
    if !matches!(kind.as_str(), "application/hl7-v2" | "application/hl7-v2+er7" | "x-application/hl7-v2+er7") {
        return Err(Failure::MediaType("application/hl7-v2"));
    }
    let charset = charset(headers).map(|label| Charset::from_msh18(label).ok_or(Failure::Charset)).transpose()?;
    let wanted = |one: &ConfiguredFeed| one.feed.name == feed && allowed(one, sender);
    let most = app.entrance(environment, wanted)?;
    let (message, grant) = app.hl7.read(body, content_length(headers), most).await?;
    if holds_frames(&message) {
        return Err(Failure::Framed);
    }
    let answers = app.take(environment, sender, wanted, (None, charset), (message, peer)).await;
    drop(grant);
    let answers = answers.ok_or(Failure::Stopping)?;
    if answers.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let kind = match tokio::task::block_in_place(|| charset_of(&answers)) {
        Some(charset) => format!("application/hl7-v2; charset={}", charset.iana()),
        None => "application/hl7-v2".to_owned(),
    };
    Ok(([(header::CONTENT_TYPE, kind)], answers.concat()).into_response())
}

/// Whether something follows the first of MLLP's frames; the frame of one message is passed over.
fn holds_frames(body: &[u8]) -> bool {
    let end = body.iter().position(|&byte| byte == FS).filter(|_| body.first() == Some(&VT));
    end.and_then(|end| body.get(end + 1..)).is_some_and(|behind| !behind.trim_ascii().is_empty())
}

/// The set that all of the answers are in; `None` when those of a batch are in several.
fn charset_of(answers: &[Bytes]) -> Option<Charset> {
    let mut one = None;
    for part in answers.iter().flat_map(|answer| split_batch(answer.clone())) {
        let charset = answer_text(&part).1;
        if part.is_ascii() && charset != Charset::Utf16 {
            continue;
        }
        if one.replace(charset).is_some_and(|other| other != charset) {
            return None;
        }
    }
    // The envelope of a batch does not say which set it is in.
    let utf8 = || answers.iter().all(|answer| std::str::from_utf8(answer).is_ok());
    match one {
        None | Some(Charset::Utf8) => utf8().then_some(Charset::Utf8),
        other => other,
    }
}

/// `POST /{environment}/services/hl7`: one message in a SOAP envelope, on every feed the credentials are for.
async fn enveloped(
    State(app): State<Arc<App>>,
    Path(environment): Path<String>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    match enveloped_or_why(&app, &environment, peer, &parts.headers, body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

/// A message out of an envelope is text, and so UTF-8 whatever its MSH-18 says: a byte order mark keeps that with it.
fn marked(message: String) -> Bytes {
    let plain = message.is_ascii() || !message.starts_with("MSH");
    if plain { Bytes::from(message) } else { Bytes::from(format!("\u{feff}{message}")) }
}

async fn enveloped_or_why(
    app: &App,
    environment: &str,
    peer: SocketAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let sender = app.hl7.sender(headers)?;
    let kind = media_type(headers).to_ascii_lowercase();
    if !matches!(kind.as_str(), "text/xml" | "application/xml" | "application/soap+xml") {
        return Err(Failure::MediaType("text/xml"));
    }
    let wanted = |one: &ConfiguredFeed| allowed(one, sender);
    let most = app.entrance(environment, wanted)?;
    // Escaping makes a message longer.
    let (body, grant) = app.hl7.read(body, content_length(headers), most.saturating_mul(2)).await?;
    let named = SoapVersion::of_media_type(&kind);
    let fault = |reason: String, version| Failure::Envelope { reason, not_understood: false, version };
    let call = tokio::task::block_in_place(|| soap::message_of(&body, charset(headers)));
    let call = call.map_err(|error| Failure::Envelope {
        reason: error.to_string(),
        not_understood: error == SoapError::NotUnderstood,
        version: named,
    })?;
    drop(body);
    let version = call.version.unwrap_or(named);
    if call.message.len() > most {
        return Err(fault(format!("the message is longer than this address takes ({most} bytes)"), version));
    }
    let message = (marked(call.message), peer);
    let answers = app.take(environment, sender, wanted, (Some(AckStyle::Plain), None), message).await;
    drop(grant);
    let answers = answers.ok_or(Failure::Stopping)?;
    if answers.is_empty() {
        return Err(fault("the message is an acknowledgement, which is kept and not acknowledged".to_owned(), version));
    }
    let answer: String = answers.iter().map(|answer| answer_text(answer).0).collect();
    Ok(xml(StatusCode::OK, version.media_type(), soap::answer(&answer, version)))
}

fn xml(status: StatusCode, media_type: &str, text: String) -> Response {
    let kind = [(header::CONTENT_TYPE, format!("{media_type}; charset=utf-8"))];
    (status, kind, body::Body::from(text)).into_response()
}

/// `GET /{environment}/services/hl7?wsdl`.
async fn description(RawQuery(query): RawQuery, headers: HeaderMap, uri: Uri) -> Response {
    if !query.unwrap_or_default().split('&').any(|part| part.eq_ignore_ascii_case("wsdl")) {
        let allow = [(header::ALLOW, "POST")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "POST a SOAP envelope, or ask for ?wsdl\n").into_response();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    xml(StatusCode::OK, "text/xml", soap::wsdl(&format!("http://{host}{}", uri.path())))
}
