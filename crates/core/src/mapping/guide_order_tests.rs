//! Orders and problems of HL7's guide (ORM, OML, OMG, OMP, PPR): one rule a test, by the mapping files themselves.

#![allow(clippy::unwrap_used)]

use super::guide_appointment_tests::{all, at, made, one};
use crate::fhir::Json;

const PID: &str = "PID|1||X1^^^RXX^MR||Doe^Jo\r";

fn statuses(segments: &str) -> Vec<String> {
    let made = made("ORM^O01", &format!("{PID}{segments}"));
    all(&made, "ServiceRequest").iter().map(|request| at(request, "status")).collect()
}

/// The resource that a reference leads to.
fn led_to<'b>(made: &'b super::Bundled, from: &Json, path: &str) -> &'b Json {
    let reference = at(from, path);
    let (kind, id) = reference.split_once('/').unwrap();
    made.resources.iter().find(|one| one.str_at("resourceType") == Some(kind) && one.str_at("id") == Some(id)).unwrap()
}

#[test]
fn each_order_is_one_request_whatever_it_is_made_of() {
    // ORC and OBR, ORC alone, OBR alone; the status is that of ORC-5, else of ORC-1.
    assert_eq!(
        statuses("ORC|NW|P1\rOBR|1|P1||A\rORC|NW|P2|F2||CM\rOBR|2|P2||B\rORC|DC|P3\rORC|XO|P4\rOBR|3|P4||C\r"),
        ["active", "completed", "unknown", "revoked"]
    );
    assert_eq!(statuses("OBR|1|P1||A\rOBR|2|P2||B\r"), ["unknown", "unknown"]);
    assert_eq!(statuses("ORC|CA|P1\r"), ["active"]);
}

#[test]
fn numbers_priority_reason_and_notes_belong_to_their_own_order() {
    let made = made(
        "OML^O21",
        &format!(
            "{PID}ORC|NW|P1^PAS|F1^LAB|G1^PAS||||||||D1^Doctor\rTQ1|1||||||||S\rOBR|1|P1^PAS||FBC^Blood^L|||||||||||||||||||||||||||Cough\r\
             NTE|1||Fasting\rDG1|1||J1^Chest^I10\rOBX|1|ST|Q^Pregnant||No||||||F\rNTE|1||of the answer\r\
             ORC|NW|P2^PAS\rOBR|2|P2^PAS||U^Urea^L|R\rSPM|1|S2&PAS||SER^Serum\r"
        ),
    );
    let requests = all(&made, "ServiceRequest");
    let (first, second) = (requests[0], requests[1]);
    assert_eq!(at(first, "identifier[0].value"), "P1");
    assert_eq!(at(first, "identifier[1].value"), "F1");
    assert_eq!(at(first, "requisition.value"), "G1");
    assert_eq!((at(first, "priority"), at(second, "priority")), ("stat".into(), "routine".into()));
    assert_eq!((at(first, "reasonCode[0].text"), at(second, "reasonCode")), ("Cough".into(), "-".into()));
    assert_eq!((at(first, "note[0].text"), at(second, "note")), ("Fasting".into(), "-".into()));
    assert_eq!(at(led_to(&made, first, "reasonReference[0].reference"), "code.text"), "Chest");
    assert_eq!(at(led_to(&made, first, "supportingInfo[0].reference"), "valueString"), "No");
    assert_eq!(at(led_to(&made, second, "specimen[0].reference"), "type.text"), "Serum");
    assert_eq!((at(first, "specimen"), at(second, "supportingInfo")), ("-".into(), "-".into()));
    assert_eq!(at(led_to(&made, first, "requester.reference"), "name[0].family"), "Doctor");
}

#[test]
fn an_order_below_its_specimen_has_that_specimen() {
    let made = made(
        "OML^O33",
        &format!(
            "{PID}SPM|1|S1&PAS||SER^Serum\rORC|NW|P1\rOBR|1|P1||A\rORC|NW|P2\rOBR|2|P2||B\rSPM|2|S2&PAS||UR^Urine\rORC|NW|P3\rOBR|3|P3||C\r"
        ),
    );
    let requests = all(&made, "ServiceRequest");
    let types: Vec<String> =
        requests.iter().map(|request| at(led_to(&made, request, "specimen[0].reference"), "type.text")).collect();
    assert_eq!(types, ["Serum", "Serum", "Urine"]);
}

