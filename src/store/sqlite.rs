//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, one writer.
//!
//! A commit is one transaction and one flush; checkpoints run on a connection of their own, never inside a batch.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fairway_care::Label;
use fairway_core::fhir::{self, Json};
use fairway_core::record::{
    Effects, EventItem, IdentifierEffect, IdentifierKey, Outcome, PointHead, ResourceId, View, Wanted, team,
};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::schema::STEPS;
use super::{Digest, Entry, MessageRow, Prior, Store, StoreError};

/// Pages of the write-ahead log after which the checkpointer works it off, in units of 4 KiB.
const CHECKPOINT_PAGES: i64 = 8_000;
/// How often the checkpointer looks at the log.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);
/// The log file is cut back to this size once it has been worked off, in bytes.
const LOG_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// How long a connection waits for a lock another one holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The writer of an embedded store.
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
    next_message: i64,
    next_version: i64,
}

impl Sqlite {
    /// Opens or creates a store and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, is no store, or was written by a newer Fairway.
    pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
        let fail = |source| StoreError::Database { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(fail)?;
        prepare(&connection).map_err(fail)?;
        migrate(path, &mut connection)?;
        let next = |table: &str, column: &str| -> Result<i64, StoreError> {
            let sql = format!("SELECT coalesce(max({column}), 0) + 1 FROM {table}");
            connection.query_row(&sql, [], |row| row.get(0)).map_err(fail)
        };
        let (next_message, next_version) = (next("message", "id")?, next("version", "seq")?);
        let store = Sqlite { path: path.to_owned(), connection, next_message, next_version };
        Ok(store)
    }

    /// Works off the write-ahead log beside the writer until `stopped` says so. Blocks; for a thread of its own.
    pub fn checkpoint_until(path: &Path, stopped: impl Fn(Duration) -> bool) {
        let Ok(connection) = Connection::open(path) else { return };
        if prepare(&connection).is_err() {
            return;
        }
        while !stopped(CHECKPOINT_EVERY) {
            let log = path.with_extension("db-wal");
            let pages = std::fs::metadata(log).map_or(0, |file| i64::try_from(file.len()).unwrap_or(i64::MAX) / 4096);
            if pages >= CHECKPOINT_PAGES {
                // A log that cannot be worked off now is worked off later; the writer does not depend on it.
                let worked: Result<(i64, i64, i64), _> =
                    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    });
                if let Err(error) = worked {
                    tracing::warn!(event = "store.checkpoint_failed", %error);
                }
            }
        }
    }

    fn fail(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}

/// Settings of every writing connection.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
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
                    p.items, v.label, v.body FROM point p JOIN version v ON v.seq = p.seq WHERE p.id = ?1";

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
                let ids: rusqlite::Result<Vec<ResourceId>> = members
                    .query_map(params![&**organisation, group], |row| Ok(ResourceId::from_bytes(row.get(0)?)))
                    .map_err(fail)?
                    .collect();
                view.groups.insert((organisation.clone(), group.clone()), ids.map_err(fail)?);
            }
        }
        let mut ids: BTreeSet<ResourceId> = wanted.points.iter().copied().collect();
        ids.extend(view.identifiers.values());
        ids.extend(view.groups.values().flatten());
        for (key, organisation, alias) in &wanted.memberships {
            if let Some(record) = view.identifiers.get(key) {
                ids.insert(team::care_team_id(*record, organisation, alias));
            }
        }
        for id in ids {
            if let Some(head) = self.head(id)? {
                view.points.insert(id, Arc::new(head));
            }
        }
        Ok(view)
    }

    fn repeats(&mut self, wanted: &[(String, Digest)]) -> Result<HashMap<Digest, Prior>, StoreError> {
        let fail = |source| StoreError::Database { path: self.path.clone(), source };
        let mut find = self
            .connection
            .prepare_cached(
                "SELECT id, outcome, ack_code, reason, ack, record FROM message \
                 WHERE control_id = ?1 AND digest = ?2 AND repeat_of IS NULL ORDER BY id DESC LIMIT 1",
            )
            .map_err(fail)?;
        let mut priors = HashMap::new();
        for (control_id, digest) in wanted {
            let prior = find
                .query_row(params![control_id, digest], |row| {
                    let outcome: String = row.get(1)?;
                    let record: Option<[u8; 16]> = row.get(5)?;
                    Ok(Prior {
                        id: row.get(0)?,
                        outcome: Outcome::parse(&outcome).unwrap_or(Outcome::Failed),
                        ack_code: row.get(2)?,
                        reason: row.get(3)?,
                        ack: Bytes::from(row.get::<_, Vec<u8>>(4)?),
                        record: record.map(ResourceId::from_bytes),
                    })
                })
                .optional()
                .map_err(fail)?;
            if let Some(prior) = prior {
                priors.insert(*digest, prior);
            }
        }
        Ok(priors)
    }

    fn commit(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        self.begin()?;
        let (mut message, mut version) = (self.next_message, self.next_version);
        let written = write_all(&self.connection, entries, &mut message, &mut version)
            .and_then(|()| self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])));
        if let Err(source) = written {
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK").map_err(|source| self.fail(source))?;
            }
            return Err(self.fail(source));
        }
        (self.next_message, self.next_version) = (message, version);
        Ok(())
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

    fn head(&self, id: ResourceId) -> Result<Option<PointHead>, StoreError> {
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
        Ok(Some(PointHead {
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
            items: items.into(),
        }))
    }
}

