//! The invariants of FHIR R4 that the checker holds resources to, and required value sets.
//!
//! Rules about which elements stand together are data: they become bit masks over a type's slots. The others are code.

use super::super::date::{self, Precision};
use super::super::json::{Json, Object};
use super::super::table::{Element, Type, ValueSet, nearest};
use super::{Path, Walk};

/// When one of `when` is present (empty: always), one of `need` must be, and none of `never`.
struct Together {
    type_name: &'static str,
    when: &'static [&'static str],
    need: &'static [&'static str],
    never: &'static [&'static str],
    text: &'static str,
}

const fn one_of(
    type_name: &'static str,
    need: &'static [&'static str],
    text: &'static str,
) -> Together {
    Together {
        type_name,
        when: &[],
        need,
        never: &[],
        text,
    }
}

const fn needs(
    type_name: &'static str,
    when: &'static [&'static str],
    need: &'static [&'static str],
    text: &'static str,
) -> Together {
    Together {
        type_name,
        when,
        need,
        never: &[],
        text,
    }
}

const fn not_both(
    type_name: &'static str,
    when: &'static [&'static str],
    never: &'static [&'static str],
    text: &'static str,
) -> Together {
    Together {
        type_name,
        when,
        need: &[],
        never,
        text,
    }
}

/// Source: the constraints of the R4 StructureDefinitions, by their keys. A choice is named without its type.
const TOGETHER: &[Together] = &[
    needs(
        "Age",
        &["code"],
        &["system"],
        "qty-3: a code needs its system",
    ),
    needs(
        "Appointment",
        &["start"],
        &["end"],
        "app-2: start needs an end",
    ),
    needs(
        "Appointment",
        &["end"],
        &["start"],
        "app-2: end needs a start",
    ),
    one_of(
        "Appointment.participant",
        &["type", "actor"],
        "app-1: a type or an actor is required",
    ),
    needs(
        "Attachment",
        &["data"],
        &["contentType"],
        "att-1: data needs a contentType",
    ),
    not_both(
        "AuditEvent.entity",
        &["name"],
        &["query"],
        "sev-1: must not have both name and query",
    ),
    one_of(
        "Bundle.entry",
        &["resource", "request", "response"],
        "bdl-5: a resource, request or response is required",
    ),
    one_of(
        "CapabilityStatement",
        &["rest", "messaging", "document"],
        "cpb-1: rest, messaging or document is required",
    ),
    one_of(
        "CapabilityStatement",
        &["description", "software", "implementation"],
        "cpb-2: a description, software or implementation is required",
    ),
    not_both(
        "CarePlan.activity",
        &["detail"],
        &["reference"],
        "cpl-3: must not have both detail and reference",
    ),
    one_of(
        "Composition.section",
        &["text", "entry", "section"],
        "cmp-1: text, entries or sections are required",
    ),
    not_both(
        "Composition.section",
        &["emptyReason"],
        &["entry"],
        "cmp-2: must not have both emptyReason and entries",
    ),
    one_of(
        "Condition.evidence",
        &["code", "detail"],
        "con-2: a code or detail is required",
    ),
    one_of(
        "Condition.stage",
        &["summary", "assessment"],
        "con-1: a summary or assessment is required",
    ),
    one_of(
        "Consent",
        &["policy", "policyRule"],
        "ppc-1: a policy or policyRule is required",
    ),
    needs(
        "ContactPoint",
        &["value"],
        &["system"],
        "cpt-2: a value needs a system",
    ),
    needs(
        "Count",
        &["code"],
        &["system"],
        "qty-3: a code needs its system",
    ),
    one_of(
        "DataRequirement.codeFilter",
        &["path", "searchParam"],
        "drq-1: a path or searchParam is required",
    ),
    not_both(
        "DataRequirement.codeFilter",
        &["path"],
        &["searchParam"],
        "drq-1: path excludes searchParam",
    ),
    one_of(
        "DataRequirement.dateFilter",
        &["path", "searchParam"],
        "drq-2: a path or searchParam is required",
    ),
    not_both(
        "DataRequirement.dateFilter",
        &["path"],
        &["searchParam"],
        "drq-2: path excludes searchParam",
    ),
    needs(
        "Distance",
        &["code"],
        &["system"],
        "qty-3: a code needs its system",
    ),
    needs(
        "Duration",
        &["code"],
        &["system"],
        "qty-3: a code needs its system",
    ),
    one_of(
        "Expression",
        &["expression", "reference"],
        "exp-1: an expression or reference is required",
    ),
    one_of(
        "Extension",
        &["extension", "value"],
        "ext-1: a value or extensions are required",
    ),
    not_both(
        "Extension",
        &["value"],
        &["extension"],
        "ext-1: must not have both a value and extensions",
    ),
    one_of(
        "Immunization.education",
        &["documentType", "reference"],
        "imm-1: a documentType or reference is required",
    ),
    not_both(
        "List",
        &["emptyReason"],
        &["entry"],
        "lst-1: must not have both emptyReason and entries",
    ),
    one_of(
        "MedicationAdministration.dosage",
        &["dose", "rate"],
        "mad-1: a dose or rate is required",
    ),
    not_both(
        "Observation",
        &["dataAbsentReason"],
        &["value"],
        "obs-6: dataAbsentReason excludes a value",
    ),
    one_of(
        "Observation.referenceRange",
        &["low", "high", "text"],
        "obs-3: low, high or text is required",
    ),
    one_of(
        "Organization",
        &["identifier", "name"],
        "org-1: an identifier or name is required",
    ),
    one_of(
        "Parameters.parameter",
        &["part", "value", "resource"],
        "inv-1: a value, resource or parts are required",
    ),
    not_both(
        "Parameters.parameter",
        &["part"],
        &["value", "resource"],
        "inv-1: parts exclude a value or resource",
    ),
    not_both(
        "Parameters.parameter",
        &["value"],
        &["resource"],
        "inv-1: a value excludes a resource",
    ),
    one_of(
        "Patient.contact",
        &["name", "telecom", "address", "organization"],
        "pat-1: a name, telecom, address or organization is required",
    ),
    needs(
        "Quantity",
        &["code"],
        &["system"],
        "qty-3: a code needs its system",
    ),
    not_both(
        "Questionnaire.item",
        &["answerOption"],
        &["answerValueSet"],
        "que-4: only one kind of answers is allowed",
    ),
    not_both(
        "Questionnaire.item",
        &["answerOption"],
        &["initial"],
        "que-11: answerOption excludes initial",
    ),
    not_both(
        "QuestionnaireResponse.item",
        &["answer"],
        &["item"],
        "qrs-1: must not have both answers and items",
    ),
    needs(
        "Ratio",
        &["numerator"],
        &["denominator"],
        "rat-1: a numerator needs a denominator",
    ),
    needs(
        "Ratio",
        &["denominator"],
        &["numerator"],
        "rat-1: a denominator needs a numerator",
    ),
    one_of(
        "Ratio",
        &["numerator", "extension"],
        "rat-1: a numerator and denominator or an extension is required",
    ),
    needs(
        "ServiceRequest",
        &["orderDetail"],
        &["code"],
        "prr-1: orderDetail needs a code",
    ),
    needs(
        "Timing.repeat",
        &["duration"],
        &["durationUnit"],
        "tim-1: duration needs a unit",
    ),
    needs(
        "Timing.repeat",
        &["period"],
        &["periodUnit"],
        "tim-2: period needs a unit",
    ),
    needs(
        "Timing.repeat",
        &["periodMax"],
        &["period"],
        "tim-6: periodMax needs a period",
    ),
    needs(
        "Timing.repeat",
        &["durationMax"],
        &["duration"],
        "tim-7: durationMax needs a duration",
    ),
    needs(
        "Timing.repeat",
        &["countMax"],
        &["count"],
        "tim-8: countMax needs a count",
    ),
    not_both(
        "Timing.repeat",
        &["timeOfDay"],
        &["when"],
        "tim-10: timeOfDay excludes when",
    ),
    not_both(
        "TriggerDefinition",
        &["data"],
        &["timing"],
        "trd-1: data excludes timing",
    ),
    needs(
        "TriggerDefinition",
        &["condition"],
        &["data"],
        "trd-2: a condition needs data",
    ),
];

