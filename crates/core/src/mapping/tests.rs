//! Mapping files with one fault each, and what messages become under small mappings.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use fairway_care::{LabelSet, Organisation, Team, TeamKind};

use super::*;
use crate::fhir::Json;
use crate::hl7v2::{Message, ParseOptions, Zone};
use crate::record::{IdentifierKind, preview};
use crate::source::{Problems, Source};

/// 2026-06-01T00:00:00Z.
const NOW: i64 = 1_780_272_000_000_000;

const HEAD: &str = r#"profile = "phr"
[[message]]
events = ["ADT^A28"]
patient = { policy = "merge", rows = "patient" }
"#;

pub(super) fn library(files: &[(&str, &str)], codes: &[(&str, &str)]) -> (Library, Problems) {
    let mut problems = Problems::default();
    let sources = |files: &[(&str, &str)]| -> Vec<(String, Arc<Source>)> {
        files
            .iter()
            .map(|(name, text)| {
                ((*name).to_owned(), Arc::new(Source { name: (*name).to_owned(), text: (*text).to_owned() }))
            })
            .collect()
    };
    let library = Library::new(sources(files), sources(codes), &mut problems);
    (library, problems)
}

/// The problems of a mapping whose text follows [`HEAD`].
fn problems(text: &str) -> Vec<String> {
    let codes = [("sex.csv", "code,value,system,display\nM,male,,\nX,mail,,\n")];
    let (library, mut problems) = library(&[("m.toml", &format!("{HEAD}{text}"))], &codes);
    let plan = compile(&library, "m", &mut problems);
    let found: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    assert_eq!(plan.is_none(), !found.is_empty());
    found
}

