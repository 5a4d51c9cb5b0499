//! A mapping as compiled: what is left to do for a message once every name in the file has been checked.
//!
//! Data only; `compile` makes it and `translate` runs it.

use std::sync::Arc;

use super::codes::CodeSet;
use super::convert::Conversion;
use crate::fhir::Json;
use crate::hl7v2::{Path, SegmentName};
use crate::record::{ElementPath, Fault, Policy, Unknown};
use crate::source::Place;

/// Which published behaviour a mapping follows (design 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The patient-held-record API of hl7-api.
    Phr,
    /// HL7's v2-to-FHIR guide.
    V2ToFhir,
}

/// A compiled mapping file.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name, that of its file.
    pub name: String,
    /// Published behaviour it follows.
    pub profile: Profile,
    pub(super) messages: Vec<MessagePlan>,
    pub(super) blocks: Vec<Vec<Row>>,
    /// Gates that messages of some event go through.
    pub(super) passed: Vec<Place>,
    /// Gates of shared files that none goes through: gate, condition and the events that come there.
    pub(super) shut: Vec<(Place, Place, String)>,
}

/// Conditions as a file gives them, of which all must hold to go on.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) place: Place,
    /// Each with its own place.
    pub(super) conditions: Vec<(Condition, Place)>,
}

/// What is done for some trigger events.
#[derive(Debug, Clone)]
pub(super) struct MessagePlan {
    /// MSH-9.1 and MSH-9.2.
    pub(super) events: Vec<(String, String)>,
    /// True when a row or write goes through segments in their groups.
    pub(super) grouped: bool,
    pub(super) checks: Vec<Check>,
    pub(super) work: Work,
    /// What is read of each segment.
    pub(super) reads: Vec<Read>,
}

/// What a mapping makes of a message, by its profile.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// `phr`: changes of one patient's record.
    Record { patient: PatientPlan, teams: Option<(Path, Path)>, writes: Vec<WritePlan> },
    /// `v2-to-fhir`: resources that refer to each other.
    Resources(Vec<MakePlan>),
}

/// A resource for each segment, or one for the message.
#[derive(Debug, Clone)]
pub(super) struct MakePlan {
    pub(super) resource: &'static str,
    pub(super) each: Vec<SegmentName>,
    pub(super) when: Vec<Condition>,
    /// What names it beyond this message; its place names it when empty.
    pub(super) key: Vec<KeyPart>,
    /// The key counts within one patient.
    pub(super) per_patient: bool,
    /// Made even when its rows tell nothing.
    pub(super) bare: bool,
    pub(super) rows: BlockId,
}

#[derive(Debug, Clone)]
pub(super) struct PatientPlan {
    /// True for policy `merge`, false for `match`.
    pub(super) demographics: bool,
    pub(super) rows: BlockId,
}

/// A field that a mapping reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) segment: SegmentName,
    pub(super) field: u16,
    /// 0 for the whole field.
    pub(super) component: u16,
    /// Every repetition, not only the first.
    pub(super) all: bool,
}

/// A condition under which the message is refused.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) each: Vec<SegmentName>,
    pub(super) conditions: Vec<Condition>,
    pub(super) refusal: String,
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    Valued(Path),
    Absent(Path),
    /// OBX-5, when `observation-value` makes no quantity of it, so that its unit (OBX-6) has no place there.
    NoQuantity(Path),
    /// OBX-5, when it holds a document, whatever OBX-2 says of it (mapping-pitfalls 13).
    Document(Path),
    /// OBX-5, when it holds none.
    NoDocument(Path),
    SegmentValued(SegmentName),
    /// The path means no segment of this name.
    SegmentAbsent(SegmentName),
    /// The segment at hand lies in a group that begins with one of these.
    Within(Vec<SegmentName>),
    /// It lies in none.
    Outside(Vec<SegmentName>),
    In(Path, Vec<String>),
    NotIn(Path, Vec<String>),
    /// Valued paths do not all have one value.
    Differ(Vec<Path>),
    /// Both are times, and the first is after all of the second.
    After([Path; 2]),
    Count {
        segment: SegmentName,
        below: Option<usize>,
        above: Option<usize>,
    },
    /// A segment of this name stands in no order: an OBX before the first OBR.
    Loose(SegmentName),
    Pattern(Pattern),
    /// A time stamp.
    Time(Path),
    /// A time stamp without a time of the day.
    Date(Path),
}

/// Shapes of an order group that rows can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// One text over several OBX (hl7-api 6.1.1).
    TextualReport,
    /// Anything else: each OBX is a result of its own.
    Collection,
    /// An OBX that is a result of its own, and not a further line of a text that an earlier one began
    /// (mapping-pitfalls 12).
    Result,
}

pub(super) type BlockId = usize;

