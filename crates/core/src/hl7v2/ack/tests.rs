//! Answers as their senders see them.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::hl7v2::ParseOptions;

/// 2024-04-03T09:30:15.000042Z
const NOW: i64 = 1_712_136_615_000_042;

fn message(text: &'static str) -> Message {
    Message::parse(text.into(), &ParseOptions::default()).unwrap()
}

fn check(ack: &[u8], expected: &str) {
    assert_eq!(String::from_utf8_lossy(ack), expected);
}

#[test]
fn accepted() {
    let to = message("MSH|^~\\&|PAS^1^ISO|RXX|HL7API|PKB|20240403||ADT^A28|ID 1|T|2.5\r");
    check(
        &render(Some(&to), &Ack { code: AckCode::AA, reason: None, error: None }, NOW),
        "MSH|^~\\&|FAIRWAY|PKB|PAS^1^ISO|RXX|20240403093015+0000||ACK^A28|FW-20240403093015000042|T|2.5\r\
         MSA|AA|ID 1\r",
    );
}

#[test]
fn a_reason_is_escaped_in_the_senders_delimiters() {
    let to = message("MSH$*~\\@$PAS\rEVN$A31\r");
    let text = Some("a|b$c*d\re".to_owned());
    check(
        &render(Some(&to), &Ack { code: AckCode::AR, reason: text, error: None }, NOW),
        "MSH$*~\\@$FAIRWAY$FAIRWAY$PAS$$20240403093015+0000$$ACK*A31$FW-20240403093015000042$P$2.4\r\
         MSA$AR$$Parsing or validation error: a|b\\F\\c\\S\\d\\X0D\\e\r",
    );
}

#[test]
fn unreadable_bytes_are_answered() {
    let ack = Ack { code: AckCode::AE, reason: Some("no".to_owned()), error: None };
    let plain = "MSH|^~\\&|FAIRWAY|FAIRWAY|||20240403093015+0000||ACK|FW-20240403093015000042|P|2.4\r\
                 MSA|AE||Unexpected error while processing: no\r";
    check(&render(None, &ack, NOW), plain);
    for frame in ["", "MSH", "MSH|", "garbage", "MSHxyz"] {
        check(&render_unparsed(frame.as_bytes(), &ack, NOW), plain);
    }
    let named = plain.replace("MSA|AE||", "MSA|AE|ID7|");
    check(&render_unparsed(b"MSH||PAS|RXX|||2024||ADT^A28|ID7|P", &ack, NOW), &named);
    check(&render_unparsed(b"junk\rMSH|^~\\&|PAS|RXX|||2024||ADT^A28|ID7", &ack, NOW), &named);
}

#[test]
fn what_is_repeated_is_bounded() {
    let long = format!("MSH|^~\\&|||||||ADT^A28|{}\r", "x".repeat(100_000));
    let to = Message::parse(long.into(), &ParseOptions::default()).unwrap();
    let ack = render(Some(&to), &Ack { code: AckCode::AA, reason: None, error: None }, NOW);
    assert!(ack.len() < 1000);
}

#[test]
fn the_answer_is_a_message() {
    let to = message("MSH|^~\\&#|PAS|RXX|||2024||SIU^S12|9|P|2.8|||||||8859/1\rPV1||\u{e9}\r");
    let ack = Ack { code: AckCode::AR, reason: Some("SCH-1.1 is missing".to_owned()), error: None };
    let bytes = render(Some(&to), &ack, NOW);
    let answer = Message::parse(bytes.into(), &ParseOptions::default()).unwrap();
    assert_eq!(answer.warnings(), []);
    assert_eq!(answer.text("MSA-3").as_deref(), Some("Parsing or validation error: SCH-1.1 is missing"));
    assert_eq!(answer.text("MSA-2").as_deref(), Some("9"));
}

fn asking(asked: &str, version: &str) -> Message {
    let text = format!(
        "MSH|^~\\&|PAS|RXX|||2024||ORU^R01|9|P|{version}|||{asked}\rPID|||1\rOBR|1||F1\rOBX|1\rOBR|2||F1\rOBX|1\r"
    );
    Message::parse(text.into(), &ParseOptions::default()).unwrap()
}

fn rejected(reason: &str, error: ErrorCode) -> Ack {
    Ack { code: AckCode::AR, reason: Some(reason.to_owned()), error: Some(error) }
}

