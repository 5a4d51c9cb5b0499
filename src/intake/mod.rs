//! From a framed message to its acknowledgement: parse, route to a feed, translate, hand to the writer.
//!
//! Everything up to the writer is pure work on the connection's task, in order of arrival; only the writer knows the
//! store. A message is answered when it is durable, whatever became of it.

mod current;
mod memory;
mod writer;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use fairway_core::hl7v2::mllp::{CR, FS};
use fairway_core::hl7v2::{Ack, AckCode, AckStyle, Batch, ErrorCode, Message, ParseOptions, answers, answers_unparsed};
use fairway_core::mapping::{Finding, Reads, Translation, translate, unmapped};
use fairway_core::record::{Decision, Fault, RecordUpdate, Refusal};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::config::ConfiguredFeed;
use crate::mllp::listener::{Handler, Refused};
use crate::store::{Digest, MessageKey};
use crate::telemetry::Metrics;

pub use current::Current;
pub use memory::Memory;
pub use writer::{Writer, WriterGauge};

/// Messages that may wait for the writer; past it senders wait (back-pressure).
pub const QUEUE_MAX: usize = 2048;
/// Longest MSH-10 that is taken, in characters (HL7 v2.8).
const CONTROL_ID_CHARS_MAX: usize = 199;
/// What a refusal shows of MSH-3 and MSH-4, in characters.
const NAME_CHARS_MAX: usize = 40;
/// Messages of one batch that wait for the writer together.
const BATCH_IN_FLIGHT: usize = 64;
/// Messages longer than this are worked on outside the connection tasks' threads, in bytes.
const LARGE_BYTES: usize = 256 * 1024;

/// A message on its way to the writer.
pub struct Work {
    received_at: i64,
    peer: SocketAddr,
    prepared: Prepared,
    /// It takes long, so that it makes a batch of its own.
    large: bool,
    reply: oneshot::Sender<Vec<Bytes>>,
}

/// A message as far as it can be taken without the store.
pub struct Prepared {
    /// Name of its feed; empty when no feed takes it.
    pub feed: String,
    /// Message type as `ADT^A28`.
    pub kind: String,
    /// MSH-10.
    pub control_id: String,
    digest: Digest,
    raw: Bytes,
    message: Option<Message>,
    /// How its answers look.
    pub style: AckStyle,
    /// The update, or why there is none.
    pub content: Content,
    /// Codes without a mapping and the like.
    pub findings: Vec<Finding>,
    /// The fields that the update was made of; none without an update.
    pub reads: Option<Reads>,
}

/// What a message asks for, or why it cannot be asked for.
pub enum Content {
    /// A record update to decide.
    Update(Box<RecordUpdate>),
    /// `AR`, with the reason.
    Rejected(Refusal),
    /// `AE`, with the reason.
    Failed(String),
}

impl Prepared {
    /// What the sender is answered, one acknowledgement after the other; nothing when it asks for none.
    pub fn answer(&self, verdict: &Verdict<'_>, now_micros: i64) -> Vec<Bytes> {
        let (ack, kept) = (verdict.ack(), !matches!(verdict, Verdict::NotStored(_)));
        let answers = match &self.message {
            Some(message) => answers(message, &ack, self.style, kept, now_micros),
            None => answers_unparsed(&self.raw, &ack, self.style, now_micros),
        };
        answers.into_iter().map(Bytes::from).collect()
    }

    /// What it is recognised by when it is sent again.
    pub fn key(&self) -> MessageKey {
        MessageKey { feed: self.feed.clone(), control_id: self.control_id.clone(), digest: self.digest }
    }
}

/// What became of a message, as its sender is told.
pub enum Verdict<'a> {
    /// `AA`.
    Accepted,
    /// `AR`.
    Rejected(&'a Refusal),
    /// `AE`; the message is kept.
    Failed(&'a str),
    /// `AE`; nothing is kept.
    NotStored(&'a str),
}

impl Verdict<'_> {
    /// MSA-1 in original mode.
    pub fn code(&self) -> AckCode {
        match self {
            Verdict::Accepted => AckCode::AA,
            Verdict::Rejected(_) => AckCode::AR,
            Verdict::Failed(_) | Verdict::NotStored(_) => AckCode::AE,
        }
    }

    /// Why it is not accepted.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Verdict::Accepted => None,
            Verdict::Rejected(refusal) => Some(&refusal.text),
            Verdict::Failed(reason) | Verdict::NotStored(reason) => Some(reason),
        }
    }

    /// The acknowledgement that tells it.
    pub fn ack(&self) -> Ack {
        let error = match self {
            Verdict::Accepted => None,
            Verdict::Rejected(refusal) => Some(error_code(refusal.fault)),
            Verdict::Failed(_) | Verdict::NotStored(_) => Some(ErrorCode::Internal),
        };
        Ack { code: self.code(), reason: self.reason().map(str::to_owned), error }
    }
}

