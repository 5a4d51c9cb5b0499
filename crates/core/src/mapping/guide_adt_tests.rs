//! Patients and visits of HL7's guide (ADT, BAR, DFT): one rule a test, by the mapping files themselves.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::guide_tests::GUIDE;
use super::*;
use crate::fhir::{self, Json};
use crate::hl7v2::{Message, ParseOptions, Zone};

fn message(event: &str, country: &str, segments: &str) -> Message {
    let head = format!("MSH|^~\\&|PAS|RXX|F|P|20260102||{event}|1|P|2.5|||||{country}\r");
    Message::parse(Bytes::from(format!("{head}{segments}")), &ParseOptions::default()).unwrap()
}

/// What the guide makes of a message of these segments; every resource is valid and every reference leads to one.
fn made_in(country: &str, event: &str, segments: &str) -> Bundled {
    let zone = Zone::named("Europe/London").unwrap();
    let made = resources(&GUIDE, &message(event, country, segments), &zone).unwrap();
    for resource in &made.resources {
        assert_eq!(fhir::check(resource), [], "{resource}");
    }
    made
}

fn made(event: &str, segments: &str) -> Bundled {
    made_in("", event, segments)
}

/// Every resource of a type.
fn all<'b>(made: &'b Bundled, kind: &str) -> Vec<&'b Json> {
    made.resources.iter().filter(|one| one.str_at("resourceType") == Some(kind)).collect()
}

/// The only resource of a type.
fn one<'b>(made: &'b Bundled, kind: &str) -> &'b Json {
    let found = all(made, kind);
    assert_eq!(found.len(), 1, "{kind}: {found:?}; {:?}", made.findings);
    found[0]
}

/// The resource that a reference leads to.
fn target<'b>(made: &'b Bundled, json: &Json, path: &str) -> &'b Json {
    let reference = at(json, &format!("{path}.reference"));
    let (kind, id) = reference.split_once('/').unwrap_or_else(|| panic!("{path}: {json}"));
    all(made, kind).into_iter().find(|one| one.str_at("id") == Some(id)).unwrap()
}

/// An element as JSON, `-` when it is not there; a step through a repeating element means its first item.
fn at(json: &Json, path: &str) -> String {
    let mut steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    let found = steps.try_fold(json, |value, step| match value {
        Json::Array(items) if step.parse::<usize>().is_err() => items.first()?.get(step),
        value => value.at(step),
    });
    found.map_or_else(
        || "-".to_owned(),
        |found| match found.as_str() {
            Some(text) => text.to_owned(),
            None => found.to_string(),
        },
    )
}

/// A segment with these fields.
fn segment(name: &str, fields: &[(usize, &str)]) -> String {
    let last = fields.iter().map(|(n, _)| *n).max().unwrap();
    let field = |n| fields.iter().find(|(at, _)| *at == n).map_or("", |(_, text)| *text);
    let fields: Vec<&str> = (1..=last).map(field).collect();
    format!("{name}|{}\r", fields.join("|"))
}

const PID: &str = "PID|1||X1^^^RXX^MR||Doe^Jo\r";

/// The Patient of PID with these fields behind PID-1.
fn patient(fields: &str) -> Json {
    one(&made("ADT^A28", &format!("PID|1|{fields}\r")), "Patient").clone()
}

fn visit(event: &str, pv1: &str) -> Json {
    one(&made(event, &format!("{PID}PV1|1|{pv1}\r")), "Encounter").clone()
}