/// The invariants of one type, ready to be tried.
#[derive(Debug)]
pub(crate) struct Rules {
    masks: Vec<Mask>,
    special: Option<Special>,
}

#[derive(Debug)]
struct Mask {
    when: u64,
    need: u64,
    never: u64,
    text: &'static str,
}

/// Types with rules about values.
#[derive(Clone, Copy, Debug)]
enum Special {
    AllergyIntolerance,
    Appointment,
    Bundle,
    Condition,
    Observation,
    Organization,
    Period,
    Range,
}

/// The invariants of the type with this name and these elements.
pub(crate) fn rules_of(name: &str, elements: &[Element]) -> Rules {
    let slots = |names: &[&str]| {
        let named = |e: &&Element| names.contains(&e.choice().unwrap_or(e.name()));
        elements
            .iter()
            .filter(named)
            .fold(0, |bits, e| bits | e.slot())
    };
    let mask = |rule: &Together| Mask {
        when: slots(rule.when),
        need: slots(rule.need),
        never: slots(rule.never),
        text: rule.text,
    };
    let special = match name {
        "AllergyIntolerance" => Some(Special::AllergyIntolerance),
        "Appointment" => Some(Special::Appointment),
        "Bundle" => Some(Special::Bundle),
        "Condition" => Some(Special::Condition),
        "Observation" => Some(Special::Observation),
        "Organization" => Some(Special::Organization),
        "Period" => Some(Special::Period),
        "Range" => Some(Special::Range),
        _ => None,
    };
    Rules {
        masks: TOGETHER
            .iter()
            .filter(|rule| rule.type_name == name)
            .map(mask)
            .collect(),
        special,
    }
}

