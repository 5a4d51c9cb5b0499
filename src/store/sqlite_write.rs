//! Writes a batch into the embedded store, inside the transaction its caller has opened.
//!
//! Says what rows a message costs; never begins or ends a transaction.

use std::collections::{BTreeSet, HashMap};

use fairway_core::fhir::{self, Json};
use fairway_core::record::{Effects, IdentifierEffect, IdentifierKey, PointHead, ResourceId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Entry, MessageKey, MessageRow};

/// Row number of a head and the number of its current version.
pub(super) type RowPlace = (i64, i64);

/// A batch being written.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    /// Number of the next message.
    pub(super) message: i64,
    /// Number of the next version.
    pub(super) version: i64,
    /// When the last version was stored, µs; versions never go back in time, whatever the clock does, since searches
    /// by `_lastUpdated` rely on their order.
    pub(super) last_at: i64,
    /// Row number and current version of the heads that are known.
    pub(super) rows: &'a mut HashMap<ResourceId, RowPlace>,
}

impl Batch<'_> {
    pub(super) fn write(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        // Numbers of the messages of this batch, for repeats within it.
        let mut numbers: HashMap<&MessageKey, i64> = HashMap::new();
        for entry in entries {
            let number = self.message;
            self.message += 1;
            let repeat_of = match entry.message.repeat_of {
                Some(0) => numbers.get(&entry.message.key).copied(),
                other => other,
            };
            numbers.entry(&entry.message.key).or_insert(number);
            self.write_message(number, &entry.message, repeat_of)?;
            self.last_at = self.last_at.max(entry.message.received_at);
            self.write_effects(number, self.last_at, &entry.effects)?;
            let mut audit = self
                .connection
                .prepare_cached("INSERT INTO audit (seq, at, message, record, action) VALUES (?1, ?2, ?1, ?3, ?4)")?;
            audit.execute(params![number, entry.message.received_at, record_of(&entry.message), entry.action])?;
        }
        Ok(())
    }

    fn write_message(&self, number: i64, message: &MessageRow, repeat_of: Option<i64>) -> rusqlite::Result<()> {
        let raw = repeat_of.is_none().then(|| lz4_flex::compress_prepend_size(&message.raw));
        self.connection
            .prepare_cached(
                "INSERT INTO message (id, received_at, feed, peer, kind, control_id, digest, outcome, ack_code, ack, \
                 reason, record, repeat_of, size, raw) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                number,
                message.received_at,
                message.key.feed,
                message.peer,
                message.kind,
                message.key.control_id,
                message.key.digest,
                message.outcome.as_str(),
                message.ack_code,
                message.acks.concat(),
                message.reason,
                record_of(message),
                repeat_of,
                i64::try_from(message.raw.len()).unwrap_or(i64::MAX),
                raw,
            ])?;
        Ok(())
    }

    fn write_effects(&mut self, message: i64, at: i64, effects: &Effects) -> rusqlite::Result<()> {
        let connection = self.connection;
        for effect in &effects.identifiers {
            match effect {
                IdentifierEffect::Put { key: IdentifierKey { system, value }, record } => connection
                    .prepare_cached("INSERT OR REPLACE INTO identifier (system, value, record) VALUES (?1, ?2, ?3)")?
                    .execute(params![&**system, value, &record.bytes()[..]])?,
                IdentifierEffect::Remove { key: IdentifierKey { system, value } } => connection
                    .prepare_cached("DELETE FROM identifier WHERE system = ?1 AND value = ?2")?
                    .execute(params![&**system, value])?,
            };
        }
        for blob in &effects.blobs {
            connection
                .prepare_cached("INSERT OR IGNORE INTO blob (id, content_type, bytes) VALUES (?1, ?2, ?3)")?
                .execute(params![blob.id, &*blob.content_type, &blob.bytes[..]])?;
        }
        for retired in &effects.retired {
            self.rows.remove(&retired.id);
            connection
                .prepare_cached("UPDATE point SET id = ?2 WHERE id = ?1")?
                .execute(params![&retired.id.bytes()[..], &retired.now.bytes()[..]])?;
        }
        for head in &effects.points {
            let number = self.write_point(message, at, head)?;
            if !effects.blobs.is_empty() {
                self.write_blob_uses(number, &head.body)?;
            }
        }
        for head in &effects.touched {
            connection
                .prepare_cached("UPDATE point SET entered_at = ?2, items = ?3 WHERE id = ?1")?
                .execute(params![&head.id.bytes()[..], head.entered_at, items_of(head)])?;
        }
        Ok(())
    }

    /// A new version and the head that leads to it; gives the head's row number.
    fn write_point(&mut self, message: i64, at: i64, head: &PointHead) -> rusqlite::Result<i64> {
        let seq = self.version;
        self.version += 1;
        let place = self.place(head)?;
        let number = match place {
            Some((number, _)) => {
                self.update_head(number, seq, head)?;
                number
            }
            None => self.insert_head(seq, head)?,
        };
        self.rows.insert(head.id, (number, seq));
        self.connection
            .prepare_cached(
                "INSERT INTO version (seq, previous, point, version, message, at, label, deleted, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                seq,
                place.map(|(_, previous)| previous),
                number,
                head.version,
                message,
                at,
                head.label.code(),
                head.deleted,
                head.body.to_vec(),
            ])?;
        self.write_terms(number, head)?;
        Ok(number)
    }

    /// The documents that a new version refers to. They came with the same message or are noted already.
    fn write_blob_uses(&self, number: i64, body: &Json) -> rusqlite::Result<()> {
        let mut open = vec![body];
        while let Some(json) = open.pop() {
            match json {
                Json::Array(items) => open.extend(items),
                Json::Object(object) => open.extend(object.iter().map(|(_, value)| value)),
                Json::String(text) => {
                    if let Some(id) = text.strip_prefix("Binary/") {
                        self.connection
                            .prepare_cached(
                                "INSERT OR IGNORE INTO blob_use (blob, point) SELECT number, ?2 FROM blob WHERE id = ?1",
                            )?
                            .execute(params![id, number])?;
                    }
                }
                Json::Null | Json::Bool(_) | Json::Number(_) => {}
            }
        }
        Ok(())
    }

    /// Row number and current version of a data point that is stored already.
    fn place(&self, head: &PointHead) -> rusqlite::Result<Option<RowPlace>> {
        if head.version <= 1 {
            return Ok(None);
        }
        if let Some(place) = self.rows.get(&head.id) {
            return Ok(Some(*place));
        }
        self.connection
            .prepare_cached("SELECT number, seq FROM point WHERE id = ?1")?
            .query_row(params![&head.id.bytes()[..]], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn insert_head(&self, seq: i64, head: &PointHead) -> rusqlite::Result<i64> {
        let search = Search::of(head.resource_type, &head.body);
        self.connection
            .prepare_cached(
                "INSERT INTO point (record, type, id, version, seq, entered_at, deleted, organisation, key, grp, \
                 identifier, date_from, date_to, items) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .insert(params![
                &head.record.bytes()[..],
                head.resource_type,
                &head.id.bytes()[..],
                head.version,
                seq,
                head.entered_at,
                head.deleted,
                &*head.organisation,
                head.key,
                head.group,
                search.identifier,
                search.from,
                search.to,
                items_of(head),
            ])
    }

    /// Indexed columns are only written when they change: an UPDATE that names one rewrites its index entry.
    fn update_head(&self, number: i64, seq: i64, head: &PointHead) -> rusqlite::Result<()> {
        let search = Search::of(head.resource_type, &head.body);
        let before = head.replaces.as_deref().map(|before| Search::of(head.resource_type, before));
        if before.as_ref() != Some(&search) {
            self.connection
                .prepare_cached("UPDATE point SET identifier = ?2, date_from = ?3, date_to = ?4 WHERE number = ?1")?
                .execute(params![number, search.identifier, search.from, search.to])?;
        }
        self.connection
            .prepare_cached(
                "UPDATE point SET version = ?2, seq = ?3, entered_at = ?4, deleted = ?5, items = ?6 WHERE number = ?1",
            )?
            .execute(params![number, head.version, seq, head.entered_at, head.deleted, items_of(head)])?;
        Ok(())
    }

    /// Writes the search terms that a new version adds and removes those it drops.
    fn write_terms(&self, number: i64, head: &PointHead) -> rusqlite::Result<()> {
        let before = head.replaces.as_deref().map(|before| terms(head.resource_type, before)).unwrap_or_default();
        let after = terms(head.resource_type, &head.body);
        for (name, value) in before.difference(&after) {
            self.connection
                .prepare_cached("DELETE FROM term WHERE name = ?1 AND value = ?2 AND point = ?3")?
                .execute(params![name, value, number])?;
        }
        for (name, value) in after.difference(&before) {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO term (name, value, point) VALUES (?1, ?2, ?3)")?
                .execute(params![name, value, number])?;
        }
        Ok(())
    }
}

