//! Names and identifiers: XPN and XCN to HumanName, CX, XCN and EI to Identifier.
//!
//! An authority that is known gives its system; any other is the sender's own, so that numbers of two senders never meet.

use crate::fhir::Json;
use crate::hl7v2::{Level, Value, Zone};
use crate::mapping::identifiers::{nhs_number, split_status, verification_status};

use super::{address, collapse, date_time, part_of, text};

/// Where the parts of a name stand.
struct NameParts {
    family: usize,
    /// Given name and further given names.
    given: [usize; 2],
    prefix: usize,
    /// Suffix, degree, professional suffix.
    suffixes: &'static [usize],
    kind: usize,
    /// From and to, each in a component of its own, and the range that older versions have.
    dates: [usize; 2],
    range: usize,
}

/// XPN (v2-to-fhir XPN[HumanName]).
const XPN: NameParts =
    NameParts { family: 1, given: [2, 3], prefix: 5, suffixes: &[4, 6, 14], kind: 7, dates: [12, 13], range: 10 };
/// The name in XCN (v2-to-fhir XCN[Practitioner], where the degree is a qualification).
const XCN: NameParts =
    NameParts { family: 2, given: [3, 4], prefix: 6, suffixes: &[5, 21], kind: 10, dates: [19, 20], range: 17 };

/// XPN as a HumanName.
pub(in crate::mapping) fn human_name(value: Value<'_>, zone: &Zone) -> Option<Json> {
    name(value, XPN, zone)
}

/// The name in XCN as a HumanName.
pub(in crate::mapping) fn xcn_human_name(value: Value<'_>, zone: &Zone) -> Option<Json> {
    name(value, XCN, zone)
}

/// The person in NDL: sub-components of the first component, or components where a sender writes NDL like XCN.
fn ndl_person(value: Value<'_>) -> Value<'_> {
    let first = value.component(1);
    if first.subcomponents().count() > 1 || !value.component(3).is_valued() { first } else { value }
}

/// The name in NDL as a HumanName (v2-to-fhir NDL[PractitionerRole], CNN[Practitioner]).
pub(in crate::mapping) fn ndl_human_name(value: Value<'_>) -> Option<Json> {
    let person = ndl_person(value);
    let members = words(|n| part_of(person, n), part_of(person, 2), [&[3, 4], &[6], &[5, 7]]);
    (!members.is_empty()).then(|| Json::object(members))
}

/// The identifier of the person in NDL: CNN spreads its authority over three parts.
pub(in crate::mapping) fn ndl_identifier(value: Value<'_>, organisation: &str) -> Option<Json> {
    let person = ndl_person(value);
    let authority = [9, 10, 11].map(|n| part_of(person, n).trimmed());
    let system = authority_system([&authority[0], &authority[1], &authority[2]], organisation);
    made(text(part_of(person, 1))?, None, system, None)
}

fn name(value: Value<'_>, parts: NameParts, zone: &Zone) -> Option<Json> {
    let family = value.component(parts.family);
    let family = if is_plain_ampersand(family) { family } else { family.subcomponent(1) };
    let words = words(|n| value.component(n), family, [&parts.given, &[parts.prefix], parts.suffixes]);
    if words.is_empty() {
        return None;
    }
    let usage = name_use(&value.component(parts.kind).trimmed()).map(|usage| ("use", Json::string(usage)));
    let mut members: Vec<(&str, Json)> = usage.into_iter().chain(words).collect();
    let [from, to] = parts.dates.map(|n| value.component(n));
    members.extend(range(from, to, value.component(parts.range), zone).map(|period| ("period", period)));
    Some(Json::object(members))
}

/// Whether a `&` with blanks around it is one that was not escaped: what it separates never ends in a blank
/// (mapping-pitfalls 15).
pub(super) fn is_plain_ampersand(value: Value<'_>) -> bool {
    value.raw().windows(3).any(|bytes| bytes == b" & ")
}

/// The words of a name: the family name, and the numbers of the parts with given names, prefixes and suffixes.
fn words<'m>(
    part: impl Fn(usize) -> Value<'m>,
    family: Value<'m>,
    [given, prefix, suffix]: [&[usize]; 3],
) -> Vec<(&'static str, Json)> {
    let lists = [("given", given), ("prefix", prefix), ("suffix", suffix)].map(|(element, parts)| {
        let items: Vec<Json> = parts.iter().filter_map(|n| text(part(*n))).collect();
        (element, items)
    });
    let lists = lists.into_iter().filter(|(_, items)| !items.is_empty());
    let family = text(family).map(|family| ("family", family));
    family.into_iter().chain(lists.map(|(element, items)| (element, Json::Array(items)))).collect()
}

