//! Which elements of a type must or must not stand together: invariants of R4 as data, tried as bits over slots.
//!
//! Rules that look at values are in `rules`.

use super::super::table::Element;

/// When one of `when` is present (empty: always), one of `need` must be, and none of `never`.
struct Together {
    type_name: &'static str,
    when: &'static [&'static str],
    need: &'static [&'static str],
    never: &'static [&'static str],
    text: &'static str,
}

const fn one_of(type_name: &'static str, need: &'static [&'static str], text: &'static str) -> Together {
    Together { type_name, when: &[], need, never: &[], text }
}

const fn needs(
    type_name: &'static str,
    when: &'static [&'static str],
    need: &'static [&'static str],
    text: &'static str,
) -> Together {
    Together { type_name, when, need, never: &[], text }
}

const fn not_both(
    type_name: &'static str,
    when: &'static [&'static str],
    never: &'static [&'static str],
    text: &'static str,
) -> Together {
    Together { type_name, when, need: &[], never, text }
}

/// Source: the constraints of the R4 StructureDefinitions, by their keys. A choice is named without its type.
#[rustfmt::skip] // A rule is a row.
const TOGETHER: &[Together] = &[
    needs("Age", &["code"], &["system"], "qty-3: a code needs its system"),
    needs("Appointment", &["start"], &["end"], "app-2: start needs an end"),
    needs("Appointment", &["end"], &["start"], "app-2: end needs a start"),
    one_of("Appointment.participant", &["type", "actor"], "app-1: a type or an actor is required"),
    needs("Attachment", &["data"], &["contentType"], "att-1: data needs a contentType"),
    not_both("AuditEvent.entity", &["name"], &["query"], "sev-1: must not have both name and query"),
    one_of("Bundle.entry", &["resource", "request", "response"], "bdl-5: a resource, request or response is required"),
    one_of("CapabilityStatement", &["rest", "messaging", "document"], "cpb-1: rest, messaging or document is required"),
    one_of("CapabilityStatement", &["description", "software", "implementation"], "cpb-2: a description, software or implementation is required"),
    not_both("CarePlan.activity", &["detail"], &["reference"], "cpl-3: must not have both detail and reference"),
    one_of("Composition.section", &["text", "entry", "section"], "cmp-1: text, entries or sections are required"),
    not_both("Composition.section", &["emptyReason"], &["entry"], "cmp-2: must not have both emptyReason and entries"),
    one_of("Condition.evidence", &["code", "detail"], "con-2: a code or detail is required"),
    one_of("Condition.stage", &["summary", "assessment"], "con-1: a summary or assessment is required"),
    one_of("Consent", &["policy", "policyRule"], "ppc-1: a policy or policyRule is required"),
    needs("ContactPoint", &["value"], &["system"], "cpt-2: a value needs a system"),
    needs("Count", &["code"], &["system"], "qty-3: a code needs its system"),
    one_of("DataRequirement.codeFilter", &["path", "searchParam"], "drq-1: a path or searchParam is required"),
    not_both("DataRequirement.codeFilter", &["path"], &["searchParam"], "drq-1: path excludes searchParam"),
    one_of("DataRequirement.dateFilter", &["path", "searchParam"], "drq-2: a path or searchParam is required"),
    not_both("DataRequirement.dateFilter", &["path"], &["searchParam"], "drq-2: path excludes searchParam"),
    needs("Distance", &["code"], &["system"], "qty-3: a code needs its system"),
    needs("Duration", &["code"], &["system"], "qty-3: a code needs its system"),
    one_of("Expression", &["expression", "reference"], "exp-1: an expression or reference is required"),
    one_of("Extension", &["extension", "value"], "ext-1: a value or extensions are required"),
    not_both("Extension", &["value"], &["extension"], "ext-1: must not have both a value and extensions"),
    one_of("Immunization.education", &["documentType", "reference"], "imm-1: a documentType or reference is required"),
    not_both("List", &["emptyReason"], &["entry"], "lst-1: must not have both emptyReason and entries"),
    one_of("MedicationAdministration.dosage", &["dose", "rate"], "mad-1: a dose or rate is required"),
    not_both("Observation", &["dataAbsentReason"], &["value"], "obs-6: dataAbsentReason excludes a value"),
    one_of("Observation.referenceRange", &["low", "high", "text"], "obs-3: low, high or text is required"),
    one_of("Organization", &["identifier", "name"], "org-1: an identifier or name is required"),
    one_of("Parameters.parameter", &["part", "value", "resource"], "inv-1: a value, resource or parts are required"),
    not_both("Parameters.parameter", &["part"], &["value", "resource"], "inv-1: parts exclude a value or resource"),
    not_both("Parameters.parameter", &["value"], &["resource"], "inv-1: a value excludes a resource"),
    one_of("Patient.contact", &["name", "telecom", "address", "organization"], "pat-1: a name, telecom, address or organization is required"),
    needs("Quantity", &["code"], &["system"], "qty-3: a code needs its system"),
    not_both("Questionnaire.item", &["answerOption"], &["answerValueSet"], "que-4: only one kind of answers is allowed"),
    not_both("Questionnaire.item", &["answerOption"], &["initial"], "que-11: answerOption excludes initial"),
    not_both("QuestionnaireResponse.item", &["answer"], &["item"], "qrs-1: must not have both answers and items"),
    needs("Ratio", &["numerator"], &["denominator"], "rat-1: a numerator needs a denominator"),
    needs("Ratio", &["denominator"], &["numerator"], "rat-1: a denominator needs a numerator"),
    one_of("Ratio", &["numerator", "extension"], "rat-1: a numerator and denominator or an extension is required"),
    needs("ServiceRequest", &["orderDetail"], &["code"], "prr-1: orderDetail needs a code"),
    needs("Timing.repeat", &["duration"], &["durationUnit"], "tim-1: duration needs a unit"),
    needs("Timing.repeat", &["period"], &["periodUnit"], "tim-2: period needs a unit"),
    needs("Timing.repeat", &["periodMax"], &["period"], "tim-6: periodMax needs a period"),
    needs("Timing.repeat", &["durationMax"], &["duration"], "tim-7: durationMax needs a duration"),
    needs("Timing.repeat", &["countMax"], &["count"], "tim-8: countMax needs a count"),
    not_both("Timing.repeat", &["timeOfDay"], &["when"], "tim-10: timeOfDay excludes when"),
    not_both("TriggerDefinition", &["data"], &["timing"], "trd-1: data excludes timing"),
    needs("TriggerDefinition", &["condition"], &["data"], "trd-2: a condition needs data"),
];

