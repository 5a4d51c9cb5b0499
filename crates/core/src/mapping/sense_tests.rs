//! Mappings that are well written and cannot work: paths that no version of HL7 v2 has, conditions that never hold, rows
//! that never run.

#![allow(clippy::unwrap_used)]

use super::compile;
use super::tests::library;

/// What is told of a mapping of HL7's guide with these writes and rows, for these events.
fn told(events: &str, write: &str, rows: &str) -> Vec<String> {
    let text = format!(
        "profile = \"v2-to-fhir\"\n[[message]]\nevents = [{events}]\nwrite = [\n  {write},\n]\n[rows]\npatient = [\n  {rows},\n]\n"
    );
    let (library, mut problems) = library(&[("m.toml", &text)], &[]);
    compile(&library, "m", &mut problems);
    problems.into_vec().iter().map(ToString::to_string).collect()
}

const PATIENT: &str = r#"{ resource = "Patient", each = "PID", rows = "patient" }"#;

fn row(row: &str) -> Vec<String> {
    told(r#""ADT^A01""#, PATIENT, row)
}

#[test]
fn paths_that_no_version_has() {
    for (given, expected) in [
        (
            r#"{ to = "name.text", from = "PV1-44.9" }"#,
            "m.toml:9:30: `PV1-44.9`: PV1-44 has no component 9: TS has 2 (hint: its last is PV1-44.2; a site's own: `segments = [\"PV1\"]` at the top of the file)",
        ),
        (
            r#"{ to = "name.text", from = "PV1-2.1.4" }"#,
            "m.toml:9:30: `PV1-2.1.4`: PV1-2.1 has no subcomponents: ST is one value (hint: write `PV1-2.1`; ",
        ),
        (r#"{ to = "name.text", from = "PID-41" }"#, "m.toml:9:30: `PID-41`: PID has no field 41 (hint: its last is"),
        (
            r#"{ to = "name", from = "PID-5[*]", rows = "name" }, ] name = [{ to = "text", from = ".99" }"#,
            "`.99`: PID-5 has no component 99: XPN has 15",
        ),
        (
            r#"{ to = "active", value = true, when = { valued = "PID-8.1.2" } }"#,
            "m.toml:9:52: `PID-8.1.2`: PID-8.1 has no subcomponents",
        ),
    ] {
        let found = row(&given.replace(", ] ", ",\n]\n"));
        assert!(found[0].contains(expected), "{given}\n{expected}\n{found:#?}");
    }
    // Types that grew, OBX-5 of any type, the components of OBX-4 since 2.8.2.
    for path in ["PV1-2.2", "OBX-5.7.3", "OBX-4.2", "PV1-3.4.2", "PID-1.1"] {
        assert_eq!(row(&format!(r#"{{ to = "name.text", from = "{path}" }}"#)), [""; 0], "{path}");
    }
    let own = r#"{ to = "name.text", from = "PV1-2.1.4" }"#;
    let text = format!(
        "profile = \"v2-to-fhir\"\nsegments = [\"PV1\"]\n[[message]]\nevents = [\"ADT^A01\"]\nwrite = [{PATIENT}]\n[rows]\npatient = [{own}]\n"
    );
    let (library, mut problems) = library(&[("m.toml", &text)], &[]);
    assert!(compile(&library, "m", &mut problems).is_some(), "{problems:?}");
}

#[test]
fn a_condition_that_asks_nothing() {
    let when = |when: &str| row(&format!(r#"{{ to = "active", value = true, when = {{ {when} }} }}"#));
    for (given, expected) in [
        (r#"vallued = "DG1-3""#, "m.toml:9:43: unknown key `vallued` (hint: did you mean `valued`?)"),
        (r#"xyz = "DG1-3""#, "m.toml:9:43: unknown key `xyz` (hint: it asks one of: valued, absent, no-quantity, "),
        (r#"in = ["R"]"#, "m.toml:9:41: a condition says nothing (hint: it asks one of: valued, "),
        ("", "m.toml:9:41: a condition says nothing (hint: it asks one of: valued, "),
    ] {
        let found = when(given);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{given}\n{expected}\n{found:#?}");
    }
}
