//! The configuration, the feed files and the mapping library: read from disk, checked whole, every problem with its
//! place. Nothing is opened or started here.

mod feed;
mod file;
mod organisation;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fairway_care::Organisation;
use fairway_core::hl7v2::ParseOptions;
use fairway_core::mapping::{Feed, Library, Plan};
use fairway_core::source::{Problem, Problems, Source};

pub use feed::{FeedKind, Route};

/// Everything the daemon is told.
#[derive(Debug)]
pub struct Config {
    /// Folder of the stores.
    pub data: PathBuf,
    /// Where the HTTP side listens.
    pub http: SocketAddr,
    /// True for log lines as JSON.
    pub log_json: bool,
    /// Organisations.
    pub organisations: Vec<Arc<Organisation>>,
    /// Environments with their listeners and feeds.
    pub environments: Vec<Environment>,
    /// Compiled mappings by name.
    pub plans: HashMap<String, Arc<Plan>>,
    /// Every feed, as the sandbox runs it.
    pub feeds: Vec<Arc<ConfiguredFeed>>,
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
    /// Its feeds, in the order of the file.
    pub feeds: Vec<Arc<ConfiguredFeed>>,
    /// Largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// Connections at the same time.
    pub connections_max: usize,
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
        let mut problems = Problems::default();
        let config = file::load(path, &mut problems);
        match (config, problems.is_empty()) {
            (Some(config), true) => Ok(config),
            (_, _) => Err(problems.into_vec()),
        }
    }
}

/// Reads a text file; the name in messages is the path as the user would write it.
fn read(path: &Path, problems: &mut Problems) -> Option<Arc<Source>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(Arc::new(Source { name: path.display().to_string(), text })),
        Err(error) => {
            problems.general(format!("cannot read {}: {error}", path.display()), "check the path and its permissions");
            None
        }
    }
}

/// The files of a folder with this ending, by file name, sorted.
fn read_folder(folder: &Path, ending: &str, problems: &mut Problems) -> Vec<(String, Arc<Source>)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!("cannot read the folder {}: {error}", folder.display());
            problems.general(message, "check the path in the configuration");
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, read(&path, problems)?))
        })
        .collect()
}

/// The mapping library of a folder and its `codes` folder.
fn library(folder: &Path, problems: &mut Problems) -> Library {
    let mappings = read_folder(folder, "toml", problems);
    let codes = read_folder(&folder.join("codes"), "csv", problems);
    Library::new(mappings, codes, problems)
}