/// The code of HL7 table 0357 for a fault.
fn error_code(fault: Fault) -> ErrorCode {
    match fault {
        Fault::Structure => ErrorCode::SegmentSequence,
        Fault::Missing => ErrorCode::RequiredField,
        Fault::Value => ErrorCode::DataType,
        Fault::Code => ErrorCode::TableValue,
        Fault::MessageType => ErrorCode::MessageType,
        Fault::Environment => ErrorCode::ProcessingId,
        Fault::UnknownKey => ErrorCode::UnknownKey,
        Fault::Conflict => ErrorCode::DuplicateKey,
        Fault::Rule => ErrorCode::Internal,
    }
}

/// The feed of those that fits a message best: the one whose route asks for most.
pub fn route<'f>(feeds: &'f [Arc<ConfiguredFeed>], message: &Message) -> Option<&'f Arc<ConfiguredFeed>> {
    let mut best: Option<(usize, &Arc<ConfiguredFeed>)> = None;
    for feed in feeds {
        if let Some(fit) = feed.fit(message)
            && best.is_none_or(|(held, _)| fit > held)
        {
            best = Some((fit, feed));
        }
    }
    best.map(|(_, feed)| feed)
}

/// Parses, routes and translates a message that arrived at `now` (µs since 1970 UTC); total, no I/O.
pub fn prepare(feeds: &[Arc<ConfiguredFeed>], raw: Bytes, now: i64) -> Prepared {
    let options = feeds.first().map_or_else(ParseOptions::default, |feed| feed.parse.clone());
    let worked = catch_unwind(AssertUnwindSafe(|| prepare_parsed(feeds, &raw, &options, now)));
    let (message, feed, content, (findings, reads)) = worked.unwrap_or_else(|_| {
        tracing::error!(event = "intake.translation_panicked");
        let text = "the message could not be translated; report it to the operator";
        (None, None, Content::Failed(text.to_owned()), Noticed::default())
    });
    let kind = message.as_ref().map(kind_of);
    let control_id = message.as_ref().map(|message| shortened(&message.control_id(), CONTROL_ID_CHARS_MAX));
    Prepared {
        kind: kind.unwrap_or_default(),
        control_id: control_id.unwrap_or_default(),
        digest: digest(&raw, feed.and_then(|feed| feed.feed.source_team.as_deref())),
        feed: feed.map(|feed| feed.feed.name.clone()).unwrap_or_default(),
        raw,
        message,
        style: AckStyle::default(),
        content,
        findings,
        reads,
    }
}

/// What was noticed, and the fields that an update was made of.
type Noticed = (Vec<Finding>, Option<Reads>);

