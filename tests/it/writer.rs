//! The writer when its store fails: one bad message never fails its batch, and nothing is promised that is not stored.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fairway::config::Config;
use fairway::intake::{Current, Intake, Work, Writer};
use fairway::mllp::listener::Handler;
use fairway::store::{Entry, MessageFilter, MessageKey, Prior, Reader, Sqlite, Store, StoreError};
use fairway::telemetry::Metrics;
use fairway_core::record::{Outcome, View, Wanted};
use tokio::sync::mpsc;

use super::process::code_of;

/// The real store, whose commit fails for batches that hold some control ids, as a full disk or a broken page would.
struct Faulty {
    real: Sqlite,
    /// Fails when the message has effects.
    effects_of: &'static str,
    /// Fails whatever it writes of this message.
    anything_of: &'static str,
}

fn broken() -> StoreError {
    StoreError::Damaged { path: "test".into(), what: "a page" }
}

impl Store for Faulty {
    fn load(&mut self, wanted: &Wanted) -> Result<View, StoreError> {
        self.real.load(wanted)
    }

    fn repeats(&mut self, wanted: &[MessageKey]) -> Result<HashMap<MessageKey, Prior>, StoreError> {
        self.real.repeats(wanted)
    }

    fn commit(&mut self, entries: &[Entry]) -> Result<i64, StoreError> {
        let bad = |entry: &Entry| {
            entry.message.key.control_id == self.anything_of
                || (entry.message.key.control_id == self.effects_of && !entry.effects.points.is_empty())
        };
        if entries.iter().any(bad) { Err(broken()) } else { self.real.commit(entries) }
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.real.probe()
    }
}

fn message(id: &str, nhs: &str) -> Bytes {
    let text = format!("MSH|^~\\&|PAS|RTST|F|P|20260101||ADT^A28|{id}|P|2.4\rPID|||{nhs}^^^NHS^NH||Name{id}^Kim\r");
    text.into()
}

/// The sandbox of the example configuration, in front of a writer.
fn sandbox_intake(queue: mpsc::Sender<Work>, metrics: Arc<Metrics>) -> Arc<Intake> {
    let config = Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")).unwrap();
    Arc::new(Intake {
        style: fairway_core::hl7v2::AckStyle::Standard,
        environment: "sandbox",
        feeds: Current::new(config.feeds),
        queue,
        memory: Arc::default(),
        metrics,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_never_fails_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.db");
    let metrics = Arc::new(Metrics::new());
    let store = Faulty { real: Sqlite::open(&path).unwrap(), effects_of: "BAD", anything_of: "WORSE" };
    let writer = Writer::new("sandbox", Box::new(store), metrics.clone());
    let gauge = writer.gauge();
    let (queue, waiting) = mpsc::channel(100);
    let intake = sandbox_intake(queue, metrics);
    let sent = [
        ("G1", "9434765919"),
        ("BAD", "9999999999"),
        ("G2", "4444444444"),
        ("WORSE", "5555555555"),
        ("G3", "9434765919"),
    ];
    // All of them wait before the writer begins, so that they are one batch.
    let answers: Vec<_> = sent
        .iter()
        .map(|(id, nhs)| {
            let (intake, message) = (intake.clone(), message(id, nhs));
            tokio::spawn(async move { intake.handle(message, "127.0.0.1:1".parse().unwrap()).await })
        })
        .collect();
    while intake.queue.capacity() > 95 {
        tokio::task::yield_now().await;
    }
    let thread = std::thread::spawn(move || writer.run(waiting));
    let mut acks = HashMap::new();
    for ((id, _), answer) in sent.iter().zip(answers) {
        acks.insert(*id, String::from_utf8(answer.await.unwrap().unwrap().concat()).unwrap());
    }
    for id in ["G1", "G2", "G3"] {
        assert_eq!(code_of(&acks[id]), "AA", "{}", acks[id]);
    }
    assert!(
        acks["BAD"]
            .contains("MSA|AE|BAD|Unexpected error while processing: the message could not be filed; it was kept")
    );
    assert!(
        acks["WORSE"].contains("MSA|AE|WORSE|Unexpected error while processing: the message could not be stored; send")
    );
    // A store that takes messages again is well again.
    let _again = intake.handle(message("G4", "9434765919"), "127.0.0.1:1".parse().unwrap()).await.unwrap();
    assert!(gauge.is_well());
    drop(intake);
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();

    let reader = Reader::new(&path);
    let stored = reader.messages(&MessageFilter { limit: 100, ..Default::default() }).unwrap();
    let mut found: Vec<(&str, Outcome)> = stored.iter().map(|one| (one.control_id.as_str(), one.outcome)).collect();
    found.sort_by_key(|(id, _)| *id);
    let applied = Outcome::Applied;
    assert_eq!(found, [("BAD", Outcome::Failed), ("G1", applied), ("G2", applied), ("G3", applied), ("G4", applied)]);
    let bad = stored.iter().find(|one| one.control_id == "BAD").unwrap();
    assert_eq!(reader.raw(bad.id).unwrap().unwrap(), message("BAD", "9999999999"));
    assert!(reader.records_of(None, "9999999999").unwrap().is_empty(), "nothing of it was filed");
    assert_eq!(reader.records_of(None, "9434765919").unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_message_passes_large_ones_of_others_and_none_of_its_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandbox.db");
    let metrics = Arc::new(Metrics::new());
    let writer = Writer::new("sandbox", Box::new(Sqlite::open(&path).unwrap()), metrics.clone());
    let (queue, waiting) = mpsc::channel(100);
    let intake = sandbox_intake(queue, metrics);
    // Each takes all memory that there is for large messages.
    let large = |id: &str| Bytes::from([&message(id, "9434765919")[..], &b"NTE|\r".repeat(200_000)].concat());
    let send = |messages: Vec<Bytes>, port: u16| {
        let intake = intake.clone();
        tokio::spawn(async move {
            let peer = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            let mut answers: Vec<_> = messages.into_iter().map(|one| Box::pin(intake.handle(one, peer))).collect();
            std::future::poll_fn(|cx| {
                answers.retain_mut(|answer| answer.as_mut().poll(cx).is_pending());
                if answers.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        })
    };
    let queued = async |count: usize| {
        while intake.queue.capacity() > 100 - count {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let mut sent = vec![send(vec![large("L1")], 1)];
    queued(1).await;
    sent.push(send(vec![large("L2"), message("S2", "9434765919")], 2));
    sent.push(send(vec![message("S3", "9434765919")], 3));
    queued(2).await;
    let thread = std::thread::spawn(move || writer.run(waiting));
    for one in sent {
        one.await.unwrap();
    }
    drop(intake);
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    let stored = Reader::new(&path).messages(&MessageFilter { limit: 100, ..Default::default() }).unwrap();
    let mut order: Vec<(i64, &str)> = stored.iter().map(|one| (one.id, one.control_id.as_str())).collect();
    order.sort_unstable();
    assert_eq!(order.iter().map(|(_, id)| *id).collect::<Vec<_>>(), ["L1", "S3", "L2", "S2"]);
}
