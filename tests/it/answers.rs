//! What the daemon answers when its sender asks for more, for less, or sends a batch.

use super::process::{Process, Sender, code_of};

const PERSON: &str = "PID|||9434765919^^^NHS^NH||Smith^John||19700101|M\r";

fn message(id: &str, asked: &str, version: &str, person: &str) -> String {
    format!("MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260102101112||ADT^A28|{id}|P|{version}|||{asked}\r{person}")
}

fn start(acknowledgement: &str) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| {
        let text = text.replace("\"test-range\"", "\"any\"");
        text.replace("acknowledgement = \"standard\"", &format!("acknowledgement = \"{acknowledgement}\""))
    });
    (folder, process)
}

#[test]
fn enhanced_mode_answers_twice_and_only_what_is_asked_for() {
    let (_folder, mut process) = start("strict");
    let mut sender = Sender::connect(process.results).unwrap();
    // The results listener takes no A28, so every one of these is rejected after it is stored.
    let accept = sender.send(message("E1", "AL|AL", "2.5", PERSON).as_bytes()).unwrap();
    let application = sender.answer().unwrap();
    assert_eq!((code_of(&accept), code_of(&application)), ("CA", "AR"));
    assert!(
        !accept.contains("ERR|") && application.contains("\rERR||MSH^1^9^1|200^Unsupported message type^HL70357|E|")
    );
    let silent = message("E2", "NE|NE", "2.5", PERSON);
    sender.raw(&[b"\x0B", silent.as_bytes(), b"\x1C\r"].concat()).unwrap();
    // What comes next is the answer to the next message: the silent one has none, and is stored.
    let next = sender.send(message("E3", "NE|AL", "2.4", PERSON).as_bytes()).unwrap();
    assert!(next.contains("MSA|AR|E3|"), "{next}");
    assert!(next.contains("\rERR|MSH^1^9^200&Unsupported message type&HL70357\r"), "{next}");
    assert_eq!(process.messages().len(), 3);
    // The same bytes again are answered alike, frame by frame, also by a process started anew.
    process.kill();
    process.restart();
    let mut sender = Sender::connect(process.results).unwrap();
    assert_eq!(sender.send(message("E1", "AL|AL", "2.5", PERSON).as_bytes()).unwrap(), accept);
    assert_eq!(sender.answer().unwrap(), application);
}

#[test]
fn a_plain_listener_answers_once_and_without_an_error_segment() {
    let (_folder, process) = start("plain");
    let mut sender = Sender::connect(process.results).unwrap();
    for asked in ["AL|AL", "NE|NE", "|"] {
        let answer = sender.send(message("P1", asked, "2.5", PERSON).as_bytes()).unwrap();
        assert!(answer.contains("MSA|AR|P1|Parsing or validation error: MSH-9"), "{answer}");
        assert!(!answer.contains("ERR|"), "{answer}");
    }
}

