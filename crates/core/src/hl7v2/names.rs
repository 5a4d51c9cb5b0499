//! The names HL7 v2 gives to segments and message types, so that a slip of the pen in a mapping is found.
//!
//! For whoever writes a path, and for lines that could be text; a message may hold any segment and is never held against
//! these lists.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::segment::SegmentName;

/// The segments of v2.1 to v2.9, those seen most often first, each with the number of its last field.
const SEGMENTS: &str = "\
    MSH:28 PID:40 PV1:54 EVN:8 PV2:50 PD1:23 NK1:41 OBR:55 OBX:33 ORC:38 NTE:9 SCH:28 AIP:12 AIL:12 AIS:12 AIG:14 \
    RGS:3 TXA:28 MRG:7 AL1:6 DG1:26 SPM:35 IN1:55 IN2:72 GT1:57 ROL:14 PRT:26 TQ1:14 TQ2:10 \
    ABS:14 ACC:14 ADD:1 ADJ:15 AFF:5 APR:5 ARQ:25 ARV:7 AUT:30 BHS:14 BLC:2 BLG:4 BPO:14 BPX:21 BTS:3 BTX:20 BUI:13 \
    CDM:14 CDO:4 CER:31 CM0:11 CM1:3 CM2:4 CNS:6 CON:27 CSP:4 CSR:16 CSS:3 CTD:8 CTI:4 CTR:20 DB1:8 DEV:29 DMI:5 \
    DON:34 DPS:5 DRG:33 DSC:2 DSP:5 DST:2 ECD:5 ECR:3 EDU:9 EQL:4 EQP:5 EQU:13 ERQ:3 ERR:12 FAC:12 FHS:14 FT1:56 \
    FTS:2 GOL:22 GP1:5 GP2:14 GSC:9 GSP:9 GSR:5 IAM:30 IAR:4 IIM:22 ILT:10 IN3:28 INV:20 IPC:10 IPR:8 ISD:3 ITM:33 \
    IVC:30 IVT:26 LAN:4 LCC:4 LCH:5 LDP:12 LOC:9 LRL:6 MCP:5 MFA:6 MFE:8 MFI:6 MSA:8 NCK:1 NDS:4 NPU:2 NSC:9 NST:15 \
    ODS:4 ODT:3 OH1:6 OH2:16 OH3:9 OH4:4 OM1:59 OM2:11 OM3:8 OM4:18 OM5:4 OM6:3 OM7:24 OMC:15 ORG:14 ORO:4 OVR:5 \
    PAC:8 PCE:4 PCR:23 PDA:9 PDC:15 PEO:25 PES:13 PKG:8 PM1:24 PMT:12 PR1:26 PRA:12 PRB:30 PRC:18 PRD:15 PSG:6 \
    PSH:14 PSL:48 PSS:5 PTH:9 PYE:7 QAK:6 QID:2 QPD:99 QRD:12 QRF:10 QRI:3 RCP:7 RDF:2 RDT:99 REL:17 RF1:26 RFI:4 \
    RMI:3 RQ1:7 RQD:10 RX1:30 RXA:29 RXC:11 RXD:37 RXE:46 RXG:35 RXO:38 RXR:6 RXV:24 SAC:56 SCD:37 SCP:8 SDD:7 SFT:6 \
    SGH:2 SGT:2 SHP:12 SID:4 SLT:5 SPR:4 STF:42 STZ:4 TCC:16 TCD:10 UAC:2 UB1:23 UB2:17 URD:7 URS:9 VAR:6 VND:5 \
    VTQ:5";

/// The Z segments Fairway knows. Their fields are not counted.
const OWN_SEGMENTS: [&str; 5] = ["ZTM", "ZRX", "ZAP", "ZVN", "ZSC"];

