//! The daemon as hospitals meet it: bad input, repeats, routing, an orderly stop, and messages nobody here wrote.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairway::cli::messages::{Blank, read};
use fairway_core::fhir::Json;
use fairway_core::record::Outcome;

use super::http::text;
use super::process::{Process, Sender, code_of};

const A28: &str = "MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260102101112||ADT^A28|D1|P|2.4\r\
                   PID|||9991000018^^^NHS^NH||Smith^John||19700101|M\r";

/// The message with another control id and NHS number left as it is.
fn with_id(message: &str, id: &str) -> Vec<u8> {
    message.replace("|D1|", &format!("|{id}|")).into_bytes()
}

fn start() -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| text.replace("\"test-range\"", "\"any\""));
    (folder, process)
}

#[test]
fn the_same_message_again_gives_the_stored_ack_and_changes_nothing() {
    let (_folder, mut process) = start();
    let message = A28.replace("9991000018", "9434765919");
    let first = Sender::connect(process.pas).unwrap().send(message.as_bytes()).unwrap();
    assert_eq!(code_of(&first), "AA", "{first}");
    let again = Sender::connect(process.pas).unwrap().send(message.as_bytes()).unwrap();
    assert_eq!(again, first);
    process.kill();
    process.restart();
    assert_eq!(Sender::connect(process.pas).unwrap().send(message.as_bytes()).unwrap(), first);
    let outcomes: Vec<Outcome> = process.messages().iter().map(|message| message.outcome).collect();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Repeat, Outcome::Repeat]);
    let record = process.reader().records_of(None, "9434765919").unwrap()[0];
    assert_eq!(process.reader().history("Patient", record, 10).unwrap().len(), 1);
    // Other bytes under the same control id are another message.
    let other = message.replace("Smith", "Smyth");
    assert_eq!(code_of(&Sender::connect(process.pas).unwrap().send(other.as_bytes()).unwrap()), "AA");
    assert_eq!(process.reader().history("Patient", record, 10).unwrap().len(), 2);
}

#[test]
fn a_refusal_is_answered_alike_until_its_cause_is_gone() {
    let (_folder, process) = start();
    let appointment = "MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260102101112||SIU^S12|S1|P|2.4\r\
                       PID|||9434765919^^^NHS^NH||Smith^John\rSCH|X1||||||^Visit||||^^^20260301090000\r\
                       PV1|||^^^^^^^^Clinic\r";
    let mut sender = Sender::connect(process.pas).unwrap();
    let refused = sender.send(appointment.as_bytes()).unwrap();
    assert!(refused.contains("MSA|AR|S1|Parsing or validation error: PID-3"), "{refused}");
    assert_eq!(sender.send(appointment.as_bytes()).unwrap(), refused);
    assert_eq!(code_of(&sender.send(A28.replace("9991000018", "9434765919").as_bytes()).unwrap()), "AA");
    assert_eq!(code_of(&sender.send(appointment.as_bytes()).unwrap()), "AA");
    let outcomes: Vec<Outcome> = process.messages().iter().map(|message| message.outcome).collect();
    assert_eq!(outcomes, [Outcome::Rejected, Outcome::Repeat, Outcome::Applied, Outcome::Applied]);
}

#[test]
fn messages_are_routed_by_type_and_sender() {
    let (_folder, process) = start();
    let mut sender = Sender::connect(process.results).unwrap();
    let report = |application: &str| {
        format!(
            "MSH|^~\\&|{application}|RTST|FAIRWAY|PHR|20260102||ORU^R01|R1{application}|P|2.4\rPID|||9434765919^^^NHS^NH\r"
        )
    };
    sender.send(report("RADIOLOGY").as_bytes()).unwrap();
    sender.send(report("LAB").as_bytes()).unwrap();
    // Demographics are not served on this address.
    let other = sender.send(A28.as_bytes()).unwrap();
    assert!(
        other.contains("MSA|AR|D1|Parsing or validation error: MSH-9: no feed of this address takes ADT"),
        "{other}"
    );
    let messages = process.messages();
    let feeds: Vec<&str> = messages.iter().map(|message| message.feed.as_str()).collect();
    assert_eq!(feeds, ["radiology", "pathology", ""]);
}

