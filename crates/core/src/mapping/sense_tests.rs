//! Mappings that are well written and cannot work: paths that no version of HL7 v2 has, conditions that never hold, rows
//! that never run.

#![allow(clippy::unwrap_used)]

use super::tests::library;
use super::{compile, unreachable};

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

#[test]
fn conditions_that_no_message_meets() {
    let never = "this never holds for ADT^A01, so it is never reached (hint: correct it, or do it in the `[[message]]`";
    let name = |when: &str| format!(r#"{{ to = "active", value = true, when = {when} }}"#);
    for (when, column) in [
        (r#"{ path = "MSH-9.2", in = ["A08"] }"#, 41),
        (r#"{ path = "MSH-9.1", in = ["ORU"] }"#, 41),
        (r#"{ path = "MSH-9.2", not-in = ["A01", "A04"] }"#, 41),
        (r#"[{ valued = "PID-8" }, { path = "MSH-9.1", in = ["ORU"] }]"#, 64),
        (r#"{ valued = "SCH" }"#, 41),
        (r#"{ count = "SCH", above = 0 }"#, 41),
        (r#"{ within = ["SCH", "TXA"] }"#, 41),
    ] {
        let found = row(&name(when));
        assert!(found.len() == 1 && found[0].starts_with(&format!("m.toml:9:{column}: {never}")), "{when}\n{found:#?}");
    }
    for when in [
        r#"{ path = "MSH-9.2", in = ["A01"] }"#,
        r#"{ path = "MSH-9.2", not-in = ["A08"] }"#,
        r#"{ absent = "SCH" }"#,
        r#"{ path = "MSH-11.1", in = ["P"] }"#,
    ] {
        assert_eq!(row(&name(when)), [""; 0], "{when}");
    }
    // One event of several is enough, but all conditions on the way must hold for it.
    let a08 = name(r#"{ path = "MSH-9.2", in = ["A08"] }"#);
    assert_eq!(told(r#""ADT^A01", "ADT^A08""#, PATIENT, &a08), [""; 0]);
    let write = PATIENT.replace(" }", r#", when = { path = "MSH-9.2", in = ["A01"] } }"#);
    let found = told(r#""ADT^A01", "ADT^A08""#, &write, &a08);
    assert!(found.len() == 1 && found[0].starts_with(&format!("m.toml:9:41: {never}")), "{found:#?}");
    // A write that is never made is told, and nothing of its rows.
    let write = PATIENT.replace(" }", r#", when = { path = "MSH-9.2", in = ["A02"] } }"#);
    let found = told(r#""ADT^A01", "ADT^A08""#, &write, &a08);
    assert!(
        found.len() == 1 && found[0].starts_with("m.toml:5:66: this never holds for ADT^A01, ADT^A08, "),
        "{found:#?}"
    );
    // The condition of a `use` is told where it stands.
    let using = "{ use = \"more\", when = { path = \"MSH-9.2\", in = [\"A08\"] } },\n]\nmore = [\n  { to = \"active\", value = true }";
    let found = row(using);
    assert!(found.len() == 1 && found[0].starts_with(&format!("m.toml:9:26: {never}")), "{found:#?}");
    let check = "profile = \"phr\"\n[[message]]\nevents = [\"ADT^A28\"]\npatient = { policy = \"merge\", rows = \"p\" }\n\
                 checks = [{ if = { path = \"MSH-9.2\", in = [\"A31\"] }, refuse = \"no\" }]\n[rows]\np = [{ to = \"active\", value = true }]\n";
    let (library, mut problems) = library(&[("m.toml", check)], &[]);
    compile(&library, "m", &mut problems);
    assert!(problems.into_vec()[0].to_string().starts_with("m.toml:5:18: this never holds for ADT^A28, "));
}

#[test]
fn shared_rows_are_in_vain_when_no_mapping_needs_them() {
    let mapping = |event: &str| {
        format!(
            "profile = \"v2-to-fhir\"\ninclude = [\"shared.toml\"]\n[[message]]\nevents = [\"ADT^{event}\"]\nwrite = [{PATIENT}]\n"
        )
    };
    let shared =
        "[rows]\npatient = [{ to = \"active\", value = true, when = { path = \"MSH-9.2\", in = [\"A08\"] } }]\n";
    let told = |events: &[&str]| -> Vec<String> {
        let texts: Vec<(String, String)> =
            events.iter().map(|event| (format!("{event}.toml"), mapping(event))).collect();
        let mut files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push(("shared.toml", shared));
        let (library, mut problems) = library(&files, &[]);
        let plans: Vec<_> = events.iter().filter_map(|event| compile(&library, event, &mut problems)).collect();
        assert_eq!(plans.len(), events.len());
        unreachable(&plans, &mut problems);
        problems.into_vec().iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&["A01", "A08"]), [""; 0]);
    let found = told(&["A01", "A04"]);
    assert!(found.len() == 1 && found[0].starts_with("shared.toml:2:50: this never holds for ADT^A01, "), "{found:#?}");
}

#[test]
fn rows_that_never_run() {
    let second = r#"{ to = "name.text", from = "PID-5.1", fallback = true }"#;
    let after = |first: &str| row(&format!("{first},\n  {second}"));
    for first in [
        r#"{ to = "name.text", value = "x" }"#,
        // A fallback looks at the element, whatever part of it is filled.
        r#"{ to = "name.use", value = "usual" }"#,
        r#"{ to = "name.text", from = "PID-5.2", default = "x" }"#,
        "{ to = \"name.text\", from = \"PID-5.2\" },\n  { to = \"name.text\", value = \"x\", fallback = true }",
    ] {
        let found = after(first);
        assert!(
            found.len() == 1
                && found[0].contains(": `name` is always filled at m.toml:")
                && found[0].contains("so this row never runs (hint: put this row first"),
            "{first}\n{found:#?}"
        );
    }
    for first in [
        r#"{ to = "name.text", from = "PID-5.2" }"#,
        r#"{ to = "name.text", value = "x", when = { valued = "PID-6" } }"#,
        r#"{ to = "name.text", value = "x", each = "NK1" }"#,
        r#"{ to = "gender", value = "other" }"#,
    ] {
        assert_eq!(after(first), [""; 0], "{first}");
    }
    let found = row("{ to = \"gender\", value = \"other\" },\n  { to = \"gender\", value = \"male\" }");
    assert_eq!(
        found,
        [
            "m.toml:9:3: what this row fills is always replaced at m.toml:10:3 (hint: leave one of the rows out, or give the later one `fallback = true`)"
        ]
    );
}
