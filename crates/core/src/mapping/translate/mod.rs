//! Translates one message by a compiled mapping into a record update; pure, no I/O, no clock.
//!
//! A message the mapping has no answer for is refused with a reason that names segment, field and repetition; nothing
//! is dropped without being counted (see [`unmapped`]). `scope` finds what a path means where a row stands, `changes`
//! makes data points, `resources` what the HL7 guide makes, `rows` fills their elements.

mod changes;
mod reads;
mod resources;
mod rows;
mod scope;
mod trace;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fairway_care::{Label, Organisation, TeamRequest};

use super::convert;
use super::identifiers::{IdentifierType, patient_identifiers};
use super::plan::{Plan, Profile, Read, Work};
use crate::hl7v2::{Message, Path, SegmentName, Structure, Zone};
use crate::record::{Blob, Fault, PatientUpdate, RecordUpdate, Refusal};
use resources::Resources;
use scope::{Places, Scope};
use trace::{Mark, Trace};

pub use reads::Reads;
pub use resources::{Bundled, explain_resources, resources};
pub use trace::Explained;

/// Everything of a feed that translating its messages needs.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Name, that of its file.
    pub name: String,
    /// Its mapping.
    pub plan: Arc<Plan>,
    /// Who sends it.
    pub organisation: Arc<Organisation>,
    /// Patient identifiers it knows: the national ones and the organisation's own.
    pub identifiers: Arc<[IdentifierType]>,
    /// Zone of times without an offset.
    pub zone: Zone,
    /// Labels by PV1-10 code (hl7-api 8.2, rule 1).
    pub specialty_labels: HashMap<String, Label>,
    /// Labels by OBR-4 code (hl7-api 8.2, rule 2).
    pub service_labels: HashMap<String, Label>,
    /// Team whose credentials the sender shows; a team named in MSH-4 goes before it (hl7-api 2.8).
    pub source_team: Option<String>,
    /// Only national numbers of the reserved test range are taken (design 3).
    pub test_numbers_only: bool,
    /// Only messages with MSH-11 `P` are taken (hl7-api 1.4).
    pub production_only: bool,
}

/// Something an integration engineer should look at in an accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where in the message, e.g. `PID-8.1` or `OBR[1].OBX[2]: OBX-8[1]`.
    pub path: String,
    /// What was found; never the value itself.
    pub text: String,
}

/// What a message asks for, and what was noticed on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Translation {
    /// The record update.
    pub update: RecordUpdate,
    /// Codes without a mapping and the like.
    pub findings: Vec<Finding>,
    /// The fields it was made of.
    pub reads: Reads,
}

/// How far a sender's clock may be ahead, in µs: a year. What is entered later than everything that follows would keep
/// it all out, so a wrong year must not get in.
const AHEAD_MAX: i64 = 366 * 24 * 3600 * 1_000_000;

/// Translates a message of this feed; `now` is the time of its arrival as µs since 1970 UTC.
///
/// # Errors
/// A [`Refusal`] when the mapping does not handle the message type, a check of it fails, a required element is missing
/// or a value cannot be read.
pub fn translate(feed: &Feed, message: &Message, now: i64) -> Result<Translation, Refusal> {
    translate_traced(feed, message, now, Trace::default()).map(|(translation, _)| translation)
}

/// Where each element came from that [`translate`] makes; empty when it refuses the message.
pub fn explain(feed: &Feed, message: &Message, now: i64) -> Vec<Explained> {
    let traced = translate_traced(feed, message, now, Trace::asked(true));
    traced.map(|(_, trace)| trace.into_found()).unwrap_or_default()
}

