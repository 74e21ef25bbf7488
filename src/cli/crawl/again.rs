//! Hashes that failed: until when a crawl that finds one again passes it over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::cli::time::now_ms;
use crate::wire::krpc::NodeId;

/// Hashes that are kept, at some 32 bytes each. Beyond that a hash that fails is not tried again by
/// this process.
const MOST: usize = 1_000_000;
/// How long a hash is passed over whose failure says nothing of it, so that it does not cool down.
const PAUSE_MS: i64 = 60_000;

/// What waits, by the time at which it may be tried again, in UTC unix milliseconds.
#[derive(Debug, Default)]
pub(super) struct Again(BinaryHeap<Reverse<(i64, [u8; 20])>>);

impl Again {
    /// A hash failed; `retry_at_ms` is the end of its cooldown, where it has one.
    pub(super) fn failed(&mut self, infohash: NodeId, retry_at_ms: Option<i64>) {
        self.failed_at(infohash, retry_at_ms, now_ms());
    }

    fn failed_at(&mut self, infohash: NodeId, retry_at_ms: Option<i64>, now_ms: i64) {
        if self.0.len() < MOST {
            let at_ms = retry_at_ms.unwrap_or_else(|| now_ms.saturating_add(PAUSE_MS));
            self.0.push(Reverse((at_ms, infohash.0)));
        }
    }

    /// Takes out the hashes that may be tried again.
    pub(super) fn due(&mut self) -> Vec<NodeId> {
        self.due_at(now_ms())
    }

    fn due_at(&mut self, now_ms: i64) -> Vec<NodeId> {
        let mut due = Vec::new();
        while let Some(Reverse((at_ms, infohash))) = self.0.peek()
            && *at_ms <= now_ms
        {
            due.push(NodeId(*infohash));
            self.0.pop();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_due_when_its_cooldown_is_over() {
        let mut again = Again::default();
        let [one, two, three] = [1, 2, 3].map(|number| NodeId([number; 20]));
        again.failed_at(one, Some(5_000), 0);
        again.failed_at(two, Some(2_000), 0);
        again.failed_at(three, None, 0);
        assert_eq!(again.due_at(1_999), []);
        assert_eq!(again.due_at(5_000), [two, one]);
        assert_eq!(again.due_at(PAUSE_MS), [three]);
        assert_eq!(again.due_at(i64::MAX), []);
    }
}
