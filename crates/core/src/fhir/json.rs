//! A FHIR resource as a JSON tree that keeps member order and every digit of a number, and is cheap to build.
//!
//! Knows JSON only: whether the tree is valid FHIR is for `check` to say. Nothing here hashes or sorts members.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde_json::Number;

mod serial;

use serial::intern;

/// A member's name. FHIR element names are `'static` after parsing, so copying them costs nothing.
pub type Name = Cow<'static, str>;

/// An object with more members than this is checked for duplicate names with a map, so that parsing stays linear.
const SMALL_OBJECT_MEMBERS: usize = 24;

/// Room made beforehand for members or items, whatever a length hint claims.
const CAPACITY_MAX: usize = 64;

/// A JSON value. Numbers are equal when they are written alike: 72.5 is not 72.50.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// `null`; in FHIR only inside the array of a primitive element.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it was written, to the last zero; an exponent gets a small `e` and its sign.
    Number(Number),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// The members of a JSON object in their order. A name occurs once. Look-up is linear: FHIR objects are small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(Name, Json)>);

impl Object {
    /// An object without members.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An object without members that has room for `members`.
    pub fn with_capacity(members: usize) -> Self {
        Self(Vec::with_capacity(members))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(n, _)| n == name)
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// Whether a member has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Replaces the member of this name in its place, or adds it at the end. Gives the value that was there.
    pub fn insert(&mut self, name: impl Into<Name>, value: impl Into<Json>) -> Option<Json> {
        let (name, value) = (name.into(), value.into());
        match self.get_mut(&name) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.push(name, value);
                None
            }
        }
    }

    /// Most objects of a resource have one member, so there is room for no more at first.
    fn push(&mut self, name: Name, value: Json) {
        if self.0.is_empty() {
            self.0.reserve_exact(1);
        }
        self.0.push((name, value));
    }

    /// Takes a member out; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        self.position(name).map(|at| self.0.remove(at).1)
    }

    /// The member of this name, made by `value` when it is not there.
    pub fn get_or_insert_with(&mut self, name: impl Into<Name>, value: impl FnOnce() -> Json) -> &mut Json {
        let name = name.into();
        let at = self.position(&name).unwrap_or_else(|| {
            self.push(name, value());
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The members in order, their values to be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Json)> {
        self.0.iter_mut().map(|(name, value)| (&**name, value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the members for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Json) -> bool) {
        self.0.retain_mut(|(name, value)| keep(name, value));
    }

    /// Linear: members come in order and the last value of a repeated name wins, in the place of the first.
    fn from_members(members: impl Iterator<Item = (Name, Json)>) -> Self {
        let mut builder = Builder::new(Self::with_capacity(members.size_hint().0.min(CAPACITY_MAX)));
        members.for_each(|(name, value)| builder.push(name, value));
        builder.object
    }
}

impl<N: Into<Name>> FromIterator<(N, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (N, Json)>>(members: I) -> Self {
        Self::from_members(members.into_iter().map(|(name, value)| (name.into(), value)))
    }
}

impl IntoIterator for Object {
    type Item = (Name, Json);
    type IntoIter = std::vec::IntoIter<(Name, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Adds members without looking through all of a large object each time.
struct Builder {
    object: Object,
    places: Option<HashMap<Name, usize>>,
}

impl Builder {
    fn new(object: Object) -> Self {
        Self { object, places: None }
    }

    fn push(&mut self, name: Name, value: Json) {
        let members = &mut self.object.0;
        if members.len() < SMALL_OBJECT_MEMBERS {
            self.object.insert(name, value);
            return;
        }
        let places = self
            .places
            .get_or_insert_with(|| members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect());
        match places.get(&name) {
            Some(&at) => members[at].1 = value,
            None => {
                places.insert(name.clone(), members.len());
                members.push((name, value));
            }
        }
    }
}

impl Json {
    /// Reads one JSON document. Depth is limited by serde_json (128); a repeated member's last value wins.
    ///
    /// # Errors
    /// When the bytes are not one JSON document. The error holds a place and a kind, no content.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The document as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        // Names are strings and memory does not refuse bytes: no other reason to fail exists.
        serde_json::to_vec(self).expect("a JSON tree is written into memory")
    }

    /// A string value.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A resource as it leaves: type, id, `meta` when there is one, then the elements of `body` in their order.
    pub fn resource(kind: &str, id: &str, meta: Option<Json>, body: &Json) -> Json {
        let elements = body.as_object().map(Object::iter).into_iter().flatten();
        let mut object = Object::with_capacity(elements.size_hint().0 + 3);
        object.insert("resourceType", kind);
        object.insert("id", id);
        if let Some(meta) = meta {
            object.insert("meta", meta);
        }
        for (name, value) in elements.filter(|(name, _)| *name != "resourceType") {
            object.insert(name.to_owned(), value.clone());
        }
        Json::Object(object)
    }

    /// An object value; of a repeated name the last value is kept.
    pub fn object<N: Into<Name>>(members: impl IntoIterator<Item = (N, Json)>) -> Self {
        Self::Object(members.into_iter().collect())
    }

    /// A number as written, if `text` is a JSON number.
    pub fn number(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::Number)
    }

    /// Gives back the memory that its arrays and objects have beyond what they hold, for what is kept for a while.
    pub fn shrink_to_fit(&mut self) {
        match self {
            Self::Array(items) => {
                items.iter_mut().for_each(Self::shrink_to_fit);
                items.shrink_to_fit();
            }
            Self::Object(object) => {
                object.iter_mut().for_each(|(_, value)| value.shrink_to_fit());
                object.0.shrink_to_fit();
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => {}
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The number as it is written.
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The items of an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The items of an array, to be changed.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Json>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The members of an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The members of an object, to be changed.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// A member of this object; `None` also when this is no object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }

    /// The value at a path: names and zero-based indexes, `name[0].family` or `name.0.family`.
    pub fn at(&self, path: &str) -> Option<&Json> {
        path.split(['.', '[', ']']).filter(|step| !step.is_empty()).try_fold(self, |value, step| match value {
            Self::Object(object) => object.get(step),
            Self::Array(items) => items.get(step.parse::<usize>().ok()?),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
        })
    }

    /// The text of the string at a path (see [`Json::at`]).
    pub fn str_at(&self, path: &str) -> Option<&str> {
        self.at(path)?.as_str()
    }

    /// The resource type this object claims.
    pub fn resource_type(&self) -> Option<&str> {
        self.get("resourceType")?.as_str()
    }
}

impl fmt::Display for Json {
    /// Compact JSON. Contains whatever the tree contains: not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Self {
        Self::Array(items)
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::String(text),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(map) => {
                let members = map.into_iter().map(|(name, value)| (intern(&name), Self::from(value)));
                Self::Object(Object::from_members(members))
            }
        }
    }
}

impl From<Json> for serde_json::Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::Number(number),
            Json::String(text) => Self::String(text),
            Json::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Json::Object(object) => {
                Self::Object(object.into_iter().map(|(name, value)| (name.into_owned(), value.into())).collect())
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
