//! The memory that all connections of one listener may hold together, counted in KiB.
//!
//! Never refuses and never deadlocks: besides the shared pool there is one lane, which has no limit of its own. Whoever
//! has it needs no more memory to finish its frame, so that frames which wait for each other get through in turn. And
//! nobody waits for a peer that does not send: while others wait, a [`Pace`] is asked of whoever holds memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

const KIB: usize = 1024;

/// How often it is looked whether a peer for whose bytes memory is held sends fast enough.
pub(crate) const PACE: Duration = Duration::from_secs(5);
/// What must come within [`PACE`] while others wait for memory, in bytes.
pub(crate) const PACE_BYTES: usize = 1024 * KIB;

/// The pool and the lane. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pool: Arc<Semaphore>,
    pool_kib: usize,
    lane: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
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

    /// Whether, at the end of a [`PACE`], too little came for somebody who holds `held` of `budget`.
    pub(crate) fn is_behind(self, held: &Grant, budget: &Budget) -> bool {
        self.bytes < PACE_BYTES && !held.is_empty() && budget.waiting.load(Ordering::Relaxed) > 0
    }
}

/// One who waits.
struct Waits<'b>(&'b AtomicUsize);

impl<'b> Waits<'b> {
    fn new(waiting: &'b AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        assert!(!slow.is_behind(&held, &budget));
        let waiting = tokio::spawn(budget.clone().take(KIB));
        tokio::task::yield_now().await;
        assert!(slow.is_behind(&held, &budget));
        assert!(!fast.is_behind(&held, &budget) && !slow.is_behind(&Grant::default(), &budget));
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(!slow.is_behind(&held, &budget));
    }

    #[tokio::test]
    async fn more_than_the_pool_holds_takes_the_lane() {
        let budget = Budget::new(KIB);
        assert!(budget.try_take(2 * KIB).is_none());
        assert!(budget.clone().take(5 * KIB).await.covers(10 * KIB));
    }
}
