//! Sending over connections that break: what was not answered comes again, what was answered never does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fairway::mllp::client::{SendError, Target, ack_code};
use fairway::mllp::link::{Link, LinkError};
use fairway_core::hl7v2::mllp::{Decoder, Event, encode};
use fairway_core::record::Outcome;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::probe::{PATIENCE, ack, limits, message, start};
use crate::process::Process;

const RETRY: Duration = Duration::from_secs(20);

fn link(address: SocketAddr, timeout: Duration, retry: Duration) -> Link {
    Link::new(Target { address: address.to_string(), timeout, tls: None }, retry)
}

/// What a receiver does with each message it gets, one after the other.
#[derive(Clone, Copy)]
enum Act {
    /// Answers with this code.
    Answer(&'static str),
    /// Answers and closes.
    AnswerAndClose(&'static str),
    /// Closes without an answer.
    Close,
    /// Says nothing for so many milliseconds, then answers, too late.
    Late(u64),
}

/// A receiver that follows a script, one connection at a time; gives what came.
async fn receiver(script: Vec<Act>) -> (SocketAddr, JoinHandle<Vec<Bytes>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let play = async move {
        let (mut came, mut script) = (Vec::new(), script.into_iter());
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut decoder, mut buffer) = (Decoder::new(usize::MAX), BytesMut::new());
            loop {
                let frame = loop {
                    match decoder.decode(&mut buffer).unwrap() {
                        Some(Event::Frame { bytes, .. }) => break Some(bytes),
                        Some(other) => panic!("{other:?}"),
                        None => {}
                    }
                    if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                        break None;
                    }
                };
                let Some(frame) = frame else { break };
                let id = fairway::mllp::client::control_id_of(&frame).unwrap().to_owned();
                came.push(frame);
                let mut answer = BytesMut::new();
                let act = script.next().unwrap();
                match act {
                    Act::Answer(code) | Act::AnswerAndClose(code) => encode(&ack(code, &id), &mut answer),
                    Act::Close => {}
                    Act::Late(millis) => {
                        tokio::time::sleep(Duration::from_millis(millis)).await;
                        encode(&ack("AA", &id), &mut answer);
                    }
                }
                stream.write_all(&answer).await.ok();
                if script.len() == 0 {
                    return came;
                }
                if matches!(act, Act::Close | Act::AnswerAndClose(_)) {
                    break;
                }
            }
        }
    };
    (address, tokio::spawn(play))
}

