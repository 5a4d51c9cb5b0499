//! The element table: which elements a FHIR R4 type has, with their types, cardinality, codes and reference targets.
//!
//! Read once from `r4-elements.txt` (HL7's published R4 4.0.1 definitions, CC0; written by `generate.py`). Holds the
//! definitions only; the rules of the specification's invariants are in `check::rules`.

use std::sync::LazyLock;

use super::check::rules::{Rules, rules_of};

mod index;
mod load;
mod resolve;

use crate::nearest::nearest;
use index::NameIndex;
pub use resolve::PathError;

static R4: LazyLock<Table> = LazyLock::new(|| load::load(include_str!("r4-elements.txt")));

/// The element table of FHIR R4 (4.0.1). The first call reads it, which takes a few milliseconds; later calls are free.
pub fn r4() -> &'static Table {
    &R4
}

/// Types and their elements by name. Lookups take constant time and do not allocate.
#[derive(Debug)]
pub struct Table {
    types: &'static [Type],
    by_name: NameIndex,
    /// Every element name, for sharing names between parsed resources.
    names: &'static [&'static str],
    by_element_name: NameIndex,
    /// Every concrete resource type of R4, sorted; also those without elements here.
    resource_types: &'static [&'static str],
    /// Where the id and extensions of a primitive stand in JSON: `_birthDate`.
    siblings: &'static [Element],
    by_sibling_name: NameIndex,
}

impl Table {
    /// A concrete resource type whose elements are known.
    pub fn resource_type(&self, name: &str) -> Option<&'static Type> {
        self.type_named(name).filter(|t| t.is_resource())
    }

    /// A resource type, data type or backbone type (`Patient.contact`) whose elements are known.
    pub fn type_named(&self, name: &str) -> Option<&'static Type> {
        let types = self.types;
        self.by_name.find(name, |at| types[at].name).map(|at| &types[at])
    }

    /// Every type in the table.
    pub fn types(&self) -> &'static [Type] {
        self.types
    }

    /// Whether R4 has a concrete resource type of this name, be its elements in the table or not.
    pub fn is_resource_type(&self, name: &str) -> bool {
        self.resource_types.binary_search(&name).is_ok()
    }

    /// `_birthDate` of a type with a `birthDate` that does not repeat: id and extensions of that primitive.
    fn sibling(&self, of: &Type, name: &str) -> Option<&'static Element> {
        let element = of.element(name.strip_prefix('_')?)?;
        let (siblings, found) = (self.siblings, self.by_sibling_name.find(name, |at| self.siblings[at].name));
        found.map(|at| &siblings[at]).filter(|_| matches!(element.kind, Kind::Primitive(_)) && !element.many)
    }

    /// Every concrete resource type of R4, sorted.
    pub fn resource_types(&self) -> &'static [&'static str] {
        self.resource_types
    }

    /// The shared copy of an element name, if it is one.
    pub fn intern(&self, name: &str) -> Option<&'static str> {
        let names = self.names;
        self.by_element_name.find(name, |at| names[at]).map(|at| names[at])
    }

    /// For a hint: the element of a type, or for an unknown type the type, whose name is nearest to `name`.
    pub fn suggest(&self, type_name: &str, name: &str) -> Option<&'static str> {
        match self.type_named(type_name) {
            Some(known) => known.suggest(name),
            None => self.suggest_type(type_name),
        }
    }

    /// For a hint: the type whose name is nearest to `name`.
    pub fn suggest_type(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.types.iter().map(|t| t.name))
    }
}

/// Where a type stands in FHIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A resource, such as `Patient`.
    Resource,
    /// A data type made of elements, such as `HumanName`.
    DataType,
    /// The unnamed type of an element with elements of its own, such as `Patient.contact`.
    Backbone,
}

/// A FHIR type with elements.
#[derive(Debug)]
pub struct Type {
    name: &'static str,
    kind: TypeKind,
    elements: &'static [Element],
    by_name: NameIndex,
    required: u64,
    rules: Rules,
}

impl Type {
    /// The name: `Patient`, `HumanName`, `Patient.contact`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Resource, data type or backbone.
    pub fn kind(&self) -> TypeKind {
        self.kind
    }

