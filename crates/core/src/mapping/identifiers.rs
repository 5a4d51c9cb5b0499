//! Patient identifiers: which assigning authority and type code name which identifier system (hl7-api 2.1).
//!
//! Only components 1, 4 and 5 of PID-2 and PID-3 are read; a pair that is listed nowhere is ignored.

use std::sync::Arc;

use crate::fhir::Json;
use crate::hl7v2::{Message, Value};
use crate::record::{IdentifierKey, IdentifierKind, PatientIdentifier};
use crate::source::{Problems, Table};

/// Usable identifiers of one patient at most.
const IDENTIFIERS_MAX: usize = 100;

/// A check that a value must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Any text.
    None,
    /// Ten digits with the modulus 11 check digit (NHS Data Dictionary, NHS NUMBER).
    NhsNumber,
}

/// One kind of identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifierType {
    /// Assigning authority (component 4.1); none takes any.
    pub authority: Option<String>,
    /// Type code (component 5).
    pub type_code: String,
    /// Identifier system, a URI.
    pub system: Arc<str>,
    /// National or local.
    pub kind: IdentifierKind,
    /// How values are checked.
    pub check: Check,
}

/// Reads one `[[identifier]]` table; `kind` is what it is when the table does not say.
pub fn read_identifiers(tables: Vec<Table>, kind: IdentifierKind, problems: &mut Problems) -> Vec<IdentifierType> {
    let mut types: Vec<IdentifierType> = Vec::new();
    for mut table in tables {
        let authority = table.required_text("authority", problems);
        let type_code = table.required_text("type", problems);
        let system = table.required_text("system", problems);
        let kind = match table.text("kind", problems) {
            None => kind,
            Some((text, _)) if text == "national" => IdentifierKind::National,
            Some((text, _)) if text == "local" => IdentifierKind::Local,
            Some((text, place)) => {
                problems.hint(&place, format!("unknown kind `{text}`"), "`national` or `local`");
                kind
            }
        };
        let check = match table.text("check", problems) {
            None => Check::None,
            Some((text, _)) if text == "nhs-number" => Check::NhsNumber,
            Some((text, place)) => {
                problems.hint(&place, format!("unknown check `{text}`"), "`nhs-number` is the only one");
                Check::None
            }
        };
        let place = table.place().clone();
        table.finish(problems);
        let (Some(authority), Some(type_code), Some(system)) = (authority, type_code, system) else { continue };
        let authority = Some(authority.0).filter(|authority| authority != "*");
        if types.iter().any(|earlier| earlier.authority == authority && earlier.type_code == type_code.0) {
            problems.hint(&place, "this authority and type are listed already", "keep one of the entries");
            continue;
        }
        types.push(IdentifierType { authority, type_code: type_code.0, system: system.0.into(), kind, check });
    }
    types
}

/// The usable identifiers of PID-2 and PID-3, in their order, each once.
///
/// # Errors
/// A sentence for the sender when an identifier of a known kind fails its check.
pub(super) fn patient_identifiers(
    message: &Message,
    types: &[IdentifierType],
    test_numbers_only: bool,
) -> Result<Vec<PatientIdentifier>, String> {
    let mut found: Vec<PatientIdentifier> = Vec::new();
    let Some(segment) = message.first("PID") else { return Ok(found) };
    for field in [2_u16, 3] {
        for (index, repetition) in segment.field(field).repetitions().enumerate() {
            if let Some(identifier) =
                patient_identifier(repetition, types).map_err(|text| format!("PID-{field}[{}].1 {text}", index + 1))?
                && found.iter().all(|earlier| earlier.key != identifier.key)
            {
                let test = identifier.key.value.starts_with("999");
                if test_numbers_only && identifier.kind == IdentifierKind::National && !test {
                    return Err(format!(
                        "PID-{field}[{}].1 (national number) is outside the reserved test range 999…; this \
                         environment takes no real people's data",
                        index + 1
                    ));
                }
                if found.len() == IDENTIFIERS_MAX {
                    return Err(format!("PID-{field} holds more than {IDENTIFIERS_MAX} identifiers"));
                }
                found.push(identifier);
            }
        }
    }
    Ok(found)
}