/// A Period of two times, else of the range DR that older versions have in their place.
fn range(from: Value<'_>, to: Value<'_>, range: Value<'_>, zone: &Zone) -> Option<Json> {
    period(from, to, zone).or_else(|| period(part_of(range, 1), part_of(range, 2), zone))
}

/// HL7 table 0200 (v2-to-fhir NameType), and the words that some systems send in its place.
fn name_use(code: &str) -> Option<&'static str> {
    Some(match code {
        "L" | "R" => "official",
        "D" | "CURRENT" => "usual",
        "M" => "maiden",
        "N" => "nickname",
        "MSK" | "S" => "anonymous",
        "BAD" | "NOUSE" | "PREVIOUS" => "old",
        "NAV" | "TEMP" => "temp",
        _ => return None,
    })
}

/// Two times as a Period; a time that cannot be read is left out.
pub(super) fn period(from: Value<'_>, to: Value<'_>, zone: &Zone) -> Option<Json> {
    let time = |value| date_time(value, zone).ok().flatten();
    let members: Vec<_> =
        [("start", time(from)), ("end", time(to))].into_iter().filter_map(|(name, time)| Some((name, time?))).collect();
    (!members.is_empty()).then(|| Json::object(members))
}

/// CX (v2-to-fhir CX[Identifier]); `organisation` is whose numbers those without a known authority are, `kind` the type
/// of one that names none.
pub(in crate::mapping) fn cx_identifier(
    value: Value<'_>,
    kind: Option<&str>,
    organisation: &str,
    zone: &Zone,
) -> Option<Json> {
    let given = value.component(5).trimmed();
    let kind = if given.is_empty() { kind } else { Some(&*given) };
    let dates = period(value.component(7), value.component(8), zone);
    let made = identifier(value, value.component(4), kind, organisation, dates)?;
    Some(with_check_digit(made, value.component(2), value.component(3)))
}

/// Adds the check digit that stands beside a number, and the scheme it follows (v2-to-fhir CX[Identifier]).
fn with_check_digit(mut identifier: Json, digit: Value<'_>, scheme: Value<'_>) -> Json {
    let extension = |url: &str, value| Json::object([("url", Json::string(url)), ("valueString", value)]);
    let Json::Object(object) = &mut identifier else { return identifier };
    let Some(digit) = text(digit) else { return identifier };
    let mut extensions = vec![extension("http://hl7.org/fhir/StructureDefinition/identifier-checkDigit", digit)];
    extensions.extend(
        text(scheme).map(|it| extension("http://hl7.org/fhir/StructureDefinition/namingsystem-checkDigit", it)),
    );
    if let Some(Json::Array(more)) = object.remove("extension") {
        extensions.extend(more);
    }
    object.insert("extension", Json::Array(extensions));
    identifier
}

/// The identifier in XCN (v2-to-fhir XCN[Practitioner]).
pub(in crate::mapping) fn xcn_identifier(value: Value<'_>, organisation: &str) -> Option<Json> {
    let kind = value.component(13).trimmed();
    let kind = Some(&*kind).filter(|kind| !kind.is_empty());
    let made = identifier(value, value.component(9), kind, organisation, None)?;
    Some(with_check_digit(made, value.component(11), value.component(12)))
}

/// EI (v2-to-fhir EI[Identifier]): its authority is spread over components 2 to 4.
pub(in crate::mapping) fn ei_identifier(value: Value<'_>, kind: Option<&str>, organisation: &str) -> Option<Json> {
    // EI in a component (EIP) has sub-components; so has the first part of an EIP in the place of an EI.
    let value = if value.component(1).subcomponents().count() > 1 { value.component(1) } else { value };
    let part = |n| part_of(value, n).trimmed();
    let system = authority_system([&part(2), &part(3), &part(4)], organisation);
    made(text(part_of(value, 1))?, kind, system, None)
}

