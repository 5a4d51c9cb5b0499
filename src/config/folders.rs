//! Where a configuration was read from, and whether it has changed since.

use std::path::PathBuf;
use std::time::SystemTime;

/// The files of a configuration that the sandbox takes anew when they change.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The configuration file.
    pub config: PathBuf,
    /// Folder of the feeds.
    pub feeds: PathBuf,
    /// Folder of the mappings.
    pub mappings: PathBuf,
}

/// What tells that feeds, mappings or code sets have changed: name, time and length of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldersStamp(Vec<(PathBuf, Option<SystemTime>, u64)>);

impl Folders {
    /// The files as they are now. Reads the folders, not the files.
    pub fn stamp(&self) -> FoldersStamp {
        let mut found = Vec::new();
        for folder in [&self.feeds, &self.mappings, &self.mappings.join("codes")] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let data = entry.metadata().ok();
                let changed = data.as_ref().and_then(|data| data.modified().ok());
                found.push((entry.path(), changed, data.map_or(0, |data| data.len())));
            }
        }
        found.sort();
        FoldersStamp(found)
    }
}
