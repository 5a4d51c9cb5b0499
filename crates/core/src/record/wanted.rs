//! What must be loaded before a batch is decided.
//!
//! Says it from the updates alone; the store answers with a [`super::View`].

use std::collections::HashSet;
use std::sync::Arc;

use super::update::{IdentifierKey, RecordUpdate};
use super::{ResourceId, patient};

/// What a batch needs to see of the store.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Identifiers whose records are looked up, and those records' Patients with them.
    pub identifiers: HashSet<IdentifierKey>,
    /// Data points and records by id.
    pub points: HashSet<ResourceId>,
    /// Groups (organisation, key) of which every data point is needed.
    pub groups: HashSet<(Arc<str>, String)>,
    /// For each identifier, the teams whose memberships of the matched record are needed.
    pub memberships: HashSet<(IdentifierKey, Arc<str>, String)>,
}

impl Wanted {
    /// Adds what deciding `update` needs.
    pub fn add(&mut self, update: &RecordUpdate) {
        let organisation: Arc<str> = update.organisation.code().into();
        for identifier in &update.patient.identifiers {
            self.identifiers.insert(identifier.key.clone());
            for alias in teams_of(update) {
                self.memberships.insert((identifier.key.clone(), organisation.clone(), alias.to_owned()));
            }
        }
        if update.patient.demographics {
            self.identifiers.extend(patient::emails_of(&update.patient));
            self.points.extend(patient::first_record_id(update));
        }
        for change in &update.changes {
            if let (true, Some(group)) = (change.whole_group, &change.group) {
                self.groups.insert((organisation.clone(), group.clone()));
            } else {
                self.points.insert(change.id);
            }
        }
    }
}

/// The teams a demographic message can touch.
fn teams_of(update: &RecordUpdate) -> impl Iterator<Item = &str> {
    let requested = update.teams.iter().flat_map(|request| request.add.iter().chain(&request.remove));
    let creating = update.patient.demographics.then_some(&update.creating_team);
    creating.into_iter().chain(requested).map(String::as_str)
}