fn translate_traced(feed: &Feed, message: &Message, now: i64, trace: Trace) -> Result<(Translation, Trace), Refusal> {
    let refuse = |fault, text: &str| Err(Refusal::new(fault, text));
    let (code, trigger) = (message.code(), message.trigger());
    let Some(plan) = feed.plan.message(&code, &trigger) else {
        let text = format!("MSH-9: {code}^{trigger} is not handled by the feed {}", feed.name);
        return refuse(Fault::MessageType, &text);
    };
    if feed.production_only && message.processing_id() != "P" {
        return refuse(Fault::Environment, "MSH-11.1 (processing id) must be P in production");
    }
    if message.control_id().trim().is_empty() {
        return refuse(Fault::Missing, "MSH-10.1 (message control id) must be provided. You provided []");
    }
    let header = message.segment_at(0).map(|segment| segment.field(7).component(1));
    let sent_at = match header.map(convert::timestamp) {
        Some(Ok(Some(time))) => time.instant_before(now, &feed.zone),
        Some(Err(text)) => return refuse(Fault::Value, &format!("MSH-7.1 (message time) {text}")),
        Some(Ok(None)) | None => {
            return refuse(Fault::Missing, "MSH-7.1 (message time) must be provided. You provided []");
        }
    };
    if sent_at.saturating_sub(now) > AHEAD_MAX {
        return refuse(Fault::Value, "MSH-7.1 (message time) is more than a year ahead; correct the sender's clock");
    }
    if let Some(before) = stray_line(message).filter(|_| feed.plan.profile == Profile::Phr) {
        let text = format!("{before}: the line after it is no segment; send a line break inside a field as \\.br\\");
        return refuse(Fault::Structure, &text);
    }
    let structure = plan.grouped.then(|| Structure::of(message));
    if message.named("PID").nth(1).is_some() {
        return refuse(Fault::Structure, "PID[2]: a message holds exactly one patient; send one message for each");
    }
    let places = Places::new(message, structure.as_ref(), &feed.zone);
    let Work::Record { patient: patient_plan, teams: teams_plan, writes } = &plan.work else {
        let text = format!("MSH-9: the mapping {} makes FHIR resources of messages and files none", feed.plan.name);
        return refuse(Fault::Rule, &text);
    };
    let mut run = Run::new(&feed.plan, feed.organisation.code(), &feed.zone, places, trace);
    let whole = Scope::whole();
    run.places.run_checks(&plan.checks, &whole)?;
    let identifiers = patient_identifiers(message, &feed.identifiers, feed.test_numbers_only)
        .map_err(|text| Refusal::new(Fault::Value, text))?;
    if identifiers.is_empty() {
        let text = "PID-3: at least one patient identifier that this organisation uses must be provided";
        return refuse(Fault::Missing, text);
    }
    let mut patient = PatientUpdate {
        demographics: patient_plan.demographics,
        identifiers,
        assignments: Vec::new(),
        missing: Vec::new(),
    };
    run.block(patient_plan.rows, &whole, &mut patient.assignments, &mut patient.missing)?;
    run.trace.name(Mark::default(), "Patient");
    let teams = match teams_plan {
        Some((add, remove)) => run.teams(add, remove)?,
        None => None,
    };
    let changes = run.writes(feed, writes, sent_at, &whole)?;
    let named = feed.organisation.team(message.sending_facility().trim());
    let source_team = named.or_else(|| feed.organisation.team(feed.source_team.as_ref()?));
    let creating_team = source_team.unwrap_or_else(|| feed.organisation.default_team()).alias.clone();
    let Run { blobs, findings, trace, places, .. } = run;
    let reads = places.reading.into_reads();
    let update = RecordUpdate {
        organisation: feed.organisation.clone(),
        creating_team,
        sent_at,
        patient,
        teams,
        changes,
        blobs,
    };
    Ok((Translation { update, findings, reads }, trace))
}

/// The segment before the first line that is none, as `PID[1]`. Most often the line is the rest of a field in which its
/// sender left a line break.
fn stray_line(message: &Message) -> Option<String> {
    let stray = message.segments().position(|segment| SegmentName::parse(segment.name()).is_none())?;
    let before = message.segment_at(stray.checked_sub(1)?)?;
    Some(format!("{}[{}]", before.name(), before.occurrence()))
}

/// Aliases in one list of teams at most.
const TEAMS_MAX: usize = 1000;

