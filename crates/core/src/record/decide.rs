//! Decides one message against the store as it stands: pure, total, the same for every store and for every replay.
//!
//! A message is refused before it has any effect; the text of a refusal names segment and field.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fairway_care::{Label, link_team, plan_teams};

use super::complete::{complete, end_follows_start};
use super::outcome::{ChangeKind, ChangeNote, Decision, Fault, Outcome, Refusal};
use super::patient::{self, Found};
use super::team;
use super::update::{Change, Policy, RecordUpdate, Unknown, apply, gather, lacks, name_patient, unite};
use super::view::{Effects, IdentifierEffect, PointHead, View};
use super::{EventItem, ResourceId, encounter};
use crate::fhir::{self, Json};

/// Decides `update` against `view`; `control_id` only serves to name a record whose first id is taken.
pub fn decide(view: &View, update: &RecordUpdate, control_id: &str) -> Decision {
    let mut draft = Draft {
        view,
        update,
        effects: Effects::default(),
        places: HashMap::new(),
        touched: BTreeMap::new(),
        notes: Vec::new(),
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
}

impl Draft<'_> {
    fn run(&mut self, control_id: &str) -> Result<ResourceId, Refusal> {
        let record = self.patient(control_id)?;
        self.teams(record)?;
        let (whole_groups, single): (Vec<&Change>, Vec<&Change>) =
            self.update.changes.iter().partition(|change| change.whole_group);
        for change in whole_groups {
            self.delete_group(record, change)?;
        }
        for change in single {
            self.change(record, change)?;
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
            return Ok(record);
        }
        let mut body = (*head.body).clone();
        apply(&patient.assignments, &mut body, &[]);
        if let Json::Object(object) = &mut body {
            object.insert("identifier", patient::join_identifiers(&head.body, patient));
        }
        self.effects.identifiers.extend(patient::identifier_effects(record, &head.body, patient));
        self.effects.identifiers.extend(patient::email_effects(self.view, record, &head.body, &body)?);
        self.store(&head, body, head.items.clone(), head.label, ChangeKind::Updated);
        Ok(record)
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
        for alias in update.teams.iter().flat_map(|request| &request.add) {
            if let Some(head) = self.view.membership(record, organisation, alias)
                && head.entered_at < update.sent_at
                && !changes.iter().any(|change| change.membership.team == *alias)
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

    /// Marks every data point of a group deleted (hl7-api 6.1.3).
    fn delete_group(&mut self, record: ResourceId, change: &Change) -> Result<(), Refusal> {
        let mut found = false;
        for head in self.group(change) {
            own_record(&head, record)?;
            if head.deleted {
                self.delete_again(&head);
                continue;
            }
            found = true;
            if !self.is_late(&head) {
                self.delete(&head);
            }
        }
        if !found {
            self.note(change.resource_type, change.id, 0, ChangeKind::NotFound);
        }
        Ok(())
    }

    /// The data points of a change's group as they are now, in order of id, so that every store tells the same story.
    fn group(&self, change: &Change) -> Vec<Arc<PointHead>> {
        let Some(group) = &change.group else { return Vec::new() };
        let key = (self.update.organisation.code().into(), group.clone());
        let mut members = self.view.groups.get(&key).cloned().unwrap_or_default();
        members.sort_unstable();
        members.into_iter().filter_map(|id| self.current(id)).collect()
    }

    /// A deletion of what is deleted already: from now on nothing older than this one brings it back.
    fn delete_again(&mut self, head: &Arc<PointHead>) {
        if head.entered_at < self.update.sent_at {
            let head = PointHead { entered_at: self.update.sent_at, ..(**head).clone() };
            self.touched.insert(head.id, Arc::new(head));
        }
    }

    fn change(&mut self, record: ResourceId, change: &Change) -> Result<(), Refusal> {
        let head = self.current(change.id);
        if let Some(head) = &head {
            own_record(head, record)?;
            if change.item.is_none() && self.is_late(head) {
                return self.unite_late(record, change, head);
            }
        } else {
            let sent_at = self.update.sent_at;
            let group = self.group(change);
            // A group is one order of one patient.
            group.iter().try_for_each(|member| own_record(member, record))?;
            if group.iter().any(|member| member.deleted && member.entered_at > sent_at) {
                self.note(change.resource_type, change.id, 0, ChangeKind::Older);
                return Ok(());
            }
        }
        let known = head.as_ref().filter(|head| !head.deleted);
        match (change.policy, known) {
            (Policy::Delete, None) => {
                if let Some(deleted) = &head {
                    self.delete_again(deleted);
                }
                self.note(change.resource_type, change.id, 0, ChangeKind::NotFound);
            }
            (_, None) if change.unknown == Unknown::Ignore => {
                self.note(change.resource_type, change.id, 0, ChangeKind::NotFound);
            }
            (Policy::Delete, Some(known)) if change.item.is_none() => self.delete(known),
            (_, None) => {
                if let Some(missing) = change.missing.first() {
                    return Err(Refusal::new(Fault::Missing, missing));
                }
                let blank;
                let base = match &head {
                    Some(deleted) => deleted,
                    None => {
                        let group = change.group.clone();
                        blank = Arc::new(self.blank(record, change.resource_type, change.id, &change.key, group));
                        &blank
                    }
                };
                let mut body = Json::object([("resourceType", Json::string(change.resource_type))]);
                apply(&change.assignments, &mut body, &[]);
                self.write(record, change, base, body, &[], ChangeKind::Created)?;
            }
            (policy, Some(known)) => {
                let mut body = match policy {
                    Policy::Merge | Policy::Set => (*known.body).clone(),
                    Policy::Replace | Policy::Append | Policy::Delete => {
                        Json::object([("resourceType", Json::string(change.resource_type))])
                    }
                };
                let only: &[&str] = if policy == Policy::Set { &change.only } else { &[] };
                apply(&change.assignments, &mut body, only);
                if policy == Policy::Merge {
                    end_follows_start(&known.body, &change.assignments, &mut body);
                }
                if policy == Policy::Replace {
                    unite(&change.unite, &known.body, &mut body);
                    let again = self.places.contains_key(&change.id);
                    if again || lacks(&change.gather, &known.body, &body) {
                        gather(&change.gather, &known.body, &mut body, again);
                    }
                }
                self.write(record, change, known, body, &known.items, ChangeKind::Updated)?;
            }
        }
        Ok(())
    }

    /// An older message does not change a data point, but what it brought beside it, and nothing newer did, is listed
    /// there: a result that only an older message of its order had.
    fn unite_late(&mut self, record: ResourceId, change: &Change, head: &Arc<PointHead>) -> Result<(), Refusal> {
        if head.deleted || change.unite.is_empty() {
            return Ok(());
        }
        let mut told = Json::object([("resourceType", Json::string(change.resource_type))]);
        apply(&change.assignments, &mut told, &[]);
        name_patient(&mut told, record);
        let mut body = (*head.body).clone();
        let Json::Object(object) = &mut body else { return Ok(()) };
        for name in change.unite.iter() {
            let items = told.get(name).and_then(Json::as_array).unwrap_or_default();
            let there = |item: &&Json| {
                let id = item.str_at("reference").and_then(|text| ResourceId::parse(text.split_once('/')?.1));
                id.and_then(|id| self.current(id)).is_some_and(|point| !point.deleted)
            };
            let mut joined = head.body.get(name).and_then(Json::as_array).unwrap_or_default().to_vec();
            let new: Vec<Json> = items.iter().filter(there).filter(|item| !joined.contains(item)).cloned().collect();
            joined.extend(new);
            if !joined.is_empty() {
                object.insert(*name, Json::Array(joined));
            }
        }
        if body != *head.body {
            self.store(head, body, head.items.clone(), head.label, ChangeKind::Updated);
        }
        Ok(())
    }

    /// Stores the resource a change made, or the one its events add up to.
    fn write(
        &mut self,
        record: ResourceId,
        change: &Change,
        head: &Arc<PointHead>,
        mut body: Json,
        held: &[EventItem],
        kind: ChangeKind,
    ) -> Result<(), Refusal> {
        name_patient(&mut body, record);
        let Some(item) = &change.item else {
            complete(change, &mut body)?;
            let label = match (kind, change.policy) {
                // Nothing of the message counts but the elements of the policy.
                (ChangeKind::Updated, Policy::Set) => head.label,
                (ChangeKind::Updated, Policy::Merge) => change.label.unwrap_or(head.label),
                _ => change.label.unwrap_or(Label::GeneralHealth),
            };
            self.store(head, body, head.items.clone(), label, kind);
            return Ok(());
        };
        let sent_at = self.update.sent_at;
        let mut items = held.to_vec();
        if change.unknown == Unknown::Ignore && items.iter().all(|event| event.cancelled) {
            self.note(change.resource_type, change.id, head.version, ChangeKind::NotFound);
            return Ok(());
        }
        let standing = items.iter().rposition(|event| *event.kind == *item.kind && !event.cancelled);
        let same = match change.policy {
            Policy::Replace | Policy::Merge => items.iter().rposition(|event| *event.kind == *item.kind),
            Policy::Set | Policy::Delete => standing,
            Policy::Append => None,
        };
        if same.is_some_and(|index| items[index].entered_at > sent_at) {
            self.note(change.resource_type, change.id, head.version, ChangeKind::Older);
            return Ok(());
        }
        let event = || EventItem {
            kind: item.kind.to_string(),
            at: item.at.unwrap_or(sent_at),
            when: item.when.clone().unwrap_or_default(),
            entered_at: sent_at,
            label: change.label,
            cancelled: false,
            resource: body.clone(),
        };
        match (change.policy, same) {
            (Policy::Replace | Policy::Merge, Some(index)) => {
                items.remove(index);
                items.push(event());
            }
            (Policy::Replace | Policy::Merge | Policy::Append, _) => encounter::add(&mut items, event())?,
            (Policy::Set, Some(index)) => {
                if let (Some(at), Some(when)) = (item.at, &item.when) {
                    items[index].at = at;
                    items[index].when.clone_from(when);
                    items[index].entered_at = sent_at;
                }
            }
            (Policy::Delete, Some(index)) => encounter::cancel(&mut items, index, sent_at),
            (Policy::Set | Policy::Delete, None) => {
                if change.policy == Policy::Delete && encounter::cancel_again(&mut items, &item.kind, sent_at) {
                    let head = PointHead { items: items.into(), ..(**head).clone() };
                    self.touched.insert(head.id, Arc::new(head));
                }
                self.note(change.resource_type, change.id, head.version, ChangeKind::NotFound);
                return Ok(());
            }
        }
        // Cancelling or correcting says nothing of the patient's stay itself, so the stored description stands.
        let base = match change.policy {
            Policy::Set | Policy::Delete => (*head.body).clone(),
            Policy::Replace | Policy::Merge | Policy::Append => body,
        };
        let body = encounter::assemble(&base, &items);
        let label = encounter::label(&items, head.label);
        self.store(head, body, items.into(), label, kind);
        Ok(())
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

/// A data point never moves to another patient's record by a message (misfiling).
fn own_record(head: &PointHead, record: ResourceId) -> Result<(), Refusal> {
    if head.record == record {
        return Ok(());
    }
    let text = format!(
        "PID-3: the {} with this id was filed for another patient; check the patient identifiers and the id",
        head.resource_type
    );
    Err(Refusal::new(Fault::Conflict, text))
}
