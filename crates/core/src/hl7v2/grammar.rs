//! The message structures of HL7 v2 as data: which segments form which groups.
//!
//! Groups are named as in the standard's abstract messages. The tables say where segments
//! belong, not what is required; nothing here refuses a message.

/// A segment's name, as bytes: they compare in one step.
pub(super) type Name = &'static [u8; 3];

/// A group of segments that may repeat as a whole.
#[derive(Debug)]
pub(super) struct Group {
    /// Its name in the standard; `MESSAGE` for the whole.
    pub(super) name: &'static str,
    /// The segments that open a new one.
    pub(super) openers: &'static [Name],
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
    /// A segment that senders put behind the segment of this name, which it should lead: it is taken out of its place when
    /// the group has none, and none follows that it leads, until the items behind this one come.
    pub(super) behind: Option<Name>,
    /// Without this segment before it, it has no place in the group.
    pub(super) needs: Option<Name>,
}

/// A segment or a group within.
#[derive(Debug)]
pub(super) enum Kind {
    Segment(Name),
    Group(&'static Group),
}

const fn one(name: Name) -> Item {
    Item { kind: Kind::Segment(name), repeats: false, behind: None, needs: None }
}

const fn many(name: Name) -> Item {
    Item { repeats: true, ..one(name) }
}

/// A segment that senders also put behind the one it should lead.
const fn late(name: Name, behind: Name) -> Item {
    Item { behind: Some(behind), ..one(name) }
}

const fn group(group: &'static Group) -> Item {
    Item { kind: Kind::Group(group), repeats: false, behind: None, needs: None }
}

const fn groups(inner: &'static Group) -> Item {
    Item { repeats: true, ..group(inner) }
}

const fn groups_of(inner: &'static Group, needs: Name) -> Item {
    Item { needs: Some(needs), ..groups(inner) }
}

type Openers = &'static [Name];
type Items = &'static [Item];

const fn ordered(name: &'static str, openers: Openers, items: Items) -> Group {
    Group { name, openers, ordered: true, items }
}

const fn unordered(name: &'static str, openers: Openers, items: Items) -> Group {
    Group { name, openers, ordered: false, items }
}

/// The structure of a message by MSH-9.1 and the trigger event. MSH-9.3 is not asked: senders
/// copy it from elsewhere.
pub(super) fn of_message(code: &str, trigger: &str) -> &'static Group {
    match (code, trigger) {
        ("ADT", "A17" | "A24" | "A37") => &ADT_TWO_PATIENTS,
        ("ADT", "A45") => &ADT_MOVE,
        (
            "ADT",
            "A18" | "A30" | "A34" | "A35" | "A36" | "A39" | "A40" | "A41" | "A42" | "A43" | "A44" | "A46" | "A47"
            | "A48" | "A49" | "A50" | "A51",
        ) => &ADT_MERGE,
        ("ADT" | "BAR", _) => &ADT,
        ("SIU", _) => &SIU,
        ("OUL", "R22") => &OUL_SPECIMENS,
        ("OUL", "R23") => &OUL_CONTAINERS,
        ("OUL", "R24") => &OUL_ORDERS,
        // R21 and what came before it is made as ORU is.
        ("ORU" | "OUL", _) => &ORU,
        ("MDM", _) => &MDM,
        ("OML", "O33" | "O35") => &SPECIMEN_ORDERS,
        ("PPR", _) => &PROBLEMS,
        ("ORM" | "OML" | "OMG" | "OMI" | "OMP" | "RDE" | "OMD" | "OMS" | "OMN" | "ORR" | "ORL" | "ORG", _) => &ORDERS,
        ("VXU" | "VXR", _) => &VXU,
        _ => &UNKNOWN,
    }
}

static UNKNOWN: Group = unordered("MESSAGE", &[], &[]);