#[test]
fn bad_input_is_answered_or_closed_and_the_listener_lives_on() {
    let (_folder, process) = start();
    let good = |id: &str| {
        let ack = Sender::connect(process.pas).unwrap().send(&with_id(A28, id)).unwrap();
        assert!(ack.contains(&format!("MSA|AR|{id}|")) || code_of(&ack) == "AA", "{ack}");
    };
    // Garbage before and between frames, two messages in one read.
    let mut sender = Sender::connect(process.pas).unwrap();
    let frame = |id: &str| [b"\x0B".as_slice(), &with_id(A28, id), b"\x1C\r"].concat();
    sender.raw(&[b"garbage \r\n".as_slice(), &frame("G1"), b"\r\n more ", &frame("G2")].concat()).unwrap();
    assert!(sender.answer().unwrap().contains("|G1"));
    assert!(sender.answer().unwrap().contains("|G2"));
    // No MSH, wrong separators, an unknown type, nothing at all.
    let mut sender = Sender::connect(process.pas).unwrap();
    for (message, code) in [
        (&b"PID|||1\r"[..], "AE"),
        (b"MSHxxxxxxx", "AE"),
        (b"", "AE"),
        (b"\xFF\xFE\x00garbage", "AE"),
        (b"MSH|^~\\&|PAS|RTST|F|P|20260102||ZZZ^Z99|U1|P|2.4\r", "AR"),
        (b"MSH|^~\\&|PAS|RTST|F|P|20260102|||U2|P|2.4\r", "AR"),
        (b"MSH|^~\\&|PAS|RTST|F|P|2026010||ADT^A28|U3|P|2.4\rPID|||9434765919^^^NHS^NH\r", "AR"),
        (b"MSH|^~\\&|PAS|RTST|F|P|20260102||ADT^A28||P|2.4\rPID|||9434765919^^^NHS^NH\r", "AR"),
    ] {
        let ack = sender.send(message).unwrap();
        assert_eq!(code_of(&ack), code, "{ack}");
        assert!(ack.split('|').any(|field| field.len() > 20), "a reason: {ack}");
    }
    good("L1");
    // A frame without an end, then the connection is closed: kept as failed.
    let before = process.messages().len();
    let mut sender = Sender::connect(process.pas).unwrap();
    sender.raw(b"\x0BMSH|^~\\&|PAS|half").unwrap();
    drop(sender);
    let waited = Instant::now();
    while process.messages().len() == before {
        assert!(waited.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    good("L2");
    let messages = process.messages();
    assert!(messages.iter().all(|message| process.reader().raw(message.id).unwrap().is_some()));
    assert!(messages.iter().any(|message| message.outcome == Outcome::Failed));
    assert!(!process.log().contains("Smith"), "no personal data in the log");
}

#[test]
fn half_a_frame_and_silence_is_answered_and_closed_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| {
        text.replace("name   = \"pas\"\n", "name   = \"pas\"\n  frame-timeout-secs = 1\n  frame-bytes-max = 4096\n")
    });
    let mut sender = Sender::connect(process.pas).unwrap();
    sender.raw(b"\x0BMSH|^~\\&|PAS|half").unwrap();
    let started = Instant::now();
    let answer = sender.answer().unwrap();
    assert_eq!(code_of(&answer), "AE", "{answer}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(sender.answer().is_err(), "closed");
    // Longer than this listener takes.
    let mut sender = Sender::connect(process.pas).unwrap();
    sender.raw(&[b"\x0B".as_slice(), A28.as_bytes(), &vec![b'x'; 10_000], b"\x1C\r"].concat()).unwrap();
    let answer = sender.answer().unwrap();
    assert!(answer.contains("MSA|AR|D1|Parsing or validation error: the message is longer"), "{answer}");
}

#[test]
fn a_hundred_megabyte_document_goes_through() {
    let (_folder, process) = start();
    let mut sender = Sender::connect(process.pas).unwrap();
    assert_eq!(code_of(&sender.send(A28.replace("9991000018", "9434765919").as_bytes()).unwrap()), "AA");
    let head = "MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260103||MDM^T02|M1|P|2.4\rPID|||9434765919^^^NHS^NH\r\
                TXA|1|DS||20260103||||||||BIG1||||big.pdf|AU\rOBX|1|ED|1^Scan||^TEXT^PDF^Base64^";
    let mut message = Vec::with_capacity(100 * 1024 * 1024 + 1024);
    message.extend_from_slice(head.as_bytes());
    message.resize(100 * 1024 * 1024, b'A');
    message.truncate(message.len() - (message.len() - head.len()) % 4);
    message.push(b'\r');
    let ack = sender.send(&message).unwrap();
    assert_eq!(code_of(&ack), "AA", "{ack}");
    let last = process.messages().pop().unwrap();
    assert_eq!(process.reader().raw(last.id).unwrap().unwrap(), Bytes::from(message));
}

#[test]
fn sigterm_answers_what_was_framed_and_exits_with_zero() {
    let (_folder, mut process) = start();
    let mut senders: Vec<Sender> = (0..16).map(|_| Sender::connect(process.pas).unwrap()).collect();
    let message =
        |index: usize, turn: char| with_id(&A28.replace("9991000018", "9434765919"), &format!("{turn}{index}"));
    // An answer shows that the connection is served, so what follows on it has arrived.
    for (index, sender) in senders.iter_mut().enumerate() {
        assert_eq!(code_of(&sender.send(&message(index, 'S')).unwrap()), "AA");
    }
    for (index, sender) in senders.iter_mut().enumerate() {
        sender.raw(&[b"\x0B".as_slice(), &message(index, 'T'), b"\x1C\r"].concat()).unwrap();
    }
    assert_eq!(process.terminate(), Some(0), "{}", process.log());
    for (index, sender) in senders.iter_mut().enumerate() {
        let answer = sender.answer().unwrap();
        assert!(answer.contains(&format!("MSA|AA|T{index}")), "{answer}");
    }
    assert!(TcpStream::connect(process.pas).is_err());
    assert_eq!(process.messages().len(), 32);
}

#[test]
fn a_store_that_is_taken_away_is_noticed_before_anything_is_promised() {
    let (folder, process) = start();
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    let send = |id: &str| {
        let message = with_id(&A28.replace("9991000018", "9434765919"), id);
        code_of(&Sender::connect(process.pas).unwrap().send(&message).unwrap()).to_owned()
    };
    assert_eq!((send("P1"), text(&process, "/readyz")), ("AA".to_owned(), "ready\n".to_owned()));
    std::fs::rename(&data, &away).unwrap();
    assert_eq!(text(&process, "/readyz"), "not ready\n", "without a message, too");
    assert_eq!(send("P2"), "AE");
    // Another file in its place is not the store.
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(away.join("sandbox.db"), data.join("sandbox.db")).unwrap();
    assert_eq!((send("P3"), text(&process, "/readyz")), ("AE".to_owned(), "not ready\n".to_owned()));
    assert!(process.log().contains("its file was removed or replaced"), "{}", process.log());
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&away, &data).unwrap();
    let began = Instant::now();
    while text(&process, "/readyz") != "ready\n" {
        assert!(began.elapsed() < Duration::from_secs(10), "comes back by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(send("P4"), "AA");
    let kept: Vec<String> = process.messages().into_iter().map(|message| message.control_id).collect();
    assert_eq!(kept, ["P1", "P4"]);
    // The log of SQLite holds what was promised as well.
    std::fs::remove_file(data.join("sandbox.db-wal")).unwrap();
    assert_eq!((send("P5"), text(&process, "/readyz")), ("AE".to_owned(), "not ready\n".to_owned()));
}

#[test]
fn a_limit_on_files_fails_the_message_and_not_the_daemon() {
    let (_folder, mut process) = start();
    process.kill();
    // In blocks of 512 or 1024 bytes.
    process.restart_under("ulimit -f 1500");
    let patient = A28.replace("9991000018", "9434765919");
    let mut sender = Sender::connect(process.pas).unwrap();
    assert_eq!(code_of(&sender.send(patient.as_bytes()).unwrap()), "AA");
    let document = patient.replace("A28", "T02").replace("ADT", "MDM").replace("D1", "D2")
        + &format!("TXA|1|DS||20260101||||||||X1|||||AU\rOBX|1|ED|1^Letter||^TEXT^PLAIN^A^{}\r", "x".repeat(4_000_000));
    let answer = sender.send(document.as_bytes()).unwrap();
    assert_eq!(code_of(&answer), "AE", "{answer}");
    assert_eq!(code_of(&sender.send(&with_id(&patient, "D3")).unwrap()), "AA");
}

#[test]
fn what_is_stored_is_for_the_user_of_the_daemon_alone() {
    let (folder, process) = start();
    let message = A28.replace("9991000018", "9434765919");
    assert_eq!(code_of(&Sender::connect(process.pas).unwrap().send(message.as_bytes()).unwrap()), "AA");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    for name in ["lock", "sandbox.db", "sandbox.db-wal", "sandbox.db-shm", "production.db"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
}

#[test]
fn log_lines_say_who_and_which() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_with(folder.path(), |text| text.replace("\"text\"", "\"json\""));
    let mut sender = Sender::connect(process.pas).unwrap();
    sender.raw(b"who is there?").unwrap();
    for (id, event) in [("D1", "A98"), ("D2", "A99")] {
        let message = A28.replace("|D1|", &format!("|{id}|")).replace("A28", event);
        assert_eq!(code_of(&sender.send(message.as_bytes()).unwrap()), "AR");
    }
    let line = |what: &str| {
        let log = process.log();
        let line = log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}\n{log}"));
        Json::parse(line.as_bytes()).unwrap()
    };
    let refused = line("A99");
    let number = process.messages().iter().find(|message| message.control_id == "D2").unwrap().id;
    assert_eq!(refused.get("number").map(ToString::to_string), Some(number.to_string()), "{refused}");
    assert_eq!((refused.str_at("control_id"), refused.str_at("kind")), (Some("D2"), Some("ADT^A99")), "{refused}");
    let junk = line("\"junk\"");
    assert_eq!(junk.get("bytes").map(ToString::to_string).as_deref(), Some("13"), "{junk}");
    assert!(junk.str_at("peer").is_some() && junk.get("error").is_none() && junk.get("detail").is_none(), "{junk}");
    assert_eq!(junk.str_at("peer"), refused.str_at("peer"));
}

#[test]
fn two_daemons_never_share_a_data_folder() {
    let (folder, process) = start();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_fairway"))
        .args(["run", "--config"])
        .arg(folder.path().join("config.toml"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("in use"), "{text}");
    drop(process);
}

/// The corpus given by `FAIRWAY_CORPUS`, else the part of it that stands in the project.
fn corpus() -> PathBuf {
    match std::env::var_os("FAIRWAY_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"),
    }
}

#[test]
fn every_message_of_the_corpus_is_converted_stored_and_answered() {
    let folder = corpus();
    let found = read(std::slice::from_ref(&folder), Blank::Kept)
        .map_err(|(path, error)| format!("{}: {error}", path.display()));
    let found = found.unwrap();
    assert!(found.len() >= 30, "{}", folder.display());
    // Through convert: one object for each, and no other end than 0 or 1.
    let converted =
        std::process::Command::new(env!("CARGO_BIN_EXE_fairway")).arg("convert").arg(&folder).output().unwrap();
    assert!(matches!(converted.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&converted.stderr));
    let lines = converted.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let rows: Vec<serde_json::Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(rows.len(), found.len());
    for row in &rows {
        assert!(matches!(row["ack"]["code"].as_str(), Some("AA" | "AR" | "AE")));
        assert_eq!(row["ack"]["code"] == "AA", row["bundle"].is_object(), "{}", row["source"]);
    }
    // Through the daemon: each one answered, and stored with its bytes and an outcome.
    let (_folder, process) = start();
    let mut addresses = [process.pas, process.results].into_iter().cycle();
    for message in &found {
        // A frame cannot hold its own end; such bytes are the listener's matter and tested there.
        if message.bytes.windows(2).any(|pair| pair == b"\x1C\r") {
            continue;
        }
        let address = addresses.next().unwrap();
        let mut sender = Sender::connect(address).unwrap();
        let ack = sender.send(&message.bytes).unwrap_or_else(|error| panic!("{}: {error}", message.path.display()));
        assert!(matches!(code_of(&ack), "AA" | "AR" | "AE" | "CA" | "CR" | "CE"), "{}: {ack}", message.path.display());
        let stored = process.reader().message_count().unwrap();
        let raw = process.reader().raw(stored).unwrap().unwrap();
        assert_eq!(raw, message.bytes, "{}", message.path.display());
    }
    assert!(process.messages().len() >= found.len() - 2);
}
