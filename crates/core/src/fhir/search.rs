//! Search parameters of the FHIR API: which elements a parameter looks at, and whether a resource matches a value.
//!
//! Decides over one resource at a time; it never reads a store, and `_id`, `_lastUpdated` and paging are not its matter.

use std::fmt;

use super::check::reference::{Form, form};
use super::date;
use super::json::{Json, Object};

mod fold;
mod parameters;

pub use fold::fold;
pub use parameters::{parameter, parameters};

/// More alternatives (`a,b,c`) in one value are refused.
pub const ALTERNATIVES_MAX: usize = 200;

/// How a parameter compares (R4 3.1.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchKind {
    /// A code or identifier: `code`, `system|code`, `|code`, `system|`.
    Token,
    /// Text from its start, without case and accents.
    String,
    /// A date or period with a prefix such as `ge`, to the precision that is written.
    Date,
    /// A reference: `Type/id` or `id`.
    Reference,
}

/// A search parameter of a resource type.
#[derive(Debug)]
pub struct SearchParameter {
    /// The name in the query.
    pub name: &'static str,
    /// How it compares.
    pub kind: SearchKind,
    /// The elements it looks at, without indexes: `participant.actor`. One in brackets must have a value: in
    /// `telecom[system=email]` only such repetitions count.
    pub paths: &'static [&'static str],
    /// The resource type a bare id means, where the parameter names one (`patient`).
    pub target: Option<&'static str>,
}

/// Why a search cannot be answered. Holds no value of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchError {
    /// The modifier is not one of this kind of parameter.
    Modifier {
        /// The parameter.
        parameter: &'static str,
    },
    /// The value does not have the form of this kind of parameter.
    Value {
        /// The parameter.
        parameter: &'static str,
        /// What the value must be.
        rule: &'static str,
    },
}

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modifier { parameter } => {
                write!(f, "this modifier is not supported on `{parameter}`")
            }
            Self::Value { parameter, rule } => write!(f, "the value of `{parameter}` {rule}"),
        }
    }
}

impl std::error::Error for SearchError {}

impl SearchParameter {
    /// The values a resource has at the parameter's paths; repetitions are laid flat. Linear in what is looked at.
    pub fn values<'r>(&self, resource: &'r Json) -> Vec<&'r Json> {
        let mut values = Vec::new();
        for path in self.paths {
            collect(resource, path, &mut values);
        }
        values
    }

    fn value_error(&self, rule: &'static str) -> SearchError {
        SearchError::Value { parameter: self.name, rule }
    }
}

/// Whether a resource matches `value`, in which commas mean "or". `modifier` comes without its colon: `exact`,
/// `contains`, `not`, `missing`, `text`, `identifier`, or for references a resource type.
///
/// # Errors
/// When the value has not the form the parameter needs, or the modifier does not belong to it.
pub fn matches(
    param: &SearchParameter,
    resource: &Json,
    value: &str,
    modifier: Option<&str>,
) -> Result<bool, SearchError> {
    let values = param.values(resource);
    if modifier == Some("missing") {
        return match value {
            "true" => Ok(values.is_empty()),
            "false" => Ok(!values.is_empty()),
            _ => Err(param.value_error("must be true or false with :missing")),
        };
    }
    let alternatives = split(value, ',');
    if alternatives.len() > ALTERNATIVES_MAX {
        return Err(param.value_error("has too many alternatives"));
    }
    // A lone backslash escapes nothing; as nothing it would match everything.
    if alternatives.iter().any(|alternative| unescape(alternative).is_empty()) {
        return Err(param.value_error("must not be empty"));
    }
    match param.kind {
        SearchKind::Token => token(param, &values, &alternatives, modifier),
        SearchKind::String => string(param, &values, &alternatives, modifier),
        SearchKind::Date => dates(param, &values, &alternatives, modifier),
        SearchKind::Reference => references(param, &values, &alternatives, modifier),
    }
}

fn collect<'r>(value: &'r Json, path: &str, out: &mut Vec<&'r Json>) {
    if let Json::Array(items) = value {
        items.iter().for_each(|item| collect(item, path, out));
        return;
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    if step.is_empty() {
        out.push(value);
        return;
    }
    let (name, filter) = match step.split_once('[') {
        Some((name, filter)) => (name, filter.trim_end_matches(']').split_once('=')),
        None => (step, None),
    };
    let Some(found) = value.get(name) else { return };
    match (found, filter) {
        (Json::Array(items), Some((key, wanted))) => {
            let fits = |item: &&Json| item.get(key).and_then(Json::as_str) == Some(wanted);
            items.iter().filter(fits).for_each(|item| collect(item, rest, out));
        }
        _ => collect(found, rest, out),
    }
}

/// Splits at unescaped separators. Escapes stay: they are taken away when the parts are final.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if c == separator && !escaped {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// Takes away the escapes `\,` `\|` `\$` `\\` of R4 3.1.1.4.3.1.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        if escaped || c != '\\' {
            plain.push(c);
            escaped = false;
        } else {
            escaped = true;
        }
    }
    plain
}

