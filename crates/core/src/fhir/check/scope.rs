//! Where the checker stands: the path of an element and the resource around it.
//!
//! Paths live on the stack and are written out only for an issue.

use std::cell::Cell;
use std::fmt::Write;

use super::super::json::{Json, Object};

/// Longer member names are cut in paths.
const NAME_CHARS_MAX: usize = 64;

/// A place in the resource, kept on the stack and written out only for an issue.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) parent: Option<&'a Path<'a>>,
    pub(super) name: &'a str,
    pub(super) index: Option<usize>,
}

impl<'a> Path<'a> {
    pub(super) fn root(name: &'a str) -> Self {
        Self { parent: None, name, index: None }
    }

    pub(super) fn child<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { parent: Some(self), name, index: None }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self { index: Some(index), ..*self }
    }

    pub(super) fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
            out.push('.');
        }
        // A name may come from outside: what is no element name is not let into logs.
        let tame = |c: char| {
            if c.is_ascii_alphanumeric() || c == '_' { c } else { '?' }
        };
        out.extend(self.name.chars().take(NAME_CHARS_MAX).map(tame));
        if let Some(index) = self.index {
            // Writing into a String does not fail.
            let _written = write!(out, "[{index}]");
        }
    }
}

/// The resource around the element that is checked.
pub(super) struct Scope<'r> {
    pub(super) resource: &'r Object,
    /// Contained resources by id, sorted: type, and whether something refers to it.
    pub(super) contained: Vec<(&'r str, &'r str, Cell<bool>)>,
    /// Whether `#`, the resource itself, was referred to.
    pub(super) points_back: Cell<bool>,
}

impl<'r> Scope<'r> {
    pub(super) fn new(resource: &'r Object) -> Self {
        let items = resource.get("contained").and_then(Json::as_array).unwrap_or_default();
        let entry = |item: &'r Json| {
            let id = item.get("id")?.as_str()?;
            Some((id, item.resource_type().unwrap_or_default(), Cell::new(false)))
        };
        let mut contained: Vec<_> = items.iter().filter_map(entry).collect();
        contained.sort_by(|a, b| a.0.cmp(b.0));
        Self { resource, contained, points_back: Cell::new(false) }
    }

    /// The type of the contained resource with this id, which is now referred to.
    pub(super) fn refer(&self, id: &str) -> Option<&'r str> {
        let at = self.contained.binary_search_by(|entry| entry.0.cmp(id)).ok()?;
        self.contained[at].2.set(true);
        Some(self.contained[at].1)
    }
}
