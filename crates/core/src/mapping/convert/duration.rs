//! Durations: numbers with a unit of time. A number whose unit nobody told is none (mapping-pitfalls 8).

use super::Converted;
use crate::fhir::Json;
use crate::hl7v2::Value;

/// A duration in seconds: a number with its unit in words or UCUM, or as in TQ-3 (`M30`).
pub(in crate::mapping) fn seconds(amount: &str, unit: &str) -> Option<i64> {
    let (amount, unit) = match amount.split_at_checked(1) {
        Some((letter, rest)) if letter.starts_with(|c: char| c.is_ascii_alphabetic()) => (rest, letter),
        _ => (amount, unit),
    };
    let each = match unit.to_uppercase().as_str() {
        "S" | "SEC" | "SECS" | "SECOND" | "SECONDS" => 1,
        "M" | "MIN" | "MINS" | "MINUTE" | "MINUTES" | "MN" => 60,
        "H" | "HR" | "HRS" | "HOUR" | "HOURS" => 3600,
        "D" | "DAY" | "DAYS" => 86_400,
        "W" | "WK" | "WEEK" | "WEEKS" => 604_800,
        _ => return None,
    };
    // Halves of hours are written with a point.
    let amount: f64 = amount.parse().ok().filter(|amount| (0.0..=1e6).contains(amount) && *amount > 0.0)?;
    Some((amount * f64::from(each)).round() as i64)
}

/// A duration in minutes; never one whose unit is not told (mapping-pitfalls 8).
pub(in crate::mapping) fn minutes(value: Value<'_>, unit: &str) -> Converted {
    let amount = value.trimmed();
    if amount.is_empty() {
        return Ok(None);
    }
    let seconds = seconds(&amount, unit).ok_or("is not a number of which the unit of time is known")?;
    if seconds % 60 != 0 {
        return Err("is not a whole number of minutes");
    }
    Ok(Json::number(&(seconds / 60).to_string()))
}