/// MSA-1 of each answer.
fn codes(asked: &str, ack: &Ack, kept: bool) -> Vec<String> {
    let to = asking(asked, "2.4");
    let answers = answers(&to, ack, AckStyle::Strict, kept, NOW);
    let parsed = |bytes: Vec<u8>| Message::parse(bytes.into(), &ParseOptions::default()).unwrap();
    let parsed: Vec<Message> = answers.into_iter().map(parsed).collect();
    let ids: Vec<_> = parsed.iter().map(|answer| answer.control_id().into_owned()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    parsed.iter().filter_map(|answer| answer.text("MSA-1")).collect()
}

#[test]
fn each_mode_answers_what_is_asked_for() {
    let good = Ack { code: AckCode::AA, reason: None, error: None };
    let bad = rejected("PID-7.1 is no date", ErrorCode::DataType);
    for (asked, accepted, refused) in [
        ("|", "AA", "AR"),
        ("\"\"|", "AA", "AR"),
        ("AL|AL", "CA AA", "CA AR"),
        ("AL|NE", "CA", "CA"),
        ("NE|AL", "AA", "AR"),
        ("NE|NE", "", ""),
        ("ER|ER", "", "AR"),
        ("SU|SU", "CA AA", "CA"),
        ("|SU", "AA", ""),
        ("|ER", "", "AR"),
        // Without MSH-16 the accept acknowledgement is the only answer, so it tells what became of the message.
        ("AL|", "CA", "CR"),
        ("ER|", "", "CR"),
        ("what|ever", "CA AA", "CA AR"),
    ] {
        assert_eq!(codes(asked, &good, true).join(" "), accepted, "{asked}");
        assert_eq!(codes(asked, &bad, true).join(" "), refused, "{asked}");
    }
    let failed = Ack { code: AckCode::AE, reason: Some("x".to_owned()), error: None };
    assert_eq!(codes("AL|AL", &failed, true), ["CA", "AE"]);
    assert_eq!(codes("AL|AL", &failed, false), ["CE", "AE"]);
    assert_eq!(codes("AL|NE", &failed, false), ["CE"]);
    // Only on demand is a sender left without any answer.
    let nothing = answers(&asking("NE|NE", "2.5"), &bad, AckStyle::Standard, true, NOW).concat();
    assert!(String::from_utf8(nothing).unwrap().contains("MSA|AR|9|"));
    assert_eq!(answers(&asking("AL|AL", "2.5"), &good, AckStyle::Standard, true, NOW).len(), 2);
    let plain = answers(&asking("AL|AL", "2.5"), &bad, AckStyle::Plain, true, NOW).concat();
    let plain = String::from_utf8(plain).unwrap();
    assert!(plain.ends_with("MSA|AR|9|Parsing or validation error: PID-7.1 is no date\r"), "{plain}");
}

fn error_segment(reason: &str, error: ErrorCode, version: &str) -> String {
    let bytes = render(Some(&asking("|", version)), &rejected(reason, error), NOW);
    let text = String::from_utf8(bytes).unwrap();
    text.split('\r').find(|line| line.starts_with("ERR")).unwrap_or_default().to_owned()
}

#[test]
fn the_error_segment_has_the_form_of_the_senders_version() {
    let reason = "PID-7.1 is no date | at all";
    assert_eq!(error_segment(reason, ErrorCode::DataType, "2.1"), "");
    assert_eq!(error_segment(reason, ErrorCode::DataType, "?"), "");
    for version in ["2.3", "2.3.1", "2.4", "2.4^GBR"] {
        let expected = "ERR|PID^1^7^102&Data type error&HL70357";
        assert_eq!(error_segment(reason, ErrorCode::DataType, version), expected, "{version}");
    }
    for version in ["2.5", "2.5.1", "2.7", "2.8.2"] {
        let expected = r"ERR||PID^1^7^1^1|102^Data type error^HL70357|E||||PID-7.1 is no date \F\ at all";
        assert_eq!(error_segment(reason, ErrorCode::DataType, version), expected, "{version}");
    }
}

#[test]
fn the_error_segment_names_the_place() {
    let place = |reason: &str| {
        let segment = error_segment(reason, ErrorCode::RequiredField, "2.5");
        segment.split('|').nth(2).unwrap_or_default().to_owned()
    };
    assert_eq!(place("PID-3[2].1 is wrong"), "PID^1^3^2^1");
    assert_eq!(place("PID-5.2.1 (given name) must be provided"), "PID^1^5^1^2^1");
    assert_eq!(place("PID-3: nobody has it"), "PID^1^3^1");
    assert_eq!(place("PID-13, PID-14: on another record"), "PID^1^13^1");
    assert_eq!(place("AL1: not handled"), "AL1^1");
    assert_eq!(place("OBR[2]: no time"), "OBR^2");
    // The first result of the second order is the second OBX of the message.
    assert_eq!(place("OBR[2].OBX[1]: No observation timestamp in OBX or OBR"), "OBX^2");
    assert_eq!(place("OBR[2].OBX[1]: OBX-8[1] is no code"), "OBX^2^8^1");
    assert_eq!(place("OBR[2]: OBR-16.2 must be provided"), "OBR^2^16^1^2");
    assert_eq!(place("OBX[2]-5 is no document"), "OBX^2^5^1");
    assert_eq!(place("the message is no good"), "");
    assert_eq!(error_segment("no place", ErrorCode::Internal, "2.4"), "ERR|^^^207&Application internal error&HL70357");
}
