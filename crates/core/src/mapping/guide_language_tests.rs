//! What mappings of the profile `v2-to-fhir` can say, by a small one.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::tests::{feed, library};
use super::*;
use crate::hl7v2::{Message, ParseOptions};

pub(super) const GUIDE: &str = r#"profile = "v2-to-fhir"
[[message]]
events = ["ORU^R01"]
write = [
  "people",
  { resource = "Observation", each = "OBX", rows = "result" },
  { resource = "DiagnosticReport", each = "OBR", rows = "report" },
]
[writes]
people = [{ resource = "Patient", each = "PID", key = "PID-3.1", rows = "person" }]
[rows]
person = [
  { to = "identifier", from = "PID-3[*]", as = "cx-identifier" },
  { to = "birthDate", from = "PID-7.1", as = "date" },
  { to = "generalPractitioner", make = "Practitioner", from = "PD1-4[*]", rows = "doctor" },
]
doctor = [
  { to = "identifier", from = ".", as = "xcn-identifier" },
  { to = "name.family", from = ".2" },
]
result = [
  { to = "status", value = "final" },
  { to = "code.text", from = "OBX-3.2", need = "always" },
  { to = "subject", refer = "Patient", of = "PID" },
  { to = "performer", make = "Practitioner", from = "OBX-16[*]", rows = "doctor" },
]
report = [
  { to = "status", value = "final" },
  { to = "code.text", from = "OBR-4.2" },
  { to = "subject", refer = "Patient", of = "PID" },
  { to = "result", each = "OBX", refer = "Observation" },
]
"#;

fn guide(rest: &str) -> (Vec<String>, Vec<String>) {
    let feed = feed(GUIDE);
    let text = format!("MSH|^~\\&|LAB|RXX|F|P|20260102||ORU^R01|1|P|2.4\r{rest}");
    let message = Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
    let made = crate::mapping::resources(&feed.plan, &message, &feed.zone).unwrap();
    let again = crate::mapping::resources(&feed.plan, &message, &feed.zone).unwrap();
    assert_eq!(made, again, "the same message makes the same");
    let mut ids: Vec<(String, String)> = Vec::new();
    for resource in &made.resources {
        assert_eq!(crate::fhir::check(resource), []);
        let kind = resource.str_at("resourceType").unwrap();
        let number = ids.iter().filter(|(_, name)| name.starts_with(kind)).count() + 1;
        ids.push((resource.str_at("id").unwrap().to_owned(), format!("{kind}{number}")));
    }
    let shown = made.resources.iter().map(|resource| {
        let mut text = resource.to_string();
        for (id, name) in &ids {
            text = text.replace(&format!("{}/{id}", name.trim_end_matches(char::is_numeric)), name).replace(id, "");
        }
        text.replace(r#","id":"""#, "")
    });
    (shown.collect(), made.findings.into_iter().map(|finding| format!("{} {}", finding.path, finding.text)).collect())
}

#[test]
fn the_guide_makes_resources_that_refer_to_each_other() {
    let (made, findings) = guide(
        "PID|||A1||||19700101\rPD1||||G1^Gill~G2^Gull\rOBR|1||F1|P^Panel\rOBX|1|ST|T1^One||x||||||F|||||G1^Gill\r\
         OBX|2|ST|T2^Two||y|||||F\rPID|||B2\rOBR|1||F2|Q^Other\rOBX|1|ST|T3^Three||z|||||F\r",
    );
    assert_eq!(findings, [""; 0]);
    let doctor = |id: &str, name: &str| {
        format!(r#"{{"resourceType":"Practitioner","identifier":[{{"value":"{id}"}}],"name":[{{"family":"{name}"}}]}}"#)
    };
    assert_eq!(
        made,
        [
            doctor("G1", "Gill"),
            doctor("G2", "Gull"),
            r#"{"resourceType":"Patient","identifier":[{"value":"A1"}],"birthDate":"1970-01-01","generalPractitioner":[{"reference":"Practitioner1"},{"reference":"Practitioner2"}]}"#.to_owned(),
            r#"{"resourceType":"Patient","identifier":[{"value":"B2"}]}"#.to_owned(),
            r#"{"resourceType":"Observation","status":"final","code":{"text":"One"},"subject":{"reference":"Patient1"},"performer":[{"reference":"Practitioner1"}]}"#.to_owned(),
            r#"{"resourceType":"Observation","status":"final","code":{"text":"Two"},"subject":{"reference":"Patient1"}}"#.to_owned(),
            r#"{"resourceType":"Observation","status":"final","code":{"text":"Three"},"subject":{"reference":"Patient2"}}"#.to_owned(),
            r#"{"resourceType":"DiagnosticReport","status":"final","code":{"text":"Panel"},"subject":{"reference":"Patient1"},"result":[{"reference":"Observation1"},{"reference":"Observation2"}]}"#.to_owned(),
            r#"{"resourceType":"DiagnosticReport","status":"final","code":{"text":"Other"},"subject":{"reference":"Patient2"},"result":[{"reference":"Observation3"}]}"#.to_owned(),
        ]
    );
}

#[test]
fn faults_of_references_by_same_values() {
    let of = |same: &str| {
        let text = GUIDE.replace(r#"refer = "Observation" }"#, &format!(r#"refer = "Observation", {same} }}"#));
        let (library, mut problems) = library(&[("g.toml", &text)], &[]);
        compile(&library, "g", &mut problems);
        problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(of(r#"of = "OBX", same = [["OBX-4", "OBX-4?"], ["OBX-3", "OBX-3"]]"#).len(), 1);
    for (given, expected) in [
        (r#"same = [["OBX-4", "OBR-26.2"]]"#, "`same` needs `of`: whose values are compared"),
        (r#"of = "OBX", same = [["OBX-4"]]"#, "`same` compares two paths"),
        (r#"of = "OBX", same = [["OBX-4", "OBR-26.2?"]]"#, "the first pair of `same` must be there"),
    ] {
        let found = of(given);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{given} {found:#?}");
    }
}

#[test]
fn what_the_guide_cannot_use_is_told_and_nothing_refers_to_it() {
    let (made, findings) =
        guide("PID|||A1||||female\rOBR|1||F1|P^Panel\rOBX|1|ST|T1||x|||||F\rOBX|2|ST|T2^Two||y|||||F\r");
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].starts_with("PID[1]: PID-7.1 is not a time stamp"), "{findings:?}");
    assert_eq!(findings[1], "OBX[1] OBX-3.2 must be provided. You provided []");
    assert_eq!(made[0], r#"{"resourceType":"Patient","identifier":[{"value":"A1"}]}"#);
    assert!(made[2].ends_with(r#""result":[{"reference":"Observation1"}]}"#), "{made:?}");
}

#[test]
fn what_rows_read_of_each_value_is_read() {
    let plan = feed(GUIDE).plan;
    let text = "MSH|^~\\&|LAB|RXX|F|P|20260102||ORU^R01|1|P|2.4\rPID|||A1\rPD1||||G1^Gill^Ann\rOBR|1\rOBX|1||^T|||||||||||||G1^Gill^Ann\r";
    let message = Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
    assert_eq!(unmapped(&plan, &message, None), [""; 0]);
}
