//! OBX-5 by OBX-2: quantities, ranges, ratios, codes, times, text (mapping-pitfalls 11).
//!
//! A number keeps the digits its sender wrote; what is no number stays text.

use std::borrow::Cow;

use super::{coded, coding_system, collapse, concept_words, local_system, plain_number, printable, text, timestamp};
use crate::fhir::Json;
use crate::hl7v2::{Level, Segment, TimeOfDay, Value, Zone};

/// A unit as it was sent, and whose codes those of no known system are.
#[derive(Clone, Copy)]
pub(super) struct Unit<'a> {
    pub(super) given: Option<Value<'a>>,
    pub(super) organisation: &'a str,
}

/// Quantity of a number and its unit; a code stands with its system (v2-to-fhir CWE[Quantity]).
pub(super) fn quantity(number: Json, unit: Unit<'_>, comparator: Option<&str>) -> Json {
    let mut members = vec![("value", number)];
    if let Some(comparator) = comparator {
        members.push(("comparator", Json::string(comparator)));
    }
    let organisation = unit.organisation;
    if let Some(unit) = unit.given.filter(Value::is_valued) {
        // A field has components, a component of CQ sub-components.
        let part = |n: usize| if unit.level() < Level::Component { unit.component(n) } else { unit.subcomponent(n) };
        let code = part(1).trimmed();
        members.extend(text(part(2)).or_else(|| text(part(1))).map(|words| ("unit", words)));
        let name = part(3).trimmed();
        if !code.is_empty() && !name.is_empty() {
            let known = coding_system(&name).map(Cow::into_owned);
            let system = known.unwrap_or_else(|| local_system(&name, organisation));
            members.push(("system", Json::String(system)));
            members.push(("code", Json::String(collapse(&code))));
        }
    }
    Json::object(members)
}

/// What an Observation's value became: the index of the element among [`VALUE_ELEMENTS`], and its content.
pub(in crate::mapping) const VALUE_ELEMENTS: [&str; 8] = [
    "valueQuantity",
    "valueCodeableConcept",
    "valueString",
    "valueDateTime",
    "valueTime",
    "valueRange",
    "valueRatio",
    "valuePeriod",
];

/// Where the concept stands among [`VALUE_ELEMENTS`].
pub(in crate::mapping) const VALUE_CONCEPT: usize = 1;

/// Where the text stands among [`VALUE_ELEMENTS`].
pub(in crate::mapping) const VALUE_STRING: usize = 2;

/// OBX-5 by OBX-2 (mapping-pitfalls 11); `lines` is the text when it is text.
pub(in crate::mapping) fn observation_value(
    value: Value<'_>,
    value_type: &str,
    unit: Option<Value<'_>>,
    (zone, organisation): (&Zone, &str),
) -> Option<(usize, Json)> {
    let words = || {
        let lines: Vec<String> = value.repetitions().map(|line| printable(&line.formatted())).collect();
        let joined = lines.join("\n");
        let joined = joined.trim_end();
        (!joined.trim().is_empty()).then(|| (2, Json::string(joined)))
    };
    if !value.is_valued() {
        return None;
    }
    let first = valued_repetition(value);
    // Several values have no place in one of FHIR's elements; as text none is lost.
    if value.repetitions().filter(|one| one.is_valued()).nth(1).is_some() && value_type != "ED" {
        return match value_type {
            "CE" | "CWE" | "CNE" | "CF" => Some((2, Json::String(coded_words(value).join("\n")))),
            _ => words(),
        };
    }
    match value_type {
        "NM" | "" | "ST" => numeric(value, value_type, Unit { given: unit, organisation }).or_else(words),
        "SN" => numeric(value, value_type, Unit { given: unit, organisation })
            .or_else(|| Some((2, Json::String(sn_words(first))))),
        "CE" | "CWE" | "CNE" | "CF" | "IS" | "ID" => coded(first, organisation).map(|concept| (1, concept)),
        "DT" | "TS" | "DTM" => match timestamp(first) {
            Ok(Some(time)) => Some((3, Json::String(time.fhir_date_time(zone)))),
            Ok(None) | Err(_) => words(),
        },
        // A time without minutes or with an offset is no FHIR time; as text it is kept.
        "TM" => match TimeOfDay::parse(&first.trimmed()).ok().and_then(|time| time.fhir_time()) {
            Some(time) => Some((4, Json::String(time))),
            None => words(),
        },
        // A document is no value; the report carries it.
        "ED" => None,
        _ => words(),
    }
}

