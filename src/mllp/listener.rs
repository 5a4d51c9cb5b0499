//! Accepts MLLP connections, keeps to limits and hands each framed message to a [`Handler`].
//!
//! Never parses a message, never stops because of one connection, and never tells an event what a message said.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::budget::{Budget, PACE};
use super::{connection, handshake};
use crate::tls::{HandshakeFailure, ServerConfig};

/// How long to wait after a failed `accept` (no file descriptors left, say) before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection is asked for a sign of life after so long without one,
const KEEPALIVE: Duration = Duration::from_secs(60);
/// then again in these pauses,
const KEEPALIVE_PROBE: Duration = Duration::from_secs(15);
/// and is dead when it gives none so many times.
const KEEPALIVE_PROBES: u32 = 4;

/// What becomes of the messages of a listener.
pub trait Handler: Send + Sync + 'static {
    /// Takes one framed message. Resolves to the acknowledgements, each without framing, once the message is durable:
    /// most often one, none when the sender asks for none; or to `None` when the connection must be closed without an
    /// answer.
    ///
    /// Called in order of arrival on each connection. Several futures of one connection may be pending at once; they
    /// are polled in order of arrival, at least once before the next is polled first, and answered in order.
    /// They are run to their end even when the peer is gone; only the end of [`Limits::grace`] drops them.
    fn handle(&self, frame: Bytes, peer: SocketAddr) -> impl Future<Output = Option<Vec<Bytes>>> + Send;

    /// Takes what cannot be handled as a message, so that it can be kept. Resolves to an answer, if there is one.
    /// After [`Refused::Restarted`] the connection goes on, after the others it closes.
    fn refuse(&self, what: Refused, peer: SocketAddr) -> impl Future<Output = Option<Vec<Bytes>>> + Send;
}

/// Bytes inside a frame that did not become a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Refused {
    /// The frame exceeds [`Limits::frame_bytes_max`].
    TooLarge {
        /// Its first bytes, at most [`PREFIX_BYTES_MAX`].
        prefix: Bytes,
    },
    /// The connection ended, or fell silent for too long, inside the frame.
    Unfinished {
        /// What had come.
        bytes: Bytes,
    },
    /// The next frame began inside this one.
    Restarted {
        /// What had come before.
        bytes: Bytes,
    },
}

impl std::fmt::Debug for Refused {
    /// Lengths only: the content is patient data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::TooLarge { prefix } => write!(f, "TooLarge(first {} bytes)", prefix.len()),
            Refused::Unfinished { bytes } => write!(f, "Unfinished({} bytes)", bytes.len()),
            Refused::Restarted { bytes } => write!(f, "Restarted({} bytes)", bytes.len()),
        }
    }
}

/// Longest beginning of a frame that is too large which [`Handler::refuse`] gets, in bytes.
pub const PREFIX_BYTES_MAX: usize = 64 * 1024;

/// What one listener takes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in bytes, without framing.
    pub frame_bytes_max: usize,
    /// Open connections in all. One more is closed at once.
    pub connections_max: usize,
    /// Open connections from one address.
    pub connections_per_peer_max: usize,
    /// Longest time without a message. Bytes outside of frames do not count as one.
    pub idle: Duration,
    /// Longest silence inside a frame. Less than 64 KiB in this time counts as silence, so a shorter message must be
    /// complete within it.
    pub in_frame: Duration,
    /// While others wait for memory, a frame past 64 KiB must grow by 1 MiB in each such time.
    pub pace: Duration,
    /// Longest time in which a peer takes no byte of an answer.
    pub write: Duration,
    /// Longest time of a TLS handshake.
    pub handshake: Duration,
    /// Messages of one connection that may wait for their answer. Past it the connection is not read.
    pub in_flight_max: usize,
    /// Memory of all connections together, in bytes: read buffers past their first 64 KiB, and messages that wait for
    /// their answer. Messages up to 64 KiB have a sixth of it in addition. Past it connections wait, all but one at a time, which may still take one frame of the largest
    /// size; so the most is this and [`frame_bytes_max`](Self::frame_bytes_max) together.
    pub buffer_bytes_max: usize,
    /// Bytes between two frames after which the connection is closed.
    pub junk_bytes_max: usize,
    /// How long [`serve`] waits for its connections to finish once it is told to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 128 * 1024 * 1024,
            connections_max: 1024,
            connections_per_peer_max: 256,
            idle: Duration::from_secs(30 * 60),
            in_frame: Duration::from_secs(30),
            pace: PACE,
            write: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            in_flight_max: 32,
            buffer_bytes_max: 384 * 1024 * 1024,
            junk_bytes_max: 64 * 1024,
            grace: Duration::from_secs(10),
        }
    }
}

