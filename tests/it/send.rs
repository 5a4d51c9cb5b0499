//! `fairway send` against a listener, and as a process.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use clap::Parser;
use fairway::cli::send;
use fairway::mllp::client::control_id_of;
use fairway_core::hl7v2::mllp::encode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::probe::{Server, limits, start};
use crate::process::Process;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: send::Args,
}

/// Sends one file with the given further arguments; the exit code and the JSON report.
async fn send(server: &Server, file: &str, more: &[&str]) -> (u8, Value) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("messages.hl7"), file).unwrap();
    let (folder, to) = (folder.path().to_str().unwrap(), server.addr.to_string());
    let args = [&["send", folder, "--to", &to, "--json"], more].concat();
    let mut out = Vec::new();
    let code = send::run(Cli::parse_from(args).args, &mut out).await.unwrap();
    (code, serde_json::from_slice(&out).unwrap())
}

fn message(patient: &str, id: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|20240101||ADT^A01|{id}|P|2.4\nPID|||{patient}^^^HOSP^MR~9\n\n")
}

#[tokio::test]
async fn counts_answers_and_shows_what_was_not_accepted() {
    let server = start(limits()).await;
    let file = [message("1", "a"), message("2", "reject-1"), message("3", "other"), message("1", "b")].concat();
    let (code, report) = send(&server, &file, &[]).await;
    assert_eq!(code, 1);
    assert_eq!(report["codes"], serde_json::json!({"AA": 2, "AR": 1}));
    assert_eq!((&report["messages"], &report["unanswered"]), (&4.into(), &1.into()));
    assert_eq!(report["notAccepted"][0]["controlId"], "reject-1");
    assert!(report["notAccepted"][0]["source"].as_str().unwrap().ends_with("messages.hl7:2"));
    assert!(report["latencyMs"]["p50"].as_f64().unwrap() <= report["latencyMs"]["max"].as_f64().unwrap());
    let (code, report) = send(&server, &message("1", "a"), &["--repeat", "3"]).await;
    assert_eq!((code, &report["codes"]["AA"]), (0, &3.into()));
}

#[tokio::test]
async fn one_patients_messages_keep_their_order_over_many_connections() {
    let server = start(limits()).await;
    // The earlier messages take longer, so that any overtaking would show.
    let file: String =
        (0..60).map(|n| message(&format!("P{}", n % 6), &format!("slow-{}-{n}", (60 - n) % 5))).collect();
    let (code, _) = send(&server, &file, &["--connections", "8"]).await;
    assert_eq!(code, 0);
    let mut last = HashMap::new();
    for frame in server.probe.frames.lock().unwrap().iter() {
        let n: usize = control_id_of(frame).unwrap().rsplit('-').next().unwrap().parse().unwrap();
        assert!(last.insert(n % 6, n).is_none_or(|before| before < n), "message {n} came too late");
    }
    assert_eq!(last.len(), 6);
}

#[tokio::test]
async fn keeps_to_the_rate() {
    let server = start(limits()).await;
    let (_, report) = send(&server, &message("1", "a"), &["--repeat", "11", "--rate", "100"]).await;
    assert!(report["seconds"].as_f64().unwrap() >= 0.1, "{report}");
}

#[test]
fn every_repetition_is_sent_and_a_refusal_behind_a_ca_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let run = |text: &str, more: &[&str]| {
        let file = folder.path().join("a.hl7");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairway"));
        let to = process.pas.to_string();
        let output = command.arg("send").arg(&file).args(["--to", &to, "--json"]).args(more).output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let person = |nhs: &str, asked: &str| {
        format!("MSH|^~\\&|A|RTST|C|D|20260101||ADT^A28|x|P|2.4|||{asked}\rPID|||{nhs}^^^NHS^NH||Smith^John\r")
    };
    let good = crate::crash::nhs_number(0);
    let (code, report) = run(&person(&good, "AL|SU"), &["--repeat", "10"]);
    assert_eq!((code, &report["codes"]["AA"], &report["reconnects"]), (Some(0), &10.into(), &0.into()), "{report}");
    assert_eq!(process.messages().len(), 10);
    let (code, report) = run(&person("9990000000", "AL|ER"), &[]);
    assert_eq!((code, &report["codes"]), (Some(1), &serde_json::json!({"AR": 1})), "{report}");
}

