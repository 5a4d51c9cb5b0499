//! Metrics in Prometheus form and log lines. No label and no field ever holds personal data.

use std::io::IsTerminal;
use std::sync::atomic::AtomicU64;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    environment: String,
    feed: String,
    outcome: String,
    ack: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvironmentLabels {
    environment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    environment: String,
    listener: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    environment: String,
    listener: String,
    event: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    environment: String,
    listener: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabels {
    feed: String,
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    environment: String,
    listener: String,
    result: String,
}

/// What the daemon counts and times; a registry of its own, nothing global.
pub struct Metrics {
    registry: Registry,
    messages: Family<MessageLabels, Counter>,
    ack_seconds: Family<EnvironmentLabels, Histogram>,
    batch_messages: Family<EnvironmentLabels, Histogram>,
    commit_seconds: Family<EnvironmentLabels, Histogram>,
    queued: Family<EnvironmentLabels, Gauge>,
    connection_events: Family<ConnectionLabels, Counter<u64, AtomicU64>>,
    connections_open: Family<ListenerLabels, Gauge>,
    tls_expiry: Family<ListenerLabels, Gauge>,
    tls_handshake_failures: Family<HandshakeLabels, Counter>,
    tls_renewals: Family<RenewalLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    unread: Family<PathLabels, Counter>,
    unmapped_codes: Family<PathLabels, Counter>,
    /// Feeds with paths that are counted one by one.
    paths: Mutex<HashSet<(String, String)>>,
}

/// Paths that are counted one by one; the others of a feed are counted together.
const PATHS_MAX: usize = 2000;

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("fairway");
        let seconds = || Histogram::new(exponential_buckets(0.0001, 2.0, 18));
        let messages = Family::default();
        let ack_seconds: Family<EnvironmentLabels, Histogram> = Family::new_with_constructor(seconds);
        let batch_messages: Family<EnvironmentLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(1.0, 2.0, 11)));
        let commit_seconds: Family<EnvironmentLabels, Histogram> = Family::new_with_constructor(seconds);
        let queued = Family::default();
        let connection_events = Family::default();
        let connections_open = Family::default();
        let (tls_expiry, tls_handshake_failures, tls_renewals) =
            (Family::default(), Family::default(), Family::default());
        registry.register("messages", "Messages answered, by outcome and acknowledgement code", messages.clone());
        registry.register_with_unit(
            "ack",
            "From the last byte of a message to its acknowledgement",
            Unit::Seconds,
            ack_seconds.clone(),
        );
        registry.register("batch_messages", "Messages in one commit", batch_messages.clone());
        registry.register_with_unit(
            "commit",
            "Loading, deciding and committing one batch",
            Unit::Seconds,
            commit_seconds.clone(),
        );
        registry.register("queued_messages", "Messages that wait for the writer", queued.clone());
        registry.register("connection_events", "What happens on MLLP connections", connection_events.clone());
        registry.register("connections_open", "Open MLLP connections", connections_open.clone());
        registry.register_with_unit(
            "tls_certificate_expiry",
            "When a listener's certificate expires, in Unix time",
            Unit::Seconds,
            tls_expiry.clone(),
        );
        registry.register("tls_handshake_failures", "TLS handshakes that failed", tls_handshake_failures.clone());
        let reloads = Family::<ReloadLabels, Counter>::default();
        registry.register(
            "reloads",
            "Changed feeds, mappings and code sets of the sandbox that were read",
            reloads.clone(),
        );
        let (unread, unmapped_codes) = (Family::<PathLabels, Counter>::default(), Family::default());
        registry.register("unread_fields", "Valued fields that the mapping does not read (sandbox)", unread.clone());
        registry.register("unmapped_codes", "Codes without a mapping (sandbox)", unmapped_codes.clone());
        registry.register("tls_renewals", "Changed certificate files that were read", tls_renewals.clone());
        Metrics {
            registry,
            messages,
            ack_seconds,
            batch_messages,
            commit_seconds,
            queued,
            connection_events,
            connections_open,
            tls_expiry,
            tls_handshake_failures,
            tls_renewals,
            reloads,
            unread,
            unmapped_codes,
            paths: Mutex::default(),
        }
    }

    /// The text of `/metrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        encode(&mut text, &self.registry).unwrap_or_default();
        text
    }

    /// Counts an answered message.
    pub fn message(&self, environment: &str, feed: &str, outcome: &str, ack: &str) {
        let labels = MessageLabels {
            environment: environment.to_owned(),
            feed: feed.to_owned(),
            outcome: outcome.to_owned(),
            ack: ack.to_owned(),
        };
        self.messages.get_or_create(&labels).inc();
    }

    /// Times a message from its last byte to its answer.
    pub fn answered(&self, environment: &str, seconds: f64) {
        self.ack_seconds.get_or_create(&of(environment)).observe(seconds);
    }

    /// Times a commit.
    pub fn batch(&self, environment: &str, messages: usize, seconds: f64) {
        let labels = of(environment);
        self.batch_messages.get_or_create(&labels).observe(f64::from(u32::try_from(messages).unwrap_or(u32::MAX)));
        self.commit_seconds.get_or_create(&labels).observe(seconds);
    }

    /// Sets how many messages wait for the writer.
    pub fn queue(&self, environment: &str, waiting: i64) {
        self.queued.get_or_create(&of(environment)).set(waiting);
    }

    /// Counts what happens on a listener's connections.
    pub fn connection(&self, environment: &str, listener: &str, event: &str) {
        let labels = ConnectionLabels {
            environment: environment.to_owned(),
            listener: listener.to_owned(),
            event: event.to_owned(),
        };
        self.connection_events.get_or_create(&labels).inc();
    }

    /// Changes the number of open connections of a listener.
    pub fn connections_open(&self, environment: &str, listener: &str, change: i64) {
        self.connections_open.get_or_create(&at(environment, listener)).inc_by(change);
    }

    /// Sets when a listener's certificate expires, in seconds of Unix time.
    pub fn tls_expiry(&self, environment: &str, listener: &str, seconds: i64) {
        self.tls_expiry.get_or_create(&at(environment, listener)).set(seconds);
    }

    /// Counts a handshake that failed.
    pub fn tls_handshake_failed(&self, environment: &str, listener: &str, reason: &str) {
        let ListenerLabels { environment, listener } = at(environment, listener);
        let labels = HandshakeLabels { environment, listener, reason: reason.to_owned() };
        self.tls_handshake_failures.get_or_create(&labels).inc();
    }

    /// Counts a valued field of an accepted message that its mapping does not read.
    pub fn unread(&self, feed: &str, path: &str) {
        self.unread.get_or_create(&self.path(feed, path)).inc();
    }

    /// Counts a code that has no mapping.
    pub fn unmapped_code(&self, feed: &str, path: &str) {
        self.unmapped_codes.get_or_create(&self.path(feed, path)).inc();
    }

    /// The labels of a path, or of all others once there are too many.
    fn path(&self, feed: &str, path: &str) -> PathLabels {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (feed.to_owned(), path.to_owned());
        let counted = paths.contains(&own) || (paths.len() < PATHS_MAX && paths.insert(own));
        let path = if counted { path.to_owned() } else { "other".to_owned() };
        PathLabels { feed: feed.to_owned(), path }
    }

    /// Counts changed feeds, mappings or code sets that were `taken`, or `failed`.
    pub fn reload(&self, result: &str) {
        self.reloads.get_or_create(&ReloadLabels { result: result.to_owned() }).inc();
    }

    /// Counts a changed certificate that was `taken`, or `failed`.
    pub fn tls_renewal(&self, environment: &str, listener: &str, result: &str) {
        let ListenerLabels { environment, listener } = at(environment, listener);
        let labels = RenewalLabels { environment, listener, result: result.to_owned() };
        self.tls_renewals.get_or_create(&labels).inc();
    }
}

