//! Required value sets: whether a code, coding or concept is in the set its element is bound to.
//!
//! The only place whose messages show a value: a code that the set does not have.

use super::super::json::{Json, Object};
use super::super::table::{Element, ValueSet};
use super::{Path, Walk};
use crate::nearest::nearest;

impl<'r> Walk<'r> {
    /// A Coding, CodeableConcept or Quantity with a required value set.
    pub(super) fn bound(&mut self, element: &'static Element, object: &'r Object, path: &Path<'_>) {
        let Some(set) = element.value_set() else {
            return;
        };
        let in_set = |object: &Object| {
            let text = |name| object.get(name).and_then(Json::as_str);
            text("system").zip(text("code")).is_some_and(|(system, code)| set.contains_coding(system, code))
        };
        let valid = match element.type_name() {
            "CodeableConcept" => {
                let codings = object.get("coding").and_then(Json::as_array).unwrap_or_default();
                codings.iter().filter_map(Json::as_object).any(in_set)
            }
            "Coding" => in_set(object),
            _ => !object.contains("code") || in_set(object),
        };
        if !valid {
            self.issue(path, format!("must have a code of {}: {}", set.name(), listed(set)));
        }
    }
}

/// No more codes than this are listed in a message.
const CODES_LISTED_MAX: usize = 12;

fn listed(set: &ValueSet) -> String {
    let mut text = set.codes().iter().take(CODES_LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
    if set.codes().len() > CODES_LISTED_MAX {
        text.push_str(", …");
    }
    text
}

/// The message for a code outside its required value set.
pub(super) fn not_in_set(code: &str, set: &ValueSet) -> String {
    let shown: String = code.chars().take(40).collect();
    let shown = shown.escape_debug();
    match nearest(code, set.codes().iter().copied()) {
        Some(near) => format!("`{shown}` is not in {}; did you mean `{near}`?", set.name()),
        None => format!("`{shown}` is not in {}: {}", set.name(), listed(set)),
    }
}

/// A media type (RFC 6838) with or without parameters.
pub(super) fn is_mime_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b));
    essence.split_once('/').is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}
