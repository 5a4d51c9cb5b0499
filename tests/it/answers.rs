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
    // A batch of nothing is no message, and is kept.
    let nothing = sender.send(b"BHS|^~\\&|PAS\rBTS|0\r").unwrap();
    assert_eq!(code_of(&nothing), "AE", "{nothing}");
    // More messages than wait for the writer together, in their order.
    let many: String =
        (0..300).map(|n| message(&format!("M{n}"), "|", "2.4", &PERSON.replace("Smith", &format!("N{n}")))).collect();
    let answer = sender.send(format!("BHS|^~\\&|PAS\r{many}BTS|300\r").as_bytes()).unwrap();
    let ids: Vec<&str> = answer.split('\r').filter_map(|line| line.strip_prefix("MSA|AA|")).collect();
    assert_eq!(ids, (0..300).map(|n| format!("M{n}")).collect::<Vec<_>>());
    assert!(answer.ends_with("\rBTS|300\r"), "{answer}");
    assert_eq!(process.reader().history("Patient", record, 400).unwrap().len(), 302);
}
