//! Checks a FHIR R4 resource against the element table and the invariants that matter for a patient's record.
//!
//! Reports every problem with its path and the rule it breaks. Never repairs, and never puts a value into a message, as
//! values are personal data; the codes of required value sets are the exception. A valid resource costs no allocation.

use std::fmt;

use super::json::{Json, Object};
use super::table::{Element, Kind, Primitive, Type, r4};

mod binding;
mod bundle;
mod primitive;
pub(crate) mod reference;
pub(crate) mod rules;
mod scope;
mod together;

pub(crate) use primitive::fault as primitive_fault;

use scope::{Path, Scope};

/// No more problems than this are listed for one resource; a last line says so.
pub const ISSUES_MAX: usize = 500;

/// Deeper elements are refused. serde_json stops at 128 levels of JSON before.
const DEPTH_MAX: u32 = 100;

/// A problem of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where: `Patient.name[0].given[1]`.
    pub path: String,
    /// Which rule is broken. Holds no value of the resource but codes that a required value set does not have.
    pub message: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Every problem of a resource; empty when it is valid. References are checked by form, target type and contained id;
/// what they point to outside the resource is not looked for. Time is linear in the size of the resource.
pub fn check(resource: &Json) -> Vec<Issue> {
    let mut walk = Walk::new(resource, None);
    walk.root(resource);
    walk.finish()
}

/// Every problem of a Bundle: each entry is checked, each `fullUrl` occurs once, and relative and `urn:` references
/// resolve to an entry. Time is linear in the size of the Bundle.
pub fn check_bundle(bundle: &Json) -> Vec<Issue> {
    let mut walk = Walk::new(bundle, Some(bundle::Index::new(bundle)));
    walk.root(bundle);
    walk.entries(bundle);
    walk.finish()
}

struct Walk<'r> {
    issues: Vec<Issue>,
    /// Where references must resolve, when they must.
    bundle: Option<bundle::Index<'r>>,
    /// Whether the whole is a transaction, in which references may be searches.
    is_transaction: bool,
}

impl<'r> Walk<'r> {
    fn new(whole: &'r Json, bundle: Option<bundle::Index<'r>>) -> Self {
        let is_transaction = bundle::kind_of(whole) == "transaction";
        Self { issues: Vec::new(), bundle, is_transaction }
    }

    fn issue(&mut self, path: &Path<'_>, message: impl Into<String>) {
        if self.issues.len() <= ISSUES_MAX {
            let mut text = String::new();
            path.write(&mut text);
            self.issues.push(Issue { path: text, message: message.into() });
        }
    }

    fn finish(mut self) -> Vec<Issue> {
        if self.issues.len() > ISSUES_MAX {
            self.issues.truncate(ISSUES_MAX);
            self.issues.push(Issue { path: String::new(), message: "further problems are not listed".into() });
        }
        self.issues
    }

    fn root(&mut self, json: &'r Json) {
        let known = json.resource_type().and_then(|name| r4().resource_type(name));
        self.resource(json, &Path::root(known.map_or("Resource", Type::name)), None, 0);
    }

    /// A whole resource: the root, the resource of a Bundle entry or Parameters, or, with `holder`, a contained one.
    fn resource(&mut self, json: &'r Json, path: &Path<'_>, holder: Option<&Scope<'r>>, depth: u32) {
        let Json::Object(object) = json else {
            return self.issue(path, "must be a JSON object");
        };
        let Some(name) = object.get("resourceType") else {
            return self.issue(path, "resourceType is missing");
        };
        let name = name.as_str().unwrap_or_default();
        let Some(t) = r4().resource_type(name) else {
            let rule =
                if r4().is_resource_type(name) { "is not supported here" } else { "is no FHIR R4 resource type" };
            return self.issue(&path.child("resourceType"), rule);
        };
        if let Some(holder) = holder {
            self.contained(object, path);
            let points_back = holder.points_back.replace(false);
            self.object(object, t, path, holder, depth);
            // Dom-3 is content with a contained resource that refers to the one around it.
            if holder.points_back.replace(points_back)
                && let Some(id) = object.get("id").and_then(Json::as_str)
            {
                holder.refer(id);
            }
        } else {
            let scope = Scope::new(object);
            self.object(object, t, path, &scope, depth);
            self.unreferenced(&scope, path);
        }
    }

