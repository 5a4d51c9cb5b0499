//! The layer rules and the style that a machine can hold. Each rule says its reason; a rule that is wrong is changed here,
//! not worked around.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file at most: a reader finds the way in fewer.
const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its path from the root and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Asserts that no file below `folder` has one of the words, but for tests and files whose name starts with one of
/// `except`.
fn never(folder: &str, words: &[&str], except: &[&str], why: &str) {
    for (name, text) in sources(folder) {
        if name.ends_with("_tests.rs") || except.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        for word in words {
            assert!(!code(&text).contains(word), "{name} has `{word}`: {why}");
        }
    }
}

#[test]
fn the_pure_crates_never_touch_the_world() {
    let world = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "tokio",
    ];
    never("crates", &world, &[], "crates/ does no I/O and asks no clock");
    never("crates", &["println!", "eprintln!"], &[], "a library never prints");
}

#[test]
fn layers_point_one_way() {
    let core = "crates/core/src";
    never("crates/care/src", &["fairway_core"], &[], "care is below core");
    never(
        &format!("{core}/hl7v2"),
        &["crate::fhir", "crate::mapping", "crate::record"],
        &[],
        "hl7v2 is a bottom layer",
    );
    never(&format!("{core}/fhir"), &["crate::hl7v2", "crate::mapping", "crate::record"], &[], "fhir is a bottom layer");
    never(&format!("{core}/record"), &["crate::hl7v2", "crate::mapping"], &[], "record knows updates, not messages");
    never("src/tls", &["crate::", "fairway_core"], &[], "tls is a bottom layer");
    never("src", &["crate::http"], &["src/http", "src/daemon.rs", "src/cli"], "nothing below imports http");
    never("src", &["crate::cli"], &["src/cli", "src/main.rs"], "nothing imports the command line");
    never("src/store", &["crate::intake", "crate::mllp", "crate::config"], &[], "the store is below intake");
    never("src/mllp", &["crate::store", "crate::intake", "crate::config"], &[], "mllp knows bytes, not records");
}

#[test]
fn each_only_has_its_place() {
    never("src", &["rusqlite"], &["src/store"], "only store holds SQL");
    let files = ["src/cli", "src/config", "src/fixtures.rs", "src/daemon.rs", "src/store"];
    never("src", &["std::fs", "use std::{fs"], &files, "only configuration, cases and stores are files");
    never("src", &["std::env::"], &["src/cli", "src/config"], "only config and cli read the environment");
    never("src", &["println!", "eprintln!"], &["src/cli", "src/main.rs"], "the daemon logs, the command line prints");
    never("src", &["dbg!", "todo!", "unimplemented!"], &[], "unfinished");
}

#[test]
fn a_file_says_what_it_is_for_and_stays_readable() {
    for folder in ["src", "crates", "tests", "benches"] {
        for (name, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{name} must open with what it is for");
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{name} has {lines} lines; split it by reason");
        }
    }
}

#[test]
fn every_dependency_is_explained() {
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let manifests = ["Cargo.toml", "crates/core/Cargo.toml", "crates/care/Cargo.toml", "tests/fuzz/guided/Cargo.toml"];
    for manifest in manifests {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with('[') {
                inside = matches!(line, "[dependencies]" | "[dev-dependencies]");
            } else if inside && !line.starts_with("fairway") {
                let name = line.split(['.', ' ', '=']).next().unwrap();
                assert!(
                    name.is_empty() || page.contains(&format!("`{name}`")),
                    "{name} is not in docs/dependencies.md"
                );
            }
        }
    }
}

#[test]
fn every_conversion_is_in_the_manual() {
    let page = fs::read_to_string(root().join("docs/mappings.md")).unwrap();
    for doc in fairway_core::mapping::CONVERSIONS {
        assert!(page.contains(&format!("| `{}` |", doc.name)), "{} is not in docs/mappings.md", doc.name);
    }
}

#[test]
fn every_malformed_file_and_batch_has_an_outcome() {
    let table = fs::read_to_string(root().join("crates/core/src/hl7v2/corpus_tests.rs")).unwrap();
    let licences = fs::read_to_string(root().join("tests/corpus/README.md")).unwrap();
    for entry in fs::read_dir(root().join("tests/corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".hl7") else { continue };
        assert!(licences.contains(&format!("| {name} |")), "{name} has no licence line");
        if stem.starts_with("malformed") || stem.starts_with("batch") {
            assert!(table.contains(&format!("file!(\"{stem}\")")), "{name} has no tested outcome");
        }
    }
}
