//! One MLLP connection: reads frames, hands them to the handler and writes the answers back in order, all at once.
//!
//! Never holds more than the limits allow, never lets one direction block the other, and ends with a reason.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fairway_core::hl7v2::mllp::{DecodeError, Decoder, Event, FrameEnd, encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::budget::{Budget, Grant, Pace};
use super::listener::{CloseReason, ConnectionEvent, Handler, Limits, PREFIX_BYTES_MAX, Refused};
use super::write_some;

/// The read buffer of a connection that has sent nothing.
const BUFFER_BYTES_FIRST: usize = 4 * 1024;
/// A read buffer up to this length is not counted against the budget.
const BUFFER_BYTES_FREE: usize = 64 * 1024;
/// With less room than this the buffer grows before the next read.
const ROOM_BYTES_MIN: usize = 512;
/// A frame that grows by less than this within [`Limits::in_frame`] counts as silent: a byte now and then must not hold
/// a large buffer for days.
const PROGRESS_BYTES_MIN: usize = 64 * 1024;
/// With more answers than this waiting to be written, no more messages are taken.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// After a close from our side, what still comes is read and dropped for so long: a reset would take the last answer
/// away from a peer that is still sending.
const LINGER: Duration = Duration::from_secs(1);
/// The timer's rest when nothing is due.
const FAR: Duration = Duration::from_secs(3600);

/// What a connection needs besides its socket and handler.
pub(super) struct Parts<'a, E> {
    pub(super) peer: SocketAddr,
    pub(super) limits: &'a Limits,
    pub(super) budget: Budget,
    /// For short frames, which do not wait behind long ones.
    pub(super) short: Budget,
    pub(super) events: &'a E,
}

/// Runs one connection to its end. `stopped` resolves when no more is to be read.
pub(super) async fn run<H: Handler, E: Fn(ConnectionEvent)>(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    handler: &H,
    parts: Parts<'_, E>,
    stopped: impl Future<Output = ()>,
) -> CloseReason {
    let mut it = Connection::new(handler, parts);
    let mut stopped = pin!(stopped);
    let mut timer = pin!(sleep_until(Instant::now() + FAR));
    let reason = loop {
        it.take_frames();
        if let Some(reason) = it.finished() {
            break reason;
        }
        let reads = it.reads();
        // The timer is moved only when something is due earlier; a timer that fires too early is set anew.
        if let Some((at, _)) = it.due()
            && at < timer.deadline()
        {
            timer.as_mut().reset(at);
        }
        tokio::select! {
            biased;
            () = &mut stopped, if it.reading() => {
                // What has arrived by now is taken, as far as there is room for answers.
                while it.reads() {
                    match poll_fn(|cx| Poll::Ready(pin!(reader.read_buf(&mut it.buffer)).poll(cx))).await {
                        Poll::Ready(read @ Ok(1..)) => it.read(read),
                        Poll::Ready(_) | Poll::Pending => break,
                    }
                    it.take_frames();
                }
                it.end(CloseReason::Stopped);
            }
            () = poll_fn(|cx| it.answers.poll(cx)), if !it.answers.0.is_empty() => it.answer(),
            written = write_some(&mut writer, &mut it.out, &mut it.unflushed), if it.writing() => it.wrote(written),
            grant = granted(&mut it.waiting), if it.waiting.is_some() => it.granted(grant),
            read = reader.read_buf(&mut it.buffer), if reads => it.read(read),
            () = timer.as_mut() => match it.due() {
                Some((at, reason)) if at <= Instant::now() => it.overdue(reason),
                Some((at, _)) => timer.as_mut().reset(at),
                None => timer.as_mut().reset(Instant::now() + FAR),
            },
        }
    };
    drop(it);
    if writer_lives(reason) {
        linger(reader, writer).await;
    }
    reason
}

/// Closes our direction, then reads and drops what still comes, for [`LINGER`] at most.
pub(super) async fn linger(mut reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) {
    let drain = async {
        if writer.shutdown().await.is_ok() {
            let mut scrap = vec![0; BUFFER_BYTES_FIRST];
            while reader.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
        }
    };
    timeout(LINGER, drain).await.ok();
}

/// Whether the peer may still be sending and reading after we closed for this reason.
fn writer_lives(reason: CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::PeerClosed | CloseReason::ReadFailed(_) | CloseReason::WriteFailed(_) | CloseReason::WriteTimeout
    )
}

type Waiting = Pin<Box<dyn Future<Output = Grant> + Send>>;

async fn granted(waiting: &mut Option<Waiting>) -> Grant {
    match waiting {
        Some(grant) => grant.await,
        None => pending().await,
    }
}