fn write_all(
    transaction: &Connection,
    entries: &[Entry],
    next_message: &mut i64,
    next_version: &mut i64,
) -> rusqlite::Result<()> {
    // Numbers of the messages of this batch, for repeats within it.
    let mut numbers: HashMap<Digest, i64> = HashMap::new();
    for entry in entries {
        let message = *next_message;
        *next_message += 1;
        let repeat_of = match entry.message.repeat_of {
            Some(0) => numbers.get(&entry.message.digest).copied(),
            other => other,
        };
        numbers.entry(entry.message.digest).or_insert(message);
        write_message(transaction, message, &entry.message, repeat_of)?;
        write_effects(transaction, message, &entry.message, &entry.effects, next_version)?;
        transaction
            .prepare_cached("INSERT INTO audit (at, message, record, action) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                entry.message.received_at,
                message,
                entry.message.record.as_ref().map(|record| &record.bytes()[..]),
                entry.action,
            ])?;
    }
    Ok(())
}

fn write_message(
    transaction: &Connection,
    id: i64,
    message: &MessageRow,
    repeat_of: Option<i64>,
) -> rusqlite::Result<()> {
    let raw = repeat_of.is_none().then(|| lz4_flex::compress_prepend_size(&message.raw));
    transaction
        .prepare_cached(
            "INSERT INTO message (id, received_at, feed, peer, kind, control_id, digest, outcome, ack_code, ack, reason, \
             record, repeat_of, size, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            id,
            message.received_at,
            message.feed,
            message.peer,
            message.kind,
            message.control_id,
            message.digest,
            message.outcome.as_str(),
            message.ack_code,
            &message.ack[..],
            message.reason,
            message.record.as_ref().map(|record| &record.bytes()[..]),
            repeat_of,
            i64::try_from(message.raw.len()).unwrap_or(i64::MAX),
            raw,
        ])?;
    Ok(())
}

fn write_effects(
    transaction: &Connection,
    message: i64,
    row: &MessageRow,
    effects: &Effects,
    next_version: &mut i64,
) -> rusqlite::Result<()> {
    for effect in &effects.identifiers {
        match effect {
            IdentifierEffect::Put { key: IdentifierKey { system, value }, record } => transaction
                .prepare_cached("INSERT OR REPLACE INTO identifier (system, value, record) VALUES (?1, ?2, ?3)")?
                .execute(params![&**system, value, &record.bytes()[..]])?,
            IdentifierEffect::Remove { key: IdentifierKey { system, value } } => transaction
                .prepare_cached("DELETE FROM identifier WHERE system = ?1 AND value = ?2")?
                .execute(params![&**system, value])?,
        };
    }
    for blob in &effects.blobs {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO blob (id, content_type, bytes) VALUES (?1, ?2, ?3)")?
            .execute(params![blob.id, &*blob.content_type, &blob.bytes[..]])?;
    }
    for head in &effects.points {
        let seq = *next_version;
        *next_version += 1;
        write_point(transaction, seq, message, row.received_at, head)?;
    }
    for head in &effects.touched {
        transaction.prepare_cached("UPDATE point SET entered_at = ?2, items = ?3 WHERE id = ?1")?.execute(params![
            &head.id.bytes()[..],
            head.entered_at,
            items_of(head)
        ])?;
    }
    Ok(())
}

fn items_of(head: &PointHead) -> Option<Vec<u8>> {
    // Events are plain data, so writing them as JSON cannot fail.
    (!head.items.is_empty()).then(|| serde_json::to_vec(&*head.items).unwrap_or_default())
}

