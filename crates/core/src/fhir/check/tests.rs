//! Every rule of the checker with a resource that breaks it, and an outside reader as a second opinion.

#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::json::tests::any_json;
use super::*;

/// Valid resources, one a line; other validators read the same file.
fn samples() -> impl Iterator<Item = Json> {
    include_str!("samples.ndjson").lines().map(|line| Json::parse(line.as_bytes()).unwrap())
}

fn sample(resource_type: &str) -> Json {
    samples().find(|json| json.resource_type() == Some(resource_type)).unwrap()
}

/// The sample with the member at `path` set to `value`, or taken out when `value` is `-`.
fn edited(resource_type: &str, path: &str, value: &str) -> Json {
    let mut json = sample(resource_type);
    let mut steps: Vec<&str> = path.split('.').collect();
    let last = steps.pop().unwrap();
    let parent = steps.iter().fold(&mut json, |json, step| match json {
        Json::Array(items) => &mut items[step.parse::<usize>().unwrap()],
        Json::Object(object) => object.get_mut(step).unwrap_or_else(|| panic!("no {step} in {path}")),
        _ => panic!("no step {step}"),
    });
    let value = (value != "-").then(|| Json::parse(value.as_bytes()).unwrap());
    match (parent, value) {
        (Json::Array(items), Some(value)) => items[last.parse::<usize>().unwrap()] = value,
        (Json::Object(object), Some(value)) => drop(object.insert(last.to_owned(), value)),
        (parent, _) => drop(parent.as_object_mut().unwrap().remove(last)),
    }
    json
}

#[test]
fn valid_resources_pass_here_and_elsewhere() {
    for json in samples() {
        assert_eq!(check(&json), [], "{}", json.resource_type().unwrap());
        let other = fhirkit::from_json_strict::<fhirkit::r4::Resource>(&json.to_string());
        assert!(other.is_ok(), "{} {:?}", json.resource_type().unwrap(), other.err());
    }
    assert!(samples().count() >= 18);
    assert_eq!(check_bundle(&sample("Bundle")), []);
}

