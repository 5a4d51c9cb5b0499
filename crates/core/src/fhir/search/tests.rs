//! Search semantics of R4, parameter by parameter.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::fhir::r4;

fn search(json: &Json, query: &str) -> Result<bool, SearchError> {
    let (name, value) = query.split_once('=').unwrap();
    let (name, modifier) = name.split_once(':').map_or((name, None), |(name, modifier)| (name, Some(modifier)));
    matches(parameter(json.resource_type().unwrap(), name).unwrap(), json, value, modifier)
}

fn check(text: &str, hits: &[&str], misses: &[&str]) {
    let json = Json::parse(text.as_bytes()).unwrap();
    for query in hits {
        assert_eq!(search(&json, query), Ok(true), "{query}");
    }
    for query in misses {
        assert_eq!(search(&json, query), Ok(false), "{query}");
    }
}

#[test]
fn every_parameter_looks_at_elements_that_exist() {
    for t in r4().types().iter().filter(|t| t.is_resource()) {
        for (at, parameter) in parameters(t.name()).iter().enumerate() {
            for path in parameter.paths {
                let elements = r4().resolve(t.name(), path);
                assert!(elements.is_ok(), "{} {}: {elements:?}", t.name(), parameter.name);
                let value = elements.unwrap().last().unwrap().type_name();
                let fits = match parameter.kind {
                    SearchKind::Reference => value == "Reference",
                    SearchKind::Date => ["date", "dateTime", "instant", "Period"].contains(&value),
                    SearchKind::String => ["string", "HumanName", "Address"].contains(&value),
                    SearchKind::Token => !["Reference", "HumanName", "Address", "decimal"].contains(&value),
                };
                assert!(fits, "{} {} {value}", t.name(), parameter.name);
            }
            assert!(parameters(t.name())[..at].iter().all(|other| other.name != parameter.name));
        }
    }
    assert!(parameters("Nonsense").is_empty() && parameters("Binary").is_empty());
    assert!(parameter("Patient", "nonsense").is_none());
}

const PATIENT: &str = r#"{"resourceType":"Patient","active":true,"gender":"female","birthDate":"1972-03-14",
    "identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"},{"value":"bare|1"}],
    "name":[{"use":"official","family":"Jones-Évans","given":["Siân","Mary Ann"]},{"text":"Sian Smith"}],
    "telecom":[{"system":"phone","value":"01632 960000"},{"system":"email","value":"sian@example.org"}],
    "address":[{"use":"home","line":["1 High Street"],"city":"Leeds","postalCode":"LS1 4AP"}]}"#;

