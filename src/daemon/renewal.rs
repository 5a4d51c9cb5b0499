//! Takes a listener's certificate anew when its files change, without touching open connections.
//!
//! Never takes one that cannot be used, nor one that is not valid now while the earlier one is: the earlier one stays, and
//! the log and the metrics say so.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::Tls;
use crate::telemetry::Metrics;
use crate::tls::{Server, ServerConfig};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Looks after the TLS of one listener for as long as the listener runs.
pub(super) async fn renew(
    environment: &'static str,
    listener: String,
    tls: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
    metrics: Arc<Metrics>,
) {
    metrics.tls_expiry(environment, &listener, tls.server.valid_until);
    let files = tls.files().clone();
    let (mut taken, mut seen) = (tls.stamp.clone(), tls.stamp);
    let mut validity = tls.server.validity();
    // What was read and is not in use yet.
    let mut next: Option<Server> = None;
    while !current.is_closed() {
        sleep(EVERY).await;
        let files = files.clone();
        let (taken_before, seen_before) = (taken.clone(), seen.clone());
        // Read only when they have rested: certificate and key are not put in place at one moment.
        let look = spawn_blocking(move || {
            let now = files.stamp();
            let read = (now != taken_before && now == seen_before).then(|| files.read());
            (now, read)
        });
        let Ok((stamp, read)) = look.await else { continue };
        seen = stamp;
        let now = jiff::Timestamp::now().as_second();
        let failed = |faults: &str| {
            metrics.tls_renewal(environment, &listener, "failed");
            tracing::error!(event = "tls.renewal_failed", environment, listener, faults);
        };
        if let Some(read) = read {
            taken = seen.clone();
            if let Ok(server) = &read
                && validity.contains(&now)
                && !server.validity().contains(&now)
            {
                failed("Certificate: it has expired or is not valid yet, and the earlier one is valid");
            }
            next = read
                .map_err(|faults| {
                    let faults: Vec<String> = faults.iter().map(|fault| format!("{:?}: {fault}", fault.part)).collect();
                    failed(&faults.join("; "));
                })
                .ok();
        }
        // One that becomes valid later is taken then, and the earlier one is given up once it is no better.
        let ready = |server: &mut Server| server.validity().contains(&now) || !validity.contains(&now);
        if let Some(server) = next.take_if(ready) {
            validity = server.validity();
            metrics.tls_renewal(environment, &listener, "taken");
            metrics.tls_expiry(environment, &listener, server.valid_until);
            tracing::info!(event = "tls.renewed", environment, listener, valid_until = server.valid_until);
            current.send_replace(server.config);
        }
    }
}
