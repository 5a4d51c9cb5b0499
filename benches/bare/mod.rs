//! The physical limit to measure Fairway against: a bare MLLP server and a load generator, with nothing of Fairway.
//!
//! The server does the least that an acknowledgement can honestly mean: it appends each frame to a file, flushes once
//! for all that wait, and answers. It never parses, decides or indexes. The generator keeps one message in flight per
//! sender and runs on one thread, so that the other core is the server's.

#![allow(clippy::unwrap_used, dead_code)] // a broken bench should stop; not every bench uses everything

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// A file that many tasks append to and one thread flushes: one `fdatasync` for all who wait.
#[derive(Clone)]
pub(crate) struct Journal(Arc<(Mutex<Batch>, Condvar)>);

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    closed: bool,
}

impl Journal {
    /// Starts the writing thread, which ends after [`close`](Self::close).
    pub(crate) fn create(path: &Path) -> (Journal, JoinHandle<()>) {
        let mut file = File::create(path).unwrap();
        let journal = Journal(Arc::default());
        let shared = journal.clone();
        let thread = std::thread::spawn(move || {
            let mut taken = Batch::default();
            loop {
                let (batch, wake) = &*shared.0;
                let mut batch = wake.wait_while(batch.lock().unwrap(), |b| b.waiting.is_empty() && !b.closed).unwrap();
                if batch.waiting.is_empty() {
                    return;
                }
                std::mem::swap(&mut batch.bytes, &mut taken.bytes);
                std::mem::swap(&mut batch.waiting, &mut taken.waiting);
                drop(batch);
                file.write_all(&taken.bytes).unwrap();
                file.sync_data().unwrap();
                taken.bytes.clear();
                taken.waiting.drain(..).for_each(|waiting| waiting.send(()).unwrap_or_default());
            }
        });
        (journal, thread)
    }

    /// Resolves once the frame is durable.
    pub(crate) fn append(&self, frame: &[u8]) -> oneshot::Receiver<()> {
        let (durable, done) = oneshot::channel();
        let (batch, wake) = &*self.0;
        let mut batch = batch.lock().unwrap();
        batch.bytes.extend_from_slice(frame);
        batch.waiting.push(durable);
        // While a batch is being flushed the thread looks by itself before it sleeps again.
        if batch.waiting.len() == 1 {
            wake.notify_one();
        }
        done
    }

    /// Lets the thread end once everything is written.
    pub(crate) fn close(&self) {
        self.0.0.lock().unwrap().closed = true;
        self.0.1.notify_one();
    }
}

/// A running bare server. Ends when dropped.
pub(crate) struct Bare {
    pub(crate) addr: SocketAddr,
    journal: Journal,
    runtime: Option<Runtime>,
    thread: Option<JoinHandle<()>>,
}

impl Bare {
    /// Serves on a free port of 127.0.0.1 and appends to `path`.
    pub(crate) fn start(path: &Path) -> Bare {
        let (journal, thread) = Journal::create(path);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = journal.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(connection(stream, shared.clone()));
            }
        });
        Bare { addr, journal, runtime: Some(runtime), thread: Some(thread) }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.journal.close();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn connection(mut stream: TcpStream, journal: Journal) {
    let (mut buffer, mut ack) = (Vec::with_capacity(16 * 1024), Vec::new());
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        while let Some(end) = frame_end(&buffer) {
            ack_for(&buffer[..end], &mut ack);
            let durable = journal.append(&buffer[..end]);
            buffer.drain(..end);
            if durable.await.is_err() || stream.write_all(&ack).await.is_err() {
                return;
            }
        }
    }
}

/// Length of the first frame with its FS CR.
fn frame_end(bytes: &[u8]) -> Option<usize> {
    if bytes.ends_with(b"\x1C\r") && !bytes[..bytes.len() - 2].contains(&0x1C) {
        return Some(bytes.len());
    }
    bytes.windows(2).position(|pair| pair == b"\x1C\r").map(|at| at + 2)
}

