//! What the engine has done since it started.

use std::sync::atomic::{AtomicU64, Ordering};

/// What has been done so far, for all hashes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tries at a hash that began to look for peers.
    pub lookups: u64,
    /// Peers that were found; one that has several hashes counts for each.
    pub peers: u64,
    /// Attempts at peers that have ended.
    pub attempts: u64,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What all stations count in.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) lookups: Count,
    pub(super) peers: Count,
    pub(super) attempts: Count,
}

impl Counting {
    pub(super) fn snapshot(&self) -> Counters {
        Counters {
            lookups: self.lookups.get(),
            peers: self.peers.get(),
            attempts: self.attempts.get(),
        }
    }
}
