//! HL7 v2, FHIR R4, mapping and record rules of Fairway.
//!
//! Pure: no I/O, no clock, no randomness; time and text come in as arguments. So everything here is tested, fuzzed and
//! replayed without the world, and the daemon is one of its users.

pub mod fhir;
pub mod hl7v2;
pub mod mapping;
mod nearest;
pub mod record;
pub mod source;
