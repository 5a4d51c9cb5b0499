//! The message structures of HL7 v2 as data: which segments form which groups.
//!
//! Groups are named as in the standard's abstract messages. The tables say where segments
//! belong, not what is required; nothing here refuses a message.

/// A group of segments that may repeat as a whole.
#[derive(Debug)]
pub(super) struct Group {
    /// Its name in the standard; `MESSAGE` for the whole.
    pub(super) name: &'static str,
    /// The segments that open a new one.
    pub(super) openers: &'static [&'static str],
    /// Whether its items come in their order. Where senders shuffle and nothing is ambiguous,
    /// order does not matter.
    pub(super) ordered: bool,
    /// What it is made of; at most 64 items. Empty: whatever comes belongs to it.
    pub(super) items: &'static [Item],
}

/// A member of a group.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) repeats: bool,
}

/// A segment or a group within.
#[derive(Debug)]
pub(super) enum Kind {
    Segment(&'static str),
    Group(&'static Group),
}

const fn one(name: &'static str) -> Item {
    Item {
        kind: Kind::Segment(name),
        repeats: false,
    }
}

const fn many(name: &'static str) -> Item {
    Item {
        kind: Kind::Segment(name),
        repeats: true,
    }
}

const fn group(group: &'static Group) -> Item {
    Item {
        kind: Kind::Group(group),
        repeats: false,
    }
}

const fn groups(group: &'static Group) -> Item {
    Item {
        kind: Kind::Group(group),
        repeats: true,
    }
}

type Openers = &'static [&'static str];
type Items = &'static [Item];

const fn ordered(name: &'static str, openers: Openers, items: Items) -> Group {
    Group {
        name,
        openers,
        ordered: true,
        items,
    }
}

const fn unordered(name: &'static str, openers: Openers, items: Items) -> Group {
    Group {
        name,
        openers,
        ordered: false,
        items,
    }
}

/// The structure of a message by MSH-9.1 and the trigger event. MSH-9.3 is not asked: senders
/// copy it from elsewhere.
pub(super) fn of_message(code: &str, trigger: &str) -> &'static Group {
    match (code, trigger) {
        ("ADT", "A17" | "A24" | "A37") => &ADT_TWO_PATIENTS,
        ("ADT", "A45") => &ADT_MOVE,
        (
            "ADT",
            "A18" | "A30" | "A34" | "A35" | "A36" | "A39" | "A40" | "A41" | "A42" | "A43" | "A44"
            | "A46" | "A47" | "A48" | "A49" | "A50" | "A51",
        ) => &ADT_MERGE,
        ("ADT" | "BAR", _) => &ADT,
        ("SIU", _) => &SIU,
        ("ORU" | "OUL", _) => &ORU,
        ("MDM", _) => &MDM,
        (
            "ORM" | "OML" | "OMG" | "OMI" | "OMP" | "OMD" | "OMS" | "OMN" | "ORR" | "ORL" | "ORG",
            _,
        ) => &ORDERS,
        ("VXU" | "VXR", _) => &VXU,
        _ => &UNKNOWN,
    }
}

static UNKNOWN: Group = unordered("MESSAGE", &[], &[]);

static OBSERVATION: Group = ordered(
    "OBSERVATION",
    &["OBX"],
    &[one("OBX"), many("PRT"), many("NTE")],
);
static INSURANCE: Group = ordered(
    "INSURANCE",
    &["IN1"],
    &[
        one("IN1"),
        one("IN2"),
        many("IN3"),
        many("ROL"),
        many("AUT"),
        many("RF1"),
    ],
);
static TIMING_QTY: Group = ordered("TIMING_QTY", &["TQ1"], &[one("TQ1"), many("TQ2")]);
static NEXT_OF_KIN: Group = ordered("NEXT_OF_KIN", &["NK1"], &[one("NK1"), many("NTE")]);
static ALLERGY: Group = ordered("ALLERGY", &["AL1"], &[one("AL1"), many("NTE")]);
static ADVERSE_REACTION: Group = ordered(
    "ADVERSE_REACTION",
    &["IAM"],
    &[one("IAM"), many("NTE"), many("IAR")],
);
static DIAGNOSIS: Group = ordered("DIAGNOSIS", &["DG1"], &[one("DG1"), many("NTE")]);
static PROCEDURE: Group = ordered(
    "PROCEDURE",
    &["PR1"],
    &[one("PR1"), many("ROL"), many("NTE")],
);

