//! What becomes of the data points of a message: by policy, by the order they belong to, by the events they are made of.

use std::sync::Arc;

use fairway_care::Label;

use super::Draft;
use crate::fhir::Json;
use crate::record::complete::{complete, end_follows_start};
use crate::record::outcome::{ChangeKind, Fault, Refusal};
use crate::record::update::{Change, Policy, Unknown, apply, gather, lacks, name_patient, unite};
use crate::record::view::{PointHead, Retired};
use crate::record::{EventItem, ResourceId, encounter};

impl Draft<'_> {
    /// Marks every data point of a group deleted (hl7-api 6.1.3).
    pub(super) fn delete_group(&mut self, record: ResourceId, change: &Change) -> Result<(), Refusal> {
        let mut found = false;
        for head in self.group(change, record)? {
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
    ///
    /// # Errors
    /// When one was filed for another patient: a group is one order of one patient.
    fn group(&self, change: &Change, record: ResourceId) -> Result<Vec<Arc<PointHead>>, Refusal> {
        let Some(group) = &change.group else { return Ok(Vec::new()) };
        let key = (self.update.organisation.code().into(), group.clone());
        let mut members = self.view.groups.get(&key).cloned().unwrap_or_default();
        members.sort_unstable();
        members.into_iter().filter_map(|id| own(self.current(id)?, record).transpose()).collect()
    }

    /// A deletion of what is deleted already: from now on nothing older than this one brings it back.
    fn delete_again(&mut self, head: &Arc<PointHead>) {
        if head.entered_at < self.update.sent_at {
            let head = PointHead { entered_at: self.update.sent_at, ..(**head).clone() };
            self.touched.insert(head.id, Arc::new(head));
        }
    }

    pub(super) fn change(&mut self, record: ResourceId, change: &Change) -> Result<(), Refusal> {
        let there = self.current(change.id);
        let head = match &there {
            Some(head) => own(head.clone(), record)?,
            None => None,
        };
        if let Some(head) = &head {
            if change.item.is_none() && self.is_late(head) {
                return self.unite_late(record, change, head);
            }
        } else {
            let sent_at = self.update.sent_at;
            let group = self.group(change, record)?;
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
                        let mut new = self.blank(record, change.resource_type, change.id, &change.key, group);
                        if let Some(other) = &there {
                            new.version = other.version;
                            new.deleted = true;
                            self.effects.retired.push(Retired::of(other));
                        }
                        blank = Arc::new(new);
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
            complete(change, kind, &mut body)?;
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
        // An event that was cancelled later than this message was sent is that event again.
        let cancelled = |event: &EventItem| {
            event.cancelled && *event.kind == *item.kind && Some(event.at) == item.at && event.entered_at > sent_at
        };
        let again = change.policy == Policy::Append && items.iter().any(cancelled);
        if again || same.is_some_and(|index| items[index].entered_at > sent_at) {
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
}

/// The data point when it is in this record. One that is filed in another and was taken back there (deleted, or all its
/// events cancelled) is none: its id was used for the wrong patient, and is free again.
///
/// # Errors
/// When it stands in another patient's record: a message never moves it (misfiling).
fn own(head: Arc<PointHead>, record: ResourceId) -> Result<Option<Arc<PointHead>>, Refusal> {
    if head.record == record {
        return Ok(Some(head));
    }
    if head.deleted || !head.items.is_empty() && head.items.iter().all(|event| event.cancelled) {
        return Ok(None);
    }
    let text = format!(
        "PID-3: the {} with this id was filed for another patient; check the patient identifiers and the id",
        head.resource_type
    );
    Err(Refusal::new(Fault::Conflict, text))
}
