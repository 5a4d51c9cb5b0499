//! Where configuration files come from: the disk, or the example that every binary carries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairway_core::source::{Place, Problems, Source};

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $name)))),*]
    };
}

/// The example configuration with its feeds, mappings and code sets; a test holds the list against the folders.
const BUILT_IN: &[(&str, &str)] = built_in![
    "config.example.toml",
    "feeds/appointments.toml",
    "feeds/demographics.toml",
    "feeds/documents.toml",
    "feeds/encounters.toml",
    "feeds/pathology.toml",
    "feeds/radiology.toml",
    "mappings/appointments.toml",
    "mappings/codes/administration-method.csv",
    "mappings/codes/administrative-gender.csv",
    "mappings/codes/admission-method-england.csv",
    "mappings/codes/admission-source-england.csv",
    "mappings/codes/admission-type.csv",
    "mappings/codes/allergy-category.csv",
    "mappings/codes/allergy-criticality.csv",
    "mappings/codes/allergy-severity-code.csv",
    "mappings/codes/allergy-severity.csv",
    "mappings/codes/allergy-type.csv",
    "mappings/codes/allergy-verification.csv",
    "mappings/codes/ambulatory-status.csv",
    "mappings/codes/appointment-ended.csv",
    "mappings/codes/appointment-reason.csv",
    "mappings/codes/appointment-status.csv",
    "mappings/codes/contact-role.csv",
    "mappings/codes/content-presentation.csv",
    "mappings/codes/degree.csv",
    "mappings/codes/diagnosis-role.csv",
    "mappings/codes/diagnostic-service.csv",
    "mappings/codes/discharge-destination-england.csv",
    "mappings/codes/discharge-method-england.csv",
    "mappings/codes/document-availability.csv",
    "mappings/codes/document-completion.csv",
    "mappings/codes/document-confidentiality.csv",
    "mappings/codes/document-kind.csv",
    "mappings/codes/document-type.csv",
    "mappings/codes/ethnic-category.csv",
    "mappings/codes/ethnicity-us.csv",
    "mappings/codes/event-reason.csv",
    "mappings/codes/hospital-service.csv",
    "mappings/codes/immunization-status.csv",
    "mappings/codes/interpretation.csv",
    "mappings/codes/language.csv",
    "mappings/codes/living-will.csv",
    "mappings/codes/marital-status-england.csv",
    "mappings/codes/marital-status.csv",
    "mappings/codes/mode-of-arrival.csv",
    "mappings/codes/nature-of-abnormality.csv",
    "mappings/codes/observation-status.csv",
    "mappings/codes/order-control.csv",
    "mappings/codes/order-status.csv",
    "mappings/codes/participation-status.csv",
    "mappings/codes/patient-class.csv",
    "mappings/codes/prescription-control.csv",
    "mappings/codes/prescription-status.csv",
    "mappings/codes/problem-status.csv",
    "mappings/codes/problem-verification.csv",
    "mappings/codes/provider-role.csv",
    "mappings/codes/readmission-indicator.csv",
    "mappings/codes/relationship.csv",
    "mappings/codes/religion.csv",
    "mappings/codes/report-status.csv",
    "mappings/codes/request-priority.csv",
    "mappings/codes/route-of-administration.csv",
    "mappings/codes/sex.csv",
    "mappings/codes/specimen-action.csv",
    "mappings/codes/specimen-availability.csv",
    "mappings/codes/substitution.csv",
    "mappings/codes/time-unit.csv",
    "mappings/codes/v2-interpretation.csv",
    "mappings/codes/v2-observation-status.csv",
    "mappings/codes/visit-class.csv",
    "mappings/codes/visit-priority.csv",
    "mappings/codes/visit-status.csv",
    "mappings/codes/yes-no.csv",
    "mappings/demographics.toml",
    "mappings/documents.toml",
    "mappings/encounters.toml",
    "mappings/identifiers.toml",
    "mappings/pathology.toml",
    "mappings/patient.toml",
    "mappings/radiology.toml",
    "mappings/results.toml",
    "mappings/v2-adt.toml",
    "mappings/v2-common.toml",
    "mappings/v2-orders.toml",
    "mappings/v2-requests.toml",
    "mappings/v2-results.toml",
    "mappings/v2-siu.toml",
    "mappings/v2-to-fhir.toml",
];

/// A set of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// Files on disk.
    Disk,
    /// The example in the binary; paths are relative to its root.
    BuiltIn,
}

impl Files {
    /// Reads a text file; its name in messages is the path as the user would write it. `named` is where the
    /// configuration names it or its folder.
    pub(super) fn read(self, path: &Path, named: Option<&Place>, problems: &mut Problems) -> Option<Arc<Source>> {
        let name = path.display().to_string();
        let text = match self {
            Files::Disk => match std::fs::read(path) {
                Ok(bytes) => return Some(text(name, bytes, problems)),
                Err(error) => {
                    let message = format!("cannot read {name}: {error}");
                    match named {
                        Some(place) => problems.hint(place, message, "add the file, or name another folder here"),
                        None => problems.general(message, "check the path and its permissions"),
                    }
                    return None;
                }
            },
            Files::BuiltIn => BUILT_IN.iter().find(|(file, _)| Path::new(file) == path)?.1.to_owned(),
        };
        Some(Arc::new(Source { name, text }))
    }

