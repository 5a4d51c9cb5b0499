//! Makes the data points of a message: key, group, event, label, and the elements that `rows` fills.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use fairway_care::Label;

use super::scope::Scope;
use super::{Feed, Run};
use crate::fhir::Json;
use crate::hl7v2::{Path, fhir_instant_from_micros};
use crate::mapping::convert;
use crate::mapping::plan::{KeyPart, WritePlan};
use crate::record::{Assignment, Change, ElementPath, Fault, Item, Policy, Refusal, ResourceId, Step};

/// From so many on, the changes of a message are kept in less memory.
const CHANGES_FEW: usize = 256;

/// Separates the parts of a sender's key; no part can hold it.
const KEY_SEPARATOR: &str = "\u{1f}";

/// Where the sender's id is filed.
static IDENTIFIER: LazyLock<ElementPath> =
    LazyLock::new(|| Arc::new([Step { name: "identifier", many: true, index: None, choice: None }]));

impl<'m> Run<'_, 'm> {
    pub(super) fn writes(
        &mut self,
        feed: &Feed,
        writes: &[WritePlan],
        sent_at: i64,
        whole: &Scope<'m>,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes: Vec<Change> = Vec::new();
        let mut seen = HashSet::new();
        for write in writes {
            let mut scopes = Vec::new();
            self.places.each_scope(whole, &write.each, &mut |scope| {
                if self.places.all_hold(scope, &write.when) {
                    scopes.push(*scope);
                }
                Ok(())
            })?;
            for scope in &scopes {
                let since = self.trace.mark();
                let around = self.trace.begin();
                let mut change = self.change(write, sent_at, scope)?;
                self.trace.resume(around);
                self.trace.name(since, &format!("{}/{}", change.resource_type, change.id));
                change.label = self.label(feed, write, scope);
                if write.once && !seen.insert(change.id) {
                    let text = "a second value for one test under one filler order number; send one value per test";
                    return Err(scope.refusal(Fault::Conflict, text));
                }
                if changes.len() >= CHANGES_FEW {
                    change.condense();
                }
                changes.push(change);
                self.places.reading.settle();
            }
        }
        Ok(changes)
    }

    fn change(&mut self, write: &WritePlan, sent_at: i64, scope: &Scope<'m>) -> Result<Change, Refusal> {
        let (parts, mut key) = self.key(&write.key, scope)?;
        if let Some(apart) = &write.apart {
            // No part of a key holds it, so the two never run into each other.
            key = format!("{apart}\u{1e}{key}");
        }
        let organisation = self.organisation;
        let id = ResourceId::of_point(organisation, write.resource, &key);
        let item = match &write.item {
            None => None,
            Some((kind, at)) => Some(self.item(kind, at, sent_at, scope)?),
        };
        let mut assignments = Vec::with_capacity(16);
        let mut missing = Vec::new();
        let identifier = match &write.identifier[..] {
            [] => parts.join("|"),
            paths => self.places.first_text(scope, paths).into_owned(),
        };
        assignments.push(Assignment {
            path: IDENTIFIER.clone(),
            value: Some(sender_identifier(organisation, write.resource, &identifier)),
            is_default: false,
        });
        if let Some(rows) = write.rows {
            self.block(rows, scope, &mut assignments, &mut missing)?;
        }
        if write.policy == Policy::Replace
            && let Some(text) = missing.first()
        {
            return Err(Refusal::new(Fault::Missing, text));
        }
        let group = self.places.first_text(scope, &write.group).into_owned();
        Ok(Change {
            resource_type: write.resource,
            id,
            key,
            group: (!write.group.is_empty()).then_some(group),
            whole_group: write.whole_group,
            policy: write.policy,
            unknown: write.unknown,
            item,
            assignments,
            text: None,
            only: write.only.clone(),
            sum: write.sum,
            missing,
            label: None,
        })
    }

    /// The parts of a key and the key itself.
    pub(super) fn key(&self, parts: &[KeyPart], scope: &Scope<'m>) -> Result<(Vec<String>, String), Refusal> {
        let mut found = Vec::with_capacity(parts.len());
        for part in parts {
            let text: String = self.places.first_text(scope, &part.paths).chars().filter(|c| !c.is_control()).collect();
            if text.is_empty() && !part.optional {
                let path = part.paths.first().map(ToString::to_string).unwrap_or_default();
                return Err(scope.refusal(Fault::Missing, &must_be_provided(&path, &part.label)));
            }
            found.push(text);
        }
        while found.len() > 1 && found.last().is_some_and(String::is_empty) {
            found.pop();
        }
        let key = found.join(KEY_SEPARATOR);
        Ok((found, key))
    }

    fn item(&self, kind: &Arc<str>, at: &[Path], sent_at: i64, scope: &Scope<'m>) -> Result<Item, Refusal> {
        for path in at {
            let Some(value) = self.places.value(scope, path) else { continue };
            match convert::timestamp(value) {
                Ok(None) => {}
                Ok(Some(time)) => {
                    let zone = self.zone;
                    return Ok(Item { kind: kind.clone(), at: time.instant(zone), when: time.fhir_date_time(zone) });
                }
                Err(text) => return Err(scope.refusal(Fault::Value, &format!("{path} {text}"))),
            }
        }
        // An event without a time of its own happened when the message says it was sent.
        Ok(Item { kind: kind.clone(), at: sent_at, when: fhir_instant_from_micros(sent_at) })
    }

    /// hl7-api 8.2, the rules that need no patient: specialty, order service, else general health; none when the
    /// message has neither code.
    fn label(&self, feed: &Feed, write: &WritePlan, scope: &Scope<'m>) -> Option<Label> {
        let code = |path: &Option<Path>| {
            let code = self.places.text(scope, path.as_ref()?);
            (!code.is_empty()).then_some(code)
        };
        let of = |code: &Option<_>, labels: &HashMap<String, Label>| {
            let code: &Cow<'_, str> = code.as_ref()?;
            labels.get(&**code).copied()
        };
        let (specialty, service) = (code(&write.specialty), code(&write.service));
        of(&specialty, &feed.specialty_labels)
            .or_else(|| of(&service, &feed.service_labels))
            .or_else(|| (specialty.is_some() || service.is_some()).then_some(Label::GeneralHealth))
    }
}

pub(super) fn must_be_provided(path: &str, label: &str) -> String {
    if label.is_empty() {
        format!("{path} must be provided. You provided []")
    } else {
        format!("{path} ({label}) must be provided. You provided []")
    }
}

/// The Identifier of the sender's own id for a data point (design 5).
fn sender_identifier(organisation: &str, resource: &str, value: &str) -> Json {
    let system = format!("urn:fairway:{}:{}", organisation.to_lowercase(), resource.to_lowercase());
    Json::Array(vec![Json::object([("system", Json::String(system)), ("value", Json::string(value))])])
}