/// What a stretch of the stream is handed over as.
enum Item {
    Frame(Bytes),
    Refused(Refused),
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Frame(bytes) | Item::Refused(Refused::Unfinished { bytes } | Refused::Restarted { bytes }) => {
                bytes.len()
            }
            Item::Refused(Refused::TooLarge { prefix }) => prefix.len(),
        }
    }
}

struct Connection<'a, H, E> {
    handler: &'a H,
    parts: Parts<'a, E>,
    decoder: Decoder,
    buffer: BytesMut,
    /// What the buffer holds past its free length.
    held: Grant,
    /// Memory being waited for; meanwhile nothing is read or decoded.
    waiting: Option<Waiting>,
    /// The item that waits for memory, if it is not the buffer.
    parked: Option<Item>,
    answers: Answers<'a>,
    out: BytesMut,
    /// Whether the writer holds back bytes that `out` no longer has.
    unflushed: bool,
    /// Why reading ended.
    reason: Option<CloseReason>,
    /// Nothing more will come out of the buffer.
    drained: bool,
    /// No answer can be written any more.
    mute: bool,
    /// Whether the last turn could read.
    read_last: bool,
    /// When a frame began, or last grew by [`PROGRESS_BYTES_MIN`]; outside of frames, when anything was read.
    read_at: Instant,
    /// Bytes read since then.
    progress: usize,
    /// What came since the frame began, or since it was last looked whether that is enough.
    pace: Pace,
    /// Whether the peer has ever sent a frame.
    framed: bool,
    /// Until it is known that the peer does not begin with TLS.
    opening: bool,
    wrote_at: Instant,
    active_at: Instant,
}

impl<'a, H: Handler, E: Fn(ConnectionEvent)> Connection<'a, H, E> {
    fn new(handler: &'a H, parts: Parts<'a, E>) -> Self {
        let now = Instant::now();
        Self {
            handler,
            decoder: Decoder::new(parts.limits.frame_bytes_max),
            parts,
            buffer: BytesMut::with_capacity(BUFFER_BYTES_FIRST),
            held: Grant::default(),
            waiting: None,
            parked: None,
            answers: Answers(VecDeque::new()),
            out: BytesMut::new(),
            unflushed: false,
            reason: None,
            drained: false,
            mute: false,
            read_last: false,
            read_at: now,
            progress: 0,
            pace: Pace::new(),
            framed: false,
            opening: true,
            wrote_at: now,
            active_at: now,
        }
    }

    fn reading(&self) -> bool {
        self.reason.is_none()
    }

    fn writing(&self) -> bool {
        !self.out.is_empty() || self.unflushed
    }

    /// Reads no more, for the first reason given.
    fn end(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
        let unwritable = matches!(reason, CloseReason::WriteFailed(_) | CloseReason::WriteTimeout);
        if unwritable {
            self.out.clear();
            self.unflushed = false;
        }
        if unwritable || reason == CloseReason::NoAnswer {
            // What was handed over is run to its end, but no later message can be answered: it is the sender's to
            // repeat.
            (self.mute, self.drained) = (true, true);
            (self.waiting, self.parked) = (None, None);
        }
    }

    /// The reason, once nothing is left to do.
    fn finished(&self) -> Option<CloseReason> {
        let idle = self.drained && self.waiting.is_none() && self.answers.0.is_empty() && !self.writing();
        self.reason.filter(|_| idle)
    }

    fn has_room_for_answers(&self) -> bool {
        self.answers.0.len() < self.parts.limits.in_flight_max.max(1) && self.out.len() < OUT_BYTES_MAX
    }

    /// Whether to read now; makes room for it.
    fn reads(&mut self) -> bool {
        if self.reading() && self.has_room_for_answers() {
            self.make_room();
        }
        let reads = self.reading() && self.has_room_for_answers() && self.waiting.is_none();
        if reads && !self.read_last {
            // The time in which we did not listen is not the peer's silence.
            (self.read_at, self.pace) = (Instant::now(), Pace::new());
        }
        self.read_last = reads;
        reads
    }