    /// The files of a folder with this ending, by file name, sorted.
    pub(super) fn read_folder(
        self,
        folder: &Path,
        ending: &str,
        named: &Place,
        problems: &mut Problems,
    ) -> Vec<(String, Arc<Source>)> {
        let mut paths: Vec<PathBuf> = match self {
            Files::Disk => match std::fs::read_dir(folder) {
                Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
                Err(error) => {
                    let message = format!("cannot read the folder {}: {error}", folder.display());
                    problems.hint(named, message, "add the folder, or name another one here");
                    return Vec::new();
                }
            },
            Files::BuiltIn => {
                let files = BUILT_IN.iter().map(|(file, _)| PathBuf::from(file));
                files.filter(|file| file.parent() == Some(folder)).collect()
            }
        };
        paths.retain(|path| path.extension().is_some_and(|found| found == ending));
        paths.sort();
        paths
            .into_iter()
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some((name, self.read(&path, Some(named), problems)?))
            })
            .collect()
    }
}

/// The text of a file. What is not UTF-8 is a problem, and the rest is read on so that its own problems are told, too.
fn text(name: String, bytes: Vec<u8>, problems: &mut Problems) -> Arc<Source> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|&pair| unit(pair)).collect();
        String::from_utf16_lossy(&units)
    };
    let (text, fault) = match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => (wide(rest, u16::from_le_bytes), Some((0, "the file is UTF-16".to_owned()))),
        [0xFE, 0xFF, rest @ ..] => (wide(rest, u16::from_be_bytes), Some((0, "the file is UTF-16".to_owned()))),
        // Windows programs mark UTF-8 so.
        [0xEF, 0xBB, 0xBF, rest @ ..] => decode(rest),
        bytes => decode(bytes),
    };
    let source = Arc::new(Source { name, text });
    if let Some((start, found)) = fault {
        let length = source.text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let place = Place { source: source.clone(), span: start..start + length };
        problems.hint(&place, format!("not UTF-8: {found}"), "save the file as UTF-8 in the editor");
    }
    source
}

/// The text, and the place of the first byte that is not UTF-8 with what stands there.
fn decode(bytes: &[u8]) -> (String, Option<(usize, String)>) {
    let fault = std::str::from_utf8(bytes).err().map(|error| {
        let start = error.valid_up_to();
        let byte = bytes.get(start).copied().unwrap_or_default();
        // What it most likely is, since most such files come from Windows.
        (start, format!("byte {start} of the file is 0x{byte:02X}, in Latin-1 `{}`", char::from(byte).escape_debug()))
    });
    (String::from_utf8_lossy(bytes).into_owned(), fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_told_with_its_place_and_the_rest_is_read() {
        let read = |bytes: &[u8]| {
            let mut problems = Problems::default();
            let source = text("codes/x.csv".to_owned(), bytes.to_vec(), &mut problems);
            let told: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
            (source.text.clone(), told)
        };
        let hint = "(hint: save the file as UTF-8 in the editor)";
        let (text, told) = read(b"a,b\nCaf\xE9,c\nd,e\n");
        assert_eq!(text, "a,b\nCaf\u{FFFD},c\nd,e\n");
        assert_eq!(told, [format!("codes/x.csv:2:4: not UTF-8: byte 7 of the file is 0xE9, in Latin-1 `é` {hint}")]);
        let (text, told) = read(b"\xFF\xFEa\0,\0b\0");
        assert_eq!(text, "a,b");
        assert_eq!(told, [format!("codes/x.csv:1:1: not UTF-8: the file is UTF-16 {hint}")]);
        assert_eq!(read(b"\xEF\xBB\xBFa,b"), ("a,b".to_owned(), Vec::new()));
    }

    #[test]
    fn the_binary_carries_every_file_of_the_example() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut problems = Problems::default();
        let named = Place::start(&Arc::new(Source { name: String::new(), text: String::new() }));
        for (folder, ending) in [("feeds", "toml"), ("mappings", "toml"), ("mappings/codes", "csv")] {
            let names = |files: Files, folder: &Path, problems: &mut Problems| -> Vec<String> {
                files.read_folder(folder, ending, &named, problems).into_iter().map(|(name, _)| name).collect()
            };
            let on_disk = names(Files::Disk, &root.join(folder), &mut problems);
            assert_eq!(names(Files::BuiltIn, Path::new(folder), &mut problems), on_disk, "{folder}");
        }
        assert!(problems.is_empty());
    }
}
