//! What messages that nobody here wrote say, found again in what HL7's guide makes of them.
//!
//! `tests/corpus/facts.json` lists for each message what a right result holds, whatever its layout: facts at the level
//! `must`, which a clinical or identity fault would break, and `should`, details of the guide.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use fairway_core::fhir::{self, Json};
use serde_json::Value;

/// Facts that do not hold, each with its reason in docs/conformance.md.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("malformed-d004-hl7v2-fhir-convert", "DiagnosticReport.result points at the Observations"),
    ("adt-d013-fhir-converter", "OBX-11 -> Observation.status"),
];

#[test]
fn the_facts_of_foreign_messages_are_found_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let facts = std::fs::read(root.join("tests/corpus/facts.json")).unwrap();
    let messages: Vec<Value> = serde_json::from_slice(&facts).unwrap();
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for message in &messages {
        let id = message["id"].as_str().unwrap();
        let file = format!("tests/corpus/{id}.hl7");
        let output = Command::new(env!("CARGO_BIN_EXE_fairway")).current_dir(root).args(["convert", &file]).output();
        let output = output.unwrap().stdout;
        let rows: Vec<Value> = serde_json::Deserializer::from_slice(&output).into_iter().map(Result::unwrap).collect();
        for row in rows.iter().filter(|row| !row["bundle"].is_null()) {
            let bundle = Json::parse(row["bundle"].to_string().as_bytes()).unwrap();
            assert_eq!(fhir::check_bundle(&bundle), [], "{id}");
        }
        let made = Made::of(&rows);
        let told = rows.iter().any(|row| row["ack"]["code"] != "AA" || row["issues"] != Value::Array(Vec::new()));
        let good = match message["expect"].as_str().unwrap() {
            "accept" => !made.resources.is_empty() && rows.iter().all(|row| row["ack"]["code"] == "AA"),
            "reject" => made.resources.is_empty() && told,
            "reject-or-flag" => told,
            "accept-or-flag" => !made.resources.is_empty() || told,
            other => panic!("{other}"),
        };
        if !good {
            wrong.push(format!("{id}: {}", message["expect"]));
        }
        if made.resources.is_empty() && message["expect"] != "accept" {
            continue;
        }
        for fact in message["facts"].as_array().unwrap() {
            looked_at += 1;
            let why = fact["why"].as_str().unwrap();
            if !made.holds(fact, rows.len()) && !EXCEPTIONS.contains(&(id, why)) {
                wrong.push(format!("{id}: {} {fact}", fact["level"]));
            }
        }
    }
    assert!(looked_at > 800, "{looked_at}");
    assert!(wrong.is_empty(), "{} of {looked_at}\n{}", wrong.len(), wrong.join("\n"));
}

/// The resources of a message, and what stands in them.
struct Made {
    resources: Vec<Value>,
    places: BTreeMap<String, usize>,
    strings: Vec<String>,
    identifiers: HashSet<String>,
    times: Vec<String>,
    documents: Vec<Vec<u8>>,
}

impl Made {
    fn of(rows: &[Value]) -> Made {
        let entries = rows.iter().flat_map(|row| row["bundle"]["entry"].as_array().into_iter().flatten());
        let resources: Vec<Value> = entries.map(|entry| entry["resource"].clone()).collect();
        let name = |resource: &Value| format!("{}/{}", text(&resource["resourceType"]), text(&resource["id"]));
        let places = resources.iter().enumerate().map(|(place, resource)| (name(resource), place)).collect();
        let mut made = Made {
            resources: Vec::new(),
            places,
            strings: Vec::new(),
            identifiers: HashSet::new(),
            times: Vec::new(),
            documents: Vec::new(),
        };
        for resource in &resources {
            made.walk(resource, "");
        }
        made.resources = resources;
        made
    }

