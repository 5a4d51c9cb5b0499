//! Where messages, records and documents are kept.
//!
//! [`Store`] is the writer's side: bulk load and one durable commit per batch. [`Reader`] answers questions beside it.
//! Only this folder holds SQL.

mod place;
mod schema;
mod sqlite;
mod sqlite_read;
mod sqlite_write;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fairway_care::Label;
use fairway_core::fhir::Json;
use fairway_core::record::{Effects, Outcome, ResourceId, View, Wanted};

pub use place::Place;
pub use sqlite::Sqlite;
pub use sqlite_read::{Driver, Found, MessageFilter, MessageSummary, Reader, Scan, UPDATED_CURSOR};

/// Digest of a message's bytes.
pub type Digest = [u8; 16];

/// What a message is recognised by when it is sent again to the same feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageKey {
    /// Name of the feed, or empty when no feed takes it.
    pub feed: String,
    /// MSH-10; empty when it could not be read.
    pub control_id: String,
    /// Of its bytes.
    pub digest: Digest,
}

/// Why the store could not do its work. Never holds content of messages or records.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed.
    #[error("store {}: {source}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The file was written by a newer Fairway.
    #[error("store {} has schema version {found}; this Fairway knows up to {known}: use the newer release", path.display())]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// Highest version known.
        known: i64,
    },
    /// The file was removed or replaced while it is written: what goes into it would be lost.
    #[error("store {}: its file was removed or replaced; put it back, or restart for a new one", path.display())]
    Gone {
        /// Its file.
        path: PathBuf,
    },
    /// Stored content cannot be read back.
    #[error("store {}: {what} cannot be read back; run an integrity check", path.display())]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What it is, without content.
        what: &'static str,
    },
}

/// A message as it is stored, whatever became of it.
#[derive(Debug, Clone)]
pub struct MessageRow {
    /// When its last byte arrived, µs since 1970 UTC.
    pub received_at: i64,
    /// What it is recognised by.
    pub key: MessageKey,
    /// Address of the sender.
    pub peer: String,
    /// Message type as `ADT^A28`; empty when it could not be read.
    pub kind: String,
    /// What became of it.
    pub outcome: Outcome,
    /// `AA`, `AR` or `AE`.
    pub ack_code: &'static str,
    /// The acknowledgements as sent, in order; most often one.
    pub acks: Vec<Bytes>,
    /// Why it was rejected or failed.
    pub reason: Option<String>,
    /// The record it is about.
    pub record: Option<ResourceId>,
    /// The earlier message that this one repeats; its bytes are kept there.
    pub repeat_of: Option<i64>,
    /// The message as received.
    pub raw: Bytes,
}

/// One message with everything it changes.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The message.
    pub message: MessageRow,
    /// Its effects.
    pub effects: Effects,
    /// One line of what it did, for the audit.
    pub action: String,
}

/// An earlier message with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prior {
    /// Its number in the store; 0 for a message of the batch being decided.
    pub id: i64,
    /// When it arrived, µs since 1970 UTC: the time in its acknowledgement.
    pub received_at: i64,
    /// Its acknowledgement code.
    pub ack_code: String,
    /// Why it was rejected or failed.
    pub reason: Option<String>,
    /// The record it was about.
    pub record: Option<ResourceId>,
}

/// The writer's side of a store. One writer per environment; calls block.
pub trait Store: Send {
    /// Begins the batch's transaction, unless one is open, and loads what the batch touches.
    ///
    /// # Errors
    /// When the database fails; nothing is changed then.
    fn load(&mut self, wanted: &Wanted) -> Result<View, StoreError>;

    /// Loads the earlier messages of these keys.
    ///
    /// # Errors
    /// When the database fails.
    fn repeats(&mut self, wanted: &[MessageKey]) -> Result<HashMap<MessageKey, Prior>, StoreError>;

    /// Writes all entries and ends the transaction; when this returns `Ok`, they survive a power cut. Gives the number of
    /// the first message; the others follow.
    ///
    /// # Errors
    /// When the database fails; then none of the entries is stored.
    fn commit(&mut self, entries: &[Entry]) -> Result<i64, StoreError>;

    /// Writes something that changes nothing, to see whether the store can be written.
    ///
    /// # Errors
    /// When it cannot.
    fn probe(&mut self) -> Result<(), StoreError>;
}

/// A version of a resource as it is served.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The record it is filed in.
    pub record: ResourceId,
    /// FHIR resource type.
    pub resource_type: String,
    /// Logical id.
    pub id: ResourceId,
    /// Version, from 1.
    pub version: u32,
    /// When this version was stored, µs since 1970 UTC.
    pub updated_at: i64,
    /// Privacy label.
    pub label: Label,
    /// Marked deleted.
    pub deleted: bool,
    /// Number of the message that made this version.
    pub message: i64,
    /// The resource without id and meta.
    pub body: Arc<Json>,
}
