//! Appointments of HL7's guide (SIU): one rule a test, by the mapping files themselves.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::guide_tests::GUIDE;
use super::*;
use crate::fhir::{self, Json};
use crate::hl7v2::{Message, ParseOptions, Zone};

/// What the guide makes of a message of these segments; every resource is valid.
pub(super) fn made(event: &str, segments: &str) -> Bundled {
    let text = format!("MSH|^~\\&|PAS|RXX|F|P|20260102||{event}|1|P|2.5\r{segments}");
    let message = Message::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
    let zone = Zone::named("Europe/London").unwrap();
    let made = resources(&GUIDE, &message, &zone).unwrap();
    for resource in &made.resources {
        assert_eq!(fhir::check(resource), [], "{resource}");
    }
    made
}

/// Every resource of a type.
pub(super) fn all<'b>(made: &'b Bundled, kind: &str) -> Vec<&'b Json> {
    made.resources.iter().filter(|one| one.str_at("resourceType") == Some(kind)).collect()
}

/// The only resource of a type.
pub(super) fn one<'b>(made: &'b Bundled, kind: &str) -> &'b Json {
    let found = all(made, kind);
    assert_eq!(found.len(), 1, "{kind}: {found:?}; {:?}", made.findings);
    found[0]
}

/// An element as text, `-` when it is not there.
pub(super) fn at(json: &Json, path: &str) -> String {
    json.at(path)
        .map_or_else(|| "-".to_owned(), |found| found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

const PID: &str = "PID|1||X1^^^RXX^MR||Doe^Jo\r";

fn appointment(event: &str, sch: &str, rest: &str) -> Json {
    let made = made(event, &format!("SCH|{sch}\r{rest}"));
    one(&made, "Appointment").clone()
}

/// SCH with a time, a duration and SCH-25.
fn with_status(status: &str) -> String {
    format!("A1^PAS|F1^PAS|||||||30|min|^^^20260701093000||||||||||||||{status}")
}

#[test]
fn the_status_is_what_sch_25_says_and_the_event_allows() {
    for (event, told, expected) in [
        ("SIU^S12", "", "booked"),
        ("SIU^S12", "Pending", "pending"),
        ("SIU^S12", "CONFIRMED^Confirmed", "booked"),
        ("SIU^S14", "NOSHOW", "noshow"),
        ("SIU^S14", "CANCELED", "cancelled"),
        ("SIU^S13", "Waitlist", "waitlist"),
        ("SIU^S14", "started", "checked-in"),
        ("SIU^S14", "Complete", "fulfilled"),
        ("SIU^S14", "Deleted", "entered-in-error"),
        ("SIU^S15", "", "cancelled"),
        ("SIU^S15", "Booked", "cancelled"),
        ("SIU^S15", "NOSHOW", "noshow"),
        ("SIU^S16", "", "cancelled"),
        ("SIU^S17", "Booked", "entered-in-error"),
        ("SIU^S23", "", "booked"),
        ("SIU^S24", "Booked", "cancelled"),
        ("SIU^S26", "Booked", "noshow"),
    ] {
        assert_eq!(at(&appointment(event, &with_status(told), PID), "status"), expected, "{event} {told}");
    }
    let unknown = made("SIU^S12", &format!("SCH|{}\r{PID}", with_status("Overbook")));
    assert_eq!(at(one(&unknown, "Appointment"), "status"), "booked");
    assert!(unknown.findings.iter().any(|finding| finding.path == "SCH[1]: SCH-25.1"), "{:?}", unknown.findings);
}

#[test]
fn a_lone_start_gets_its_end_from_the_duration() {
    let times = |sch: &str, rest: &str| {
        let made = appointment("SIU^S12", sch, &format!("{PID}RGS|1\r{rest}"));
        (at(&made, "start"), at(&made, "end"))
    };
    let pair = |start: &str, end: &str| (start.to_owned(), end.to_owned());
    let half_hour = pair("2026-07-01T08:30:00.000Z", "2026-07-01T09:00:00.000Z");
    assert_eq!(times("A|F|||||||30|min|^^^20260701093000", ""), half_hour);
    assert_eq!(times("A|F|||||||1800|s|^^^20260701093000", ""), half_hour);
    assert_eq!(times("A|F|||||||||^^M30^20260701093000", ""), half_hour);
    assert_eq!(times("A|F|||||||||^^^20260701093000^20260701100000", ""), half_hour);
    // An end before the start is none.
    assert_eq!(times("A|F|||||||30|min|^^^20260701093000^20260701080000", ""), half_hour);
    assert_eq!(times("A|F|||||||||^^^20260701093000", "AIS|1||X|20260701090000|||30|min\r"), half_hour);
    assert_eq!(times("A|F", "AIS|1|A|X|20260701093000|||30|min\r"), half_hour);
    assert_eq!(times("A|F", "AIP|1||9^Dr|||20260701093000|||30|min\r"), half_hour);
    assert_eq!(times("A|F|||||||30|min", "AIL|1||R1|||20260701093000\r"), half_hour);
    // Fields left out by their sender.
    assert_eq!(times("A|F|||||||30|min", "AIS|1|CT^Scan^L|20260701093000\r"), half_hour);
    assert_eq!(times("A|F", "AIS|1|A|X|20260701093000|30|min\r"), half_hour);
    assert_eq!(times("A|F||||||^^^20260701093000|30|min", ""), half_hour);
}

#[test]
fn an_appointment_ends_with_the_last_of_its_services() {
    let services = "RGS|1\rAIS|1|A|XR^Xray^L|20260701090000|||30|MIN\rAIS|2|A|CT^CT^L|20260701093000|||30|MIN\r";
    let made = appointment("SIU^S12", "A|F|||||||||^^^20260701090000", &format!("{PID}{services}"));
    assert_eq!(
        (at(&made, "start"), at(&made, "end")),
        ("2026-07-01T08:00:00.000Z".into(), "2026-07-01T09:00:00.000Z".into())
    );
}

#[test]
fn tq1_gives_the_times_when_sch_11_does_not() {
    let tq1 = format!("TQ1|1||||||20260701100000|20260701103000\r{PID}");
    let made = appointment("SIU^S12", "A|F", &tq1);
    assert_eq!(
        (at(&made, "start"), at(&made, "end")),
        ("2026-07-01T09:00:00.000Z".into(), "2026-07-01T09:30:00.000Z".into())
    );
    // The end of another start is not taken.
    let made = appointment("SIU^S12", "A|F|||||||||^^^20260702100000", &tq1);
    assert_eq!((at(&made, "start"), at(&made, "end")), ("2026-07-02T09:00:00.000Z".into(), "-".into()));
}

#[test]
fn a_time_that_nobody_told_is_told_to_be_unknown() {
    let made = appointment("SIU^S12", "A|F|||||||||^^^20260701093000", PID);
    assert_eq!(at(&made, "_end.extension[0].valueCode"), "unknown");
    assert_eq!(at(&made, "_start"), "-");
    // A number without its unit is no duration.
    let made = appointment("SIU^S12", "A|F|||||||30||^^^20260701093000", PID);
    assert_eq!((at(&made, "end"), at(&made, "minutesDuration")), ("-".into(), "-".into()));
    let made = appointment("SIU^S12", "A|F", PID);
    assert_eq!(at(&made, "_start.extension[0].valueCode"), "unknown");
}

#[test]
fn of_a_mere_date_the_day_is_kept_and_no_time_of_the_day_is_invented() {
    let made = appointment("SIU^S12", "A|F|||||||30|min|^^^20260701", PID);
    assert_eq!((at(&made, "start"), at(&made, "_start.extension[0].valueCode")), ("-".into(), "unknown".into()));
    assert_eq!(at(&made, "requestedPeriod[0].start"), "2026-07-01");
    let timed =
        appointment("SIU^S12", "A|F|||||||30|min|^^^20260701", &format!("{PID}RGS|1\rAIS|1||X|20260701093000\r"));
    assert_eq!(at(&timed, "start"), "2026-07-01T08:30:00.000Z");
}

#[test]
fn minutes_are_minutes_only_when_sch_10_says_so() {
    let minutes = |sch: &str| at(&appointment("SIU^S12", sch, PID), "minutesDuration");
    assert_eq!(minutes("A|F|||||||45|MIN|^^^20260701093000"), "45");
    assert_eq!(minutes("A|F|||||||1800|s|^^^20260701093000"), "30");
    assert_eq!(minutes("A|F|||||||1.5|h|^^^20260701093000"), "90");
    assert_eq!(minutes("A|F|||||||45|sessions|^^^20260701093000"), "-");
    assert_eq!(minutes("A|F|||||||90|s|^^^20260701093000"), "-");
}

#[test]
fn reasons_and_types_go_by_their_table() {
    let made = |seven_and_eight: &str| appointment("SIU^S12", &format!("A|F|||||{seven_and_eight}"), PID);
    let by_table = made("CHECKUP^Check^HL70276|Normal^Routine^HL70277");
    assert_eq!(at(&by_table, "reasonCode[0].coding[0].code"), "866149003");
    assert_eq!(at(&by_table, "reasonCode[0].coding[1].code"), "CHECKUP");
    assert_eq!(at(&by_table, "appointmentType.coding[0].system"), "http://terminology.hl7.org/CodeSystem/v2-0277");
    let swapped = made("Tentative^^HL70277|FOLLOWUP^^HL70276");
    assert_eq!(at(&swapped, "appointmentType.coding[0].code"), "Tentative");
    assert_eq!(at(&swapped, "reasonCode[0].coding[0].code"), "FOLLOWUP");
    let own = made("^Knee hurts|FU^Follow up^LOCAL");
    assert_eq!(at(&own, "reasonCode[0].text"), "Knee hurts");
    assert_eq!(at(&own, "appointmentType.text"), "Follow up");
}

#[test]
fn participants_have_a_status_and_their_own_times() {
    let made = made(
        "SIU^S14",
        &format!(
            "SCH|A|F|||||||30|min|^^^20260701093000|P1^Placer||||F1^Filler||||E1^Enterer\r{PID}RGS|1\r\
             AIP|1|A|D1^Doctor|ATND^Attending|||5|min|20|min||Tentative\rAIP|2|D|D2^Other\r\
             AIL|1|A|CLIN^^^RXX||||||||||Booked\rAIG|1||EQ1^Scanner|EQUIP^Equipment||||20260701093000|||10|min\r"
        ),
    );
    let made = one(&made, "Appointment");
    let all = |element: &str| -> Vec<String> {
        (0..8).map(|index| at(made, &format!("participant[{index}].{element}"))).collect()
    };
    assert_eq!(
        all("status"),
        ["accepted", "accepted", "accepted", "accepted", "tentative", "declined", "accepted", "accepted"]
    );
    assert_eq!(all("type[0].text")[1..3], ["placer contact", "filler contact"]);
    assert_eq!(at(made, "participant[3].type[0].coding[0].code"), "enterer");
    assert_eq!(at(made, "participant[4].period.start"), "2026-07-01T08:35:00.000Z");
    assert_eq!(at(made, "participant[7].actor.display"), "Scanner");
    assert_eq!(at(made, "participant[7].period.end"), "2026-07-01T08:40:00.000Z");
}

#[test]
fn an_appointment_without_a_patient_is_legal() {
    let made = appointment("SIU^S23", "A|F|||||||30|min|^^^20260701093000", "");
    assert_eq!(at(&made, "participant[0].status"), "needs-action");
    let made = appointment("SIU^S12", "A|F|||||||30|min|^^^20260701093000", "RGS|1\rAIP|1||D1^Doctor\r");
    assert_eq!(at(&made, "participant[0].status"), "accepted");
}

#[test]
fn notes_of_every_level_are_the_comment_and_their_author_stays() {
    let made = appointment(
        "SIU^S12",
        "A|F|||||||30|min|^^^20260701093000",
        &format!("NTE|1||Bring a list~of medicines||N1^Nurse|20260101\r{PID}RGS|1\rAIS|1||X\rNTE|1||Fasting\r"),
    );
    assert_eq!(at(&made, "comment"), "Bring a list\nof medicines\nFasting");
    assert_eq!(at(&made, "extension[1].valueAnnotation.time"), "2026-01-01");
    assert_eq!(at(&made, "extension[2]"), "-");
}

#[test]
fn the_order_of_an_appointment_is_a_request() {
    let made = made(
        "SIU^S12",
        &format!(
            "SCH|A|F|||||||30|min|^^^20260701093000|||||||||||||||O1^PAS|R1^RIS\r{PID}RGS|1\r\
             AIS|1||CT1^CT chest^L|20260701093000|||20|min\r"
        ),
    );
    let request = one(&made, "ServiceRequest");
    assert_eq!(at(request, "identifier[0].value"), "O1");
    assert_eq!(at(request, "identifier[1].value"), "R1");
    assert_eq!(at(request, "code.text"), "CT chest");
    assert_eq!(at(request, "occurrencePeriod.end"), "2026-07-01T08:50:00.000Z");
    let id = request.str_at("id").unwrap();
    assert_eq!(at(one(&made, "Appointment"), "basedOn[0].reference"), format!("ServiceRequest/{id}"));
}