// Admission, registration and demographics. ADT_A01 and its kin are flat but for these groups.

static ADT: Group = unordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("EVN"),
        one("PID"),
        one("PD1"),
        one("MRG"),
        many("ARV"),
        many("ROL"),
        groups(&NEXT_OF_KIN),
        one("PV1"),
        one("PV2"),
        many("DB1"),
        groups(&OBSERVATION),
        groups(&ALLERGY),
        groups(&ADVERSE_REACTION),
        groups(&DIAGNOSIS),
        one("DRG"),
        groups(&PROCEDURE),
        many("GT1"),
        groups(&INSURANCE),
        one("ACC"),
        one("UB1"),
        one("UB2"),
        one("PDA"),
        many("NTE"),
    ],
);

static MERGE_PATIENT: Group = ordered(
    "PATIENT",
    &["PID", "MRG"],
    &[
        one("PID"),
        one("PD1"),
        many("ARV"),
        many("NTE"),
        one("MRG"),
        one("PV1"),
        one("PV2"),
    ],
);
static ADT_MERGE: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("EVN"),
        groups(&MERGE_PATIENT),
    ],
);

static MERGE_INFO: Group = ordered("MERGE_INFO", &["MRG"], &[one("MRG"), one("PV1")]);
static ADT_MOVE: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("EVN"),
        one("PID"),
        one("PD1"),
        many("ARV"),
        groups(&MERGE_INFO),
    ],
);

static ONE_OF_TWO: Group = ordered(
    "PATIENT",
    &["PID"],
    &[
        one("PID"),
        one("PD1"),
        many("ARV"),
        one("PV1"),
        one("PV2"),
        many("DB1"),
        groups(&OBSERVATION),
    ],
);
static ADT_TWO_PATIENTS: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("EVN"),
        groups(&ONE_OF_TWO),
    ],
);

// Scheduling.

static SERVICE: Group = ordered("SERVICE", &["AIS"], &[one("AIS"), many("NTE")]);
static GENERAL_RESOURCE: Group = ordered("GENERAL_RESOURCE", &["AIG"], &[one("AIG"), many("NTE")]);
static LOCATION_RESOURCE: Group =
    ordered("LOCATION_RESOURCE", &["AIL"], &[one("AIL"), many("NTE")]);
static PERSONNEL_RESOURCE: Group =
    ordered("PERSONNEL_RESOURCE", &["AIP"], &[one("AIP"), many("NTE")]);
static RESOURCES: Group = unordered(
    "RESOURCES",
    // RGS is required and often left out.
    &["RGS", "AIS", "AIG", "AIL", "AIP"],
    &[
        one("RGS"),
        groups(&SERVICE),
        groups(&GENERAL_RESOURCE),
        groups(&LOCATION_RESOURCE),
        groups(&PERSONNEL_RESOURCE),
    ],
);
static SIU_PATIENT: Group = unordered(
    "PATIENT",
    &["PID"],
    &[
        one("PID"),
        one("PD1"),
        many("NTE"),
        many("NK1"),
        one("PV1"),
        one("PV2"),
        groups(&OBSERVATION),
        groups(&DIAGNOSIS),
        groups(&ALLERGY),
        many("GT1"),
        groups(&INSURANCE),
    ],
);
static SIU: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("EVN"),
        one("SCH"),
        many("TQ1"),
        many("NTE"),
        groups(&SIU_PATIENT),
        groups(&RESOURCES),
    ],
);

// Results.

