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
    /// Writes these codes as answers at once.
    Answers(&'static [&'static str]),
    /// Answers, and once more with this code a little later.
    Twice(&'static str),
    /// Answers without the last byte of the framing and closes.
    CutAndClose,
    /// Answers with these codes and closes.
    AnswersAndClose(&'static [&'static str]),
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
                let id = fairway::mllp::client::control_id_of(&frame).unwrap_or_default();
                came.push(frame);
                let mut answer = BytesMut::new();
                let act = script.next().unwrap();
                match act {
                    Act::Answer(code) | Act::AnswerAndClose(code) => encode(&ack(code, &id), &mut answer),
                    Act::Close => {}
                    Act::Answers(codes) | Act::AnswersAndClose(codes) => {
                        codes.iter().for_each(|code| encode(&ack(code, &id), &mut answer));
                    }
                    Act::Twice(code) => {
                        encode(&ack("AA", &id), &mut answer);
                        stream.write_all(&answer.split()).await.ok();
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        encode(&ack(code, &id), &mut answer);
                    }
                    Act::CutAndClose => {
                        encode(&ack("AA", &id), &mut answer);
                        answer.truncate(answer.len() - 1);
                    }
                    Act::Late(millis) => {
                        tokio::time::sleep(Duration::from_millis(millis)).await;
                        encode(&ack("AA", &id), &mut answer);
                    }
                }
                stream.write_all(&answer).await.ok();
                if script.len() == 0 {
                    return came;
                }
                if matches!(act, Act::Close | Act::AnswerAndClose(_) | Act::AnswersAndClose(_) | Act::CutAndClose) {
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
    let came = came(receiver).await;
    assert_eq!(came, ["1", "2", "2", "2", "2", "3", "4", "5"].map(message));
    // A connection that was closed behind an answer is noticed before the next sending.
    assert_eq!((link.reconnects(), link.resent()), (5, 3));
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

/// A message with this control id and content, which asks for answers by MSH-15 and MSH-16.
fn asking(id: &str, name: &str, asked: &str) -> Bytes {
    format!("MSH|^~\\&|A|B|C|D|20240101||ADT^A01|{id}|P|2.4|||{asked}\rPID|||1||{name}\r").into()
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_not_that_of_the_next_message_with_the_same_id() {
    for id in ["S", ""] {
        for act in [Act::Answers(&["AA", "AA"]), Act::Twice("AA")] {
            let (address, receiver) = receiver(vec![act; 3]).await;
            let mut link = link(address, PATIENCE, Duration::ZERO);
            let messages = ["One", "Two", "Three"].map(|name| asking(id, name, "|"));
            for message in &messages {
                assert_eq!(ack_code(&link.send(message).await.unwrap().ack), Some("AA"));
            }
            drop(link);
            assert_eq!(came(receiver).await, messages, "each was sent");
        }
    }
}

#[tokio::test]
async fn the_second_answer_is_waited_for_where_it_may_come() {
    let script =
        vec![Act::Answers(&["CA", "AR"]), Act::Answers(&["CA"]), Act::Answers(&["CA", "AA"]), Act::Answers(&["CA"])];
    let (address, _receiver) = receiver(script).await;
    let mut link = link(address, PATIENCE, Duration::ZERO);
    for (id, asked, code) in [("1", "AL|ER", "AR"), ("2", "AL|ER", "CA"), ("3", "AL|SU", "AA"), ("4", "AL|NE", "CA")] {
        let began = Instant::now();
        assert_eq!(ack_code(&link.send(&asking(id, "x", asked)).await.unwrap().ack), Some(code), "{id}");
        assert!(began.elapsed() < PATIENCE / 2, "a second answer that need not come");
    }
    assert_eq!(link.reconnects(), 0);
}

#[tokio::test]
async fn what_was_answered_before_the_connection_broke_is_not_sent_again() {
    let script =
        vec![Act::CutAndClose, Act::AnswersAndClose(&["CA"]), Act::AnswersAndClose(&["CA"]), Act::Answer("AA")];
    let (address, receiver) = receiver(script).await;
    let mut link = link(address, PATIENCE, RETRY);
    let messages = [asking("1", "x", "|"), asking("2", "x", "AL|AL"), asking("3", "x", "AL|ER"), asking("4", "x", "|")];
    for (message, code) in messages.iter().zip(["AA", "CA", "CA", "AA"]) {
        assert_eq!(ack_code(&link.send(message).await.unwrap().ack), Some(code));
    }
    assert_eq!(came(receiver).await, messages);
}

#[tokio::test]
async fn a_receiver_that_closes_behind_each_answer_gets_every_message() {
    let (address, receiver) = receiver(vec![Act::AnswerAndClose("AA"); 50]).await;
    let mut link = link(address, PATIENCE, Duration::ZERO);
    for id in 0..50 {
        assert_eq!(ack_code(&link.send(&message(&id.to_string())).await.unwrap().ack), Some("AA"), "{id}");
    }
    assert_eq!((came(receiver).await.len(), link.reconnects(), link.resent()), (50, 49, 0));
}

#[tokio::test]
async fn an_acceptance_of_half_a_message_is_no_answer_and_a_refusal_is() {
    for (code, taken) in [("AA", false), ("CA", false), ("AR", true), ("CE", true)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 100];
            stream.read_exact(&mut some).await.unwrap();
            let mut answer = BytesMut::new();
            encode(&ack(code, "1"), &mut answer);
            stream.write_all(&answer).await.unwrap();
            tokio::time::sleep(PATIENCE).await;
        });
        let long = [&asking("1", "x", "AL|AL")[..], &vec![b'x'; 64 * 1024 * 1024]].concat();
        let answer = link(address, PATIENCE, RETRY).send(&long).await;
        match (taken, answer) {
            (true, Ok(answer)) => assert_eq!(ack_code(&answer.ack), Some(code)),
            (false, Err(LinkError::Unanswered(SendError::Early))) => {}
            (_, other) => panic!("{code}: {other:?}"),
        }
        answering.abort();
    }
}

