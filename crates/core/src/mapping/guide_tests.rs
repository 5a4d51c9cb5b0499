//! The mapping of HL7's guide as it is shipped, for tests of what it makes.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::{Library, Plan, compile};
use crate::source::{Problems, Source};

/// The mapping `v2-to-fhir` of the project's own files.
pub(super) static GUIDE: LazyLock<Plan> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../mappings");
    let read = |folder: &Path, ending: &str| -> Vec<(String, Arc<Source>)> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| {
            file.extension().is_some_and(|found| found == ending) && !file.ends_with("identifiers.toml")
        });
        files.sort();
        let source = |file: &PathBuf| {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            (name.clone(), Arc::new(Source { name, text: std::fs::read_to_string(file).unwrap() }))
        };
        files.iter().map(source).collect()
    };
    let mut problems = Problems::default();
    let library = Library::new(read(&folder, "toml"), read(&folder.join("codes"), "csv"), &mut problems);
    let plan = compile(&library, "v2-to-fhir", &mut problems);
    assert_eq!(problems.into_vec(), []);
    plan.unwrap()
});
