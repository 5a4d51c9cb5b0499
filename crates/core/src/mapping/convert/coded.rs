//! Codes: CE and CWE to concepts and codings, and the URIs of coding systems.
//!
//! A system that is not known is the sender's own; nothing is guessed for it.

use std::borrow::Cow;

use super::{part_of, text};
use crate::fhir::Json;
use crate::hl7v2::Value;

/// OBX-3 (v2-to-fhir CWE[CodeableConcept]) without the suffix of its code.
pub(in crate::mapping) fn test_code(value: Value<'_>, organisation: &str) -> Option<Json> {
    let mut concept = coded(value, organisation)?;
    let Json::Object(object) = &mut concept else { return Some(concept) };
    if code_suffix(value).is_none() {
        return Some(concept);
    }
    let base = collapse(&value.component(1).subcomponent(1).trimmed());
    let Some(Json::Array(mut codings)) = object.remove("coding") else { return Some(concept) };
    match codings.first_mut() {
        Some(Json::Object(coding)) if !base.is_empty() => drop(coding.insert("code", Json::string(base.as_str()))),
        _ => codings.truncate(0),
    }
    let words = object.remove("text");
    if !codings.is_empty() {
        object.insert("coding", Json::Array(codings));
    }
    if let Some(words) = words {
        object.insert("text", words);
    }
    Some(concept)
}

/// The suffix of an observation's code, which says what part of a report it is (HL7 v2 7.1.4, mapping-pitfalls 12); none
/// of `A&E`.
pub(in crate::mapping) fn code_suffix(value: Value<'_>) -> Option<Cow<'_, str>> {
    let code = value.component(1);
    let suffix = code.subcomponent(2).trimmed();
    let known = matches!(
        &*suffix,
        "ADT" | "ANT" | "CNP" | "DEV" | "GDT" | "IMP" | "ITM" | "MDT" | "MED" | "OTH" | "REC" | "SER" | "TCM"
    );
    let alone = !code.subcomponent(1).is_valued() && !suffix.is_empty();
    (known || alone).then_some(suffix)
}

/// CE or CWE (v2-to-fhir CWE[CodeableConcept]); `organisation` is the code of its sender.
pub(in crate::mapping) fn coded(value: Value<'_>, organisation: &str) -> Option<Json> {
    let codings: Vec<Json> = [1, 4].into_iter().filter_map(|first| coding_at(value, first, organisation)).collect();
    let words = concept_words(value);
    let mut members = Vec::with_capacity(2);
    if !codings.is_empty() {
        members.push(("coding", Json::Array(codings)));
    }
    members.push(("text", words?));
    Some(Json::object(members))
}

/// The first triplet of CE or CWE.
pub(in crate::mapping) fn coding(value: Value<'_>, organisation: &str) -> Option<Json> {
    coding_at(value, 1, organisation)
}

/// The triplet of code, name and coding system that begins at a component.
fn coding_at(value: Value<'_>, first: usize, organisation: &str) -> Option<Json> {
    let code = part_of(value, first).trimmed();
    if code.is_empty() {
        return None;
    }
    let mut coding = Vec::with_capacity(3);
    let system = part_of(value, first + 2).trimmed();
    if !system.is_empty() {
        let known = coding_system(&system).unwrap_or_else(|| local_system(&system, organisation).into());
        coding.push(("system", Json::String(known.into())));
    }
    coding.push(("code", Json::String(collapse(&code))));
    coding.extend(text(part_of(value, first + 1)).map(|display| ("display", display)));
    Some(Json::object(coding))
}

/// CE or CWE as people read it: the text, else the names, else the codes.
pub(super) fn concept_words(value: Value<'_>) -> Option<Json> {
    [9, 2, 5, 1, 4].into_iter().find_map(|n| text(part_of(value, n)))
}

/// A FHIR code has single blanks only.
pub(super) fn collapse(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The URI of a coding system that only its sender knows; letters and digits of its name are kept.
pub(super) fn local_system(name: &str, organisation: &str) -> String {
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).collect();
    format!("urn:fairway:{}:codesystem:{name}", organisation.to_lowercase())
}

/// The URI of a coding system named as in HL7 table 0396 or as UK systems do, of an HL7 table (`HL70078`), an OID or a
/// URI; none when it is not known.
pub(super) fn coding_system(name: &str) -> Option<Cow<'static, str>> {
    let upper = name.to_uppercase();
    if let Some(table) = upper.strip_prefix("HL7")
        && table.len() == 4
        && table.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(Cow::Owned(format!("http://terminology.hl7.org/CodeSystem/v2-{table}")));
    }
    if !name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        if ["http://", "https://", "urn:"].iter().any(|scheme| name.starts_with(scheme)) {
            return Some(Cow::Owned(name.to_owned()));
        }
        if name.starts_with("2.16.") && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Some(Cow::Owned(format!("urn:oid:{name}")));
        }
    }
    let known = match upper.as_str() {
        "LN" | "LOINC" => "http://loinc.org",
        "SCT" | "SNOMED" | "SNOMED CT" | "SNOMED-CT" | "SNOMEDCT" => "http://snomed.info/sct",
        "I10" | "ICD10" | "ICD-10" => "http://hl7.org/fhir/sid/icd-10",
        "UCUM" => UCUM,
        "READ" | "READ2" | "RDCT" => "http://read.info/readv2",
        "CTV3" => "http://read.info/ctv3",
        "C4" | "CPT" | "CPT4" | "CPTM" => "http://www.ama-assn.org/go/cpt",
        "CVX" => "http://hl7.org/fhir/sid/cvx",
        "MVX" => "http://hl7.org/fhir/sid/mvx",
        "NDC" => "http://hl7.org/fhir/sid/ndc",
        "RXNORM" => "http://www.nlm.nih.gov/research/umls/rxnorm",
        "CDCREC" => "urn:oid:2.16.840.1.113883.6.238",
        "I9" | "ICD9" | "ICD-9" => "http://hl7.org/fhir/sid/icd-9",
        "I9C" | "I9CDX" | "I9CP" => "http://hl7.org/fhir/sid/icd-9-cm",
        "I10C" => "http://hl7.org/fhir/sid/icd-10-cm",
        "NCIT" => "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
        "DCM" => "http://dicom.nema.org/resources/ontology/DCM",
        "OPCS4" | "OPCS-4" | "OPCS" => "https://fhir.hl7.org.uk/CodeSystem/opcs-4",
        "DMD" | "DM+D" => "https://dmd.nhs.uk",
        _ => return None,
    };
    Some(Cow::Borrowed(known))
}

const UCUM: &str = "http://unitsofmeasure.org";
