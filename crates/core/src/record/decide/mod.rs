//! Decides one message against the store as it stands: pure, total, the same for every store and for every replay.
//!
//! A message is refused before it has any effect; the text of a refusal names segment and field. Here: the patient, the
//! teams, and how versions are added; `points` decides the data points.

mod points;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use fairway_care::{Label, link_team, plan_teams};

use crate::fhir::{self, Json};
use crate::record::outcome::{ChangeKind, ChangeNote, Decision, Fault, Outcome, Refusal};
use crate::record::patient::{self, Found};
use crate::record::team;
use crate::record::update::{Change, IdentifierKind, PatientIdentifier, PatientUpdate, RecordUpdate, apply};
use crate::record::view::{Effects, IdentifierEffect, PointHead, View};
use crate::record::{EventItem, ResourceId};

/// Decides `update` against `view`; `control_id` only serves to name a record whose first id is taken.
pub fn decide(view: &View, update: &RecordUpdate, control_id: &str) -> Decision {
    let mut draft = Draft {
        view,
        update,
        effects: Effects::default(),
        places: HashMap::new(),
        touched: BTreeMap::new(),
        notes: Vec::new(),
        deletions: HashMap::new(),
    };
    match draft.run(control_id) {
        Err(refusal) => Decision::refuse(refusal),
        Ok(record) => {
            draft.effects.touched = std::mem::take(&mut draft.touched).into_values().collect();
            let outcome = if draft.effects.changes_nothing() { Outcome::Unchanged } else { Outcome::Applied };
            if outcome == Outcome::Applied {
                draft.effects.blobs.clone_from(&update.blobs);
            }
            Decision { outcome, refusal: None, record: Some(record), effects: draft.effects, notes: draft.notes }
        }
    }
}

struct Draft<'a> {
    view: &'a View,
    update: &'a RecordUpdate,
    effects: Effects,
    /// Where in `effects.points` the message has changed a data point already.
    places: HashMap<ResourceId, usize>,
    /// Heads that only move on in time.
    touched: BTreeMap<ResourceId, Arc<PointHead>>,
    notes: Vec<ChangeNote>,
    /// When each group of the message was last deleted before it.
    deletions: HashMap<String, Option<i64>>,
}