/// A constant acknowledgement with the frame's MSH-10 as MSA-2.
pub(crate) fn ack_for(frame: &[u8], ack: &mut Vec<u8>) {
    let id = frame.split(|&byte| byte == b'|').nth(9).unwrap_or_default();
    ack.clear();
    ack.extend_from_slice(b"\x0BMSH|^~\\&|BARE|BARE|||20240101000000||ACK|1|P|2.4\rMSA|AA|");
    ack.extend_from_slice(id);
    ack.extend_from_slice(b"\r\x1C\r");
}

/// How long a load lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// No message is started after so long.
    Elapsed(Duration),
    /// Every sender sends so many.
    EachSent(usize),
}

/// What a load measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Messages answered `AA`, with the MSH-10 sent as MSA-2.
    pub(crate) messages: usize,
    /// Messages answered otherwise.
    pub(crate) refused: usize,
    /// Answered messages, whatever the answer, per second.
    pub(crate) messages_per_second: f64,
    /// From the first byte written to the whole answer read.
    pub(crate) p50: Duration,
    /// As `p50`; one message in a hundred takes longer.
    pub(crate) p99: Duration,
}

/// Sends over `senders` connections, one message in flight on each; blocks until done.
///
/// `make_message(sender, n)` gives the n-th message of a sender without framing; it runs on the generator's one
/// thread, so it should only fill in what differs.
///
/// # Panics
/// When a connection fails: a figure with lost connections is worth nothing.
pub(crate) fn load(
    addr: SocketAddr,
    senders: usize,
    until: Until,
    make_message: impl Fn(usize, usize) -> Vec<u8> + Send + Sync + 'static,
) -> Figures {
    let make_message = Arc::new(make_message);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(senders);
        for _ in 0..senders {
            let stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        let began = Instant::now();
        let mut sending = Vec::with_capacity(senders);
        for (sender, stream) in streams.into_iter().enumerate() {
            let make_message = Arc::clone(&make_message);
            sending.push(tokio::spawn(one_sender(stream, began, until, move |n| make_message(sender, n))));
        }
        let (mut refused, mut micros) = (0, Vec::new());
        for sender in sending {
            let (not_accepted, took) = sender.await.unwrap();
            refused += not_accepted;
            micros.extend(took);
        }
        let took = began.elapsed();
        micros.sort_unstable();
        let at = |share: f64| {
            let rank = (micros.len() as f64 * share).ceil() as usize;
            Duration::from_micros(micros.get(rank.saturating_sub(1)).copied().unwrap_or(0).into())
        };
        Figures {
            messages: micros.len() - refused,
            refused,
            messages_per_second: micros.len() as f64 / took.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
        }
    })
}

/// Answers other than `AA`, and the latency of every message in microseconds.
async fn one_sender(
    mut stream: TcpStream,
    began: Instant,
    until: Until,
    make_message: impl Fn(usize) -> Vec<u8>,
) -> (usize, Vec<u32>) {
    let (mut refused, mut micros) = (0, Vec::new());
    let (mut out, mut answer, mut accepted) = (Vec::new(), Vec::with_capacity(4 * 1024), Vec::new());
    for n in 0.. {
        match until {
            Until::Elapsed(limit) if began.elapsed() >= limit => break,
            Until::EachSent(count) if n >= count => break,
            Until::Elapsed(_) | Until::EachSent(_) => {}
        }
        let message = make_message(n);
        out.clear();
        out.push(0x0B);
        out.extend_from_slice(&message);
        out.extend_from_slice(b"\x1C\r");
        let sent = Instant::now();
        stream.write_all(&out).await.unwrap();
        answer.clear();
        while !answer.ends_with(b"\x1C\r") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the server closed the connection");
        }
        micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        accepted.clear();
        accepted.extend_from_slice(b"\rMSA|AA|");
        accepted.extend_from_slice(message.split(|&byte| byte == b'|').nth(9).unwrap_or_default());
        let matches = answer.windows(accepted.len()).any(|part| part == accepted);
        refused += usize::from(!matches);
    }
    (refused, micros)
}
