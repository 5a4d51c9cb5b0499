//! Reading the embedded store beside its writer: messages, resources with their history, documents, search candidates.
//!
//! Every call is bounded by its caller; nothing here scans content.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fairway_care::Label;
use fairway_core::fhir::Json;
use fairway_core::record::{Outcome, ResourceId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::sqlite::open_reader;
use super::{StoreError, Stored};

/// Connections kept open for readers.
const IDLE_READERS_MAX: usize = 8;

/// Reads one environment's store; cheap to clone, used from any thread, blocks.
#[derive(Clone)]
pub struct Reader {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// Which candidates a search looks at; the caller filters them by the other parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    /// These ids.
    Ids(Vec<ResourceId>),
    /// What is filed in these records.
    Records(Vec<ResourceId>),
    /// The value of an identifier; not for Patients, which [`Reader::records_of`] finds.
    Identifiers(Vec<String>),
    /// A Patient's search term in the range between two texts, both in it: `family` and `given` folded, `birthdate` as
    /// written.
    Term(&'static str, String, String),
    /// The time the resource is about lies in or touches the half-open range of µs, or is not known by its beginning.
    Dates(i64, i64),
    /// The current version was stored in the half-open range of µs.
    Updated(i64, i64),
    /// Every resource of the type.
    All,
}

/// A step of a search: candidates of one type behind a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// FHIR resource type.
    pub resource_type: &'static str,
    /// Which candidates.
    pub driver: Driver,
    /// Only candidates behind this cursor; 0 for the first step.
    pub after: i64,
    /// How many candidates at most.
    pub limit: usize,
}

/// A candidate with its cursor.
#[derive(Debug, Clone)]
pub struct Found {
    /// Give it as [`Scan::after`] to go on behind this candidate.
    pub cursor: i64,
    /// The resource.
    pub stored: Stored,
}

/// A message as listed or shown.
#[derive(Debug, Clone)]
pub struct MessageSummary {
    /// Number in the order of arrival.
    pub id: i64,
    /// When it arrived, µs since 1970 UTC.
    pub received_at: i64,
    /// Feed.
    pub feed: String,
    /// Message type as `ADT^A28`.
    pub kind: String,
    /// MSH-10.
    pub control_id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// `AA`, `AR` or `AE`.
    pub ack_code: String,
    /// Why it was rejected or failed.
    pub reason: Option<String>,
    /// The acknowledgement as sent.
    pub ack: Bytes,
    /// The message that it repeats.
    pub repeat_of: Option<i64>,
    /// What it did, from the audit.
    pub action: String,
}

/// Which messages are listed.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Only messages behind this number.
    pub after: i64,
    /// Only this control id.
    pub control_id: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Cursors of [`Driver::Updated`] are above this and all others below, so that a cursor tells its order.
pub const UPDATED_CURSOR: i64 = 1 << 56;

/// Resource types whose date is a period of any length; the date of all others is as long as it is written.
const PERIODS: [&str; 2] = ["Encounter", "CareTeam"];
/// The longest date that is no period: a leap year, in µs.
const DATE_MICROS_MAX: i64 = 366 * 24 * 3600 * 1_000_000;

const STORED: &str = "p.record, p.type, p.id, v.version, v.at, v.label, v.deleted, v.message, v.body";

/// Steps from one system to the next by the primary key, so that a store of millions of identifiers is not gone through.
const RECORDS_OF_VALUE: &str = "WITH RECURSIVE s (system) AS (SELECT min(system) FROM identifier UNION ALL \
     SELECT (SELECT min(system) FROM identifier WHERE system > s.system) FROM s WHERE s.system IS NOT NULL) \
     SELECT DISTINCT i.record FROM s JOIN identifier i ON i.system = s.system AND i.value = ?1";

/// A document that is referred to.
const BLOB: &str = "SELECT content_type, bytes FROM blob b WHERE id = ?1 AND EXISTS (\
     SELECT 1 FROM blob_use u CROSS JOIN point p ON p.number = u.point CROSS JOIN version v ON v.seq = p.seq \
     WHERE u.blob = b.number AND p.deleted = 0 AND instr(v.body, CAST('\"Binary/' || ?1 || '\"' AS BLOB)) > 0)";

impl Reader {
    /// A reader of the store in this file, which must exist.
    pub fn new(path: &Path) -> Reader {
        Reader { path: path.to_owned(), idle: Arc::default() }
    }

    fn with<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = run(&connection);
        if result.is_ok()
            && let Ok(mut idle) = self.idle.lock()
            && idle.len() < IDLE_READERS_MAX
        {
            idle.push(connection);
        }
        result.map_err(|source| StoreError::Database { path: self.path.clone(), source })
    }

    /// The current version of a resource, also when it is marked deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn resource(&self, resource_type: &str, id: ResourceId) -> Result<Option<Stored>, StoreError> {
        let sql =
            format!("SELECT {STORED} FROM point p JOIN version v ON v.seq = p.seq WHERE p.id = ?1 AND p.type = ?2");
        self.with(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_row(params![&id.bytes()[..], resource_type], |row| stored(row, 0))
                .optional()
        })
    }

    /// The versions of a resource, newest first, `limit` at most.
    ///
    /// # Errors
    /// When the database fails.
    pub fn history(&self, resource_type: &str, id: ResourceId, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let mut versions = Vec::new();
        if limit > 0 {
            self.versions(resource_type, id, u32::MAX, |version| {
                versions.push(version);
                if versions.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(versions)
    }

    /// Gives the versions of a resource older than version `below`, newest first, one at a time until `each` breaks.
    /// Linear in the number of versions since the last one given; contents are read only of versions that are given.
    ///
    /// # Errors
    /// When the database fails.
    pub fn versions(
        &self,
        resource_type: &str,
        id: ResourceId,
        below: u32,
        mut each: impl FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT {STORED} FROM version v JOIN point p ON p.number = v.point WHERE v.seq = ?1");
        self.with(|connection| {
            let mut next: Option<i64> = connection
                .prepare_cached("SELECT seq FROM point WHERE id = ?1 AND type = ?2")?
                .query_row(params![&id.bytes()[..], resource_type], |row| row.get(0))
                .optional()?;
            let mut step = connection.prepare_cached("SELECT previous, version FROM version WHERE seq = ?1")?;
            let mut load = connection.prepare_cached(&sql)?;
            while let Some(seq) = next {
                let (previous, version): (_, u32) =
                    step.query_row(params![seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
                if version < below && each(load.query_row(params![seq], |row| stored(row, 0))?).is_break() {
                    break;
                }
                next = previous;
            }
            Ok(())
        })
    }

    /// How many versions a data point has. Their numbers need not begin with 1: an id that was used for the wrong patient
    /// goes on counting with the right one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn versions_count(&self, resource_type: &str, id: ResourceId) -> Result<u32, StoreError> {
        let sql = "WITH RECURSIVE chain (seq) AS (\
                       SELECT seq FROM point WHERE id = ?1 AND type = ?2 \
                       UNION ALL SELECT v.previous FROM chain JOIN version v ON v.seq = chain.seq \
                       WHERE v.previous IS NOT NULL) \
                   SELECT count(*) FROM chain";
        self.with(|connection| {
            connection.prepare_cached(sql)?.query_row(params![&id.bytes()[..], resource_type], |row| row.get(0))
        })
    }

    /// The record that an identifier leads to: by value, and by system when one is given.
    ///
    /// # Errors
    /// When the database fails.
    pub fn records_of(&self, system: Option<&str>, value: &str) -> Result<Vec<ResourceId>, StoreError> {
        self.with(|connection| {
            let id = |row: &Row<'_>| Ok(ResourceId::from_bytes(row.get(0)?));
            match system {
                Some(system) => connection
                    .prepare_cached("SELECT record FROM identifier WHERE system = ?1 AND value = ?2")?
                    .query_map(params![system, value], id)?
                    .collect(),
                None => connection.prepare_cached(RECORDS_OF_VALUE)?.query_map(params![value], id)?.collect(),
            }
        })
    }

    /// One step of a search, in the order of the cursor; deleted resources are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn scan(&self, scan: &Scan) -> Result<Vec<Found>, StoreError> {
        let mut all = Vec::new();
        self.visit(scan, |found| {
            all.push(found);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// As [`Reader::scan`], but gives the candidates one at a time, until `each` breaks: the content of one candidate is
    /// in memory at a time, and the index is gone through once.
    ///
    /// # Errors
    /// When the database fails.
    pub fn visit(&self, scan: &Scan, mut each: impl FnMut(Found) -> ControlFlow<()>) -> Result<(), StoreError> {
        let (sql, arguments) = self.in_order(scan)?;
        let load = format!("SELECT {STORED} FROM point p JOIN version v ON v.seq = p.seq WHERE p.number = ?1");
        self.with(|connection| {
            // One read transaction: it lasts as long as the outer statement.
            let mut candidates = connection.prepare_cached(&sql)?;
            let mut load = connection.prepare_cached(&load)?;
            let mut rows = candidates.query(params_from_iter(arguments))?;
            while let Some(row) = rows.next()? {
                let stored = load.query_row([row.get::<_, i64>(1)?], |row| stored(row, 0))?;
                if each(Found { cursor: row.get(0)?, stored }).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// How many candidates a step has, counted up to its limit without a look at their content. [`Driver::Updated`] may
    /// have fewer: all versions of its time count.
    ///
    /// # Errors
    /// When the database fails.
    pub fn width(&self, scan: &Scan) -> Result<usize, StoreError> {
        if let Driver::Updated(from, to) = scan.driver {
            let versions = self.first_version_from(to)? - self.first_version_from(from)?;
            return Ok(usize::try_from(versions).unwrap_or(0).min(scan.limit));
        }
        let (sql, arguments) = self.counted(scan)?;
        let count = self.with(|connection| {
            connection.prepare_cached(&sql)?.query_row(params_from_iter(arguments), |row| row.get::<_, i64>(0))
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The statement that gives cursor and row number of each candidate, without its content, and its arguments.
    fn in_order(&self, scan: &Scan) -> Result<(String, Vec<Value>), StoreError> {
        let (candidates, arguments) = self.candidates(scan)?;
        let ((cursor, base), limit) = (cursor(&scan.driver), arguments.len());
        let sql = format!("SELECT {cursor} + {base}, p.number FROM {candidates} ORDER BY {cursor} LIMIT ?{limit}");
        Ok((sql, arguments))
    }

    /// The statement that counts the candidates, in any order, so that no more are looked at than its limit.
    fn counted(&self, scan: &Scan) -> Result<(String, Vec<Value>), StoreError> {
        let (candidates, arguments) = self.candidates(scan)?;
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {candidates} LIMIT ?{})", arguments.len());
        Ok((sql, arguments))
    }

    /// What stands behind FROM, up to the order, in a statement about the candidates; and its arguments, the last of
    /// which is the limit.
    fn candidates(&self, scan: &Scan) -> Result<(String, Vec<Value>), StoreError> {
        let blob = |id: &ResourceId| Value::Blob(id.bytes().to_vec());
        let list = |count: usize| (3..3 + count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
        let (cursor, base) = cursor(&scan.driver);
        let after = scan.after.saturating_sub(base);
        let mut arguments = vec![Value::Text(scan.resource_type.to_owned()), Value::Integer(after)];
        let from;
        let (from, condition) = match &scan.driver {
            Driver::Ids(ids) => {
                arguments.extend(ids.iter().map(blob));
                ("point p INDEXED BY point_id", format!("p.id IN ({})", list(ids.len())))
            }
            Driver::Records(records) => {
                arguments.extend(records.iter().map(blob));
                ("point p INDEXED BY point_record", format!("p.record IN ({})", list(records.len())))
            }
            Driver::Identifiers(values) => {
                arguments.extend(values.iter().map(|value| Value::Text(value.clone())));
                let values = list(values.len());
                from = format!(
                    "(SELECT DISTINCT number FROM (\
                     SELECT number FROM point WHERE identifier IN ({values}) AND type = ?1 UNION ALL \
                     SELECT point FROM term WHERE name = 'identifier' AND value IN ({values}))) i \
                     CROSS JOIN point p ON p.number = i.number"
                );
                (from.as_str(), "1".to_owned())
            }
            Driver::Term(name, from, to) => {
                arguments.extend([*name, from, to].map(|text| Value::Text(text.to_owned())));
                (
                    "(SELECT DISTINCT point FROM term WHERE name = ?3 AND value >= ?4 AND value <= ?5 AND point > ?2) t \
                     CROSS JOIN point p ON p.number = t.point",
                    "1".to_owned(),
                )
            }
            Driver::Dates(from, to) => {
                let lasts = PERIODS.contains(&scan.resource_type);
                let first = if lasts { i64::MIN } else { from.saturating_sub(DATE_MICROS_MAX) };
                arguments.extend([Value::Integer(*from), Value::Integer(*to), Value::Integer(first)]);
                (
                    "(SELECT number FROM point \
                     WHERE type = ?1 AND date_from >= ?5 AND date_from < ?4 AND date_to > ?3 AND number > ?2 \
                     UNION ALL SELECT number FROM point WHERE type = ?1 AND date_from IS NULL AND number > ?2) d \
                     CROSS JOIN point p ON p.number = d.number",
                    "1".to_owned(),
                )
            }
            Driver::Updated(from, to) => {
                for at in [*from, *to] {
                    arguments.push(Value::Integer(self.first_version_from(at)?));
                }
                let current = "version v CROSS JOIN point p ON p.number = v.point AND p.seq = v.seq";
                (current, "v.seq >= ?3 AND v.seq < ?4".to_owned())
            }
            Driver::All => ("point p INDEXED BY point_type", "1".to_owned()),
        };
        arguments.push(Value::Integer(i64::try_from(scan.limit).unwrap_or(i64::MAX)));
        let sql = format!("{from} WHERE p.type = ?1 AND {cursor} > ?2 AND p.deleted = 0 AND {condition}");
        Ok((sql, arguments))
    }

    /// The first version stored at or after an instant. Versions are in order of time, so this is a binary search.
    fn first_version_from(&self, at: i64) -> Result<i64, StoreError> {
        self.with(|connection| {
            let mut low: i64 = 1;
            let mut high: i64 =
                connection.query_row("SELECT coalesce(max(seq), 0) + 1 FROM version", [], |row| row.get(0))?;
            let mut stored_at =
                connection.prepare_cached("SELECT at FROM version WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
            while low < high {
                let middle = low + (high - low) / 2;
                let time: Option<i64> = stored_at.query_row(params![middle], |row| row.get(0)).optional()?;
                if time.is_some_and(|time| time < at) { low = middle + 1 } else { high = middle }
            }
            Ok(low)
        })
    }

    /// A document, by media type and content, while the current version of something not deleted refers to it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn blob(&self, id: &str) -> Result<Option<(String, Bytes)>, StoreError> {
        self.with(|connection| {
            connection
                .prepare_cached(BLOB)?
                .query_row(params![id], |row| Ok((row.get(0)?, Bytes::from(row.get::<_, Vec<u8>>(1)?))))
                .optional()
        })
    }

    /// Messages in the order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub fn messages(&self, filter: &MessageFilter) -> Result<Vec<MessageSummary>, StoreError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "SELECT m.id, m.received_at, m.feed, m.kind, m.control_id, m.outcome, m.ack_code, m.reason, m.ack, \
                     m.repeat_of, (SELECT a.action FROM audit a WHERE a.seq = m.id) \
                     FROM message m WHERE m.id > ?1 AND (?2 IS NULL OR m.control_id = ?2) ORDER BY m.id LIMIT ?3",
                )?
                .query_map(
                    params![filter.after, filter.control_id, i64::try_from(filter.limit).unwrap_or(i64::MAX)],
                    |row| {
                        let outcome: String = row.get(5)?;
                        Ok(MessageSummary {
                            id: row.get(0)?,
                            received_at: row.get(1)?,
                            feed: row.get(2)?,
                            kind: row.get(3)?,
                            control_id: row.get(4)?,
                            outcome: Outcome::parse(&outcome).unwrap_or(Outcome::Failed),
                            ack_code: row.get(6)?,
                            reason: row.get(7)?,
                            ack: Bytes::from(row.get::<_, Vec<u8>>(8)?),
                            repeat_of: row.get(9)?,
                            action: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
                        })
                    },
                )?
                .collect()
        })
    }

    /// A message as it was received; none when there is no such message.
    ///
    /// # Errors
    /// When the database fails or the bytes cannot be read back.
    pub fn raw(&self, id: i64) -> Result<Option<Bytes>, StoreError> {
        let sql =
            "SELECT coalesce(m.raw, o.raw) FROM message m LEFT JOIN message o ON o.id = m.repeat_of WHERE m.id = ?1";
        let found: Option<Option<Vec<u8>>> = self
            .with(|connection| connection.prepare_cached(sql)?.query_row(params![id], |row| row.get(0)).optional())?;
        let damaged = || StoreError::Damaged { path: self.path.clone(), what: "a message" };
        match found {
            None => Ok(None),
            Some(None) => Err(damaged()),
            Some(Some(packed)) => {
                lz4_flex::decompress_size_prepended(&packed).map(|raw| Some(Bytes::from(raw))).map_err(|_| damaged())
            }
        }
    }

    /// Number of messages stored, for tests and the console.
    ///
    /// # Errors
    /// When the database fails.
    pub fn message_count(&self) -> Result<i64, StoreError> {
        self.with(|connection| connection.query_row("SELECT coalesce(max(id), 0) FROM message", [], |row| row.get(0)))
    }
}

/// What candidates are in order of, and what is added to it in a cursor.
fn cursor(driver: &Driver) -> (&'static str, i64) {
    if matches!(driver, Driver::Updated(..)) { ("v.seq", UPDATED_CURSOR) } else { ("p.number", 0) }
}

fn stored(row: &Row<'_>, first: usize) -> rusqlite::Result<Stored> {
    let label: String = row.get(first + 5)?;
    let body = row.get_ref(first + 8)?.as_blob()?;
    let body = Json::parse(body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(first + 8, rusqlite::types::Type::Blob, Box::new(error))
    })?;
    Ok(Stored {
        record: ResourceId::from_bytes(row.get(first)?),
        resource_type: row.get(first + 1)?,
        id: ResourceId::from_bytes(row.get(first + 2)?),
        version: row.get(first + 3)?,
        updated_at: row.get(first + 4)?,
        label: Label::from_code(&label).unwrap_or(Label::GeneralHealth),
        deleted: row.get(first + 6)?,
        message: row.get(first + 7)?,
        body: Arc::new(body),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Sqlite;
    use super::*;

    #[test]
    fn every_driver_rides_its_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        drop(Sqlite::open(&path).unwrap());
        let reader = Reader::new(&path);
        let id = ResourceId::derive(&["x"]);
        let plan = |sql: &str, arguments: Vec<Value>| {
            let rows = reader.with(|connection| {
                let mut rows = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                rows.query_map(params_from_iter(arguments), |row| row.get::<_, String>(3))?.collect()
            });
            let rows: Vec<String> = rows.unwrap();
            rows.join("\n")
        };
        for (driver, index) in [
            (Driver::Ids(vec![id, id]), "USING INDEX point_id"),
            (Driver::Records(vec![id]), "USING INDEX point_record (record=? AND type=?)"),
            (Driver::Identifiers(vec!["1".to_owned()]), "INDEX point_identifier (identifier=? AND type=?)"),
            (Driver::Identifiers(vec!["1".to_owned()]), "SEARCH term USING PRIMARY KEY (name=? AND value=?)"),
            (
                Driver::Term("family", "a".to_owned(), "b".to_owned()),
                "SEARCH term USING PRIMARY KEY (name=? AND value>? AND value<?)",
            ),
            (Driver::Dates(0, 1), "USING INDEX point_date (type=? AND date_from>? AND date_from<?)"),
            (Driver::Updated(5, 6), "SEARCH v USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (Driver::All, "SEARCH p USING INDEX point_type (type=? AND rowid>?)"),
        ] {
            let scan = Scan { resource_type: "Appointment", driver, after: 0, limit: 10 };
            let (sql, arguments) = reader.in_order(&scan).unwrap();
            let found = plan(&sql, arguments);
            assert!(found.contains(index), "{:?}\n{found}", scan.driver);
            let (sql, arguments) = reader.counted(&scan).unwrap();
            let counted = plan(&sql, arguments);
            assert!(counted.contains(index) && !counted.contains("FOR ORDER BY"), "{:?}\n{counted}", scan.driver);
            assert!(!counted.contains("MATERIALIZE"), "goes through all before it counts: {counted}");
            let sorts = found.contains("FOR ORDER BY");
            assert!(!sorts || !matches!(scan.driver, Driver::All | Driver::Updated(..)), "{found}");
        }
        let found = plan(super::super::sqlite::FIRST, vec![Value::Null, Value::Null, Value::Null]);
        assert!(found.contains("USING INDEX message_first (control_id=? AND digest=?)"), "{found}");
        let found = plan(BLOB, vec![Value::Text("1".to_owned())]);
        assert!(found.contains("SEARCH u USING PRIMARY KEY (blob=?)"), "{found}");
        let found = plan(RECORDS_OF_VALUE, vec![Value::Text("1".to_owned())]);
        assert!(found.contains("SEARCH i USING PRIMARY KEY (system=? AND value=?)"), "{found}");
        assert!(!found.contains("SCAN identifier"), "{found}");
    }
    #[test]
    fn a_store_of_the_first_schema_gets_its_identifiers_and_documents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(super::super::schema::STEPS[0]).unwrap();
        let (live, gone) = ("a".repeat(64), "b".repeat(64));
        let body = format!(
            "{{\"masterIdentifier\":{{\"value\":\"M\"}},\"identifier\":[{{\"value\":\"1\"}},{{\"value\":\"2\"}}],\
             \"content\":[{{\"attachment\":{{\"url\":\"Binary/{live}\"}}}}]}}"
        );
        let id = ResourceId::derive(&["x"]);
        old.execute(
            "INSERT INTO point VALUES (7, ?1, 'DocumentReference', ?1, 1, 1, 0, 0, 'O', 'K', NULL, '1', NULL, NULL, NULL)",
            params![&id.bytes()[..]],
        )
        .unwrap();
        old.execute("INSERT INTO version VALUES (1, NULL, 7, 1, 1, 5, 'GENERAL_HEALTH', 0, ?1)", [body.as_bytes()])
            .unwrap();
        for blob in [&live, &gone] {
            old.execute("INSERT INTO blob (id, content_type, bytes) VALUES (?1, 'text/plain', x'41')", [blob]).unwrap();
        }
        old.pragma_update(None, "user_version", 1).unwrap();
        drop(old);
        drop(Sqlite::open(&path).unwrap());
        let reader = Reader::new(&path);
        for (value, count) in [("1", 1), ("2", 1), ("M", 1), ("3", 0)] {
            let driver = Driver::Identifiers(vec![value.to_owned()]);
            let scan = Scan { resource_type: "DocumentReference", driver, after: 0, limit: 10 };
            assert_eq!(reader.scan(&scan).unwrap().len(), count, "{value}");
        }
        assert!(reader.blob(&live).unwrap().is_some());
        assert!(reader.blob(&gone).unwrap().is_none());
    }
}