/// Resource type, member to change, its new value, path of the issue, part of its message.
#[rustfmt::skip] // A case is a row.
const BROKEN: &[(&str, &str, &str, &str, &str)] = &[
    // Structure.
    ("Patient", "surname", r#""x""#, "Patient.surname", "is no element of Patient"),
    ("Patient", "brithDate", r#""2024""#, "Patient.brithDate", "did you mean `birthDate`?"),
    ("Patient", "name.0.famly", r#""x""#, "Patient.name[0].famly", "no element of HumanName; did you mean `family`?"),
    ("Patient", "name.0.resourceType", r#""x""#, "Patient.name[0].resourceType", "no element of HumanName"),
    ("Patient", "name", r#"{"family":"x"}"#, "Patient.name", "must be an array"),
    ("Patient", "name", r#"["x"]"#, "Patient.name[0]", "must be a JSON object"),
    ("Patient", "name", "[]", "Patient.name", "empty array"),
    ("Patient", "name", "[{}]", "Patient.name[0]", "ele-1"),
    ("Patient", "name", r#"[{"id":"x"}]"#, "Patient.name[0]", "ele-1"),
    ("Patient", "name", "[null]", "Patient.name[0]", "null needs an extension"),
    ("Patient", "name.0._given", "-", "Patient.name[0].given[1]", "null needs an extension"),
    ("Patient", "name.0._given", r#"[null,{"id":"x"}]"#, "Patient.name[0]._given", "as many places"),
    ("Patient", "name.0._given", "[null,null,null]", "Patient.name[0]._given", "must have an extension"),
    ("Patient", "name.0._given", "[null,3,null]", "Patient.name[0]._given[1]", "must be a JSON object"),
    ("Patient", "name.0._given", r#"{"id":"x"}"#, "Patient.name[0]._given", "must be an array"),
    ("Patient", "name.0.family", r#"["x"]"#, "Patient.name[0].family", "must not be an array"),
    ("Patient", "gender", "null", "Patient.gender", "must not be null"),
    ("Patient", "gender", r#"{"x":1}"#, "Patient.gender", "must be a JSON string"),
    ("Patient", "active", r#""true""#, "Patient.active", "must be true or false"),
    ("Patient", "birthDate", "-", "", ""),
    ("Patient", "_birthDate", "{}", "Patient._birthDate", "ele-1"),
    ("Patient", "_birthDate", r#""x""#, "Patient._birthDate", "must be a JSON object"),
    ("Patient", "_birthDate", r#"{"value":"x"}"#, "Patient._birthDate.value", "is no element of Element"),
    ("Patient", "_active", r#"{"extension":[{"url":"http://x"}]}"#, "Patient._active.extension[0]", "ext-1"),
    ("Patient", "_name", r#"[{"id":"x"}]"#, "Patient._name", "only primitive"),
    ("Patient", "_gendre", r#"{"id":"x"}"#, "Patient._gendre", "is no element"),
    ("Appointment", "status", "-", "Appointment.status", "is required"),
    ("Appointment", "participant", "-", "Appointment.participant", "is required"),
    ("Appointment", "participant.0.status", "-", "Appointment.participant[0].status", "is required"),
    ("MedicationStatement", "medicationCodeableConcept", "-", "MedicationStatement.medication", "is required"),
    ("Patient", "deceasedDateTime", r#""2024""#, "Patient.deceasedDateTime", "only one type of deceased[x]"),
    ("Patient", "_deceasedDateTime", r#"{"id":"x"}"#, "Patient.deceasedDateTime", "only one type of deceased[x]"),
    ("Patient", "resourceType", r#""Patiend""#, "Resource.resourceType", "no FHIR R4 resource type"),
    ("Patient", "resourceType", r#""Substance""#, "Resource.resourceType", "not supported"),
    ("Patient", "resourceType", "3", "Resource.resourceType", "no FHIR R4 resource type"),
    ("Patient", "resourceType", "-", "Resource", "resourceType is missing"),
    ("Patient", "meta.project", r#""x""#, "Patient.meta.project", "is no element of Meta"),
    ("Binary", "url", r#""x""#, "Binary.url", "is no element of Binary"),
    // Primitives.
    ("Patient", "birthDate", r#""1972-02-30""#, "Patient.birthDate", "date of the calendar"),
    ("Patient", "birthDate", r#""19720314""#, "Patient.birthDate", "date of the calendar"),
    ("Patient", "id", r#""a b""#, "Patient.id", "must be an id"),
    ("Patient", "name.0.family", r#""""#, "Patient.name[0].family", "must not be empty"),
    ("Patient", "name.0.family", "\"a\\u0000\"", "Patient.name[0].family", "control characters"),
    ("Patient", "multipleBirthInteger", "2.0", "Patient.multipleBirthInteger", "whole number"),
    ("Patient", "telecom.0.rank", "0", "Patient.telecom[0].rank", "from 1"),
    ("Patient", "identifier.1.system", r#""urn:x y""#, "Patient.identifier[1].system", "URI"),
    ("Patient", "meta.lastUpdated", r#""2024-03-01""#, "Patient.meta.lastUpdated", "with an offset"),
    ("Appointment", "start", r#""2024-03-01T09:30:00""#, "Appointment.start", "with an offset"),
    ("Observation", "effectiveDateTime", r#""2024-03-01T09:30""#, "Observation.effectiveDateTime", "with a time"),
    ("Observation", "valueQuantity.value", r#""7""#, "Observation.valueQuantity.value", "must be a JSON number"),
    ("Binary", "data", r#""***""#, "Binary.data", "base64"),
    ("Binary", "contentType", r#""pdf""#, "Binary.contentType", "media type"),
    ("Patient", "text.div", r#""<div>x</div>""#, "Patient.text.div", "txt-1"),
    // Required value sets.
    ("Patient", "gender", r#""F""#, "Patient.gender", "`F` is not in administrative-gender: female, male, other"),
    ("Patient", "gender", r#""femal""#, "Patient.gender", "did you mean `female`?"),
    ("Condition", "clinicalStatus.coding.0.code", r#""x""#, "Condition.clinicalStatus", "condition-clinical"),
    ("Condition", "clinicalStatus.coding.0.system", r#""urn:x""#, "Condition.clinicalStatus", "condition-clinical"),
    ("Condition", "verificationStatus", r#"{"text":"sure"}"#, "Condition.verificationStatus", "condition-ver-status"),
    // References.
    ("Encounter", "subject.reference", r#""p1""#, "Encounter.subject.reference", "must be Type/id"),
    ("Encounter", "subject.reference", r#""Patient/""#, "Encounter.subject.reference", "must be Type/id"),
    ("Encounter", "subject.reference", r#""Patiend/1""#, "Encounter.subject.reference", "must be Type/id"),
    ("Encounter", "subject.reference", r#""Patient/a_b""#, "Encounter.subject.reference", "must be Type/id"),
    ("Encounter", "subject.reference", r#""urn:uuid:1""#, "Encounter.subject.reference", "must be Type/id"),
    ("Encounter", "subject.reference", r##""#x""##, "Encounter.subject.reference", "ref-1"),
    ("Encounter", "subject.reference", r#""Patient?x=1""#, "Encounter.subject.reference", "transaction"),
    ("Encounter", "subject.reference", r#""Group/1""#, "Encounter.subject.type", "must be the type"),
    ("Encounter", "subject", r#"{"reference":"Device/1"}"#, "Encounter.subject", "not refer to Device, only to Group"),
    ("Encounter", "subject", r#"{"reference":"https://x/Device/1"}"#, "Encounter.subject", "not refer to Device"),
    ("Encounter", "subject", r#"{"display":"x","type":"Device"}"#, "Encounter.subject", "not refer to Device"),
    ("Encounter", "subject", "{}", "Encounter.subject", "ele-1"),
    ("Patient", "contained.0.resourceType", r#""Device""#, "Patient.managingOrganization", "not refer to Device"),
    ("Patient", "contained.0.id", "-", "Patient.contained[0]", "needs an id"),
    ("Patient", "contained.0.meta", r#"{"versionId":"1"}"#, "Patient.contained[0]", "dom-4"),
    ("Patient", "contained.0.meta", r#"{"security":[{"code":"x"}]}"#, "Patient.contained[0]", "dom-5"),
    ("Patient", "contained.0.contained", r#"[{"resourceType":"Basic"}]"#, "Patient.contained[0]", "dom-2"),
    ("Patient", "managingOrganization", "-", "Patient.contained", "dom-3"),
    // Invariants.
    ("Patient", "extension.0.url", "-", "Patient.extension[0].url", "is required"),
    ("Patient", "extension.0.valueCodeableConcept", "-", "Patient.extension[0]", "ext-1"),
    ("Patient", "extension.0.extension", r#"[{"url":"a","valueCode":"b"}]"#, "Patient.extension[0]", "ext-1"),
    ("Patient", "contact.0", r#"{"gender":"male"}"#, "Patient.contact[0]", "pat-1"),
    ("Patient", "telecom.0.system", "-", "Patient.telecom[0]", "cpt-2"),
    ("Patient", "address.0.period.end", r#""2019""#, "Patient.address[0].period", "per-1"),
    ("Encounter", "period.end", r#""2024-02-29""#, "Encounter.period", "per-1"),
    ("Appointment", "end", "-", "Appointment", "app-2"),
    ("Appointment", "start", "-", "Appointment", "app-3"),
    ("Appointment", "participant.0.actor", "-", "Appointment.participant[0]", "app-1"),
    ("Appointment", "cancelationReason", r#"{"text":"x"}"#, "Appointment", "app-4"),
    ("Observation", "dataAbsentReason", r#"{"text":"x"}"#, "Observation", "obs-6"),
    ("Observation", "component", r#"[{"code":{"coding":[{"system":"http://loinc.org","code":"718-7"}]}}]"#, "Observation", "obs-7"),
    ("Observation", "referenceRange.0", r#"{"appliesTo":[{"text":"x"}]}"#, "Observation.referenceRange[0]", "obs-3"),
    ("Observation", "valueQuantity.system", "-", "Observation.valueQuantity", "qty-3"),
    ("DiagnosticReport", "presentedForm.0.contentType", "-", "DiagnosticReport.presentedForm[0]", "att-1"),
    ("AllergyIntolerance", "clinicalStatus", "-", "AllergyIntolerance", "ait-1"),
    ("AllergyIntolerance", "verificationStatus.coding.0.code", r#""entered-in-error""#, "AllergyIntolerance", "ait-2"),
    ("Condition", "clinicalStatus.coding.0.code", r#""active""#, "Condition", "con-4"),
    ("Condition", "verificationStatus", r#"{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"entered-in-error"}]}"#, "Condition", "con-5"),
    ("Organization", "telecom.0.use", r#""home""#, "Organization.telecom", "org-3"),
    ("Organization", "address.0.use", r#""home""#, "Organization.address", "org-2"),
    ("Consent", "policyRule", "-", "Consent", "ppc-1"),
    ("MedicationStatement", "dosage.0.timing.repeat.periodUnit", "-", "MedicationStatement.dosage[0].timing.repeat", "tim-2"),
    ("Bundle", "total", "1", "Bundle", "bdl-1"),
    ("Bundle", "entry.0.request", "-", "Bundle.entry[0]", "bdl-3"),
    ("Bundle", "entry.0.response", r#"{"status":"200"}"#, "Bundle.entry[0]", "bdl-4"),
    ("Bundle", "type", r#""message""#, "Bundle", "bdl-12"),
    ("Bundle", "type", r#""document""#, "Bundle", "bdl-11"),
    ("Bundle", "entry.1.resource.status", r#""x""#, "Bundle.entry[1].resource.status", "encounter-status"),
];

#[test]
fn every_broken_resource_is_refused_with_its_path_and_rule() {
    for (resource_type, member, value, path, rule) in BROKEN {
        let issues = check(&edited(resource_type, member, value));
        let found = issues.iter().any(|issue| issue.path == *path && issue.message.contains(rule));
        let fine = path.is_empty() && issues.is_empty();
        assert!(found || fine, "{resource_type}.{member} = {value}: {issues:?}");
    }
}

#[test]
fn nested_values_follow_their_rules() {
    let range = |low: &str, high: &str| {
        let text = format!(r#"{{"low":{{"value":{low}}},"high":{{"value":{high}}}}}"#);
        let mut json = edited("Observation", "valueQuantity", "-");
        json.as_object_mut().unwrap().insert("valueRange", Json::parse(text.as_bytes()).unwrap());
        check(&json)
    };
    assert_eq!(range("1.0", "1"), []);
    assert!(range("2", "1.5")[0].message.starts_with("rng-2"));
    let broken = edited("Observation", "extension", r#"[{"url":"http://x","valueRatio":{"numerator":{"value":1}}}]"#);
    let issues = check(&broken);
    assert_eq!((issues.len(), issues[0].path.as_str()), (1, "Observation.extension[0].valueRatio"));
    // A contained resource that points back is referred to well enough.
    let back = r##"[{"resourceType":"Encounter","id":"e","status":"planned","class":{"code":"AMB"},"subject":{"reference":"#"}}]"##;
    let mut json = edited("Patient", "managingOrganization", "-");
    json.as_object_mut().unwrap().insert("contained", Json::parse(back.as_bytes()).unwrap());
    assert_eq!(check(&json), []);
}

#[test]
fn bundles_hold_together() {
    let issue = |member: &str, value: &str| {
        let issues = check_bundle(&edited("Bundle", member, value));
        assert_eq!(issues.len(), 1, "{member} = {value}: {issues:?}");
        issues[0].to_string()
    };
    let subject = "entry.1.resource.subject";
    let text = issue(subject, r#"{"reference":"Patient/9"}"#);
    assert_eq!(text, "Bundle.entry[1].resource.subject.reference: does not resolve to an entry of the Bundle");
    let text = issue(subject, r#"{"reference":"urn:uuid:00000000-ec9a-4326-a141-556f43239520"}"#);
    assert!(text.ends_with("does not resolve to an entry of the Bundle"));
    let text = issue("entry.1.resource.partOf.reference", r#""urn:uuid:c757873d-ec9a-4326-a141-556f43239520""#);
    assert!(text.contains("must not refer to Patient, only to Encounter"));
    assert!(issue("entry.1.request.url", r#""Encounter/e8""#).contains("a PUT must go to"));
    assert!(issue("entry.0.request.url", r#""Person""#).contains("a POST must go to"));
    assert!(issue("entry.1.fullUrl", r#""https://example.org/fhir/Encounter/x""#).contains("must end with"));
    assert!(issue("entry.1.fullUrl", r#""Encounter/e9""#).contains("absolute URL"));
    let twice =
        check_bundle(&edited("Bundle", "entry.1.fullUrl", r#""urn:uuid:c757873d-ec9a-4326-a141-556f43239520""#));
    assert!(twice.iter().any(|issue| issue.message.starts_with("bdl-7")), "{twice:?}");
    assert!(check_bundle(&sample("Patient")).iter().any(|issue| issue.message == "must be a Bundle"));
}

#[test]
fn messages_hold_no_personal_data() {
    let secret = "Zebediah";
    for path in
        ["gender", "birthDate", "active", "id", "managingOrganization.reference", "maritalStatus", "name", "text.div"]
    {
        for issue in check(&edited("Patient", path, &format!("\"{secret} x\""))) {
            let is_code = issue.message.contains("administrative-gender");
            assert!(is_code || !issue.to_string().contains(secret), "{issue}");
        }
    }
    let odd = check(&edited("Patient", "a\nb\u{202e}", "1"));
    assert_eq!(odd[0].path, "Patient.a?b?");
}

#[test]
fn hostile_resources_end_in_bounded_lists() {
    let many: Vec<String> = (0..50_000).map(|n| format!("\"member{n}\":1")).collect();
    let json = Json::parse(format!("{{\"resourceType\":\"Patient\",{}}}", many.join(",")).as_bytes()).unwrap();
    let issues = check(&json);
    assert_eq!(issues.len(), ISSUES_MAX + 1);
    assert_eq!(issues[ISSUES_MAX].message, "further problems are not listed");
    let mut deep = Json::object([("url", Json::from("x"))]);
    for _ in 0..1000 {
        deep = Json::object([("url", Json::from("x")), ("extension", vec![deep].into())]);
    }
    let json = Json::object([("resourceType", Json::from("Patient")), ("extension", vec![deep].into())]);
    assert!(check(&json).iter().any(|issue| issue.message == "is nested too deep"));
}

proptest! {
    #[test]
    fn no_tree_makes_the_checker_panic(json in any_json(), at in 0_usize..19) {
        check(&json);
        check_bundle(&json);
        let mut mixed = samples().nth(at).unwrap();
        if let (Json::Object(base), Json::Object(other)) = (&mut mixed, json) {
            other.into_iter().for_each(|(name, value)| { base.insert(name, value); });
        }
        check(&mixed);
        check_bundle(&mixed);
    }
}
