//! Cost is linear in the length of a message, whatever its shape and whatever a mapping asks (architecture.md, invariant 7).

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use super::guide_tests::GUIDE;
use super::tests::{ORU, feed, message};
use super::*;
use crate::hl7v2::Zone;
use crate::record::{Decision, View, Wanted, decide, preview};

/// 2026-06-01T00:00:00Z.
const NOW: i64 = 1_780_272_000_000_000;

/// Segments in the shorter message.
const FEW: usize = 1_000;
/// How many times as long the longer one is: what is quadratic takes 256 times as long.
const LONGER: usize = 16;
/// How many times as long it may take; the rest is for a busy machine.
const SLOWER_MAX: u32 = 80;

/// Runs `work` for a few segments and for many, and holds the times against each other.
fn is_linear(what: &str, work: impl Fn(usize)) {
    let time = |count| {
        let started = Instant::now();
        work(count);
        started.elapsed()
    };
    let few = time(FEW).max(Duration::from_millis(5));
    let many = time(FEW * LONGER);
    assert!(many < few * SLOWER_MAX, "{what}: {few:?} for {FEW}, {many:?} for {}", FEW * LONGER);
}

/// A segment for each number.
fn each(count: usize, segments: impl Fn(usize) -> String) -> String {
    (0..count).map(segments).collect()
}

#[test]
fn cost_is_linear_in_the_number_of_results() {
    let feed = feed(ORU);
    let of = |orders: usize, results: usize| {
        let result = |order: usize| each(results, |result| format!("OBX|{result}|NM|T{order}-{result}^t||1\r"));
        let text = each(orders, |order| format!("OBR|{order}||F1||||2026\r{}", result(order)));
        translate(&feed, &message("ORU^R01", &text), NOW).unwrap().update.changes.len()
    };
    // Both would run for minutes if a look-up went through the whole message.
    assert_eq!(of(1, 20_000), 20_000);
    assert_eq!(of(20_000, 1), 20_000);
}

/// Asks in every scope about the whole message: where nothing is found, and where all is alike.
const ASKING: &str = r#"profile = "phr"
[[message]]
events = ["ORU^R01"]
patient = { policy = "match", rows = "patient" }
checks = [
  { each = "OBR", if = [{ absent = "ORC[*]-3.1" }, { absent = "OBR[*]-3.1" }], refuse = "no number" },
  { each = "OBR/OBX", if = { valued = "OBX[*]-21" }, refuse = "no" },
  { each = "OBR/OBX", if = { path = "OBX[*]-21", in = ["x"] }, refuse = "no" },
  { each = "OBR/OBX", if = { after = ["OBX[*]-19", "OBX[9]-19"] }, refuse = "no" },
  { each = "OBR/OBX", if = { loose = "OBX" }, refuse = "no" },
  { each = "OBR/OBX", if = { differ = ["OBR-3.1", "OBR[*]-3.1", "OBX[*]-11"] }, refuse = "no" },
]
write = [{ resource = "Observation", policy = "replace", each = "OBR/OBX", key = [["OBR[60000]-3.1", "OBR[*]-3.1"], "OBX-3.1"], rows = "result", when = { absent = "OBX[*]-21" } }]
[rows]
patient = [{ to = "active", value = true }]
result = [
  { to = "status", value = "final" },
  { to = "code.text", from = ["OBX[*]-21", "OBX[60000]-3", "OBX-3"] },
  { to = "note.text", lines = ["NTE-3"] },
]
"#;

#[test]
fn cost_is_linear_when_every_scope_asks_about_the_whole_message() {
    let feed = feed(ASKING);
    is_linear("phr", |count| {
        // OBX-21 is there and says nothing.
        let of = |n| format!("OBR|{n}||F1||||2026\rOBX|{n}|NM|T{n}^t||1||||||F1|||||||||\"\"\r");
        let translated = translate(&feed, &message("ORU^R01", &each(count, of)), NOW).unwrap();
        assert_eq!(translated.update.changes.len(), count);
    });
}

#[test]
fn cost_is_linear_by_the_guide() {
    let zone = Zone::named("Europe/London").unwrap();
    let of = |event: &'static str, before: &'static str, segments: fn(usize) -> String| {
        let zone = &zone;
        move |count| {
            let text = format!("{before}{}", each(count / 4, segments));
            assert!(!resources(&GUIDE, &message(event, &text), zone).unwrap().resources.is_empty());
        }
    };
    let order = "OBR|1||F1|P^P|||2026\r";
    is_linear("texts", of("ORU^R01", order, |n| format!("OBX|{n}|TX|T{n}^t||line||||||F\r")));
    is_linear("one text", of("ORU^R01", order, |n| format!("OBX|{n}|TX|T^t||line||||||F\rNTE|1||note\r")));
    is_linear(
        "results of a specimen",
        of("ORU^R01", "OBR|1||F1|P^P|||2026\rSPM|1|S1\r", |n| format!("OBX|{n}|TX|T{n}^t||line||||||F\r")),
    );
    is_linear("results of a visit", of("ADT^A01", "PV1|1|I\r", |n| format!("OBX|{n}|TX|T{n}^t||line||||||F\r")));
}