#[derive(Debug, Clone)]
pub(super) struct WritePlan {
    pub(super) resource: &'static str,
    pub(super) policy: Policy,
    pub(super) unknown: Unknown,
    pub(super) each: Vec<SegmentName>,
    pub(super) when: Vec<Condition>,
    pub(super) key: Vec<KeyPart>,
    /// Tells the key from the same key of another feed.
    pub(super) apart: Option<String>,
    /// Values of the filed identifier; the key's when empty.
    pub(super) identifier: Vec<Path>,
    pub(super) group: Vec<Path>,
    pub(super) whole_group: bool,
    /// One key may come only once in a message.
    pub(super) once: bool,
    pub(super) item: Option<(Arc<str>, Vec<Path>)>,
    /// None for a deletion, which needs no content.
    pub(super) rows: Option<BlockId>,
    pub(super) only: Arc<[&'static str]>,
    pub(super) sum: bool,
    pub(super) specialty: Option<Path>,
    pub(super) service: Option<Path>,
}

/// One part of a sender's key: the first valued path.
#[derive(Debug, Clone)]
pub(super) struct KeyPart {
    pub(super) paths: Vec<Path>,
    pub(super) optional: bool,
    pub(super) label: String,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) path: ElementPath,
    /// The element repeats, so values are added.
    pub(super) many: bool,
    pub(super) each: Vec<SegmentName>,
    pub(super) when: Vec<Condition>,
    pub(super) unless: Vec<Condition>,
    /// `lines` leaves out the groups that begin with these segments.
    pub(super) outside: Vec<SegmentName>,
    pub(super) source: Source,
    pub(super) op: Op,
    pub(super) need: Need,
    pub(super) label: String,
    /// Complete refusal instead of "… must be provided".
    pub(super) missing: Option<String>,
    /// Items of a repeating element get this id and a number, so that they stay when the message has none.
    pub(super) id: Option<String>,
    /// `""` removes the element.
    pub(super) null_deletes: bool,
    /// Runs only when no row before it filled the element.
    pub(super) fallback: bool,
    /// Of several instants the last one counts, not the first.
    pub(super) latest: bool,
    /// What is told when the row gives its default.
    pub(super) issue: Option<String>,
    /// Where the row stands in its file.
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Nothing is read by the row itself.
    Nothing,
    /// The first valued path; all of its values.
    First(Vec<Path>),
    /// All values of all paths, in the order of the message.
    Lines(Vec<Path>),
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Constant(Json),
    Convert {
        conversion: Conversion,
        argument: Argument,
        default: Option<Json>,
    },
    Codes {
        set: Arc<CodeSet>,
        shape: CodeShape,
        default: Option<String>,
        otherwise: Option<String>,
        /// Capitals do not matter.
        any_case: bool,
    },
    /// A block of rows, for each value of the source when there is one.
    Block(BlockId),
    /// A resource of its own that a block of rows makes, and a reference to it.
    Make {
        resource: &'static str,
        block: BlockId,
    },
    Patient,
    /// The resource that is made for a segment: the one at hand, or the first of this name; with `same` those of this name,
    /// wherever they stand, whose values are those found here.
    ReferTo {
        resource: &'static str,
        of: Option<SegmentName>,
        same: Vec<Same>,
    },
    Refer {
        resource: &'static str,
        key: Vec<KeyPart>,
    },
    /// The value of an Observation: one of `elements`, by the value type at the first path; the unit is at the second.
    ObservationValue {
        elements: Vec<ElementPath>,
        paths: [Path; 2],
    },
}

/// What some conversions take besides the value.
#[derive(Debug, Clone, Default)]
pub(super) struct Argument {
    pub(super) with: Option<String>,
    /// Further paths: the title of an attachment; start, duration and unit of an appointment; the unit of a duration.
    pub(super) paths: Vec<Path>,
    /// Durations of which the first that can be read is added to a time: a number and its unit.
    pub(super) plus: Vec<[Path; 2]>,
    /// What tells a document from others of its report.
    pub(super) identity: Vec<Path>,
    /// Days to hold a document back (hl7-api 5.3).
    pub(super) delay: Option<Path>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeShape {
    Code,
    Coding,
    CodeableConcept,
}

/// A value of another segment that must be the one found here.
#[derive(Debug, Clone)]
pub(super) struct Same {
    pub(super) there: Path,
    pub(super) here: Path,
    /// It may be missing on either side.
    pub(super) optional: bool,
}

/// When a row must have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Never,
    /// Without it the rows of its block make nothing.
    Rows,
    /// When the data point is created or replaced.
    Create,
    /// In every message.
    Always,
}

impl Check {
    /// The kind of fault: what the last condition found wrong.
    pub(super) fn fault(&self) -> Fault {
        match self.conditions.last() {
            Some(Condition::Absent(_)) => Fault::Missing,
            Some(Condition::In(..) | Condition::NotIn(..)) => Fault::Code,
            Some(Condition::Count { .. } | Condition::Loose(_)) => Fault::Structure,
            Some(Condition::Differ(_)) => Fault::Conflict,
            Some(
                Condition::NoQuantity(_)
                | Condition::Document(_)
                | Condition::NoDocument(_)
                | Condition::After(_)
                | Condition::Time(_)
                | Condition::Date(_),
            ) => Fault::Value,
            Some(Condition::SegmentAbsent(_)) => Fault::Missing,
            Some(
                Condition::Valued(_)
                | Condition::SegmentValued(_)
                | Condition::Within(_)
                | Condition::Outside(_)
                | Condition::Pattern(_),
            )
            | None => Fault::Rule,
        }
    }
}

impl Gate {
    /// The conditions, as a row or write has them.
    pub(super) fn when(&self) -> Vec<Condition> {
        self.conditions.iter().map(|(condition, _)| condition.clone()).collect()
    }
}

impl Plan {
    pub(super) fn message(&self, code: &str, trigger: &str) -> Option<&MessagePlan> {
        self.messages.iter().find(|plan| plan.events.iter().any(|event| event.0 == code && event.1 == trigger))
    }

    /// True when the mapping says what to do with this message type and trigger event.
    pub fn handles(&self, code: &str, trigger: &str) -> bool {
        self.message(code, trigger).is_some()
    }

    /// The trigger events the mapping handles, as `ADT^A28`.
    pub fn events(&self) -> impl Iterator<Item = String> {
        self.messages.iter().flat_map(|plan| plan.events.iter().map(|(code, trigger)| format!("{code}^{trigger}")))
    }
}
