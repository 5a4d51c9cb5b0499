//! The schema of the embedded store, as numbered steps; a store is brought to the newest when it is opened.
//!
//! A step that was released never changes. Rows are the budget: a routine message appends to `message`, `version` and `audit` and updates one row of `point`,
//! none of whose indexed columns change.

/// Every step in order; a store's `user_version` is the number of steps it has seen.
pub(super) const STEPS: &[&str] = &["
-- Every message that framed, in the order of arrival.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    feed TEXT NOT NULL,
    peer TEXT NOT NULL,
    kind TEXT NOT NULL,
    control_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    outcome TEXT NOT NULL,
    ack_code TEXT NOT NULL,
    ack BLOB NOT NULL,
    reason TEXT,
    record BLOB,
    repeat_of INTEGER,
    size INTEGER NOT NULL,
    raw BLOB                     -- lz4; NULL for a repeat
);
CREATE INDEX message_control ON message (control_id, digest);

-- Which record an identifier leads to.
CREATE TABLE identifier (
    system TEXT NOT NULL,
    value TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (system, value)
) WITHOUT ROWID;

-- Head of each data point: Patients, memberships (CareTeam) and what is filed in records.
CREATE TABLE point (
    number INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    type TEXT NOT NULL,
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,        -- its current version
    entered_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    organisation TEXT NOT NULL,
    key TEXT NOT NULL,
    grp TEXT,
    identifier TEXT,             -- first identifier value, for search
    date_from INTEGER,
    date_to INTEGER,
    items BLOB
);
CREATE UNIQUE INDEX point_id ON point (id);
CREATE INDEX point_record ON point (record, type, date_from);
CREATE INDEX point_identifier ON point (identifier, type) WHERE identifier IS NOT NULL;
CREATE INDEX point_date ON point (type, date_from);
CREATE INDEX point_group ON point (organisation, grp) WHERE grp IS NOT NULL;

-- Every version, in the order they were stored; `previous` leads back through the history of a data point.
CREATE TABLE version (
    seq INTEGER PRIMARY KEY,
    previous INTEGER,
    point INTEGER NOT NULL,
    version INTEGER NOT NULL,
    message INTEGER NOT NULL,
    at INTEGER NOT NULL,
    label TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- What Patients are searched by.
CREATE TABLE term (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    point INTEGER NOT NULL,
    PRIMARY KEY (name, value, point)
) WITHOUT ROWID;

-- Documents, each content once.
CREATE TABLE blob (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    content_type TEXT NOT NULL,
    bytes BLOB NOT NULL
);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    message INTEGER NOT NULL,
    record BLOB,
    action TEXT NOT NULL
);
", "
-- Searches of a type without anything narrower; written once for each data point.
CREATE INDEX point_type ON point (type);

-- A Patient is found by any identifier in `identifier`; every other resource by its first one, and by the rest as terms.
UPDATE point SET identifier = NULL WHERE type = 'Patient';
INSERT OR IGNORE INTO term (name, value, point)
    SELECT 'identifier', j.value, p.number
    FROM point p JOIN version v ON v.seq = p.seq, json_tree(CAST(v.body AS TEXT)) j
    WHERE p.type <> 'Patient' AND j.key = 'value' AND j.type = 'text' AND j.value IS NOT p.identifier
        AND (j.path GLOB '$.identifier*' OR j.path = '$.masterIdentifier');

-- Which data points have ever referred to a document; whether one still does, its current version says.
CREATE TABLE blob_use (
    blob INTEGER NOT NULL,
    point INTEGER NOT NULL,
    PRIMARY KEY (blob, point)
) WITHOUT ROWID;
INSERT OR IGNORE INTO blob_use (blob, point)
    SELECT b.number, p.number
    FROM version v JOIN point p ON p.seq = v.seq, json_tree(CAST(v.body AS TEXT)) j JOIN blob b ON b.id = substr(j.value, 8)
    WHERE instr(v.body, CAST('\"Binary/' AS BLOB)) > 0 AND j.type = 'text' AND j.value GLOB 'Binary/*';
", "
-- What a repeat is found by: repeats themselves stay out of it, so that the thousandth costs what the first did.
DROP INDEX message_control;
CREATE INDEX message_first ON message (control_id, digest) WHERE repeat_of IS NULL;
"];
