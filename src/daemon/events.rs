//! What happens on MLLP connections, as log lines and metrics.
//!
//! No event has content of a message.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::field::display;

use crate::mllp::listener::{CloseReason, ConnectionEvent};
use crate::telemetry::Metrics;

/// An event as it is logged.
#[derive(Default)]
struct Line {
    /// The word in metrics.
    what: &'static str,
    /// Somebody should look at it.
    noteworthy: bool,
    peer: Option<SocketAddr>,
    /// How many bytes came; of a frame that is too large how many it may have.
    bytes: Option<usize>,
    /// What the system said.
    error: Option<ErrorKind>,
    /// What `what` leaves open.
    why: Option<&'static str>,
}

/// Takes the events of a listener.
pub(super) fn connection_events(
    environment: &'static str,
    listener: &str,
    metrics: &Arc<Metrics>,
) -> impl Fn(ConnectionEvent) + Send + Sync + Clone + 'static {
    let (listener, metrics): (Arc<str>, Arc<Metrics>) = (listener.into(), metrics.clone());
    move |event| {
        if let ConnectionEvent::Accepted { .. } = event {
            metrics.connections_open(environment, &listener, 1);
        }
        if let ConnectionEvent::Closed { peer, reason } = event {
            metrics.connections_open(environment, &listener, -1);
            if let CloseReason::HandshakeFailed(reason) = reason {
                let reason = reason.as_str();
                metrics.tls_handshake_failed(environment, &listener, reason);
                tracing::warn!(event = "tls.handshake_failed", environment, listener = %listener, %peer, reason);
            }
        }
        let Line { what, noteworthy, peer, bytes, error, why } = line(event);
        metrics.connection(environment, &listener, what);
        let (peer, error) = (peer.map(display), error.map(display));
        if noteworthy {
            tracing::warn!(event = "connection", environment, listener = %listener, what, peer, bytes, error, why);
        } else {
            tracing::debug!(event = "connection", environment, listener = %listener, what, peer, bytes, error, why);
        }
    }
}

fn line(event: ConnectionEvent) -> Line {
    let of = |what, noteworthy, peer| Line { what, noteworthy, peer: Some(peer), ..Line::default() };
    let sized = |what, peer, bytes| Line { bytes: Some(bytes), ..of(what, true, peer) };
    match event {
        ConnectionEvent::Accepted { peer } => of("accepted", false, peer),
        ConnectionEvent::Closed { peer, reason } => closed(reason, peer),
        ConnectionEvent::TooMany { peer } => Line { why: Some("in all"), ..of("refused_too_many", true, peer) },
        ConnectionEvent::TooManyFromPeer { peer } => {
            Line { why: Some("from this address"), ..of("refused_too_many", true, peer) }
        }
        ConnectionEvent::AcceptFailed { kind } => {
            Line { what: "accept_failed", noteworthy: true, error: Some(kind), ..Line::default() }
        }
        ConnectionEvent::Junk { peer, bytes } => sized("junk", peer, bytes),
        ConnectionEvent::NoCr { peer } => of("frame_without_cr", false, peer),
        ConnectionEvent::FrameTooLarge { peer, limit } => sized("frame_too_large", peer, limit),
        ConnectionEvent::Unfinished { peer, bytes } => sized("frame_unfinished", peer, bytes),
        ConnectionEvent::Restarted { peer, bytes } => sized("frame_restarted", peer, bytes),
        ConnectionEvent::WaitingForMemory { peer } => of("waiting_for_memory", true, peer),
    }
}

fn closed(reason: CloseReason, peer: SocketAddr) -> Line {
    let (what, noteworthy, why, error) = match reason {
        CloseReason::PeerClosed => ("closed", false, Some("by the peer"), None),
        CloseReason::Stopped => ("closed", false, Some("stopping"), None),
        CloseReason::Idle => ("closed_idle", false, None, None),
        CloseReason::InFrameTimeout => ("closed_in_frame", true, None, None),
        CloseReason::TooSlow => ("closed_too_slow", true, None, None),
        CloseReason::FrameTooLarge => ("closed_frame_too_large", true, None, None),
        CloseReason::JunkLimit => ("closed_not_mllp", true, Some("too many bytes outside of frames"), None),
        CloseReason::Unframed => ("closed_not_mllp", true, Some("bytes, and no frame in time"), None),
        CloseReason::UnexpectedTls => ("closed_unexpected_tls", true, None, None),
        CloseReason::HandshakeFailed(reason) => ("closed_handshake_failed", false, Some(reason.as_str()), None),
        CloseReason::NoAnswer => ("closed_no_answer", true, None, None),
        CloseReason::ReadFailed(kind) => ("closed_read_failed", false, None, Some(kind)),
        CloseReason::WriteFailed(kind) => ("closed_write_failed", true, None, Some(kind)),
        CloseReason::WriteTimeout => ("closed_write_failed", true, Some("nothing taken in time"), None),
        CloseReason::HandlerPanicked => ("closed_panic", true, None, None),
        CloseReason::GraceOver => ("closed_grace_over", true, None, None),
    };
    Line { what, noteworthy, peer: Some(peer), why, error, ..Line::default() }
}
