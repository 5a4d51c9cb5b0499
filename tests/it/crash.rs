//! Kill -9 at random moments: every acknowledged message is there once, with its effects once, and none half.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairway::store::{Driver, Scan};
use fairway_core::fhir::Json;
use fairway_core::record::{Outcome, ResourceId};

use super::process::{Process, Sender, code_of};

const SENDERS: usize = 32;
const KILLS: usize = 30;

/// The `n`th NHS number of the test range with a valid check digit.
pub(crate) fn nhs_number(n: usize) -> String {
    let mut body = 999_100_000 + n;
    loop {
        let digits: Vec<usize> = body.to_string().bytes().map(|byte| usize::from(byte - b'0')).collect();
        let sum: usize = digits.iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
        match 11 - sum % 11 {
            10 => body += 100_000,
            11 => return format!("{body}0"),
            check => return format!("{body}{check}"),
        }
    }
}

/// What sender `s` sends as its `n`th message: the patient first, then updates, appointments and transfers by turns.
fn message(s: usize, n: usize) -> Vec<u8> {
    let nhs = nhs_number(s);
    let at = format!("2026010{}{:02}{:02}{:02}", 1 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60);
    let header = |event: &str| format!("MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|{at}||{event}|K{s}-{n}|P|2.4\r");
    let pid = format!("PID|||{nhs}^^^NHS^NH||Sender{s}^Kim||19700101|F|||{n} Long Road^^Leeds^^LS1 1AA\r");
    let text = match n % 3 {
        _ if n == 0 => header("ADT^A28") + &pid,
        0 => header("ADT^A31") + &pid,
        1 => header("SIU^S12") + &pid + &format!("SCH|AP{s}-{n}||||||^Visit||||^^^{at}\rPV1|||^^^^^^^^Clinic\r"),
        _ => header("ADT^A02") + &pid + &format!("EVN||{at}|||| {at}\rPV1||I|^^^^^^^^Ward {n}||||||||||||||||V{s}\r"),
    };
    text.into_bytes()
}

/// A sender: goes on until told to stop, sends again what was not answered, and tells how many were acknowledged.
fn run(process_address: std::net::SocketAddr, s: usize, stop: &AtomicBool) -> Result<usize, String> {
    let mut sender: Option<Sender> = None;
    let mut n = 0;
    loop {
        let Some(open) = &mut sender else {
            sender = Sender::connect(process_address).ok();
            if sender.is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            continue;
        };
        match open.send(&message(s, n)) {
            Ok(ack) if code_of(&ack) == "AA" && ack.contains(&format!("|K{s}-{n}")) => {
                n += 1;
                // Only behind an answer: what is on its way must come to its end, so that the counts are known.
                if stop.load(Ordering::Relaxed) {
                    return Ok(n);
                }
            }
            Ok(ack) => return Err(format!("message {n} of sender {s} was answered {ack:?}")),
            Err(_) => sender = None,
        }
    }
}

#[test]
fn kill_nine_loses_nothing_doubles_nothing_halves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Mutex<Vec<usize>>> = Arc::new(Mutex::new(vec![0; SENDERS]));
    let threads: Vec<_> = (0..SENDERS)
        .map(|s| {
            let (stop, acknowledged, address) = (stop.clone(), acknowledged.clone(), process.pas);
            std::thread::spawn(move || {
                let count = run(address, s, &stop)?;
                acknowledged.lock().unwrap()[s] = count;
                Ok::<(), String>(())
            })
        })
        .collect();
    // Moments differ from run to run; the seed is printed so that a failure can be looked into.
    let mut seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let started = Instant::now();
    for _ in 0..KILLS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        std::thread::sleep(Duration::from_micros(3_000 + seed % 120_000));
        process.kill();
        process.restart();
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(process.terminate(), Some(0), "{}", process.log());
    let acknowledged = acknowledged.lock().unwrap().clone();
    let total: usize = acknowledged.iter().sum();
    println!("{KILLS} kills in {:.1?}, {total} messages acknowledged", started.elapsed());
    assert!(acknowledged.iter().all(|count| *count > 0));
    check(&process, &acknowledged);
}

/// Holds the store against what the senders know.
fn check(process: &Process, acknowledged: &[usize]) {
    let messages = process.messages();
    // Every acknowledged message once, and nothing else.
    let mut stored: BTreeMap<&str, (usize, i64)> = BTreeMap::new();
    let mut repeats = 0;
    for message in &messages {
        if message.outcome == Outcome::Repeat {
            assert_eq!(message.ack_code, "AA");
            repeats += 1;
            continue;
        }
        assert_eq!(message.outcome, Outcome::Applied, "{} {:?}", message.control_id, message.reason);
        let entry = stored.entry(&message.control_id).or_insert((0, message.id));
        entry.0 += 1;
    }
    println!("{} messages stored, {repeats} of them repeats", messages.len());
    for (s, count) in acknowledged.iter().enumerate() {
        for n in 0..*count {
            let id = format!("K{s}-{n}");
            assert_eq!(stored.get(id.as_str()).map(|entry| entry.0), Some(1), "{id}");
        }
    }
    assert!(stored.values().all(|entry| entry.0 == 1));
    assert_eq!(stored.len(), acknowledged.iter().sum::<usize>(), "nothing that was not sent");

    let reader = process.reader();
    let all = |kind: &'static str, record: ResourceId| {
        let scan = Scan { resource_type: kind, driver: Driver::Records(vec![record]), after: 0, limit: 1_000_000 };
        reader.scan(&scan).unwrap()
    };
    for (s, count) in acknowledged.iter().enumerate() {
        let system = "https://fhir.nhs.uk/Id/nhs-number";
        let records = reader.records_of(Some(system), &nhs_number(s)).unwrap();
        assert_eq!(records.len(), 1);
        let record = records[0];
        // Each update made one version of the Patient: the A28 and every A31, with the address it says.
        let updates = (0..*count).filter(|n| *n == 0 || n % 3 == 0).count();
        let history = reader.history("Patient", record, 1_000_000).unwrap();
        assert_eq!(history.len(), updates, "sender {s}");
        let made_by: BTreeSet<i64> = history.iter().map(|version| version.message).collect();
        assert_eq!(made_by.len(), updates, "one message, one version");
        let last = (0..*count).rev().find(|n| n % 3 == 0).unwrap();
        assert_eq!(history[0].body.str_at("address[0].line[0]"), Some(format!("{last} Long Road").as_str()));
        assert_eq!(all("CareTeam", record).len(), 1, "the A28 whole: patient and team");
        let appointments = (0..*count).filter(|n| n % 3 == 1).count();
        assert_eq!(all("Appointment", record).len(), appointments, "sender {s}");
        // Transfers append, so a message applied twice would show as an event too many.
        let transfers = (0..*count).filter(|n| n % 3 == 2).count();
        let encounters = all("Encounter", record);
        assert_eq!(encounters.len(), usize::from(transfers > 0));
        if let Some(encounter) = encounters.first() {
            let places = encounter.stored.body.get("location").and_then(Json::as_array).unwrap_or_default();
            let wards: BTreeSet<&str> = places.iter().filter_map(|place| place.str_at("location.display")).collect();
            assert_eq!((places.len(), wards.len()), (transfers, transfers), "sender {s}");
            assert_eq!(encounter.stored.version as usize, transfers);
        }
    }
}
