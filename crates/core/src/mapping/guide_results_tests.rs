//! Results, documents and immunisations by the mapping `v2-to-fhir`: short messages, one rule each.

#![allow(clippy::unwrap_used)]

use super::guide_tests::GUIDE;
use super::*;
use crate::fhir::{self, Json};
use crate::hl7v2::{Message, ParseOptions, Zone};

/// What a message of these segments becomes.
struct Made(Bundled);

fn made(event: &str, segments: &str) -> Made {
    let text = format!("MSH|^~\\&|LAB|RXX|Y|Z|20240703120000||{event}|1|P|2.5\r{segments}");
    let message = Message::parse(text.replace('\n', "\r").into(), &ParseOptions::default()).unwrap();
    let made = resources(&GUIDE, &message, &Zone::named("Europe/London").unwrap()).unwrap();
    for resource in &made.resources {
        assert!(fhir::check(resource).is_empty(), "{resource}");
    }
    Made(made)
}

/// A result of these OBX and NTE, under one order.
fn result(segments: &str) -> Made {
    made("ORU^R01", &format!("PID|||7^^^RXX^MR\nOBR|1|P1|F1|GLU^Glucose^L|||20240701||||||||||||||||||F\n{segments}"))
}

impl Made {
    fn all(&self, kind: &str) -> Vec<&Json> {
        self.0.resources.iter().filter(|made| made.str_at("resourceType") == Some(kind)).collect()
    }

    fn one(&self, kind: &str) -> &Json {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind}");
        all[0]
    }

    fn issues(&self) -> Vec<String> {
        self.0.findings.iter().map(|finding| format!("{}: {}", finding.path, finding.text)).collect()
    }
}

fn reference(to: &Json) -> String {
    format!("{}/{}", to.str_at("resourceType").unwrap(), to.str_at("id").unwrap())
}