async fn came(receiver: JoinHandle<Vec<Bytes>>) -> Vec<Bytes> {
    tokio::time::timeout(PATIENCE, receiver).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_was_not_answered_comes_again_with_the_same_bytes_and_nothing_else_does() {
    use Act::{Answer, AnswerAndClose, Close};
    // Answers of every code count as answers, also when the connection breaks right behind them.
    let script =
        vec![Answer("AA"), Close, Close, Close, Answer("AA"), AnswerAndClose("AE"), AnswerAndClose("AR"), Answer("AA")];
    let (address, receiver) = receiver(script).await;
    let mut link = link(address, PATIENCE, RETRY);
    for (id, code) in [("1", "AA"), ("2", "AA"), ("3", "AE"), ("4", "AR"), ("5", "AA")] {
        let answer = link.send(&message(id)).await.unwrap();
        assert_eq!(ack_code(&answer.ack), Some(code), "{id}");
        // Without the three pauses, which are 0.7 seconds at least.
        assert!(answer.took < Duration::from_millis(600), "{id}: {:?}", answer.took);
    }
    // A connection that was closed behind an answer is noticed in the next sending, which counts as one.
    let came = came(receiver).await;
    assert_eq!(came, ["1", "2", "2", "2", "2", "3", "4", "5"].map(message));
    assert_eq!((link.reconnects(), link.resent()), (5, 5));
}

#[tokio::test]
async fn a_late_answer_is_nobodys_and_its_message_comes_again() {
    let (address, receiver) = receiver(vec![Act::Late(300), Act::Answer("AA"), Act::Answer("AR")]).await;
    let mut link = link(address, Duration::from_millis(200), RETRY);
    assert_eq!(ack_code(&link.send(&message("1")).await.unwrap().ack), Some("AA"));
    assert_eq!(ack_code(&link.send(&message("2")).await.unwrap().ack), Some("AR"));
    assert_eq!(came(receiver).await, ["1", "1", "2"].map(message));
}

#[tokio::test]
async fn an_answer_to_something_else_is_not_asked_for_again() {
    let server = start(limits()).await;
    let mut link = link(server.addr, PATIENCE, RETRY);
    let error = link.send(&message("other")).await.unwrap_err();
    assert!(matches!(error, LinkError::Unanswered(SendError::OtherMessage { .. })), "{error}");
    assert_eq!(server.probe.frames(), 1);
    // The next message has a connection of its own.
    assert_eq!(ack_code(&link.send(&message("1")).await.unwrap().ack), Some("AA"));
}

#[tokio::test]
async fn tries_end_with_their_time() {
    // Nobody listens at all.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (retry, at_least) in
        [(Duration::ZERO, Duration::ZERO), (Duration::from_millis(500), Duration::from_millis(500))]
    {
        let began = Instant::now();
        let error = link(address, PATIENCE, retry).send(&message("1")).await.unwrap_err();
        assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
        assert!(began.elapsed() >= at_least && began.elapsed() < at_least + Duration::from_secs(3));
    }
    // Every connection is closed without an answer.
    let server = start(limits()).await;
    let mut link = link(server.addr, PATIENCE, Duration::from_millis(500));
    let error = link.send(&message("none")).await.unwrap_err();
    assert!(matches!(error, LinkError::Unanswered(SendError::Closed)), "{error}");
    assert!((2..=10).contains(&server.probe.frames()), "{}", server.probe.frames());
    assert_eq!(link.resent() + 1, server.probe.frames());
}

/// Messages for `fairway send`: a patient per sender, first made and then changed.
fn file(patients: usize, each: usize) -> String {
    let mut text = String::new();
    for n in 0..each {
        for patient in 0..patients {
            let event = if n == 0 { "ADT^A28" } else { "ADT^A31" };
            let at = format!("20260101{:02}{:02}{:02}", n / 3600, n / 60 % 60, n % 60);
            text += &format!("MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|{at}||{event}|L{patient}-{n}|P|2.4\r");
            let nhs = crate::crash::nhs_number(patient);
            text += &format!("PID|||{nhs}^^^NHS^NH||Link{patient}^Kim||19700101|F|||{n} Long Road^^Leeds\r");
        }
    }
    text
}

#[test]
fn a_daemon_killed_and_started_again_during_a_send_answers_each_message_once() {
    const PATIENTS: usize = 8;
    const EACH: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    std::fs::write(folder.path().join("messages.hl7"), file(PATIENTS, EACH)).unwrap();
    let mut sending = Command::new(env!("CARGO_BIN_EXE_fairway"))
        .arg("send")
        .arg(folder.path().join("messages.hl7"))
        .args(["--to", &process.pas.to_string(), "--connections", "8", "--retry", "60", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // No store yet is no message.
    let stored = |process: &Process| process.reader().message_count().unwrap_or(0);
    for kill in 1..=3 {
        let began = Instant::now();
        while stored(&process) < kill * 500 {
            assert!(began.elapsed() < PATIENCE && sending.try_wait().unwrap().is_none(), "killed while it sends");
            std::thread::sleep(Duration::from_millis(2));
        }
        process.kill();
        std::thread::sleep(Duration::from_millis(300));
        process.restart();
    }
    let output = sending.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["codes"]["AA"]), (Some(0), &(PATIENTS * EACH).into()), "{report}");
    assert_eq!((&report["messages"], &report["unanswered"]), (&(PATIENTS * EACH).into(), &0.into()));
    assert!(report["reconnects"].as_u64().unwrap() >= 3 && report["resent"].as_u64().unwrap() >= 3, "{report}");
    assert_eq!(process.terminate(), Some(0));

    let mut applied: BTreeMap<String, usize> = BTreeMap::new();
    for message in process.messages() {
        match message.outcome {
            Outcome::Applied => *applied.entry(message.control_id).or_default() += 1,
            // Taken before the kill, asked for again after it: the stored answer.
            Outcome::Repeat => assert_eq!(message.ack_code, "AA"),
            other => panic!("{} {other:?} {:?}", message.control_id, message.reason),
        }
    }
    assert_eq!(applied.len(), PATIENTS * EACH);
    assert!(applied.values().all(|count| *count == 1));
    for patient in 0..PATIENTS {
        let record = process.reader().records_of(None, &crate::crash::nhs_number(patient)).unwrap()[0];
        assert_eq!(process.reader().history("Patient", record, 10_000).unwrap().len(), EACH);
    }
}