fn patient_identifier(value: Value<'_>, types: &[IdentifierType]) -> Result<Option<PatientIdentifier>, &'static str> {
    let text = value.component(1).trimmed();
    if text.is_empty() {
        return Ok(None);
    }
    let authority = value.component(4).subcomponent(1).trimmed();
    let type_field = value.component(5).trimmed();
    let (type_code, status) = split_status(&type_field);
    let fits = |kind: &&IdentifierType| {
        kind.type_code == type_code && kind.authority.as_ref().is_none_or(|wanted| *wanted == *authority)
    };
    let Some(kind) = types.iter().find(fits) else {
        return match (&*authority, type_code) {
            ("PKB", "PI") => Err("(public id) is not matched yet; send the NHS number or a number of your own"),
            ("EMAIL", "EMAIL") => Err("(e-mail) is not matched yet; send the NHS number or a number of your own"),
            // hl7-api 2.1: a pair that matches no known type is ignored.
            _ => Ok(None),
        };
    };
    let value = match kind.check {
        Check::None => text.into_owned(),
        Check::NhsNumber => nhs_number(&text).ok_or("(NHS number) must be ten digits with a valid check digit")?,
    };
    let mut members = Vec::with_capacity(4);
    if let Some(status) = status.and_then(verification_status) {
        members.push(("extension", Json::Array(vec![status])));
    }
    if kind.kind == IdentifierKind::National {
        members.push(("use", Json::string("official")));
    } else {
        members.push(("use", Json::string("usual")));
        let coding = Json::object([
            ("system", Json::string("http://terminology.hl7.org/CodeSystem/v2-0203")),
            ("code", Json::string(type_code)),
        ]);
        members.push(("type", Json::object([("coding", Json::Array(vec![coding]))])));
    }
    members.push(("system", Json::string(&*kind.system)));
    members.push(("value", Json::string(value.as_str())));
    let key = IdentifierKey { system: kind.system.clone(), value };
    Ok(Some(PatientIdentifier { key, kind: kind.kind, json: Json::object(members) }))
}

/// `NH{status:01}` is the type `NH` with status `01` (hl7-api 2.1).
pub(super) fn split_status(type_field: &str) -> (&str, Option<&str>) {
    match type_field.split_once("{status:") {
        Some((type_code, rest)) => (type_code.trim_end(), rest.strip_suffix('}')),
        None => (type_field, None),
    }
}

/// UK Core's extension for the NHS number status of the NHS Data Dictionary; none for what is no such status.
pub(super) fn verification_status(status: &str) -> Option<Json> {
    if !matches!(status.as_bytes(), [b'0', b'1'..=b'8']) {
        return None;
    }
    let coding = Json::object([
        ("system", Json::string("https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland")),
        ("code", Json::string(status)),
    ]);
    Some(Json::object([
        (
            "url",
            Json::string("https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus"),
        ),
        ("valueCodeableConcept", Json::object([("coding", Json::Array(vec![coding]))])),
    ]))
}

/// Ten digits, blanks and hyphens between them left out; none when the modulus 11 check digit is wrong.
pub fn nhs_number(text: &str) -> Option<String> {
    let mut digits = String::with_capacity(10);
    for character in text.chars() {
        match character {
            '0'..='9' if digits.len() < 10 => digits.push(character),
            ' ' | '-' => {}
            _ => return None,
        }
    }
    let (body, check) = digits.as_bytes().split_at_checked(9)?;
    let sum: u32 = body.iter().zip((2..=10).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let expected = match 11 - sum % 11 {
        11 => 0,
        10 => return None,
        other => other,
    };
    let [check] = check else { return None };
    (u32::from(check - b'0') == expected && digits != "0000000000").then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nhs_numbers() {
        assert_eq!(nhs_number("999 000 0018").as_deref(), Some("9990000018"));
        for valid in ["9999999999", "9434765919", "943 476 5919", "943-476-5919", "4444444444"] {
            assert!(nhs_number(valid).is_some(), "{valid}");
        }
        for invalid in ["9434765918", "943476591", "94347659190", "0000000000", "943476591X", ""] {
            assert_eq!(nhs_number(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn status_suffix() {
        assert_eq!(split_status("NH{status:01}"), ("NH", Some("01")));
        assert_eq!(split_status("NH"), ("NH", None));
        assert_eq!(split_status("NH{status:01"), ("NH", None));
    }
}