/// A report that every order adds to, with what deletes it.
const SUM: &str = r#"profile = "phr"
[[message]]
events = ["ORU^R01"]
patient = { policy = "merge", rows = "patient" }
write = [
  { resource = "DiagnosticReport", policy = "delete", each = "OBR", when = { path = "OBR-25.1", in = ["R"] }, group = ["OBR-3.1"], whole-group = true, key = [["OBR-3.1"]] },
  { resource = "Observation", policy = "replace", each = "OBR/OBX", when = { path = "OBR-25.1", not-in = ["R"] }, group = ["OBR-3.1"], key = ["OBR-3.1", "OBX-3.1"], rows = "result" },
  { resource = "DiagnosticReport", policy = "replace", each = "OBR", when = { path = "OBR-25.1", not-in = ["R"] }, group = ["OBR-3.1"], key = ["OBR-3.1"], rows = "panel", sum = true },
]
[rows]
patient = [{ to = "active", value = true }]
panel = [
  { to = "status", value = "final" },
  { to = "code.text", value = "panel" },
  { to = "conclusion", from = "OBR-13" },
  { to = "result", each = "OBX", refer = "Observation", key = ["OBR-3.1", "OBX-3.1"] },
]
result = [{ to = "status", value = "final" }, { to = "code.text", from = "OBX-3.2" }]
"#;

/// Decides a message of these segments and makes its effects visible to the next.
fn decided(feed: &Feed, view: &mut View, segments: &str) -> Decision {
    let update = translate(feed, &message("ORU^R01", segments), NOW).unwrap().update;
    let mut wanted = Wanted::default();
    wanted.add(&update);
    wanted.groups.into_iter().for_each(|group| _ = view.groups.entry(group).or_default());
    let decision = decide(view, &update, "1");
    assert_eq!(decision.refusal, None);
    view.apply(&decision.effects);
    decision
}

#[test]
fn cost_is_linear_for_a_report_that_every_order_adds_to() {
    let feed = feed(SUM);
    is_linear("report", |count| {
        let order = |n| format!("OBR|{n}||F1||||2026||||||note {n}\rOBX|{n}|NM|T{n}^t||1\r");
        let text = each(count / 2, order);
        let mut view = View::default();
        let made = decided(&feed, &mut view, &text);
        let report = made.effects.points.iter().find(|head| head.resource_type == "DiagnosticReport").unwrap();
        assert_eq!(report.body.get("result").unwrap().as_array().unwrap().len(), count / 2);
        assert!(report.body.str_at("conclusion").unwrap().starts_with("note 0\nnote 1\n"));
        let update = translate(&feed, &message("ORU^R01", &text), NOW).unwrap().update;
        let (_, _, shown) = preview(&update).into_iter().find(|(kind, ..)| *kind == "DiagnosticReport").unwrap();
        assert_eq!(shown.get("result"), report.body.get("result"));
        // All of it goes once, however often that is asked for.
        let deleted = decided(&feed, &mut view, &each(count / 2, |n| format!("OBR|{n}||F1{}R\r", "|".repeat(22))));
        assert_eq!(deleted.effects.points.iter().filter(|head| head.deleted).count(), count / 2 + 1);
    });
}

#[test]
fn what_is_kept_in_less_memory_is_the_same() {
    let feed = feed(ORU);
    let of = |n| format!("OBX|{n}|NM|T{n}^t||1.50\r");
    let many = translate(&feed, &message("ORU^R01", &format!("OBR|1||F1||||2026\r{}", each(300, of))), NOW).unwrap();
    for (n, change) in many.update.changes.iter().enumerate() {
        assert_eq!(change.text.is_some(), change.assignments.is_empty());
        assert_eq!(change.text.is_some(), n >= 256);
        let alone = translate(&feed, &message("ORU^R01", &format!("OBR|1||F1||||2026\r{}", of(n))), NOW).unwrap();
        assert_eq!(alone.update.changes[0].id, change.id);
        assert_eq!(alone.update.changes[0].resource(), change.resource());
    }
}
