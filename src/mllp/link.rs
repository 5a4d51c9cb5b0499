//! Keeps sending to one receiver over connections that break: connects again and sends what was not answered once more.
//!
//! Never sends again what was answered, whatever the answer says, and never tries for longer than it is told.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::client::{Client, SendError, Target};

/// The pause before the first new try, at most.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// One message in flight to one receiver.
///
/// A receiver that took a message whose answer was lost gets the same bytes again; Fairway answers them as before and
/// applies nothing twice.
#[derive(Debug)]
pub struct Link {
    target: Target,
    retry: Duration,
    client: Option<Client>,
    /// Whether a connection was lost and not replaced yet.
    lost: bool,
    reconnects: usize,
    resent: usize,
}

/// An acknowledgement, and how long it took from the first byte of the sending that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The acknowledgement without framing.
    pub ack: Bytes,
    /// Without earlier tries and the pauses between them.
    pub took: Duration,
}

/// Why a message has no acknowledgement.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no connection; the next message would fare alike. An earlier try may have been taken.
    #[error("no connection to {address}: {source}")]
    Unreachable {
        /// The receiver.
        address: String,
        /// What the system or the TLS library says.
        source: io::Error,
    },
    /// The message was sent and has no answer of its own. It may have been taken all the same.
    #[error(transparent)]
    Unanswered(#[from] SendError),
}

impl Link {
    /// A link without a connection yet. A message that fails is tried again for `retry` from its first failure; zero
    /// is once and never again.
    pub fn new(target: Target, retry: Duration) -> Link {
        Link { target, retry, client: None, lost: false, reconnects: 0, resent: 0 }
    }

    /// Sends one message and gives its acknowledgement, both without framing.
    ///
    /// # Errors
    /// The last failure, when the time for tries is over or another try would come out alike.
    pub async fn send(&mut self, message: &[u8]) -> Result<Answer, LinkError> {
        let (mut failed_at, mut tries, mut sent) = (None, 0, false);
        loop {
            let error = match self.try_once(message, &mut sent).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = self.retry.saturating_sub(failed_at.get_or_insert_with(Instant::now).elapsed());
            if left.is_zero() || !may_pass(&error) {
                return Err(error);
            }
            sleep(pause(tries, RandomState::new().build_hasher().finish()).min(left)).await;
            tries += 1;
        }
    }

    /// `sent` says whether the message has been sent before.
    async fn try_once(&mut self, message: &[u8], sent: &mut bool) -> Result<Answer, LinkError> {
        if let Some(client) = self.client.take_if(|client| client.has_answered(message)) {
            // Over another connection, since the earlier answer may come once more.
            client.close().await;
        }
        let mut client = match self.client.take() {
            Some(mut client) => {
                client.settle().await;
                client
            }
            None => self.connect().await?,
        };
        let mut began = Instant::now();
        let mut answer = client.send(message).await;
        if let Err(SendError::Disconnected) = answer {
            // The receiver had closed it; nothing was written.
            self.lost = true;
            client = self.connect().await?;
            began = Instant::now();
            answer = client.send(message).await;
        }
        self.resent += usize::from(std::mem::replace(sent, true));
        self.lost = !client.is_open();
        match answer {
            Ok(ack) => {
                self.client = client.is_open().then_some(client);
                Ok(Answer { ack, took: began.elapsed() })
            }
            // What TLS 1.3 refuses, it refuses behind the handshake.
            Err(SendError::Io(error)) if is_tls(&error) => Err(self.unreachable(error)),
            Err(error) => Err(error.into()),
        }
    }

    async fn connect(&mut self) -> Result<Client, LinkError> {
        let client = Client::connect_to(&self.target).await.map_err(|source| self.unreachable(source))?;
        self.reconnects += usize::from(std::mem::take(&mut self.lost));
        Ok(client)
    }

    fn unreachable(&self, source: io::Error) -> LinkError {
        LinkError::Unreachable { address: self.target.address.clone(), source }
    }

    /// Connections opened after one that was lost.
    pub fn reconnects(&self) -> usize {
        self.reconnects
    }

    /// How often a message was sent again.
    pub fn resent(&self) -> usize {
        self.resent
    }

    /// Closes the connection in order.
    pub async fn close(self) {
        if let Some(client) = self.client {
            client.close().await;
        }
    }
}

/// Whether another try may come out differently.
fn may_pass(error: &LinkError) -> bool {
    match error {
        // Nobody sends a certificate anew because it was refused.
        LinkError::Unreachable { source, .. } => !is_tls(source) && source.kind() != io::ErrorKind::InvalidInput,
        LinkError::Unanswered(error) => match error {
            SendError::Disconnected | SendError::Timeout(_) | SendError::Closed | SendError::Io(_) => true,
            SendError::NotAnAcknowledgement | SendError::Early | SendError::OtherMessage { .. } => false,
        },
    }
}

/// Whether the TLS library gave up, and not the network below it.
fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The pause before the next try: twice as long each time up to [`PAUSE_MAX`], and by chance up to half of it less, so
/// that senders which lost one receiver do not come back all at once.
fn pause(tries: u32, chance: u64) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(PAUSE_MAX);
    whole.mul_f64(1.0 - (chance % 1000) as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let pauses = |chance| (0..40).map(|tries| pause(tries, chance).as_millis()).collect::<Vec<_>>();
        assert_eq!(pauses(0)[..7], [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(pauses(999).iter().zip(pauses(0)).all(|(less, whole)| *less < whole && 2 * less >= whole));
        assert_eq!(pause(u32::MAX, 0), PAUSE_MAX);
    }
}
