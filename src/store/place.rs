//! Where a store is in the file system: made for its user alone, and whether it is still there.
//!
//! Never opens a file that is there: to close it would let go of the locks that SQLite holds on it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::StoreError;

/// Which files a store was opened as.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    files: [Option<(u64, u64)>; 2],
}

impl Place {
    /// Makes the file of a store that is not there yet, for nobody but its user; SQLite gives those beside it the same
    /// permissions. What keeps it from being made keeps it from being opened, which tells it.
    pub(super) fn make(path: &Path) {
        File::options().write(true).create_new(true).mode(0o600).open(path).map(drop).unwrap_or_default();
    }

    /// The place of an open store.
    pub(super) fn of(path: &Path) -> Place {
        Place { path: path.to_owned(), files: files(path) }
    }

    /// Whether the store's path still leads to the files that are open. Two looks at the file system; blocks.
    ///
    /// # Errors
    /// When it does not: what is written then is in a file without a name, and gone with the process.
    pub fn check(&self) -> Result<(), StoreError> {
        let same = files(&self.path) == self.files;
        same.then_some(()).ok_or_else(|| StoreError::Gone { path: self.path.clone() })
    }
}

/// Device and number of the store's file and of its write-ahead log, which is there as long as the store is open.
fn files(path: &Path) -> [Option<(u64, u64)>; 2] {
    [path, &log(path)].map(|path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
}

/// The write-ahead log of a store.
pub(super) fn log(store: &Path) -> PathBuf {
    let mut log = store.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}
