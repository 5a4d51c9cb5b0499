//! `fairway run`: the daemon, until it is told to stop.

use std::io;
use std::path::PathBuf;

use super::{DONE, load, start};

/// Run the daemon: MLLP listeners, record store, FHIR API, metrics
///
/// Stops in order on SIGTERM, SIGINT or SIGHUP: accepts no more, answers what was framed, flushes, exits.
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
    let (daemon, mut stop) = match start(&config, "info").await? {
        Ok(started) => started,
        Err(code) => return Ok(code),
    };
    tracing::info!(event = "daemon.ready", http = %daemon.http);
    stop.told().await;
    daemon.stop().await;
    Ok(DONE)
}