#[test]
fn every_field_of_identifiers_is_read_and_nhs_numbers_are_known_by_authority_type_or_form() {
    let nhs = |cx: &str| at(&patient(&format!("|{cx}||Doe")), "identifier.system").ends_with("/nhs-number");
    for cx in [
        "943 476 5919^^^NHS^NH",
        "9434765919^^^NHSNMBR^NHSNMBR",
        "9434765919^^^^NH",
        "9434765919^^^^NHS",
        "9434765919^^^^NI",
        "943 476 5919",
    ] {
        assert!(nhs(cx), "{cx}");
    }
    for cx in ["9434765918^^^NHS^NH", "9434765919^^^RXX^MR", "9434765919", "9434765919^^^RXX^NI"] {
        assert!(!nhs(cx), "{cx}");
    }
    let patient = patient("P2^^^RXX^PI|P3^^^RXX^MR~^^^RXX^MR|P4|Doe||||||||||||||987-65-4321|LIC1^NY^20300101");
    let values: Vec<String> = (0..5).map(|n| at(&patient, &format!("identifier[{n}].value"))).collect();
    assert_eq!(values, ["P3", "P2", "P4", "987-65-4321", "LIC1"]);
    assert_eq!(at(&patient, "identifier[5]"), "-", "an empty repetition is no identifier");
    assert_eq!(at(&patient, "identifier[3].system"), "http://hl7.org/fhir/sid/us-ssn");
    assert_eq!(at(&patient, "identifier[4].type.coding.code"), "DL");
    assert_eq!(at(&patient, "identifier[4].period.end"), "2030-01-01");
}

#[test]
fn the_status_of_an_nhs_number_and_a_check_digit_are_extensions() {
    let verified = patient("|9434765919^^^NHS^NH{status:01}||Doe");
    assert!(at(&verified, "identifier.extension").contains("UKCore-NHSNumberVerificationStatus"));
    let checked = patient("|X1^4^M11^RXX^MR||Doe");
    assert!(at(&checked, "identifier.extension").contains("identifier-checkDigit"));
    assert_eq!(at(&patient("|X1^^^RXX^visitid||Doe"), "identifier.type.text"), "visitid");
}

#[test]
fn a_time_of_birth_goes_to_its_extension_and_an_illegal_date_nowhere() {
    let timed = patient("|X1||Doe||196512131515");
    assert_eq!(at(&timed, "birthDate"), "1965-12-13");
    assert_eq!(at(&timed, "_birthDate.extension.valueDateTime"), "1965-12-13T15:15:00+00:00");
    assert_eq!(at(&patient("|X1||Doe||19651213"), "_birthDate"), "-");
    assert_eq!(at(&patient("|X1||Doe||196512"), "birthDate"), "1965-12");
    let made = made("ADT^A28", "PID|1||X1||Doe||19651313\r");
    assert_eq!(at(one(&made, "Patient"), "birthDate"), "-");
    assert!(made.findings.iter().any(|finding| finding.path.ends_with("PID-7.1")));
}