/// A rule over the slots of its type.
#[derive(Debug)]
pub(super) struct Mask {
    when: u64,
    need: u64,
    never: u64,
    text: &'static str,
}

impl Mask {
    /// The rule that is broken when these slots are filled.
    pub(super) fn fault(&self, seen: u64) -> Option<&'static str> {
        let applies = self.when == 0 || seen & self.when != 0;
        let broken = (self.need != 0 && seen & self.need == 0) || seen & self.never != 0;
        (applies && broken).then_some(self.text)
    }
}

/// The rules of the type with this name and these elements.
pub(super) fn masks_of(type_name: &str, elements: &[Element]) -> Vec<Mask> {
    let slots = |names: &[&str]| {
        let named = |e: &&Element| names.contains(&e.choice().unwrap_or(e.name()));
        elements.iter().filter(named).fold(0, |bits, e| bits | e.slot())
    };
    let mask = |rule: &Together| Mask {
        when: slots(rule.when),
        need: slots(rule.need),
        never: slots(rule.never),
        text: rule.text,
    };
    TOGETHER.iter().filter(|rule| rule.type_name == type_name).map(mask).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::table::r4;
    use super::*;

    #[test]
    fn every_rule_names_elements_of_its_type() {
        for rule in TOGETHER {
            let t = r4().type_named(rule.type_name).unwrap();
            for name in [rule.when, rule.need, rule.never].concat() {
                assert!(t.elements().iter().any(|e| e.choice().unwrap_or(e.name()) == name), "{name}");
            }
            assert!(rule.text.split_once(": ").unwrap().0.contains('-'));
        }
    }
}
