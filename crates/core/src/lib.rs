//! The pure core of Fairway: HL7 v2 reading, FHIR R4, mapping and record rules.
//!
//! It never touches the world: no socket, no file, no clock, no chance. What it needs
//! comes in as arguments, so that the fuzzer, the tests, a replay and the daemon all drive
//! the same code and get the same answer.

pub mod hl7v2;
