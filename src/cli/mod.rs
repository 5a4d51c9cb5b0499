//! The `fairway` commands, one file each; they parse arguments, call the library and print.

use std::io;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::daemon::Daemon;

pub mod check;
pub mod codes;
pub mod convert;
pub mod demo;
pub mod messages;
pub mod problems;
pub mod run;
pub mod schema;
pub mod send;
pub mod show;
pub mod test;

/// Exit code: done.
pub const DONE: u8 = 0;
/// Exit code: findings, refusals, differences.
pub const FINDINGS: u8 = 1;
/// Exit code: wrong use, or the command could not do its work.
pub const WRONG_USE: u8 = 2;

/// SIGXFSZ on Linux, macOS and the BSDs: a file would grow past a limit of the process (`ulimit -f`).
const FILE_TOO_LARGE: i32 = 25;

/// Reads the configuration, or prints its problems and gives the exit code.
fn load(path: &Path) -> Result<Config, u8> {
    Config::load(path).map_err(|found| {
        problems::print(&found);
        WRONG_USE
    })
}

/// The configuration of a command that works without one: the file given, else `config.toml` or `config.example.toml`
/// in this folder, else the example in the binary.
fn load_or_built_in(path: Option<&PathBuf>) -> Result<Config, u8> {
    if let Some(path) = path {
        return load(path);
    }
    for name in ["config.toml", "config.example.toml"] {
        if Path::new(name).exists() {
            return load(Path::new(name));
        }
    }
    Config::built_in().map_err(|found| {
        problems::print(&found);
        WRONG_USE
    })
}

/// Starts the daemon of a configuration, with what tells it to stop; or prints why not and gives the exit code.
///
/// # Errors
/// When signals cannot be awaited.
async fn start(config: &Config, log_level: &str) -> io::Result<Result<(Daemon, Stop), u8>> {
    crate::telemetry::init_logs(config.log_json, log_level);
    for warning in config.warnings(jiff::Timestamp::now()) {
        tracing::warn!(event = "config.warning", %warning);
    }
    // Once taken, a signal no longer ends the process, also when nobody waits for it: the write that hit a limit fails
    // as on a full disk, and its message is answered `AE`.
    drop(signal(SignalKind::from_raw(FILE_TOO_LARGE))?);
    let stop = Stop {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
    };
    Ok(match Daemon::start(config).await {
        Ok(daemon) => Ok((daemon, stop)),
        Err(error) => {
            eprintln!("error: {error}");
            Err(WRONG_USE)
        }
    })
}

/// SIGTERM, SIGINT, or SIGHUP of a terminal that is closed.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Stop {
    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