static OBSERVATION: Group = ordered("OBSERVATION", &[b"OBX"], &[one(b"OBX"), many(b"PRT"), many(b"NTE")]);
static INSURANCE: Group = ordered(
    "INSURANCE",
    &[b"IN1"],
    &[one(b"IN1"), one(b"IN2"), many(b"IN3"), many(b"ROL"), many(b"AUT"), many(b"RF1")],
);
static TIMING_QTY: Group = ordered("TIMING_QTY", &[b"TQ1"], &[one(b"TQ1"), many(b"TQ2")]);
static NEXT_OF_KIN: Group = ordered("NEXT_OF_KIN", &[b"NK1"], &[one(b"NK1"), many(b"NTE")]);
static ALLERGY: Group = ordered("ALLERGY", &[b"AL1"], &[one(b"AL1"), many(b"NTE")]);
static ADVERSE_REACTION: Group = ordered("ADVERSE_REACTION", &[b"IAM"], &[one(b"IAM"), many(b"NTE"), many(b"IAR")]);
static DIAGNOSIS: Group = ordered("DIAGNOSIS", &[b"DG1"], &[one(b"DG1"), many(b"NTE")]);
static PROCEDURE: Group = ordered("PROCEDURE", &[b"PR1"], &[one(b"PR1"), many(b"ROL"), many(b"NTE")]);

// Admission, registration and demographics. ADT_A01 and its kin are flat but for these groups.

static ADT: Group = unordered(
    "MESSAGE",
    &[],
    &[
        one(b"MSH"),
        many(b"SFT"),
        one(b"UAC"),
        one(b"EVN"),
        one(b"PID"),
        one(b"PD1"),
        one(b"MRG"),
        many(b"ARV"),
        many(b"ROL"),
        groups(&NEXT_OF_KIN),
        one(b"PV1"),
        one(b"PV2"),
        many(b"DB1"),
        groups(&OBSERVATION),
        groups(&ALLERGY),
        groups(&ADVERSE_REACTION),
        groups(&DIAGNOSIS),
        one(b"DRG"),
        groups(&PROCEDURE),
        many(b"GT1"),
        groups(&INSURANCE),
        one(b"ACC"),
        one(b"UB1"),
        one(b"UB2"),
        one(b"PDA"),
        many(b"NTE"),
    ],
);

static MERGE_PATIENT: Group = ordered(
    "PATIENT",
    &[b"PID"],
    &[one(b"PID"), one(b"PD1"), many(b"ARV"), many(b"NTE"), many(b"MRG"), one(b"PV1"), one(b"PV2")],
);
static ADT_MERGE: Group =
    ordered("MESSAGE", &[], &[one(b"MSH"), many(b"SFT"), one(b"UAC"), one(b"EVN"), groups(&MERGE_PATIENT)]);

static MERGE_INFO: Group = ordered("MERGE_INFO", &[b"MRG"], &[one(b"MRG"), one(b"PV1")]);
static ADT_MOVE: Group = ordered(
    "MESSAGE",
    &[],
    &[one(b"MSH"), many(b"SFT"), one(b"UAC"), one(b"EVN"), one(b"PID"), one(b"PD1"), many(b"ARV"), groups(&MERGE_INFO)],
);

static ONE_OF_TWO: Group = ordered(
    "PATIENT",
    &[b"PID"],
    &[one(b"PID"), one(b"PD1"), many(b"ARV"), one(b"PV1"), one(b"PV2"), many(b"DB1"), groups(&OBSERVATION)],
);
static ADT_TWO_PATIENTS: Group =
    ordered("MESSAGE", &[], &[one(b"MSH"), many(b"SFT"), one(b"UAC"), one(b"EVN"), groups(&ONE_OF_TWO)]);

// Scheduling.

