//! HL7 v2 over MLLP on real sockets: the listener that takes messages in and the client that sends them.
//!
//! Never looks into a message further than the control id, and never logs one.

pub(crate) mod budget;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tokio::io::{AsyncReadExt, BufWriter, duplex};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_a_writer_holds_back_is_flushed_even_when_dropped_in_between() {
        // Holds back more than the way has room for, as TLS does when a socket is full.
        let (near, mut far) = duplex(4);
        let mut writer = BufWriter::with_capacity(64, near);
        let (mut out, mut unflushed) = (&b"0123456789"[..], false);
        let first = timeout(Duration::from_millis(20), write_some(&mut writer, &mut out, &mut unflushed)).await;
        assert!(first.is_err() && out.is_empty() && unflushed, "taken, and not yet through");
        let mut came = [0; 10];
        let read = far.read_exact(&mut came);
        let (written, read) = tokio::join!(write_some(&mut writer, &mut out, &mut unflushed), read);
        assert!(written.is_ok() && read.is_ok() && !unflushed);
        assert_eq!(&came, b"0123456789");
    }
}
