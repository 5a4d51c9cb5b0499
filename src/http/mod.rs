//! The HTTP side: FHIR API per environment, status page, health, metrics.
//!
//! Answers from the stores' readers only; nothing here writes. Database calls run outside the runtime's threads and a
//! bounded number at a time.

mod fhir;
mod hl7;
mod serve;
mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fairway_care::Organisation;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config::Config;
use crate::store::Reader;
use crate::telemetry::Metrics;

pub use hl7::Entrance;
pub use serve::{Limits, serve};

/// Database calls at the same time, and answers that are in memory because nobody has taken them yet.
const READS_MAX: usize = 16;

/// A feed as the status page shows it.
pub struct FeedLine {
    /// Environment.
    pub environment: &'static str,
    /// Name of the feed.
    pub feed: String,
    /// What it carries.
    pub kind: &'static str,
    /// Code of its organisation.
    pub organisation: String,
    /// Listener and address.
    pub listener: String,
}

/// An environment that is running.
#[derive(Clone)]
pub struct RunningEnvironment {
    /// `sandbox` or `production`.
    pub name: &'static str,
    /// Listener names with the addresses they really have.
    pub listeners: Vec<(String, SocketAddr)>,
    /// Reads its store.
    pub reader: Reader,
}

/// What requests are answered from.
pub struct App {
    environments: Vec<RunningEnvironment>,
    organisations: Vec<Arc<Organisation>>,
    feeds: Vec<FeedLine>,
    metrics: Arc<Metrics>,
    ready: Box<dyn Fn() -> bool + Send + Sync>,
    reads: Arc<Semaphore>,
    hl7: hl7::Entrances,
}

impl App {
    /// From a configuration and what runs of it. Not ready once `stopping` is true.
    pub fn new(
        config: &Config,
        running: &[RunningEnvironment],
        entrances: Vec<Entrance>,
        metrics: Arc<Metrics>,
        ready: impl Fn() -> bool + Send + Sync + 'static,
        stopping: watch::Receiver<bool>,
    ) -> App {
        let mut feeds = Vec::new();
        for environment in &config.environments {
            let listeners = running.iter().find(|one| one.name == environment.name).map(|one| &one.listeners[..]);
            for listener in &environment.listeners {
                let address = listeners.unwrap_or_default().iter().find(|(name, _)| *name == listener.name);
                let address = address.map_or(listener.listen, |(_, address)| *address);
                feeds.extend(listener.feeds.iter().map(|feed| FeedLine {
                    environment: environment.name,
                    feed: feed.feed.name.clone(),
                    kind: feed.kind.as_str(),
                    organisation: feed.feed.organisation.code().to_owned(),
                    listener: format!("{} {address}", listener.name),
                }));
            }
        }
        let hl7 = hl7::Entrances::new(entrances, config.credentials.clone(), metrics.clone());
        App {
            hl7,
            environments: running.to_vec(),
            organisations: config.organisations.clone(),
            feeds,
            metrics,
            ready: Box::new(move || ready() && !*stopping.borrow()),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    /// Takes no more messages over HTTP; those under way are answered.
    pub fn close_entrances(&self) {
        self.hl7.close();
    }

    fn environment(&self, name: &str) -> Option<&RunningEnvironment> {
        self.environments.iter().find(|environment| environment.name == name)
    }

    /// Runs a database call outside the runtime's threads; `None` when it panicked or the daemon stops. Who keeps the
    /// permit keeps one of [`READS_MAX`] places.
    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<(T, OwnedSemaphorePermit)> {
        let permit = self.reads.clone().acquire_owned().await.ok()?;
        // The permit goes with the call, which goes on when its request is given up.
        tokio::task::spawn_blocking(move || (call(), permit)).await.ok()
    }
}

/// Every route.
fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(hl7::routes())
        .merge(fhir::routes())
        .fallback(fhir::not_found)
        .layer(axum::middleware::from_fn(local_names_only))
        .layer(axum::middleware::map_response(secure))
        .with_state(app)
}

async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if (app.ready)() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.text()).into_response()
}

/// Open access is for this machine, so only names of it are answered: a page elsewhere whose name is made to lead here
/// (DNS rebinding) gets nothing.
async fn local_names_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let local = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if local { next.run(request).await } else { fhir::wrong_host() }
}

/// Headers every answer gets: nothing is sniffed, framed, cached by others or run.
async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; sandbox";
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
