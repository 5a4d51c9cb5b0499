//! Record rules: whose record a message is about and what becomes of it.
//!
//! `decide` sees a [`View`] of the store and a [`RecordUpdate`] and yields [`Effects`]; it is pure, so replays are exact
//! and every store shares every rule. No HL7, no SQL, no clock.

mod complete;
mod decide;
mod encounter;
mod id;
mod outcome;
mod patient;
mod preview;
mod report;
pub mod team;
mod update;
mod view;
mod wanted;

#[cfg(test)]
mod tests;

pub use decide::decide;
pub use encounter::EventItem;
pub use id::{ResourceId, sha256_hex};
pub use outcome::{ChangeKind, ChangeNote, Decision, Fault, Outcome, Refusal};
pub use preview::preview;
pub use update::{
    Assignment, Blob, Change, ElementPath, IdentifierKey, IdentifierKind, Item, PATIENT_REFERENCE, PatientIdentifier,
    PatientUpdate, Policy, RecordUpdate, Step, Unknown, apply, name_patient,
};
pub use view::{Effects, IdentifierEffect, PointHead, Retired, View};
pub use wanted::Wanted;
