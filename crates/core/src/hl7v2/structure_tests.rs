//! Groups of well-formed and of shuffled messages, written as the tree they must give.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::hl7v2::ParseOptions;

/// A message of bare segment names: `MSH` gets its header, the others a field each.
fn message(kind: &str, segments: &str) -> Message {
    let mut text = format!("MSH|^~\\&|||||||{kind}|1|P|2.5\r");
    for name in segments.split_whitespace() {
        text.push_str(&format!("{name}|1\r"));
    }
    Message::parse(text.into(), &ParseOptions::default()).unwrap()
}

/// The groups as nested brackets, segments out of their turn marked with `!`.
fn tree(message: &Message) -> String {
    let structure = Structure::of(message);
    let mut out = String::new();
    let mut open = vec![Structure::root()];
    for segment in message.segments().skip(1) {
        let group = structure.group_of(segment.index());
        while !structure.within(group, *open.last().unwrap()) {
            open.pop();
            out.push_str(" }");
        }
        let mut chain = Vec::new();
        let mut at = group;
        while at != *open.last().unwrap() {
            chain.push(at);
            at = structure.parent(at).unwrap();
        }
        for id in chain.into_iter().rev() {
            out.push_str(&format!(" {}{{", structure.name(id)));
            open.push(id);
        }
        let stray = if structure.strays().contains(&segment.index()) { "!" } else { "" };
        out.push_str(&format!(" {}{stray}", segment.name()));
    }
    out.push_str(&" }".repeat(open.len() - 1));
    out.trim_start().to_owned()
}

fn check(kind: &str, segments: &str, expected: &str) {
    assert_eq!(tree(&message(kind, segments)), expected, "{kind} {segments}");
}

#[test]
fn admission() {
    check(
        "ADT^A01",
        "EVN PID PD1 ROL NK1 NTE NK1 PV1 PV2 OBX NTE AL1 NTE AL1 DG1 PR1 ROL IN1 IN2 IN3 IN1 ZTM",
        "EVN PID PD1 ROL NEXT_OF_KIN{ NK1 NTE } NEXT_OF_KIN{ NK1 } PV1 PV2 OBSERVATION{ OBX NTE } \
         ALLERGY{ AL1 NTE } ALLERGY{ AL1 } DIAGNOSIS{ DG1 } PROCEDURE{ PR1 ROL } \
         INSURANCE{ IN1 IN2 IN3 } INSURANCE{ IN1 ZTM }",
    );
    // Senders shuffle; nothing is ambiguous.
    check("ADT^A08", "PID AL1 PV1 NK1 PD1", "PID ALLERGY{ AL1 } PV1 NEXT_OF_KIN{ NK1 } PD1");
    check("ADT^A08", "PID PV1 PV1 QQQ", "PID PV1 PV1! QQQ!");
}

#[test]
fn merges() {
    check("ADT^A40", "EVN PID PD1 MRG PV1 PID MRG ZXX", "EVN PATIENT{ PID PD1 MRG PV1 } PATIENT{ PID MRG ZXX }");
    check("ADT^A18", "EVN PID PV1 MRG PID MRG", "EVN PATIENT{ PID PV1 MRG! } PATIENT{ PID MRG }");
    check("ADT^A45", "EVN PID MRG PV1 MRG PV1", "EVN PID MERGE_INFO{ MRG PV1 } MERGE_INFO{ MRG PV1 }");
    check("ADT^A24", "EVN PID PV1 PID PV1", "EVN PATIENT{ PID PV1 } PATIENT{ PID PV1 }");
}

#[test]
fn appointments() {
    check(
        "SIU^S12",
        "SCH TQ1 NTE PID PV1 DG1 RGS AIS NTE AIG NTE AIL AIP NTE RGS AIL AIS",
        "SCH TQ1 NTE PATIENT{ PID PV1 DIAGNOSIS{ DG1 } } \
         RESOURCES{ RGS SERVICE{ AIS NTE } GENERAL_RESOURCE{ AIG NTE } LOCATION_RESOURCE{ AIL } \
         PERSONNEL_RESOURCE{ AIP NTE } } RESOURCES{ RGS LOCATION_RESOURCE{ AIL } SERVICE{ AIS } }",
    );
    // A note behind RGS is none of the appointment's.
    check("SIU^S12", "SCH PID RGS NTE AIS NTE", "SCH PATIENT{ PID } RESOURCES{ RGS NTE SERVICE{ AIS NTE } }");
    check(
        "SIU^S14",
        "SCH PID AIL AIP",
        "SCH PATIENT{ PID } RESOURCES{ LOCATION_RESOURCE{ AIL } PERSONNEL_RESOURCE{ AIP } }",
    );
}

