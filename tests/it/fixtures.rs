//! The cases of `fixtures/`, as `fairway test` plays them and as the demo plays them.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use fairway::config::Config;
use fairway::fixtures::{Case, differences, play, read};
use fairway_core::fhir::{self, Json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every case, none of which is broken.
fn cases() -> Vec<Case> {
    read(&root().join("fixtures")).unwrap().into_iter().collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_fixture() {
    let config = Config::load(&root().join("config.example.toml")).unwrap();
    let cases = cases();
    assert!(cases.len() >= 120);
    let mut wrong = Vec::new();
    for case in &cases {
        let expected = case.expected.as_ref().unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
        for change in expected.get("changes").and_then(Json::as_array).unwrap_or_default() {
            assert_eq!(fhir::check(change.get("content").unwrap()), [], "{}", case.name);
        }
        assert!(case.folder.join("note.md").exists(), "{} has no note.md", case.name);
        let lines = play(&config.feeds, case).map_or_else(|text| vec![text], |found| differences(expected, &found));
        wrong.extend(lines.into_iter().map(|line| format!("{}: {line}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The demo plays all cases into one store, so what one case makes must never be met by another.
#[test]
fn cases_share_no_identity() {
    let cases = cases();
    let mut owners: HashMap<(&str, String), &str> = HashMap::new();
    let mut shared = Vec::new();
    for case in &cases {
        let mut control_ids = HashSet::new();
        for message in case.before.iter().chain([&case.message]) {
            let text = std::str::from_utf8(message).unwrap();
            assert!(!text.contains('\n'), "{} has line feeds", case.name);
            let mut own = Vec::new();
            for segment in text.split('\r') {
                let fields: Vec<&str> = segment.split('|').collect();
                let first = |number: usize| fields.get(number).map(|field| field.split('^').next().unwrap_or_default());
                // MSH-1 is the separator itself, so MSH-10 stands ninth.
                let number = match fields[0] {
                    "MSH" => 9,
                    "SCH" => 1,
                    "PV1" => 19,
                    "TXA" => 12,
                    "OBR" => 3,
                    _ => 0,
                };
                if number > 0 {
                    own.extend(first(number).map(|id| (fields[0], id.to_owned())));
                }
                if fields[0] == "PID" {
                    let identifiers = fields.iter().skip(2).take(2).flat_map(|field| field.split('~'));
                    own.extend(identifiers.map(|id| ("PID", id.split('^').next().unwrap_or_default().to_owned())));
                }
            }
            let control_id = own.iter().find(|id| id.0 == "MSH").unwrap().1.clone();
            assert!(control_ids.insert(control_id.clone()), "{} uses {control_id} twice", case.name);
            // XX1 stands for a number that nobody knows.
            for id in own.into_iter().filter(|id| !matches!(&*id.1, "" | "XX1")) {
                let owner = *owners.entry(id.clone()).or_insert(&case.name);
                if owner != case.name {
                    shared.push(format!("{} and {owner} share {} {}", case.name, id.0, id.1));
                }
            }
        }
    }
    assert!(shared.is_empty(), "{}", shared.join("\n"));
}

#[test]
fn a_broken_case_fails_and_the_others_are_played() {
    let folder = tempfile::tempdir().unwrap();
    let right = root().join("fixtures/demographics/a28-creates-a-record");
    for case in ["1-right", "2-no-message", "3-no-json", "4-not-yet", "5-no-file", "6-right"] {
        let case = folder.path().join("demographics").join(case);
        std::fs::create_dir_all(&case).unwrap();
        for file in ["message.hl7", "expected.json"] {
            std::fs::copy(right.join(file), case.join(file)).unwrap();
        }
    }
    let file = |name: &str| folder.path().join("demographics").join(name);
    std::fs::remove_file(file("2-no-message/message.hl7")).unwrap();
    std::fs::write(file("3-no-json/expected.json"), "{\"ack\":").unwrap();
    std::fs::remove_file(file("4-not-yet/expected.json")).unwrap();
    std::fs::remove_file(file("5-no-file/message.hl7")).unwrap();
    std::fs::create_dir(file("5-no-file/message.hl7")).unwrap();
    let test = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fairway"));
        command.arg("test").arg("--config").arg(root().join("config.example.toml"));
        let output = command.arg("--fixtures").arg(folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, out) = test(&[]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len()), (Some(1), 9), "{out}");
    assert_eq!(lines[..3], ["demographics/2-no-message", "    message.hl7 is missing", "demographics/3-no-json"]);
    assert!(lines[3].starts_with("    expected.json: "), "{out}");
    assert_eq!(lines[5], "    expected.json is missing; write it with: fairway test --update demographics/4-not-yet");
    assert!(lines[7].starts_with("    message.hl7: "), "{out}");
    assert_eq!(lines[8], "2 passed, 4 failed");
    // What cannot be read is written anew.
    assert_eq!(test(&["--update", "3-no-json"]), (Some(0), "1 passed, 0 failed\n".to_owned()));
    assert_eq!(test(&["3-no-json"]).0, Some(0));
}

#[test]
fn the_demo_plays_every_case_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root().join("config.example.toml")).unwrap();
    let text = text
        .replace("\"data\"\n", &format!("{:?}\n", folder.path().join("data")))
        .replace("\"feeds\"\n", &format!("{:?}\n", root().join("feeds")))
        .replace("\"mappings\"\n", &format!("{:?}\n", root().join("mappings")));
    let text = ["2575", "2576", "8080"]
        .iter()
        .fold(text, |text, port| text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0"));
    std::fs::write(folder.path().join("config.toml"), text).unwrap();
    let demo = |fixtures: &Path| {
        std::process::Command::new(env!("CARGO_BIN_EXE_fairway"))
            .args(["demo", "--exit", "--config"])
            .arg(folder.path().join("config.toml"))
            .arg("--fixtures")
            .arg(fixtures)
            .output()
            .unwrap()
    };
    let played = demo(&root().join("fixtures"));
    let out = String::from_utf8(played.stdout).unwrap();
    assert_eq!(played.status.code(), Some(0), "{out}\n{}", String::from_utf8_lossy(&played.stderr));
    assert!(out.contains(" as expected, 0 not"), "{out}");
    // A case that comes out differently is told, and the exit code says so.
    let case = folder.path().join("fixtures/demographics/wrong");
    std::fs::create_dir_all(&case).unwrap();
    let right = root().join("fixtures/demographics/a28-creates-a-record");
    std::fs::copy(right.join("message.hl7"), case.join("message.hl7")).unwrap();
    let expected = std::fs::read_to_string(right.join("expected.json")).unwrap();
    std::fs::write(case.join("expected.json"), expected.replace("1970-01-01", "1971-01-01")).unwrap();
    let played = demo(&folder.path().join("fixtures"));
    let out = String::from_utf8(played.stdout).unwrap();
    assert_eq!(played.status.code(), Some(1), "{out}");
    assert!(out.contains("birthDate: expected \"1971-01-01\", found \"1970-01-01\""), "{out}");
}
