//! Truth values and numbers, as JSON spells them.
//!
//! Nothing is rounded: a decimal keeps the zeros its sender wrote.

use super::Converted;
use crate::fhir::Json;
use crate::hl7v2::Value;

pub(in crate::mapping) fn boolean(value: Value<'_>) -> Converted {
    match &*value.trimmed() {
        "" => Ok(None),
        "Y" | "y" => Ok(Some(Json::Bool(true))),
        "N" | "n" => Ok(Some(Json::Bool(false))),
        _ => Err("must be Y or N"),
    }
}

pub(in crate::mapping) fn integer(value: Value<'_>) -> Converted {
    let text = value.trimmed();
    if text.is_empty() {
        return Ok(None);
    }
    let number: i32 = text.parse().map_err(|_| "must be a whole number")?;
    Ok(Json::number(&number.to_string()))
}

/// Days to hold something back (hl7-api 5.3): a hundred years at most.
pub(in crate::mapping) fn days(value: Value<'_>) -> Converted {
    let text = value.trimmed();
    if text.is_empty() {
        return Ok(None);
    }
    let days: Option<u32> = text.parse().ok().filter(|days| *days <= 36_500);
    days.map(|days| Json::number(&days.to_string())).ok_or("must be a whole number of days (0 to 36500)")
}

/// A plain number as JSON spells it, keeping the digits after the point: `+1` and `01` lose what JSON has no form for.
pub(in crate::mapping) fn plain_number(text: &str) -> Option<Json> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.len() > 40 || !numeric(whole) || !fraction.is_none_or(|part| !part.is_empty() && numeric(part)) {
        return None;
    }
    if whole.is_empty() && fraction.is_none() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction {
        Some(fraction) => Json::number(&format!("{sign}{whole}.{fraction}")),
        None => Json::number(&format!("{sign}{whole}")),
    }
}

pub(in crate::mapping) fn decimal(value: Value<'_>) -> Converted {
    let text = value.trimmed();
    if text.is_empty() {
        return Ok(None);
    }
    plain_number(&text).map(Some).ok_or("must be a number")
}