/// The first repetition that says something; the first one when none does.
fn valued_repetition(field: Value<'_>) -> Value<'_> {
    field.repetitions().find(Value::is_valued).unwrap_or(field.repetition(1))
}

/// OBX-5 as HL7's guide has it (v2-to-fhir OBX[Observation]): one value for each repetition, but text that repeats is lines
/// of one text. Nothing for documents, which are no values.
pub(in crate::mapping) fn result_values(
    value: Value<'_>,
    value_type: &str,
    unit: Option<Value<'_>>,
    (zone, organisation): (&Zone, &str),
) -> Vec<(usize, Json)> {
    let of_number = Unit { given: unit, organisation };
    let valued: Vec<Value<'_>> = value.repetitions().filter(Value::is_valued).collect();
    match value_type {
        "ED" | "RP" => Vec::new(),
        "NM" | "SN" | "NR" | "DR" | "CE" | "CWE" | "CNE" | "CF" | "IS" | "ID" | "DT" | "TS" | "DTM" | "TM" => valued
            .into_iter()
            .filter_map(|one| {
                let wide = match value_type {
                    "NR" => range(one, of_number).map(|range| (5, range)),
                    "DR" => super::period(one, zone).map(|period| (7, period)),
                    "SN" => sn_ratio(one, of_number),
                    _ => None,
                };
                wide.or_else(|| observation_value(one, value_type, unit, (zone, organisation)))
            })
            .collect(),
        _ => observation_value(value, value_type, unit, (zone, organisation)).into_iter().collect(),
    }
}

/// NR (v2-to-fhir NR[Range]).
fn range(value: Value<'_>, unit: Unit<'_>) -> Option<Json> {
    let end = |n: usize| plain_number(&value.component(n).trimmed()).map(|number| quantity(number, unit, None));
    let ends: Vec<_> =
        [("low", end(1)), ("high", end(2))].into_iter().filter_map(|(name, end)| Some((name, end?))).collect();
    (!ends.is_empty()).then(|| Json::object(ends))
}

/// SN of a ratio whose first number has a comparator: `>1:128` (v2-to-fhir SN[Ratio]).
fn sn_ratio(value: Value<'_>, unit: Unit<'_>) -> Option<(usize, Json)> {
    let comparator = value.component(1).trimmed();
    if !matches!(&*comparator, "<" | ">" | "<=" | ">=") || !matches!(&*value.component(3).trimmed(), ":" | "/") {
        return None;
    }
    let number = |n: usize| plain_number(&value.component(n).trimmed());
    let (top, bottom) = (quantity(number(2)?, unit, Some(&comparator)), quantity(number(4)?, unit, None));
    Some((6, Json::object([("numerator", top), ("denominator", bottom)])))
}

/// The ends of a plain reference range: `3.5-5.0`, `<5`, `>=2`, two numbers as NR; none of what says more.
pub(in crate::mapping) fn reference_range(
    value: Value<'_>,
    given: Option<Value<'_>>,
    organisation: &str,
) -> (Option<Json>, Option<Json>) {
    let unit = Unit { given, organisation };
    let end = |text: &str| plain_number(text.trim()).map(|number| quantity(number, unit, None));
    let (text, second) = (value.component(1).trimmed(), value.component(2).trimmed());
    if !second.is_empty() {
        return end(&text).zip(end(&second)).map_or((None, None), |(low, high)| (Some(low), Some(high)));
    }
    if let Some(limit) = text.strip_prefix("<=").or_else(|| text.strip_prefix('<')) {
        return (None, end(limit));
    }
    if let Some(limit) = text.strip_prefix(">=").or_else(|| text.strip_prefix('>')) {
        return (end(limit), None);
    }
    // A dash behind the first digit: before it, it is a sign.
    let dash = text.char_indices().skip(1).find(|(_, c)| matches!(c, '-' | '\u{2013}'));
    let Some((at, dash)) = dash else { return (None, None) };
    match (end(&text[..at]), end(&text[at + dash.len_utf8()..])) {
        (Some(low), Some(high)) => (Some(low), Some(high)),
        _ => (None, None),
    }
}

/// What is a quantity, a range or a ratio: one number where OBX-2 says so or says nothing (hl7-api 6.1, OBX-5), text that
/// is a number and has a unit, or SN.
fn numeric(field: Value<'_>, value_type: &str, unit: Unit<'_>) -> Option<(usize, Json)> {
    if field.repetitions().filter(Value::is_valued).nth(1).is_some() {
        return None;
    }
    let number = match value_type {
        "NM" | "" => plain_number(&valued_repetition(field).trimmed()),
        "ST" if unit.given.is_some_and(|unit| unit.is_valued()) => plain_number(&field.trimmed()),
        "SN" => return structured_numeric(valued_repetition(field), unit),
        _ => None,
    };
    Some((0, quantity(number?, unit, None)))
}

/// Whether [`observation_value`] makes something of OBX-5 that has a place for the unit.
pub(in crate::mapping) fn is_quantity(obx: Segment<'_>) -> bool {
    numeric(obx.field(5), &obx.field(2).component(1).trimmed(), Unit { given: Some(obx.field(6)), organisation: "" })
        .is_some()
}

/// OBX-5 as lines of a report: codes by their words, and a unit behind what has one.
pub(in crate::mapping) fn report_lines(obx: Segment<'_>) -> Vec<String> {
    let mut lines: Vec<String> = match &*obx.field(2).component(1).trimmed() {
        "CE" | "CWE" | "CNE" | "CF" => coded_words(obx.field(5)),
        "SN" => obx.field(5).repetitions().map(sn_words).collect(),
        _ => obx.field(5).repetitions().map(|line| line.formatted().into_owned()).collect(),
    };
    if let (Some(unit), Some(last)) = (unit_words(obx.field(6)), lines.last_mut()) {
        last.push(' ');
        last.push_str(&unit);
    }
    lines
}

/// SN as people read it: `>100`, `1:40`.
fn sn_words(value: Value<'_>) -> String {
    value.components().map(|part| printable(&part.trimmed())).collect()
}

/// The unit as people read it.
fn unit_words(unit: Value<'_>) -> Option<String> {
    [2, 1].into_iter().map(|n| unit.component(n).trimmed()).find(|words| !words.is_empty()).map(Cow::into_owned)
}

/// The words of each code.
fn coded_words(field: Value<'_>) -> Vec<String> {
    field.repetitions().filter_map(|one| Some(concept_words(one)?.as_str()?.to_owned())).collect()
}

/// SN: comparator, number, separator, number (v2-to-fhir SN[Quantity], SN[Range], SN[Ratio]).
fn structured_numeric(value: Value<'_>, unit: Unit<'_>) -> Option<(usize, Json)> {
    let comparator = value.component(1).trimmed();
    let comparator = match &*comparator {
        "" | "=" => None,
        "<" | ">" | "<=" | ">=" => Some(comparator.into_owned()),
        _ => return None,
    };
    let first = plain_number(&value.component(2).trimmed());
    let second = plain_number(&value.component(4).trimmed());
    match (&*value.component(3).trimmed(), first, second) {
        ("", Some(number), None) => Some((0, quantity(number, unit, comparator.as_deref()))),
        ("-", Some(low), Some(high)) if comparator.is_none() => {
            let range = Json::object([("low", quantity(low, unit, None)), ("high", quantity(high, unit, None))]);
            Some((5, range))
        }
        (":" | "/", Some(top), Some(bottom)) if comparator.is_none() => {
            let ratio = Json::object([
                ("numerator", quantity(top, unit, None)),
                ("denominator", quantity(bottom, Unit { given: None, ..unit }, None)),
            ]);
            Some((6, ratio))
        }
        _ => None,
    }
}
