//! The writer of an environment: takes what waits, decides it in order of arrival against one view, commits once,
//! answers every sender of the batch.
//!
//! A thread of its own; it never parses and never waits for a socket. When a batch cannot be stored it is taken again
//! message by message, so that one bad message never fails the others.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fairway_core::hl7v2::AckCode;
use fairway_core::record::{Decision, Effects, Outcome, View, Wanted, decide};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::{Content, Verdict, Work, action};
use crate::store::{Entry, MessageKey, MessageRow, Prior, Store, StoreError};
use crate::telemetry::Metrics;

/// Messages in one commit.
const BATCH_MESSAGES_MAX: usize = 512;
/// Bytes of messages in one commit, unless a single message is larger.
const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Between two looks at whether a store that failed can be written again.
const PROBE_PAUSE: Duration = Duration::from_millis(500);

/// The writer of one environment.
pub struct Writer {
    environment: &'static str,
    store: Box<dyn Store>,
    metrics: Arc<Metrics>,
    gauge: WriterGauge,
}

/// Whether the writer can store, for readiness.
#[derive(Debug, Clone)]
pub struct WriterGauge(Arc<AtomicBool>);

impl WriterGauge {
    /// True unless the last commit failed.
    pub fn is_well(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// A writer on a store.
    pub fn new(environment: &'static str, store: Box<dyn Store>, metrics: Arc<Metrics>) -> Writer {
        Writer { environment, store, metrics, gauge: WriterGauge(Arc::new(AtomicBool::new(true))) }
    }

    /// Tells whether it can store.
    pub fn gauge(&self) -> WriterGauge {
        self.gauge.clone()
    }

    /// Works until the queue is closed and empty. Blocks.
    pub fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        // A large message that came behind those of a batch: they are not answered later for its sake.
        let mut large = None;
        while let Some(first) = large.take().or_else(|| self.next(&mut queue)) {
            let (mut bytes, alone) = (first.prepared.raw.len(), first.large);
            let mut batch = vec![first];
            while !alone && batch.len() < BATCH_MESSAGES_MAX && bytes < BATCH_BYTES_MAX {
                let Ok(work) = queue.try_recv() else { break };
                if work.large {
                    large = Some(work);
                    break;
                }
                bytes += work.prepared.raw.len();
                batch.push(work);
            }
            self.metrics.queue(self.environment, i64::try_from(queue.len()).unwrap_or(i64::MAX));
            self.batch(batch);
        }
    }

    /// The next message. While the store could not be written it is tried now and then, so that readiness comes back
    /// without one.
    fn next(&mut self, queue: &mut mpsc::Receiver<Work>) -> Option<Work> {
        while !self.gauge.is_well() {
            match queue.try_recv() {
                Ok(work) => return Some(work),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {
                    std::thread::sleep(PROBE_PAUSE);
                    self.gauge.0.store(self.store.probe().is_ok(), Ordering::Relaxed);
                }
            }
        }
        queue.blocking_recv()
    }

    fn batch(&mut self, batch: Vec<Work>) {
        let started = Instant::now();
        let count = batch.len();
        match self.store(&batch) {
            Ok((first, entries)) => {
                self.gauge.0.store(true, Ordering::Relaxed);
                self.metrics.batch(self.environment, count, started.elapsed().as_secs_f64());
                for ((work, entry), number) in batch.into_iter().zip(entries).zip(first..) {
                    self.answer(work, &entry.message, Some(number));
                }
            }
            Err(error) if count == 1 => {
                tracing::error!(event = "store.commit_failed", environment = self.environment, %error);
                for work in batch {
                    self.keep_failed(work);
                }
            }
            Err(error) => {
                tracing::warn!(event = "store.batch_retried", environment = self.environment, messages = count, %error);
                for work in batch {
                    self.batch(vec![work]);
                }
            }
        }
    }

    /// Decides a batch and commits it; gives the number of the first message too. Nothing is stored when this fails.
    fn store(&mut self, batch: &[Work]) -> Result<(i64, Vec<Entry>), StoreError> {
        let mut wanted = Wanted::default();
        let mut repeats = Vec::with_capacity(batch.len());
        for work in batch {
            repeats.push(work.prepared.key());
            if let Content::Update(update) = &work.prepared.content {
                wanted.add(update);
            }
        }
        let mut view = self.store.load(&wanted)?;
        let mut priors = self.store.repeats(&repeats)?;
        let entries: Vec<Entry> = batch.iter().map(|work| entry(work, &mut view, &mut priors)).collect();
        let first = self.store.commit(&entries)?;
        Ok((first, entries))
    }

