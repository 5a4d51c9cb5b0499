//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, one writer.
//!
//! A commit is one transaction and one flush; checkpoints run on a connection of their own, never inside a batch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fairway_care::Label;
use fairway_core::fhir::{self, Json};
use fairway_core::record::{EventItem, PointHead, ResourceId, View, Wanted};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::schema::STEPS;
use super::sqlite_write::{Batch, RowPlace};
use super::{Entry, MessageKey, Place, Prior, Store, StoreError, place};

/// The message that others repeat, by control id, digest and feed.
pub(super) const FIRST: &str = "SELECT id, received_at, ack_code, reason, record FROM message \
     WHERE control_id = ?1 AND digest = ?2 AND feed = ?3 AND repeat_of IS NULL ORDER BY id DESC LIMIT 1";

/// Size of the write-ahead log from which the checkpointer works it off beside the writer, in bytes.
const CHECKPOINT_BYTES: u64 = 32 * 1024 * 1024;
/// How often the checkpointer looks at the log.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);
/// Size of the log from which the writer works off what is left itself, between two batches, so that the log starts
/// anew and stays bounded, in bytes.
const LOG_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How long the end waits for readers.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Commits between two looks at the size of the log.
const LOG_LOOK_EVERY: u64 = 16;
/// How long a connection waits for a lock another one holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The writer of an embedded store.
pub struct Sqlite {
    path: PathBuf,
    place: Place,
    connection: Connection,
    next_message: i64,
    next_version: i64,
    /// When the last version was stored, µs since 1970 UTC.
    last_at: i64,
    /// Commits since the store was opened.
    commits: u64,
    /// Row number and current version of the heads loaded for the open transaction and written in it.
    rows: HashMap<ResourceId, RowPlace>,
}

impl Sqlite {
    /// Opens or creates a store, which only its user may read, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, is no store, or was written by a newer Fairway.
    pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
        let fail = |source| StoreError::Database { path: path.to_owned(), source };
        Place::make(path);
        let mut connection = Connection::open(path).map_err(fail)?;
        prepare(&connection).map_err(fail)?;
        migrate(path, &mut connection)?;
        let next = |table: &str, column: &str| -> Result<i64, StoreError> {
            let sql = format!("SELECT coalesce(max({column}), 0) + 1 FROM {table}");
            connection.query_row(&sql, [], |row| row.get(0)).map_err(fail)
        };
        let (next_message, next_version) = (next("message", "id")?, next("version", "seq")?);
        let last = "SELECT coalesce((SELECT at FROM version ORDER BY seq DESC LIMIT 1), 0)";
        let last_at = connection.query_row(last, [], |row| row.get(0)).map_err(fail)?;
        let store = Sqlite {
            path: path.to_owned(),
            place: Place::of(path),
            connection,
            next_message,
            next_version,
            last_at,
            commits: 0,
            rows: HashMap::new(),
        };
        Ok(store)
    }

    /// Works off the write-ahead log beside the writer until `stopped` says so. Blocks; for a thread of its own.
    pub fn checkpoint_until(path: &Path, stopped: impl Fn(Duration) -> bool) {
        let Ok(connection) = Connection::open(path) else { return };
        if prepare(&connection).is_err() {
            return;
        }
        while !stopped(CHECKPOINT_EVERY) {
            if log_bytes(path) >= CHECKPOINT_BYTES {
                work_off_log(&connection);
            }
        }
        // The writer has ended: leave one whole file behind, unless a reader is still at it.
        let whole = connection
            .busy_timeout(LAST_WAIT)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
        if let Err(error) = whole {
            tracing::warn!(event = "store.checkpoint_failed", %error);
        }
    }

    /// Where it is, for readiness.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    fn fail(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}

/// Size of the write-ahead log of a store, in bytes.
fn log_bytes(store: &Path) -> u64 {
    std::fs::metadata(place::log(store)).map_or(0, |file| file.len())
}

/// Copies what it can of the log into the store; waits for nobody. A log that cannot be worked off now is worked off
/// later, and no promise depends on it.
fn work_off_log(connection: &Connection) {
    let worked = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(0));
    if let Err(error) = worked {
        tracing::warn!(event = "store.checkpoint_failed", %error);
    }
}

/// Settings of every writing connection.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", i64::try_from(LOG_BYTES_MAX).unwrap_or(i64::MAX))?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    tune(connection)
}

/// Plans depend on statements alone, so that a statement is prepared once and not again for each value bound to it.
fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let fail = |source| StoreError::Database { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    connection.pragma_update(None, "query_only", true).map_err(fail)?;
    tune(&connection).map_err(fail)?;
    Ok(connection)
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let fail = |source| StoreError::Database { path: path.to_owned(), source };
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?;
    let known = STEPS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(fail)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    transaction.commit().map_err(fail)
}

/// A head with its current content. Used by the writer only.
const HEAD: &str = "SELECT p.record, p.type, p.id, p.version, p.entered_at, p.deleted, p.organisation, p.key, p.grp, \
                    p.items, v.label, v.body, p.number, p.seq FROM point p JOIN version v ON v.seq = p.seq WHERE p.id = ?1";