    /// What a contained resource must not have.
    fn contained(&mut self, object: &Object, path: &Path<'_>) {
        if !object.contains("id") {
            self.issue(path, "a contained resource needs an id");
        }
        if object.contains("contained") {
            self.issue(path, "dom-2: a contained resource must not contain resources");
        }
        let meta = object.get("meta");
        if meta.is_some_and(|meta| meta.get("versionId").is_some() || meta.get("lastUpdated").is_some()) {
            self.issue(path, "dom-4: a contained resource must not have a version or a last update");
        }
        if meta.is_some_and(|meta| meta.get("security").is_some()) {
            self.issue(path, "dom-5: a contained resource must not have a security label");
        }
    }

    /// Invariant dom-3, and ids that repeat.
    fn unreferenced(&mut self, scope: &Scope<'r>, path: &Path<'_>) {
        if scope.contained.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            self.issue(&path.child("contained"), "the id of a contained resource occurs twice");
        } else if scope.contained.iter().any(|(.., used)| !used.get()) {
            self.issue(&path.child("contained"), "dom-3: a contained resource must be referred to");
        }
    }

    /// The elements of a type. Gives the slots that are filled.
    fn object(&mut self, object: &'r Object, t: &'static Type, path: &Path<'_>, scope: &Scope<'r>, depth: u32) -> u64 {
        if depth > DEPTH_MAX {
            self.issue(path, "is nested too deep");
            return u64::MAX;
        }
        let mut seen = 0;
        for (name, value) in object.iter() {
            if let Some(element) = t.element(name) {
                if seen & element.slot() != 0 {
                    self.second_choice(object, t, element, path);
                }
                seen |= element.slot();
                self.element(element, value, object, path, scope, depth);
            } else if let Some(element) = name.strip_prefix('_').and_then(|name| t.element(name)) {
                if seen & element.slot() != 0 {
                    self.second_choice(object, t, element, path);
                }
                seen |= element.slot();
                self.sibling(element, value, object, &path.child(name), scope, depth);
            } else if name != "resourceType" || !t.is_resource() {
                self.unknown(t, name, path);
            }
        }
        if t.required() & !seen != 0 {
            self.missing(t, seen, path);
        }
        self.rules(t, object, seen, path);
        seen
    }

    fn missing(&mut self, t: &'static Type, seen: u64, path: &Path<'_>) {
        let mut reported = seen;
        for element in t.elements().iter().filter(|e| e.min() > 0) {
            if reported & element.slot() == 0 {
                reported |= element.slot();
                self.issue(&path.child(element.choice().unwrap_or(element.name())), "is required");
            }
        }
    }

    fn unknown(&mut self, t: &'static Type, name: &str, path: &Path<'_>) {
        if self.issues.len() > ISSUES_MAX {
            return;
        }
        let hint = t.suggest(name).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.issue(&path.child(name), format!("is no element of {}{hint}", t.name()));
    }

    /// The slot of `element` is filled already: by its own sibling, or by another type of the choice.
    fn second_choice(&mut self, object: &Object, t: &'static Type, element: &'static Element, path: &Path<'_>) {
        let Some(choice) = element.choice() else {
            return;
        };
        let of_choice = |name: &str| t.element(name.strip_prefix('_').unwrap_or(name)).map(Element::slot);
        let other = |name: &str| name.strip_prefix('_').unwrap_or(name) != element.name();
        if object.iter().any(|(name, _)| other(name) && of_choice(name) == Some(element.slot())) {
            self.issue(&path.child(element.name()), format!("only one type of {choice}[x] may be present"));
        }
    }

    fn element(
        &mut self,
        element: &'static Element,
        value: &'r Json,
        object: &'r Object,
        path: &Path<'_>,
        scope: &Scope<'r>,
        depth: u32,
    ) {
        let path = path.child(element.name());
        match (value, element.many()) {
            (Json::Array(items), true) => {
                if items.is_empty() {
                    self.issue(&path, "must not be an empty array");
                }
                let mut siblings = None;
                for (index, item) in items.iter().enumerate() {
                    if *item == Json::Null {
                        let siblings = siblings.get_or_insert_with(|| siblings_of(object, element.name()));
                        if !matches!(siblings.get(index), Some(Json::Object(_))) {
                            self.issue(&path.item(index), "null needs an extension in its place");
                        }
                    } else {
                        self.value(element, item, &path.item(index), scope, depth);
                    }
                }
            }
            (_, true) => self.issue(&path, "repeats: must be an array"),
            (Json::Array(_), false) => self.issue(&path, "does not repeat: must not be an array"),
            (Json::Null, false) => self.issue(&path, "must not be null"),
            (_, false) => self.value(element, value, &path, scope, depth),
        }
    }

    fn value(&mut self, element: &'static Element, value: &'r Json, path: &Path<'_>, scope: &Scope<'r>, depth: u32) {
        match (element.kind(), value) {
            (Kind::Primitive(primitive), _) => {
                if let Some(rule) = primitive::fault(primitive, value) {
                    self.issue(path, rule);
                } else if let Json::String(text) = value {
                    self.text(element, primitive, text, path, scope);
                }
            }
            (Kind::Complex(_), Json::Object(object)) => {
                let Some(t) = element.value_type() else {
                    return;
                };
                let seen = self.object(object, t, path, scope, depth + 1);
                if seen & !ID_SLOT == 0 {
                    self.issue(path, "ele-1: must have a value or elements");
                }
                match t.name() {
                    "Reference" => self.reference(object, element.targets(), path, scope),
                    _ if element.value_set().is_some() => self.bound(element, object, path),
                    _ => {}
                }
            }
            (Kind::Complex(_), _) => self.issue(path, "must be a JSON object"),
            (Kind::Resource, _) => {
                let holder = (element.name() == "contained").then_some(scope);
                self.resource(value, path, holder, depth + 1);
            }
        }
    }

    /// The codes of a string, and its fragment if it is a URI that points into the resource.
    fn text(
        &mut self,
        element: &'static Element,
        primitive: Primitive,
        text: &str,
        path: &Path<'_>,
        scope: &Scope<'r>,
    ) {
        if let Some(set) = element.value_set() {
            if !set.contains(text) {
                self.issue(path, binding::not_in_set(text, set));
            }
        } else if element.is_mime_type() && !binding::is_mime_type(text) {
            self.issue(path, "must be a media type such as text/plain");
        } else if matches!(primitive, Primitive::Uri | Primitive::Url | Primitive::Canonical)
            && let Some(id) = text.strip_prefix('#')
        {
            scope.refer(id);
        }
    }

    /// `_birthDate`: ids and extensions of the values of a primitive element.
    fn sibling(
        &mut self,
        element: &'static Element,
        value: &'r Json,
        object: &'r Object,
        path: &Path<'_>,
        scope: &Scope<'r>,
        depth: u32,
    ) {
        let (Kind::Primitive(_), Some(t)) = (element.kind(), r4().type_named("Element")) else {
            return self.issue(path, "only primitive elements have a member with `_`");
        };
        let values = object.get(element.name());
        match (value, element.many()) {
            (Json::Array(items), true) => {
                if items.iter().all(|item| *item == Json::Null) {
                    self.issue(path, "must have an extension");
                }
                if values.and_then(Json::as_array).is_some_and(|values| values.len() != items.len()) {
                    self.issue(path, "must have as many places as the values it belongs to");
                }
                for (index, item) in items.iter().enumerate() {
                    match item {
                        Json::Null => {}
                        Json::Object(item) => {
                            if self.object(item, t, &path.item(index), scope, depth + 1) == 0 {
                                self.issue(&path.item(index), "ele-1: must have an id or extensions");
                            }
                        }
                        _ => self.issue(&path.item(index), "must be a JSON object"),
                    }
                }
            }
            (_, true) => self.issue(path, "repeats: must be an array"),
            (Json::Object(item), false) => {
                let seen = self.object(item, t, path, scope, depth + 1);
                if seen == 0 || (seen == ID_SLOT && values.is_none()) {
                    self.issue(path, "ele-1: must have extensions when there is no value");
                }
            }
            (_, false) => self.issue(path, "must be a JSON object"),
        }
    }
}

/// `id` is the first element of every type.
const ID_SLOT: u64 = 1;

fn siblings_of<'r>(object: &'r Object, name: &str) -> &'r [Json] {
    let sibling = object.iter().find(|(other, _)| other.strip_prefix('_') == Some(name));
    sibling.and_then(|(_, value)| value.as_array()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