/// What happens on the connections of a listener, for logs and metrics. Holds no content of any message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // `peer`, `bytes` and `kind` say themselves
pub enum ConnectionEvent {
    /// A connection is open.
    Accepted { peer: SocketAddr },
    /// A connection was closed at once: too many are open.
    TooMany { peer: SocketAddr },
    /// A connection was closed at once: too many are open from its address.
    TooManyFromPeer { peer: SocketAddr },
    /// The operating system gave no connection. The listener goes on.
    AcceptFailed { kind: io::ErrorKind },
    /// Bytes outside of frames were skipped. Blanks and line ends alone are none.
    Junk { peer: SocketAddr, bytes: usize },
    /// A frame ended with `FS` without `CR`, or with `FS LF`, and was taken.
    NoCr { peer: SocketAddr },
    /// A frame exceeds [`Limits::frame_bytes_max`].
    FrameTooLarge { peer: SocketAddr, limit: usize },
    /// A frame did not end.
    Unfinished { peer: SocketAddr, bytes: usize },
    /// A frame began inside another one.
    Restarted { peer: SocketAddr, bytes: usize },
    /// The connection waits because [`Limits::buffer_bytes_max`] is used up.
    WaitingForMemory { peer: SocketAddr },
    /// A connection is closed.
    Closed { peer: SocketAddr, reason: CloseReason },
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer closed it.
    PeerClosed,
    /// The listener stops.
    Stopped,
    /// No message for [`Limits::idle`].
    Idle,
    /// Silence inside a frame for [`Limits::in_frame`].
    InFrameTimeout,
    /// The frame came slower than [`Limits::pace`] asks for while others waited for memory.
    TooSlow,
    /// A frame exceeded [`Limits::frame_bytes_max`].
    FrameTooLarge,
    /// More than [`Limits::junk_bytes_max`] outside of frames: the peer does not speak MLLP.
    JunkLimit,
    /// Bytes, but never a frame, and then silence for [`Limits::in_frame`]: the peer does not speak MLLP.
    Unframed,
    /// The peer speaks TLS to a listener that does not.
    UnexpectedTls,
    /// There was no TLS connection.
    HandshakeFailed(HandshakeFailure),
    /// The handler gave no answer to a message.
    NoAnswer,
    /// Reading failed.
    ReadFailed(io::ErrorKind),
    /// Writing an answer failed.
    WriteFailed(io::ErrorKind),
    /// The peer took no byte of an answer for [`Limits::write`].
    WriteTimeout,
    /// The handler panicked. Other connections go on.
    HandlerPanicked,
    /// [`Limits::grace`] was over before the connection had finished.
    GraceOver,
}

/// TLS of a listener as it is now: each connection begins with the latest, and keeps it.
pub type CurrentTls = watch::Receiver<Arc<ServerConfig>>;