static SERVICE: Group = ordered("SERVICE", &[b"AIS"], &[one(b"AIS"), many(b"NTE")]);
static GENERAL_RESOURCE: Group = ordered("GENERAL_RESOURCE", &[b"AIG"], &[one(b"AIG"), many(b"NTE")]);
static LOCATION_RESOURCE: Group = ordered("LOCATION_RESOURCE", &[b"AIL"], &[one(b"AIL"), many(b"NTE")]);
static PERSONNEL_RESOURCE: Group = ordered("PERSONNEL_RESOURCE", &[b"AIP"], &[one(b"AIP"), many(b"NTE")]);
static RESOURCES: Group = unordered(
    "RESOURCES",
    // RGS is required and often left out.
    &[b"RGS", b"AIS", b"AIG", b"AIL", b"AIP"],
    &[
        one(b"RGS"),
        // Of no version, and yet there: a note right behind RGS is one on the resources.
        many(b"NTE"),
        groups(&SERVICE),
        groups(&GENERAL_RESOURCE),
        groups(&LOCATION_RESOURCE),
        groups(&PERSONNEL_RESOURCE),
    ],
);
static SIU_PATIENT: Group = unordered(
    "PATIENT",
    &[b"PID"],
    &[
        one(b"PID"),
        one(b"PD1"),
        many(b"NTE"),
        many(b"NK1"),
        one(b"PV1"),
        one(b"PV2"),
        groups(&OBSERVATION),
        groups(&DIAGNOSIS),
        groups(&ALLERGY),
        many(b"GT1"),
        groups(&INSURANCE),
    ],
);
static SIU: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one(b"MSH"),
        many(b"SFT"),
        one(b"EVN"),
        one(b"SCH"),
        many(b"TQ1"),
        many(b"NTE"),
        groups(&SIU_PATIENT),
        groups(&RESOURCES),
    ],
);

// Results.

static VISIT: Group = ordered("VISIT", &[b"PV1"], &[one(b"PV1"), one(b"PV2"), many(b"PRT")]);
static PATIENT: Group = ordered(
    "PATIENT",
    &[b"PID"],
    &[
        one(b"PID"),
        one(b"PD1"),
        many(b"PRT"),
        many(b"NTE"),
        groups(&NEXT_OF_KIN),
        many(b"ARV"),
        groups(&OBSERVATION),
        group(&VISIT),
        groups(&ALLERGY),
    ],
);
static SPECIMEN_OBSERVATION: Group =
    ordered("SPECIMEN_OBSERVATION", &[b"OBX"], &[one(b"OBX"), many(b"PRT"), many(b"NTE")]);
static CONTAINER: Group = ordered("CONTAINER", &[b"SAC"], &[one(b"SAC"), many(b"NTE"), groups(&SPECIMEN_OBSERVATION)]);
static SPECIMEN: Group =
    ordered("SPECIMEN", &[b"SPM"], &[one(b"SPM"), many(b"NTE"), groups(&SPECIMEN_OBSERVATION), groups(&CONTAINER)]);
/// A specimen that comes before the results: an OBX behind it is a result.
static SPECIMEN_BEFORE: Group = ordered("SPECIMEN", &[b"SPM"], &[one(b"SPM"), many(b"SAC"), many(b"NTE")]);
static ORDER_OBSERVATION: Group = ordered(
    "ORDER_OBSERVATION",
    &[b"ORC", b"OBR"],
    &[
        one(b"ORC"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&TIMING_QTY),
        one(b"OBR"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&TIMING_QTY),
        one(b"CTD"),
        groups(&DIAGNOSIS),
        groups(&SPECIMEN_BEFORE),
        late(b"ORC", b"OBR"),
        groups_of(&OBSERVATION, b"OBR"),
        many(b"FT1"),
        many(b"CTI"),
        groups(&SPECIMEN),
    ],
);
static PATIENT_RESULT: Group = ordered(
    "PATIENT_RESULT",
    &[b"PID", b"ORC", b"OBR", b"OBX"],
    // An OBX without an OBR before it belongs to no order.
    &[group(&PATIENT), groups(&OBSERVATION), groups(&ORDER_OBSERVATION)],
);
static ORU: Group = ordered(
    "MESSAGE",
    &[],
    &[one(b"MSH"), many(b"SFT"), one(b"UAC"), one(b"EVN"), many(b"NTE"), groups(&PATIENT_RESULT), one(b"DSC")],
);

// Results of laboratory automation: by specimen (R22), by container (R23), by order (R24).

static OUL_PATIENT: Group = ordered("PATIENT", &[b"PID"], &[one(b"PID"), one(b"PD1"), many(b"PRT"), many(b"NTE")]);
static OUL_RESULT: Group =
    ordered("RESULT", &[b"OBX"], &[one(b"OBX"), many(b"PRT"), one(b"TCD"), many(b"SID"), many(b"NTE")]);