/// The valued fields of a message of which nothing was made, as `PID-10`, where only other components are read as
/// `PID-5.7`, and where only the first repetition is read as `PV1-7[2]`; each once. Without `reads`, those that no row of
/// its mapping reads. MSH and the patient identifiers are always read.
pub fn unmapped(plan: &Plan, message: &Message, reads: Option<&Reads>) -> Vec<String> {
    let Some(plan) = plan.message(&message.code(), &message.trigger()) else { return Vec::new() };
    let (mut found, mut known): (Vec<String>, HashSet<String>) = Default::default();
    let mut add = |path: String| {
        if known.insert(path.clone()) {
            found.push(path);
        }
    };
    for segment in message.segments() {
        let name = segment.name();
        for number in 1..=segment.field_count() {
            // Separators and set ids say nothing of the patient.
            if (name == "MSH" && number < 3) || (number == 1 && is_numbered(name)) {
                continue;
            }
            let field = segment.field(number);
            // EVN-1 says once more what MSH-9 says.
            let again = name == "EVN" && number == 1 && field.trimmed() == message.trigger();
            if !field.is_valued() || again {
                continue;
            }
            let by_plan: Vec<&Read> =
                plan.reads.iter().filter(|read| read.segment.as_str() == name && read.field == number).collect();
            let always = name == "MSH" || name == "PID" && matches!(number, 2 | 3);
            let was_read = always || reads.is_none_or(|reads| reads.has(segment.index(), number));
            if by_plan.is_empty() || !was_read {
                add(format!("{name}-{number}"));
                continue;
            }
            for (repetition_index, repetition) in field.repetitions().enumerate() {
                let mut of_this = by_plan.iter().filter(|read| read.all || repetition_index == 0).peekable();
                if of_this.peek().is_none() {
                    if repetition.is_valued() {
                        add(format!("{name}-{number}[{}]", repetition_index + 1));
                    }
                    continue;
                }
                let components: Vec<u16> = of_this.map(|read| read.component).collect();
                for (index, component) in repetition.components().enumerate() {
                    let component_number = u16::try_from(index + 1).unwrap_or(u16::MAX);
                    let read = components.contains(&0) || components.contains(&component_number);
                    if component.is_valued() && !read {
                        add(format!("{name}-{number}.{component_number}"));
                    }
                }
            }
        }
    }
    found
}

/// Segments whose first field counts them.
fn is_numbered(name: &str) -> bool {
    const NUMBERED: [&str; 22] = [
        "PID", "PV1", "OBR", "OBX", "NTE", "NK1", "AL1", "IAM", "DG1", "PR1", "IN1", "IN2", "GT1", "RGS", "AIS", "AIG",
        "AIL", "AIP", "TQ1", "SPM", "PRT", "IN3",
    ];
    NUMBERED.contains(&name)
}

/// One translation under way.
struct Run<'a, 'm> {
    plan: &'a Plan,
    /// Code of the organisation whose codes and numbers these are.
    organisation: &'a str,
    zone: &'a Zone,
    places: Places<'m>,
    blobs: Vec<Blob>,
    findings: Vec<Finding>,
    resources: Resources,
    trace: Trace,
}

impl<'a, 'm> Run<'a, 'm> {
    fn new(plan: &'a Plan, organisation: &'a str, zone: &'a Zone, places: Places<'m>, trace: Trace) -> Run<'a, 'm> {
        let (blobs, findings) = (Vec::new(), Vec::new());
        Run { plan, organisation, zone, places, blobs, findings, resources: Resources::default(), trace }
    }

    /// The aliases of the segment that lists teams; none when it is not there or empty.
    fn teams(&self, add: &Path, remove: &Path) -> Result<Option<TeamRequest>, Refusal> {
        let aliases = |path: &Path| -> Result<Vec<String>, Refusal> {
            let mut aliases: Vec<String> = Vec::new();
            self.places.each_value(&Scope::whole(), path, |value| {
                aliases.extend(Some(value.trimmed().into_owned()).filter(|alias| !alias.is_empty()));
                aliases.len() > TEAMS_MAX
            });
            if aliases.len() > TEAMS_MAX {
                return Err(Refusal::new(Fault::Rule, format!("{path} lists more than {TEAMS_MAX} teams")));
            }
            Ok(aliases)
        };
        let request = TeamRequest { add: aliases(add)?, remove: aliases(remove)? };
        Ok((!request.add.is_empty() || !request.remove.is_empty()).then_some(request))
    }

    /// What cannot be read is told and left out rather than refused.
    fn is_lenient(&self) -> bool {
        self.plan.profile == Profile::V2ToFhir
    }
}