fn record_of(message: &MessageRow) -> Option<&[u8]> {
    message.record.as_ref().map(|record| &record.bytes()[..])
}

fn items_of(head: &PointHead) -> Option<Vec<u8>> {
    // Events are plain data, so writing them as JSON cannot fail.
    (!head.items.is_empty()).then(|| serde_json::to_vec(&*head.items).unwrap_or_default())
}

/// What a head is found by besides its id and record.
#[derive(PartialEq, Eq)]
struct Search<'a> {
    identifier: Option<&'a str>,
    from: Option<i64>,
    to: Option<i64>,
}

/// Elements by which `date` searches a resource, in the order they are looked for.
const DATE_ELEMENTS: [&str; 4] = ["start", "effectiveDateTime", "date", "period.start"];

impl<'a> Search<'a> {
    fn of(resource_type: &str, body: &'a Json) -> Search<'a> {
        if resource_type == "Patient" {
            // Its identifiers lead to it by a table of their own, and no element of it is what `date` means.
            return Search { identifier: None, from: None, to: None };
        }
        let (from, to) = date_range(body).unzip();
        Search { identifier: identifiers(body).next(), from, to }
    }
}

/// The values of a resource's identifiers.
fn identifiers(body: &Json) -> impl Iterator<Item = &str> {
    let all = body.get("identifier").and_then(Json::as_array).unwrap_or_default().iter();
    all.chain(body.get("masterIdentifier")).filter_map(|one| one.str_at("value"))
}

/// The time a resource is about, as half-open range of µs; without end while a period is open.
fn date_range(body: &Json) -> Option<(i64, i64)> {
    let text = DATE_ELEMENTS.iter().find_map(|path| body.str_at(path))?;
    let (from, to) = fhir::date_range(text)?;
    let end = body.str_at("period.end").or_else(|| body.str_at("end")).and_then(fhir::date_range);
    let open = body.at("period").is_some() && end.is_none();
    Some((from, end.map_or(if open { i64::MAX } else { to }, |(_, end)| end.max(to))))
}

/// What a resource is found by besides its row: of a Patient every family and given name folded, and the date of birth;
/// of all others the identifiers behind the first.
fn terms(resource_type: &str, body: &Json) -> BTreeSet<(&'static str, String)> {
    if resource_type != "Patient" {
        let mut identifiers = identifiers(body);
        let first = identifiers.next();
        let others = identifiers.filter(|one| Some(*one) != first);
        return others.map(|value| ("identifier", value.to_owned())).collect();
    }
    let mut terms = BTreeSet::new();
    for name in body.get("name").and_then(Json::as_array).unwrap_or_default() {
        terms.extend(name.get("family").and_then(Json::as_str).map(|family| ("family", fhir::search::fold(family))));
        for given in name.get("given").and_then(Json::as_array).unwrap_or_default() {
            terms.extend(given.as_str().map(|given| ("given", fhir::search::fold(given))));
        }
    }
    terms.extend(body.get("birthDate").and_then(Json::as_str).map(|date| ("birthdate", date.to_owned())));
    terms
}
