//! The configuration, the feed files and the mapping library: read from disk, checked whole, every problem with its
//! place. Nothing is opened or started here.

mod feed;
mod file;
mod files;
mod folders;
mod organisation;
mod tls;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fairway_care::Organisation;
use fairway_core::hl7v2::{AckStyle, ParseOptions};
use fairway_core::mapping::{CodeSet, Feed, Library, Plan};
use fairway_core::source::{Place, Problem, Problems};
use files::Files;
use jiff::Timestamp;

pub use feed::{FeedKind, Route};
pub use folders::{Folders, FoldersStamp};
pub use tls::{Tls, TlsFiles, TlsStamp};

/// Everything the daemon is told.
#[derive(Debug)]
pub struct Config {
    /// Folder of the stores.
    pub data: PathBuf,
    /// Where it was read from; none for the example in the binary.
    pub folders: Option<Folders>,
    /// Where the HTTP side listens.
    pub http: SocketAddr,
    /// True for log lines as JSON.
    pub log_json: bool,
    /// Organisations.
    pub organisations: Vec<Arc<Organisation>>,
    /// Who may send messages over HTTP; while there is nobody, whoever reaches the address may.
    pub credentials: Vec<Credential>,
    /// Environments with their listeners and feeds.
    pub environments: Vec<Environment>,
    /// Compiled mappings by name.
    pub plans: HashMap<String, Arc<Plan>>,
    /// The code sets of the mappings.
    pub code_sets: Vec<Arc<CodeSet>>,
    /// Every feed, as the sandbox runs it.
    pub feeds: Vec<Arc<ConfiguredFeed>>,
}

/// User name and password of an organisation, or of one of its teams, for messages over HTTP (hl7-api 1.1).
#[derive(Debug, Clone)]
pub struct Credential {
    /// User name.
    pub user: String,
    /// SHA-256 of the password, which is made by chance and long, so that its digest gives nothing away.
    pub password_sha256: [u8; 32],
    /// Code of the organisation whose feeds it is for.
    pub organisation: String,
    /// Alias of the team, for a team's credential.
    pub team: Option<String>,
}

/// A feed file, compiled.
#[derive(Debug)]
pub struct ConfiguredFeed {
    /// What translating its messages needs.
    pub feed: Feed,
    /// What it carries.
    pub kind: FeedKind,
    /// Which messages are its own.
    pub routes: Vec<Route>,
    /// How its messages are parsed.
    pub parse: ParseOptions,
}

/// A sandbox or production environment.
#[derive(Debug)]
pub struct Environment {
    /// `sandbox` or `production`.
    pub name: &'static str,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// An MLLP address and the feeds it serves.
#[derive(Debug)]
pub struct Listener {
    /// Name in logs and metrics.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// TLS; none for plain TCP.
    pub tls: Option<Tls>,
    /// Its feeds, in the order of the file.
    pub feeds: Vec<Arc<ConfiguredFeed>>,
    /// How its answers look.
    pub acknowledgement: AckStyle,
    /// Largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Connections from one address at the same time.
    pub connections_per_peer_max: usize,
    /// A connection without traffic is closed after this.
    pub idle: Duration,
    /// A frame must go on within this.
    pub in_frame: Duration,
}

impl Config {
    /// Reads and checks a configuration with all the files it names.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
        Config::load_from(Files::Disk, path)
    }

    /// The example configuration that every binary carries, so that messages can be converted without any file.
    ///
    /// # Errors
    /// Never with a binary that passed its tests.
    pub fn built_in() -> Result<Config, Vec<Problem>> {
        Config::load_from(Files::BuiltIn, Path::new("config.example.toml"))
    }

    /// What deserves a look and does not keep the daemon from starting.
    pub fn warnings(&self, now: Timestamp) -> Vec<Problem> {
        let listeners = self.environments.iter().flat_map(|environment| &environment.listeners);
        listeners.filter_map(|listener| listener.tls.as_ref()?.warning(now)).collect()
    }

    fn load_from(files: Files, path: &Path) -> Result<Config, Vec<Problem>> {
        let mut problems = Problems::default();
        let config = file::load(files, path, &mut problems);
        match (config, problems.is_empty()) {
            (Some(config), true) => Ok(config),
            (_, _) => Err(problems.into_vec()),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

/// The file beside the mappings that lists national identifiers.
const IDENTIFIERS: &str = "identifiers.toml";

/// The mapping library of a folder, which the configuration names at `named`, and its `codes` folder.
fn library(files: Files, folder: &Path, named: &Place, problems: &mut Problems) -> Library {
    let mut mappings = files.read_folder(folder, "toml", named, problems);
    mappings.retain(|(file, _)| file != IDENTIFIERS);
    let codes = files.read_folder(&folder.join("codes"), "csv", named, problems);
    Library::new(mappings, codes, problems)
}