fn prepare_parsed<'f>(
    feeds: &'f [Arc<ConfiguredFeed>],
    raw: &Bytes,
    options: &ParseOptions,
    now: i64,
) -> (Option<Message>, Option<&'f ConfiguredFeed>, Content, Noticed) {
    let message = match Message::parse(raw.clone(), options) {
        Ok(message) => message,
        Err(error) => return (None, None, Content::Failed(error.to_string()), Noticed::default()),
    };
    if message.control_id().chars().nth(CONTROL_ID_CHARS_MAX).is_some() {
        let text = format!("MSH-10.1 (message control id) is longer than {CONTROL_ID_CHARS_MAX} characters");
        return (Some(message), None, Content::Rejected(Refusal::new(Fault::Rule, text)), Noticed::default());
    }
    if message.code().is_empty() {
        let refusal = Refusal::new(Fault::Missing, "MSH-9.1 (message type) must be provided. You provided []");
        return (Some(message), None, Content::Rejected(refusal), Noticed::default());
    }
    let Some(feed) = route(feeds, &message) else {
        let text = format!(
            "MSH-9: no feed of this address takes {} from application [{}] and facility [{}] (MSH-3, MSH-4)",
            kind_of(&message),
            shortened(&message.sending_application(), NAME_CHARS_MAX),
            shortened(&message.sending_facility(), NAME_CHARS_MAX)
        );
        return (Some(message), None, Content::Rejected(Refusal::new(Fault::MessageType, text)), Noticed::default());
    };
    // The default character set belongs to the feed, which is known only now.
    let message = match feed.parse.default_charset == options.default_charset {
        true => message,
        false => match Message::parse(raw.clone(), &feed.parse) {
            Ok(message) => message,
            Err(error) => return (None, Some(feed), Content::Failed(error.to_string()), Noticed::default()),
        },
    };
    match translate(&feed.feed, &message, now) {
        Ok(Translation { update, findings, reads }) => {
            (Some(message), Some(feed), Content::Update(Box::new(update)), (findings, Some(reads)))
        }
        Err(refusal) => (Some(message), Some(feed), Content::Rejected(refusal), Noticed::default()),
    }
}

/// The message type as `ADT^A28`; `an unknown type` when it is no type of HL7's: what a sender put there by mistake may be
/// anything, and types go into logs and metrics.
fn kind_of(message: &Message) -> String {
    let known = |text: &str| text.len() <= 8 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let (code, trigger) = (message.code(), message.trigger());
    match known(&code) && known(&trigger) {
        true => format!("{code}^{trigger}"),
        false => "an unknown type".to_owned(),
    }
}

fn shortened(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Of a message's bytes, which hold sender and control id, and of the team whose credential brought it: the same bytes do
/// something else for another team.
fn digest(raw: &[u8], team: Option<&str>) -> Digest {
    let hash = Sha256::new().chain_update(raw).chain_update(team.unwrap_or_default()).finalize();
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash[..16]);
    digest
}

/// One line of what a decision did, for the audit and for people; ids only.
pub fn action(decision: &Decision) -> String {
    let mut lines: Vec<String> = Vec::new();
    for note in &decision.notes {
        let version = if note.version > 0 { format!(" v{}", note.version) } else { String::new() };
        lines.push(format!("{}/{}{version} {}", note.resource_type, note.id, note.kind.as_str()));
    }
    lines.join("; ")
}

/// The listeners' side of intake for one address.
pub struct Intake {
    /// Name of the environment.
    pub environment: &'static str,
    /// The feeds of the address; in the sandbox they may change.
    pub feeds: Current<Vec<Arc<ConfiguredFeed>>>,
    /// To the writer.
    pub queue: mpsc::Sender<Work>,
    /// Memory that messages under way may take; shared by the listeners of an environment.
    pub memory: Arc<Memory>,
    /// How the answers of the address look.
    pub style: AckStyle,
    /// Where outcomes are counted.
    pub metrics: Arc<Metrics>,
}

/// Now, as µs since 1970 UTC.
pub fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Now, but for each message another time, since its acknowledgements have their control ids from it: at least two
/// microseconds behind the one before.
fn arrival() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let (now, mut given) = (now_micros(), 0);
    let next = |last| {
        given = now.max(last + 2);
        Some(given)
    };
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok();
    given
}

/// A message that was sent this much later than it came is told, µs: its sender's clock is ahead by an hour, so that what
/// is sent with a right clock counts as older.
const AHEAD_TOLD: i64 = 3600 * 1_000_000;

impl Intake {
    async fn message(&self, bytes: Bytes, peer: SocketAddr) -> Option<Vec<Bytes>> {
        let received_at = arrival();
        let memory = self.memory.take(&bytes, peer).await?;
        let feeds = self.feeds.get();
        let prepared = if bytes.len() > LARGE_BYTES {
            tokio::task::block_in_place(|| prepare(&feeds, bytes, received_at))
        } else {
            prepare(&feeds, bytes, received_at)
        };
        if let Content::Update(update) = &prepared.content
            && let ahead @ AHEAD_TOLD.. = update.sent_at - received_at
        {
            let (environment, feed, minutes) = (self.environment, &prepared.feed, ahead / 60_000_000);
            tracing::warn!(event = "message.ahead", environment, feed, %peer, minutes);
        }
        if self.environment == "sandbox" {
            self.count_losses(&feeds, &prepared);
        }
        self.submit(prepared, peer, received_at, memory.large).await
    }

