//! HL7 v2 over MLLP on real sockets: the listener that takes messages in and the client that sends them.
//!
//! Never looks into a message further than the control id, and never logs one.

mod budget;
pub mod client;
mod connection;
mod handshake;
pub mod link;
pub mod listener;

use std::io;

use bytes::Buf;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Writes some of `out`, and flushes behind its end: TLS may hold back what it took. `unflushed` says whether it may.
/// Dropped at any point, it goes on where it was when called again.
async fn write_some(
    writer: &mut (impl AsyncWrite + Unpin),
    out: &mut impl Buf,
    unflushed: &mut bool,
) -> io::Result<()> {
    if out.has_remaining() {
        *unflushed = true;
        if writer.write_buf(out).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    if !out.has_remaining() {
        writer.flush().await?;
        *unflushed = false;
    }
    Ok(())
}