impl Draft<'_> {
    fn run(&mut self, control_id: &str) -> Result<ResourceId, Refusal> {
        let record = self.patient(control_id)?;
        self.teams(record)?;
        let (whole_groups, single): (Vec<&Change>, Vec<&Change>) =
            self.update.changes.iter().partition(|change| change.whole_group);
        // Each group once, however many segments ask for it: the second time nothing is left to delete.
        let mut deleted = HashSet::new();
        for change in whole_groups {
            if deleted.insert(&change.group) {
                self.delete_group(record, change)?;
            }
        }
        // What many segments say of one report is one thing that the message says.
        let mut sums: HashMap<ResourceId, Vec<&Change>> = HashMap::new();
        for change in single.iter().filter(|change| change.sum) {
            sums.entry(change.id).or_default().push(change);
        }
        for change in single {
            if !change.sum {
                self.change(record, &[change])?;
            } else if let Some(alike) = sums.remove(&change.id) {
                self.change(record, &alike)?;
            }
        }
        self.check()?;
        Ok(record)
    }

    /// Nothing that is not valid FHIR R4 is ever stored.
    fn check(&self) -> Result<(), Refusal> {
        for head in self.effects.points.iter().filter(|head| !head.deleted) {
            if let Some(issue) = fhir::check(&head.body).first() {
                let text = format!("the message makes no valid {}: {issue}", head.resource_type);
                return Err(Refusal::new(Fault::Value, text));
            }
        }
        Ok(())
    }

    /// Finds, creates or updates the Patient.
    fn patient(&mut self, control_id: &str) -> Result<ResourceId, Refusal> {
        let patient = &self.update.patient;
        let record = match patient::find(self.view, patient) {
            Found::Conflict(text) => return Err(Refusal::new(Fault::Conflict, text)),
            Found::Nobody if patient.demographics => return self.create_record(control_id),
            Found::Nobody => {
                let text = "PID-3: no record holds any of the patient's identifiers; send an A28 or A31 for the patient \
                            first";
                return Err(Refusal::new(Fault::UnknownKey, text));
            }
            Found::Record(record) => record,
        };
        let head = self
            .view
            .point(record)
            .ok_or_else(|| {
                let text = "PID-3: the record of this identifier has no Patient; ask the operator";
                Refusal::new(Fault::Rule, text)
            })?
            .clone();
        if !patient.demographics {
            if patient::national_conflict(&head, patient).is_some() {
                let text = "PID-3: the national number differs from the one on the record that the other identifiers \
                            lead to";
                return Err(Refusal::new(Fault::Conflict, text));
            }
            return Ok(record);
        }
        if self.is_late(&head) {
            self.late_numbers(record, &head);
            return Ok(record);
        }
        let mut body = (*head.body).clone();
        apply(&patient.assignments, &mut body, &[]);
        if let Json::Object(object) = &mut body {
            object.insert("identifier", patient::join_identifiers(&head.body, patient));
        }
        self.effects.identifiers.extend(patient::identifier_effects(record, &head.body, patient));
        self.effects.identifiers.extend(patient::email_effects(self.view, record, &head.body, &body)?);
        let items = patient::numbers_told(&head, patient, self.update.sent_at);
        self.store(&head, body, items, head.label, ChangeKind::Updated);
        Ok(record)
    }

    /// A number that only an older message has is one of the patient's all the same: no newer one took it away, or, of a
    /// national one, gave another of its kind.
    fn late_numbers(&mut self, record: ResourceId, head: &Arc<PointHead>) {
        let sent_at = self.update.sent_at;
        let adds = |identifier: &&PatientIdentifier| {
            let system = &identifier.key.system;
            identifier.kind == IdentifierKind::Local
                || !patient::holds_system(&head.body, system)
                || patient::told_at(head, system) < sent_at
        };
        let identifiers = self.update.patient.identifiers.iter().filter(adds).cloned().collect();
        let late = PatientUpdate { identifiers, assignments: Vec::new(), missing: Vec::new(), ..self.update.patient };
        let new = patient::identifier_effects(record, &head.body, &late);
        let items = patient::numbers_told(head, &late, sent_at);
        if new.is_empty() && *items == *head.items {
            return;
        }
        self.effects.identifiers.extend(new);
        let mut body = (*head.body).clone();
        if let Json::Object(object) = &mut body {
            object.insert("identifier", patient::join_identifiers(&head.body, &late));
        }
        self.store(head, body, items, head.label, ChangeKind::Updated);
    }

    fn create_record(&mut self, control_id: &str) -> Result<ResourceId, Refusal> {
        let update = self.update;
        if let Some(missing) = update.patient.missing.first() {
            return Err(Refusal::new(Fault::Missing, missing));
        }
        let first = patient::first_record_id(update)
            .ok_or_else(|| Refusal::new(Fault::Missing, "PID-3: a patient identifier must be provided"))?;
        let record = match self.view.point(first) {
            None => first,
            Some(_) => ResourceId::derive(&[
                "record",
                &first.to_string(),
                update.organisation.code(),
                &update.sent_at.to_string(),
                control_id,
            ]),
        };
        let mut body = Json::object([("resourceType", Json::string("Patient"))]);
        if let Json::Object(object) = &mut body {
            object.insert("identifier", patient::join_identifiers(&Json::Null, &update.patient));
        }
        apply(&update.patient.assignments, &mut body, &[]);
        self.effects.identifiers.extend(
            update
                .patient
                .identifiers
                .iter()
                .map(|identifier| IdentifierEffect::Put { key: identifier.key.clone(), record }),
        );
        self.effects.identifiers.extend(patient::email_effects(self.view, record, &Json::Null, &body)?);
        let head = Arc::new(self.blank(record, "Patient", record, "", None));
        self.store(&head, body, Arc::new([]), head.label, ChangeKind::Created);
        Ok(record)
    }

    /// Memberships: the ZTM lists, or the Creating Team for a demographic message without them (hl7-api 2.8).
    fn teams(&mut self, record: ResourceId) -> Result<(), Refusal> {
        let update = self.update;
        if !update.patient.demographics {
            return Ok(());
        }
        let organisation = &update.organisation;
        let creating = organisation
            .team(&update.creating_team)
            .ok_or_else(|| Refusal::new(Fault::Rule, "MSH-4: no creating team can be determined for this sender"))?;
        let current: Vec<_> = organisation
            .teams()
            .iter()
            .filter_map(|held| {
                let head = self.view.membership(record, organisation, &held.alias)?;
                let mut membership = team::membership(&held.alias, &head.body);
                // What a newer message decided stands: an older one neither repeats it nor is wrong about it.
                membership.active |= update.sent_at < head.entered_at;
                Some(membership)
            })
            .collect();
        let changes = match &update.teams {
            Some(request) => plan_teams(organisation, creating, &current, request).map_err(team::refusal)?,
            None => link_team(creating, &current).into_iter().collect(),
        };
        // Asking again for a team the patient is in holds against an older removal.
        let asked: Vec<&String> = match &update.teams {
            Some(request) => request.add.iter().collect(),
            None => vec![&update.creating_team],
        };
        for alias in asked {
            if let Some(head) = self.view.membership(record, organisation, alias)
                && head.entered_at < update.sent_at
                && !changes.iter().any(|change| change.membership.team == *alias)
                && team::membership(alias, &head.body).active
            {
                let head = PointHead { entered_at: update.sent_at, ..(**head).clone() };
                self.touched.insert(head.id, Arc::new(head));
            }
        }
        for change in changes {
            let Some(held) = organisation.team(&change.membership.team) else { continue };
            let id = team::care_team_id(record, organisation.code(), &held.alias);
            let body = team::care_team(record, organisation, held, &change.membership);
            let stored = self.view.point(id).cloned();
            if stored.as_ref().is_some_and(|head| self.is_late(head)) {
                continue;
            }
            let kind = if stored.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
            let head = stored.unwrap_or_else(|| Arc::new(self.blank(record, "CareTeam", id, &held.alias, None)));
            self.store(&head, body, Arc::new([]), Label::GeneralHealth, kind);
        }
        Ok(())
    }

    fn blank(
        &self,
        record: ResourceId,
        resource_type: &'static str,
        id: ResourceId,
        key: &str,
        group: Option<String>,
    ) -> PointHead {
        PointHead {
            record,
            resource_type,
            id,
            version: 0,
            entered_at: self.update.sent_at,
            label: Label::GeneralHealth,
            deleted: false,
            organisation: self.update.organisation.code().into(),
            key: key.to_owned(),
            group,
            body: Arc::new(Json::Null),
            replaces: None,
            items: Arc::new([]),
        }
    }

    /// Adds a version unless it equals the stored one.
    fn store(&mut self, head: &Arc<PointHead>, body: Json, items: Arc<[EventItem]>, label: Label, kind: ChangeKind) {
        let entered_at = head.entered_at.max(self.update.sent_at);
        if head.version > 0 && !head.deleted && *head.body == body && head.label == label {
            if entered_at != head.entered_at || *head.items != *items {
                self.touched.insert(head.id, Arc::new(PointHead { entered_at, items, ..(**head).clone() }));
            }
            self.note(head.resource_type, head.id, head.version, ChangeKind::Unchanged);
            return;
        }
        let next = PointHead {
            version: head.version + 1,
            entered_at,
            label,
            deleted: false,
            body: Arc::new(body),
            replaces: (head.version > 0).then(|| head.body.clone()),
            items,
            ..(**head).clone()
        };
        self.put(next, kind);
    }

    fn delete(&mut self, head: &Arc<PointHead>) {
        let next =
            PointHead { version: head.version + 1, entered_at: self.update.sent_at, deleted: true, ..(**head).clone() };
        self.put(next, ChangeKind::Deleted);
    }

    /// Adds the new version; several changes of one message to one data point make one version.
    fn put(&mut self, mut head: PointHead, kind: ChangeKind) {
        self.touched.remove(&head.id);
        if let Some(&index) = self.places.get(&head.id) {
            head.version = self.effects.points[index].version;
            head.replaces.clone_from(&self.effects.points[index].replaces);
            self.effects.points[index] = Arc::new(head);
            return;
        }
        self.note(head.resource_type, head.id, head.version, kind);
        self.places.insert(head.id, self.effects.points.len());
        self.effects.points.push(Arc::new(head));
    }

    /// Whether the message is older than what is stored; then it is noted and leaves the data point alone (gap 21).
    fn is_late(&mut self, head: &PointHead) -> bool {
        let late = self.update.sent_at < head.entered_at;
        if late {
            self.note(head.resource_type, head.id, head.version, ChangeKind::Older);
        }
        late
    }

    fn note(&mut self, resource_type: &'static str, id: ResourceId, version: u32, kind: ChangeKind) {
        self.notes.push(ChangeNote { resource_type, id, version, kind });
    }

    /// The head as this message has left it so far.
    fn current(&self, id: ResourceId) -> Option<Arc<PointHead>> {
        let own = self.places.get(&id).and_then(|index| self.effects.points.get(*index));
        own.or_else(|| self.touched.get(&id)).or_else(|| self.view.point(id)).cloned()
    }
}