#[test]
fn every_fault_of_a_mapping_has_its_place_and_a_hint() {
    let row = |row: &str| problems(&format!("[rows]\npatient = [\n  {row},\n]\n"));
    assert_eq!(row(r#"{ to = "birthDate", from = "PID-7.1", as = "date" }"#), Vec::<String>::new());
    assert!(row(r#"{ to = "birthDate.foo", from = "PID-7.1" }"#)[0].contains("end the path before it"));
    for (given, expected) in [
        (
            r#"{ to = "birthDat", from = "PID-7.1" }"#,
            "m.toml:7:10: Patient has no element `birthDat` (hint: did you mean `birthDate`?)",
        ),
        (
            r#"{ to = "name.familiy", from = "PID-5.1" }"#,
            "m.toml:7:10: HumanName has no element `familiy` (hint: did you mean `family`?)",
        ),
        (
            r#"{ to = "birthDate", from = "PID-7.1", as = "date-time" }"#,
            "m.toml:7:10: `date-time` makes dateTime, and this is a date (hint: fitting here: date)",
        ),
        (
            r#"{ to = "active", from = "PID-7.1", as = "bolean" }"#,
            "m.toml:7:43: unknown conversion `bolean` (hint: did you mean `boolean`?)",
        ),
        (
            r#"{ to = "gender", from = "PID-8.1", codes = "sexx" }"#,
            "m.toml:7:46: there is no code set `sexx` (hint: did you mean `sex`?)",
        ),
        (
            r#"{ to = "gender", from = "PID-8.1", codes = "sex" }"#,
            "sex.csv:3:1: `X` becomes `mail`, which m.toml:7:46 cannot take (hint: one of: ",
        ),
        (
            r#"{ to = "gender", value = "mal" }"#,
            "m.toml:7:28: `mal` is not in the required value set of this element (hint: did you mean `male`?)",
        ),
        (
            r#"{ to = "gender", from = "PID-8.1" }"#,
            "m.toml:7:10: a code with a required binding needs a code set (hint: add `codes = \"…\"`)",
        ),
        (
            r#"{ to = "active", value = "yes" }"#,
            "m.toml:7:28: this value does not fit a boolean (hint: write `true` or `false` without quotes)",
        ),
        (r#"{ to = "birthDate", value = "yesterday" }"#, "m.toml:7:31: this value does not fit a date: "),
        (
            r#"{ to = "active", value = true, from = "PID-1" }"#,
            "m.toml:7:3: a row has one source, and this has `from` and `value` (hint: keep one of them)",
        ),
        (
            r#"{ to = "gender", from = "PID-8.1", codes = "sex", as = "text" }"#,
            "m.toml:7:3: `codes` and `as` exclude each other (hint: keep one of them)",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", when = { count = "NK1" } }"#,
            "m.toml:7:60: `count` needs `above` or `below` (hint: add e.g. `above = 0`",
        ),
        (
            r#"{ to = "telecom", from = "PID-13", as = "contact-point", with = "hom" }"#,
            "m.toml:7:67: `hom` is not in the required value set of this element (hint: did you mean `home`?)",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", when = { valued = "PID-5", absent = "PID-6" } }"#,
            "m.toml:7:50: a condition asks one thing, and this asks `valued` and `absent` (hint: write a list",
        ),
        (
            r#"{ to = "name.family", from = "PIB-5.1" }"#,
            "m.toml:7:33: unknown segment `PIB` (hint: did you mean `PID`? Or a segment of your own is declared",
        ),
        (
            r#"{ to = "name.family", from = "ZPV-1", when = { count = "ZPW", above = 0 } }"#,
            "m.toml:7:59: unknown segment `ZPW` (hint: a segment of your own is declared at the top of the file: `segments = [\"ZPW\"]`)",
        ),
        (
            r#"{ to = "name.family", each = "OBC", from = "PID-5.1" }"#,
            "m.toml:7:33: unknown segment `OBC` (hint: did you",
        ),
        (
            r#"{ to = "name.family", from = "PID-71" }"#,
            "m.toml:7:32: `PID-71`: PID has no field 71 (hint: its last is PID-40",
        ),
        (
            r#"{ to = "name.family", from = "TXA-5.1" }"#,
            "m.toml:7:32: ADT^A28 never holds TXA-5: its messages have no TXA (hint: read another segment",
        ),
        (
            r#"{ to = "birthDate[1]", from = "PID-7.1", as = "date" }"#,
            "m.toml:7:10: `birthDate` does not repeat (hint: leave the index out)",
        ),
        (
            r#"{ to = "name.family", form = "PID-5.1" }"#,
            "m.toml:7:10: the row has no source (hint: add `from`, `lines`, `value`, `rows` or `refer`)",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", labl = "x" }"#,
            "m.toml:7:43: unknown key `labl` (hint: did you mean `label`?)",
        ),
        (r#"{ to = "name", rows = "nobody" }"#, "m.toml:7:25: there are no rows `nobody` (hint: there are: patient)"),
        (r#"{ to = "contact", rows = "patient" }"#, "m.toml:7:28: rows `patient` contain themselves"),
        (
            r#"{ to = "managingOrganization", refer = "Organisation", key = "PV1-3.4" }"#,
            "m.toml:7:42: `Organisation` is no FHIR R4 resource type that Fairway knows (hint: did you mean `Organization`?)",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", need = "often" }"#,
            "m.toml:7:50: unknown need `often` (hint: write `create`, `always` or `rows`)",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", issue = "none" }"#,
            "m.toml:7:51: `issue` is told when a default is used, and the row has none (hint: add `default",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", unit = "PID-6" }"#,
            "m.toml:7:50: `text` takes no `unit` (hint: it is for `quantity` and `minutes`)",
        ),
        (
            r#"{ to = "name.family", from = "PID-5.1", when = { outside = "OBC" } }"#,
            "m.toml:7:63: unknown segment `OBC` (hint: did you mean",
        ),
        (r#"{ to = "name.family", from = "PID-5.1", when = { valued = "P" } }"#, "m.toml:7:62:"),
        (
            r#"{ to = "name.family", from = ".1" }"#,
            "m.toml:7:32: `.1` names no segment (hint: write e.g. `PID-5.1`; `.1` is for rows that a row with `from` names)",
        ),
        (
            r#"{ to = "multipleBirthInteger", from = "PID-25.1", as = "minutes" }"#,
            "m.toml:7:10: `minutes` makes positiveInt or unsignedInt, and this is a integer",
        ),
        (
            r#"{ to = "deceasedDateTime", from = "PID-29.1", as = "date-time", plus = [["PID-25.1", "PID-26.1"]] }"#,
            "m.toml:7:74: `plus` adds a duration to a time (hint: add `as = \"instant\"`, or leave it out)",
        ),
        (
            r#"{ to = "deceasedDateTime", from = "PID-29.1", as = "instant", plus = ["PID-25.1"] }"#,
            "m.toml:7:73: a duration is a number and its unit",
        ),
        (
            r#"{ to = "gender", from = "PID-8.1", any-case = true, codes = "sexes" }"#,
            "m.toml:7:63: there is no code set `sexes`",
        ),
        (r#"{ to = "name.family", from = "PID-5.1", any-case = true }"#, "m.toml:7:43: unknown key `any-case`"),
        (r#"{ to = "active", value = true, when = { time = "PID" } }"#, "m.toml:7:54: `PID` is no HL7 path"),
        (r#"{ to = "_name.extension", rows = "nobody" }"#, "m.toml:7:10: Patient has no element `_name`"),
    ] {
        let found = row(given);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{given}\n{expected}\n{found:#?}");
    }
    // What a message of the type may not hold can still be asked for, to refuse it.
    let refused = r#"checks = [{ if = { valued = "SCH-1" }, refuse = "SCH: not here" }]"#;
    let rows = "[rows]\npatient = [{ to = \"active\", value = true }]\n";
    assert_eq!(problems(&format!("{refused}\n{rows}")), Vec::<String>::new());
    // A bad path points at the fault inside it.
    let found = row(r#"{ to = "name.family", from = "PID-x.1" }"#);
    assert!(found[0].starts_with("m.toml:7:3") && found[0].contains("is no HL7 path"), "{found:?}");
}

#[test]
fn faults_of_writes_and_files() {
    let rows = "[rows]\npatient = [{ to = \"active\", value = true }]\n";
    let write =
        |write: &str| problems(&format!("write = [{write}]\n{rows}a = [{{ to = \"status\", value = \"booked\" }}]\n"));
    for (given, expected) in [
        (
            r#"{ resource = "Apointment", policy = "replace", key = "SCH-1.1", rows = "a" }"#,
            "m.toml:5:23: `Apointment` is no FHIR R4 resource type that Fairway knows (hint: did you mean `Appointment`?)",
        ),
        (
            r#"{ resource = "Appointment", policy = "upsert", key = "SCH-1.1", rows = "a" }"#,
            "m.toml:5:47: unknown policy `upsert` (hint: write `replace`, `merge`, `set`, `append` or `delete`)",
        ),
        (
            r#"{ resource = "Appointment", policy = "replace", rows = "a" }"#,
            "m.toml:5:10: `key` is missing: the sender's id",
        ),
        (
            r#"{ resource = "Appointment", policy = "replace", key = "SCH-1.1", rows = "a" }"#,
            "m.toml:5:82: no row fills `participant`, which FHIR requires of Appointment (hint: add a row with `to = \"participant\"`)",
        ),
        (
            r#"{ resource = "Appointment", policy = "replace", key = [], rows = "a" }"#,
            "m.toml:5:64: the key has no part (hint: name the sender's id",
        ),
        (
            r#"{ resource = "Appointment", policy = "replace", key = "PV1-1", label = ["a", "b"], rows = "a" }"#,
            "m.toml:5:87: more labels than parts of the key (hint: give one label for each part)",
        ),
        (
            r#"{ resource = "Appointment", policy = "set", key = "SCH-1.1", rows = "a" }"#,
            "m.toml:5:47: policy `set` needs `only`",
        ),
        (
            r#"{ resource = "Appointment", policy = "append", key = "SCH-1.1", rows = "a" }"#,
            "m.toml:5:47: policy `append` needs `item`",
        ),
    ] {
        let found = write(given);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{given}\n{expected}\n{found:#?}");
    }
    let unused = problems(&format!("{rows}spare = [{{ to = \"active\", value = true }}]\n"));
    assert_eq!(unused, ["m.toml:7:1: rows `spare` are used nowhere (hint: use them or delete them)"]);
    let include = problems(&format!("{rows}[extra]\n"));
    assert!(include[0].starts_with("m.toml:7:2: unknown key `extra`"), "{include:?}");
    let (library, mut problems) = library(&[("appointments.toml", HEAD)], &[]);
    assert!(compile(&library, "apointments", &mut problems).is_none());
    assert_eq!(
        problems.into_vec()[0].to_string(),
        "there is no mapping `apointments` (hint: did you mean `appointments`?)"
    );
}

#[test]
fn a_mapping_changes_rows_of_the_one_it_is_based_on() {
    let base = r#"profile = "phr"
[[message]]
events = ["ADT^A31"]
patient = { policy = "merge", rows = "person" }
[rows]
person = [
  { to = "name.family", from = "PID-5.1" },
  { to = "gender", value = "unknown" },
  { to = "birthDate", from = "PID-7.1", as = "date" },
]
"#;
    let derived = |text: &str| {
        let (library, mut problems) = library(&[("base.toml", base), ("own.toml", text)], &[]);
        let plan = compile(&library, "own", &mut problems);
        (plan, problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (plan, problems) = derived(
        "base = \"base\"\n[change.person]\nremove = [\"birthDate\"]\nreplace = [{ to = \"gender\", value = \"other\" }]\n\
         add = [{ to = \"name.given[0]\", from = \"PID-5.2\" }]\n",
    );
    assert_eq!(problems, [""; 0]);
    let message = "MSH|^~\\&|A|B|C|D|20260101||ADT^A31|1|P|2.4\rPID|||1^^^X^MR||Doe^Ann||19700101\r";
    let message = Message::parse(Bytes::from(message), &ParseOptions::default()).unwrap();
    let feed = Feed { plan: Arc::new(plan.unwrap()), ..feed(base) };
    let update = translate(&feed, &message, NOW).unwrap().update;
    let mut patient = Json::Object(Default::default());
    crate::record::apply(&update.patient.assignments, &mut patient, &[]);
    assert_eq!(patient.to_string(), r#"{"name":[{"family":"Doe","given":["Ann"]}],"gender":"other"}"#);
    for (text, expected) in [
        ("base = \"bas\"\n", "own.toml:1:8: there is no mapping `bas` (hint: did you mean `base`?)"),
        ("base = \"own\"\n", "own.toml:1:8: `own` is based on itself (hint: base it on another mapping)"),
        (
            "base = \"base\"\n[change.persons]\nremove = [\"gender\"]\n",
            "own.toml:2:9: the mapping has no rows `persons` (hint: did you mean `person`?)",
        ),
        (
            "base = \"base\"\n[change.person]\nremove = [\"gende\"]\n",
            "own.toml:3:11: rows `person` have no row with `to = \"gende\"` (hint: did you mean `gender`?)",
        ),
        (
            "base = \"base\"\n[change.person]\nreplace = [{ from = \"PID-5.1\" }]\n",
            "own.toml:3:12: what replaces a row says which by its `to`",
        ),
        ("base = \"base\"\n[change.person]\n", "the change changes nothing (hint: write `add`, `replace` or `remove`)"),
        (
            "base = \"base\"\n[change.person]\nadd = [{ to = \"nam.text\", from = \"PID-5.1\" }]\n",
            "own.toml:3:15: Patient has no element `nam` (hint: did you mean `name`?)",
        ),
        ("base = \"base\"\n[change.person]\nad = 1\n", "unknown key `ad` (hint: did you mean `add`?)"),
    ] {
        let (plan, problems) = derived(text);
        assert!(
            plan.is_none() && problems.iter().any(|problem| problem.contains(expected)),
            "{expected}\n{problems:#?}"
        );
    }
}

#[test]
fn a_mapping_asks_its_own_code_sets() {
    let base = r#"profile = "phr"
[[message]]
events = ["ADT^A31"]
patient = { policy = "merge", rows = "person" }
[rows]
person = [{ to = "gender", from = "PID-8.1", codes = "sex" }]
"#;
    let own = |codes: &str| {
        let text = format!("base = \"base\"\n[codes]\n{codes}\n");
        let sets = [
            ("sex.csv", "code,value,system,display\nM,male,,\n"),
            ("own.csv", "code,value,system,display\n1,male,,\n"),
        ];
        let (library, mut problems) = library(&[("base.toml", base), ("own.toml", &text)], &sets);
        let plan = compile(&library, "own", &mut problems);
        (plan, problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (plan, problems) = own("sex = \"own\"");
    assert_eq!(problems, [""; 0]);
    let text = "MSH|^~\\&|A|B|C|D|20260101||ADT^A31|1|P|2.4\rPID|||1^^^X^MR|||||1\r";
    let message = Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
    let feed = Feed { plan: Arc::new(plan.unwrap()), ..feed(ORU) };
    let update = translate(&feed, &message, NOW).unwrap().update;
    assert_eq!(update.patient.assignments[0].value, Some(Json::string("male")));
    let (_, problems) = own("sexx = \"own\"");
    assert_eq!(
        problems,
        [
            "own.toml:3:1: no row of the mapping asks the code set `sexx` (hint: leave the line out, or correct the name)"
        ]
    );
    let (_, problems) = own("sex = \"onw\"");
    assert_eq!(problems, ["own.toml:3:7: there is no code set `onw` (hint: did you mean `own`?)"]);
}

#[test]
fn what_makes_no_sense_is_told() {
    let oru = |write: &str, rows: &str| {
        let text = format!(
            "profile = \"phr\"\n[[message]]\nevents = [\"ORU^R01\"]\npatient = {{ policy = \"match\", rows = \"p\" }}\n\
             write = [{write}]\n[rows]\np = [{{ to = \"active\", value = true }}]\n{rows}\n"
        );
        let (library, mut problems) = library(&[("m.toml", &text)], &[]);
        assert!(compile(&library, "m", &mut problems).is_none(), "{text}");
        problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let observation = "o = [{ to = \"status\", value = \"final\" }, { to = \"code.text\", from = \"OBX-3.2\" }]";
    let write = |rest: &str| {
        format!(r#"{{ resource = "Observation", policy = "replace", key = "OBX-3.1", rows = "o", {rest} }}"#)
    };
    let report = "{ resource = \"DiagnosticReport\", policy = \"replace\", key = \"OBR-3.1\", rows = \"r\" }";
    let rows = |row: &str| {
        format!(
            "r = [{{ to = \"status\", value = \"final\" }}, {{ to = \"code.text\", from = \"OBR-4.2\" }}, {row}]\n{observation}"
        )
    };
    for (write, rows, expected) in [
        (
            write(r#"each = "OBX/OBR""#),
            observation.to_owned(),
            ": ORU^R01: no OBR ever belongs to an OBX (hint: write `OBR/OBX` for the OBX of each OBR)",
        ),
        (
            write(r#"when = [{ valued = "OBX-5" }, { absent = "OBX-5" }]"#),
            observation.to_owned(),
            ": these conditions exclude each other, so this is never reached (hint: take one away)",
        ),
        (
            write(r#"item = "ADMITT""#),
            observation.to_owned(),
            ": `ADMITT` is no kind of event (hint: did you mean `ADMIT`?)",
        ),
        (
            format!("{report}, {}", write("")),
            rows(r#"{ to = "result", refer = "Observation", key = "OBX-3.2" }"#),
            "no write of this message makes Observation with the key OBX-3.2 (hint: its keys are: OBX-3.1)",
        ),
        (
            report.to_owned(),
            rows(r#"{ to = "category.text", value = "one" }, { to = "category", from = "OBR-24", as = "coded" }"#),
            "`category` is filled whole here, which replaces what line 8 puts into it (hint: fill each item with `to = \"category\"` and `rows`)",
        ),
        (
            format!("{report}, {}", write("")),
            rows(r#"{ to = "result", refer = "Patient", key = "OBX-3.1" }"#),
            "this element cannot refer to a Patient (hint: it refers to: Observation)",
        ),
        (
            report.to_owned(),
            rows(r#"{ to = "extension", rows = "e" }"#)
                .replace("o = [", "e = [{ to = \"valueString\", from = \"OBR-4.1\" }]\no = ["),
            "no row fills `url`, which FHIR requires of Extension (hint: add a row with `to = \"url\"`)",
        ),
    ] {
        let found = oru(&write, &rows);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}\n{found:#?}");
    }
    let guide = super::guide_language_tests::GUIDE
        .replace("refer = \"Patient\", of = \"PID\"", "refer = \"Group\", of = \"PID\"");
    let (library, mut found) = library(&[("m.toml", &guide)], &[]);
    assert!(compile(&library, "m", &mut found).is_none());
    let told: Vec<String> = found.into_vec().iter().map(ToString::to_string).collect();
    let expected = "no write of this message makes Group (hint: there are: Patient, Observation, DiagnosticReport)";
    assert!(told.iter().any(|problem| problem.contains(expected)), "{told:#?}");
    let empty = problems(
        "checks = [{ if = { valued = \"PID-3\" }, refuse = \" \" }]\n[rows]\npatient = [{ to = \"active\", value = true }]\n",
    );
    assert!(empty[0].contains("the refusal says nothing"), "{empty:?}");
}

#[test]
fn an_event_is_handled_in_one_place() {
    let rows = "[rows]\npatient = [{ to = \"active\", value = true }]\n";
    let second = |events: &str| {
        let message = "patient = { policy = \"merge\", rows = \"patient\" }";
        problems(&format!("[[message]]\nevents = [{events}]\n{message}\n{rows}"))
    };
    assert_eq!(second(r#""ADT^A31""#), Vec::<String>::new());
    let hint = "line 3 names it first; keep it in one `[[message]]`";
    assert_eq!(second(r#""ADT^A31", "ADT^A28""#), [format!("m.toml:6:22: ADT^A28 is handled already (hint: {hint})")]);
    assert_eq!(second(r#""ATD^A31""#), ["m.toml:6:11: HL7 v2 has no messages `ATD` (hint: did you mean `ADT^A31`?)"]);
    assert!(second(r#""ADT^A31^ADT_A05""#)[0].starts_with("m.toml:6:11: `ADT^A31^ADT_A05` is no message type"));
}

#[test]
fn a_site_declares_segments_of_its_own() {
    let text = |segments: &str| {
        format!(
            "{segments}\n{HEAD}[rows]\npatient = [{{ to = \"name.family\", from = [\"ZPV-1.1\", \"ZPV-300\", \"PID-70\"] }}]\n"
        )
    };
    let (library, mut found) = library(
        &[("good.toml", &text("segments = [\"ZPV\", \"PID\"]")), ("bad.toml", &text("segments = \"ZP\""))],
        &[],
    );
    assert!(compile(&library, "good", &mut found).is_some());
    assert!(compile(&library, "bad", &mut found).is_none());
    let found: Vec<String> = found.into_vec().iter().map(ToString::to_string).collect();
    assert!(found[0].starts_with("bad.toml:1:12: `ZP` is no segment name"), "{found:?}");
    assert_eq!(found.iter().filter(|problem| problem.contains("unknown segment `ZPV`")).count(), 2, "{found:?}");
}

#[test]
fn a_fault_is_told_once_and_nothing_that_follows_from_it() {
    let message = "profile = \"phr\"\ninclude = [\"shared.toml\"]\n[[message]]\nevents = [\"ADT^A28\"]\n\
                   patient = { policy = \"merge\", rows = \"patient\" }\n";
    let all = |shared: &str| -> Vec<String> {
        let (library, mut found) = library(&[("a.toml", message), ("b.toml", message), ("shared.toml", shared)], &[]);
        assert_eq!(library.names().collect::<Vec<_>>(), ["a", "b"]);
        for name in ["a", "b"] {
            assert!(compile(&library, name, &mut found).is_none());
        }
        found.into_vec().iter().map(ToString::to_string).collect()
    };
    let found = all("[rows]\npatient = [{ to = \"birthDat\", from = \"PID-7.1\" }]\n");
    assert_eq!(found, ["shared.toml:2:19: Patient has no element `birthDat` (hint: did you mean `birthDate`?)"]);
    let found = all("[rows\npatient = [{ to = \"birthDate\", from = \"PID-7.1\", as = \"date\" }]\n");
    assert!(found.len() == 1 && found[0].starts_with("shared.toml:1:6: unclosed table"), "{found:?}");
}

#[test]
fn a_file_without_messages_is_checked() {
    let (library, mut found) = library(&[("m.toml", "profile = \"phr\"\n[[mesage]]\n"), ("n.toml", "[rows]\n")], &[]);
    for name in library.names() {
        assert!(compile(&library, name, &mut found).is_none());
    }
    let found: Vec<String> = found.into_vec().iter().map(ToString::to_string).collect();
    assert_eq!(found[0], "m.toml:2:3: unknown key `mesage` (hint: did you mean `message`?)");
    assert!(found[1].starts_with("n.toml:1:1: `profile` is missing"), "{found:?}");
}

pub(super) fn feed(text: &str) -> Feed {
    let (library, mut problems) = library(&[("m.toml", text)], &[]);
    let plan = compile(&library, "m", &mut problems);
    assert_eq!(problems.into_vec(), []);
    let team = Team::new("PRT", "Patient Record Team", TeamKind::PatientRecord, LabelSet::NONE);
    Feed {
        name: "test".into(),
        plan: Arc::new(plan.unwrap()),
        organisation: Arc::new(Organisation::new("R", "R", vec![team]).unwrap()),
        identifiers: Arc::new([IdentifierType {
            authority: None,
            type_code: "MR".into(),
            system: "urn:mr".into(),
            kind: IdentifierKind::Local,
            check: Check::None,
        }]),
        zone: Zone::named("Europe/London").unwrap(),
        specialty_labels: Default::default(),
        service_labels: Default::default(),
        source_team: None,
        test_numbers_only: false,
        production_only: false,
    }
}

pub(super) const ORU: &str = r#"profile = "phr"
[[message]]
events = ["ORU^R01"]
patient = { policy = "match", rows = "patient" }
write = [{ resource = "Observation", policy = "replace", each = "OBR/OBX", key = ["OBR-3.1", "OBX-3.1"], rows = "result" }]
[rows]
patient = [{ to = "active", value = true }]
result = [
  { to = "status", value = "final" },
  { to = "code.text", from = "OBX-3.2" },
  { to = "effectiveDateTime", from = ["OBX-14.1", "OBR-7.1"], as = "date-time", need = "always", missing = "No time" },
  { to = "note.text", lines = ["NTE-3"] },
  { to = "value", from = "OBX-5", as = "observation-value" },
]
"#;

pub(super) fn message(event: &str, segments: &str) -> Message {
    let text = format!("MSH|^~\\&|A|B|C|D|20260101||{event}|1|P|2.4\rPID|||1^^^R^MR\r{segments}");
    Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap()
}

fn resources(feed: &Feed, message: &Message) -> Vec<Json> {
    preview(&translate(feed, message, NOW).unwrap().update).into_iter().map(|(_, _, json)| json).collect()
}

#[test]
fn a_result_never_borrows_from_another_order() {
    let feed = feed(ORU);
    let both = message(
        "ORU^R01",
        "ORC|RE\rOBR|1||F1||||202601010800\rNTE|1||of the order\rOBX|1|NM|A^a||1\rNTE|1||of a\rOBX|2|NM|B^b||2\r\
         OBR|2||F2||||202601020900\rOBX|1|NM|C^c||3|||||||||202601030700\rNTE|1||of c~second line\r",
    );
    let found = resources(&feed, &both);
    let row = |index: usize, path: &str| found[index].str_at(path).map(str::to_owned);
    assert_eq!(found.len(), 4);
    assert_eq!((row(1, "code.text"), row(1, "note[0].text")), (Some("a".into()), Some("of a".into())));
    assert_eq!((row(2, "code.text"), row(2, "note[0].text")), (Some("b".into()), None));
    assert_eq!((row(3, "code.text"), row(3, "note[0].text")), (Some("c".into()), Some("of c\nsecond line".into())));
    assert_eq!(row(1, "effectiveDateTime").unwrap(), "2026-01-01T08:00:00+00:00");
    assert_eq!(row(2, "effectiveDateTime").unwrap(), "2026-01-01T08:00:00+00:00");
    assert_eq!(row(3, "effectiveDateTime").unwrap(), "2026-01-03T07:00:00+00:00");
    // The second order has no time of its own and does not take the first one's.
    let without = message("ORU^R01", "OBR|1||F1||||202601010800\rOBX|1|NM|A^a||1\rOBR|2||F2\rOBX|1|NM|B^b||2\r");
    assert_eq!(translate(&feed, &without, NOW).unwrap_err().text, "OBR[2].OBX[1]: No time");
}

#[test]
fn one_message_is_about_one_patient() {
    let feed = feed(ORU);
    let two =
        message("ORU^R01", "OBR|1||F1||||2026\rOBX|1|NM|A^a||1\rPID|||2^^^R^MR\rOBR|1||F2||||2026\rOBX|1|NM|A^a||1\r");
    assert!(translate(&feed, &two, NOW).unwrap_err().text.starts_with("PID[2]:"));
}

#[test]
fn blank_null_and_default() {
    let feed = feed(
        r#"profile = "phr"
[[message]]
events = ["ADT^A28"]
patient = { policy = "merge", rows = "patient" }
[rows]
patient = [
  { to = "name.family", from = "PID-5.1" },
  { to = "birthDate", from = "PID-7.1", as = "date", null = "delete" },
  { to = "name.text", from = "PID-5.9", default = "someone" },
]
"#,
    );
    let shown = |segments: &str| -> Vec<String> {
        let text = format!("MSH|^~\\&|A|B|C|D|20260101||ADT^A28|1|P|2.4\r{segments}");
        let message = Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
        let update = translate(&feed, &message, NOW).unwrap().update;
        update
            .patient
            .assignments
            .iter()
            .map(|one| {
                let path: Vec<&str> = one.path.iter().map(|step| step.name).collect();
                let value = one.value.as_ref().map_or("deleted".to_owned(), ToString::to_string);
                format!("{} {value}{}", path.join("."), if one.is_default { " by default" } else { "" })
            })
            .collect()
    };
    assert_eq!(shown("PID|||1^^^R^MR\r"), ["name.text \"someone\" by default"]);
    assert_eq!(shown("PID|||1^^^R^MR||\"\"||\"\"\r"), ["birthDate deleted", "name.text \"someone\" by default"]);
    assert_eq!(
        shown("PID|||1^^^R^MR||Smith||1970\r"),
        ["name.family \"Smith\"", "birthDate \"1970\"", "name.text \"someone\" by default"]
    );
}

#[test]
fn unread_fields_are_counted_by_path() {
    let feed = feed(ORU);
    let message =
        message("ORU^R01", "PV1|1|O\rOBR|1||F1||||2026|||X\rOBX|1|NM|A^a^L||1|mg\rOBX|2|NM|B^b||2\rZZZ|1|y\r");
    assert_eq!(unmapped(&feed.plan, &message, None), ["PV1-2", "OBR-10", "OBX-3.3", "ZZZ-1", "ZZZ-2"]);
    // As many as there can be; each is looked up, not searched for.
    let message = self::message("ORU^R01", &format!("ZZZ{}\r", "|a".repeat(60_000)).repeat(5));
    assert_eq!(unmapped(&feed.plan, &message, None).len(), 60_000);
}