#[test]
fn null_is_no_value() {
    let patient = patient(r#"|X1||Doe^""||""|""|||""||""|"#);
    assert!(!patient.to_string().contains(r#"\"\""#), "{patient}");
    assert_eq!(at(&patient, "name"), r#"[{"family":"Doe"}]"#);
}

#[test]
fn sex_has_the_codes_of_the_nhs_and_words_too_and_an_unknown_code_is_told() {
    for (code, gender) in
        [("M", "male"), ("2", "female"), ("9", "other"), ("A", "other"), ("N", "other"), ("Female", "female")]
    {
        assert_eq!(at(&patient(&format!("|X1||Doe|||{code}")), "gender"), gender, "{code}");
    }
    let made = made("ADT^A28", "PID|1||X1||Doe|||Q\r");
    assert_eq!(at(one(&made, "Patient"), "gender"), "-");
    assert!(made.findings.iter().any(|finding| finding.text.contains("code set sex")));
}

#[test]
fn names_and_telephones_keep_every_repetition() {
    let patient = patient(
        "|X1||Doe^Jo^Ann^Jr^Dr^^L^^^^^^^^Jojo~Roe^Jo^^^^^M||||Alias^A||||01^PRN^CP~a@b.org^EMAIL|02||||||||||||||||||||||||||03^PRN",
    );
    let names: Vec<String> = (0..4).map(|n| at(&patient, &format!("name[{n}].use"))).collect();
    assert_eq!(names, ["official", "maiden", "nickname", "-"]);
    assert_eq!(at(&patient, "name[0].given"), r#"["Jo","Ann"]"#);
    assert_eq!(at(&patient, "name[3].family"), "Alias");
    let numbers: Vec<String> = (0..4).map(|n| at(&patient, &format!("telecom[{n}].value"))).collect();
    assert_eq!(numbers, ["01", "a@b.org", "02", "03"]);
    assert_eq!(at(&patient, "telecom[0].use"), "mobile");
    assert_eq!(at(&patient, "telecom[2].use"), "work");
}

#[test]
fn ethnic_categories_are_british_unless_the_message_says_otherwise() {
    let url = |country: &str, cwe: &str| {
        let made = made_in(country, "ADT^A28", &format!("PID|1||X1||Doe|||||||||||||||||{cwe}\r"));
        at(one(&made, "Patient"), "extension.url").rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(url("", "A^White - British"), "Extension-UKCore-EthnicCategory");
    assert_eq!(url("GBR", "N"), "Extension-UKCore-EthnicCategory");
    assert_eq!(url("GBR", "N^NOT HISPANIC^HL70189"), "us-core-ethnicity");
    assert_eq!(url("USA", "N"), "us-core-ethnicity");
}

#[test]
fn marital_status_has_the_codes_of_its_country() {
    let system = |country| {
        let made = made_in(country, "ADT^A28", "PID|1||X1||Doe|||||||||||P\r");
        (
            at(one(&made, "Patient"), "maritalStatus.coding.system"),
            at(one(&made, "Patient"), "maritalStatus.coding.code"),
        )
    };
    assert_eq!(system("GBR").0, "https://fhir.hl7.org.uk/CodeSystem/UKCore-PersonMaritalStatusEngland");
    assert_eq!(system("").1, "T");
}

#[test]
fn the_family_doctor_and_practice_of_pd1_and_rol_are_resources() {
    let pd1 = "PD1|||Ely Surgery^^Y06601|G1^Roe^Ann^^^Dr^^^GMC\rROL||AD|PP|7^Poe||||||||||Clinic\r";
    let made = made_in("GBR", "ADT^A28", &format!("{PID}{pd1}"));
    let patient = one(&made, "Patient");
    let practice = target(&made, patient, "generalPractitioner[0]");
    assert_eq!(at(practice, "identifier.system"), "https://fhir.nhs.uk/Id/ods-organization-code");
    let doctor = target(&made, patient, "generalPractitioner[1]");
    assert_eq!(at(doctor, "identifier.system"), "https://fhir.hl7.org.uk/Id/gmc-number");
    let role = target(&made, patient, "generalPractitioner[2]");
    assert_eq!(at(target(&made, role, "practitioner"), "name.family"), "Poe");
    assert_eq!(at(target(&made, role, "organization"), "name"), "Clinic");
}

#[test]
fn next_of_kin_are_contacts_and_people_but_an_employer_is_no_person() {
    let made =
        made("ADT^A28", &format!("{PID}NK1|1|Doe^Al|FTH||0123\rNK1|2|Boss^B|EMR|||0456|||||||Works Ltd\rNK1|3||1\r"));
    let kin = one(&made, "RelatedPerson");
    assert_eq!(at(kin, "relationship.coding.code"), "FTH");
    let patient = one(&made, "Patient");
    assert_eq!(at(patient, "contact[1].name.family"), "Boss");
    assert_eq!(at(target(&made, patient, "contact[1].organization"), "name"), "Works Ltd");
    assert_eq!(at(patient, "contact[2]"), "-", "a contact of whom nothing is known does not cost the patient");
    assert!(made.findings.iter().any(|finding| finding.text.contains("pat-1")));
}

#[test]
fn a_location_is_the_smallest_place_and_each_is_part_of_the_next() {
    let made = made("ADT^A01", &format!("{PID}PV1|1|I|W1^R2^B3^HOSP^^N^BLD^F4^Bay by the door\r"));
    let bed = target(&made, one(&made, "Encounter"), "location[0].location");
    let mut chain = vec![(at(bed, "name"), at(bed, "physicalType.coding.code"))];
    let mut place = bed;
    while place.at("partOf").is_some() {
        place = target(&made, place, "partOf");
        chain.push((at(place, "name"), at(place, "physicalType.coding.code")));
    }
    let expected = [("B3", "bd"), ("R2", "ro"), ("F4", "lvl"), ("W1", "wa"), ("BLD", "bu"), ("HOSP", "si")];
    assert_eq!(chain, expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    assert_eq!(at(bed, "description"), "Bay by the door");
    let made = super::guide_adt_tests::made("ADT^A01", &format!("{PID}PV1|1|I|W1^^^HOSP\r"));
    let ward = target(&made, one(&made, "Encounter"), "location[0].location");
    assert_eq!((at(ward, "name"), all(&made, "Location").len()), ("W1".to_owned(), 2));
}

#[test]
fn the_status_of_a_visit_follows_the_event_before_class_and_times() {
    let with_end = |event, end: bool| {
        let gap = "|".repeat(42);
        let end = if end { "20260105" } else { "" };
        at(&visit(event, &format!("I{gap}20260101|{end}")), "status")
    };
    for (event, open, ended) in [
        ("ADT^A01", "in-progress", "finished"),
        ("ADT^A03", "finished", "finished"),
        ("ADT^A04", "arrived", "finished"),
        ("ADT^A05", "planned", "planned"),
        ("ADT^A08", "unknown", "finished"),
        ("ADT^A11", "cancelled", "cancelled"),
        ("ADT^A12", "in-progress", "finished"),
        ("ADT^A13", "in-progress", "in-progress"),
        ("ADT^A14", "planned", "planned"),
        ("ADT^A16", "in-progress", "in-progress"),
        ("ADT^A21", "onleave", "onleave"),
        ("ADT^A22", "in-progress", "finished"),
        ("ADT^A23", "entered-in-error", "entered-in-error"),
        ("ADT^A27", "cancelled", "cancelled"),
        ("ADT^A31", "unknown", "finished"),
        ("ADT^A38", "cancelled", "cancelled"),
        ("BAR^P01", "in-progress", "finished"),
    ] {
        assert_eq!((with_end(event, false).as_str(), with_end(event, true).as_str()), (open, ended), "{event}");
    }
}

#[test]
fn a_reopened_visit_has_no_end_nor_one_that_would_end_before_it_began() {
    let gap = "|".repeat(42);
    let period = |event, from, to| at(&visit(event, &format!("I{gap}{from}|{to}")), "period");
    assert_eq!(period("ADT^A03", "20260101", "20260105"), r#"{"start":"2026-01-01","end":"2026-01-05"}"#);
    assert_eq!(period("ADT^A13", "20260101", "20260105"), r#"{"start":"2026-01-01"}"#);
    let made = made("ADT^A03", &format!("{PID}PV1|1|I{gap}20260109|20260105\r"));
    assert_eq!(at(one(&made, "Encounter"), "period"), r#"{"start":"2026-01-09"}"#);
    assert!(made.findings.iter().any(|finding| finding.text.contains("per-1")), "and that is told");
}

#[test]
fn a_death_whose_time_cannot_be_read_is_a_death() {
    let of = |time: &str, indicator: &str| {
        let patient = patient(&format!("|X1||Doe{}{time}|{indicator}", "|".repeat(24)));
        (at(&patient, "deceasedDateTime"), at(&patient, "deceasedBoolean"))
    };
    assert_eq!(of("202601020930", "Y"), ("2026-01-02T09:30:00+00:00".to_owned(), "-".to_owned()));
    assert_eq!(of("soon", "Y"), ("-".to_owned(), "true".to_owned()));
    assert_eq!(of("", "N"), ("-".to_owned(), "false".to_owned()));
}

#[test]
fn classes_of_no_table_have_counterparts_and_others_are_told() {
    for (class, code) in
        [("I", "IMP"), ("O", "AMB"), ("OP", "AMB"), ("D", "SS"), ("U", "UNK"), ("R", "R"), ("INPATIENT", "IMP")]
    {
        assert_eq!(at(&visit("ADT^A01", class), "class.code"), code, "{class}");
    }
    let made = made("ADT^A01", &format!("{PID}PV1|1|ff\r"));
    assert_eq!(at(one(&made, "Encounter"), "class.code"), "OTH");
    assert!(made.findings.iter().any(|finding| finding.path.ends_with("PV1-2.1")));
    let none = super::guide_adt_tests::made("ADT^A28", &format!("{PID}PV1|1|N\r"));
    assert_eq!(all(&none, "Encounter").len(), 0, "class N says that there is no visit");
}

#[test]
fn a_visit_has_its_numbers_people_places_stay_and_reason() {
    let pv1 = segment(
        "PV1",
        &[
            (2, "I"),
            (3, "W1"),
            (5, "P1"),
            (6, "W0"),
            (7, "1^At"),
            (8, "2^Ref"),
            (9, "3^Con"),
            (10, "SUR"),
            (11, "T1"),
            (13, "R"),
            (15, "A2"),
            (17, "5^Adm"),
            (19, "V1^^^RXX"),
            (36, "19"),
            (37, "HOME"),
            (42, "PND"),
            (44, "20260101"),
            (50, "V2"),
            (54, "EP1"),
        ],
    );
    let pv2 = segment("PV2", &[(3, "Z1^Fall"), (8, "20260101"), (9, "20260107"), (11, "4"), (12, "note")]);
    let made =
        made("ADT^A01", &format!("{PID}{pv1}{pv2}DG1|1||I10^High blood pressure^I10||20260101|A|||||||||2|9^Dia\r"));
    let visit = one(&made, "Encounter");
    for (path, value) in [
        ("identifier[0].value", "V1"),
        ("identifier[0].type.coding.code", "VN"),
        ("identifier[1].value", "V2"),
        ("participant[0].type[0].coding.code", "ATND"),
        ("participant[1].type[0].coding.code", "REF"),
        ("participant[2].type[0].coding.code", "CON"),
        ("participant[3].type[0].coding.code", "ADM"),
        ("serviceType.coding.code", "SUR"),
        ("episodeOfCare[0].identifier.value", "EP1"),
        ("length", r#"{"value":4,"unit":"days","system":"http://unitsofmeasure.org","code":"d"}"#),
        ("reasonCode[0].text", "Fall"),
        ("hospitalization.preAdmissionIdentifier.value", "P1"),
        ("hospitalization.reAdmission.coding.code", "R"),
        ("hospitalization.specialArrangement[0].coding.code", "wheel"),
        ("hospitalization.dischargeDisposition.coding.code", "19"),
        ("location[0].status", "active"),
        ("location[1].status", "completed"),
        ("location[2].status", "active"),
        ("location[3].status", "reserved"),
        ("diagnosis[0].rank", "2"),
        ("diagnosis[0].use.coding.code", "AD"),
    ] {
        assert_eq!(at(visit, path), value, "{path}");
    }
    let condition = target(&made, visit, "diagnosis[0].condition");
    assert_eq!(at(condition, "code.coding.system"), "http://hl7.org/fhir/sid/icd-10");
    assert_eq!(at(target(&made, condition, "asserter"), "name.family"), "Dia");
    assert_eq!(at(target(&made, condition, "encounter"), "resourceType"), "Encounter");
}

#[test]
fn allergies_tell_kind_reaction_and_how_critical_they_are() {
    let al1 = "AL1|1|DA|P^Penicillin|SV|Rash~Swelling|20200101\rAL1|2|FA|N^Nuts|SV\rAL1|3|ZZ|X^Other|MO\r";
    let made = made("ADT^A01", &format!("{PID}{al1}"));
    let found = all(&made, "AllergyIntolerance");
    assert_eq!(at(found[0], "category"), r#"["medication"]"#);
    assert_eq!(at(found[0], "reaction[0].severity"), "severe");
    assert_eq!(at(found[0], "reaction[0].manifestation[1].text"), "Swelling");
    assert_eq!(at(found[0], "criticality"), "-");
    assert_eq!(at(found[1], "criticality"), "high");
    assert_eq!(at(found[2], "_criticality.extension.valueCodeableConcept.coding.code"), "MO");
    assert!(made.findings.iter().any(|finding| finding.text.contains("allergy-category")));
}

#[test]
fn an_adverse_reaction_that_is_deleted_was_an_error() {
    let of = |action: &str, status: &str| {
        let iam = format!("IAM|1|DA|P^Penicillin|SV|R^Rash|{action}|A1||||20200101||20200102|Doe^Al|FTH||{status}\r");
        let made = made("ADT^A60", &format!("{PID}{iam}"));
        let allergy = one(&made, "AllergyIntolerance");
        (at(allergy, "clinicalStatus.coding.code"), at(allergy, "verificationStatus.coding.code"))
    };
    assert_eq!(of("A", "C"), ("active".to_owned(), "confirmed".to_owned()));
    assert_eq!(of("A", "I"), ("inactive".to_owned(), "confirmed".to_owned()));
    assert_eq!(of("D", ""), ("-".to_owned(), "entered-in-error".to_owned()));
}

#[test]
fn procedures_and_cover_refer_to_patient_and_visit() {
    let rest = "PV1|1|I\rPR1|1||X1^Scan^OPCS4|Scan of head|20260102|D||8^Ana|||11^Sur|12^Pra\rIN1|1|PL1|C1|Mutual||||||||20260101|20261231||HMO|Doe^Jo|SEL\r";
    let made = made("ADT^A01", &format!("{PID}{rest}"));
    let procedure = one(&made, "Procedure");
    assert_eq!(at(procedure, "code.text"), "Scan of head");
    assert_eq!(at(procedure, "performer[1].function.coding.code"), "304292004");
    assert_eq!(at(target(&made, procedure, "encounter"), "resourceType"), "Encounter");
    let cover = one(&made, "Coverage");
    assert_eq!(at(target(&made, cover, "payor[0]"), "name"), "Mutual");
    assert_eq!(at(target(&made, cover, "subscriber"), "resourceType"), "Patient");
    assert_eq!(at(cover, "period"), r#"{"start":"2026-01-01","end":"2026-12-31"}"#);
}

#[test]
fn a_merge_keeps_both_patients_and_links_them_in_each_pair() {
    let pair = |kept, gone| format!("PID|1||{kept}^^^RXX^MR||Doe^Jo\rMRG|{gone}^^^RXX^MR||A{gone}||||Roe^Jo\r");
    for event in ["ADT^A18", "ADT^A30", "ADT^A34", "ADT^A36", "ADT^A40", "ADT^A47"] {
        let made = made(event, &format!("EVN||20260102\r{}{}", pair("1", "2"), pair("3", "4")));
        let patients = all(&made, "Patient");
        assert_eq!(patients.len(), 4, "{event}");
        for (kept, gone) in [("1", "2"), ("3", "4")] {
            let of = |number| *patients.iter().find(|one| at(one, "identifier[0].value") == number).unwrap();
            assert_eq!(at(of(kept), "link[0].type"), "replaces");
            assert_eq!(at(of(gone), "link[0].type"), "replaced-by");
            assert_eq!(target(&made, of(kept), "link[0].other"), of(gone));
            assert_eq!(target(&made, of(gone), "link[0].other"), of(kept));
            assert_eq!(at(of(gone), "active"), "false");
            assert_eq!(at(of(gone), "name[0].family"), "Roe");
        }
        assert_eq!(all(&made, "Account").len(), 2, "the accounts of MRG-3");
    }
    let same = made("ADT^A40", &pair("1", "1"));
    assert_eq!(at(one(&same, "Patient"), "link"), "-", "nobody replaces themselves");
}

#[test]
fn the_patient_that_goes_has_the_id_that_their_own_messages_make() {
    let of = |made: &Bundled, number| {
        let patients = all(made, "Patient");
        at(patients.iter().find(|one| at(one, "identifier[0].value") == number).unwrap(), "id")
    };
    let merged = made("ADT^A40", "PID|1||1^^^RXX^MR||Doe\rMRG|2^^^RXX^MR\r");
    assert_eq!(of(&merged, "2"), of(&made("ADT^A28", "PID|1||2^^^RXX^MR||Roe\r"), "2"));
}

#[test]
fn a_moved_visit_belongs_to_the_patient_it_came_to() {
    let made = made(
        "ADT^A45",
        "PID|1||1^^^RXX^MR||Doe\rMRG|2^^^RXX^MR||||V1\rPV1|1|I|||||||||||||||||V1\rMRG|2^^^RXX^MR||||V2\r",
    );
    let visits = all(&made, "Encounter");
    assert_eq!(visits.len(), 2);
    for visit in visits {
        assert_eq!(at(target(&made, visit, "subject"), "identifier[0].value"), "1");
    }
    assert_eq!(all(&made, "Patient").len(), 2, "both people stay");
    assert!(all(&made, "Patient").iter().all(|patient| patient.at("link").is_none()));
}

#[test]
fn two_records_that_are_linked_are_one_person() {
    let made = made("ADT^A24", "EVN||20260102\rPID|1||1^^^RXX^MR||Doe\rPID|2||2^^^RXX^MR||Doe\r");
    let person = one(&made, "Person");
    assert_ne!(target(&made, person, "link[0].target"), target(&made, person, "link[1].target"));
}

#[test]
fn who_recorded_the_event_is_told_and_a_message_about_nobody_refused() {
    let made = made("ADT^A01", &format!("EVN||202601020930||01|7^Clerk^C|202601020900\r{PID}"));
    let event = one(&made, "Provenance");
    assert_eq!(at(event, "recorded"), "2026-01-02T09:30:00.000Z");
    assert_eq!(at(event, "occurredDateTime"), "2026-01-02T09:00:00+00:00");
    assert_eq!(at(target(&made, event, "agent[0].who"), "name.family"), "Clerk");
    assert_eq!(at(target(&made, event, "target[0]"), "resourceType"), "MessageHeader");
    let zone = Zone::named("Europe/London").unwrap();
    let refusal = resources(&GUIDE, &message("ADT^A01", "", "PID|1\rPV1|1|I\r"), &zone).unwrap_err();
    assert!(refusal.text.starts_with("PID-3: "), "{}", refusal.text);
}

#[test]
fn the_guide_reads_every_field_it_maps() {
    let pid: String =
        (2..=40).map(|n| if matches!(n, 27 | 31 | 32 | 37 | 38) { "|".to_owned() } else { format!("|F{n}") }).collect();
    let message = message("ADT^A01", "", &format!("PID|1{pid}\r"));
    let unread = unmapped(&GUIDE, &message, None);
    assert_eq!(unread.iter().filter(|path| path.starts_with("PID")).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn what_came_to_nothing_is_told_to_be_unread() {
    let unread = |event: &str, segments: &str| {
        let message = message(event, "", segments);
        let made = resources(&GUIDE, &message, &Zone::utc()).unwrap();
        unmapped(&GUIDE, &message, Some(&made.reads))
    };
    // No visit is made of `N` without a number, no entry of a segment without what it is about.
    let visit = "PV1|1|N|W1^B2||||C1^Att|||300\r";
    let entries = "AL1|1|DA||SV||20200101\rDG1|1|||||F\rPR1|1||||20240702\r";
    let expected = ["PV1-3", "PV1-7", "PV1-10", "AL1-2", "AL1-4", "AL1-6", "DG1-6", "PR1-5"];
    assert_eq!(unread("ADT^A01", &format!("{PID}{visit}{entries}")), expected);
    assert_eq!(unread("ADT^A40", &format!("{PID}MRG|78^^^RXX^PI|||||V4^^^RXX\r")), ["MRG-6"]);
    // The second of two segments, too.
    let two = "DG1|1||J1^One^L|||F\rDG1|2|||||W\r";
    assert_eq!(unread("ADT^A01", &format!("{PID}{two}")), ["DG1-6"]);
    assert_eq!(unread("ADT^A01", &format!("EVN|A01|20240701\r{PID}")), [""; 0]);
}

#[test]
fn a_care_team_has_all_but_the_general_practitioner_in_either_order() {
    let [gp, other] = ["ROL|R1|AD|PP|C9^Role^Person\r", "ROL|R2|AD|CP|C10^Other^Person\r"];
    for roles in [[gp, other].concat(), [other, gp].concat()] {
        let made = made("ADT^A28", &format!("{PID}{roles}"));
        let team = one(&made, "CareTeam");
        assert_eq!(at(target(&made, team, "participant[0].member"), "name.family"), "Other");
        assert_eq!(at(team, "participant[1].member"), "-");
    }
    assert!(all(&made("ADT^A28", &format!("{PID}{gp}")), "CareTeam").is_empty());
}

#[test]
fn a_wrong_nhs_number_is_told_and_an_ods_code_of_the_nhs_is_one() {
    let made = made_in("GBR", "ADT^A28", "PID|||9434765918^^^NHS^NH\rPD1|||Ely Surgery^^D81001^^^NHS\r");
    assert!(made.findings.iter().any(|one| one.path == "PID[1]: PID-3[1]" && one.text.starts_with("is no NHS number")));
    assert_eq!(at(one(&made, "Patient"), "identifier.system"), "urn:fairway:rxx:identifier:nhs");
    let surgery = all(&made, "Organization").into_iter().find(|one| one.to_string().contains("D81001")).unwrap();
    assert_eq!(at(surgery, "identifier.system"), "https://fhir.nhs.uk/Id/ods-organization-code");
    assert_eq!(at(made.identifier.as_ref().unwrap(), "value"), "1");
}

#[test]
fn a_medication_of_zrx_is_one_that_is_or_was_taken() {
    let zrx = "ZRX|^BD^^20250101^20250301|387517004^Paracetamol^SCT|500||mg^milligram^UCUM\rZRX|^^^20250101|^Aspirin\r";
    let made = made("ADT^A28", &format!("{PID}{zrx}"));
    let [past, present] = all(&made, "MedicationStatement")[..] else { panic!("{made:?}") };
    assert_eq!((at(past, "status"), at(present, "status")), ("completed".to_owned(), "active".to_owned()));
    assert_eq!(at(past, "medicationCodeableConcept.coding.system"), "http://snomed.info/sct");
    assert_eq!(at(past, "effectivePeriod.end"), "2025-03-01");
    assert_eq!(at(past, "dosage.timing.code.text"), "BD");
    assert_eq!(at(past, "dosage.doseAndRate.doseQuantity.code"), "mg");
    assert_eq!(at(present, "medicationCodeableConcept.text"), "Aspirin");
}

#[test]
fn a_number_and_a_mail_address_in_one_field_are_both_kept() {
    let made = made(
        "ADT^A28",
        "PID|||1^^^RXX^MR||Doe||||||||(303)554-8889^PRN^PH^jo@x.org^^303^5548889~^NET^Internet^a@b.org\r",
    );
    let patient = one(&made, "Patient");
    assert_eq!(at(patient, "telecom[0].value"), "303 5548889");
    assert_eq!(
        (at(patient, "telecom[1].system"), at(patient, "telecom[1].value")),
        ("email".into(), "jo@x.org".into())
    );
    assert_eq!(at(patient, "telecom[2].value"), "a@b.org");
    assert_eq!(at(patient, "telecom[3]"), "-");
}

#[test]
fn numbers_that_say_two_things_name_two_resources_and_those_of_two_patients_do_not_meet() {
    let entries = "IAM|1|DA|P^Pen^L|SV||A|1\rIAM|2|FA|N^Nuts^L|SV||A|1\r";
    let of = |patient: &str| made("ADT^A31", &format!("PID|||{patient}^^^RXX^MR||Doe\r{entries}"));
    let [one_of, other] = [of("1"), of("2")];
    let ids = |made: &Bundled| all(made, "AllergyIntolerance").iter().map(|one| at(one, "id")).collect::<Vec<_>>();
    let (mine, theirs) = (ids(&one_of), ids(&other));
    assert_eq!((mine.len(), theirs.len()), (2, 2));
    assert!(mine.iter().all(|id| !theirs.contains(id)), "{mine:?} {theirs:?}");
    assert_eq!(mine, ids(&of("1")), "the same again has the same ids");
}

#[test]
fn an_ampersand_that_was_not_escaped_cuts_nothing() {
    let pid = "PID|||1^^^RXX^MR||SMITH & JONES^Ann||||||Rose & Crown^^Leeds\r";
    let made = made("ADT^A01", &format!("{pid}PV1|1|I|A&E^MAJORS^1\r"));
    let patient = one(&made, "Patient");
    assert_eq!(at(patient, "name[0].family"), "SMITH & JONES");
    assert_eq!(at(patient, "address[0].line[0]"), "Rose & Crown");
    assert!(all(&made, "Location").iter().any(|place| at(place, "name") == "A&E"), "{:?}", all(&made, "Location"));
    let own = one(&made_in("", "ADT^A28", "PID|||1^^^RXX^MR||GARCIA&DE&GARCIA^Ann\r"), "Patient").clone();
    assert_eq!(at(&own, "name[0].family"), "GARCIA");
}