    /// Whether this is a resource.
    pub fn is_resource(&self) -> bool {
        self.kind == TypeKind::Resource
    }

    /// Whether this is a primitive type. Types with elements never are: a primitive is a [`Kind::Primitive`].
    pub fn is_primitive(&self) -> bool {
        false
    }

    /// An element by its name in JSON. A choice is found under each concrete name (`valueQuantity`), not as `value`.
    pub fn element(&self, name: &str) -> Option<&'static Element> {
        let elements = self.elements;
        self.by_name.find(name, |at| elements[at].name).map(|at| &elements[at])
    }

    /// The elements in the order of the definition; a choice has one for each of its types.
    pub fn elements(&self) -> &'static [Element] {
        self.elements
    }

    /// For a hint: the element whose name is nearest to `name`.
    pub fn suggest(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.elements.iter().map(|e| e.name))
    }

    /// The slots that a value must fill, as bits; see [`Element::slot`].
    pub(crate) fn required(&self) -> u64 {
        self.required
    }

    /// The invariants of this type.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// An element of a type.
#[derive(Debug)]
pub struct Element {
    name: &'static str,
    min: u8,
    many: bool,
    slot: u8,
    kind: Kind,
    binding: Option<Binding>,
    targets: &'static [&'static str],
    choice: Option<&'static str>,
}

impl Element {
    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// 1 when a value is required, else 0. R4 has no larger minimum. Of a choice, one name satisfies it.
    pub fn min(&self) -> u8 {
        self.min
    }

    /// Whether the element repeats: its value in JSON is an array.
    pub fn many(&self) -> bool {
        self.many
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The type of a value with elements; `None` for primitives and for any resource.
    pub fn value_type(&self) -> Option<&'static Type> {
        match self.kind {
            Kind::Complex(id) => r4().types.get(usize::from(id.0)),
            Kind::Primitive(_) | Kind::Resource => None,
        }
    }

    /// The name of the type of the value: `dateTime`, `HumanName`, `Patient.contact`, `Resource`.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Primitive(primitive) => primitive.name(),
            Kind::Complex(_) => self.value_type().map_or("", Type::name),
            Kind::Resource => "Resource",
        }
    }

    /// Every code of the element's required value set, sorted; `None` without such a binding.
    pub fn binding(&self) -> Option<&'static [&'static str]> {
        self.value_set().map(|set| set.codes)
    }

    /// The element's required value set.
    pub fn value_set(&self) -> Option<&'static ValueSet> {
        match self.binding {
            Some(Binding::ValueSet(set)) => Some(set),
            Some(Binding::MimeType) | None => None,
        }
    }

    /// Whether the codes are media types (RFC 6838), which cannot be listed.
    pub(crate) fn is_mime_type(&self) -> bool {
        matches!(self.binding, Some(Binding::MimeType))
    }

    /// Resource types a Reference here may point to, sorted; empty means any.
    pub fn targets(&self) -> &'static [&'static str] {
        self.targets
    }

    /// The choice this concrete name belongs to: `value` for `valueQuantity`. Of a choice one name may be present.
    pub fn choice(&self) -> Option<&'static str> {
        self.choice
    }

    /// The place in the type's presence bits. The names of one choice share it.
    pub(crate) fn slot(&self) -> u64 {
        1 << self.slot
    }
}

/// What an element's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JSON string, number or boolean.
    Primitive(Primitive),
    /// An object with elements of its own; see [`Element::value_type`].
    Complex(TypeId),
    /// A whole resource of any type.
    Resource,
}

/// A type of the table, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u16);

#[derive(Clone, Copy, Debug)]
enum Binding {
    ValueSet(&'static ValueSet),
    MimeType,
}

/// The codes of a value set with a required binding.
#[derive(Debug)]
pub struct ValueSet {
    name: &'static str,
    systems: &'static [(&'static str, &'static [&'static str])],
    codes: &'static [&'static str],
}