#[tokio::test]
async fn a_control_id_may_come_back_without_its_components_or_escaped() {
    for (sent, answered, same) in [
        ("ID^x", "ID", true),
        ("A&B", "A\\T\\B", true),
        ("A\\T\\B", "A&B", true),
        ("ID^x", "ID^y", false),
        ("ID", "ID^x", false),
        ("^x", "", false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 20];
            stream.read_exact(&mut some).await.unwrap();
            let mut answer = BytesMut::new();
            encode(&ack("AA", answered), &mut answer);
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(&answer).await.unwrap();
            while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
        });
        let taken = link(address, PATIENCE, Duration::ZERO).send(&asking(sent, "x", "|")).await.is_ok();
        assert_eq!(taken, same, "{sent} {answered}");
        answering.abort();
    }
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_a_message_that_it_may_name_as_well() {
    // An answer comes again while the next message waits, whose control id it fits or does not fit.
    for (first, answered, next) in [
        ("ID1^x^y", "ID1", "ID1^z"),
        ("A\\T\\B", "A\\T\\B", "A&B"),
        ("A\\T\\B^x", "A\\T\\B", "A&B"),
        ("ID^x", "ID", "OK"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut some, mut twice) = ([0; 1000], BytesMut::new());
                    encode(&ack("AA", answered), &mut twice);
                    // Only what came first is ever answered.
                    let read = stream.read(&mut some).await.unwrap();
                    let named = [b"|", first.as_bytes(), b"|"].concat();
                    if some[..read].windows(named.len()).any(|window| window == named) {
                        stream.write_all(&twice).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(60)).await;
                        stream.write_all(&twice).await.unwrap();
                    }
                    while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
                });
            }
        });
        let mut link = link(address, Duration::from_millis(200), Duration::ZERO);
        link.send(&asking(first, "x", "|")).await.unwrap();
        let error = link.send(&asking(next, "x", "|")).await.unwrap_err();
        assert!(matches!(error, LinkError::Unanswered(SendError::Timeout(_))), "{next}: {error}");
        answering.abort();
    }
}

#[tokio::test]
async fn an_answer_in_utf16_is_held_against_the_control_id() {
    let wide = |text: &[u8]| text.iter().flat_map(|&byte| [byte, 0]).collect::<Vec<u8>>();
    for (answered, taken) in [("W1", true), ("W2", false), ("", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut some, mut answer) = ([0; 1000], BytesMut::new());
            stream.read_exact(&mut some[..100]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            encode(&wide(&ack("AA", answered)), &mut answer);
            stream.write_all(&answer).await.unwrap();
            while stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
        });
        let answer = link(address, PATIENCE, Duration::ZERO).send(&wide(&asking("W1", "x", "|"))).await;
        match answer {
            Ok(answer) => assert!(taken && ack_code(&answer.ack) == Some("AA"), "{answered}"),
            Err(LinkError::Unanswered(SendError::OtherMessage { sent, .. })) => assert!(!taken && sent == "W1"),
            Err(error) => panic!("{answered}: {error}"),
        }
        answering.abort();
    }
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
