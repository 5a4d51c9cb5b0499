//! The memory that all connections of one listener may hold together, counted in KiB.
//!
//! Never refuses and never deadlocks: besides the shared pool there is one lane, which has no limit of its own. Whoever
//! has it needs no more memory to finish its frame, so that frames which wait for each other get through in turn. And
//! nobody waits for a peer that does not send: while others wait, a [`Pace`] is asked of whoever holds memory, and it rises
//! with how long they wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

const KIB: usize = 1024;

/// How often it is looked whether a peer for whose bytes memory is held sends fast enough.
pub(crate) const PACE: Duration = Duration::from_secs(5);
/// What must come within [`PACE`] while others wait for memory, in bytes; it doubles with every [`PACE`] that one of them
/// has waited.
const PACE_BYTES: usize = 1024 * KIB;
/// Where that ends: a peer that sends so much goes on, however long others wait.
const PACE_BYTES_MAX: usize = 16 * PACE_BYTES;

/// The pool and the lane. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pool: Arc<Semaphore>,
    pool_kib: usize,
    lane: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Since when each of those who wait does, in order.
#[derive(Debug, Default)]
struct Waiting {
    since: BTreeMap<u64, Instant>,
    /// The key of the next.
    next: u64,
}

/// What one peer has sent since a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The moment.
    pub(crate) since: Instant,
    /// Bytes since then.
    pub(crate) bytes: usize,
}

impl Pace {
    /// From now on.
    pub(crate) fn new() -> Self {
        Pace { since: Instant::now(), bytes: 0 }
    }

    /// Whether, at the end of a `pace` ([`PACE`]), too little came for somebody who holds `held` of `budget`.
    pub(crate) fn is_behind(self, held: &Grant, budget: &Budget, pace: Duration) -> bool {
        !held.is_empty() && budget.longest_wait().is_some_and(|waited| self.bytes < wanted(waited, pace))
    }
}

/// Bytes that must come within a `pace` when somebody has `waited`.
fn wanted(waited: Duration, pace: Duration) -> usize {
    let paces = waited.as_millis() / pace.as_millis().max(1);
    let doublings = u32::try_from(paces).unwrap_or(u32::MAX);
    PACE_BYTES.saturating_mul(2_usize.saturating_pow(doublings)).min(PACE_BYTES_MAX)
}

/// One who waits.
struct Waits<'b> {
    waiting: &'b Mutex<Waiting>,
    key: u64,
}

impl<'b> Waits<'b> {
    fn new(waiting: &'b Mutex<Waiting>) -> Self {
        let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = all.next;
        all.next += 1;
        all.since.insert(key, Instant::now());
        Waits { waiting, key }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).since.remove(&self.key);
    }
}

/// Memory taken from a [`Budget`]; goes back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    pool: Option<OwnedSemaphorePermit>,
    lane: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A pool of `bytes_max`, and the lane.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let pool_kib = (bytes_max / KIB).min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let pool = Arc::new(Semaphore::new(pool_kib));
        Self { pool, pool_kib, lane: Arc::new(Semaphore::new(1)), waiting: Arc::default() }
    }

    /// Of those who wait, how long the first has.
    fn longest_wait(&self) -> Option<Duration> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.since.first_key_value().map(|(_, since)| since.elapsed())
    }

    /// Takes `bytes` (rounded up to KiB) if the pool has them now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Grant> {
        let permits = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        let pool = Arc::clone(&self.pool).try_acquire_many_owned(permits).ok()?;
        Some(Grant { pool: Some(pool), lane: None })
    }

    /// Waits for `bytes` from the pool or for the lane, whichever is free first.
    pub(crate) async fn take(self, bytes: usize) -> Grant {
        let kib = bytes.div_ceil(KIB);
        let permits = u32::try_from(kib).unwrap_or(u32::MAX);
        let _waits = Waits::new(&self.waiting);
        // Neither semaphore is ever closed, so `ok()` drops nothing.
        tokio::select! {
            pool = self.pool.acquire_many_owned(permits), if kib <= self.pool_kib => Grant { pool: pool.ok(), lane: None },
            lane = self.lane.acquire_owned() => Grant { pool: None, lane: lane.ok() },
        }
    }
}

impl Grant {
    /// Whether it covers a buffer of any length, or of at least `bytes`.
    pub(crate) fn covers(&self, bytes: usize) -> bool {
        self.lane.is_some() || self.bytes() >= bytes
    }

    /// Bytes taken from the pool.
    pub(crate) fn bytes(&self) -> usize {
        self.pool.as_ref().map_or(0, |permit| permit.num_permits() * KIB)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pool.is_none() && self.lane.is_none()
    }

    /// Adds what `other` holds.
    pub(crate) fn merge(&mut self, other: Grant) {
        match (&mut self.pool, other.pool) {
            (Some(mine), Some(more)) => mine.merge(more),
            (mine @ None, more) => *mine = more,
            (Some(_), None) => {}
        }
        self.lane = self.lane.take().or(other.lane);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn two_frames_that_wait_for_each_other_get_through() {
        let budget = Budget::new(10 * KIB);
        let mut first = budget.try_take(6 * KIB).unwrap();
        let second = budget.try_take(4 * KIB).unwrap();
        assert!(budget.try_take(1).is_none());
        first.merge(budget.clone().take(4 * KIB).await);
        assert!(first.covers(usize::MAX) && !second.covers(5 * KIB) && second.covers(4 * KIB));
        let waiting = tokio::spawn(budget.clone().take(6 * KIB));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(!waiting.await.unwrap().is_empty());
        assert_eq!(budget.pool.available_permits(), 6);
        assert_eq!(budget.lane.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_holds_memory_must_send_only_while_others_wait() {
        let budget = Budget::new(10 * KIB);
        let (held, slow) = (budget.try_take(10 * KIB).unwrap(), Pace::new());
        let fast = Pace { bytes: PACE_BYTES, ..slow };
        let _lane = budget.clone().take(KIB).await;
        assert!(!slow.is_behind(&held, &budget, PACE));
        let waiting = tokio::spawn(budget.clone().take(KIB));
        tokio::task::yield_now().await;
        assert!(slow.is_behind(&held, &budget, PACE));
        assert!(!fast.is_behind(&held, &budget, PACE) && !slow.is_behind(&Grant::default(), &budget, PACE));
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(!slow.is_behind(&held, &budget, PACE));
    }

    #[tokio::test]
    async fn what_must_come_rises_with_the_longest_wait_to_a_bound() {
        let paces = |count: u32| wanted(PACE * count, PACE) / PACE_BYTES;
        assert_eq!([0, 1, 2, 3, 4, 5, 10_000].map(paces), [1, 2, 4, 8, 16, 16, 16]);
        let budget = Budget::new(KIB);
        let first = Waits::new(&budget.waiting);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = Waits::new(&budget.waiting);
        assert!(budget.longest_wait().unwrap() >= Duration::from_millis(20));
        drop(first);
        assert!(budget.longest_wait().unwrap() < Duration::from_millis(20));
        drop(second);
        assert_eq!(budget.longest_wait(), None);
    }

    #[tokio::test]
    async fn more_than_the_pool_holds_takes_the_lane() {
        let budget = Budget::new(KIB);
        assert!(budget.try_take(2 * KIB).is_none());
        assert!(budget.clone().take(5 * KIB).await.covers(10 * KIB));
    }
}