/// A token value: system and code of one coding, identifier, contact or code.
struct Token<'r> {
    /// `None` for a bare code, whose system the value does not tell.
    system: Option<&'r str>,
    code: Option<&'r str>,
    is_bare: bool,
}

fn tokens<'r>(value: &'r Json, out: &mut Vec<Token<'r>>) {
    let bare = |code| Token { system: None, code: Some(code), is_bare: true };
    match value {
        Json::String(text) => out.push(bare(text)),
        Json::Bool(true) => out.push(bare("true")),
        Json::Bool(false) => out.push(bare("false")),
        Json::Object(object) => {
            if let Some(Json::Array(codings)) = object.get("coding") {
                codings.iter().for_each(|coding| tokens(coding, out));
            } else if let Some(coding) = token_of(object) {
                out.push(coding);
            }
        }
        Json::Null | Json::Number(_) | Json::Array(_) => {}
    }
}

/// A Coding has a code, an Identifier or ContactPoint a value. A ContactPoint's system is no code system.
fn token_of(object: &Object) -> Option<Token<'_>> {
    let text = |name| object.get(name).and_then(Json::as_str);
    let code = text("code").or_else(|| text("value"));
    let system = text("system");
    let is_bare = system.is_some_and(|system| !system.contains(':'));
    (code.is_some() || system.is_some()).then_some(Token { system, code, is_bare })
}

fn token(
    param: &SearchParameter,
    values: &[&Json],
    alternatives: &[&str],
    modifier: Option<&str>,
) -> Result<bool, SearchError> {
    let negated = match modifier {
        None => false,
        Some("not") => true,
        Some("text") => return Ok(token_text(values, alternatives)),
        Some(_) => {
            return Err(SearchError::Modifier { parameter: param.name });
        }
    };
    let mut found = Vec::new();
    if param.name == "deceased" {
        // `deceased` asks for a fact: any date of death says yes, no element says no.
        let dead = values.iter().any(|value| **value != Json::Bool(false));
        found.push(Token { system: None, code: Some(if dead { "true" } else { "false" }), is_bare: true });
    } else {
        values.iter().for_each(|value| tokens(value, &mut found));
    }
    for alternative in alternatives {
        let parts = split(alternative, '|');
        let hit = match parts[..] {
            [code] => {
                let code = unescape(code);
                found.iter().any(|token| token.code == Some(&code))
            }
            [system, code] => {
                let (system, code) = (unescape(system), unescape(code));
                if system.is_empty() && code.is_empty() {
                    return Err(param.value_error("must have a system or a code"));
                }
                found.iter().any(|token| {
                    let system_fits = token.is_bare || token.system.unwrap_or_default() == system;
                    system_fits && (code.is_empty() || token.code == Some(&code))
                })
            }
            _ => return Err(param.value_error("must be code, system|code, |code or system|")),
        };
        if hit {
            return Ok(!negated);
        }
    }
    Ok(negated)
}

/// `:text`: the display of a coding or the text of a concept starts so.
fn token_text(values: &[&Json], alternatives: &[&str]) -> bool {
    let mut texts = Vec::new();
    for value in values {
        texts.extend(value.get("text").and_then(Json::as_str));
        texts.extend(value.get("display").and_then(Json::as_str));
        let codings = value.get("coding").and_then(Json::as_array).unwrap_or_default();
        texts.extend(codings.iter().filter_map(|coding| coding.get("display")?.as_str()));
    }
    let wanted: Vec<_> = alternatives.iter().map(|text| fold(&unescape(text))).collect();
    texts.iter().map(|text| fold(text)).any(|text| wanted.iter().any(|w| text.starts_with(w.as_str())))
}

/// The parts of a HumanName or Address that a string search looks at.
const STRING_PARTS: [&str; 11] =
    ["text", "family", "given", "prefix", "suffix", "line", "city", "district", "state", "postalCode", "country"];

