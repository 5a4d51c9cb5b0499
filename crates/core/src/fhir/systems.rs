//! The codes of code systems that code sets use, so that a code that no system has is found when a file is loaded.
//!
//! Read once from `codes.txt` (written by `generate.py`, which names the sources; licences in NOTICE). Of a system that is not
//! in it nothing is known, and nothing is said.

use std::collections::HashMap;
use std::sync::LazyLock;

static SYSTEMS: LazyLock<HashMap<&str, System>> = LazyLock::new(|| read(include_str!("systems/codes.txt")));

/// A code system with every code it has.
#[derive(Debug, Default)]
pub struct System {
    displays: HashMap<&'static str, &'static str>,
}

/// The code system of a URI, when its codes are known.
pub fn code_system(uri: &str) -> Option<&'static System> {
    SYSTEMS.get(uri)
}

impl System {
    /// What the system calls a code; empty where it gives no display.
    pub fn display(&self, code: &str) -> Option<&'static str> {
        self.displays.get(code).copied()
    }

    /// The code of a display, whatever its capitals: of several the first in the alphabet.
    pub fn code_of(&self, display: &str) -> Option<&'static str> {
        let same = self.displays.iter().filter(|(_, known)| known.to_lowercase() == display.to_lowercase());
        same.map(|(code, _)| *code).min()
    }

    /// Every code, in no order.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.displays.keys().copied()
    }
}

/// Reads the table; the form of its lines is in `generate.py`.
fn read(text: &'static str) -> HashMap<&'static str, System> {
    let mut systems: HashMap<&str, System> = HashMap::new();
    let mut last = "";
    for line in text.lines() {
        match (line.strip_prefix("C "), line.split_once('\t')) {
            (Some(uri), None) => last = uri,
            (_, Some((code, display))) => {
                systems.entry(last).or_default().displays.insert(code, display);
            }
            (None, None) => {}
        }
    }
    systems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn systems_have_their_codes() {
        let marital = code_system("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus").unwrap();
        assert_eq!(marital.display("M"), Some("Married"));
        assert_eq!(marital.display("QQ"), None);
        assert_eq!(marital.code_of("married"), Some("M"));
        assert_eq!(marital.codes().len(), 11);
        assert!(code_system("http://snomed.info/sct").is_none());
    }

    #[test]
    fn the_table_is_whole() {
        let text = include_str!("systems/codes.txt");
        let codes: usize = SYSTEMS.values().map(|system| system.displays.len()).sum();
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(lines, codes + SYSTEMS.len());
        assert!(SYSTEMS.keys().all(|uri| uri.starts_with("http")));
    }
}
