//! What segments, fields, components and codes are called in each version of HL7 v2, from 2.1 to 2.8.
//!
//! Read once from `names.txt` (written by `generate.mjs`; sources in NOTICE), with the Z segments that Fairway knows.
//! It names things for people: it never says what a message must hold, and no lookup fails for a version it lacks.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::names::last_field_before;
use super::path::Path;

static NAMES: LazyLock<Names> = LazyLock::new(|| Names::read(include_str!("dictionary/names.txt")));

/// Names are taken from this version when a message tells none.
const VERSION_DEFAULT: &str = "2.5.1";

/// A version of HL7 v2 whose names are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u8);

impl Version {
    /// The version of MSH-12, or the last known one before it (2.8 for 2.8.2); 2.5.1 when the text is no version.
    pub fn of(text: &str) -> Version {
        let wanted = numbers(text).or_else(|| numbers(VERSION_DEFAULT)).unwrap_or_default();
        let at = NAMES.versions.partition_point(|version| numbers(version).unwrap_or_default() <= wanted);
        Version(at.saturating_sub(1) as u8)
    }

    /// As MSH-12 writes it: `2.4`.
    pub fn name(self) -> &'static str {
        NAMES.versions.get(usize::from(self.0)).copied().unwrap_or(VERSION_DEFAULT)
    }
}

/// The parts of a version: `[2, 5, 1]`.
fn numbers(text: &str) -> Option<Vec<u8>> {
    text.trim().split('.').map(|part| part.parse().ok()).collect()
}

/// A field of a segment or a component of a data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// `Patient Identifier List`.
    pub name: &'static str,
    /// `CX`; `VARIES` where another field tells it.
    pub data_type: &'static str,
    /// Number of the table its codes are in.
    pub table: Option<u16>,
    /// Since when it is this. Later than the version asked for where that one has no such element yet.
    pub since: Version,
}

/// The name of a segment: `PID` is `Patient Identification`.
pub fn segment(version: Version, name: &str) -> Option<&'static str> {
    at(&NAMES.segments.get(name)?.titles, version).map(|(_, title)| title)
}

/// Field `n` of a segment.
pub fn field(version: Version, segment: &str, n: u16) -> Option<Element> {
    NAMES.segments.get(segment)?.part(version, n)
}

/// The name of a data type: `CX` is `Extended Composite ID with Check Digit`.
pub fn data_type(version: Version, name: &str) -> Option<&'static str> {
    at(&NAMES.types.get(name)?.titles, version).map(|(_, title)| title)
}

/// Component `n` of a data type; none for one that is not made of components.
pub fn component(version: Version, data_type: &str, n: u16) -> Option<Element> {
    NAMES.types.get(data_type)?.part(version, n)
}

/// Whether a data type is known to have no components.
pub fn is_primitive(data_type: &str) -> bool {
    NAMES.types.get(data_type).is_some_and(|found| found.parts.is_empty()) && data_type != "VARIES"
}

/// Parts that the table lacks: OBX-4 is an OG since 2.8.2, as is OBR-26.2, and OBX-3.1 may have the suffix of chapter 7.2.4.
const WIDER: [(&str, u16); 3] = [("OBX-4", 4), ("OBR-26.2", 4), ("OBX-3.1", 2)];

/// What a path names and no version of the standard has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// `PV1-44 has no component 9: TS has 2`.
    pub message: String,
    /// `its last is PV1-44.2`.
    pub hint: String,
}

/// The field, component or subcomponent of a path that no version has. Of a data type that changed from version to version
/// the widest counts; nothing is said of one that is not known (`VARIES`, the CM of old versions, a field of 2.9).
pub fn absent(path: &Path) -> Option<Absent> {
    let (segment, field) = (path.segment?, path.field);
    if let Some(last) = last_field_before(segment, field) {
        let hint = format!("its last is {segment}-{last}; a component stands behind a dot, as in `PID-5.1`");
        return Some(Absent { message: format!("{segment} has no field {field}"), hint });
    }
    let types = NAMES.segments.get(segment.as_str())?.types(field);
    let component = path.component?;
    let whole = format!("{segment}-{field}");
    if let Some(absent) = behind_last(&whole, "component", component, &types) {
        return Some(absent);
    }
    let inside: Vec<&str> = types.iter().flat_map(|name| types_inside(name, component)).collect();
    behind_last(&format!("{whole}.{component}"), "subcomponent", path.subcomponent?, &inside)
}

