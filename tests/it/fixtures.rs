//! The cases of `fixtures/`, as `fairway test` plays them and as the demo plays them.

use std::path::Path;

use fairway::config::Config;
use fairway::fixtures::{differences, play, read};
use fairway_core::fhir::{self, Json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_fixture() {
    let config = Config::load(&root().join("config.example.toml")).unwrap();
    let cases = read(&root().join("fixtures")).unwrap();
    assert!(cases.len() >= 40);
    let mut wrong = Vec::new();
    for case in &cases {
        let expected = case.expected.as_ref().unwrap_or_else(|| panic!("{} has no expected.json", case.name));
        for change in expected.get("changes").and_then(Json::as_array).unwrap_or_default() {
            assert_eq!(fhir::check(change.get("content").unwrap()), [], "{}", case.name);
        }
        assert!(case.folder.join("note.md").exists(), "{} has no note.md", case.name);
        let lines = play(&config.feeds, case).map_or_else(|text| vec![text], |found| differences(expected, &found));
        wrong.extend(lines.into_iter().map(|line| format!("{}: {line}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