impl<'r> Walk<'r> {
    /// The invariants of a type; `seen` are the slots that are filled.
    pub(super) fn rules(
        &mut self,
        t: &'static Type,
        object: &'r Object,
        seen: u64,
        path: &Path<'_>,
    ) {
        for rule in &t.rules().masks {
            let applies = rule.when == 0 || seen & rule.when != 0;
            if applies && ((rule.need != 0 && seen & rule.need == 0) || seen & rule.never != 0) {
                self.issue(path, rule.text);
            }
        }
        match t.rules().special {
            None => {}
            Some(Special::AllergyIntolerance) => self.allergy(object, path),
            Some(Special::Appointment) => self.appointment(object, path),
            Some(Special::Bundle) => self.bundle_rules(object, path),
            Some(Special::Condition) => self.condition(object, path),
            Some(Special::Observation) => self.observation(object, path),
            Some(Special::Organization) => self.organization(object, path),
            Some(Special::Period) if is_reversed(object) => {
                self.issue(path, "per-1: must not end before it starts")
            }
            Some(Special::Range) if is_falling(object) => {
                self.issue(path, "rng-2: low must not be above high")
            }
            Some(Special::Period | Special::Range) => {}
        }
    }

    fn allergy(&mut self, object: &Object, path: &Path<'_>) {
        let system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
        let is_error = has_coding(
            object.get("verificationStatus"),
            system,
            &["entered-in-error"],
        );
        match (is_error, object.contains("clinicalStatus")) {
            (false, false) => self.issue(
                path,
                "ait-1: clinicalStatus is required unless entered in error",
            ),
            (true, true) => self.issue(
                path,
                "ait-2: clinicalStatus must not be present when entered in error",
            ),
            (true, false) | (false, true) => {}
        }
    }

