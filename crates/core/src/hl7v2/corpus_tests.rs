//! Every malformed file and every batch of the third-party corpus: what the reader makes of it, on purpose.
//!
//! Most of the malformed ones are so for a mapping (no PID, no OBR, a value of the wrong type); the reader takes them.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::{Message, ParseError, ParseErrorKind, ParseOptions, Structure, WarningCode, split_batch};

macro_rules! file {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!("../../../../tests/corpus/", $name, ".hl7")))
    };
}

fn parse(bytes: &Bytes) -> Result<Message, ParseError> {
    Message::parse(bytes.clone(), &ParseOptions::default())
}

fn names(message: &Message) -> String {
    message.segments().map(|segment| segment.name()).collect::<Vec<_>>().join(" ")
}

/// Segments; warnings; names of segments that the message structure has no place for.
type Read = (&'static str, &'static [WarningCode], &'static [&'static str]);

#[test]
fn malformed_files() {
    const LF: &[WarningCode] = &[WarningCode::LineFeed];
    let orphans = "MSH EVN PID NK1 NK1 PV1";
    let table: [(Bytes, Result<Read, ParseErrorKind>); 18] = [
        (file!("malformed-d001-hl7v2-fhir-convert"), Ok((orphans, &[], &[]))),
        (file!("malformed-d002-hl7v2-fhir-convert"), Ok(("MSH EVN PID NK1 NK1 PV1 OBX SPM", &[], &["SPM"]))),
        (file!("malformed-d003-hl7v2-fhir-convert"), Ok(("MSH EVN PID NK1 NK1 PV1 OBX SPM SPM", &[], &["SPM", "SPM"]))),
        (file!("malformed-d004-hl7v2-fhir-convert"), Ok(("MSH EVN PID NK1 NK1 PV1 OBX SPM", &[], &["SPM"]))),
        (file!("malformed-d005-hl7v2-fhir-convert"), Ok(("MSH PID DG1", &[], &[]))),
        (file!("malformed-d006-hl7v2-fhir-convert"), Ok(("MSH EVN PID PV1 DG1 DG1 DG1", &[], &[]))),
        (file!("malformed-d007-hl7v2-fhir-convert"), Ok(("MSH EVN PV1", &[], &[]))),
        (file!("malformed-d008-hl7v2-fhir-convert"), Ok(("MSH EVN PV1", &[], &[]))),
        (file!("malformed-d009-simhospital"), Ok(("MSH PID", &[], &[]))),
        (file!("malformed-d010-python-hl7"), Ok(("MSH PID", &[], &[]))),
        (file!("malformed-d011-trusted-intermedia"), Err(ParseErrorKind::Empty)),
        (file!("malformed-d012-trusted-intermedia"), Ok(("MSH", LF, &[]))),
        (file!("malformed-d013-trusted-intermedia"), Err(ParseErrorKind::EncodingCharactersMissing)),
        (file!("malformed-d014-trusted-intermedia"), Ok(("MSH", LF, &[]))),
        (file!("malformed-d015-trusted-intermedia"), Err(ParseErrorKind::EncodingCharactersMissing)),
        (file!("malformed-d016-trusted-intermedia"), Ok(("MSH", LF, &[]))),
        (file!("malformed-d017-trusted-intermedia"), Ok(("MSH", LF, &[]))),
        (file!("malformed-d018-trusted-intermedia"), Ok(("MSH ORC OBR OBX", LF, &[]))),
    ];
    for (at, (bytes, expected)) in table.iter().enumerate() {
        let message = parse(bytes);
        let found = message.as_ref().map_err(|error| error.kind).map(|message| {
            let codes = message.warnings().iter().map(|warning| warning.code).collect();
            let structure = Structure::of(message);
            let strays = structure.strays().iter().map(|&at| message.segment_at(at).unwrap().name()).collect();
            (names(message), codes, strays)
        });
        let expected = expected.map(|(names, codes, strays)| (names.to_owned(), codes.to_vec(), strays.to_vec()));
        assert_eq!(found, expected, "malformed-d{:03}", at + 1);
    }
}

/// What is missing or misplaced is empty where it should be, and nothing slides into another's place.
#[test]
fn malformed_headers_keep_their_places() {
    let text = |bytes: Bytes, path: &str| parse(&bytes).unwrap().text(path);
    assert_eq!(text(file!("malformed-d012-trusted-intermedia"), "MSH-12").as_deref(), Some("2.3"));
    assert_eq!(text(file!("malformed-d014-trusted-intermedia"), "MSH-10"), None);
    assert_eq!(text(file!("malformed-d014-trusted-intermedia"), "MSH-11").as_deref(), Some("D"));
    assert_eq!(text(file!("malformed-d016-trusted-intermedia"), "MSH-6"), None);
    assert_eq!(text(file!("malformed-d017-trusted-intermedia"), "MSH-9"), None);
    assert_eq!(text(file!("malformed-d017-trusted-intermedia"), "MSH-10").as_deref(), Some("111111"));
    assert_eq!(text(file!("malformed-d006-hl7v2-fhir-convert"), "MSH-10"), None);
    assert_eq!(text(file!("malformed-d018-trusted-intermedia"), "OBX-2").as_deref(), Some("NM"));
    assert_eq!(text(file!("malformed-d010-python-hl7"), "PID-3[1].2.2").as_deref(), Some("Sub-Component2"));
}

#[test]
fn batches() {
    const LF: &[WarningCode] = &[WarningCode::LineFeed];
    let report = "MSH SFT PID ORC OBR OBX OBX OBX OBX OBX SPM";
    let long = "MSH SFT PID ORC OBR OBX OBX OBX OBX OBX OBX SPM";
    for (batch, whole, count, segments, warnings) in [
        (file!("batch-d001-prime-reportstream"), ParseErrorKind::BatchEnvelope, 2, report, LF),
        (file!("batch-d002-prime-reportstream"), ParseErrorKind::BatchEnvelope, 20, long, &[]),
        (file!("batch-d003-python-hl7"), ParseErrorKind::SecondHeader, 2, "MSH EVN PID PD1 NK1 PV1", &[]),
    ] {
        assert_eq!(parse(&batch).unwrap_err().kind, whole, "as one message it is refused");
        let messages: Vec<Message> = split_batch(batch.clone()).map(|bytes| parse(&bytes).unwrap()).collect();
        assert_eq!(messages.len(), count);
        for message in &messages {
            assert_eq!(names(message), segments);
            assert!(message.warnings().iter().map(|warning| warning.code).eq(warnings.iter().copied()));
            assert!(Structure::of(message).strays().is_empty());
            assert!(batch.as_ptr_range().contains(&message.bytes().as_ptr()), "shares the batch's bytes");
        }
        let mut ids: Vec<_> = messages.iter().map(|message| message.control_id()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