fn at(environment: &str, listener: &str) -> ListenerLabels {
    ListenerLabels { environment: environment.to_owned(), listener: listener.to_owned() }
}

fn of(environment: &str) -> EnvironmentLabels {
    EnvironmentLabels { environment: environment.to_owned() }
}

/// Starts logging to standard error; `FAIRWAY_LOG` filters, `level` is what is logged without it. Only the first call
/// counts.
pub fn init_logs(json: bool, level: &str) {
    let filter = EnvFilter::try_from_env("FAIRWAY_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second call finds the first one's subscriber, which stays.
    let set = if json { builder.json().flatten_event(true).try_init() } else { builder.compact().try_init() };
    if let Err(error) = set {
        tracing::debug!(event = "log.already_started", %error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_have_stable_names() {
        let metrics = Metrics::new();
        metrics.message("sandbox", "demographics", "applied", "AA");
        metrics.answered("sandbox", 0.002);
        metrics.batch("sandbox", 3, 0.001);
        metrics.queue("sandbox", 2);
        metrics.connection("sandbox", "pas", "accepted");
        metrics.connections_open("sandbox", "pas", 1);
        metrics.tls_expiry("sandbox", "pas", 1_800_000_000);
        metrics.tls_handshake_failed("sandbox", "pas", "no_certificate");
        metrics.tls_renewal("sandbox", "pas", "failed");
        let text = metrics.text();
        for line in [
            "fairway_messages_total{environment=\"sandbox\",feed=\"demographics\",outcome=\"applied\",ack=\"AA\"} 1",
            "fairway_ack_seconds_count{environment=\"sandbox\"} 1",
            "fairway_batch_messages_sum{environment=\"sandbox\"} 3.0",
            "fairway_commit_seconds_count{environment=\"sandbox\"} 1",
            "fairway_queued_messages{environment=\"sandbox\"} 2",
            "fairway_connection_events_total{environment=\"sandbox\",listener=\"pas\",event=\"accepted\"} 1",
            "fairway_connections_open{environment=\"sandbox\",listener=\"pas\"} 1",
            "fairway_tls_certificate_expiry_seconds{environment=\"sandbox\",listener=\"pas\"} 1800000000",
            "fairway_tls_handshake_failures_total{environment=\"sandbox\",listener=\"pas\",reason=\"no_certificate\"} 1",
            "fairway_tls_renewals_total{environment=\"sandbox\",listener=\"pas\",result=\"failed\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
