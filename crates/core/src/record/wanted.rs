//! What must be loaded before a batch is decided.
//!
//! Says it from the updates alone; the store answers with a [`super::View`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::update::{IdentifierKey, RecordUpdate};
use super::{ResourceId, patient, team};

/// What a batch needs to see of the store.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Identifiers whose records are looked up, and those records' Patients with them.
    pub identifiers: HashSet<IdentifierKey>,
    /// Data points and records by id.
    pub points: HashSet<ResourceId>,
    /// Groups (organisation, key) of which every data point is needed.
    pub groups: HashSet<(Arc<str>, String)>,
    /// Teams (organisation, alias) whose memberships are needed of every record that `linked` leads to.
    pub teams: HashSet<(Arc<str>, String)>,
    /// Identifiers of demographic messages. One may lead to a record only after an earlier message of the same batch, so
    /// teams are not kept by identifier.
    pub linked: HashSet<IdentifierKey>,
}

impl Wanted {
    /// Adds what deciding `update` needs.
    pub fn add(&mut self, update: &RecordUpdate) {
        let organisation: Arc<str> = update.organisation.code().into();
        for identifier in &update.patient.identifiers {
            self.identifiers.insert(identifier.key.clone());
        }
        if update.patient.demographics {
            self.linked.extend(update.patient.identifiers.iter().map(|identifier| identifier.key.clone()));
            self.teams.extend(teams_of(update).map(|alias| (organisation.clone(), alias.to_owned())));
            self.identifiers.extend(patient::emails_of(&update.patient));
            self.points.extend(patient::first_record_id(update));
        }
        for change in &update.changes {
            if let Some(group) = &change.group {
                self.groups.insert((organisation.clone(), group.clone()));
            }
            if !change.whole_group {
                self.points.insert(change.id);
            }
        }
    }

    /// The memberships (CareTeam) that are needed, once it is known where the identifiers lead to.
    pub fn memberships(&self, identifiers: &HashMap<IdentifierKey, ResourceId>) -> impl Iterator<Item = ResourceId> {
        let records: HashSet<ResourceId> = self.linked.iter().filter_map(|key| identifiers.get(key)).copied().collect();
        let teams = self.teams.iter();
        records.into_iter().flat_map(move |record| {
            teams.clone().map(move |(organisation, alias)| team::care_team_id(record, organisation, alias))
        })
    }
}

/// The teams a demographic message can touch, of those that the organisation has.
fn teams_of(update: &RecordUpdate) -> impl Iterator<Item = &str> {
    let requested = update.teams.iter().flat_map(|request| request.add.iter().chain(&request.remove));
    let requested = requested.filter(|alias| update.organisation.team(alias).is_some());
    [&update.creating_team].into_iter().chain(requested).map(String::as_str)
}
