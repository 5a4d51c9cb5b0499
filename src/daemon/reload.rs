//! Takes changed mappings, code sets and feeds into the sandbox while it runs; no connection is touched.
//!
//! Never takes files with a problem: the earlier ones stay, and the log says where the problem is. Production keeps what
//! it was started with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fairway_core::hl7v2::AckStyle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Config, ConfiguredFeed, Environment, Folders};
use crate::intake::Current;
use crate::telemetry::Metrics;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The feeds of an address.
pub(super) type Feeds = Current<Vec<Arc<ConfiguredFeed>>>;
/// The feeds that HTTP reaches, each with how its answers look.
pub(super) type Styled = Current<Vec<(Arc<ConfiguredFeed>, AckStyle)>>;

/// Where the sandbox has its feeds.
pub(super) struct Sandbox {
    /// By listener.
    pub(super) listeners: Vec<(String, Feeds)>,
    /// Of the HTTP side.
    pub(super) entrance: Styled,
}

/// Looks after the sandbox for as long as the daemon runs.
pub(super) async fn reload(folders: Folders, sandbox: Sandbox, metrics: Arc<Metrics>) {
    let look = |folders: &Folders| {
        let folders = folders.clone();
        spawn_blocking(move || folders.stamp())
    };
    let Ok(mut taken) = look(&folders).await else { return };
    let mut seen = taken.clone();
    loop {
        sleep(EVERY).await;
        let Ok(now) = look(&folders).await else { continue };
        // Read only when they have rested: an editor writes several files, and each in pieces.
        let rested = now == seen;
        seen = now;
        if !rested || seen == taken {
            continue;
        }
        taken = seen.clone();
        let path = folders.config.clone();
        let Ok(read) = spawn_blocking(move || Config::load(Path::new(&path))).await else { continue };
        match read {
            Ok(config) => {
                let found = config.environments.iter().find(|environment| environment.name == "sandbox");
                let Some(environment) = found else { continue };
                take(environment, &sandbox);
                metrics.reload("taken");
                tracing::info!(event = "feeds.reloaded", environment = "sandbox");
            }
            Err(problems) => {
                metrics.reload("failed");
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                let problems = problems.len();
                tracing::error!(event = "feeds.reload_failed", environment = "sandbox", problems, first);
            }
        }
    }
}

/// Gives each listener its feeds anew; what the configuration says of the listeners themselves needs a restart.
fn take(environment: &Environment, sandbox: &Sandbox) {
    for listener in &environment.listeners {
        if let Some((_, feeds)) = sandbox.listeners.iter().find(|(name, _)| *name == listener.name) {
            feeds.set(listener.feeds.clone());
        }
    }
    sandbox.entrance.set(styled(environment));
}

/// Every feed that a listener of the environment serves.
pub(super) fn styled(environment: &Environment) -> Vec<(Arc<ConfiguredFeed>, AckStyle)> {
    let mut feeds: Vec<(Arc<ConfiguredFeed>, AckStyle)> = Vec::new();
    for listener in &environment.listeners {
        for feed in &listener.feeds {
            if !feeds.iter().any(|(known, _)| known.feed.name == feed.feed.name) {
                feeds.push((feed.clone(), listener.acknowledgement));
            }
        }
    }
    feeds
}
