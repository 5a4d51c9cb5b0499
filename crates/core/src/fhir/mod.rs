//! FHIR R4 as the engine uses it: JSON trees, the element table of HL7's definitions, a checker, and search parameters.
//!
//! Knows the FHIR R4 (4.0.1) specification and nothing of HL7 v2, mappings, stores or clocks. Resources are never turned
//! into typed structs: what is read is kept, member for member and digit for digit.

pub mod check;
pub mod date;
pub mod json;
pub mod search;
mod systems;
pub mod table;

pub(crate) use check::primitive_fault;
pub use check::{Issue, check, check_bundle};
pub use date::date_range;
pub use json::{Json, Name, Object};
pub use search::{SearchError, SearchKind, SearchParameter, matches, parameter, parameters};
pub use systems::{System, code_system};
pub use table::{Element, Kind, PathError, Primitive, Table, Type, r4};
