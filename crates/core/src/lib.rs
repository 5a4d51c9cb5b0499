//! HL7 v2, FHIR R4, mapping and record rules of Fairway. Never does I/O and never asks for the time.

pub mod hl7v2;