/// HD (v2-to-fhir HD[Organization], HD[Identifier]); `system` is that of a name without a universal id.
pub(in crate::mapping) fn hd_identifier(value: Value<'_>, system: Option<&str>) -> Option<Json> {
    let part = |n| part_of(value, n).trimmed();
    if let Some(uri) = universal_uri(&part(2), &part(3)) {
        return made(Json::String(uri), None, Some("urn:ietf:rfc3986".to_owned()), None);
    }
    let name = hd_name(value)?;
    let system = system.filter(|system| *system != ODS || name.as_str().is_some_and(is_ods_code));
    made(name, None, system.map(str::to_owned), None)
}

/// The name in HD, else its universal id. What looks like an id without a type is the rest of a name with a `&` that was
/// not escaped, as `A&E` (mapping-pitfalls 15).
pub(in crate::mapping) fn hd_name(value: Value<'_>) -> Option<Json> {
    let part = |n| part_of(value, n).trimmed();
    let is_id = |id: &str| id.contains(['.', '-', ':']) || id.len() > 12;
    let is_rest = value.level() == Level::Component
        && !part(1).is_empty()
        && !part(2).is_empty()
        && part(3).is_empty()
        && !is_id(&part(2));
    if is_rest || value.level() == Level::Component && is_plain_ampersand(value) {
        return text(value);
    }
    text(part_of(value, 1)).or_else(|| text(part_of(value, 2)))
}

/// System of the codes that the Organisation Data Service gives to organisations of the NHS.
const ODS: &str = "https://fhir.nhs.uk/Id/ods-organization-code";

/// Whether a text has the form of an ODS code: three characters for a trust, five for a site, six for a practice.
fn is_ods_code(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    plain
        && match text.len() {
            3 => text.starts_with(|c: char| c.is_ascii_uppercase()),
            5 => digits > 0,
            6 => digits > 1,
            _ => false,
        }
}

/// The identifier in XON (v2-to-fhir XON[Organization]): component 10, in older versions 3; `system` is that of one that
/// names no authority.
pub(in crate::mapping) fn xon_identifier(value: Value<'_>, system: Option<&str>, organisation: &str) -> Option<Json> {
    let number = text(value.component(10)).or_else(|| text(value.component(3)))?;
    let authority = |n: usize| value.component(6).subcomponent(n).trimmed();
    let kind = value.component(7).trimmed();
    let system = system.filter(|system| *system != ODS || number.as_str().is_some_and(is_ods_code));
    // The NHS gives its organisations no other codes.
    let of_nhs = system == Some(ODS) && matches!(&*authority(1), "NHS" | "ODS") && authority(2).is_empty();
    let given = authority_system([&authority(1), &authority(2), &authority(3)], organisation).filter(|_| !of_nhs);
    let system = given.or_else(|| system.map(str::to_owned));
    made(number, Some(&*kind).filter(|kind| !kind.is_empty()), system, None)
}

/// XAD as an Address with all that the guide fills (v2-to-fhir XAD[Address]).
pub(in crate::mapping) fn postal_address(value: Value<'_>, zone: &Zone) -> Option<Json> {
    let Some(Json::Object(mut address)) = address(value) else { return None };
    let mut members = Vec::new();
    let kind = value.component(7).trimmed();
    let usage = match &*kind {
        "BI" => Some(Json::string("billing")),
        "HOME" => Some(Json::string("home")),
        _ => address.remove("use"),
    };
    members.extend(usage.map(|usage| ("use", usage)));
    members.extend(matches!(&*kind, "M" | "SH").then(|| ("type", Json::string("postal"))));
    let mut lines = match address.remove("line") {
        Some(Json::Array(lines)) => lines,
        _ => Vec::new(),
    };
    lines.extend(text(value.component(19)));
    members.extend((!lines.is_empty()).then_some(("line", Json::Array(lines))));
    members.extend(address.remove("city").map(|city| ("city", city)));
    members.extend(text(value.component(9)).map(|district| ("district", district)));
    members
        .extend(["state", "postalCode", "country"].into_iter().filter_map(|name| Some((name, address.remove(name)?))));
    let period = range(value.component(13), value.component(14), value.component(12), zone);
    members.extend(period.map(|period| ("period", period)));
    Some(Json::object(members))
}

