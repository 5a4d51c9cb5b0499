//! The example configuration with faults: each is told once, with its place and what to do.

#![allow(clippy::unwrap_used)]

use super::*;

/// The problems of the example after `change` of its files, each as one line.
fn problems(change: &[(&str, &str, &str)]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for part in ["", "feeds", "mappings", "mappings/codes"] {
        std::fs::create_dir_all(folder.path().join(part)).unwrap();
        for entry in std::fs::read_dir(root.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let wanted = if part.is_empty() { path.ends_with("config.example.toml") } else { path.is_file() };
            if wanted {
                std::fs::copy(&path, folder.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    for (file, from, to) in change {
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    let found = Config::load(&folder.path().join("config.example.toml")).err().unwrap_or_default();
    assert!(found.iter().all(|problem| problem.place.is_some() && problem.hint.is_some()), "{found:?}");
    let prefix = format!("{}/", folder.path().display());
    found.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

#[test]
fn what_follows_from_a_faulty_file_is_not_told() {
    assert_eq!(problems(&[]), Vec::<String>::new());
    let shared = problems(&[("mappings/patient.toml", "\"birthDate\"", "\"birthDat\"")]);
    assert_eq!(
        shared,
        ["mappings/patient.toml:13:10: Patient has no element `birthDat` (hint: did you mean `birthDate`?)"]
    );
    let heading = problems(&[("mappings/codes/patient-class.csv", "code,", "code;")]);
    assert!(heading.len() == 1 && heading[0].starts_with("mappings/codes/patient-class.csv:1:1:"), "{heading:?}");
    let team = problems(&[("config.example.toml", "kind   = \"patient-record\"", "")]);
    assert!(team.len() == 1 && team[0].contains("exactly one team of kind"), "{team:?}");
}

#[test]
fn faults_of_all_files_are_told_in_one_run() {
    let found = problems(&[
        ("config.example.toml", "mappings = \"mappings\"", "mapings = \"mappings\""),
        ("config.example.toml", "\"radiology\", \"pathology\"", "\"radiology\", \"patholgy\""),
        ("feeds/documents.toml", "zone ", "zon "),
        ("mappings/documents.toml", "\"TXA-17.1\"", "\"TXQ-17.1\""),
        ("mappings/appointments.toml", "[\"SIU^S26\"]", "[\"SIU^S12\"]"),
        ("mappings/radiology.toml", "[[message]]", "[[message]"),
    ]);
    // The example's comments come and go.
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml")).unwrap();
    let line = example.lines().position(|line| line.contains("\"radiology\", \"pathology\"")).unwrap() + 1;
    let feed = format!("config.example.toml:{line}:26: there is no feed `patholgy` (hint: did you mean `pathology`?)");
    let starts = [
        "mappings/appointments.toml:24:12: SIU^S12 is handled already (hint: line 6",
        "mappings/documents.toml:12:20: unknown segment `TXQ` (hint: did you mean `TXA`?",
        "mappings/radiology.toml:5:11: unclosed array table",
        "feeds/documents.toml:4:1: unknown key `zon`",
        &feed,
        "config.example.toml:6:1: unknown key `mapings`",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (problem, start) in found.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}\n{start}");
    }
}

#[test]
fn a_feed_changes_the_mapping_it_names() {
    let change = |text: &str| {
        let charset = "charset      = \"UNICODE UTF-8\"";
        problems(&[("feeds/pathology.toml", charset, &format!("{charset}\n{text}\n#"))])
    };
    assert_eq!(change("[change.result]\nremove = [\"note.text\"]"), Vec::<String>::new());
    let wrong = change("[change.result]\nremove = [\"note.tex\"]");
    let told = "feeds/pathology.toml:7:11: rows `result` have no row with `to = \"note.tex\"` (hint: did you mean `note.text`?)";
    assert_eq!(wrong, [told]);
}

#[test]
fn listeners_are_told_apart_by_name_and_address() {
    let config = "config.example.toml";
    let second = |name: &str, listen: &str| {
        let found = problems(&[(config, "\"results\"", name), (config, "127.0.0.1:2576", listen)]);
        found.iter().map(|found| found.split_once(": ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    for listen in ["0.0.0.0:2576", "[::]:2576", "127.0.0.2:2575", "[::1]:2575", "127.0.0.1:0"] {
        assert_eq!(second("\"results\"", listen), none, "{listen}");
    }
    for listen in ["0.0.0.0:2575", "[::]:2575", "127.0.0.1:2575", "[::]:8080"] {
        let found = second("\"results\"", listen);
        assert!(found.len() == 1 && found[0].contains("port of its own"), "{listen} {found:?}");
    }
    let found = second("\"pas\"", "127.0.0.1:2576");
    assert!(found.len() == 1 && found[0].starts_with("listener `pas` is given twice (hint: line"), "{found:?}");
}