#[test]
fn tokens_compare_system_and_code() {
    check(
        PATIENT,
        &[
            "identifier=9990000018",
            "identifier=https://fhir.nhs.uk/Id/nhs-number|9990000018",
            "identifier=https://fhir.nhs.uk/Id/nhs-number|",
            "identifier=1,9990000018",
            r"identifier=bare\|1",
            r"identifier=|bare\|1",
            "gender=female",
            "gender=http://hl7.org/fhir/administrative-gender|female",
            "gender:not=male",
            "active=true",
            "deceased=false",
            "email=sian@example.org",
            "telecom=01632 960000",
            "identifier:missing=false",
            "death-date:missing=true",
        ],
        &[
            "identifier=|9990000018",
            "identifier=urn:x|9990000018",
            "identifier=999000001",
            "gender=male",
            "gender=Female",
            "gender:not=male,female",
            "active=false",
            "deceased=true",
            "phone=sian@example.org",
            "identifier:missing=true",
        ],
    );
    check(
        r#"{"resourceType":"Patient","deceasedDateTime":"2024"}"#,
        &["deceased=true", "gender:not=male"],
        &["deceased=false"],
    );
    check(r#"{"resourceType":"Patient","deceasedBoolean":false}"#, &["deceased=false"], &["deceased=true"]);
    check(
        r#"{"resourceType":"DiagnosticReport","code":{"coding":[{"system":"urn:a","code":"1"},{"code":"2","display":"Full blood count"}],"text":"FBC"}}"#,
        &["code=urn:a|1", "code=2", "code=|2", "code=urn:a|", "code:text=full", "code:text=fbc"],
        &["code=urn:a|2", "code=|1", "code=urn:b|", "code:text=blood"],
    );
}

#[test]
fn strings_compare_from_their_start_without_case_and_accents() {
    check(
        PATIENT,
        &[
            "family=jones",
            "family=JONES-EVANS",
            "given=sian",
            "given=mary",
            "name=smith,sian",
            "name=evans,jon",
            "family:contains=evans",
            "family:exact=Jones-Évans",
            "address=leeds",
            "address-postalcode=ls1",
            "address=1 high",
        ],
        &[
            "family=evans",
            "family:exact=Jones-Evans",
            "given=ann",
            "name=official",
            "address=home",
            "address-postalcode=4AP",
        ],
    );
}

#[test]
fn dates_compare_by_their_precision() {
    check(
        PATIENT,
        &[
            "birthdate=1972-03-14",
            "birthdate=1972-03",
            "birthdate=1972",
            "birthdate=ge1972-03-14",
            "birthdate=lt1973",
            "birthdate=ne1971",
            "birthdate=gt1972-03-13",
            "birthdate=le1972",
            "birthdate=ap1972-03-15",
            "birthdate=1970,1972",
        ],
        &[
            "birthdate=1972-03-15",
            "birthdate=gt1972-03-14",
            "birthdate=gt1972",
            "birthdate=lt1972",
            "birthdate=sa1972-03-14",
            "birthdate=eb1972-03-14",
            "birthdate=ne1972",
            "birthdate=1972-03-14T10:00:00Z",
            "death-date=1972",
        ],
    );
    check(
        r#"{"resourceType":"Encounter","period":{"start":"2024-03-01T10:00:00+01:00"}}"#,
        &[
            "date=ge2024-03-01",
            "date=gt2030",
            "date=sa2024-02",
            "date=sa2024-03-01T08:59Z",
            "date=le2024-03-01",
            "date=ne2024",
        ],
        &["date=2024", "date=lt2024-03-01", "date=eb2024-03-02", "date=sa2024-03-01T09:00:00Z"],
    );
    check(
        r#"{"resourceType":"Appointment","start":"2024-03-01T09:30:00Z"}"#,
        &[
            "date=2024-03-01",
            "date=2024-03-01T09:30",
            "date=2024-03-01T10:30:00+01:00",
            "date=2024-03-01T10:30:00 01:00",
            "date=ge2024-03-01T09:30:00Z",
        ],
        &["date=2024-03-02", "date=gt2024-03-01T09:30:00Z", "date=2024-03-01T09:31"],
    );
}

#[test]
fn references_compare_type_and_id() {
    check(
        r#"{"resourceType":"Appointment","participant":[{"actor":{"reference":"Patient/p1"}},
            {"actor":{"reference":"https://x.org/fhir/Location/l1/_history/2"}},{"actor":{"reference":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}},
            {"actor":{"identifier":{"system":"urn:s","value":"7"}}}]}"#,
        &[
            "patient=p1",
            "patient=Patient/p1",
            "actor=p1",
            "actor:Patient=p1",
            "actor=x,Patient/p1",
            "location=https://x.org/fhir/Location/l1/_history/2",
            "actor=urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
            "actor:identifier=urn:s|7",
            "actor:missing=false",
        ],
        &[
            "patient=p2",
            "patient=Location/l1",
            "location=p1",
            "actor:Location=p1",
            "location=l1",
            "actor=Location/p1",
            "actor:identifier=urn:s|8",
            "based-on=ServiceRequest/1",
        ],
    );
}

#[test]
fn what_is_not_understood_is_refused() {
    let json = Json::parse(PATIENT.as_bytes()).unwrap();
    for query in [
        "birthdate=yesterday",
        "birthdate=xx2024",
        "birthdate=2024-02-30",
        "birthdate:exact=2024",
        "family:not=x",
        "gender:exact=x",
        "identifier=a|b|c",
        "identifier=|",
        "family=",
        "family=a,,b",
        "gender:missing=yes",
        "general-practitioner:foo=x",
    ] {
        assert!(search(&json, query).is_err(), "{query}");
    }
    assert!(search(&json, &format!("family={}a", "a,".repeat(ALTERNATIVES_MAX))).is_err());
    let secret = search(&json, "birthdate=secret").unwrap_err().to_string();
    assert_eq!(secret, "the value of `birthdate` must be a date with or without a prefix");
}
