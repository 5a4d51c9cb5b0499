//! The memory that all connections of one listener may hold together, counted in KiB.
//!
//! Never refuses and never deadlocks: besides the shared pool there is one lane, which has no limit of its own. Whoever
//! has it needs no more memory to finish its frame, so that frames which wait for each other get through in turn.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const KIB: usize = 1024;

/// The pool and the lane. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pool: Arc<Semaphore>,
    pool_kib: usize,
    lane: Arc<Semaphore>,
}

/// Memory taken from a [`Budget`]; goes back when dropped.
#[derive(Debug, Default)]
pub(super) struct Grant {
    pool: Option<OwnedSemaphorePermit>,
    lane: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A pool of `bytes_max`, and the lane.
    pub(super) fn new(bytes_max: usize) -> Self {
        let pool_kib = (bytes_max / KIB).min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let pool = Arc::new(Semaphore::new(pool_kib));
        Self { pool, pool_kib, lane: Arc::new(Semaphore::new(1)) }
    }

    /// Takes `bytes` (rounded up to KiB) if the pool has them now.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Grant> {
        let permits = u32::try_from(bytes.div_ceil(KIB)).ok()?;
        let pool = Arc::clone(&self.pool).try_acquire_many_owned(permits).ok()?;
        Some(Grant { pool: Some(pool), lane: None })
    }

    /// Waits for `bytes` from the pool or for the lane, whichever is free first.
    pub(super) async fn take(self, bytes: usize) -> Grant {
        let kib = bytes.div_ceil(KIB);
        let permits = u32::try_from(kib).unwrap_or(u32::MAX);
        // Neither semaphore is ever closed, so `ok()` drops nothing.
        tokio::select! {
            pool = self.pool.acquire_many_owned(permits), if kib <= self.pool_kib => Grant { pool: pool.ok(), lane: None },
            lane = self.lane.acquire_owned() => Grant { pool: None, lane: lane.ok() },
        }
    }
}

impl Grant {
    /// Whether it covers a buffer of any length, or of at least `bytes`.
    pub(super) fn covers(&self, bytes: usize) -> bool {
        self.lane.is_some() || self.bytes() >= bytes
    }

    /// Bytes taken from the pool.
    pub(super) fn bytes(&self) -> usize {
        self.pool.as_ref().map_or(0, |permit| permit.num_permits() * KIB)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pool.is_none() && self.lane.is_none()
    }

    /// Adds what `other` holds.
    pub(super) fn merge(&mut self, other: Grant) {
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
    async fn more_than_the_pool_holds_takes_the_lane() {
        let budget = Budget::new(KIB);
        assert!(budget.try_take(2 * KIB).is_none());
        assert!(budget.clone().take(5 * KIB).await.covers(10 * KIB));
    }
}