#[test]
fn each_message_of_a_batch_is_handled_and_answered_on_its_own() {
    let (_folder, process) = start("standard");
    let mut sender = Sender::connect(process.pas).unwrap();
    let bad = PERSON.replace("9434765919", "9434765910");
    let batch = format!(
        "FHS|^~\\&|PAS|RTST|FAIRWAY|PHR|||||F7\rBHS|^~\\&|PAS|RTST|FAIRWAY|PHR|||||B7\r{}{}{}BTS|4\rFTS|1\r",
        message("B1", "|", "2.4", PERSON),
        message("B2", "|", "2.4", &bad),
        message("B3", "|", "2.4", &PERSON.replace("Smith", "Smyth")),
    );
    let answer = sender.send(batch.as_bytes()).unwrap();
    let lines: Vec<&str> = answer.split('\r').collect();
    let starts: Vec<&str> = lines.iter().map(|line| line.get(..3).unwrap_or_default()).collect();
    assert_eq!(starts, ["FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "ERR", "MSH", "MSA", "BTS", "FTS", ""], "{answer}");
    assert!(lines[0].ends_with("|F7") && lines[1].ends_with("|B7"), "{answer}");
    assert_eq!((lines[3], lines[8]), ("MSA|AA|B1", "MSA|AA|B3"));
    assert!(lines[5].starts_with("MSA|AR|B2|Parsing or validation error: PID-3"), "{answer}");
    assert_eq!((lines[9], lines[10]), ("BTS|3|BTS-1 tells of 4 messages and 3 came", "FTS|1"));
    assert_eq!(process.messages().len(), 3);
    let record = process.reader().records_of(None, "9434765919").unwrap()[0];
    assert_eq!(process.reader().history("Patient", record, 10).unwrap().len(), 2);
    // A message whose header is damaged is kept and answered like any that cannot be read.
    let damaged = message("D1", "|", "2.4", PERSON).replacen("MSH|", "MS|", 1);
    let batch = format!("BHS|^~\\&|PAS\r{damaged}{}BTS|2\r", message("D2", "|", "2.4", PERSON));
    let answer = sender.send(batch.as_bytes()).unwrap();
    let codes: Vec<&str> = answer.split('\r').filter_map(|line| line.strip_prefix("MSA|")?.get(..2)).collect();
    assert_eq!(codes, ["AE", "AA"], "{answer}");
    assert_eq!(process.messages().len(), 5);
    // A batch of nothing is no message, and is kept.
    let nothing = sender.send(b"BHS|^~\\&|PAS\rBTS|0\r").unwrap();
    assert!(nothing.starts_with("BHS|") && code_of(&nothing) == "AE", "{nothing}");
    // More messages than wait for the writer together, in their order.
    let many: String =
        (0..300).map(|n| message(&format!("M{n}"), "|", "2.4", &PERSON.replace("Smith", &format!("N{n}")))).collect();
    let answer = sender.send(format!("BHS|^~\\&|PAS\r{many}BTS|300\r").as_bytes()).unwrap();
    let ids: Vec<&str> = answer.split('\r').filter_map(|line| line.strip_prefix("MSA|AA|")).collect();
    assert_eq!(ids, (0..300).map(|n| format!("M{n}")).collect::<Vec<_>>());
    assert!(answer.ends_with("\rBTS|300\r"), "{answer}");
    assert_eq!(process.reader().history("Patient", record, 400).unwrap().len(), 303);
}

#[test]
fn a_broken_frame_never_lends_its_header_to_the_next() {
    let (_folder, process) = start("standard");
    let mut sender = Sender::connect(process.pas).unwrap();
    let whole = |id: &str| message(id, "|", "2.4", PERSON);
    // The first breaks off in its header, in its event, and in its patient.
    for (cut, id) in [(70, "K1"), (84, "K2"), (100, "K3")] {
        let first = whole("BROKEN");
        let stream = [b"\x0B", &first.as_bytes()[..cut], b"\x0B", whole(id).as_bytes(), b"\x1C\r"].concat();
        sender.raw(&stream).unwrap();
        let (broken, next) = (sender.answer().unwrap(), sender.answer().unwrap());
        assert_eq!(code_of(&broken), "AE", "{broken}");
        assert!(next.contains(&format!("MSA|AA|{id}\r")), "{next}");
    }
    assert_eq!(process.messages().len(), 6);
}

#[test]
fn what_a_sender_puts_into_its_header_by_mistake_is_bounded_and_not_logged() {
    let (_folder, process) = start("standard");
    let mut sender = Sender::connect(process.pas).unwrap();
    let planted = message("P1", "|", "2.4", PERSON).replace("ADT^A28", "PLANTED^9434765919");
    let answer = sender.send(planted.as_bytes()).unwrap();
    assert!(answer.contains("MSA|AR|P1|") && !answer.contains("PLANTED^9434765919 from"), "{answer}");
    let long = message(&"x".repeat(5_000_000), "|", "2.4", PERSON);
    let answer = sender.send(long.as_bytes()).unwrap();
    assert!(
        answer.len() < 2000 && answer.contains("MSH-10.1 (message control id) is longer than 199 characters"),
        "{answer}"
    );
    let long = message("P2", "|", "2.4", PERSON).replace("ADT^A28", &"A".repeat(5_000_000));
    assert!(sender.send(long.as_bytes()).unwrap().len() < 2000);
    assert!(process.messages().iter().all(|message| message.control_id.len() < 200 && message.kind.len() < 20));
    let log = process.log();
    assert!(!log.contains("PLANTED") && !log.contains("9434765919") && log.len() < 20_000, "{}", log.len());
}

#[test]
fn send_takes_the_second_answer_of_enhanced_mode() {
    let (folder, process) = start("standard");
    let file = folder.path().join("enhanced.hl7");
    let bad = PERSON.replace("9434765919", "9434765910");
    let messages = [
        message("S1", "AL|AL", "2.4", PERSON),
        message("S2", "|", "2.4", PERSON),
        message("S3", "AL|AL", "2.4", &bad),
        message("S4", "AL|NE", "2.4", PERSON),
        message("S5", "|", "2.4", PERSON),
    ];
    std::fs::write(&file, messages.concat()).unwrap();
    let sent = std::process::Command::new(env!("CARGO_BIN_EXE_fairway"))
        .args(["send", "--to", &process.pas.to_string()])
        .arg(&file)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert!(out.contains("AA 3, AR 1, CA 1"), "{out}");
    assert!(out.contains("(0 unanswered)"), "{out}");
    assert_eq!(process.messages().len(), 5);
    assert_eq!(sent.status.code(), Some(1));
}

#[test]
fn a_repeat_is_answered_as_its_address_answers_and_otherwise_as_before() {
    let folder = tempfile::tempdir().unwrap();
    // One feed on three listeners that answer differently.
    let mut process = Process::start_with(folder.path(), |text| {
        let text = text.replace("\"test-range\"", "\"any\"");
        let text = text.replacen("acknowledgement = \"standard\"", "acknowledgement = \"strict\"", 1);
        let text = text.replace("\"radiology\", \"pathology\"", "\"demographics\"");
        text.replacen("feeds  = [", "acknowledgement = \"plain\"\n  feeds  = [", 1)
    });
    let send = |process: &Process, strict: bool, bytes: &str| {
        Sender::connect(if strict { process.results } else { process.pas }).unwrap().send(bytes.as_bytes()).unwrap()
    };
    // Silent at the strict address, and answered at the plain one, as its sender waits there.
    let silent = message("R1", "NE|NE", "2.4", PERSON);
    let mut strict = Sender::connect(process.results).unwrap();
    strict.raw(&[b"\x0B", silent.as_bytes(), b"\x1C\r"].concat()).unwrap();
    let next = strict.send(message("R2", "|", "2.4", PERSON).as_bytes()).unwrap();
    assert!(next.contains("MSA|AA|R2"), "{next}");
    assert!(send(&process, false, &silent).contains("MSA|AA|R1\r"));
    // Two answers at the strict address are one at the plain one.
    let twice = message("R3", "AL|AL", "2.4", PERSON);
    let first = strict.send(twice.as_bytes()).unwrap();
    let second = strict.answer().unwrap();
    assert_eq!((code_of(&first), code_of(&second)), ("CA", "AA"));
    let plain = send(&process, false, &twice);
    assert_eq!(plain.matches("MSA|AA|R3").count() + plain.matches("MSA|").count(), 2, "{plain}");
    // At the same address the bytes are the same, also for a process started anew.
    process.kill();
    process.restart();
    assert_eq!(send(&process, false, &twice), plain);
    let mut strict = Sender::connect(process.results).unwrap();
    assert_eq!((strict.send(twice.as_bytes()).unwrap(), strict.answer().unwrap()), (first, second));
    let outcomes: Vec<&str> = process.messages().iter().map(|message| message.outcome.as_str()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "repeat").count(), 4, "{outcomes:?}");
}

#[test]
fn what_one_address_accepted_is_still_refused_by_an_address_that_does_not_take_it() {
    let (_folder, process) = start("standard");
    let a28 = message("O1", "|", "2.4", PERSON);
    assert_eq!(code_of(&Sender::connect(process.pas).unwrap().send(a28.as_bytes()).unwrap()), "AA");
    let refused = Sender::connect(process.results).unwrap().send(a28.as_bytes()).unwrap();
    assert!(refused.contains("MSA|AR|O1|Parsing or validation error: MSH-9"), "{refused}");
}

#[test]
fn every_acknowledgement_has_a_control_id_of_its_own() {
    let (_folder, process) = start("standard");
    let many: String = (0..200)
        .map(|n| message(&format!("C{n}"), "AL|AL", "2.4", &PERSON.replace("Smith", &format!("N{n}"))))
        .collect();
    let batch = format!("FHS|^~\\&|PAS\rBHS|^~\\&|PAS\r{many}BTS|200\rFTS|1\r");
    let answer = Sender::connect(process.pas).unwrap().send(batch.as_bytes()).unwrap();
    let id = |line: &str| {
        let at = if line.starts_with("MSH") { 9 } else { 10 };
        line.split('|').nth(at).unwrap().to_owned()
    };
    let headers = answer.split('\r').filter(|line| ["MSH", "FHS", "BHS"].iter().any(|name| line.starts_with(name)));
    let ids: Vec<String> = headers.map(id).collect();
    let mut different = ids.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!((ids.len(), different.len()), (402, 402));
}

#[test]
fn a_long_batch_leaves_room_for_other_senders() {
    let (_folder, process) = start("standard");
    // 80,000 lines; reckoned as one they would take all memory there is for messages on their way.
    let lines = "NTE|1||x\r".repeat(7);
    let many: String = (0..8000).map(|n| message(&format!("L{n}"), "|", "2.4", &format!("{PERSON}{lines}"))).collect();
    let batch = format!("BHS|^~\\&|PAS\r{many}BTS|8000\r");
    let pas = process.pas;
    let sending = std::thread::spawn(move || {
        let answer = Sender::connect(pas).unwrap().send(batch.as_bytes()).unwrap();
        answer.matches("MSA|").count()
    });
    while process.reader().message_count().unwrap_or(0) < 64 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut other = Sender::connect(process.results).unwrap();
    other.send(message("L", "|", "2.4", PERSON).as_bytes()).unwrap();
    assert!(process.messages().len() < 8000, "the batch was not waited for");
    assert_eq!(sending.join().unwrap(), 8000);
}

#[test]
fn a_batch_of_nothing_is_answered_as_a_batch() {
    let (_folder, process) = start("standard");
    let answer = Sender::connect(process.pas).unwrap().send(b"FHS|^~\\&|PAS\rBHS|^~\\&|PAS\rBTS|0\rFTS|1\r").unwrap();
    let names: Vec<&str> = answer.split('\r').map(|line| line.get(..3).unwrap_or_default()).collect();
    assert_eq!(names, ["FHS", "BHS", "MSH", "MSA", "BTS", "FTS", ""], "{answer}");
    assert_eq!(process.messages().len(), 1);
}

#[test]
fn an_acknowledgement_is_kept_and_not_acknowledged() {
    let (_folder, process) = start("standard");
    let mut sender = Sender::connect(process.pas).unwrap();
    let ack = "MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260102101112||ACK^A28|K1|P|2.4\rMSA|AA|1\r";
    sender.raw(&[b"\x0B", ack.as_bytes(), b"\x1C\r"].concat()).unwrap();
    let next = sender.send(message("K2", "|", "2.4", PERSON).as_bytes()).unwrap();
    assert!(next.contains("MSA|AA|K2\r"), "{next}");
    assert_eq!(process.messages().len(), 2);
}