    /// The next moment at which something is overdue, and what the connection is then closed for.
    fn due(&self) -> Option<(Instant, CloseReason)> {
        let limits = self.parts.limits;
        let write = self.writing().then_some((self.wrote_at + limits.write, CloseReason::WriteTimeout));
        let quiet = self.answers.0.is_empty() && !self.writing();
        let listens = self.read_last && self.reading();
        let silence = match self.decoder.in_frame() {
            true => Some(CloseReason::InFrameTimeout),
            // Waits for an acknowledgement of what it never framed.
            false if !self.framed && self.decoder.skipping() > 0 => Some(CloseReason::Unframed),
            false => None,
        };
        let silence = silence.filter(|_| listens).map(|reason| (self.read_at + limits.in_frame, reason));
        let holds = listens && !self.held.is_empty();
        let pace = holds.then_some((self.pace.since + limits.pace, CloseReason::TooSlow));
        let idle = listens && quiet && !self.decoder.in_frame();
        let idle = idle.then_some((self.active_at + limits.idle, CloseReason::Idle));
        [write, silence, pace, idle].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What was due has come: the end, unless a frame grew fast enough or nobody waits for its memory.
    fn overdue(&mut self, reason: CloseReason) {
        match reason {
            CloseReason::TooSlow if !self.pace.is_behind(&self.held, &self.parts.budget, self.parts.limits.pace) => {
                self.pace = Pace::new();
            }
            reason => self.end(reason),
        }
    }

    fn event(&self, event: ConnectionEvent) {
        (self.parts.events)(event);
    }

    /// Whether the peer begins with a TLS handshake, which holds bytes that look like a frame; and until that is known.
    fn begins_with_tls(&mut self) -> bool {
        match &self.buffer[..] {
            [] | [0x16] if self.reading() => return true,
            [0x16, 0x03, ..] => {
                self.end(CloseReason::UnexpectedTls);
                (self.drained, self.buffer) = (true, BytesMut::new());
            }
            _ => self.opening = false,
        }
        self.opening
    }

    /// Hands over every complete frame in the buffer for which there is room.
    fn take_frames(&mut self) {
        if self.opening && self.begins_with_tls() {
            return;
        }
        while !self.drained && self.waiting.is_none() && self.has_room_for_answers() {
            let event = match self.decoder.decode(&mut self.buffer) {
                Ok(Some(event)) => event,
                Ok(None) if self.reading() => {
                    if self.decoder.skipping() <= self.parts.limits.junk_bytes_max {
                        return;
                    }
                    self.end(CloseReason::JunkLimit);
                    continue;
                }
                Ok(None) => match self.last_event() {
                    Some(event) => event,
                    None => return,
                },
                Err(error) => return self.too_large(error),
            };
            self.take(event);
        }
    }

    /// What is left in the buffer when reading has ended; `None` when that is nothing.
    fn last_event(&mut self) -> Option<Event> {
        // On stop, a message that is not complete is the sender's to repeat, and there is nobody to blame.
        let left = match self.reason {
            Some(CloseReason::Stopped) => None,
            _ => self.decoder.finish(&mut self.buffer),
        };
        self.drained = left.is_none();
        left
    }

    fn take(&mut self, event: Event) {
        let peer = self.parts.peer;
        let item = match event {
            Event::Skipped { blank: true, .. } => return,
            Event::Skipped { bytes, blank: false } => return self.event(ConnectionEvent::Junk { peer, bytes }),
            Event::Frame { bytes, end } => {
                match end {
                    FrameEnd::Full => {}
                    FrameEnd::Lf | FrameEnd::NoCr => self.event(ConnectionEvent::NoCr { peer }),
                }
                Item::Frame(bytes)
            }
            Event::Restarted { dropped: bytes } => {
                self.event(ConnectionEvent::Restarted { peer, bytes: bytes.len() });
                Item::Refused(Refused::Restarted { bytes })
            }
            Event::Unfinished { bytes } => {
                self.event(ConnectionEvent::Unfinished { peer, bytes: bytes.len() });
                Item::Refused(Refused::Unfinished { bytes })
            }
        };
        self.active_at = Instant::now();
        (self.read_at, self.progress, self.framed) = (self.active_at, 0, true);
        self.pace = Pace::new();
        if !self.held.is_empty() {
            // The buffer had grown for this item, so the memory goes with it and the buffer starts small again. What
            // follows in it is shorter than the item, since it grew only while the item was incomplete.
            let grant = std::mem::take(&mut self.held);
            self.buffer = BytesMut::from(&self.buffer[..]);
            return self.hand_over(item, grant);
        }
        let budget = if item.len() <= BUFFER_BYTES_FREE { &self.parts.short } else { &self.parts.budget };
        match budget.try_take(item.len()) {
            Some(grant) => self.hand_over(item, grant),
            None => {
                let waiting = budget.clone().take(item.len());
                self.wait_for(waiting);
                self.parked = Some(item);
            }
        }
    }

    fn too_large(&mut self, DecodeError::TooLarge { limit }: DecodeError) {
        self.event(ConnectionEvent::FrameTooLarge { peer: self.parts.peer, limit });
        self.end(CloseReason::FrameTooLarge);
        self.drained = true;
        let prefix = self.buffer.get(..PREFIX_BYTES_MAX).unwrap_or(&self.buffer);
        let prefix = Bytes::copy_from_slice(prefix);
        (self.buffer, self.held) = (BytesMut::new(), Grant::default());
        self.hand_over(Item::Refused(Refused::TooLarge { prefix }), Grant::default());
    }

    fn hand_over(&mut self, item: Item, grant: Grant) {
        let (handler, peer) = (self.handler, self.parts.peer);
        let answer = match item {
            Item::Frame(frame) => Answer::new(Box::pin(handler.handle(frame, peer)), true, grant),
            Item::Refused(what) => Answer::new(Box::pin(handler.refuse(what, peer)), false, grant),
        };
        self.answers.0.push_back(answer);
    }

    fn make_room(&mut self) {
        let length = self.buffer.len();
        if self.waiting.is_some() || self.buffer.capacity() - length >= ROOM_BYTES_MIN {
            return;
        }
        let most = self.parts.limits.frame_bytes_max.saturating_add(BUFFER_BYTES_FREE);
        let wanted = (2 * length).min(most).max(length + BUFFER_BYTES_FIRST);
        let counted = wanted.saturating_sub(BUFFER_BYTES_FREE);
        if !self.held.covers(counted) {
            let more = counted - self.held.bytes();
            match self.parts.budget.try_take(more) {
                Some(grant) => self.held.merge(grant),
                None => return self.wait_for(self.parts.budget.clone().take(more)),
            }
        }
        self.buffer.reserve(wanted - length);
    }

    fn wait_for(&mut self, memory: impl Future<Output = Grant> + Send + 'static) {
        self.event(ConnectionEvent::WaitingForMemory { peer: self.parts.peer });
        self.waiting = Some(Box::pin(memory));
    }

    fn granted(&mut self, grant: Grant) {
        self.waiting = None;
        match self.parked.take() {
            Some(item) => self.hand_over(item, grant),
            None => self.held.merge(grant),
        }
    }

    fn read(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => self.end(CloseReason::PeerClosed),
            Ok(bytes) => {
                self.progress += bytes;
                self.pace.bytes += bytes;
                if !self.decoder.in_frame() || self.progress >= PROGRESS_BYTES_MIN {
                    (self.read_at, self.progress) = (Instant::now(), 0);
                }
            }
            Err(error) => self.end(CloseReason::ReadFailed(error.kind())),
        }
    }

