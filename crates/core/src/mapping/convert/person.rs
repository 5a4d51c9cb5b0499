//! Names and identifiers: XPN and XCN to HumanName, CX, XCN and EI to Identifier.
//!
//! An authority that is known gives its system; any other is the sender's own, so that numbers of two senders never meet.

use crate::fhir::Json;
use crate::hl7v2::{Value, Zone};
use crate::mapping::identifiers::nhs_number;

use super::{collapse, date_time, text};

/// Which components of a name are family, given, further given names, suffix, prefix, degree, use, and its dates.
type NameParts = [usize; 9];

/// XPN (v2-to-fhir XPN[HumanName]).
const XPN: NameParts = [1, 2, 3, 4, 5, 6, 7, 12, 13];
/// The name in XCN (v2-to-fhir XCN[Practitioner]).
const XCN: NameParts = [2, 3, 4, 5, 6, 7, 10, 19, 20];

/// XPN as a HumanName.
pub(in crate::mapping) fn human_name(value: Value<'_>, zone: &Zone) -> Option<Json> {
    name(value, XPN, zone)
}

/// The name in XCN as a HumanName.
pub(in crate::mapping) fn xcn_human_name(value: Value<'_>, zone: &Zone) -> Option<Json> {
    name(value, XCN, zone)
}

fn name(value: Value<'_>, parts: NameParts, zone: &Zone) -> Option<Json> {
    let [family, given, middle, suffix, prefix, degree, kind, from, to] = parts;
    let part = |n: usize| text(value.component(n));
    let list = |parts: &[usize]| parts.iter().filter_map(|n| part(*n)).collect::<Vec<_>>();
    let mut members = Vec::new();
    members.extend(name_use(&value.component(kind).trimmed()).map(|usage| ("use", Json::string(usage))));
    let before = members.len();
    members.extend(text(value.component(family).subcomponent(1)).map(|family| ("family", family)));
    for (element, parts) in [("given", &[given, middle][..]), ("prefix", &[prefix]), ("suffix", &[suffix, degree])] {
        let items = list(parts);
        if !items.is_empty() {
            members.push((element, Json::Array(items)));
        }
    }
    if members.len() == before {
        return None;
    }
    members.extend(period(value.component(from), value.component(to), zone).map(|period| ("period", period)));
    Some(Json::object(members))
}

/// HL7 table 0200 (v2-to-fhir NameType).
fn name_use(code: &str) -> Option<&'static str> {
    Some(match code {
        "L" | "R" => "official",
        "D" => "usual",
        "M" => "maiden",
        "N" => "nickname",
        "MSK" | "S" => "anonymous",
        "BAD" => "old",
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
    identifier(value, value.component(4), kind, organisation, period(value.component(7), value.component(8), zone))
}

/// The identifier in XCN (v2-to-fhir XCN[Practitioner]).
pub(in crate::mapping) fn xcn_identifier(value: Value<'_>, organisation: &str) -> Option<Json> {
    let kind = value.component(13).trimmed();
    identifier(value, value.component(9), Some(&*kind).filter(|kind| !kind.is_empty()), organisation, None)
}

/// EI (v2-to-fhir EI[Identifier]): its authority is spread over components 2 to 4.
pub(in crate::mapping) fn ei_identifier(value: Value<'_>, kind: Option<&str>, organisation: &str) -> Option<Json> {
    let system = authority_system(
        [&value.component(2).trimmed(), &value.component(3).trimmed(), &value.component(4).trimmed()],
        organisation,
    );
    made(text(value.component(1))?, kind, system, None)
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
    let names_nhs = matches!(&*parts[0], "NHS" | "NHSNMBR" | "NHSNBR") || parts[1] == "2.16.840.1.113883.2.1.4.1";
    let is_nhs = names_nhs || matches!(kind, Some("NH" | "NHS" | "NHSNMBR"));
    // What names the NHS and is no NHS number is a number of the sender's.
    if let Some(digits) = number.as_str().filter(|_| is_nhs).and_then(nhs_number) {
        let system = "https://fhir.nhs.uk/Id/nhs-number".to_owned();
        return made(Json::String(digits), Some("NH"), Some(system), period);
    }
    made(number, kind, authority_system([&parts[0], &parts[1], &parts[2]], organisation), period)
}

fn made(value: Json, kind: Option<&str>, system: Option<String>, period: Option<Json>) -> Option<Json> {
    let mut members = Vec::with_capacity(4);
    if let Some(kind) = kind {
        let coding = Json::object([
            ("system", Json::string("http://terminology.hl7.org/CodeSystem/v2-0203")),
            ("code", Json::String(collapse(kind))),
        ]);
        members.push(("type", Json::object([("coding", Json::Array(vec![coding]))])));
    }
    members.extend(system.map(|system| ("system", Json::String(system))));
    members.push(("value", value));
    members.extend(period.map(|period| ("period", period)));
    Some(Json::object(members))
}

/// The URI of an assigning authority: what its universal id is one of, else its name among its sender's.
pub(super) fn authority_system([name, id, kind]: [&str; 3], organisation: &str) -> Option<String> {
    let one_word = |id: &str| !id.is_empty() && !id.contains(|c: char| c.is_whitespace() || c.is_control());
    if one_word(id) {
        match kind.to_uppercase().as_str() {
            "ISO" => return Some(format!("urn:oid:{id}")),
            "UUID" | "GUID" => return Some(format!("urn:uuid:{}", id.to_lowercase())),
            "URI" | "URL" => return Some(id.to_owned()),
            _ => {}
        }
    }
    let known = if name.is_empty() { id } else { name };
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c.to_ascii_lowercase() } else { '-' };
    let known: String = known.chars().map(plain).collect();
    (!known.is_empty()).then(|| format!("urn:fairway:{}:identifier:{known}", organisation.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::authority_system;

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