/// Accepts connections until `stop` becomes true (or its sender is dropped), each in a task of its own.
///
/// Then it accepts no more, reads no more, lets the messages that are framed already be handled and answered, closes,
/// and returns when every connection is done, at the latest after [`Limits::grace`].
pub async fn serve<H: Handler>(
    listener: TcpListener,
    limits: Limits,
    tls: Option<CurrentTls>,
    handler: Arc<H>,
    stop: watch::Receiver<bool>,
    events: impl Fn(ConnectionEvent) + Send + Sync + Clone + 'static,
) {
    let budget = Budget::new(limits.buffer_bytes_max);
    let short = Budget::new(limits.buffer_bytes_max / 6);
    let limits = Arc::new(limits);
    let slots = Arc::new(Slots::default());
    let mut connections = JoinSet::new();
    let mut told_to_stop = std::pin::pin!(stopped(stop.clone()));
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_PROBE).with_retries(KEEPALIVE_PROBES);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut told_to_stop => break,
            // A panic has been reported by the connection's guard.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                events(ConnectionEvent::AcceptFailed { kind: error.kind() });
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let slot = match Slots::take(&slots, peer, &limits) {
            Ok(slot) => slot,
            Err(refused) => {
                events(refused);
                continue;
            }
        };
        // An answer is one small packet; to hold it back would cost the sender up to 40 ms.
        stream.set_nodelay(true).ok();
        // A peer that is gone without a word (a firewall that forgot it) gives its place back long before it is idle.
        SockRef::from(&stream).set_tcp_keepalive(&keepalive).ok();
        events(ConnectionEvent::Accepted { peer });
        let (handler, limits) = (Arc::clone(&handler), Arc::clone(&limits));
        let (budget, short) = (budget.clone(), short.clone());
        let (stop, events) = (stop.clone(), events.clone());
        let tls = tls.as_ref().map(|tls| tls.borrow().clone());
        connections.spawn(async move {
            let mut open = Open { peer, reason: None, events: events.clone(), _slot: slot };
            let parts = connection::Parts { peer, limits: &limits, budget, short, events: &events };
            open.reason = Some(match tls {
                None => {
                    let (reader, writer) = stream.into_split();
                    connection::run(reader, writer, &*handler, parts, stopped(stop)).await
                }
                Some(tls) => match handshake::accept(stream, tls, limits.handshake, stopped(stop.clone())).await {
                    Ok(stream) => {
                        let (reader, writer) = tokio::io::split(stream);
                        connection::run(reader, writer, &*handler, parts, stopped(stop)).await
                    }
                    Err(reason) => reason,
                },
            });
        });
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, finish).await.is_err() {
        connections.shutdown().await;
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}

/// Says that a connection is closed, however its task ends.
struct Open<E: Fn(ConnectionEvent)> {
    peer: SocketAddr,
    reason: Option<CloseReason>,
    events: E,
    _slot: Slot,
}

impl<E: Fn(ConnectionEvent)> Drop for Open<E> {
    fn drop(&mut self) {
        let reason = self.reason.unwrap_or(match std::thread::panicking() {
            true => CloseReason::HandlerPanicked,
            false => CloseReason::GraceOver,
        });
        (self.events)(ConnectionEvent::Closed { peer: self.peer, reason });
    }
}

/// How many connections are open, in all and from each address.
#[derive(Debug, Default)]
struct Slots(Mutex<(usize, HashMap<IpAddr, usize>)>);

/// One open connection's place; free again when dropped.
struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Slots {
    fn take(slots: &Arc<Self>, peer: SocketAddr, limits: &Limits) -> Result<Slot, ConnectionEvent> {
        let mut open = slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.0 >= limits.connections_max {
            return Err(ConnectionEvent::TooMany { peer });
        }
        // An IPv4 peer of an IPv6 listener is the same peer.
        let address = peer.ip().to_canonical();
        let from_peer = open.1.get(&address).copied().unwrap_or(0);
        if from_peer >= limits.connections_per_peer_max {
            return Err(ConnectionEvent::TooManyFromPeer { peer });
        }
        open.0 += 1;
        open.1.insert(address, from_peer + 1);
        Ok(Slot { slots: Arc::clone(slots), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 -= 1;
        if let Some(from_peer) = open.1.get_mut(&self.address) {
            *from_peer -= 1;
            if *from_peer == 0 {
                open.1.remove(&self.address);
            }
        }
    }
}