    /// Counts what an accepted message holds and its mapping does not use: where a feed is being built, somebody looks.
    fn count_losses(&self, feeds: &[Arc<ConfiguredFeed>], prepared: &Prepared) {
        let (Content::Update(_), Some(message)) = (&prepared.content, &prepared.message) else { return };
        let Some(feed) = feeds.iter().find(|feed| feed.feed.name == prepared.feed) else { return };
        for path in unmapped(&feed.feed.plan, message, prepared.reads.as_ref()) {
            self.metrics.unread(&prepared.feed, &path);
        }
        for finding in &prepared.findings {
            let path = finding.path.rsplit(": ").next().unwrap_or_default();
            self.metrics.unmapped_code(&prepared.feed, path);
        }
    }

    /// Every message of a batch on its own, in order, and one answer for all of them.
    async fn batch(&self, batch: &Batch, frame: Bytes, peer: SocketAddr) -> Option<Vec<Bytes>> {
        for finding in batch.findings() {
            tracing::warn!(event = "batch.irregular", environment = self.environment, %peer, finding);
        }
        let mut messages: Vec<Bytes> = batch.messages().collect();
        if messages.is_empty() {
            // It is kept, and the parser says what it is.
            messages.push(frame);
        }
        let mut answers = Vec::with_capacity(messages.len());
        for some in messages.chunks(BATCH_IN_FLIGHT) {
            let some = some.iter().map(|message| Box::pin(self.message(message.clone(), peer)));
            // Polled in order, each reaches the queue before the next.
            for answer in in_order(some.collect()).await {
                answers.push(Bytes::from(answer?.concat()));
            }
        }
        Some(vec![Bytes::from(batch.acknowledge(&answers, arrival))])
    }

    async fn submit(
        &self,
        mut prepared: Prepared,
        peer: SocketAddr,
        received_at: i64,
        large: bool,
    ) -> Option<Vec<Bytes>> {
        prepared.style = self.style;
        let (reply, answer) = oneshot::channel();
        let work = Work { received_at, peer, prepared, large, reply };
        // Both fail only when the writer is gone; then nothing may be acknowledged.
        self.queue.send(work).await.ok()?;
        answer.await.ok()
    }
}

/// Drives futures together, polled in their order, and gives their results in that order.
async fn in_order<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(output) = Pin::new(future).poll(cx)
            {
                *result = Some(output);
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// Why FS CR at the end of a frame was not taken for its end: only in UTF-16 it can be something else.
fn doubt(frame: &[u8]) -> &'static str {
    match frame.ends_with(&[FS, CR]) {
        true => " (which is a letter of UTF-16, too, unless it follows the CR of the last segment)",
        false => "",
    }
}

impl Handler for Intake {
    async fn handle(&self, frame: Bytes, peer: SocketAddr) -> Option<Vec<Bytes>> {
        let started = Instant::now();
        let answer = match Batch::read(frame.clone()) {
            None => self.message(frame, peer).await,
            Some(batch) => self.batch(&batch, frame, peer).await,
        };
        self.metrics.answered(self.environment, started.elapsed().as_secs_f64());
        answer
    }

    async fn refuse(&self, what: Refused, peer: SocketAddr) -> Option<Vec<Bytes>> {
        let (raw, content) = match what {
            Refused::TooLarge { prefix } => {
                let limit = "the message is longer than this address takes; its beginning was kept";
                (prefix, Content::Rejected(Refusal::new(Fault::Rule, limit)))
            }
            Refused::Unfinished { bytes } => {
                let text = format!("the frame did not end with FS CR{}; what came was kept", doubt(&bytes));
                (bytes, Content::Failed(text))
            }
            Refused::Restarted { bytes } => {
                let doubt = doubt(&bytes);
                let text = format!("a new frame began before this one ended with FS CR{doubt}; what came was kept");
                (bytes, Content::Failed(text))
            }
        };
        let prepared = Prepared {
            feed: String::new(),
            kind: String::new(),
            control_id: String::new(),
            digest: digest(&raw, None),
            raw,
            message: None,
            style: self.style,
            content,
            findings: Vec::new(),
            reads: None,
        };
        self.submit(prepared, peer, arrival(), false).await
    }
}