    fn appointment(&mut self, object: &Object, path: &Path<'_>) {
        let status = object
            .get("status")
            .and_then(Json::as_str)
            .unwrap_or_default();
        let timed = object.contains("start") && object.contains("end");
        if !timed && !matches!(status, "proposed" | "cancelled" | "waitlist") {
            self.issue(
                path,
                "app-3: start and end are required unless proposed, cancelled or waitlisted",
            );
        }
        if object.contains("cancelationReason") && !matches!(status, "cancelled" | "noshow") {
            self.issue(
                path,
                "app-4: cancelationReason is for cancelled and noshow only",
            );
        }
    }

    fn condition(&mut self, object: &Object, path: &Path<'_>) {
        let status = object.get("clinicalStatus");
        let verification = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
        if status.is_some()
            && has_coding(
                object.get("verificationStatus"),
                verification,
                &["entered-in-error"],
            )
        {
            self.issue(
                path,
                "con-5: clinicalStatus must not be present when entered in error",
            );
        }
        let clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical";
        let abated = object
            .iter()
            .any(|(name, _)| name.trim_start_matches('_').starts_with("abatement"));
        if abated && !has_coding(status, clinical, &["inactive", "remission", "resolved"]) {
            self.issue(
                path,
                "con-4: an abated condition must be inactive, resolved or in remission",
            );
        }
    }

    fn observation(&mut self, object: &'r Object, path: &Path<'_>) {
        let Some(components) = object.get("component").and_then(Json::as_array) else {
            return;
        };
        if !object.iter().any(|(name, _)| name.starts_with("value")) {
            return;
        }
        let mut codes: Vec<_> = codings(object.get("code")).collect();
        codes.sort_unstable();
        let same = |component: &'r Json| {
            codings(component.get("code")).any(|code| codes.binary_search(&code).is_ok())
        };
        if components.iter().any(same) {
            self.issue(
                path,
                "obs-7: a value must not stand beside a component of the same code",
            );
        }
    }

    fn organization(&mut self, object: &Object, path: &Path<'_>) {
        for (name, rule) in [
            ("address", "org-2: must not be a home address"),
            ("telecom", "org-3: must not be of use home"),
        ] {
            let items = object
                .get(name)
                .and_then(Json::as_array)
                .unwrap_or_default();
            if items
                .iter()
                .any(|item| item.get("use").and_then(Json::as_str) == Some("home"))
            {
                self.issue(&path.child(name), rule);
            }
        }
    }

    fn bundle_rules(&mut self, object: &Object, path: &Path<'_>) {
        let kind = object
            .get("type")
            .and_then(Json::as_str)
            .unwrap_or_default();
        let entries = object
            .get("entry")
            .and_then(Json::as_array)
            .unwrap_or_default();
        if object.contains("total") && !matches!(kind, "searchset" | "history") {
            self.issue(path, "bdl-1: total is for searchset and history only");
        }
        let asks = matches!(kind, "batch" | "transaction" | "history");
        let answers = matches!(kind, "batch-response" | "transaction-response" | "history");
        for (index, entry) in entries.iter().enumerate() {
            let path = path.child("entry").item(index);
            if entry.get("search").is_some() && kind != "searchset" {
                self.issue(&path, "bdl-2: search is for a searchset only");
            }
            if entry.get("request").is_some() != asks {
                self.issue(
                    &path,
                    "bdl-3: a request is for batch, transaction and history, and required there",
                );
            }
            if entry.get("response").is_some() != answers {
                self.issue(
                    &path,
                    "bdl-4: a response is for responses and history, and required there",
                );
            }
        }
        let first = entries
            .first()
            .and_then(|entry| entry.get("resource"))
            .and_then(Json::resource_type);
        match kind {
            "document" => {
                let identifier = object.get("identifier");
                if !identifier
                    .is_some_and(|i| i.get("system").is_some() && i.get("value").is_some())
                {
                    self.issue(
                        path,
                        "bdl-9: a document needs an identifier with system and value",
                    );
                }
                if !object.contains("timestamp") {
                    self.issue(path, "bdl-10: a document needs a timestamp");
                }
                if first != Some("Composition") {
                    self.issue(path, "bdl-11: a document must start with a Composition");
                }
            }
            "message" if first != Some("MessageHeader") => {
                self.issue(path, "bdl-12: a message must start with a MessageHeader");
            }
            _ => {}
        }
    }

    /// A Coding, CodeableConcept or Quantity with a required value set.
    pub(super) fn bound(&mut self, element: &'static Element, object: &'r Object, path: &Path<'_>) {
        let Some(set) = element.value_set() else {
            return;
        };
        let in_set = |object: &Object| {
            let text = |name| object.get(name).and_then(Json::as_str);
            text("system")
                .zip(text("code"))
                .is_some_and(|(system, code)| set.contains_coding(system, code))
        };
        let valid = match element.type_name() {
            "CodeableConcept" => {
                let codings = object
                    .get("coding")
                    .and_then(Json::as_array)
                    .unwrap_or_default();
                codings.iter().filter_map(Json::as_object).any(in_set)
            }
            "Coding" => in_set(object),
            _ => !object.contains("code") || in_set(object),
        };
        if !valid {
            self.issue(
                path,
                format!("must have a code of {}: {}", set.name(), listed(set)),
            );
        }
    }
}