#[test]
fn utf16_is_sent_and_its_answers_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let person = |id: &str, asked: &str, nhs: &str| {
        format!(
            "MSH|^~\\&|A|RTST|C|D|20260101||ADT^A28|{id}|P|2.4|||{asked}||UNICODE UTF-16\rPID|||{nhs}^^^NHS^NH||Łuk^Ed\r"
        )
    };
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let good = crate::crash::nhs_number(0);
    let (one, two) = (person("W1", "|", &good), person("W2", "AL|AL", &good));
    let (refused, early) = (person("W3", "AL|AL", "9990000000"), person("W4", "|", "9990000000"));
    fs::write(folder.path().join("a.hl7"), [&b"\xFF\xFE"[..], &little(&[one, two].concat())].concat()).unwrap();
    fs::write(folder.path().join("b.hl7"), little(&refused)).unwrap();
    fs::write(folder.path().join("c.hl7"), early.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>())
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairway"));
    let files = ["a.hl7", "b.hl7", "c.hl7"].map(|name| folder.path().join(name));
    let to = process.pas.to_string();
    let output = command.arg("send").args(files).args(["--to", &to, "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["codes"], serde_json::json!({"AA": 2, "AR": 2}), "{report}");
    let told = report["notAccepted"].as_array().unwrap();
    assert_eq!([&told[0]["controlId"], &told[1]["controlId"]], ["W3", "W4"]);
    assert!(told[0]["text"].as_str().unwrap().starts_with("Parsing or validation error: PID-3"), "{report}");
}

#[tokio::test]
async fn what_a_peer_or_a_file_says_cannot_move_the_terminal_or_fill_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let long = "A".repeat(200_000);
    // Each message is answered over a connection of its own, since all have one control id.
    let answering = tokio::spawn(async move {
        let codes = ["\x1B[2JAR".to_owned(), long].into_iter().chain((0..40).map(|n| format!("X{n}")));
        for code in codes {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut some, mut answer) = (vec![0; 1000], bytes::BytesMut::new());
            let text = "\x1B]0;x\x07 \u{9b}31m \u{202e}";
            encode(format!("MSH|^~\\&\rMSA|{code}|\x1B[1m|{text}\r").as_bytes(), &mut answer);
            stream.read_exact(&mut some[..50]).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            stream.write_all(&answer).await.unwrap();
            while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a\x1B[7m.hl7");
    fs::write(&file, message("1", "\x1B[1m")).unwrap();
    let mut out = Vec::new();
    let args = ["send", file.to_str().unwrap(), "--to", &to, "--repeat", "42"];
    send::run(Cli::parse_from(args).args, &mut out).await.unwrap();
    answering.await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(!out.contains(|c: char| c == '\u{202e}' || c.is_control() && c != '\n'), "{out:?}");
    assert!(out.contains("\\u{1b}[2JAR") && out.contains("\\u{9b}31m") && out.contains("a\\u{1b}[7m.hl7:1"), "{out}");
    assert!(out.contains("others 22\n") && out.len() < 3000, "{out}");
}

#[test]
fn says_what_is_wrong_by_exit_code() {
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_fairway")).arg("send").args(args).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.hl7");
    fs::write(&file, message("1", "a")).unwrap();
    let file = file.to_str().unwrap();
    for wrong in [
        &["--to", "127.0.0.1:1"][..],
        &[file],
        &["missing.hl7", "--to", "127.0.0.1:1"],
        &[file, "--to", "127.0.0.1:1", "--rate", "0"],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
    let output = run(&[file, "--to", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no connection to 127.0.0.1:1"));
}