    /// The store failed on this one message: it is kept without effects and answered `AE`; when not even that can be
    /// stored, the answer says so.
    fn keep_failed(&mut self, work: Work) {
        let row = failed_row(&work, &Verdict::Failed("the message could not be filed; it was kept for the operator"));
        let entry = Entry { message: row, effects: Effects::default(), action: String::new() };
        match self.store.commit(std::slice::from_ref(&entry)) {
            Ok(number) => {
                self.gauge.0.store(true, Ordering::Relaxed);
                self.answer(work, &entry.message, Some(number));
            }
            Err(error) => {
                self.gauge.0.store(false, Ordering::Relaxed);
                tracing::error!(event = "store.write_failed", environment = self.environment, %error);
                let text = "the message could not be stored; send it again later";
                let row = failed_row(&work, &Verdict::NotStored(text));
                self.answer(work, &row, None);
            }
        }
    }

    /// Answers a message; it has a number when it is stored.
    fn answer(&self, work: Work, row: &MessageRow, number: Option<i64>) {
        self.metrics.message(self.environment, &row.key.feed, row.outcome.as_str(), row.ack_code);
        if row.outcome == Outcome::Rejected || row.outcome == Outcome::Failed {
            tracing::info!(
                event = "message.refused",
                environment = self.environment,
                number,
                peer = row.peer,
                control_id = row.key.control_id,
                feed = row.key.feed,
                kind = row.kind,
                ack = row.ack_code,
            );
        }
        // The sender may have hung up; its message is stored all the same and a repeat gets this answer.
        if work.reply.send(row.acks.clone()).is_err() {
            tracing::debug!(event = "message.answer_undelivered", environment = self.environment);
        }
    }
}

/// What to store of one message, decided against the view, which then includes it.
fn entry(work: &Work, view: &mut View, priors: &mut HashMap<MessageKey, Prior>) -> Entry {
    let prepared = &work.prepared;
    let prior = priors.get(&prepared.key());
    if let Some(prior) = prior.filter(|prior| prior.ack_code == AckCode::AA.as_str()) {
        return repeat(work, prior, &Verdict::Accepted);
    }
    let decision = match &prepared.content {
        Content::Update(update) => {
            let decided = catch_unwind(AssertUnwindSafe(|| decide(view, update, &prepared.control_id)));
            decided.map_err(|_| {
                tracing::error!(event = "record.decision_panicked");
                "the message could not be decided; report it to the operator".to_owned()
            })
        }
        Content::Rejected(reason) => Ok(Decision::refuse(reason.clone())),
        Content::Failed(reason) => Err(reason.clone()),
    };
    let (decision, failure) = match decision {
        Ok(decision) => (decision, None),
        Err(reason) => (Decision::failed(), Some(reason)),
    };
    let verdict = match (&failure, &decision.refusal) {
        (Some(reason), _) => Verdict::Failed(reason),
        (None, Some(refusal)) => Verdict::Rejected(refusal),
        (None, None) => Verdict::Accepted,
    };
    // A refusal is worked out anew each time, since what it complained about may have been put right; when it has not,
    // the sender gets the answer it got before.
    let same =
        |prior: &&Prior| prior.ack_code == verdict.code().as_str() && prior.reason.as_deref() == verdict.reason();
    if let Some(prior) = prior.filter(same) {
        return repeat(work, prior, &verdict);
    }
    view.apply(&decision.effects);
    let row = MessageRow { record: decision.record, ..row(work, decision.outcome, &verdict, work.received_at) };
    let own = Prior {
        id: 0,
        received_at: work.received_at,
        ack_code: row.ack_code.to_owned(),
        reason: row.reason.clone(),
        record: row.record,
    };
    priors.insert(row.key.clone(), own);
    let action = action(&decision);
    Entry { message: row, effects: decision.effects, action }
}

/// The same message again: it is told the same, as its address tells it.
fn repeat(work: &Work, prior: &Prior, verdict: &Verdict<'_>) -> Entry {
    let row = row(work, Outcome::Repeat, verdict, prior.received_at);
    let row = MessageRow { record: prior.record, repeat_of: Some(prior.id), ..row };
    Entry { message: row, effects: Effects::default(), action: "repeat: nothing done".to_owned() }
}

fn failed_row(work: &Work, verdict: &Verdict<'_>) -> MessageRow {
    row(work, Outcome::Failed, verdict, work.received_at)
}

/// The row of a message that changes no record. `answered_at` is the time in its acknowledgements.
fn row(work: &Work, outcome: Outcome, verdict: &Verdict<'_>, answered_at: i64) -> MessageRow {
    let prepared = &work.prepared;
    MessageRow {
        received_at: work.received_at,
        key: prepared.key(),
        peer: work.peer.to_string(),
        kind: prepared.kind.clone(),
        outcome,
        ack_code: verdict.code().as_str(),
        acks: prepared.answer(verdict, answered_at),
        reason: verdict.reason().map(str::to_owned),
        record: None,
        repeat_of: None,
        raw: prepared.raw.clone(),
    }
}