fn write_point(
    transaction: &Connection,
    seq: i64,
    message: i64,
    at: i64,
    head: &PointHead,
) -> rusqlite::Result<()> {
    let id = &head.id.bytes()[..];
    let (date_from, date_to) = date_range(head).map_or((None, None), |(from, to)| (Some(from), Some(to)));
    let identifier = head.body.str_at("identifier[0].value");
    let held: Option<(i64, i64, Option<Vec<u8>>)> = if head.version > 1 {
        transaction
            .prepare_cached("SELECT number, seq, items FROM point WHERE id = ?1")?
            .query_row(params![id], |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?
    } else {
        None
    };
    let items = items_of(head);
    let number = match held {
        Some((number, ..)) => {
            transaction
                .prepare_cached(
                    "UPDATE point SET version = ?2, seq = ?3, entered_at = ?4, deleted = ?5, identifier = ?6, \
                     date_from = ?7, date_to = ?8, items = ?9 WHERE number = ?1",
                )?
                .execute(params![
                    number,
                    head.version,
                    seq,
                    head.entered_at,
                    head.deleted,
                    identifier,
                    date_from,
                    date_to,
                    items
                ])?;
            number
        }
        None => transaction
            .prepare_cached(
                "INSERT INTO point (record, type, id, version, seq, entered_at, deleted, organisation, key, grp, \
                 identifier, date_from, date_to, items) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .insert(params![
                &head.record.bytes()[..],
                head.resource_type,
                id,
                head.version,
                seq,
                head.entered_at,
                head.deleted,
                &*head.organisation,
                head.key,
                head.group,
                identifier,
                date_from,
                date_to,
                items,
            ])?,
    };
    let previous = held.as_ref().map(|(_, seq, _)| *seq);
    transaction
        .prepare_cached(
            "INSERT INTO version (seq, previous, point, version, message, at, label, deleted, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            seq,
            previous,
            number,
            head.version,
            message,
            at,
            head.label.code(),
            head.deleted,
            head.body.to_vec(),
        ])?;
    if head.resource_type == "Patient" {
        write_terms(transaction, number, previous, &head.body)?;
    }
    Ok(())
}

/// Elements by which `date` searches a resource, in the order they are looked for.
const DATE_ELEMENTS: [&str; 5] = ["start", "effectiveDateTime", "date", "period.start", "birthDate"];

/// The time a resource is about, as half-open range of µs.
fn date_range(head: &PointHead) -> Option<(i64, i64)> {
    if head.resource_type == "Patient" {
        return None;
    }
    let text = DATE_ELEMENTS.iter().find_map(|path| head.body.str_at(path))?;
    let (from, to) = fhir::date_range(text)?;
    let end = head.body.str_at("period.end").or_else(|| head.body.str_at("end")).and_then(fhir::date_range);
    let open = head.body.at("period").is_some() && end.is_none();
    Some((from, end.map_or(if open { i64::MAX } else { to }, |(_, end)| end.max(to))))
}

/// Writes the search terms that a Patient's new version adds and removes those it drops.
fn write_terms(transaction: &Connection, number: i64, previous: Option<i64>, body: &Json) -> rusqlite::Result<()> {
    let before: BTreeSet<(&'static str, String)> = match previous {
        None => BTreeSet::new(),
        Some(seq) => {
            let held: Vec<u8> = transaction
                .prepare_cached("SELECT body FROM version WHERE seq = ?1")?
                .query_row(params![seq], |row| row.get(0))?;
            Json::parse(&held).map(|held| terms(&held)).unwrap_or_default()
        }
    };
    let after = terms(body);
    for (name, value) in before.difference(&after) {
        transaction
            .prepare_cached("DELETE FROM term WHERE name = ?1 AND value = ?2 AND point = ?3")?
            .execute(params![name, value, number])?;
    }
    for (name, value) in after.difference(&before) {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO term (name, value, point) VALUES (?1, ?2, ?3)")?
            .execute(params![name, value, number])?;
    }
    Ok(())
}

/// What a Patient is found by: every family and given name folded, and the date of birth.
fn terms(patient: &Json) -> BTreeSet<(&'static str, String)> {
    let mut terms = BTreeSet::new();
    for name in patient.get("name").and_then(Json::as_array).unwrap_or_default() {
        terms.extend(name.get("family").and_then(Json::as_str).map(|family| ("family", fold(family))));
        for given in name.get("given").and_then(Json::as_array).unwrap_or_default() {
            terms.extend(given.as_str().map(|given| ("given", fold(given))));
        }
    }
    terms.extend(patient.get("birthDate").and_then(Json::as_str).map(|date| ("birthdate", date.to_owned())));
    terms
}

/// Letters as string search compares them: lower case, without accents (FHIR R4 search, string).
pub(super) fn fold(text: &str) -> String {
    fhir::search::fold(text)
}
