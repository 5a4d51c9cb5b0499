//! The TLS handshake of an accepted connection, within a time limit.
//!
//! Never lets a peer that fails go without the alert that says why.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::linger;
use super::listener::CloseReason;
use crate::tls::{HandshakeFailure, ServerConfig};

/// Makes a TLS connection of `stream`, or says why there is none. `stopped` resolves when no more is to be read.
pub(super) async fn accept(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    limit: Duration,
    stopped: impl Future<Output = ()>,
) -> Result<TlsStream<TcpStream>, CloseReason> {
    let accepted = tokio::select! {
        biased;
        () = stopped => return Err(CloseReason::Stopped),
        accepted = timeout(limit, TlsAcceptor::from(tls).accept(stream).into_fallible()) => accepted,
    };
    let failure = match accepted {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err((error, stream))) => {
            let failure = HandshakeFailure::of(&error);
            if failure != HandshakeFailure::Closed {
                let (reader, writer) = stream.into_split();
                linger(reader, writer).await;
            }
            failure
        }
        Err(_) => HandshakeFailure::Timeout,
    };
    Err(CloseReason::HandshakeFailed(failure))
}