static OUL_ORDER: Group = ordered(
    "ORDER",
    &[b"OBR"],
    &[
        one(b"OBR"),
        one(b"ORC"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&TIMING_QTY),
        groups(&SPECIMEN_BEFORE),
        groups(&OUL_RESULT),
        many(b"CTI"),
    ],
);
static OUL_CONTAINER: Group = ordered("CONTAINER", &[b"SAC"], &[one(b"SAC"), one(b"INV")]);
static OUL_SPECIMEN: Group = ordered(
    "SPECIMEN",
    &[b"SPM"],
    &[one(b"SPM"), many(b"NTE"), groups(&SPECIMEN_OBSERVATION), groups(&OUL_CONTAINER), groups(&OUL_ORDER)],
);
static OUL_CONTAINER_ORDERS: Group = ordered("CONTAINER", &[b"SAC"], &[one(b"SAC"), one(b"INV"), groups(&OUL_ORDER)]);
static OUL_SPECIMEN_CONTAINERS: Group = ordered(
    "SPECIMEN",
    &[b"SPM"],
    &[one(b"SPM"), many(b"NTE"), groups(&SPECIMEN_OBSERVATION), groups(&OUL_CONTAINER_ORDERS)],
);

const fn oul(results: Item) -> [Item; 9] {
    [
        one(b"MSH"),
        many(b"SFT"),
        one(b"UAC"),
        many(b"NTE"),
        group(&OUL_PATIENT),
        group(&VISIT),
        many(b"NK1"),
        results,
        one(b"DSC"),
    ]
}

static OUL_SPECIMENS: Group = ordered("MESSAGE", &[], &oul(groups(&OUL_SPECIMEN)));
static OUL_CONTAINERS: Group = ordered("MESSAGE", &[], &oul(groups(&OUL_SPECIMEN_CONTAINERS)));
static OUL_ORDERS: Group = ordered("MESSAGE", &[], &oul(groups(&OUL_ORDER)));

// Documents.

static COMMON_ORDER: Group = ordered(
    "COMMON_ORDER",
    &[b"ORC", b"OBR"],
    &[one(b"ORC"), groups(&TIMING_QTY), one(b"OBR"), many(b"NTE"), late(b"ORC", b"OBR")],
);
/// One TXA with its content; the standard has one for each message, senders have more.
static DOCUMENT: Group =
    ordered("DOCUMENT", &[b"TXA"], &[one(b"TXA"), many(b"CON"), many(b"NTE"), groups(&OBSERVATION)]);
static MDM: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one(b"MSH"),
        many(b"SFT"),
        one(b"UAC"),
        one(b"EVN"),
        one(b"PID"),
        one(b"PD1"),
        many(b"NTE"),
        one(b"PV1"),
        one(b"PV2"),
        groups(&COMMON_ORDER),
        groups(&OBSERVATION),
        groups(&DOCUMENT),
    ],
);

// Orders.

static ORDER_PATIENT: Group = unordered(
    "PATIENT",
    &[b"PID"],
    &[
        one(b"PID"),
        one(b"PD1"),
        many(b"PRT"),
        many(b"NTE"),
        groups(&NEXT_OF_KIN),
        many(b"ARV"),
        group(&PATIENT_VISIT),
        groups(&INSURANCE),
        many(b"GT1"),
        groups(&ALLERGY),
        groups(&ADVERSE_REACTION),
    ],
);
static PATIENT_VISIT: Group = ordered("PATIENT_VISIT", &[b"PV1"], VISIT.items);
static COMPONENT: Group = ordered("COMPONENT", &[b"RXC"], &[one(b"RXC"), many(b"NTE")]);
static ORDER: Group = ordered(
    "ORDER",
    &[b"ORC", b"OBR"],
    &[
        one(b"ORC"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&TIMING_QTY),
        one(b"OBR"),
        one(b"RXO"),
        one(b"RXE"),
        one(b"RQD"),
        one(b"ODS"),
        one(b"TCD"),
        many(b"NTE"),
        many(b"PRT"),
        many(b"RXR"),
        groups(&COMPONENT),
        groups(&TIMING_QTY),
        one(b"CTD"),
        groups(&DIAGNOSIS),
        groups(&SPECIMEN_BEFORE),
        late(b"ORC", b"OBR"),
        groups(&OBSERVATION),
        many(b"IPC"),
        groups(&SPECIMEN),
        many(b"FT1"),
        many(b"CTI"),
        one(b"BLG"),
    ],
);
static ORDERS: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one(b"MSH"),
        many(b"SFT"),
        one(b"UAC"),
        one(b"MSA"),
        many(b"ERR"),
        many(b"NTE"),
        group(&ORDER_PATIENT),
        groups(&ORDER),
    ],
);

