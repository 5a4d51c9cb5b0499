//! References: their form, the type they tell, and, in a Bundle, the entry they point to.
//!
//! Messages name the form or the type that is wrong, never the reference itself: ids may be personal data.

use super::super::json::{Json, Object};
use super::super::table::r4;
use super::{Path, Scope, Walk, primitive};

/// What a reference is, by its written form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// `#id`; the id is empty for the containing resource.
    Contained(&'a str),
    /// `Type/id`, with or without a version.
    Relative(&'a str, &'a str),
    /// `urn:uuid:…` or `urn:oid:…`.
    Urn,
    /// `http://…`, with the type its end tells.
    Absolute(Option<&'a str>),
    /// `Type?search`, for transactions only.
    Conditional(&'a str),
}

/// The form of a reference; `None` when it has none of those FHIR knows.
pub(crate) fn form(text: &str) -> Option<Form<'_>> {
    if let Some(id) = text.strip_prefix('#') {
        return (id.is_empty() || primitive::is_id(id)).then_some(Form::Contained(id));
    }
    if text.starts_with("urn:") {
        return (primitive::is_uuid(text) || primitive::is_oid(text)).then_some(Form::Urn);
    }
    if let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) {
        let told = told_type(rest).filter(|name| r4().is_resource_type(name));
        return (!rest.is_empty() && !rest.contains(char::is_whitespace)).then_some(Form::Absolute(told));
    }
    if let Some((name, query)) = text.split_once('?') {
        return (r4().is_resource_type(name) && !query.is_empty()).then_some(Form::Conditional(name));
    }
    let (name, rest) = text.split_once('/')?;
    let (id, version) = rest.split_once("/_history/").map_or((rest, None), |(id, version)| (id, Some(version)));
    let valid = r4().is_resource_type(name) && primitive::is_id(id) && version.is_none_or(primitive::is_id);
    valid.then_some(Form::Relative(name, id))
}

/// The type before the last id of a URL's path.
fn told_type(url: &str) -> Option<&str> {
    let url = url.rsplit_once("/_history/").map_or(url, |(url, _)| url);
    let mut parts = url.rsplit('/');
    parts.next().filter(|id| primitive::is_id(id))?;
    parts.next()
}

impl<'r> Walk<'r> {
    pub(super) fn reference(
        &mut self,
        object: &'r Object,
        targets: &'static [&'static str],
        path: &Path<'_>,
        scope: &Scope<'r>,
    ) {
        let text = object.get("reference").and_then(Json::as_str);
        let told = text.and_then(|text| self.told(text, path, scope));
        let named = object.get("type").and_then(Json::as_str);
        let named = named.map(|uri| uri.strip_prefix("http://hl7.org/fhir/StructureDefinition/").unwrap_or(uri));
        if let (Some(told), Some(named)) = (told, named)
            && told != named
        {
            self.issue(&path.child("type"), "must be the type of the resource that is referred to");
        }
        if let Some(target) = told.or(named)
            && !targets.is_empty()
            && targets.binary_search(&target).is_err()
        {
            let target = if r4().is_resource_type(target) { target } else { "this" };
            self.issue(path, format!("must not refer to {target}, only to {}", targets.join(", ")));
        }
    }

    /// The type a reference tells, after its form and its target were looked at.
    fn told(&mut self, text: &'r str, path: &Path<'_>, scope: &Scope<'r>) -> Option<&'r str> {
        let path = &path.child("reference");
        let Some(form) = form(text) else {
            self.issue(path, "must be Type/id, #id, urn:uuid:, urn:oid: or a URL");
            return None;
        };
        if let Form::Contained(id) = form {
            if id.is_empty() {
                scope.points_back.set(true);
                return scope.resource.get("resourceType").and_then(Json::as_str);
            }
            let found = scope.refer(id);
            if found.is_none() {
                self.issue(path, "ref-1: no contained resource has this id");
            }
            return found.filter(|name| !name.is_empty());
        }
        let found = self.bundle.as_ref().and_then(|bundle| bundle.find(text, form));
        if found.is_some() {
            return found;
        }
        let unresolved = self.bundle.is_some();
        match form {
            Form::Contained(_) => None,
            Form::Absolute(told) => told,
            Form::Urn if !unresolved => None,
            Form::Urn => {
                self.issue(path, "does not resolve to an entry of the Bundle");
                None
            }
            Form::Relative(told, _) => {
                if unresolved {
                    self.issue(path, "does not resolve to an entry of the Bundle");
                }
                Some(told)
            }
            Form::Conditional(told) => {
                if !self.is_transaction {
                    self.issue(path, "a conditional reference is for a transaction Bundle only");
                }
                Some(told)
            }
        }
    }
}
