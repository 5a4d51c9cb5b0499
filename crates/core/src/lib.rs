//! HL7 v2, FHIR R4, mapping and record rules of Fairway. Pure: no I/O, no clock, no tokio.

pub mod fhir;