fn identifier(
    value: Value<'_>,
    authority: Value<'_>,
    kind: Option<&str>,
    organisation: &str,
    period: Option<Json>,
) -> Option<Json> {
    let number = text(value.component(1))?;
    let part = |n: usize| authority.subcomponent(n).trimmed();
    let parts = [part(1), part(2), part(3)];
    let (kind, status) = kind.map_or((None, None), |kind| {
        let (kind, status) = split_status(kind);
        (Some(kind).filter(|kind| !kind.is_empty()), status)
    });
    let digits = number.as_str().and_then(nhs_number);
    // What names the NHS and is no NHS number is a number of the sender's.
    if let Some(digits) = digits.filter(|_| is_nhs(&value.component(1).trimmed(), [&parts[0], &parts[1]], kind)) {
        let system = "https://fhir.nhs.uk/Id/nhs-number".to_owned();
        let mut made = made(Json::String(digits), Some("NH"), Some(system), period)?;
        if let (Json::Object(object), Some(status)) = (&mut made, status.and_then(verification_status)) {
            object.insert("extension", Json::Array(vec![status]));
        }
        return Some(made);
    }
    let is_ssn = kind == Some("SS") && number.as_str().is_some_and(is_social_security_number);
    let system = match is_ssn {
        true => Some("http://hl7.org/fhir/sid/us-ssn".to_owned()),
        false => authority_system([&parts[0], &parts[1], &parts[2]], organisation),
    };
    made(number, kind, system, period)
}

/// Whether this is the NHS as the authority of its numbers.
fn names_nhs(authority: &str) -> bool {
    matches!(authority, "NHS" | "NHSNMBR" | "NHSNBR")
}

/// Whether a CX calls itself an NHS number and is none.
pub(in crate::mapping) fn is_wrong_nhs_number(value: Value<'_>) -> bool {
    let number = value.component(1).trimmed();
    let part = |n: usize| value.component(4).subcomponent(n).trimmed();
    let kind = value.component(5).trimmed();
    let named = names_nhs(&part(1)) || matches!(split_status(&kind).0, "NH" | "NHSNMBR");
    named && nhs_number(&number).is_none()
}

/// Whether a number with a valid check digit is an NHS number: authority or type say so, or neither is there and the
/// number is written as people write it, 943 476 5919 (mapping-pitfalls 3).
fn is_nhs(number: &str, [name, id]: [&str; 2], kind: Option<&str>) -> bool {
    if names_nhs(name) || id == "2.16.840.1.113883.2.1.4.1" {
        return true;
    }
    let alone = name.is_empty() && id.is_empty();
    match kind {
        Some("NH" | "NHS" | "NHSNMBR") => true,
        Some("NI") => alone,
        Some(_) => false,
        None => alone && number.split(' ').map(str::len).eq([3, 3, 4]),
    }
}

/// Nine digits, as 987654321 or 987-65-4321.
fn is_social_security_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    digits == 9 && (text.len() == 9 || text.split('-').map(str::len).eq([3, 2, 4]))
}

/// The codes of HL7 table 0203 (v2-to-fhir IdentifierType, and those newer than it), sorted.
#[rustfmt::skip]
const IDENTIFIER_TYPES: &[&str] = &[
    "AC", "ACSN", "AM", "AMA", "AN", "ANC", "AND", "ANON", "ANT", "APRN", "ASID", "BA", "BC", "BCFN", "BCT", "BR",
    "BRN", "BSNR", "CC", "CONM", "CY", "CZ", "DC", "DCFN", "DDS", "DEA", "DFN", "DI", "DL", "DN", "DO", "DP", "DPM",
    "DR", "DS", "EI", "EN", "ESN", "FDR", "FDRFN", "FI", "FILL", "GI", "GL", "GN", "HC", "IND", "JHN", "LACSN",
    "LANR", "LI", "LN", "LR", "MA", "MB", "MC", "MCD", "MCN", "MCR", "MCT", "MD", "MI", "MR", "MRT", "MS", "NBSNR",
    "NCT", "NE", "NH", "NI", "NII", "NIIP", "NP", "NPI", "OBI", "OD", "PA", "PC", "PCN", "PE", "PEN", "PGN", "PHC",
    "PHE", "PHO", "PI", "PLAC", "PN", "PNT", "PPIN", "PPN", "PRC", "PRN", "PT", "QA", "RI", "RN", "RPH", "RR", "RRI",
    "RRP", "SB", "SID", "SL", "SN", "SNBSN", "SNO", "SP", "SR", "SS", "STN", "TAX", "TN", "TPR", "TRL", "U", "UDI",
    "UPIN", "USID", "VN", "VP", "VS", "WC", "WCN", "WP", "XV", "XX",
];