#[test]
fn an_order_for_nobody_is_kept_and_told() {
    let without = made("ORM^O01", "ORC|CA|P1\r");
    assert_eq!(at(one(&without, "ServiceRequest"), "subject.display"), "Unknown patient");
    let empty = made("ORM^O01", "PID|1\rORC|NW|P1\rOBR|1|P1||A\r");
    assert_eq!(at(one(&empty, "Patient"), "gender"), "unknown");
    assert!(at(one(&empty, "ServiceRequest"), "subject.reference").starts_with("Patient/"));
    assert!(empty.findings.iter().any(|finding| finding.text.contains("says nothing of the patient")));
}

#[test]
fn who_did_what_to_an_order_is_its_provenance() {
    let made = made("ORM^O01", &format!("{PID}ORC|OC|P1|||||||202607010930|E1^Enterer|V1^Verifier|D1^Doctor\r"));
    let provenance = one(&made, "Provenance");
    assert_eq!(at(provenance, "activity.coding[0].code"), "CANCEL");
    assert_eq!(at(provenance, "recorded"), "2026-07-01T08:30:00.000Z");
    let kinds: Vec<String> =
        (0..3).map(|index| at(provenance, &format!("agent[{index}].type.coding[0].code"))).collect();
    assert_eq!(kinds, ["enterer", "verifier", "author"]);
}

#[test]
fn a_drug_is_prescribed() {
    let made = made(
        "OMP^O09",
        &format!(
            "{PID}ORC|NW|P1||||||||||D1^Doctor\rTQ1|1||||||202607010900|202607080900|A||Take with food\r\
             RXO|AMOX^Amoxicillin 500 mg^L|1|2|TAB^tablet|||||G||21|TAB^tablet|1|||||500|mg^^UCUM\rRXR|PO^Oral\r"
        ),
    );
    let request = one(&made, "MedicationRequest");
    assert_eq!((at(request, "status"), at(request, "intent")), ("active".into(), "original-order".into()));
    let drug = led_to(&made, request, "medicationReference.reference");
    assert_eq!(at(drug, "code.text"), "Amoxicillin 500 mg");
    assert_eq!(at(drug, "ingredient[0].strength.numerator.value"), "500");
    assert_eq!(at(request, "dosageInstruction[0].text"), "Take with food");
    assert_eq!(at(request, "dosageInstruction[0].route.coding[0].code"), "PO");
    assert_eq!(at(request, "dosageInstruction[0].doseAndRate[0].doseRange.high.value"), "2");
    assert_eq!(at(request, "dispenseRequest.quantity.value"), "21");
    assert_eq!(at(request, "dispenseRequest.numberOfRepeatsAllowed"), "1");
    assert_eq!(at(request, "substitution.allowedCodeableConcept.coding[0].code"), "G");
    assert_eq!(all(&made, "ServiceRequest").len(), 0);
}

#[test]
fn a_drug_that_only_the_pharmacy_encoded_is_prescribed_too() {
    let made = made("RDE^O11", &format!("{PID}ORC|NW|P1\rRXE||AMOX^Amoxicillin^L|1||TAB^tablet\rRXR|PO\r"));
    let request = one(&made, "MedicationRequest");
    assert_eq!(at(request, "intent"), "filler-order");
    assert_eq!(at(led_to(&made, request, "medicationReference.reference"), "code.text"), "Amoxicillin");
    assert_eq!(at(request, "dosageInstruction[0].doseAndRate[0].doseRange.low.value"), "1");
    assert_eq!(all(&made, "ServiceRequest").len(), 0);
}

#[test]
fn problems_are_conditions_with_a_status_of_their_own() {
    let made = made(
        "PPR^PC1",
        &format!(
            "{PID}PRB|AD|20260101|K80^Gallstones^I10|1^PAS|||20260102|||||||A\rNTE|1||of the first\r\
             PRB|AD|20260101|J1^Cough^I10|2^PAS|||||20260301\rPRB|DE|20260101|X^Wrong^I10|3^PAS\r"
        ),
    );
    let found = all(&made, "Condition");
    let each = |path: &str| -> Vec<String> { found.iter().map(|one| at(one, path)).collect() };
    assert_eq!(each("clinicalStatus.coding[0].code"), ["active", "resolved", "-"]);
    assert_eq!(each("verificationStatus.coding[0].code"), ["-", "-", "entered-in-error"]);
    assert_eq!(each("abatementDateTime"), ["-", "2026-03-01", "-"]);
    assert_eq!(each("note[0].text"), ["of the first", "-", "-"]);
}
