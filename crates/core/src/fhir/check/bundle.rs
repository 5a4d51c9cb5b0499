//! The rules between the entries of a Bundle: unique URLs, references that resolve, requests that fit.
//!
//! Knows one Bundle; what a server already holds is not looked for.

use std::collections::{HashMap, HashSet};

use super::super::json::Json;
use super::reference::Form;
use super::{Path, Walk, primitive};

/// The resources of a Bundle by the ways to refer to them; the value is the resource type.
pub(super) struct Index<'r> {
    by_url: HashMap<&'r str, &'r str>,
    by_id: HashSet<(&'r str, &'r str)>,
}

impl<'r> Index<'r> {
    pub(super) fn new(bundle: &'r Json) -> Self {
        let mut index = Self { by_url: HashMap::new(), by_id: HashSet::new() };
        for entry in entries_of(bundle) {
            let resource = entry.get("resource");
            let name = resource.and_then(Json::resource_type).unwrap_or_default();
            if let Some(url) = entry.get("fullUrl").and_then(Json::as_str) {
                index.by_url.insert(url, name);
            }
            if let Some(id) = resource.and_then(|resource| resource.get("id")).and_then(Json::as_str) {
                index.by_id.insert((name, id));
            }
        }
        index
    }

    /// The type of the entry a reference points to; empty when the entry has no resource type.
    pub(super) fn find(&self, text: &str, form: Form<'r>) -> Option<&'r str> {
        if let Some(name) = self.by_url.get(text) {
            return Some(name);
        }
        let Form::Relative(name, id) = form else {
            return None;
        };
        self.by_id.get(&(name, id)).map(|(name, _)| *name)
    }
}

/// The type of a Bundle.
pub(super) fn kind_of(bundle: &Json) -> &str {
    bundle.get("type").and_then(Json::as_str).unwrap_or_default()
}

fn entries_of(bundle: &Json) -> &[Json] {
    bundle.get("entry").and_then(Json::as_array).unwrap_or_default()
}

impl<'r> Walk<'r> {
    /// What the entries of a Bundle must be to each other.
    pub(super) fn entries(&mut self, bundle: &'r Json) {
        let root = Path::root("Bundle");
        if bundle.resource_type().is_some_and(|name| name != "Bundle") {
            self.issue(&root, "must be a Bundle");
        }
        let kind = kind_of(bundle);
        let mut urls = HashSet::new();
        for (index, entry) in entries_of(bundle).iter().enumerate() {
            let path = root.child("entry").item(index);
            let resource = entry.get("resource");
            if let Some(url) = entry.get("fullUrl").and_then(Json::as_str) {
                let version = resource.and_then(|resource| resource.at("meta.versionId")).and_then(Json::as_str);
                if kind != "history" && !urls.insert((url, version)) {
                    self.issue(&path.child("fullUrl"), "bdl-7: occurs twice in the Bundle");
                }
                if let Some(rule) = url_fault(url, resource) {
                    self.issue(&path.child("fullUrl"), rule);
                }
            } else if matches!(kind, "message" | "document" | "collection") {
                self.issue(&path.child("fullUrl"), "is required in a Bundle of this type");
            }
            if let Some(rule) = request_fault(entry, resource) {
                self.issue(&path.child("request"), rule);
            }
        }
    }
}

fn url_fault(url: &str, resource: Option<&Json>) -> Option<&'static str> {
    if url.contains("/_history/") {
        return Some("bdl-8: must not name a version");
    }
    if url.starts_with("urn:") {
        let valid = primitive::is_uuid(url) || primitive::is_oid(url);
        return (!valid).then_some("must be a valid urn:uuid or urn:oid");
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Some("must be an absolute URL, urn:uuid or urn:oid");
    }
    let resource = resource?;
    let (name, id) = (resource.resource_type()?, resource.get("id")?.as_str()?);
    let mut parts = url.rsplit('/');
    let agrees = parts.next() == Some(id) && parts.next() == Some(name);
    (!agrees).then_some("must end with the type and id of its resource")
}

/// A PUT names its resource, a POST its type.
fn request_fault(entry: &Json, resource: Option<&Json>) -> Option<&'static str> {
    let request = entry.get("request")?;
    let (method, url) = (request.get("method")?.as_str()?, request.get("url")?.as_str()?);
    let name = resource?.resource_type()?;
    match method {
        "POST" if url.split('?').next() != Some(name) => Some("a POST must go to the type of its resource"),
        "PUT" if !url.contains('?') => {
            let id = resource?.get("id").and_then(Json::as_str);
            let agrees = url.split_once('/').is_some_and(|(n, i)| n == name && Some(i) == id);
            (!agrees).then_some("a PUT must go to the type and id of its resource")
        }
        _ => None,
    }
}
