//! Mapping files, compiled once, and the translation of messages by them.
//!
//! Files are data: rows from an HL7 path to a FHIR element, with a named conversion or a code set (docs/mappings.md).
//! Everything a file names is checked when it is compiled. No I/O and no expression language.

mod codes;
mod compile;
mod convert;
mod identifiers;
mod plan;
mod translate;

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod guide_adt_tests;
#[cfg(test)]
mod guide_appointment_tests;
#[cfg(test)]
mod guide_language_tests;
#[cfg(test)]
mod guide_order_tests;
#[cfg(test)]
mod guide_results_tests;
#[cfg(test)]
mod guide_tests;
#[cfg(test)]
mod sense_tests;
#[cfg(test)]
mod tests;

pub use codes::{CodeSet, Entry};
pub use compile::{FeedChange, Library, compile, compile_changed, unreachable};
pub use convert::{CONVERSIONS, ConversionDoc};
pub use identifiers::{Check, IdentifierType, nhs_number, read_identifiers};
pub use plan::{Plan, Profile};
pub use translate::{
    Bundled, Explained, Feed, Finding, Reads, Translation, explain, explain_resources, resources, translate, unmapped,
};
