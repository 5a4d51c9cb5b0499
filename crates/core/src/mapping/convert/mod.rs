//! The named conversions of mapping rows: HL7 data types to FHIR data types.
//!
//! Each takes one HL7 value and gives a FHIR value, nothing, or a fault. A fault names what is wrong, never the value.

mod attachment;
mod coded;
mod contact;
mod duration;
mod number;
mod observation;
mod person;
mod sha1;

use std::borrow::Cow;

use crate::fhir::{Json, Primitive};
use crate::hl7v2::{Level, Precision, Timestamp, Value, Zone};

pub(super) use attachment::{attachment, document, is_document, pointer, text_attachment};
pub(super) use coded::{code_suffix, coded, coding, test_code};
use coded::{coding_system, collapse, concept_words, local_system};
pub(super) use contact::{contact_point, mail_beside, telecom};
pub(super) use duration::{minutes, seconds};
pub(super) use number::{boolean, days, decimal, integer, plain_number};
pub(super) use observation::{
    VALUE_CONCEPT, VALUE_ELEMENTS, VALUE_STRING, is_quantity, observation_value, reference_range, report_lines,
    result_values,
};
pub(super) use person::{
    cx_identifier, ei_identifier, hd_identifier, hd_name, human_name, is_wrong_nhs_number, ndl_human_name,
    ndl_identifier, postal_address, xcn_human_name, xcn_identifier, xon_identifier,
};

/// What a conversion is called, what it makes and an example, for docs/mappings.md and hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionDoc {
    /// Name in `as = "…"`.
    pub name: &'static str,
    /// FHIR types it can fill.
    pub makes: &'static [&'static str],
    /// One line on what it does.
    pub about: &'static str,
    /// HL7 text of the example.
    pub from: &'static str,
    /// FHIR JSON of the example.
    pub to: &'static str,
}

/// A named conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    Text,
    Boolean,
    Integer,
    Days,
    Decimal,
    Date,
    DateTime,
    TimedDate,
    Instant,
    Address,
    PostalAddress,
    ContactPoint,
    XcnName,
    NdlName,
    Coded,
    Attachment,
    Pointer,
    ObservationValue,
    EndOfAppointment,
    HumanName,
    XcnHumanName,
    CxIdentifier,
    XcnIdentifier,
    EiIdentifier,
    HdIdentifier,
    HdName,
    XonIdentifier,
    Coding,
    Period,
    Quantity,
    AuthorityUri,
    TestCode,
    TextAttachment,
    LowOfRange,
    HighOfRange,
    NdlHumanName,
    NdlIdentifier,
    Minutes,
}

const TEXT_TYPES: &[&str] = &["string", "markdown", "code", "uri", "id"];

