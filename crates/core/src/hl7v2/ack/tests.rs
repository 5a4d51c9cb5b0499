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
        "MSH|^~\\&|HL7API|PKB|PAS^1^ISO|RXX|20240403093015+0000||ACK^A28|FW-20240403093015000042|T|2.5\r\
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
        check(&unparsed(frame.as_bytes(), &ack), plain);
    }
    let named =
        plain.replace("MSA|AE||", "MSA|AE|ID7|").replace("|||2024", "|PAS|RXX|2024").replace("|ACK|", "|ACK^A28|");
    // MSH-2 empty, forgotten, and as it should be.
    check(&unparsed(b"MSH||PAS|RXX|||2024||ADT^A28|ID7|P", &ack), &named);
    check(&unparsed(b"MSH|PAS|RXX|||2024||ADT^A28|ID7|P", &ack), &named);
    check(&unparsed(b"junk\rMSH|^~\\&|PAS|RXX|||2024||ADT^A28|ID7", &ack), &named);
}

fn unparsed(frame: &[u8], ack: &Ack) -> Vec<u8> {
    answers_unparsed(frame, ack, AckStyle::Standard, NOW).concat()
}

#[test]
fn an_unreadable_message_is_answered_in_the_version_and_to_the_sender_of_its_header() {
    let ack = Ack { code: AckCode::AE, reason: Some("cut off".to_owned()), error: Some(ErrorCode::Internal) };
    let frame = "MSH|^~\\&|PAS|RXX|HL7API|PKB|2024||ADT^A28^ADT_A05|ID7|T|2.5\rPID|||1\rMSH|^~\\&|OTHER\r";
    let expected = "MSH|^~\\&|HL7API|PKB|PAS|RXX|20240403093015+0000||ACK^A28|FW-20240403093015000042|T|2.5\r\
                    MSA|AE|ID7|Unexpected error while processing: cut off\r\
                    ERR|||207^Application internal error^HL70357|E||||cut off\r";
    check(&unparsed(frame.as_bytes(), &ack), expected);
    let plain = answers_unparsed(frame.as_bytes(), &ack, AckStyle::Plain, NOW).concat();
    check(&plain, expected.split_once("ERR").unwrap().0);
    // It counts as not kept where the sender asks for that.
    let enhanced = frame.replace("|2.5\r", "|2.5|||AL|NE\r");
    assert!(String::from_utf8(unparsed(enhanced.as_bytes(), &ack)).unwrap().contains("\rMSA|CE|ID7|"));
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let answer = expected.replace("|2.5\r", "|2.5||||||UNICODE UTF-16\r");
    assert_eq!(unparsed(&wide(frame), &ack), wide(&answer));
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
    for asked in ["NE|NE", "|NE", "NE|", "NE|ER", "ER|", "ER|NE", "ER|ER", "|ER", "SU|", "|SU", "SU|SU"] {
        for (ack, code) in [(&good, "AA"), (&bad, "AR")] {
            let strict = answers(&asking(asked, "2.5"), ack, AckStyle::Strict, true, NOW);
            let standard = answers(&asking(asked, "2.5"), ack, AckStyle::Standard, true, NOW);
            if strict.is_empty() {
                assert_eq!(standard.len(), 1, "{asked}");
                assert!(String::from_utf8(standard.concat()).unwrap().contains(&format!("MSA|{code}|9")), "{asked}");
            } else {
                assert_eq!(standard, strict, "{asked}");
            }
        }
    }
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
    for version in ["2.3", "2.3.1", "2.4", "2.4^GBR"] {
        let expected = "ERR|PID^1^7^102&Data type error&HL70357";
        assert_eq!(error_segment(reason, ErrorCode::DataType, version), expected, "{version}");
    }
    // What is no version is taken for the newest.
    for version in ["2.5", "2.5.1", "2.7", "2.8.2", "3.0", "x", "2."] {
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

#[test]
fn a_delimiter_that_the_sender_does_not_use_is_not_written() {
    let ack = rejected("PID-7.1 is no date", ErrorCode::MessageType);
    for (encoding, version, error) in [
        ("^~\\", "2.4", "ERR|PID^1^7^200\r"),
        ("^~", "2.3", "ERR|PID^1^7^200\r"),
        ("^", "2.4", "ERR|PID^1^7^200\r"),
        ("^", "2.5", "ERR||PID^1^7^1^1|200^Unsupported message type^HL70357|E||||PID-7.1 is no date\r"),
    ] {
        let to = format!("MSH|{encoding}|PAS|RXX|||2024||ORU^R01|9|P|{version}\rPID|||1\r");
        let to = Message::parse(to.into(), &ParseOptions::default()).unwrap();
        let answer = String::from_utf8(render(Some(&to), &ack, NOW)).unwrap();
        assert!(answer.ends_with(error), "{answer}");
        assert!(!answer.contains('\0') && answer.starts_with(&format!("MSH|{encoding}|")), "{answer:?}");
    }
}

#[test]
fn msh_2_comes_back_as_declared() {
    for encoding in ["^^\\&", "^~\\\\&", "\"\"", "^~\\&#"] {
        let to = Message::parse(format!("MSH|{encoding}|PAS\r").into(), &ParseOptions::default()).unwrap();
        let answer = render(Some(&to), &Ack { code: AckCode::AA, reason: None, error: None }, NOW);
        assert!(answer.starts_with(format!("MSH|{encoding}|").as_bytes()), "{encoding}");
    }
}

#[test]
fn an_acknowledgement_is_not_acknowledged() {
    let bad = rejected("MSH-9: no feed takes it", ErrorCode::MessageType);
    for code in ["ACK", "ACK^A28", "MCF^Q02"] {
        let to = format!("MSH|^~\\&|PAS|RXX|||2024||{code}|9|P|2.4\rMSA|AA|1\r");
        let to = Message::parse(to.into(), &ParseOptions::default()).unwrap();
        for style in [AckStyle::Standard, AckStyle::Strict, AckStyle::Plain] {
            assert!(answers(&to, &bad, style, true, NOW).is_empty(), "{code}");
        }
    }
}

/// The answer to a message with this MSH-3 and MSH-18, as its bytes.
fn answer_in(application: &[u8], label: &str) -> Vec<u8> {
    let label = if label.is_empty() { String::new() } else { format!("||||||{label}") };
    let bytes =
        [b"MSH|^~\\&|", application, b"|RXX|||2024||ADT^A28|9|P|2.4", label.as_bytes(), b"\rPID|||1\r"].concat();
    let to = Message::parse(bytes.into(), &ParseOptions::default()).unwrap();
    let ack = Ack { code: AckCode::AR, reason: Some("\u{eb}".to_owned()), error: None };
    render(Some(&to), &ack, NOW)
}

#[test]
fn the_answer_says_in_which_character_set_it_is() {
    let ends = |answer: Vec<u8>, label: &str, reason: &[u8]| {
        let msh = format!("|P|2.4{label}\r");
        let end = [msh.as_bytes(), b"MSA|AR|9|Parsing or validation error: ", reason, b"\r"].concat();
        assert!(answer.ends_with(&end), "{:?}", answer.escape_ascii().to_string());
        // What is said is true.
        let read = Message::parse(answer.into(), &ParseOptions::default()).unwrap();
        assert_eq!(read.warnings(), []);
    };
    ends(answer_in(b"Zo\xEB", "8859/1"), "||||||8859/1", b"\xEB");
    ends(answer_in(b"PAS", "8859/1"), "||||||8859/1", b"\xEB");
    ends(answer_in("Zo\u{eb}".as_bytes(), "UNICODE UTF-8"), "||||||UNICODE UTF-8", "\u{eb}".as_bytes());
    ends(answer_in("Zo\u{eb}".as_bytes(), ""), "||||||UNICODE UTF-8", "\u{eb}".as_bytes());
    ends(answer_in("Zo\u{eb}".as_bytes(), "8859/1"), "||||||UNICODE UTF-8", "\u{eb}".as_bytes());
    // Windows-1252 without a label: one set for what is repeated and what is ours.
    ends(answer_in(b"Zo\xEB", ""), "||||||WINDOWS-1252", b"\xEB");
    ends(answer_in(b"PAS", "ASCII"), "||||||ASCII", b"?");
    // Nothing to say.
    let to = message("MSH|^~\\&|PAS|RXX|||2024||ADT^A28|9|P|2.4\r");
    let plain = render(Some(&to), &Ack { code: AckCode::AA, reason: None, error: None }, NOW);
    assert!(plain.ends_with(b"|P|2.4\rMSA|AA|9\r"));
}

#[test]
fn a_sender_in_utf16_is_answered_in_utf16() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let answer = |application: &str| {
        let sent = format!("\u{feff}MSH|^~\\&|{application}|RXX|||2024||ADT^A28|9|P|2.4||||||UNICODE UTF-16\r");
        let to = Message::parse(wide(&sent).into(), &ParseOptions::default()).unwrap();
        render(Some(&to), &Ack { code: AckCode::AA, reason: None, error: None }, NOW)
    };
    let bytes = answer("Zo\u{eb}");
    assert!(bytes.starts_with(b"\xFF\xFEM\0S\0H\0"));
    let read = Message::parse(bytes.into(), &ParseOptions::default()).unwrap();
    assert_eq!(
        (read.text("MSH-5").as_deref(), read.text("MSH-18").as_deref()),
        (Some("Zo\u{eb}"), Some("UNICODE UTF-16"))
    );
    // The letter would end the frame in the middle.
    assert!(answer("\u{d1c}").starts_with(b"MSH|"));
}
