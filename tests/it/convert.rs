//! `fairway convert` as people run it: by HL7's guide, by feeds, and with where each element comes from.

use std::path::Path;
use std::process::{Command, Output};

use fairway_core::fhir::{self, Json};

const RESULTS: &str = "fixtures/pathology/r01-collection-of-results/message.hl7";

fn convert(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(env!("CARGO_BIN_EXE_fairway")).current_dir(root).arg("convert").args(arguments).output().unwrap()
}

fn row(arguments: &[&str]) -> Json {
    let output = convert(arguments);
    Json::parse(output.stdout.trim_ascii()).unwrap()
}

#[test]
fn the_guide_makes_a_bundle_whose_references_resolve() {
    let made = row(&["tests/corpus/adt-d013-fhir-converter.hl7"]);
    assert_eq!(made.str_at("ack.code"), Some("AA"));
    let bundle = made.get("bundle").unwrap();
    assert_eq!(fhir::check_bundle(bundle), []);
    assert_eq!(row(&["tests/corpus/adt-d013-fhir-converter.hl7"]), made, "the same message makes the same");
}

#[test]
fn feeds_convert_by_their_own_rules() {
    let by_feeds = row(&["--feeds", RESULTS]);
    let by_name = row(&["--feed", "pathology", RESULTS]);
    assert_eq!(by_feeds, by_name);
    let system = by_feeds.str_at("bundle.entry[1].resource.identifier[0].system");
    assert_eq!(system, Some("urn:fairway:rtst:observation"));
    let refused = row(&["--feed", "appointments", RESULTS]);
    assert_eq!((refused.str_at("ack.code"), refused.get("bundle")), (Some("AR"), Some(&Json::Null)));
}

#[test]
fn what_there_is_not_is_told_with_what_there_is() {
    for (arguments, told) in [
        (["--feed", "pathologie", RESULTS], "hint: one of: appointments, demographics"),
        (["--mapping", "pathology", RESULTS], "hint: one of: v2-to-fhir"),
    ] {
        let output = convert(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_folder_without_messages_is_wrong_use() {
    let empty = tempfile::tempdir().unwrap();
    for command in [vec!["convert"], vec!["show"], vec!["send", "--to", "127.0.0.1:1"]] {
        let mut fairway = std::process::Command::new(env!("CARGO_BIN_EXE_fairway"));
        let output = fairway.args(&command).arg(empty.path()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?} {error}");
        assert!(error.contains("no message found in it"), "{command:?} {error}");
    }
}

#[test]
fn each_element_is_explained() {
    let told = String::from_utf8(convert(&["--explain", "--feeds", RESULTS]).stdout).unwrap();
    let line = |start: &str| told.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_default();
    let words: Vec<&str> = line("birthDate").split_whitespace().collect();
    assert_eq!(words[..5], ["birthDate", "PID[1]-7[1].1", "19700101", "as", "date"], "{told}");
    assert!(words[5].starts_with("mappings/patient.toml:"), "{told}");
    assert!(line("valueQuantity").contains("OBX[1]-5[1]"), "{told}");
    assert!(line("status").contains("codes observation-status"), "{told}");
    // A resource that is made on the way has its own heading.
    let told = String::from_utf8(convert(&["--explain", "tests/corpus/adt-d013-fhir-converter.hl7"]).stdout).unwrap();
    for heading in ["Patient/", "Encounter/", "Practitioner/"] {
        assert!(told.lines().any(|line| line.starts_with(heading)), "{heading}: {told}");
    }
    let refused = convert(&["--explain", "--feed", "appointments", RESULTS]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stdout).unwrap().contains("AR: Parsing or validation error: MSH-9"));
}

#[test]
fn code_sets_are_listed_and_searched() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let codes = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_fairway")).current_dir(root).arg("codes").args(arguments).output();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, listed) = codes(&[]);
    assert!(code == 0 && listed.contains("document-type"), "{listed}");
    assert_eq!(
        codes(&["document-type", "--find", "CLINIC"]),
        (0, "document-type\n  CL  CL  Clinic letter  (urn:fairway:codesystem:document-type)\n".to_owned())
    );
    let (code, found) = codes(&["--find", "clinic letter", "--json"]);
    let found = Json::parse(found.trim().as_bytes()).unwrap();
    assert_eq!((code, found.as_array().map(<[Json]>::len)), (0, Some(1)));
    assert_eq!(codes(&["--find", "no such thing"]), (1, String::new()));
    assert_eq!(codes(&["document-typ"]).0, 2);
}

/// Whether a value fits a schema, as far as ours say things; where it does not.
fn misfit(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, at: &str) -> Option<String> {
    use serde_json::Value;
    if let Some(name) = schema["$ref"].as_str() {
        return misfit(value, &root["definitions"][name.trim_start_matches("#/definitions/")], root, at);
    }
    if let Some(all) = schema["anyOf"].as_array() {
        let wrong: Vec<String> = all.iter().map_while(|one| misfit(value, one, root, at)).collect();
        return (wrong.len() == all.len()).then(|| wrong.join(" or "));
    }
    if let Some(names) = schema["enum"].as_array() {
        return (!names.contains(value)).then(|| format!("{at}: {value} is none of the names"));
    }
    let kind = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        _ => "object",
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Some(format!("{at}: the schema says no type")),
    };
    if !kinds.contains(&kind) {
        return Some(format!("{at}: {kind} is not {kinds:?}"));
    }
    match value {
        Value::Array(items) if schema.get("items").is_some() => {
            items.iter().find_map(|item| misfit(item, &schema["items"], root, at))
        }
        Value::Object(members) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required
                .into_iter()
                .find(|name| !members.contains_key(*name))
                .map(|name| format!("{at}.{name} is missing"));
            missing.or_else(|| {
                members.iter().find_map(|(name, value)| {
                    let at = format!("{at}.{name}");
                    match schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]) {
                        Value::Bool(false) => Some(format!("{at} is unknown")),
                        inner => misfit(value, inner, root, &at),
                    }
                })
            })
        }
        _ => None,
    }
}

#[test]
fn the_schemas_fit_every_file_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (kind, folder) in [("mapping", "mappings"), ("feed", "feeds")] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_fairway")).current_dir(root).args(["schema", kind]).output().unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "toml") || path.ends_with("identifiers.toml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let value: serde_json::Value = toml::from_str(&text).unwrap();
            assert_eq!(misfit(&value, &schema, &schema, &path.display().to_string()), None);
        }
        for wrong in [
            "profil = \"phr\"",
            "[rows]\na = [{ to = \"id\", as = \"dat\" }]",
            "mapping = \"patholgy\"\nkind = \"pathology\"\norganisation = \"RTST\"",
        ] {
            let value: serde_json::Value = toml::from_str(wrong).unwrap();
            assert!(misfit(&value, &schema, &schema, "").is_some(), "{kind}: {wrong}");
        }
    }
}
