//! What becomes of the data points of a message: by policy, by the order they belong to, by the events they are made of.

use std::sync::Arc;

use fairway_care::Label;

use super::Draft;
use crate::fhir::Json;
use crate::record::complete::{complete, end_follows_start};
use crate::record::outcome::{ChangeKind, Fault, Refusal};
use crate::record::update::{Change, Policy, Unknown, apply, name_patient};
use crate::record::view::{PointHead, Retired};
use crate::record::{EventItem, ResourceId, encounter, report};

impl Draft<'_> {
    /// Marks every data point of a group deleted (hl7-api 6.1.3).
    pub(super) fn delete_group(&mut self, record: ResourceId, change: &Change) -> Result<(), Refusal> {
        let mut found = false;
        let sent_at = self.update.sent_at;
        for head in self.group(change, record)? {
            let items: Arc<[EventItem]> = report::without(&parts(&head), sent_at).into();
            let (body, label) = report::assemble(&items);
            let marked = Arc::new(PointHead { items: items.clone(), ..(*head).clone() });
            if head.deleted {
                self.delete_again(&marked);
                continue;
            }
            found = true;
            if head.entered_at <= sent_at {
                self.delete(&marked);
            } else if body == Json::Null {
                self.touched.insert(head.id, marked);
                self.note(head.resource_type, head.id, head.version, ChangeKind::Older);
            } else {
                // What a newer message said stands.
                self.store(&head, body, items, label, ChangeKind::Updated);
            }
        }
        if !found {
            self.note(change.resource_type, change.id, 0, ChangeKind::NotFound);
        }
        Ok(())
    }

    /// The data points of a change's group as they are now, in order of id.
    ///
    /// # Errors
    /// When one was filed for another patient: a group is one order of one patient.
    fn group(&self, change: &Change, record: ResourceId) -> Result<Vec<Arc<PointHead>>, Refusal> {
        let Some(group) = &change.group else { return Ok(Vec::new()) };
        let key = (self.update.organisation.code().into(), group.clone());
        let members = self.view.groups.get(&key).into_iter().flatten();
        members.filter_map(|id| own(self.current(*id)?, record).transpose()).collect()
    }

    /// When the group of a change was last deleted; looked up once for each group of a message.
    ///
    /// # Errors
    /// When the group holds something of another patient.
    fn group_deleted_at(&mut self, change: &Change, record: ResourceId) -> Result<Option<i64>, Refusal> {
        let Some(group) = &change.group else { return Ok(None) };
        if let Some(known) = self.deletions.get(group) {
            return Ok(*known);
        }
        let members = self.group(change, record)?;
        let deleted = members.iter().filter_map(|member| report::deleted_at(&member.items)).max();
        self.deletions.insert(group.clone(), deleted);
        Ok(deleted)
    }

    /// A deletion of what is deleted already: from now on nothing older than this one brings it back.
    fn delete_again(&mut self, head: &Arc<PointHead>) {
        let head = PointHead { entered_at: head.entered_at.max(self.update.sent_at), ..(**head).clone() };
        self.touched.insert(head.id, Arc::new(head));
    }

    /// Decides changes of one data point: one, or all that the segments of the message say of a report.
    pub(super) fn change(&mut self, record: ResourceId, alike: &[&Change]) -> Result<(), Refusal> {
        let [change, ..] = alike else { return Ok(()) };
        let there = self.current(change.id);
        let head = match &there {
            Some(head) => own(head.clone(), record)?,
            None => None,
        };
        // What came before its order was deleted is gone with it, whenever it comes.
        if self.group_deleted_at(change, record)?.is_some_and(|deleted| deleted > self.update.sent_at) {
            self.note(change.resource_type, change.id, 0, ChangeKind::Older);
            return Ok(());
        }
        if let Some(head) = head.as_ref().filter(|head| change.item.is_none() && (head.deleted || !change.sum))
            && self.is_late(head)
        {
            return Ok(());
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
                self.write(record, alike, base, made(alike), &[], ChangeKind::Created)?;
            }
            (policy, Some(known)) => {
                let body = match policy {
                    Policy::Merge | Policy::Set => {
                        let mut body = (*known.body).clone();
                        let only: &[&str] = if policy == Policy::Set { &change.only } else { &[] };
                        apply(&change.assignments, &mut body, only);
                        if policy == Policy::Merge {
                            end_follows_start(&known.body, &change.assignments, &mut body);
                        }
                        body
                    }
                    Policy::Replace | Policy::Append | Policy::Delete => made(alike),
                };
                self.write(record, alike, known, body, &known.items, ChangeKind::Updated)?;
            }
        }
        Ok(())
    }

    /// Stores the resource changes made, or the one its events add up to.
    fn write(
        &mut self,
        record: ResourceId,
        alike: &[&Change],
        head: &Arc<PointHead>,
        mut body: Json,
        held: &[EventItem],
        kind: ChangeKind,
    ) -> Result<(), Refusal> {
        let [change, ..] = alike else { return Ok(()) };
        name_patient(&mut body, record);
        let sent_at = self.update.sent_at;
        if change.sum {
            let mut items = parts(head);
            let label = alike.iter().rev().find_map(|change| change.label);
            report::add(&mut items, report::part(sent_at, label, body), self.places.contains_key(&change.id))?;
            let (body, label) = report::assemble(&items);
            // What one message alone said is the report itself.
            let items = if items.len() > 1 { report::still_counting(&items) } else { Vec::new() };
            let items = if items.len() > 1 { items } else { Vec::new() };
            self.store(head, body, items.into(), label, kind);
            return Ok(());
        }
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
        let mut items = held.to_vec();
        let cancels = change.policy == Policy::Delete;
        let event = EventItem {
            kind: item.kind.to_string(),
            at: item.at,
            when: item.when.clone(),
            entered_at: sent_at,
            label: change.label,
            cancels,
            resource: if cancels { Json::Null } else { body },
        };
        let tells_time =
            !cancels && ["period.start", "period.end"].iter().any(|time| event.resource.at(time).is_some());
        let index = encounter::add(&mut items, event)?;
        let stay = encounter::Stay::of(&items);
        let counts = stay.counts(index);
        let (body, contradiction) = encounter::assemble(&items, &stay);
        if let Some(text) = contradiction.filter(|_| counts && tells_time) {
            return Err(Refusal::new(Fault::Conflict, text));
        }
        let label = encounter::label(&items, &stay);
        if !counts && *head.body == body && head.label == label {
            let entered_at = head.entered_at.max(sent_at);
            self.touched.insert(head.id, Arc::new(PointHead { entered_at, items: items.into(), ..(**head).clone() }));
            let nothing = if change.unknown == Unknown::Ignore { ChangeKind::NotFound } else { ChangeKind::Older };
            self.note(change.resource_type, change.id, head.version, nothing);
            return Ok(());
        }
        self.store(head, body, items.into(), label, kind);
        Ok(())
    }
}

/// The resource that changes make by themselves.
fn made(alike: &[&Change]) -> Json {
    report::join(alike.iter().map(|change| change.resource()).collect())
}

/// The items of a data point; what one message alone said of a report is the report itself.
fn parts(head: &PointHead) -> Vec<EventItem> {
    let mut items = head.items.to_vec();
    if head.resource_type == "DiagnosticReport" && !head.deleted && !items.iter().any(|item| !item.cancels) {
        items.push(report::part(head.entered_at, Some(head.label), (*head.body).clone()));
    }
    items
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
    if head.deleted || (head.resource_type == "Encounter" && head.body.str_at("status") == Some("cancelled")) {
        return Ok(None);
    }
    let text = format!(
        "PID-3: the {} with this id was filed for another patient; check the patient identifiers and the id",
        head.resource_type
    );
    Err(Refusal::new(Fault::Conflict, text))
}