impl Store for Sqlite {
    fn load(&mut self, wanted: &Wanted) -> Result<View, StoreError> {
        let mut view = View::default();
        let fail = |source| StoreError::Database { path: self.path.clone(), source };
        // One transaction from the first look to the commit: what was decided on cannot change in between.
        self.begin()?;
        {
            let mut find = self
                .connection
                .prepare_cached("SELECT record FROM identifier WHERE system = ?1 AND value = ?2")
                .map_err(fail)?;
            for key in &wanted.identifiers {
                let found: Option<[u8; 16]> =
                    find.query_row(params![&*key.system, key.value], |row| row.get(0)).optional().map_err(fail)?;
                if let Some(record) = found {
                    view.identifiers.insert(key.clone(), ResourceId::from_bytes(record));
                }
            }
            let mut members = self
                .connection
                .prepare_cached("SELECT id FROM point WHERE organisation = ?1 AND grp = ?2")
                .map_err(fail)?;
            for (organisation, group) in &wanted.groups {
                let ids: rusqlite::Result<BTreeSet<ResourceId>> = members
                    .query_map(params![&**organisation, group], |row| Ok(ResourceId::from_bytes(row.get(0)?)))
                    .map_err(fail)?
                    .collect();
                view.groups.insert((organisation.clone(), group.clone()), ids.map_err(fail)?);
            }
        }
        let mut ids: BTreeSet<ResourceId> = wanted.points.iter().copied().collect();
        ids.extend(view.identifiers.values());
        ids.extend(view.groups.values().flatten());
        ids.extend(wanted.memberships(&view.identifiers));
        self.rows.clear();
        for id in ids {
            if let Some((head, row)) = self.head(id)? {
                view.points.insert(id, Arc::new(head));
                self.rows.insert(id, row);
            }
        }
        Ok(view)
    }

    fn repeats(&mut self, wanted: &[MessageKey]) -> Result<HashMap<MessageKey, Prior>, StoreError> {
        let fail = |source| StoreError::Database { path: self.path.clone(), source };
        let mut find = self.connection.prepare_cached(FIRST).map_err(fail)?;
        let mut priors = HashMap::new();
        for key in wanted {
            let prior = find
                .query_row(params![key.control_id, key.digest, key.feed], |row| {
                    let record: Option<[u8; 16]> = row.get(4)?;
                    Ok(Prior {
                        id: row.get(0)?,
                        received_at: row.get(1)?,
                        ack_code: row.get(2)?,
                        reason: row.get(3)?,
                        record: record.map(ResourceId::from_bytes),
                    })
                })
                .optional()
                .map_err(fail)?;
            if let Some(prior) = prior {
                priors.insert(key.clone(), prior);
            }
        }
        Ok(priors)
    }

    fn commit(&mut self, entries: &[Entry]) -> Result<i64, StoreError> {
        self.place.check()?;
        self.begin()?;
        let first = self.next_message;
        let mut batch = Batch {
            connection: &self.connection,
            message: self.next_message,
            version: self.next_version,
            last_at: self.last_at,
            rows: &mut self.rows,
        };
        let written = batch.write(entries).map(|()| (batch.message, batch.version, batch.last_at)).and_then(|next| {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            Ok(next)
        });
        match written {
            Ok((message, version, last_at)) => {
                (self.next_message, self.next_version, self.last_at) = (message, version, last_at);
                self.commits += 1;
                if self.commits.is_multiple_of(LOG_LOOK_EVERY) && log_bytes(&self.path) >= LOG_BYTES_MAX {
                    work_off_log(&self.connection);
                }
                Ok(first)
            }
            Err(source) => {
                self.roll_back()?;
                Err(self.fail(source))
            }
        }
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.place.check()?;
        self.roll_back()?;
        // The page that holds it is written anew, and flushed.
        let known = STEPS.len() as i64;
        let written = self.connection.pragma_update(None, "user_version", known);
        written.map_err(|source| self.fail(source))
    }
}

impl Sqlite {
    /// Opens the batch's transaction unless it is open.
    fn begin(&self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            return Ok(());
        }
        let begun = self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        begun.map(|_| ()).map_err(|source| self.fail(source))
    }

    /// Ends the transaction, if one is open, as if it had not been.
    fn roll_back(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").map_err(|source| self.fail(source))
    }

    fn head(&self, id: ResourceId) -> Result<Option<(PointHead, RowPlace)>, StoreError> {
        let fail = |source| StoreError::Database { path: self.path.clone(), source };
        let damaged = |what| StoreError::Damaged { path: self.path.clone(), what };
        let mut statement = self.connection.prepare_cached(HEAD).map_err(fail)?;
        let mut rows = statement.query(params![id.bytes()]).map_err(fail)?;
        let Some(row) = rows.next().map_err(fail)? else { return Ok(None) };
        let text = |index: usize| -> rusqlite::Result<&str> { Ok(row.get_ref(index)?.as_str()?) };
        let kind = fhir::r4().resource_type(text(1).map_err(fail)?).ok_or_else(|| damaged("a resource type"))?;
        let items: Option<Vec<u8>> = row.get(9).map_err(fail)?;
        let items: Vec<EventItem> = match items {
            Some(items) => serde_json::from_slice(&items).map_err(|_| damaged("the events of an encounter"))?,
            None => Vec::new(),
        };
        let body = row.get_ref(11).map_err(fail)?;
        let body =
            body.as_blob().ok().and_then(|bytes| Json::parse(bytes).ok()).ok_or_else(|| damaged("a resource"))?;
        let label = Label::from_code(text(10).map_err(fail)?).ok_or_else(|| damaged("a label"))?;
        let place = (row.get(12).map_err(fail)?, row.get(13).map_err(fail)?);
        let head = PointHead {
            record: ResourceId::from_bytes(row.get(0).map_err(fail)?),
            resource_type: kind.name(),
            id: ResourceId::from_bytes(row.get(2).map_err(fail)?),
            version: row.get(3).map_err(fail)?,
            entered_at: row.get(4).map_err(fail)?,
            label,
            deleted: row.get(5).map_err(fail)?,
            organisation: text(6).map_err(fail)?.into(),
            key: text(7).map_err(fail)?.to_owned(),
            group: row.get(8).map_err(fail)?,
            body: Arc::new(body),
            replaces: None,
            items: items.into(),
        };
        Ok(Some((head, place)))
    }
}