    fn walk(&mut self, value: &Value, key: &str) {
        match value {
            Value::Object(members) => {
                let identifies = key == "identifier" || key == "masterIdentifier" || members.contains_key("system");
                if let Some(Value::String(number)) = members.get("value").filter(|_| identifies) {
                    self.identifiers.insert(squeezed(number));
                }
                if let Some(data) = members.get("data").and_then(Value::as_str) {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
                    self.strings.push(String::from_utf8_lossy(&bytes).into_owned());
                    self.documents.push(bytes);
                }
                members.iter().filter(|(name, _)| *name != "data").for_each(|(name, value)| self.walk(value, name));
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, key)),
            Value::String(words) => {
                self.strings.push(words.clone());
                if fhir::date_range(words).is_some() {
                    self.times.push(words.clone());
                }
            }
            Value::Number(number) => self.strings.push(number.to_string()),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn kind<'m>(&'m self, kind: &'m Value) -> impl Iterator<Item = &'m Value> {
        self.resources.iter().filter(move |resource| resource["resourceType"] == *kind)
    }

    /// Whether a fact holds; what a message only hints at (`note`) is no claim.
    fn holds(&self, fact: &Value, messages: usize) -> bool {
        let all = || loose(&self.strings.join("\n"));
        match text(&fact["kind"]) {
            "note" => true,
            "count" => {
                let count = self.kind(&fact["resource"]).count() as u64;
                count >= fact["min"].as_u64().unwrap_or(0) && count <= fact["max"].as_u64().unwrap_or(u64::MAX)
            }
            "has" => self.kind(&fact["resource"]).any(|resource| fits(&fact["match"], resource)),
            "text" => all().contains(&loose(text(&fact["contains"]))),
            "anywhere" => fact["values"].as_array().unwrap().iter().map(text).any(|words| {
                let wanted = loose(words);
                let alone = self.strings.iter().any(|held| squeezed(held).eq_ignore_ascii_case(&squeezed(words)));
                alone || (wanted.chars().count() >= 4 && all().contains(&wanted))
            }),
            "identifier" => self.identifiers.contains(&squeezed(text(&fact["value"]))),
            "anytime" => self.times.iter().any(|time| same_time(text(&fact["value"]), time)),
            "never" => !self.strings.iter().any(|held| squeezed(held) == text(&fact["value"])),
            "never_field" => self.kind(&fact["resource"]).all(|resource| resource.get(text(&fact["path"])).is_none()),
            "attachment" => {
                self.documents.iter().any(|bytes| bytes.len() as u64 == fact["bytes"].as_u64().unwrap_or(0))
            }
            "link" => {
                let mut sources = self.kind(&fact["from"]).peekable();
                let none = sources.peek().is_none();
                let path = text(&fact["path"]);
                let leads = |resource: &Value| {
                    at(resource, path).iter().any(|reference| {
                        let place = self.places.get(text(&reference["reference"]));
                        place.is_some_and(|place| self.resources[*place]["resourceType"] == fact["to"])
                    })
                };
                match (none, fact["any"] == true) {
                    (true, _) => fact["optional"] == true,
                    (false, true) => sources.any(leads),
                    (false, false) => sources.all(leads),
                }
            }
            "batch" => messages as u64 >= fact["messages"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// White space is one blank.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Letters and digits only.
fn loose(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The values at a path, through lists.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    path.split('.').fold(vec![value], |found, name| {
        let next = found.into_iter().filter_map(|value| value.get(name));
        next.flat_map(|value| value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())).collect()
    })
}

/// Whether two times are one, in the precision of the coarser; a time of the message without offset is British.
fn same_time(wanted: &str, found: &str) -> bool {
    let day = |text: &str| text.len() <= 10;
    if day(wanted) || day(found) {
        let length = wanted.len().min(found.len()).min(10);
        return found.len() >= wanted.len().min(10) && wanted.get(..length) == found.get(..length);
    }
    let offset = |text: &str| text.ends_with('Z') || text[11..].contains(['+', '-']);
    if offset(wanted) == offset(found) {
        return fhir::date_range(wanted).map(|range| range.0) == fhir::date_range(found).map(|range| range.0);
    }
    // The wall clock of the result, and the same moment in winter and summer time.
    let wall = |text: &str| text.get(..19).and_then(fhir::date_range).map(|range| range.0);
    let moment = fhir::date_range(found).map(|range| range.0);
    let wanted = fhir::date_range(wanted).map(|range| range.0);
    let hour = 3_600_000_000;
    wall(found) == wanted || moment == wanted || moment.map(|moment| moment + hour) == wanted
}

/// Whether a code, a coding or a concept is one of these, by code, name or text.
fn is_concept(found: &Value, codes: &[Value]) -> bool {
    let one_of = |held: &Value| {
        let held = squeezed(text(held)).to_lowercase();
        !held.is_empty() && codes.iter().any(|code| squeezed(text(code)).to_lowercase() == held)
    };
    match found {
        Value::String(code) => codes.iter().any(|wanted| loose(code) == loose(text(wanted))),
        Value::Array(items) => items.iter().any(|item| is_concept(item, codes)),
        Value::Object(_) => {
            let own = ["text", "code", "display"].iter().any(|name| one_of(&found[*name]));
            own || at(found, "coding").iter().any(|coding| one_of(&coding["code"]) || one_of(&coding["display"]))
        }
        _ => false,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// Whether a value fits what a fact asks of it; of a list any item may.
fn fits(wanted: &Value, found: &Value) -> bool {
    match wanted {
        Value::Object(members) => {
            if let Some((name, asked)) = members.iter().find(|(name, _)| name.starts_with('$')) {
                let rest: serde_json::Map<String, Value> = members
                    .iter()
                    .filter(|(name, _)| !name.starts_with('$'))
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect();
                return (rest.is_empty() || fits(&Value::Object(rest), found)) && asks(name, asked, found);
            }
            match found {
                Value::Array(items) => items.iter().any(|item| fits(wanted, item)),
                Value::Object(_) => {
                    members.iter().all(|(name, value)| found.get(name).is_some_and(|held| fits(value, held)))
                }
                _ => false,
            }
        }
        Value::Array(all) => {
            let alone = [found.clone()];
            let items = found.as_array().map_or(&alone[..], Vec::as_slice);
            all.iter().all(|one| items.iter().any(|item| fits(one, item)))
        }
        _ if found.is_array() => found.as_array().unwrap().iter().any(|item| fits(wanted, item)),
        Value::Number(_) => number(wanted) == number(found),
        Value::String(words) => found.as_str().is_some_and(|held| squeezed(held) == squeezed(words)),
        Value::Bool(_) | Value::Null => wanted == found,
    }
}

fn asks(name: &str, asked: &Value, found: &Value) -> bool {
    let same = |one: &Value, other: &Value| squeezed(text(one)).to_lowercase() == squeezed(text(other)).to_lowercase();
    let list = || asked.as_array().map_or(&[][..], Vec::as_slice);
    match name {
        "$or" => list().iter().any(|one| fits(one, found)),
        "$in" => list().contains(found),
        "$dt" => same_time(text(asked), text(found)),
        "$num" => number(found).is_some() && number(found) == number(asked),
        "$ci" => found.is_string() && same(asked, found),
        "$cisub" => squeezed(text(found)).to_lowercase().contains(&squeezed(text(asked)).to_lowercase()),
        "$oneci" => list().iter().any(|one| same(one, found)),
        "$digits" => {
            let digits: String = text(found).chars().filter(char::is_ascii_digit).collect();
            digits.contains(text(asked)) || (digits.len() >= 6 && text(asked).ends_with(&digits))
        }
        "$concept" => is_concept(found, list()),
        "$any" => !found.is_null(),
        "$range" => {
            let bounds = ["low", "high"].map(|name| number(&found[name]["value"]));
            let wanted: Vec<f64> = text(asked)
                .split(|c: char| !c.is_ascii_digit() && c != '.')
                .filter_map(|part| part.parse().ok())
                .collect();
            let held: Vec<f64> = bounds.into_iter().flatten().collect();
            loose(text(&found["text"])) == loose(text(asked))
                || (!held.is_empty() && held.iter().all(|n| wanted.contains(n)))
        }
        other => panic!("{other}"),
    }
}