    /// Moves every answer that is due, in order, to the bytes to be written.
    fn answer(&mut self) {
        if !self.writing() {
            self.wrote_at = Instant::now();
        }
        while let Some((answer, required)) = self.answers.next() {
            match answer {
                Some(answers) if !self.mute => answers.iter().for_each(|bytes| encode(bytes, &mut self.out)),
                None if required => self.end(CloseReason::NoAnswer),
                _ => {}
            }
        }
        self.active_at = Instant::now();
    }

    fn wrote(&mut self, written: io::Result<()>) {
        self.wrote_at = Instant::now();
        match written {
            Ok(()) if self.out.is_empty() && self.out.capacity() > OUT_BYTES_MAX => self.out = BytesMut::new(),
            Ok(()) => {}
            Err(error) => self.end(CloseReason::WriteFailed(error.kind())),
        }
    }
}

type Resolving<'a> = Pin<Box<dyn Future<Output = Option<Vec<Bytes>>> + Send + 'a>>;

/// The answer to one item: first a future, then what it resolved to.
struct Answer<'a> {
    resolving: Option<Resolving<'a>>,
    resolved: Option<Vec<Bytes>>,
    /// Without an answer the connection must close.
    required: bool,
    _grant: Grant,
}

impl<'a> Answer<'a> {
    fn new(resolving: Resolving<'a>, required: bool, grant: Grant) -> Self {
        Self { resolving: Some(resolving), resolved: None, required, _grant: grant }
    }
}

/// Answers in the order of their messages. At most [`Limits::in_flight_max`] long, so each turn may poll them all.
struct Answers<'a>(VecDeque<Answer<'a>>);

impl Answers<'_> {
    /// Drives every future, oldest first; ready when the oldest has resolved.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for answer in &mut self.0 {
            if let Some(resolving) = &mut answer.resolving
                && let Poll::Ready(resolved) = resolving.as_mut().poll(cx)
            {
                (answer.resolving, answer.resolved) = (None, resolved);
            }
        }
        match self.0.front() {
            Some(Answer { resolving: None, .. }) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// The oldest answer, if it has resolved, and whether it is required.
    fn next(&mut self) -> Option<(Option<Vec<Bytes>>, bool)> {
        let answer = self.0.pop_front_if(|oldest| oldest.resolving.is_none())?;
        Some((answer.resolved, answer.required))
    }
}
