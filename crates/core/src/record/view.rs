//! What the store knows that a batch of messages touches, and what a decision changes of it.
//!
//! The store fills a [`View`] before [`super::decide`] runs; each decision's [`Effects`] are applied to the view, so a
//! later message of the same batch sees them. Nothing here reads or writes a database.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use fairway_care::{Label, Organisation};

use super::team;
use super::update::{Blob, IdentifierKey};
use super::{EventItem, ResourceId};
use crate::fhir::Json;

/// The current version of a data point, or of the Patient of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct PointHead {
    /// The record it is filed in; for a Patient its own id.
    pub record: ResourceId,
    /// FHIR resource type.
    pub resource_type: &'static str,
    /// Logical id.
    pub id: ResourceId,
    /// 1 for the first version.
    pub version: u32,
    /// MSH-7 of the message this content came from, µs since 1970 UTC.
    pub entered_at: i64,
    /// Privacy label.
    pub label: Label,
    /// Marked deleted: hidden, kept for audit.
    pub deleted: bool,
    /// Code of the organisation that sent it.
    pub organisation: Arc<str>,
    /// The sender's key; parts joined by U+001F.
    pub key: String,
    /// Key of the group it is deleted with.
    pub group: Option<String>,
    /// The resource without `meta`; the store adds id and version when it is read.
    pub body: Arc<Json>,
    /// The stored content that a new version takes the place of, so that a store can see which search terms change;
    /// none for a first version and for a head as loaded.
    pub replaces: Option<Arc<Json>>,
    /// The events an Encounter is made of, in the order they were received; empty for other types.
    pub items: Arc<[EventItem]>,
}

/// The part of the store that a batch touches, as it stands after the effects applied so far.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Which record an identifier leads to.
    pub identifiers: HashMap<IdentifierKey, ResourceId>,
    /// Patients, memberships and data points by id; what was wanted and is not here does not exist.
    pub points: HashMap<ResourceId, Arc<PointHead>>,
    /// Data points of the wanted groups, in order of id, so that every store tells the same story.
    pub groups: HashMap<(Arc<str>, String), BTreeSet<ResourceId>>,
}

impl View {
    /// The head of a data point, also when it is marked deleted.
    pub fn point(&self, id: ResourceId) -> Option<&Arc<PointHead>> {
        self.points.get(&id)
    }

    /// The patient's place in a team, active or not.
    pub fn membership(&self, record: ResourceId, organisation: &Organisation, alias: &str) -> Option<&Arc<PointHead>> {
        self.point(team::care_team_id(record, organisation.code(), alias))
    }

    /// Makes the effects of a decision visible to the decisions after it.
    pub fn apply(&mut self, effects: &Effects) {
        for effect in &effects.identifiers {
            match effect {
                IdentifierEffect::Put { key, record, .. } => self.identifiers.insert(key.clone(), *record),
                IdentifierEffect::Remove { key } => self.identifiers.remove(key),
            };
        }
        for retired in &effects.retired {
            self.points.remove(&retired.id);
        }
        for head in &effects.touched {
            self.points.insert(head.id, head.clone());
        }
        for head in &effects.points {
            if let Some(group) = &head.group
                && let Some(members) = self.groups.get_mut(&(head.organisation.clone(), group.clone()))
            {
                members.insert(head.id);
            }
            self.points.insert(head.id, head.clone());
        }
    }
}

/// A change of what an identifier leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifierEffect {
    /// The identifier leads to this record from now on.
    Put {
        /// System and value.
        key: IdentifierKey,
        /// The record.
        record: ResourceId,
    },
    /// The identifier leads nowhere from now on.
    Remove {
        /// System and value.
        key: IdentifierKey,
    },
}

/// A data point that was filed for the wrong patient and taken back there gives its id to the right one. What it was stays
/// in the record it was filed in, under an id of its own: no history goes from one patient to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The id it had.
    pub id: ResourceId,
    /// The id it has from now on.
    pub now: ResourceId,
}

impl Retired {
    /// Retires a data point.
    pub(super) fn of(head: &PointHead) -> Retired {
        let now = ResourceId::derive(&["retired", &head.id.to_string(), &head.version.to_string()]);
        Retired { id: head.id, now }
    }
}

/// The rows a decision asks the store to write, all or none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Identifiers that change.
    pub identifiers: Vec<IdentifierEffect>,
    /// Data points that leave their ids to new ones; before `points`.
    pub retired: Vec<Retired>,
    /// New versions, each the head of its data point from now on.
    pub points: Vec<Arc<PointHead>>,
    /// Heads whose version stays and whose entered time (and events) move on: the same content was sent again later.
    pub touched: Vec<Arc<PointHead>>,
    /// Documents to keep.
    pub blobs: Vec<Blob>,
}

impl Effects {
    /// True when no content changes.
    pub fn changes_nothing(&self) -> bool {
        self.identifiers.is_empty() && self.points.is_empty()
    }
}
