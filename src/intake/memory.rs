//! The memory of messages between their arrival and their answer, counted in KiB; shared by the addresses of an environment.
//!
//! Large messages take turns in a pool of their own, so that what one sender brings never keeps the others' small ones
//! waiting. Within a pool it is first come, first served, and the messages of one peer keep their order across both.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, Semaphore, SemaphorePermit};

/// Memory for messages that weigh no more than [`LARGE_KIB`], in KiB; past it their senders wait.
const SMALL_POOL_KIB: u32 = 128 * 1024;
/// Memory for the others, in KiB. A message that weighs more than all of it passes alone.
const LARGE_POOL_KIB: u32 = 384 * 1024;
/// A message that weighs more is large, in KiB: the small pool has room for sixteen that do not.
const LARGE_KIB: u32 = 8 * 1024;
/// What a segment costs at most on its way, in KiB: a result becomes a resource of some 60 elements, 5 to 7 KiB with what
/// leads to it (docs/performance.md). Most other segments cost next to nothing.
const SEGMENT_KIB: usize = 8;

/// The pools. Never refuses; who finds no room waits.
#[derive(Debug)]
pub struct Memory {
    small: Semaphore,
    large: Semaphore,
    /// Of peers that have messages waiting here: whose turn it is.
    turns: Mutex<HashMap<SocketAddr, Arc<Turn<()>>>>,
}

/// Memory taken; goes back when dropped.
#[derive(Debug)]
pub(super) struct Taken<'m> {
    _permit: SemaphorePermit<'m>,
    /// A large message.
    pub(super) large: bool,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            small: Semaphore::new(SMALL_POOL_KIB as usize),
            large: Semaphore::new(LARGE_POOL_KIB as usize),
            turns: Mutex::default(),
        }
    }
}

impl Memory {
    /// Takes what a message may cost until it is answered, once those of its peer before it have taken theirs; none when
    /// the pools are closed.
    pub(super) async fn take(&self, message: &[u8], peer: SocketAddr) -> Option<Taken<'_>> {
        let kib = weight(message);
        let waits = Waits::new(self, peer);
        let _turn = waits.turn.lock().await;
        let large = kib > LARGE_KIB;
        let permit = match large {
            true => self.large.acquire_many(kib.min(LARGE_POOL_KIB)).await,
            false => self.small.acquire_many(kib).await,
        };
        Some(Taken { _permit: permit.ok()?, large })
    }
}

/// What a message may cost in memory until it is answered, in KiB.
fn weight(message: &[u8]) -> u32 {
    let segments = message.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() + 1;
    let kib = segments.saturating_mul(SEGMENT_KIB).saturating_add(message.len() / 1024 * 3);
    u32::try_from(kib).unwrap_or(u32::MAX)
}

/// A message of a peer that waits, or is about to.
struct Waits<'m> {
    memory: &'m Memory,
    peer: SocketAddr,
    turn: Arc<Turn<()>>,
}

impl<'m> Waits<'m> {
    fn new(memory: &'m Memory, peer: SocketAddr) -> Waits<'m> {
        let mut turns = memory.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(peer).or_default().clone();
        Waits { memory, peer, turn }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut turns = self.memory.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours: nobody else of this peer waits.
        if Arc::strong_count(&self.turn) == 2 {
            turns.remove(&self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn is_ready<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_small_message_does_not_wait_for_large_ones_of_others() {
        let (memory, giant, small) = (Memory::default(), vec![b'\r'; 1_000_000], b"MSH|\r".to_vec());
        let first = is_ready(pin!(memory.take(&giant, peer(1)))).unwrap().unwrap();
        let mut second = pin!(memory.take(&giant, peer(2)));
        assert!(is_ready(second.as_mut()).is_none());
        assert!(!is_ready(pin!(memory.take(&small, peer(3)))).unwrap().unwrap().large);
        // They take turns.
        assert!(first.large);
        drop(first);
        assert!(is_ready(second).is_some());
    }

    #[test]
    fn the_messages_of_a_peer_keep_their_order() {
        let (memory, giant, small) = (Memory::default(), vec![b'\r'; 1_000_000], b"MSH|\r".to_vec());
        let first = is_ready(pin!(memory.take(&giant, peer(1)))).unwrap();
        let (mut second, mut third) = (pin!(memory.take(&giant, peer(2))), pin!(memory.take(&small, peer(2))));
        assert!(is_ready(second.as_mut()).is_none() && is_ready(third.as_mut()).is_none());
        drop(first);
        // Not before the one ahead of it, although there is room for it.
        assert!(is_ready(third.as_mut()).is_none());
        assert!(is_ready(second.as_mut()).is_some());
        assert!(is_ready(third.as_mut()).is_some());
        assert!(memory.turns.lock().unwrap().is_empty());
    }

    #[test]
    fn who_gives_up_leaves_no_trace() {
        let (memory, giant) = (Memory::default(), vec![b'\r'; 1_000_000]);
        let first = is_ready(pin!(memory.take(&giant, peer(1)))).unwrap();
        {
            let mut second = pin!(memory.take(&giant, peer(2)));
            assert!(is_ready(second.as_mut()).is_none());
            assert_eq!(memory.turns.lock().unwrap().len(), 1);
        }
        assert!(memory.turns.lock().unwrap().is_empty());
        drop(first);
        assert_eq!(memory.large.available_permits(), LARGE_POOL_KIB as usize);
    }
}