fn strings<'r>(value: &'r Json, out: &mut Vec<&'r str>) {
    match value {
        Json::String(text) => out.push(text),
        Json::Object(object) => {
            STRING_PARTS.iter().filter_map(|name| object.get(name)).for_each(|part| strings(part, out));
        }
        Json::Array(items) => items.iter().for_each(|item| out.extend(item.as_str())),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn string(
    param: &SearchParameter,
    values: &[&Json],
    alternatives: &[&str],
    modifier: Option<&str>,
) -> Result<bool, SearchError> {
    let mut found = Vec::new();
    values.iter().for_each(|value| strings(value, &mut found));
    let wanted = alternatives.iter().map(|text| unescape(text));
    let fits: fn(&str, &str) -> bool = match modifier {
        Some("exact") => {
            let wanted: Vec<_> = wanted.collect();
            return Ok(found.iter().any(|text| wanted.iter().any(|wanted| wanted == text)));
        }
        None => |text, wanted| text.starts_with(wanted),
        Some("contains") => |text, wanted| text.contains(wanted),
        Some(_) => {
            return Err(SearchError::Modifier { parameter: param.name });
        }
    };
    let wanted: Vec<_> = wanted.map(|text| fold(&text)).collect();
    Ok(found.iter().map(|text| fold(text)).any(|text| wanted.iter().any(|wanted| fits(&text, wanted))))
}

/// The span of a date, dateTime, instant or Period; a Period without an end is open.
fn span(value: &Json) -> Option<(i64, i64)> {
    match value {
        Json::String(text) => date::date_range(text),
        Json::Object(_) => {
            let part = |name| value.get(name).and_then(Json::as_str);
            let (start, end) = (part("start"), part("end"));
            if start.is_none() && end.is_none() {
                return None;
            }
            let from = start.map_or(Some(i64::MIN), |text| date::date_range(text).map(|span| span.0))?;
            let to = end.map_or(Some(i64::MAX), |text| date::date_range(text).map(|span| span.1))?;
            Some((from, to))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => None,
    }
}

/// A date as it is searched: its prefix, which may be empty or unknown, and the half-open span in µs since 1970 UTC.
pub fn dated(value: &str) -> Option<(&str, i64, i64)> {
    let (prefix, text) = value.split_at(value.bytes().take_while(u8::is_ascii_lowercase).count());
    // A `+` in a query string arrives as a space when the client forgot to encode it.
    let (from, to) = date::date_range(&text.replace(' ', "+"))?;
    Some((prefix, from, to))
}

fn dates(
    param: &SearchParameter,
    values: &[&Json],
    alternatives: &[&str],
    modifier: Option<&str>,
) -> Result<bool, SearchError> {
    if modifier.is_some() {
        return Err(SearchError::Modifier { parameter: param.name });
    }
    let found: Vec<_> = values.iter().filter_map(|value| span(value)).collect();
    for alternative in alternatives {
        let wanted = dated(alternative);
        let (prefix, from, to) = wanted.ok_or_else(|| param.value_error("must be a date with or without a prefix"))?;
        let equal = |span: (i64, i64)| from <= span.0 && span.1 <= to;
        let hit = |&span: &(i64, i64)| match prefix {
            "" | "eq" => Some(equal(span)),
            "ne" => Some(!equal(span)),
            "gt" => Some(span.1 > to),
            "lt" => Some(span.0 < from),
            // What overlaps the written span counts as "or equal", so that an open Period that starts on a day is `le` it.
            "ge" => Some(span.1 > from),
            "le" => Some(span.0 < to),
            "sa" => Some(span.0 >= to),
            "eb" => Some(span.1 <= from),
            // Without a clock the tenth of the distance to now is unknown: as much as is written, on either side.
            "ap" => Some(span.0 < to.saturating_add(to - from) && span.1 > from.saturating_sub(to - from)),
            _ => None,
        };
        if hit(&(from, to)).is_none() {
            return Err(param.value_error("must have one of the prefixes eq, ne, gt, lt, ge, le, sa, eb, ap"));
        }
        if found.iter().any(|span| hit(span) == Some(true)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn references(
    param: &SearchParameter,
    values: &[&Json],
    alternatives: &[&str],
    modifier: Option<&str>,
) -> Result<bool, SearchError> {
    let target = match modifier {
        None => param.target,
        Some("identifier") => {
            let identifiers: Vec<_> = values.iter().filter_map(|value| value.get("identifier")).collect();
            return token(param, &identifiers, alternatives, None);
        }
        Some(name) if super::r4().is_resource_type(name) => Some(name),
        Some(_) => {
            return Err(SearchError::Modifier { parameter: param.name });
        }
    };
    let found: Vec<_> = values.iter().filter_map(|value| value.get("reference")?.as_str()).collect();
    let hit = |wanted: &&str| {
        let wanted = unescape(wanted);
        found.iter().any(|text| refers(text, &wanted, target))
    };
    Ok(alternatives.iter().any(hit))
}

/// Whether a reference is `wanted` (`Type/id`, an id, or the reference itself) and, as far as it tells, of type `target`.
fn refers(text: &str, wanted: &str, target: Option<&str>) -> bool {
    let (told, id) = match form(text) {
        Some(Form::Relative(name, id)) => (Some(name), Some(id)),
        Some(Form::Absolute(told)) => (told, None),
        Some(Form::Conditional(_) | Form::Contained(_) | Form::Urn) | None => (None, None),
    };
    let same = text == wanted
        || match form(wanted) {
            Some(Form::Relative(name, wanted)) => told == Some(name) && id == Some(wanted),
            _ => id == Some(wanted),
        };
    same && (target.is_none() || told.is_none() || told == target)
}

#[cfg(test)]
mod tests;
