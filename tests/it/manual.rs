//! The examples of the manual, as a reader copies them: beside the shipped files, word for word.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fairway_core::mapping::{Library, compile, unreachable};
use fairway_core::source::{Problems, Source};

/// The files of a folder with this ending, and what else stands beside them.
fn files(folder: &str, ending: &str, more: &[(&str, String)]) -> Vec<(String, Arc<Source>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").join(folder);
    let paths = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let shipped = paths
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
    let more = more.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
    let source = |(name, text): (String, String)| (name.clone(), Arc::new(Source { name, text }));
    shipped.filter(|(name, _)| name != "identifiers.toml").chain(more).map(source).collect()
}

/// Every problem of the shipped mappings and these.
fn told(more: &[(&str, String)]) -> Vec<String> {
    let mut problems = Problems::default();
    let library = Library::new(files("", "toml", more), files("codes", "csv", &[]), &mut problems);
    let plans: Vec<_> = library.names().filter_map(|name| compile(&library, name, &mut problems)).collect();
    unreachable(&plans, &mut problems);
    problems.into_vec().iter().map(ToString::to_string).collect()
}

#[test]
fn every_example_of_a_mapping_passes() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mappings.md")).unwrap();
    let examples: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let whole = example.contains("profile =") || example.contains("base =");
        let found = match whole {
            true => told(&[("example.toml", format!("{example}\n"))]),
            // A line or two that a file begins with: a mapping includes it.
            false => told(&[
                ("part.toml", format!("{example}\n")),
                ("example.toml", "base = \"appointments\"\ninclude = [\"part.toml\"]\n".to_owned()),
            ]),
        };
        assert_eq!(found, [""; 0], "{example}");
    }
}

/// Each shared file of HL7's guide can be included without the others.
#[test]
fn every_shared_file_of_the_guide_stands_alone() {
    for (name, source) in files("", "toml", &[]) {
        if name.starts_with("v2-") && name != "v2-to-fhir.toml" {
            let table: toml::Table = source.text.parse().unwrap();
            let Some(writes) = table.get("writes").and_then(toml::Value::as_table) else { continue };
            let writes: Vec<String> = writes.keys().map(|name| format!("\"{name}\"")).collect();
            let message = format!(
                "profile = \"v2-to-fhir\"\ninclude = [\"{name}\"]\n[[message]]\nevents = [\"RRE^O12\"]\nwrite = [\"patient\", {}]\n",
                writes.join(", ")
            );
            // Which writes a message needs beside each other is another matter.
            let mut found = told(&[("example.toml", message)]);
            found.retain(|problem| !problem.contains("no write of this message makes"));
            assert_eq!(found, [""; 0], "{name}");
        }
    }
}