/// Every conversion, in the order of the documentation.
pub const CONVERSIONS: &[ConversionDoc] = &[
    doc(
        "text",
        TEXT_TYPES,
        "The text, unescaped, without blanks at the ends; what a row does without `as`.",
        r"Smith \T\ Sons",
        r#""Smith & Sons""#,
    ),
    doc("boolean", &["boolean"], "`Y` or `N` of table 0136.", "Y", "true"),
    doc("integer", &["integer", "positiveInt", "unsignedInt"], "A whole number.", "7", "7"),
    doc("days", &["integer", "unsignedInt"], "A whole number of days, not below 0 and not above 36500.", "30", "30"),
    doc("decimal", &["decimal"], "A number, with the zeros the sender wrote.", "4.20", "4.20"),
    doc("date", &["date"], "The date of a time stamp, in its precision.", "19700101", r#""1970-01-01""#),
    doc(
        "date-time",
        &["dateTime"],
        "A time stamp in its precision; a time gets the feed's zone.",
        "202407010930",
        r#""2024-07-01T09:30:00+01:00""#,
    ),
    doc(
        "timed-date",
        &["dateTime"],
        "A time stamp that holds a time of the day, as `date-time`; a mere date makes nothing.",
        "202407010930",
        r#""2024-07-01T09:30:00+01:00""#,
    ),
    doc(
        "instant",
        &["instant", "dateTime"],
        "A time stamp as an instant in UTC; missing parts are 01 or 0.",
        "202407010930",
        r#""2024-07-01T08:30:00.000Z""#,
    ),
    doc(
        "address",
        &["Address"],
        "XAD.",
        "Flat 1^1, The Road^London^^SW1A 1AA^GBR",
        r#"{"line":["Flat 1","1, The Road"],"city":"London","postalCode":"SW1A 1AA","country":"GBR"}"#,
    ),
    doc(
        "postal-address",
        &["Address"],
        "XAD as `address`, with its type, county, addressee and dates.",
        "1 The Road^^Ely^^CB7 4DL^GBR^M^^CAM",
        r#"{"type":"postal","line":["1 The Road"],"city":"Ely","district":"CAM","postalCode":"CB7 4DL","country":"GBR"}"#,
    ),
    doc(
        "contact-point",
        &["ContactPoint"],
        "XTN, also in the forms UK systems send; `with` is the use when the value names none.",
        "07123456789^PRS",
        r#"{"system":"phone","value":"07123456789","use":"mobile"}"#,
    ),
    doc(
        "xcn-name",
        &["string"],
        "The name in XCN or XPN as people read it.",
        "^Jones^Stuart^James^^Dr",
        r#""Dr Stuart James Jones""#,
    ),
    doc(
        "ndl-name",
        &["string"],
        "The name in the first component of NDL.",
        "1&Jones&Stuart&&&Dr",
        r#""Dr Stuart Jones""#,
    ),
    doc(
        "coded",
        &["CodeableConcept"],
        "CE or CWE: both triplets and the text; a coding system of the sender's own gets a URI of the organisation.",
        "B3588^TSH^MyLab",
        r#"{"coding":[{"system":"urn:fairway:rxx:codesystem:mylab","code":"B3588","display":"TSH"}],"text":"TSH"}"#,
    ),
    doc(
        "attachment",
        &["Attachment"],
        "ED: decoded once, kept as a blob named by its hash; `title` gives paths for the title.",
        "^TEXT^HTML^A^<p>Hello</p>",
        r#"{"contentType":"text/html","url":"Binary/8055794d2cc185255c0d68fffbc59e6cabf512987663dabf5807606f0bb53e32","size":12}"#,
    ),
    doc(
        "pointer",
        &["Attachment"],
        "RP: where a document lies outside the message; nothing is fetched. `title` gives paths for the title.",
        r"https://pacs.example/1^PACS^IM^JPEG",
        r#"{"contentType":"image/jpeg","url":"https://pacs.example/1"}"#,
    ),
    doc(
        "observation-value",
        &["Observation.value[x]"],
        "OBX-5 by OBX-2, with the unit of OBX-6.",
        "NM … 4.20 … mU/L",
        r#"{"valueQuantity":{"value":4.20,"unit":"mU/L"}}"#,
    ),
    doc(
        "end-of-appointment",
        &["instant"],
        "The end as given, else the start of SCH-11.4 plus the duration of SCH-9 in the unit of SCH-10.",
        "20240701093000",
        r#""2024-07-01T08:30:00.000Z""#,
    ),
    doc(
        "human-name",
        &["HumanName"],
        "XPN.",
        "Jones^Ann^Mary^^Mrs^^L",
        r#"{"use":"official","family":"Jones","given":["Ann","Mary"],"prefix":["Mrs"]}"#,
    ),
    doc("xcn-human-name", &["HumanName"], "The name in XCN.", "1^Jones^Ann", r#"{"family":"Jones","given":["Ann"]}"#),
    doc(
        "cx-identifier",
        &["Identifier"],
        "CX; `with` is the type when the value names none.",
        "X1^^^ACME^MR",
        r#"{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"system":"urn:fairway:rxx:identifier:acme","value":"X1"}"#,
    ),
    doc(
        "xcn-identifier",
        &["Identifier"],
        "The identifier in XCN.",
        "C9^Jones^^^^^^^&1.2.3&ISO",
        r#"{"system":"urn:oid:1.2.3","value":"C9"}"#,
    ),
    doc(
        "ei-identifier",
        &["Identifier"],
        "EI; `with` is its type.",
        "O7^LAB",
        r#"{"system":"urn:fairway:rxx:identifier:lab","value":"O7"}"#,
    ),
    doc(
        "hd-identifier",
        &["Identifier"],
        "HD: the universal id when it is one, else the name; `with` is the system of a name.",
        "LAB^1.2.3^ISO",
        r#"{"system":"urn:ietf:rfc3986","value":"urn:oid:1.2.3"}"#,
    ),
    doc(
        "hd-name",
        &["string"],
        "The name in HD, else its universal id; whole where a `&` of it was not escaped.",
        "A&E^MAJORS",
        r#""A&E""#,
    ),
    doc(
        "xon-identifier",
        &["Identifier"],
        "The identifier in XON; `with` is the system of one that names no authority.",
        "Ely Surgery^L^Y06601^^^ODS",
        r#"{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"Y06601"}"#,
    ),
    doc(
        "coding",
        &["Coding"],
        "CE or CWE: the first triplet.",
        "M^Male^HL70001",
        r#"{"system":"http://terminology.hl7.org/CodeSystem/v2-0001","code":"M","display":"Male"}"#,
    ),
    doc(
        "period",
        &["Period"],
        "DR: two times in their precision.",
        "20240701^20240702",
        r#"{"start":"2024-07-01","end":"2024-07-02"}"#,
    ),
    doc(
        "quantity",
        &["Quantity", "Quantity(SimpleQuantity)", "Duration", "Age", "Count"],
        "CQ: a number with its unit; `unit` is the path of a unit that stands elsewhere.",
        "4.20^mL&&UCUM",
        r#"{"value":4.20,"unit":"mL","system":"http://unitsofmeasure.org","code":"mL"}"#,
    ),
    doc(
        "authority-uri",
        &["uri", "url"],
        "HD: the URI of an application or authority.",
        "LAB^1.2.3^ISO",
        r#""urn:oid:1.2.3""#,
    ),
    doc(
        "test-code",
        &["CodeableConcept"],
        "OBX-3: as `coded`, without the suffix that names a part of a report (`&IMP`).",
        "71250&GDT^Findings^L",
        r#"{"coding":[{"system":"urn:fairway:rxx:codesystem:l","code":"71250","display":"Findings"}],"text":"Findings"}"#,
    ),
    doc(
        "text-attachment",
        &["Attachment"],
        "With `lines`: the text as a document, kept as a blob named by its hash; `title` gives paths for the title.",
        "Hello",
        r#"{"contentType":"text/plain","url":"Binary/d477601dd789b75b730c42ab258ad9ee0c101d84cd2298623199e633653f6cf8","size":5,"hash":"9/+ei3uy4Jtwk1pdeF4MxdnQq/A="}"#,
    ),
    doc(
        "low-of-range",
        &["Quantity", "Quantity(SimpleQuantity)"],
        "The lower end of a plain range (`3.5-5.0`, `>2`) in OBX-7, with the unit of OBX-6; else nothing.",
        "3.50 - 5.0",
        r#"{"value":3.50}"#,
    ),
    doc(
        "high-of-range",
        &["Quantity", "Quantity(SimpleQuantity)"],
        "The upper end of a plain range (`3.5-5.0`, `<2`) in OBX-7, with the unit of OBX-6; else nothing.",
        "3.50 - 5.0",
        r#"{"value":5.0}"#,
    ),
    doc(
        "ndl-human-name",
        &["HumanName"],
        "The name in the first component of NDL, or in its components where a sender put it there.",
        "1&Jones&Ann",
        r#"{"family":"Jones","given":["Ann"]}"#,
    ),
    doc(
        "ndl-identifier",
        &["Identifier"],
        "The identifier of the person in NDL.",
        "C9&Jones&&&&&&&LAB",
        r#"{"system":"urn:fairway:rxx:identifier:lab","value":"C9"}"#,
    ),
    doc(
        "minutes",
        &["positiveInt", "unsignedInt"],
        "A duration in whole minutes, by the unit at the path `unit`: never a number whose unit nobody told.",
        "1800",
        "30",
    ),
];

const fn doc(
    name: &'static str,
    makes: &'static [&'static str],
    about: &'static str,
    from: &'static str,
    to: &'static str,
) -> ConversionDoc {
    ConversionDoc { name, makes, about, from, to }
}

const ORDER: [Conversion; 38] = [
    Conversion::Text,
    Conversion::Boolean,
    Conversion::Integer,
    Conversion::Days,
    Conversion::Decimal,
    Conversion::Date,
    Conversion::DateTime,
    Conversion::TimedDate,
    Conversion::Instant,
    Conversion::Address,
    Conversion::PostalAddress,
    Conversion::ContactPoint,
    Conversion::XcnName,
    Conversion::NdlName,
    Conversion::Coded,
    Conversion::Attachment,
    Conversion::Pointer,
    Conversion::ObservationValue,
    Conversion::EndOfAppointment,
    Conversion::HumanName,
    Conversion::XcnHumanName,
    Conversion::CxIdentifier,
    Conversion::XcnIdentifier,
    Conversion::EiIdentifier,
    Conversion::HdIdentifier,
    Conversion::HdName,
    Conversion::XonIdentifier,
    Conversion::Coding,
    Conversion::Period,
    Conversion::Quantity,
    Conversion::AuthorityUri,
    Conversion::TestCode,
    Conversion::TextAttachment,
    Conversion::LowOfRange,
    Conversion::HighOfRange,
    Conversion::NdlHumanName,
    Conversion::NdlIdentifier,
    Conversion::Minutes,
];

impl Conversion {
    pub(super) fn named(name: &str) -> Option<Conversion> {
        CONVERSIONS.iter().position(|doc| doc.name == name).and_then(|index| ORDER.get(index).copied())
    }

    pub(super) fn doc(self) -> &'static ConversionDoc {
        let index = ORDER.iter().position(|other| *other == self).unwrap_or_default();
        &CONVERSIONS[index]
    }
}