/// System and code of each coding of a CodeableConcept.
fn codings(concept: Option<&Json>) -> impl Iterator<Item = (Option<&str>, &str)> {
    let codings = concept
        .and_then(|c| c.get("coding"))
        .and_then(Json::as_array)
        .unwrap_or_default();
    codings.iter().filter_map(|c| {
        Some((
            c.get("system").and_then(Json::as_str),
            c.get("code")?.as_str()?,
        ))
    })
}

fn has_coding(concept: Option<&Json>, system: &str, any: &[&str]) -> bool {
    codings(concept).any(|(found, code)| found == Some(system) && any.contains(&code))
}

/// Whether a Period certainly ends before it starts. A date beside a date with time is compared by the day.
fn is_reversed(period: &Object) -> bool {
    let text = |name| period.get(name).and_then(Json::as_str);
    let (Some(start), Some(end)) = (text("start"), text("end")) else {
        return false;
    };
    let (Some(from), Some(to)) = (date::parse(start), date::parse(end)) else {
        return false;
    };
    if (from.precision <= Precision::Day) == (to.precision <= Precision::Day) {
        return from.from >= to.to;
    }
    let days = 10.min(start.len()).min(end.len());
    start.as_bytes()[..days] > end.as_bytes()[..days]
}

/// Whether a Range's low is above its high; told only for equal units.
fn is_falling(range: &Object) -> bool {
    let (Some(low), Some(high)) = (range.get("low"), range.get("high")) else {
        return false;
    };
    let alike = ["system", "code", "unit"]
        .iter()
        .all(|name| low.get(name) == high.get(name));
    let number = |q: &Json| q.get("value")?.as_number()?.as_f64();
    alike
        && number(low)
            .zip(number(high))
            .is_some_and(|(low, high)| low > high)
}

/// No more codes than this are listed in a message.
const CODES_LISTED_MAX: usize = 12;

fn listed(set: &ValueSet) -> String {
    let mut text = set
        .codes()
        .iter()
        .take(CODES_LISTED_MAX)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if set.codes().len() > CODES_LISTED_MAX {
        text.push_str(", …");
    }
    text
}

/// The message for a code outside its required value set.
pub(super) fn not_in_set(code: &str, set: &ValueSet) -> String {
    let shown: String = code.chars().take(40).collect();
    let shown = shown.escape_debug();
    match nearest(code, set.codes().iter().copied()) {
        Some(near) => format!("`{shown}` is not in {}; did you mean `{near}`?", set.name()),
        None => format!("`{shown}` is not in {}: {}", set.name(), listed(set)),
    }
}

/// A media type (RFC 6838) with or without parameters.
pub(super) fn is_mime_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
    };
    essence
        .split_once('/')
        .is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}