/// What is wrong with part `n` of something that was of these types.
fn behind_last(whole: &str, level: &str, n: u16, types: &[&'static str]) -> Option<Absent> {
    if WIDER.iter().any(|(wider, last)| *wider == whole && n <= *last) {
        return None;
    }
    let counts: Option<Vec<(u16, &str)>> = types.iter().map(|name| Some((parts(name)?, *name))).collect();
    let (last, name) = counts?.into_iter().max_by_key(|(count, _)| *count).filter(|(last, _)| n > (*last).max(1))?;
    Some(match last {
        0 => Absent {
            message: format!("{whole} has no {level}s: {name} is one value"),
            hint: format!("write `{whole}`"),
        },
        _ => Absent {
            message: format!("{whole} has no {level} {n}: {name} has {last}"),
            hint: format!("its last is {whole}.{last}"),
        },
    })
}

/// How many components a data type has; none when that is not known.
fn parts(data_type: &str) -> Option<u16> {
    let found = NAMES.types.get(data_type).filter(|_| !["VARIES", "CM"].contains(&data_type))?;
    Some(found.parts.last().map_or(0, |part| part.0))
}

/// The types that component `n` of a data type has been; a plain value is its own first component.
fn types_inside(data_type: &'static str, n: u16) -> Vec<&'static str> {
    match NAMES.types.get(data_type) {
        Some(found) if !found.parts.is_empty() => found.types(n),
        _ => vec![data_type],
    }
}

/// What a code of a table means: `F` of table 1 is `Female`. Known for the tables that HL7 defines, and for the
/// user-defined ones that every site uses alike; of other tables a site's own codes would be told wrong.
pub fn meaning(table: u16, code: &str) -> Option<&'static str> {
    NAMES.codes.get(&(table, code)).copied()
}

struct Names {
    versions: Vec<&'static str>,
    segments: HashMap<&'static str, Thing>,
    types: HashMap<&'static str, Thing>,
    codes: HashMap<(u16, &'static str), &'static str>,
}

/// A thing's definitions with the version from which each is right, in order.
type History = Vec<(Version, &'static str)>;

/// A segment or a data type.
struct Thing {
    titles: History,
    /// By number, in order. A definition is `CX/203 Name`.
    parts: Vec<(u16, History)>,
}

impl Thing {
    fn part(&self, version: Version, n: u16) -> Option<Element> {
        let found = self.parts.binary_search_by_key(&n, |part| part.0).ok()?;
        let (since, definition) = at(&self.parts[found].1, version)?;
        let (kind, name) = definition.split_once(' ')?;
        let (data_type, table) = kind.split_once('/').unwrap_or((kind, ""));
        Some(Element { name, data_type, table: table.parse().ok(), since })
    }

    /// Every data type that part `n` has been.
    fn types(&self, n: u16) -> Vec<&'static str> {
        let history = self.parts.iter().filter(|part| part.0 == n).flat_map(|part| &part.1);
        history.filter_map(|(_, definition)| definition.split([' ', '/']).next()).collect()
    }
}

/// The definition of a version; the first one when the version is older than that.
fn at(history: &History, version: Version) -> Option<(Version, &'static str)> {
    let after = history.partition_point(|(since, _)| *since <= version);
    history.get(after.saturating_sub(1)).copied()
}

impl Names {
    /// Reads the table; the form of its lines is in `generate.mjs`. Lines of another form are passed over.
    fn read(text: &'static str) -> Names {
        let mut names =
            Names { versions: Vec::new(), segments: HashMap::new(), types: HashMap::new(), codes: HashMap::new() };
        let (mut map, mut last, mut table) = (&mut names.segments, "", None);
        for line in text.lines() {
            let (head, rest) = line.split_once('\t').unwrap_or((line, ""));
            match (head.split_once(' '), table) {
                (Some(("V", versions)), _) => names.versions = versions.split(' ').collect(),
                (Some((sign @ ("S" | "D"), name)), _) => {
                    map = if sign == "S" { &mut names.segments } else { &mut names.types };
                    map.insert(name, Thing { titles: history(rest), parts: Vec::new() });
                    (last, table) = (name, None);
                }
                (Some(("T", number)), _) => table = number.parse().ok(),
                (None, Some(table)) => {
                    names.codes.insert((table, head), rest);
                }
                (None, None) => {
                    if let (Some(thing), Ok(n)) = (map.get_mut(last), head.parse()) {
                        thing.parts.push((n, history(rest)));
                    }
                }
                (Some(_), _) => {}
            }
        }
        names
    }
}

/// Definitions separated by tabs, each behind the letter of its version: `aCK Patient ID`, `cCX Patient ID`.
fn history(text: &'static str) -> History {
    let entry = |entry: &'static str| Some((Version(entry.bytes().next()?.checked_sub(b'a')?), entry.get(1..)?));
    text.split('\t').filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(version: &str, segment: &str, n: u16, expected: &str) {
        let found = field(Version::of(version), segment, n);
        let text = found.map(|it| format!("{} {} {:?} {}", it.data_type, it.name, it.table, it.since.name()));
        assert_eq!(text.as_deref().unwrap_or("none"), expected, "{segment}-{n} of {version}");
    }

    #[test]
    fn versions() {
        for (text, expected) in [
            ("2.4", "2.4"),
            (" 2.5.1 ", "2.5.1"),
            ("2.3.2", "2.3.1"),
            ("2.8.2", "2.8"),
            ("2.10", "2.8"),
            ("2.0", "2.1"),
            ("2", "2.1"),
            ("", "2.5.1"),
            ("v2.4", "2.5.1"),
        ] {
            assert_eq!(Version::of(text).name(), expected, "{text}");
        }
    }

    #[test]
    fn fields_as_each_version_has_them() {
        check("2.1", "PID", 3, "CK Patient id internal None 2.1");
        check("2.4", "PID", 3, "CX Patient Identifier List None 2.3.1");
        check("2.3", "PID", 2, "CX Patient ID (External ID) None 2.3");
        check("2.2", "PID", 3, "CM_PAT_ID Patient ID (Internal ID) None 2.2");
        check("2.3", "MRG", 7, "XPN Prior Patient Name None 2.3");
        check("2.8", "OBR", 7, "DTM Observation Date/Time None 2.6");
        check("2.3", "PID", 8, "IS Sex Some(1) 2.3");
        check("2.8", "PID", 8, "CWE Administrative Sex Some(1) 2.7");
        check("2.8", "OBX", 5, "VARIES Observation Value None 2.2");
        // Of a later version than the message's.
        check("2.4", "PID", 39, "CWE Tribal Citizenship Some(171) 2.5");
        check("2.4", "PID", 99, "none");
        check("2.4", "ZTM", 1, "ST Teams to add None 2.1");
        check("2.4", "ZZZ", 1, "none");
    }

    #[test]
    fn segments_types_and_codes() {
        let version = Version::of("2.4");
        assert_eq!(segment(version, "PID"), Some("Patient Identification"));
        assert_eq!(segment(version, "SPM"), Some("Specimen"));
        assert_eq!(segment(version, "???"), None);
        assert_eq!(data_type(version, "XPN"), Some("Extended Person Name"));
        assert_eq!(component(version, "CX", 4).unwrap().name, "Assigning Authority");
        assert_eq!(component(version, "CX", 4).unwrap().data_type, "HD");
        assert_eq!(component(version, "ST", 1), None);
        assert!(is_primitive("ST") && !is_primitive("CX") && !is_primitive("VARIES") && !is_primitive("XX"));
        assert_eq!(meaning(1, "F"), Some("Female"));
        assert_eq!(meaning(3, "A28"), Some("Add person information"));
        assert_eq!(meaning(1, "X"), None);
        // A user-defined table: sites have codes of their own.
        assert_eq!(meaning(189, "N"), None);
    }

    #[test]
    fn what_no_version_has_is_told() {
        let told = |path: &str| match absent(&Path::parse(path).unwrap()) {
            Some(absent) => format!("{} ({})", absent.message, absent.hint),
            None => String::new(),
        };
        assert_eq!(told("PV1-44.9"), "PV1-44 has no component 9: TS has 2 (its last is PV1-44.2)");
        assert_eq!(told("PV1-2.1.4"), "PV1-2.1 has no subcomponents: ST is one value (write `PV1-2.1`)");
        assert_eq!(told("PID-1.2"), "PID-1 has no components: SI is one value (write `PID-1`)");
        assert_eq!(told("PID-3[NHS].4.5"), "PID-3.4 has no subcomponent 5: HD has 3 (its last is PID-3.4.3)");
        assert!(told("PV1-60").starts_with("PV1 has no field 60 (its last is PV1-54"));
        // A plain value is its own first component; IS became CWE; OBX-5 is anything; a CM had parts that nobody counted.
        for path in
            ["PID-1.1.1", "PV1-2.2", "PID-3.4.3", "OBX-5.90.9", "OBX-4.4", "OBX-3.1.2", "ZTM-9.9", "ZZZ-1.1", "PID-5"]
        {
            assert_eq!(told(path), "", "{path}");
        }
    }

    /// Every type a field or component names is one of the table, every number comes in order, and every line counts.
    #[test]
    fn the_table_is_whole() {
        let text = include_str!("dictionary/names.txt");
        assert!(text.len() < 250_000);
        let (mut parts, latest) = (0, Version(NAMES.versions.len() as u8 - 1));
        for (name, thing) in NAMES.segments.iter().chain(&NAMES.types) {
            assert!(!thing.titles.is_empty(), "{name}");
            assert!(thing.parts.is_sorted_by(|one, next| one.0 < next.0), "{name}");
            for (n, history) in &thing.parts {
                assert!(history.is_sorted_by(|one, next| one.0 < next.0), "{name}-{n}");
                for (since, _) in history {
                    let element = thing.part(*since, *n).unwrap();
                    assert!(NAMES.types.contains_key(element.data_type), "{name}-{n}");
                    assert!(*since <= latest && !element.name.is_empty(), "{name}-{n}");
                }
            }
            parts += thing.parts.len();
        }
        let tables = text.lines().filter(|line| line.starts_with("T ")).count();
        let lines = NAMES.segments.len() + NAMES.types.len() + parts + NAMES.codes.len() + tables;
        assert_eq!(lines + 2, text.lines().count());
    }
}