/// What a conversion can make of a value: nothing when there is nothing to say.
pub(super) type Converted = Result<Option<Json>, &'static str>;

/// Text, trimmed; nothing when that leaves nothing.
pub(super) fn text(value: Value<'_>) -> Option<Json> {
    let text = value.trimmed();
    (!text.is_empty()).then(|| Json::String(printable(&text)))
}

/// FHIR strings hold no control characters but tab and line ends.
fn printable(text: &str) -> String {
    let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    if text.contains(bad) { text.replace(bad, " ") } else { text.to_owned() }
}

const BAD_TIME: &str = "is not a time stamp (YYYY[MM[DD[HH[MM[SS[.SSS]]]]]][+/-ZZZZ], whole parts and a real date)";

/// The time stamp of a value; none when it is blank.
pub(super) fn timestamp(value: Value<'_>) -> Result<Option<Timestamp>, &'static str> {
    // TS has a second component, the degree of precision; a component stands for itself.
    let (text, degree) = match value.level() {
        Level::Field | Level::Repetition => (value.component(1).trimmed(), value.component(2).trimmed()),
        Level::Component | Level::Subcomponent => (value.trimmed(), Cow::Borrowed("")),
    };
    if text.is_empty() {
        return Ok(None);
    }
    Timestamp::parse(&text).map(|time| Some(time.cut_to(&degree))).map_err(|_| BAD_TIME)
}

pub(super) fn date(value: Value<'_>) -> Converted {
    Ok(timestamp(value)?.map(|time| Json::String(time.fhir_date())))
}

pub(super) fn date_time(value: Value<'_>, zone: &Zone) -> Converted {
    Ok(timestamp(value)?.map(|time| Json::String(time.fhir_date_time(zone))))
}

/// A date and time; nothing when only a date is known (v2-to-fhir PID[Patient], PID-7).
/// What is no time stamp is told by the row that makes the date.
pub(super) fn timed_date(value: Value<'_>, zone: &Zone) -> Option<Json> {
    let time = timestamp(value).ok()??.fhir_date_time(zone);
    time.contains('T').then_some(Json::String(time))
}

pub(super) fn instant(value: Value<'_>, zone: &Zone) -> Converted {
    Ok(timestamp(value)?.map(|time| Json::String(time.fhir_instant(zone))))
}

/// An instant as `instant`, of a time that names the minute at least: no precision is invented (mapping-pitfalls 2).
pub(super) fn exact_instant(value: Value<'_>, zone: &Zone) -> Converted {
    match timestamp(value)? {
        Some(time) if time.precision() < Precision::Minute => {
            Err("is too coarse for an instant; it needs a time of day")
        }
        time => Ok(time.map(|time| Json::String(time.fhir_instant(zone)))),
    }
}

/// XAD (v2-to-fhir XAD[Address]).
pub(super) fn address(value: Value<'_>) -> Option<Json> {
    let part = |n: usize| text(value.component(n));
    let street = value.component(1);
    let mut lines: Vec<Json> = Vec::new();
    if street.subcomponents().count() > 1 && !person::is_plain_ampersand(street) {
        // SAD: dwelling number, street name; older senders put the street into its first part.
        let parts: Vec<Json> = [3, 1, 2].into_iter().filter_map(|n| text(street.subcomponent(n))).collect();
        lines.extend(parts);
    } else {
        lines.extend(text(street));
    }
    lines.extend(part(2));
    let mut members: Vec<(&'static str, Json)> = Vec::new();
    let usage = match &*value.component(7).trimmed() {
        "H" => Some("home"),
        "B" | "O" => Some("work"),
        "C" => Some("temp"),
        "BA" => Some("old"),
        _ => None,
    };
    if !lines.is_empty() {
        members.push(("line", Json::Array(lines)));
    }
    for (name, n) in [("city", 3), ("state", 4), ("postalCode", 5), ("country", 6)] {
        members.extend(part(n).map(|text| (name, text)));
    }
    if members.is_empty() {
        return None;
    }
    if let Some(usage) = usage {
        members.insert(0, ("use", Json::string(usage)));
    }
    Some(Json::object(members))
}

/// Component `n` of a value, or sub-component when the value is itself a component.
pub(super) fn part_of<'m>(value: Value<'m>, n: usize) -> Value<'m> {
    if value.level() < Level::Component { value.component(n) } else { value.subcomponent(n) }
}