// Orders that stand below the specimen, or its container, that they are about (OML_O33, OML_O35).

static ORDER_BELOW: Group = ordered(
    "ORDER",
    &[b"ORC", b"OBR"],
    &[
        one(b"ORC"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&TIMING_QTY),
        one(b"OBR"),
        one(b"TCD"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&TIMING_QTY),
        groups(&DIAGNOSIS),
        groups(&OBSERVATION),
        many(b"FT1"),
        many(b"CTI"),
        one(b"BLG"),
    ],
);
static CONTAINER_ORDERS: Group =
    ordered("CONTAINER", &[b"SAC"], &[one(b"SAC"), many(b"NTE"), groups(&SPECIMEN_OBSERVATION), groups(&ORDER_BELOW)]);
static SPECIMEN_WITH_ORDERS: Group = ordered(
    "SPECIMEN",
    &[b"SPM"],
    &[
        one(b"SPM"),
        many(b"NTE"),
        many(b"PRT"),
        groups(&SPECIMEN_OBSERVATION),
        groups(&ORDER_BELOW),
        groups(&CONTAINER_ORDERS),
    ],
);
static SPECIMEN_ORDERS: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one(b"MSH"),
        many(b"SFT"),
        one(b"UAC"),
        many(b"NTE"),
        group(&ORDER_PATIENT),
        groups(&SPECIMEN_WITH_ORDERS),
        groups(&ORDER_BELOW),
    ],
);

// Problems.

static GOAL: Group =
    unordered("GOAL", &[b"GOL"], &[one(b"GOL"), many(b"NTE"), many(b"VAR"), many(b"ROL"), groups(&OBSERVATION)]);
static PROBLEM: Group = ordered(
    "PROBLEM",
    &[b"PRB"],
    &[
        one(b"PRB"),
        many(b"NTE"),
        many(b"VAR"),
        many(b"ROL"),
        many(b"PTH"),
        groups(&OBSERVATION),
        groups(&GOAL),
        groups(&ORDER),
    ],
);
static PROBLEMS: Group = ordered(
    "MESSAGE",
    &[],
    &[one(b"MSH"), many(b"SFT"), one(b"UAC"), one(b"PID"), one(b"PD1"), group(&PROBLEM_VISIT), groups(&PROBLEM)],
);
static PROBLEM_VISIT: Group = ordered("PATIENT_VISIT", &[b"PV1"], VISIT.items);

// Immunisations.

static VXU_PATIENT: Group = ordered("PATIENT", &[b"PV1"], VISIT.items);
static VXU_ORDER: Group = ordered(
    "ORDER",
    &[b"ORC", b"RXA"],
    &[one(b"ORC"), groups(&TIMING_QTY), many(b"NTE"), one(b"RXA"), one(b"RXR"), many(b"NTE"), groups(&OBSERVATION)],
);
static VXU: Group = ordered(
    "MESSAGE",
    &[],
    &[
        one(b"MSH"),
        many(b"SFT"),
        one(b"UAC"),
        one(b"MSA"),
        one(b"EVN"),
        one(b"PID"),
        one(b"PD1"),
        groups(&NEXT_OF_KIN),
        many(b"ARV"),
        group(&VXU_PATIENT),
        many(b"GT1"),
        groups(&INSURANCE),
        groups(&OBSERVATION),
        many(b"NTE"),
        groups(&VXU_ORDER),
    ],
);