/// MSH-9.1 of v2.1 to v2.9, those seen most often first.
const MESSAGE_CODES: &str = "\
    ADT ORU SIU MDM ORM ACK ADR ARD BAR BPS BRP BRT BTS CCF CCI CCM CCQ CCR CCU CQU CRM CSU DBC DBU DEL DEO DER DET \
    DFT DOC DPR DRC DRG DSR EAC EAN EAR EDR EHC EQQ ERP ESR ESU INR INU LSR LSU MCF MFD MFK MFN MFQ MFR NMD NMQ NMR \
    OMB OMD OMG OMI OML OMN OMP OMQ OMS OPL OPR OPU ORA ORB ORD ORF ORG ORI ORL ORN ORP ORR ORS ORX OSM OSQ OSR OSU \
    OUL PEX PGL PIN PMU PPG PPP PPR PPT PPV PRR PTR QBP QCK QCN QRY QSB QSX QVR RAR RAS RCI RCL RDE RDO RDR RDS RDY \
    REF RER RGR RGV ROR RPA RPI RPL RPR RQA RQC RQI RQP RQQ RRA RRD RRE RRG RRI RRO RSP RTB SCN SDN SDR SDS SIR SLN \
    SLR SMD SPQ SQM SQR SRM SRR SSR SSU STC STI SUR TBR TCR TCU UDF UDM VQQ VTQ VXQ VXR VXU VXX";

/// Names of the segments of the standard and of Fairway's own, those seen most often first.
pub fn segment_names() -> impl Iterator<Item = &'static str> {
    SEGMENTS.split_ascii_whitespace().filter_map(|entry| Some(entry.split_once(':')?.0)).chain(OWN_SEGMENTS)
}

/// Whether this is the name of a segment of the standard or of Fairway's own.
pub(super) fn is_segment(name: &[u8; 3]) -> bool {
    static NAMES: LazyLock<HashSet<&[u8]>> = LazyLock::new(|| segment_names().map(str::as_bytes).collect());
    NAMES.contains(&name[..])
}

/// Codes of the message types of the standard, those seen most often first.
pub fn message_codes() -> impl Iterator<Item = &'static str> {
    MESSAGE_CODES.split_ascii_whitespace()
}

/// The number of the segment's last field, when `field` is behind it.
pub(super) fn last_field_before(segment: SegmentName, field: u16) -> Option<u16> {
    let entry = SEGMENTS.split_ascii_whitespace().find_map(|entry| entry.strip_prefix(segment.as_str()));
    let last = entry?.strip_prefix(':')?.parse().ok()?;
    (field > last).then_some(last)
}

/// True when no message of this type holds the segment. Only said of segments that a kind of message is about: what
/// senders put in unusual places, as PV1, NTE or IN1, may be anywhere.
pub fn never_in(segment: SegmentName, code: &str) -> bool {
    match segment.as_str() {
        "SCH" | "RGS" | "AIS" | "AIG" | "AIL" | "AIP" => matches!(code, "ADT" | "BAR" | "MDM" | "ORU" | "OUL" | "VXU"),
        "TXA" => matches!(code, "ADT" | "BAR" | "SIU" | "VXU"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_lists_are_well_formed() {
        let mut names: Vec<&str> = segment_names().collect();
        assert!(names.iter().all(|name| SegmentName::parse(name).is_some()));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(message_codes().all(|code| SegmentName::parse(code).is_some()));
        for name in segment_names().filter(|name| !OWN_SEGMENTS.contains(name)) {
            assert!(last_field_before(SegmentName::parse(name).unwrap(), 200).is_some(), "{name}");
        }
    }

    #[test]
    fn fields_behind_the_last_are_found() {
        let last = |name: &str, field| last_field_before(SegmentName::parse(name).unwrap(), field);
        assert_eq!(last("PID", 99), Some(40));
        assert_eq!(last("PID", 41), Some(40));
        assert_eq!(last("PID", 40), None);
        assert_eq!(last("ZTM", 900), None);
        assert!(never_in(SegmentName::parse("SCH").unwrap(), "ADT"));
        assert!(!never_in(SegmentName::parse("SCH").unwrap(), "SIU"));
    }
}