static VISIT: Group = ordered("VISIT", &["PV1"], &[one("PV1"), one("PV2"), many("PRT")]);
static PATIENT: Group = ordered(
    "PATIENT",
    &["PID"],
    &[
        one("PID"),
        one("PD1"),
        many("PRT"),
        many("NTE"),
        groups(&NEXT_OF_KIN),
        many("ARV"),
        group(&VISIT),
        groups(&ALLERGY),
    ],
);
static SPECIMEN_OBSERVATION: Group = ordered(
    "SPECIMEN_OBSERVATION",
    &["OBX"],
    &[one("OBX"), many("PRT"), many("NTE")],
);
static SPECIMEN: Group = ordered(
    "SPECIMEN",
    &["SPM"],
    &[
        one("SPM"),
        many("SAC"),
        many("NTE"),
        groups(&SPECIMEN_OBSERVATION),
    ],
);
/// A specimen that comes before the results: an OBX behind it is a result.
static SPECIMEN_BEFORE: Group = ordered(
    "SPECIMEN",
    &["SPM"],
    &[one("SPM"), many("SAC"), many("NTE")],
);
static ORDER_OBSERVATION: Group = ordered(
    "ORDER_OBSERVATION",
    &["ORC", "OBR"],
    &[
        one("ORC"),
        many("NTE"),
        many("PRT"),
        groups(&TIMING_QTY),
        one("OBR"),
        many("NTE"),
        many("PRT"),
        groups(&TIMING_QTY),
        one("CTD"),
        groups(&DIAGNOSIS),
        groups(&SPECIMEN_BEFORE),
        groups(&OBSERVATION),
        many("FT1"),
        many("CTI"),
        groups(&SPECIMEN),
    ],
);
static PATIENT_RESULT: Group = ordered(
    "PATIENT_RESULT",
    &["PID", "ORC", "OBR", "OBX"],
    // An OBX without an OBR before it is an observation of the patient.
    &[
        group(&PATIENT),
        groups(&OBSERVATION),
        groups(&ORDER_OBSERVATION),
    ],
);
static ORU: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("EVN"),
        many("NTE"),
        groups(&PATIENT_RESULT),
        one("DSC"),
    ],
);

// Documents.

static COMMON_ORDER: Group = ordered(
    "COMMON_ORDER",
    &["ORC", "OBR"],
    &[one("ORC"), groups(&TIMING_QTY), one("OBR"), many("NTE")],
);
/// One TXA with its content; the standard has one for each message, senders have more.
static DOCUMENT: Group = ordered(
    "DOCUMENT",
    &["TXA"],
    &[one("TXA"), many("CON"), many("NTE"), groups(&OBSERVATION)],
);
static MDM: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("EVN"),
        one("PID"),
        one("PD1"),
        many("NTE"),
        one("PV1"),
        one("PV2"),
        groups(&COMMON_ORDER),
        groups(&OBSERVATION),
        groups(&DOCUMENT),
    ],
);

// Orders.

static ORDER_PATIENT: Group = unordered(
    "PATIENT",
    &["PID"],
    &[
        one("PID"),
        one("PD1"),
        many("PRT"),
        many("NTE"),
        groups(&NEXT_OF_KIN),
        many("ARV"),
        group(&PATIENT_VISIT),
        groups(&INSURANCE),
        many("GT1"),
        groups(&ALLERGY),
        groups(&ADVERSE_REACTION),
    ],
);
static PATIENT_VISIT: Group = ordered("PATIENT_VISIT", &["PV1"], VISIT.items);
static ORDER: Group = ordered(
    "ORDER",
    &["ORC", "OBR"],
    &[
        one("ORC"),
        many("NTE"),
        many("PRT"),
        groups(&TIMING_QTY),
        one("OBR"),
        one("RXO"),
        one("RQD"),
        one("ODS"),
        one("TCD"),
        many("NTE"),
        many("PRT"),
        many("RXR"),
        many("RXC"),
        groups(&TIMING_QTY),
        one("CTD"),
        groups(&DIAGNOSIS),
        groups(&SPECIMEN_BEFORE),
        groups(&OBSERVATION),
        many("IPC"),
        groups(&SPECIMEN),
        many("FT1"),
        many("CTI"),
        one("BLG"),
    ],
);
static ORDERS: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("MSA"),
        many("ERR"),
        many("NTE"),
        group(&ORDER_PATIENT),
        groups(&ORDER),
    ],
);

// Immunisations.

static VXU_PATIENT: Group = ordered("PATIENT", &["PV1"], VISIT.items);
static VXU_ORDER: Group = ordered(
    "ORDER",
    &["ORC", "RXA"],
    &[
        one("ORC"),
        groups(&TIMING_QTY),
        many("NTE"),
        one("RXA"),
        one("RXR"),
        many("NTE"),
        groups(&OBSERVATION),
    ],
);
static VXU: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one("MSH"),
        many("SFT"),
        one("UAC"),
        one("MSA"),
        one("EVN"),
        one("PID"),
        one("PD1"),
        groups(&NEXT_OF_KIN),
        many("ARV"),
        group(&VXU_PATIENT),
        many("GT1"),
        groups(&INSURANCE),
        groups(&OBSERVATION),
        many("NTE"),
        groups(&VXU_ORDER),
    ],
);