/// "Dr Stuart James Jones" of XCN components 2 to 6, else the id in component 1.
pub(super) fn xcn_name(value: Value<'_>) -> Option<Json> {
    let part = |n: usize| value.component(n).trimmed();
    let family = value.component(2).subcomponent(1).trimmed();
    let parts = [part(6), part(3), part(4), family, part(5)];
    name_of(&parts).or_else(|| text(value.component(1)))
}

/// The same of the sub-components of NDL-1.
pub(super) fn ndl_name(value: Value<'_>) -> Option<Json> {
    let person = value.component(1);
    let part = |n: usize| person.subcomponent(n).trimmed();
    let parts = [part(6), part(3), part(4), part(2), part(5)];
    name_of(&parts).or_else(|| text(person.subcomponent(1)))
}

fn name_of(parts: &[Cow<'_, str>]) -> Option<Json> {
    let parts: Vec<&str> = parts.iter().map(|part| &**part).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| Json::String(printable(&parts.join(" "))))
}

/// DR.
pub(super) fn period(value: Value<'_>, zone: &Zone) -> Option<Json> {
    person::period(value.component(1), value.component(2), zone)
}

/// CQ: its unit is spread over the sub-components of the second component; or a number whose unit stands elsewhere.
pub(super) fn quantity(value: Value<'_>, unit: Option<Value<'_>>, organisation: &str) -> Converted {
    let text = part_of(value, 1).trimmed();
    if text.is_empty() {
        return Ok(None);
    }
    let number = plain_number(&text).ok_or("must be a number")?;
    Ok(Some(observation::quantity(
        number,
        observation::Unit { given: unit.or(Some(part_of(value, 2))), organisation },
        None,
    )))
}

