//! What became of a message: outcome, and a note on each data point.

use super::ResourceId;
use super::view::Effects;

/// What became of a message (design 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one change was made; `AA`.
    Applied,
    /// Accepted, and nothing had to change; `AA`.
    Unchanged,
    /// A condition we check for; `AR`.
    Rejected,
    /// Could not be read, or the store failed on it; `AE`.
    Failed,
    /// Same feed, control id and bytes as an earlier message: told the same again.
    Repeat,
}

impl Outcome {
    /// Every outcome, in the order people list them.
    pub const ALL: [Outcome; 5] =
        [Outcome::Applied, Outcome::Unchanged, Outcome::Repeat, Outcome::Rejected, Outcome::Failed];

    /// The word used in stores, metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Unchanged => "unchanged",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
            Outcome::Repeat => "repeat",
        }
    }

    /// The outcome of its word.
    pub fn parse(text: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// What happened to one data point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// First version, or the first after a deletion.
    Created,
    /// A further version.
    Updated,
    /// Marked deleted.
    Deleted,
    /// Equal to what is stored.
    Unchanged,
    /// Older than what is stored (gap 21).
    Older,
    /// The sender's key is unknown and the message creates nothing.
    NotFound,
}

impl ChangeKind {
    /// The word shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Created => "created",
            ChangeKind::Updated => "updated",
            ChangeKind::Deleted => "deleted",
            ChangeKind::Unchanged => "unchanged",
            ChangeKind::Older => "older than stored, ignored",
            ChangeKind::NotFound => "not found, nothing done",
        }
    }
}

/// What kind of fault a message was rejected for; a sender's ERR segment names it (HL7 table 0357).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Segments are missing, too many, or broken.
    Structure,
    /// A required value is missing.
    Missing,
    /// A value cannot be read as what it must be.
    Value,
    /// A code is not one of those used here.
    Code,
    /// The message type or trigger event is not handled.
    MessageType,
    /// The message is not for this environment (MSH-11).
    Environment,
    /// Nobody and nothing has the identifier.
    UnknownKey,
    /// Identifiers contradict each other or what is stored.
    Conflict,
    /// Any other rule.
    Rule,
}

/// Why a message is rejected: for its sender, without the prefix of hl7-api 1.5. The text begins with the place, as
/// `PID-7.1 …`, `OBR[1].OBX[2]: …` or `PID-3: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of fault it is.
    pub fault: Fault,
    /// The complete sentence.
    pub text: String,
}

impl Refusal {
    /// A refusal for this fault.
    pub fn new(fault: Fault, text: impl Into<String>) -> Refusal {
        Refusal { fault, text: text.into() }
    }
}

/// One line of what a message did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeNote {
    /// FHIR resource type.
    pub resource_type: &'static str,
    /// Logical id.
    pub id: ResourceId,
    /// Version after the change; 0 when there is none.
    pub version: u32,
    /// What happened.
    pub kind: ChangeKind,
}

/// The decision on one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Applied, unchanged or rejected.
    pub outcome: Outcome,
    /// Why it was rejected.
    pub refusal: Option<Refusal>,
    /// The record it is about, when one was found or made.
    pub record: Option<ResourceId>,
    /// What to write; empty when rejected.
    pub effects: Effects,
    /// What happened to each data point.
    pub notes: Vec<ChangeNote>,
}

impl Decision {
    /// A message that could not be read or decided: no effects, no refusal of ours.
    pub fn failed() -> Decision {
        Decision {
            outcome: Outcome::Failed,
            refusal: None,
            record: None,
            effects: Effects::default(),
            notes: Vec::new(),
        }
    }

    /// A refusal without effects.
    pub fn refuse(refusal: Refusal) -> Decision {
        Decision { outcome: Outcome::Rejected, refusal: Some(refusal), ..Decision::failed() }
    }
}