/// An Identifier; a type that HL7 table 0203 does not have is told in words.
fn made(value: Json, kind: Option<&str>, system: Option<String>, period: Option<Json>) -> Option<Json> {
    let mut members = Vec::with_capacity(4);
    if let Some(kind) = kind {
        let kind = if IDENTIFIER_TYPES.binary_search(&kind).is_ok() {
            let coding = Json::object([
                ("system", Json::string("http://terminology.hl7.org/CodeSystem/v2-0203")),
                ("code", Json::string(kind)),
            ]);
            ("coding", Json::Array(vec![coding]))
        } else {
            ("text", Json::String(collapse(kind)))
        };
        members.push(("type", Json::object([kind])));
    }
    members.extend(system.map(|system| ("system", Json::String(system))));
    members.push(("value", value));
    members.extend(period.map(|period| ("period", period)));
    Some(Json::object(members))
}

/// The URI of a universal id whose kind says that it is one.
fn universal_uri(id: &str, kind: &str) -> Option<String> {
    let one_word = !id.is_empty() && !id.contains(|c: char| c.is_whitespace() || c.is_control());
    match kind.to_uppercase().as_str() {
        "ISO" if one_word => Some(format!("urn:oid:{id}")),
        "UUID" | "GUID" if one_word => Some(format!("urn:uuid:{}", id.to_lowercase())),
        "URI" | "URL" if one_word => Some(id.to_owned()),
        _ => None,
    }
}

/// Systems of numbers that British registers give (UK Core).
fn national_system(name: &str) -> Option<&'static str> {
    Some(match name.to_uppercase().as_str() {
        "ODS" | "NACS" => ODS,
        "GMC" => "https://fhir.hl7.org.uk/Id/gmc-number",
        "GMP" => "https://fhir.hl7.org.uk/Id/gmp-number",
        "NMC" => "https://fhir.hl7.org.uk/Id/nmc-number",
        "SDS" => "https://fhir.nhs.uk/Id/sds-user-id",
        _ => return None,
    })
}

/// The URI of an assigning authority: what its universal id is one of, else its name among its sender's.
pub(super) fn authority_system([name, id, kind]: [&str; 3], organisation: &str) -> Option<String> {
    if let Some(uri) = universal_uri(id, kind) {
        return Some(uri);
    }
    if let Some(system) = national_system(name) {
        return Some(system.to_owned());
    }
    let known = if name.is_empty() { id } else { name };
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c.to_ascii_lowercase() } else { '-' };
    let known: String = known.chars().map(plain).collect();
    (!known.is_empty()).then(|| format!("urn:fairway:{}:identifier:{known}", organisation.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::{IDENTIFIER_TYPES, authority_system};

    #[test]
    fn identifier_types_can_be_searched() {
        assert!(IDENTIFIER_TYPES.is_sorted());
    }

    #[test]
    fn an_authority_has_the_uri_of_its_universal_id_or_one_of_its_sender() {
        let of = |name, id, kind| authority_system([name, id, kind], "RXX");
        assert_eq!(of("A", "1.2.3", "ISO").as_deref(), Some("urn:oid:1.2.3"));
        assert_eq!(of("", "https://a.example/x", "URI").as_deref(), Some("https://a.example/x"));
        assert_eq!(of("My Lab", "", "").as_deref(), Some("urn:fairway:rxx:identifier:my-lab"));
        assert_eq!(of("", "lab.example", "DNS").as_deref(), Some("urn:fairway:rxx:identifier:lab.example"));
        assert_eq!(of("", "", "ISO"), None);
    }
}