#[test]
fn results() {
    check(
        "ORU^R01",
        "PID PD1 NTE PV1 ORC OBR NTE TQ1 OBX NTE NTE OBX SPM OBX ORC OBR OBX OBR NTE OBX",
        "PATIENT_RESULT{ PATIENT{ PID PD1 NTE VISIT{ PV1 } } \
         ORDER_OBSERVATION{ ORC OBR NTE TIMING_QTY{ TQ1 } OBSERVATION{ OBX NTE NTE } \
         OBSERVATION{ OBX } SPECIMEN{ SPM SPECIMEN_OBSERVATION{ OBX } } } \
         ORDER_OBSERVATION{ ORC OBR OBSERVATION{ OBX } } \
         ORDER_OBSERVATION{ OBR NTE OBSERVATION{ OBX } } }",
    );
    // Several patients; no patient; the specimen before its results; an ORC note.
    check(
        "ORU^R01",
        "PID OBR OBX PID OBR",
        "PATIENT_RESULT{ PATIENT{ PID } ORDER_OBSERVATION{ OBR OBSERVATION{ OBX } } } \
         PATIENT_RESULT{ PATIENT{ PID } ORDER_OBSERVATION{ OBR } }",
    );
    check(
        "ORU^R01",
        "ORC NTE OBR SPM OBX NTE",
        "PATIENT_RESULT{ ORDER_OBSERVATION{ ORC NTE OBR SPECIMEN{ SPM } OBSERVATION{ OBX NTE } } }",
    );
    check("ORU^R01", "PID OBX", "PATIENT_RESULT{ PATIENT{ PID OBSERVATION{ OBX } } }");
    // A late visit does not cut the results off from their order.
    check(
        "ORU^R01",
        "PID OBR OBX PV1 OBX",
        "PATIENT_RESULT{ PATIENT{ PID } ORDER_OBSERVATION{ OBR OBSERVATION{ OBX PV1! } \
         OBSERVATION{ OBX } } }",
    );
}

#[test]
fn an_orc_behind_its_obr_tears_nothing() {
    let order = "ORDER_OBSERVATION{ OBR ORC OBSERVATION{ OBX } }";
    check("ORU^R01", "OBR ORC OBX", &format!("PATIENT_RESULT{{ {order} }}"));
    check("ORU^R01", "OBR ORC OBX OBR ORC OBX", &format!("PATIENT_RESULT{{ {order} {order} }}"));
    check(
        "ORU^R01",
        "OBR NTE ORC NTE TQ1 OBX OBR OBX",
        "PATIENT_RESULT{ ORDER_OBSERVATION{ OBR NTE ORC NTE TIMING_QTY{ TQ1 } OBSERVATION{ OBX } } \
         ORDER_OBSERVATION{ OBR OBSERVATION{ OBX } } }",
    );
    // An ORC that an OBR follows leads that one.
    check(
        "ORU^R01",
        "OBR ORC NTE OBR OBX",
        "PATIENT_RESULT{ ORDER_OBSERVATION{ OBR } ORDER_OBSERVATION{ ORC NTE OBR OBSERVATION{ OBX } } }",
    );
    check(
        "ORU^R01",
        "ORC OBR ORC OBR OBX",
        "PATIENT_RESULT{ ORDER_OBSERVATION{ ORC OBR } ORDER_OBSERVATION{ ORC OBR OBSERVATION{ OBX } } }",
    );
    // Results without an OBR of theirs are told.
    check(
        "ORU^R01",
        "OBR OBX ORC OBX",
        "PATIENT_RESULT{ ORDER_OBSERVATION{ OBR OBSERVATION{ OBX } } ORDER_OBSERVATION{ ORC OBSERVATION{ OBX! } } }",
    );
    check("ORM^O01", "PID OBR ORC OBX", "PATIENT{ PID } ORDER{ OBR ORC OBSERVATION{ OBX } }");
    check("MDM^T02", "PID OBR ORC TXA OBX", "PID COMMON_ORDER{ OBR ORC } DOCUMENT{ TXA OBSERVATION{ OBX } }");
}

#[test]
fn laboratory_automation() {
    check(
        "OUL^R22",
        "PID PV1 SPM OBX SAC OBR ORC NTE OBX NTE OBX SPM OBR ORC OBX",
        "PATIENT{ PID } VISIT{ PV1 } SPECIMEN{ SPM SPECIMEN_OBSERVATION{ OBX } CONTAINER{ SAC } \
         ORDER{ OBR ORC NTE RESULT{ OBX NTE } RESULT{ OBX } } } SPECIMEN{ SPM ORDER{ OBR ORC RESULT{ OBX } } }",
    );
    check(
        "OUL^R23",
        "SPM SAC INV OBR ORC OBX SAC OBR OBX",
        "SPECIMEN{ SPM CONTAINER{ SAC INV ORDER{ OBR ORC RESULT{ OBX } } } CONTAINER{ SAC ORDER{ OBR RESULT{ OBX } } } }",
    );
    check(
        "OUL^R24",
        "PID OBR ORC SPM SAC OBX OBR OBX",
        "PATIENT{ PID } ORDER{ OBR ORC SPECIMEN{ SPM SAC } RESULT{ OBX } } ORDER{ OBR RESULT{ OBX } }",
    );
    check("OUL^R21", "PID OBR OBX", "PATIENT_RESULT{ PATIENT{ PID } ORDER_OBSERVATION{ OBR OBSERVATION{ OBX } } }");
}

