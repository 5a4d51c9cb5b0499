//! `fairway run`: the daemon, until it is told to stop.

use std::io;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::{DONE, WRONG_USE, load};
use crate::daemon::Daemon;
use crate::telemetry;

/// Run the daemon: MLLP listeners, record store, FHIR API, metrics
///
/// Stops in order on SIGTERM or SIGINT: accepts no more, answers what was framed, flushes, exits.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  fairway run --config config.example.toml")]
pub struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "config.example.toml")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When signals cannot be awaited.
pub async fn run(args: &Args) -> io::Result<u8> {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    telemetry::init_logs(config.log_json, "info");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let daemon = match Daemon::start(&config).await {
        Ok(daemon) => daemon,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(WRONG_USE);
        }
    };
    tracing::info!(event = "daemon.ready", http = %daemon.http);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    daemon.stop().await;
    Ok(DONE)
}
