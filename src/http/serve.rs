//! Connections of the HTTP side: how many there are, how long each may keep us waiting, and their orderly end.
//!
//! Knows bytes and times; what is answered is the router's matter.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::hl7::Peer;
use super::{App, fhir, router};

/// Bytes of a request's header at most; an address alone may be 64 KiB.
const HEADER_BYTES_MAX: usize = 128 * 1024;
/// Pause after the system gave no connection, so that a lack of file descriptors is not asked for without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener spends on its clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time; more wait in the system's queue until one is closed.
    pub connections_max: usize,
    /// From the begin of a connection, or from the answer before, to the end of a request's header; then it is closed.
    pub header: Duration,
    /// From a request's header to its answer, the rest of the request and waiting for the store included.
    pub answer: Duration,
    /// A client that takes no byte of an answer for so long is closed.
    pub write: Duration,
    /// How long a stop waits for requests that are being answered.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 512,
            header: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            write: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves until `stop` becomes true (or its sender is dropped); then accepts no more, lets what is being answered end,
/// and returns, at the latest after [`Limits::grace`].
pub async fn serve(listener: TcpListener, app: Arc<App>, limits: Limits, stop: watch::Receiver<bool>) {
    let router = router(app).layer(from_fn_with_state(limits.answer, in_time));
    let mut connections = JoinSet::new();
    let mut told_to_stop = pin!(stopped(stop.clone()));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut told_to_stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < limits.connections_max => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(event = "http.accept_failed", %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone().layer(Extension(Peer(peer))));
        let stream = TokioIo::new(Taken { stream, limit: limits.write, waiting: None });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.header).max_buf_size(HEADER_BYTES_MAX);
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = pin!(http.serve_connection(stream, service));
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stopped(stop) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(event = "http.closed", %error);
            }
        });
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, finish).await.is_err() {
        connections.shutdown().await;
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender is gone only when the daemon is, which means stop too.
    stop.wait_for(|stop| *stop).await.map(|_| ()).unwrap_or_default();
}

/// Gives up a request that is not answered in time.
async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| fhir::too_late())
}

/// A stream that fails when its peer takes nothing for a while, so that an answer is not kept for ever.
struct Taken {
    stream: TcpStream,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Taken {
    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Taken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Taken {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