#[test]
fn documents_orders_and_immunisations() {
    check(
        "MDM^T02",
        "EVN PID PV1 ORC OBR NTE TXA OBX NTE OBX TXA OBX",
        "EVN PID PV1 COMMON_ORDER{ ORC OBR NTE } DOCUMENT{ TXA OBSERVATION{ OBX NTE } \
         OBSERVATION{ OBX } } DOCUMENT{ TXA OBSERVATION{ OBX } }",
    );
    check(
        "ORM^O01",
        "PID PV1 IN1 AL1 ORC NTE OBR NTE DG1 OBX NTE ORC RXO RXR",
        "PATIENT{ PID PATIENT_VISIT{ PV1 } INSURANCE{ IN1 } ALLERGY{ AL1 } } \
         ORDER{ ORC NTE OBR NTE DIAGNOSIS{ DG1 } OBSERVATION{ OBX NTE } } ORDER{ ORC RXO RXR }",
    );
    check(
        "OMP^O09",
        "PID ORC RXO NTE RXR RXC NTE RXC OBX",
        "PATIENT{ PID } ORDER{ ORC RXO NTE RXR COMPONENT{ RXC NTE } COMPONENT{ RXC } OBSERVATION{ OBX } }",
    );
    check(
        "VXU^V04",
        "PID PD1 NK1 PV1 ORC RXA RXR OBX NTE OBX ORC RXA",
        "PID PD1 NEXT_OF_KIN{ NK1 } PATIENT{ PV1 } \
         ORDER{ ORC RXA RXR OBSERVATION{ OBX NTE } OBSERVATION{ OBX } } ORDER{ ORC RXA }",
    );
}

#[test]
fn orders_below_their_specimen_and_problems() {
    check(
        "OML^O33",
        "PID PV1 SPM OBX ORC TQ1 OBR NTE DG1 OBX ORC OBR SPM ORC OBR",
        "PATIENT{ PID PATIENT_VISIT{ PV1 } } SPECIMEN{ SPM SPECIMEN_OBSERVATION{ OBX } ORDER{ ORC TIMING_QTY{ TQ1 } OBR NTE \
         DIAGNOSIS{ DG1 } OBSERVATION{ OBX } } ORDER{ ORC OBR } } SPECIMEN{ SPM ORDER{ ORC OBR } }",
    );
    check(
        "OML^O35",
        "PID SPM SAC ORC OBR SAC ORC OBR",
        "PATIENT{ PID } SPECIMEN{ SPM CONTAINER{ SAC ORDER{ ORC OBR } } CONTAINER{ SAC ORDER{ ORC OBR } } }",
    );
    check(
        "PPR^PC1",
        "PID PV1 PRB NTE OBX NTE GOL NTE PRB ORC OBR",
        "PID PATIENT_VISIT{ PV1 } PROBLEM{ PRB NTE OBSERVATION{ OBX NTE } GOAL{ GOL NTE } } PROBLEM{ PRB ORDER{ ORC OBR } }",
    );
}

#[test]
fn an_unknown_structure_is_flat_and_has_no_strays() {
    check("RSP^K11", "PID PV1 GOL NTE", "PID PV1 GOL NTE");
    check("", "PID OBX", "PID OBX");
}

#[test]
fn members_and_anchors() {
    let message = message("ORU^R01", "PID OBR OBX NTE OBX OBR OBX");
    let structure = Structure::of(&message);
    let orders: Vec<_> = structure.named("ORDER_OBSERVATION").collect();
    assert_eq!(orders.iter().map(|order| structure.anchor(*order)).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(structure.members(orders[0]).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert_eq!(structure.members(Structure::root()).count(), 8);
    assert_eq!(structure.group_of(9999), Structure::root());
    assert_eq!(structure.parent(Structure::root()), None);
}

#[test]
fn every_grammar_is_sound() {
    fn visit(group: &'static Group, depth: usize) {
        assert!(depth <= 5 && group.items.len() <= 64, "{}", group.name);
        for opener in group.openers {
            let opened = Open { id: Structure::root(), grammar: group, next: 0, seen: 0 };
            assert!(opened.item(opener, None, true).is_some(), "{} {opener:?}", group.name);
        }
        for item in group.items {
            if let Kind::Group(inner) = item.kind {
                visit(inner, depth + 1);
            }
        }
    }
    for (code, trigger) in [
        ("ADT", "A01"),
        ("ADT", "A40"),
        ("ADT", "A45"),
        ("ADT", "A17"),
        ("SIU", "S12"),
        ("ORU", "R01"),
        ("OUL", "R22"),
        ("OUL", "R23"),
        ("OUL", "R24"),
        ("MDM", "T02"),
        ("ORM", "O01"),
        ("VXU", "V04"),
        ("XXX", ""),
    ] {
        visit(of_message(code, trigger), 0);
    }
}