impl ValueSet {
    /// The last part of the value set's URL: `administrative-gender`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Every code, sorted.
    pub fn codes(&self) -> &'static [&'static str] {
        self.codes
    }

    /// Code systems with their codes, sorted.
    pub fn systems(&self) -> &'static [(&'static str, &'static [&'static str])] {
        self.systems
    }

    /// Whether a bare code is in the set.
    pub fn contains(&self, code: &str) -> bool {
        self.codes.binary_search(&code).is_ok()
    }

    /// Whether a code of a system is in the set.
    pub fn contains_coding(&self, system: &str, code: &str) -> bool {
        self.systems.iter().any(|(name, codes)| *name == system && codes.binary_search(&code).is_ok())
    }
}

macro_rules! primitives {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// The primitive types of FHIR R4.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Primitive {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Primitive {
            /// The name in the specification.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The primitive type of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

primitives! {
    Boolean "boolean", Integer "integer", PositiveInt "positiveInt", UnsignedInt "unsignedInt", Decimal "decimal",
    String "string", Markdown "markdown", Code "code", Id "id", Uri "uri", Url "url", Canonical "canonical", Oid "oid",
    Uuid "uuid", Date "date", DateTime "dateTime", Instant "instant", Time "time", Base64Binary "base64Binary",
    Xhtml "xhtml",
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn elements_are_what_the_specification_says() {
        let patient = r4().resource_type("Patient").unwrap();
        let name = patient.element("name").unwrap();
        assert!(name.many() && name.min() == 0);
        assert_eq!(name.type_name(), "HumanName");
        let gender = patient.element("gender").unwrap();
        assert_eq!(gender.binding().unwrap(), ["female", "male", "other", "unknown"]);
        let deceased = patient.element("deceasedDateTime").unwrap();
        assert_eq!((deceased.choice(), deceased.kind()), (Some("deceased"), Kind::Primitive(Primitive::DateTime)));
        assert!(patient.element("deceased").is_none());
        let general = patient.element("generalPractitioner").unwrap();
        assert_eq!(general.targets(), ["Organization", "Practitioner", "PractitionerRole"]);
        assert_eq!(patient.element("contact").unwrap().type_name(), "Patient.contact");
        assert_eq!(r4().resource_type("Observation").unwrap().element("status").unwrap().min(), 1);
        let entry_link = r4().type_named("Bundle.entry").unwrap().element("link").unwrap();
        assert_eq!(entry_link.type_name(), "Bundle.link");
    }

    #[test]
    fn only_concrete_resources_are_resource_types() {
        assert!(r4().resource_type("HumanName").is_none());
        assert!(r4().resource_type("DomainResource").is_none());
        assert!(r4().type_named("HumanName").is_some());
        assert!(r4().resource_type("Substance").is_none() && r4().is_resource_type("Substance"));
        assert!(!r4().is_resource_type("Resource"));
    }

    #[test]
    fn every_line_of_the_table_was_understood() {
        let text = include_str!("r4-elements.txt");
        let is_element = |line: &&str| !line.starts_with(['#', 'R', 'V', 'S', 'T']);
        let elements: usize = r4().types().iter().map(|t| t.elements().len()).sum();
        assert_eq!(elements, text.lines().filter(is_element).count());
        assert_eq!(r4().types().len(), text.lines().filter(|line| line.starts_with("T ")).count());
        for t in r4().types() {
            // Presence bits: `id` has the first, and a type has no more than 64.
            assert!(t.elements()[0].name() == "id" && t.elements().iter().all(|e| e.slot < 64));
            assert_eq!(r4().type_named(t.name()).unwrap().name(), t.name());
            for e in t.elements() {
                assert!(std::ptr::eq(t.element(e.name()).unwrap(), e), "{}.{}", t.name(), e.name());
                assert_eq!(r4().intern(e.name()), Some(e.name()));
                assert!(matches!(e.kind(), Kind::Complex(_)) == e.value_type().is_some());
                assert!(e.targets().iter().all(|name| r4().is_resource_type(name)));
                assert!(e.binding().is_none_or(|codes| !codes.is_empty()));
            }
        }
    }

    #[test]
    fn hints_name_the_nearest_word() {
        assert_eq!(r4().suggest("Patient", "brithDate"), Some("birthDate"));
        assert_eq!(r4().suggest("Pateint", "x"), Some("Patient"));
        assert_eq!(r4().suggest("Patient", "zzzzzzzzzz"), None);
    }
}