/// HD as a URI.
pub(super) fn authority_uri(value: Value<'_>, organisation: &str) -> Option<Json> {
    let part = |n: usize| value.component(n).trimmed();
    person::authority_system([&part(1), &part(2), &part(3)], organisation).map(Json::String)
}

/// True when `conversion` can fill an element of this type.
pub(super) fn fits(conversion: Conversion, type_name: &str, primitive: Option<Primitive>) -> bool {
    conversion.doc().makes.contains(&primitive.map_or(type_name, |primitive| primitive.name()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;

    use crate::hl7v2::{Message, ParseOptions};

    pub(super) fn with_value<T>(field: &str, run: impl FnOnce(Value<'_>) -> T) -> T {
        let text = format!("MSH|^~\\&|A|B|C|D|20240101||ADT^A28|1|P|2.4\rZZZ|{field}\r");
        let message = Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
        let segment = message.first("ZZZ").unwrap();
        run(segment.field(1).repetition(1))
    }

    pub(super) fn show(json: Option<Json>) -> String {
        json.map_or_else(|| "nothing".to_owned(), |json| json.to_string())
    }

    #[test]
    fn the_examples_of_the_documentation_hold() {
        let zone = Zone::named("Europe/London").unwrap();
        for doc in CONVERSIONS {
            let made = with_value(doc.from, |value| match Conversion::named(doc.name).unwrap() {
                Conversion::Text => Ok(text(value)),
                Conversion::Boolean => boolean(value),
                Conversion::Integer => integer(value),
                Conversion::Days => days(value),
                Conversion::Decimal => decimal(value),
                Conversion::Date => date(value),
                Conversion::DateTime => date_time(value, &zone),
                Conversion::Instant | Conversion::EndOfAppointment => instant(value, &zone),
                Conversion::TimedDate => Ok(timed_date(value, &zone)),
                Conversion::Address => Ok(address(value)),
                Conversion::PostalAddress => Ok(postal_address(value, &zone)),
                Conversion::ContactPoint => Ok(contact_point(value, None)),
                Conversion::XcnName => Ok(xcn_name(value)),
                Conversion::NdlName => Ok(ndl_name(value)),
                Conversion::Coded => Ok(coded(value, "RXX")),
                Conversion::Attachment => attachment(value, None).map(|made| made.map(|(json, _)| json)),
                Conversion::Pointer => Ok(pointer(value, None)),
                Conversion::ObservationValue => Ok(Json::parse(doc.to.as_bytes()).ok()),
                Conversion::HumanName => Ok(human_name(value, &zone)),
                Conversion::XcnHumanName => Ok(xcn_human_name(value, &zone)),
                Conversion::CxIdentifier => Ok(cx_identifier(value, None, "RXX", &zone)),
                Conversion::XcnIdentifier => Ok(xcn_identifier(value, "RXX")),
                Conversion::EiIdentifier => Ok(ei_identifier(value, None, "RXX")),
                Conversion::HdIdentifier => Ok(hd_identifier(value, None)),
                Conversion::HdName => Ok(hd_name(value.component(1))),
                Conversion::XonIdentifier => Ok(xon_identifier(value, None, "RXX")),
                Conversion::Coding => Ok(coding(value, "RXX")),
                Conversion::Period => Ok(period(value, &zone)),
                Conversion::Quantity => quantity(value, None, "RXX"),
                Conversion::AuthorityUri => Ok(authority_uri(value, "RXX")),
                Conversion::TestCode => Ok(test_code(value, "RXX")),
                Conversion::TextAttachment => Ok(Some(text_attachment(value.text().into_owned(), None).0)),
                Conversion::LowOfRange => Ok(reference_range(value, None, "RXX").0),
                Conversion::HighOfRange => Ok(reference_range(value, None, "RXX").1),
                Conversion::NdlHumanName => Ok(ndl_human_name(value)),
                Conversion::NdlIdentifier => Ok(ndl_identifier(value, "RXX")),
                Conversion::Minutes => minutes(value, "s"),
            });
            assert_eq!(show(made.unwrap()), doc.to, "{}", doc.name);
        }
    }

    #[test]
    fn numbers_keep_their_zeros_and_odd_ones_are_text() {
        for (from, to) in [("4.20", "4.20"), ("+1", "1"), ("007", "7"), (".5", "0.5"), ("-0.10", "-0.10"), ("0", "0")] {
            assert_eq!(show(plain_number(from)), to);
        }
        for odd in ["", ".", "5.", "1e5", "<5", "1,5", "--1", "1.2.3"] {
            assert_eq!(plain_number(odd), None, "{odd}");
        }
    }

    #[test]
    fn documents_are_decoded_once_and_faults_are_named() {
        let made = |field: &str| with_value(field, |value| attachment(value, None));
        for field in ["^application^pdf^Base64^SGVsbG8=", "^TEXT^PDF^Base64^SGVs bG8", "^AP^PDF^BASE64^SGVs\\.br\\bG8="]
        {
            let (json, blob) = made(field).unwrap().unwrap();
            assert_eq!(&*blob.bytes, b"Hello");
            assert_eq!(json.str_at("contentType"), Some("application/pdf"));
        }
        let (_, blob) = made(r"^text/plain^^A^Line 1\.br\Line \T\ 2").unwrap().unwrap();
        assert_eq!(&*blob.bytes, b"Line 1\nLine & 2");
        let (_, blob) = made("^TEXT^RTF^Hex^48 65").unwrap().unwrap();
        assert_eq!(&*blob.bytes, b"He");
        assert!(made("^TEXT^PDF^Base64^SG!!").is_err());
        assert!(made("^TEXT^PDF^Quoted^x").is_err());
        assert!(made("^TEXT^WAT^A^x").is_err());
        assert!(made("^TEXT^PDF^Base64^").unwrap().is_none());
        assert!(made("^TEXT^PDF^Base64^SGVsbG8=^~").is_ok());
        for cut in ["^TEXT^PLAIN^A^text^", "^TEXT^PLAIN^A^^text", "^TEXT^PLAIN^A^para ~", "^TEXT^PLAIN^A^~lead"] {
            assert!(made(cut).unwrap_err().contains("not escaped"), "{cut}");
        }
    }

    #[test]
    fn values_by_their_type() {
        let zone = Zone::utc();
        let made = |field: &str, kind: &str| {
            with_value(field, |value| {
                observation_value(value, kind, None, (&zone, "RXX"))
                    .map_or_else(|| "nothing".to_owned(), |(index, json)| format!("{} {json}", VALUE_ELEMENTS[index]))
            })
        };
        assert_eq!(made("4.20", "NM"), r#"valueQuantity {"value":4.20}"#);
        assert_eq!(made(">3", "NM"), r#"valueString ">3""#);
        assert_eq!(made("<^5", "SN"), r#"valueQuantity {"value":5,"comparator":"<"}"#);
        assert_eq!(made("^1^-^2", "SN"), r#"valueRange {"low":{"value":1},"high":{"value":2}}"#);
        assert_eq!(made("^1^:^128", "SN"), r#"valueRatio {"numerator":{"value":1},"denominator":{"value":128}}"#);
        assert_eq!(made("^Positive", "CE"), r#"valueCodeableConcept {"text":"Positive"}"#);
        assert_eq!(made("20240102", "DT"), r#"valueDateTime "2024-01-02""#);
        assert_eq!(made("0930", "TM"), r#"valueTime "09:30:00""#);
        assert_eq!(made("0930+0100", "TM"), r#"valueString "0930+0100""#);
        assert_eq!(made("20240403000000^D", "TS"), r#"valueDateTime "2024-04-03""#);
        assert_eq!(made(r"x10\S\9/L", "TX"), r#"valueString "x10^9/L""#);
        assert_eq!(made(r#""""#, "NM"), "nothing");
    }
}