/// The JSON of an element.
fn at(resource: &Json, name: &str) -> String {
    resource.get(name).map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

#[test]
fn every_order_is_a_report_with_its_own_results_and_request() {
    let made = made(
        "ORU^R01",
        "PID|||7^^^RXX^MR\nORC|RE|P1||G1|CM\nOBR|1|P9|F1|FBC^Blood count^L|||202407010900|202407010905||||||||||||||20240702||HM|F\n\
         OBX|1|NM|HB^Haemoglobin^L||142|g/L|120-150|H|||F\n\
         OBR|2|P2|F2|GLU^Glucose^L|||20240701|||||||||||||||202407021000|||C\nOBX|1|NM|GLU^Glucose^L||4.20|||||F\n",
    );
    let reports = made.all("DiagnosticReport");
    assert_eq!(reports.len(), 2);
    let [first, second] = reports[..] else { panic!() };
    let numbers = at(first, "identifier");
    // The number of ORC goes first; a different one in OBR is not lost.
    assert!(
        numbers.find("\"P1\"").unwrap() < numbers.find("\"P9\"").unwrap() && numbers.contains("\"G1\""),
        "{numbers}"
    );
    assert_eq!(at(first, "basedOn"), format!(r#"[{{"reference":"{}"}}]"#, reference(made.all("ServiceRequest")[0])));
    assert_eq!(at(first, "result"), format!(r#"[{{"reference":"{}"}}]"#, reference(made.all("Observation")[0])));
    assert_eq!(at(second, "result"), format!(r#"[{{"reference":"{}"}}]"#, reference(made.all("Observation")[1])));
    assert_eq!(
        at(first, "effectivePeriod"),
        r#"{"start":"2024-07-01T09:00:00+01:00","end":"2024-07-01T09:05:00+01:00"}"#
    );
    assert_eq!(at(second, "effectiveDateTime"), r#""2024-07-01""#);
    // An instant needs a time of day: none is invented.
    assert_eq!((at(first, "issued"), at(second, "issued")), ("nothing".into(), r#""2024-07-02T09:00:00.000Z""#.into()));
    assert!(made.issues().iter().any(|issue| issue.starts_with("OBR[1]: OBR-22")), "{:?}", made.issues());
    assert_eq!((first.str_at("status"), second.str_at("status")), (Some("final"), Some("corrected")));
    assert!(at(first, "category").contains("Hematology"));
    assert_eq!(made.all("ServiceRequest")[0].str_at("status"), Some("completed"));
}

#[test]
fn a_status_without_counterpart_is_told_and_never_final() {
    for code in ["A", "M", "N", "Y", "Z", ""] {
        let made = made("ORU^R01", &format!("PID|||7\nOBR|1||F1|X^X^L{}{code}\n", "|".repeat(21)));
        assert_eq!(made.one("DiagnosticReport").str_at("status"), Some("unknown"), "{code}");
        assert!(
            made.issues().iter().any(|issue| issue.starts_with("OBR[1]: OBR-25.1: ")),
            "{code} {:?}",
            made.issues()
        );
    }
    for code in ["N", "O", "V", "S", "U", ""] {
        let made = result(&format!("OBX|1|NM|X^X^L||1||||||{code}\n"));
        assert_eq!(made.one("Observation").str_at("status"), Some("unknown"), "{code}");
        assert!(made.issues().iter().any(|issue| issue.contains("OBX-11.1")), "{code} {:?}", made.issues());
    }
    for (code, status) in [("C", "corrected"), ("X", "cancelled"), ("W", "entered-in-error"), ("P", "preliminary")] {
        let made = result(&format!("OBX|1|NM|X^X^L||1||||||{code}\n"));
        assert_eq!((made.one("Observation").str_at("status"), made.issues()), (Some(status), Vec::new()));
    }
}

#[test]
fn values_are_what_their_type_says() {
    let value = |kind: &str, value: &str, unit: &str| {
        let made = result(&format!("OBX|1|{kind}|X^X^L||{value}|{unit}|||||F\n"));
        let Json::Object(object) = made.one("Observation").clone() else { panic!() };
        let named = |name: &str| name.starts_with("value") || name == "component";
        let found: Vec<String> =
            object.iter().filter(|(name, _)| named(name)).map(|(name, value)| format!("{name} {value}")).collect();
        found.join(" ")
    };
    assert_eq!(value("NM", "4.20", "mmol/L"), r#"valueQuantity {"value":4.20,"unit":"mmol/L"}"#);
    assert_eq!(
        value("NM", "4", r"10*9/L^x10\S\9/L^UCUM"),
        r#"valueQuantity {"value":4,"unit":"x10^9/L","system":"http://unitsofmeasure.org","code":"10*9/L"}"#
    );
    assert_eq!(value("NM", "<15", "mmol/L"), r#"valueString "<15""#);
    assert_eq!(value("NR", "1^2", "g"), r#"valueRange {"low":{"value":1,"unit":"g"},"high":{"value":2,"unit":"g"}}"#);
    assert_eq!(value("DR", "20240101^20240102", ""), r#"valuePeriod {"start":"2024-01-01","end":"2024-01-02"}"#);
    assert_eq!(
        value("SN", ">^1^:^128", ""),
        r#"valueRatio {"numerator":{"value":1,"comparator":">"},"denominator":{"value":128}}"#
    );
    assert_eq!(value("CWE", "^Positive", ""), r#"valueCodeableConcept {"text":"Positive"}"#);
    // Several values are components under the same code; text that repeats is lines.
    let concept =
        r#""code":{"coding":[{"system":"urn:fairway:rxx:codesystem:l","code":"X","display":"X"}],"text":"X"}"#;
    assert_eq!(
        value("NM", "27~25", ""),
        format!(
            r#"component [{{{concept},"valueQuantity":{{"value":27}}}},{{{concept},"valueQuantity":{{"value":25}}}}]"#
        )
    );
    assert_eq!(value("TX", "one~~two", ""), r#"valueString "one\n\ntwo""#);
    assert_eq!(value("NM", r#""""#, ""), "");
    assert_eq!(value("", "GEORGE, C", ""), r#"valueString "GEORGE, C""#);
}

#[test]
fn reference_ranges_keep_their_text_and_give_plain_ends() {
    let range =
        |text: &str| at(result(&format!("OBX|1|NM|X^X^L||4||{text}||||F\n")).one("Observation"), "referenceRange");
    assert_eq!(range("3.50 - 5.0"), r#"[{"low":{"value":3.50},"high":{"value":5.0},"text":"3.50 - 5.0"}]"#);
    assert_eq!(range("<5"), r#"[{"high":{"value":5},"text":"<5"}]"#);
    assert_eq!(range("-2-3"), r#"[{"low":{"value":-2},"high":{"value":3},"text":"-2-3"}]"#);
    assert_eq!(range("<130 optimal"), r#"[{"text":"<130 optimal"}]"#);
}

#[test]
fn lines_of_one_text_are_one_result() {
    let made = result(
        "OBX|1|TX|RPT^Report^L||||||||F\nOBX|2|TX|RPT^Report^L||  Name      Value||||||F\n\
         OBX|3|TX|RPT^Report^L||||||||F\nOBX|4|FT|RPT^Report^L||a\\.br\\\\.br\\b||||||F\n",
    );
    assert_eq!(made.one("Observation").str_at("valueString"), Some("\n  Name      Value\n\na\n\nb"));
    // Suffixes name the parts of one report; the impression is its conclusion, and the code is the order's.
    let made = result(
        "OBX|1|TX|&GDT^Findings|1|Found||||||F\nOBX|2|TX|&IMP^Impression|2|Meant||||||F\nOBX|3|TX|&REC^Advice||Do||||||F\n\
         OBX|4|CWE|S^Score^L||2^Two^L||||||F\n",
    );
    assert_eq!(made.all("Observation").len(), 2);
    assert_eq!(made.all("Observation")[0].str_at("valueString"), Some("Found\nMeant\nDo"));
    assert!(at(made.all("Observation")[0], "code").contains("GLU"));
    assert_eq!(made.one("DiagnosticReport").str_at("conclusion"), Some("Meant"));
    // Another sub-id is another result where the order has more than one text.
    let made = result("OBX|1|TX|O^O^L|1|E. coli||||||F\nOBX|2|TX|O^O^L|2|S. aureus||||||F\nOBX|3|NM|N^N^L||1||||||F\n");
    assert_eq!(made.all("Observation").len(), 3);
}

#[test]
fn comments_stay_at_their_level() {
    let made = made(
        "ORU^R01",
        "PID|||7\nNTE|1||of the patient\nOBR|1||F1|X^X^L\nNTE|1||of the report\nNTE|2||\nNTE|3||second\n\
         OBX|1|NM|X^X^L||1||||||F\nNTE|1||of the result||5^Lee|202407011200\n",
    );
    assert!(at(made.one("Patient"), "extension").contains("of the patient"));
    assert!(at(made.one("DiagnosticReport"), "extension").contains(r#""text":"of the report\n\nsecond""#));
    let note = at(made.one("Observation"), "note");
    assert!(
        note.contains(r#""text":"of the result""#)
            && note.contains("Practitioner/")
            && note.contains("2024-07-01T12:00")
    );
    assert!(!at(made.one("Observation"), "note").contains("report"));
}

#[test]
fn a_child_order_derives_from_the_result_it_names() {
    let made = made(
        "ORU^R01",
        "PID|||7\nOBR|1|P1|F1|CULT^Culture^L\nOBX|1|CWE|ORG^Organism^L|1|EC^E. coli^L||||||F\nOBX|2|CWE|ORG^Organism^L|2|SA^S. aureus^L||||||F\n\
         OBR|2|P2|F2|SENS^Sensitivity^L||||||||||||||||||||||ORG&Organism&L^2|||P1^F1\nOBX|1|NM|AMX^Amoxicillin^L||2|||S|||F\n",
    );
    let [first, parent, child] = made.all("Observation")[..] else { panic!() };
    assert_eq!(at(child, "derivedFrom"), format!(r#"[{{"reference":"{}"}}]"#, reference(parent)));
    assert_eq!(at(parent, "hasMember"), format!(r#"[{{"reference":"{}"}}]"#, reference(child)));
    assert_eq!(at(first, "hasMember"), "nothing");
    let requests = made.all("ServiceRequest");
    assert_eq!(at(requests[1], "basedOn"), format!(r#"[{{"reference":"{}"}}]"#, reference(requests[0])));
    assert!(at(child, "interpretation").contains("Susceptible"));
}

#[test]
fn several_patients_have_their_own_results() {
    let one = |n: usize| format!("PID|||{n}^^^RXX^MR\nOBR|1||F{n}|X^X^L\nOBX|1|NM|X^X^L||{n}||||||F\n");
    let made = made("ORU^R01", &format!("{}{}", one(1), one(2)));
    let (patients, results) = (made.all("Patient"), made.all("Observation"));
    assert_eq!((patients.len(), results.len()), (2, 2));
    for (patient, result) in patients.iter().zip(&results) {
        assert_eq!(at(result, "subject"), format!(r#"{{"reference":"{}"}}"#, reference(patient)));
    }
}

#[test]
fn specimens_of_new_and_old_messages() {
    let made_new = result(
        "OBX|1|NM|X^X^L||1||||||F\nSPM|1|S1&LAB^T1&LAB||BLD^Blood^L|||||||||||||20240701^20240702|202407020900||N\nOBX|1|ST|C^Colour^L||red||||||F\n",
    );
    let specimen = made_new.one("Specimen");
    assert_eq!(specimen.str_at("status"), Some("unavailable"));
    assert!(at(specimen, "collection").contains(r#""collectedPeriod":{"start":"2024-07-01","end":"2024-07-02"}"#));
    let [result_of, about] = made_new.all("Observation")[..] else { panic!() };
    assert_eq!(at(result_of, "specimen"), format!(r#"{{"reference":"{}"}}"#, reference(specimen)));
    // An OBX behind SPM tells of the specimen, and is no result of the report.
    assert_eq!(at(about, "focus"), format!(r#"[{{"reference":"{}"}}]"#, reference(specimen)));
    assert_eq!(
        at(made_new.one("DiagnosticReport"), "result"),
        format!(r#"[{{"reference":"{}"}}]"#, reference(result_of))
    );
    let made_old = made(
        "ORU^R01",
        "PID|||7\nOBR|1||F1|X^X^L|||20240701|||||||202407011000|BLD&Blood&L^^^ARM&Arm&L\nOBX|1|NM|X^X^L||1||||||F\n",
    );
    let specimen = made_old.one("Specimen");
    assert!(at(specimen, "type").contains("Blood") && at(specimen, "collection").contains("Arm"), "{specimen}");
    assert_eq!(at(made_old.one("Observation"), "specimen"), format!(r#"{{"reference":"{}"}}"#, reference(specimen)));
}

#[test]
fn documents_are_decoded_once_and_broken_ones_told() {
    let forms = |kind: &str, value: &str| {
        let made = result(&format!("OBX|1|{kind}|R^Letter^L||{value}||||||F\n"));
        let form = at(made.one("DiagnosticReport"), "presentedForm");
        (form, made.0.blobs.first().map(|blob| blob.bytes.to_vec()).unwrap_or_default(), made.issues())
    };
    let pdf = "JVBERi0xLjQK";
    for (kind, value) in [
        ("ED", format!("^application^pdf^Base64^{pdf}")),
        ("ED", format!("^AP^PDF^BASE64^{pdf}")),
        ("ED", format!("^TEXT^PDF^Base64^{pdf}")),
        ("ED", format!("^X^application/octet-stream^Base64^{pdf}")),
        ("TX", pdf.to_owned()),
        ("ED", "^AP^PDF^Hex^255044462d312e340a".to_owned()),
    ] {
        let (form, bytes, issues) = forms(kind, &value);
        assert!(form.contains(r#""contentType":"application/pdf""#) && form.contains(r#""size":9"#), "{value} {form}");
        assert!(form.contains(r#""hash":""#) && form.contains(r#""title":"Letter""#), "{form}");
        assert_eq!((bytes, issues), (b"%PDF-1.4\n".to_vec(), Vec::new()), "{value}");
    }
    let (form, bytes, _) = forms("ED", r"^text/plain^^A^one^two\.br\three");
    assert!(form.contains("text/plain"));
    assert_eq!(bytes, b"one^two\nthree");
    let (form, _, _) = forms("RP", "https://pacs.example/1^PACS^image^jpeg");
    assert!(form.contains(r#""contentType":"image/jpeg","url":"https://pacs.example/1""#), "{form}");
    let (form, _, issues) = forms("ED", "^AP^PDF^Base64^JV!");
    assert_eq!((form.as_str(), issues.len()), ("nothing", 1));
    assert!(issues[0].contains("not valid Base64"), "{issues:?}");
}

#[test]
fn a_document_has_its_status_kind_people_and_relation() {
    let txa = "TXA|1|DS|TX|202407010900|5^Doe^Jo|202407011000||||6^Roe^Al||D2^RXX|D1^RXX|P1|F1|letter.rtf|AU|V|AV";
    let document = |event: &str, txa: &str, obx: &str| made(event, &format!("PID|||7^^^RXX^MR\nPV1|1|I\n{txa}\n{obx}"));
    let made_t02 = document("MDM^T02", txa, "OBX|1|TX|L^Letter^L||one||||||F\nOBX|2|TX|L^Letter^L||two||||||F\n");
    let made = made_t02.one("DocumentReference");
    assert_eq!(at(made, "masterIdentifier"), r#"{"system":"urn:fairway:rxx:identifier:rxx","value":"D2"}"#);
    assert_eq!((made.str_at("status"), made.str_at("docStatus")), (Some("current"), Some("final")));
    assert_eq!(made.str_at("date"), Some("2024-07-01T09:00:00.000Z"));
    assert!(at(made, "type").contains("Discharge summary") && at(made, "securityLabel").contains("very restricted"));
    assert!(made.get("author").is_some() && made.get("authenticator").is_some() && made.get("relatesTo").is_none());
    assert!(at(made, "content").contains("text/plain"));
    assert_eq!(made_t02.0.blobs[0].bytes, "one\ntwo");
    for (event, code) in [("T05", "appends"), ("T06", "appends"), ("T09", "replaces"), ("T10", "replaces")] {
        let made = document(&format!("MDM^{event}"), txa, "");
        let related = at(made.one("DocumentReference"), "relatesTo");
        assert!(related.contains(&format!(r#""code":"{code}""#)) && related.contains("\"D1\""), "{event} {related}");
    }
    let cancelled = document("MDM^T11", txa, "");
    assert_eq!(cancelled.one("DocumentReference").str_at("status"), Some("entered-in-error"));
    // The same document has the same id, whatever the event.
    assert_eq!(cancelled.one("DocumentReference").str_at("id"), made.str_at("id"));
    let obsolete = document("MDM^T04", &txa.replace("|AV", "|OB"), "");
    assert_eq!(obsolete.one("DocumentReference").str_at("status"), Some("superseded"));
    assert!(at(obsolete.one("DocumentReference"), "_status").contains("\"OB\""));
    // A covering text beside a file is a content of its own.
    let both =
        document("MDM^T02", txa, "OBX|1|TX|L^Note^L||one||||||F\nOBX|2|ED|L^Letter^L||^TEXT^PLAIN^A^two||||||F\n");
    assert_eq!(both.0.blobs.iter().map(|blob| blob.bytes.clone()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(at(both.one("DocumentReference"), "content").matches("Binary/").count(), 2);
    let two = document("MDM^T02", txa, "OBX|1|TX|L||one||||||F\nTXA|2|PN||||||||||D3\nOBX|1|TX|L||two||||||F\n");
    assert_eq!(two.all("DocumentReference").len(), 2);
    assert_eq!(two.0.blobs.len(), 2);
    // FHIR requires a content, also of a notification alone, or when the content is broken.
    let broken = document("MDM^T02", txa, "OBX|1|ED|L^Letter^L||^AP^PDF^Base64^J!||||||F\n");
    assert!(at(broken.one("DocumentReference"), "content").contains("letter.rtf"));
    assert_eq!(broken.issues().len(), 1);
}

#[test]
fn a_vaccination_has_its_status_product_and_circumstances() {
    let vaccine = |rest: &str| {
        made(
            "VXU^V04",
            &format!(
                "PID|||7^^^RXX^MR\nORC|RE||V1|||||||||9^Lee^Ann\nRXA|0|1|20240701||140^Flu^CVX|0.50|mL^^UCUM||00^New^NIP001|{rest}"
            ),
        )
    };
    let given = vaccine(
        "8^Kay^Bo|||||LOT1|20250101|CSL^CSL Behring^MVX|||CP|A|20240702\nRXR|IM^Intramuscular^HL70162|LD^Left Deltoid^HL70163\n\
         OBX|1|CE|64994-7^Eligibility^LN|1|V05^Eligible^HL70064||||||F\nOBX|2|CE|30963-3^Funding^LN|1|P^Public^L||||||F\n\
         OBX|3|CE|69764-9^Leaflet^LN|2|L1^Flu leaflet^L||||||F\n",
    );
    let made = given.one("Immunization");
    assert_eq!(made.str_at("status"), Some("completed"));
    assert_eq!(
        at(made, "doseQuantity"),
        r#"{"value":0.50,"unit":"mL","system":"http://unitsofmeasure.org","code":"mL"}"#
    );
    assert_eq!((made.str_at("lotNumber"), made.str_at("expirationDate")), (Some("LOT1"), Some("2025-01-01")));
    assert_eq!((made.str_at("occurrenceDateTime"), made.str_at("recorded")), (Some("2024-07-01"), Some("2024-07-02")));
    assert!(at(made, "route").contains("Intramuscular") && at(made, "site").contains("Left Deltoid"));
    assert!(at(made, "performer").contains("\"AP\"") && at(made, "performer").contains("\"OP\""));
    assert!(at(made, "programEligibility").contains("V05") && at(made, "fundingSource").contains("Public"));
    assert_eq!(at(made, "education"), r#"[{"documentType":"Flu leaflet"}]"#);
    let told = given.all("Observation");
    assert_eq!(told.len(), 3);
    assert_eq!(at(told[0], "partOf"), format!(r#"[{{"reference":"{}"}}]"#, reference(made)));
    let refused = vaccine("||||||||00^Parental decision^NIP002||RE\n");
    assert_eq!(refused.one("Immunization").str_at("status"), Some("not-done"));
    assert!(at(refused.one("Immunization"), "statusReason").contains("Parental decision"));
    assert_eq!(vaccine("||||||||||CP|D\n").one("Immunization").str_at("status"), Some("entered-in-error"));
}

#[test]
fn a_value_behind_an_empty_repetition_is_the_value() {
    let value = |obx: &str, element: &str| at(result(&format!("OBX|1|{obx}\n")).one("Observation"), element);
    assert_eq!(value("NM|A^a^L||~140|g/L|||||F", "valueQuantity"), r#"{"value":140,"unit":"g/L"}"#);
    assert_eq!(value("SN|A^a^L||~<^5|g|||||F", "valueQuantity"), r#"{"value":5,"comparator":"<","unit":"g"}"#);
    assert_eq!(value("DT|A^a^L||~20240101||||||F", "valueDateTime"), r#""2024-01-01""#);
    let coded = r#"{"coding":[{"system":"urn:fairway:rxx:codesystem:l","code":"B","display":"Beta"}],"text":"Beta"}"#;
    assert_eq!(value("CE|A^a^L||~B^Beta^L||||||F", "valueCodeableConcept"), coded);
    assert_eq!(value("CE|A^a^L||\"\"~B^Beta^L||||||F", "valueCodeableConcept"), coded);
    assert!(value("ED|A^a^L||~^TEXT^PLAIN^A^hello||||||F", "extension").contains("valueAttachment"));
}

#[test]
fn a_code_of_a_unit_stands_with_its_system() {
    let made = result("OBX|1|NM|A^a^L||140|g/L^gram per litre^ISO+|||||F\n");
    let expected = r#"{"value":140,"unit":"gram per litre","system":"urn:fairway:rxx:codesystem:iso-","code":"g/L"}"#;
    assert_eq!(at(made.one("Observation"), "valueQuantity"), expected);
}

#[test]
fn an_impossible_date_of_a_result_is_kept_as_text_and_told() {
    let made = result("OBX|1|DT|A^a^L||20240230||||||F\n");
    assert_eq!(at(made.one("Observation"), "valueString"), r#""20240230""#);
    assert_eq!(made.issues(), ["OBR[1].OBX[1]: OBX-5: is no DT that could be read; kept as text"]);
}

#[test]
fn visits_of_two_patients_in_one_message_are_two() {
    let group = |n: u8, class: &str| {
        format!(
            "PID|{n}||1^^^A{n}^MR||P{n}\nPV1|1|{class}|||||||||||||||||5\nOBR|1||F{n}|A^a^L||||||||||||||||||||||F\nOBX|1|ST|A^a^L||x||||||F\n"
        )
    };
    let made = made("ORU^R01", &format!("{}{}", group(1, "I"), group(2, "O")));
    let visits = made.all("Encounter");
    assert_eq!(visits.len(), 2);
    assert_ne!(at(visits[0], "subject"), at(visits[1], "subject"));
    for result in made.all("Observation") {
        let visit = visits.iter().find(|visit| at(result, "encounter").contains(visit.str_at("id").unwrap())).unwrap();
        assert_eq!(at(result, "subject"), at(visit, "subject"));
    }
}

#[test]
fn what_is_no_number_keeps_its_unit() {
    for kind in ["TX", "FT", "CE", "IS", "ST"] {
        let made = result(&format!("OBX|1|{kind}|A^a^L||POS|mmol/L|||||F\n"));
        assert!(at(made.one("Observation"), "extension").contains("mmol/L"), "{kind}");
    }
}

#[test]
fn a_letter_has_neither_the_notes_on_it_nor_the_files_beside_it() {
    let obx = "OBX|1|FT|X^Letter^L||Dear GP\nOBX|2|RP|X^Letter^L||http://x/y.pdf^A^AP^PDF\nNTE|1|L|Internal comment\n";
    let made = made("MDM^T02", &format!("PID|||7^^^RXX^MR\nTXA|1|DS|TX|20240703||||||||D1|||||AU\n{obx}"));
    let texts: Vec<String> =
        made.0.blobs.iter().map(|blob| String::from_utf8_lossy(&blob.bytes).into_owned()).collect();
    assert_eq!(texts, ["Dear GP", "Internal comment"]);
}
