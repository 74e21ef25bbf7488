//! Hashes that failed: until when a crawl that finds one again passes it over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::station::now_ms;
use crate::wire::krpc::NodeId;

/// Hashes that are kept, at some 32 bytes each. Beyond that a hash that fails is not tried again by
/// this process.
const MOST: usize = 1_000_000;
/// How long a hash is passed over whose failure says nothing of it, so that it does not cool down.
const PAUSE: Duration = Duration::from_secs(60);

/// What waits, by the time at which it may be tried again: that of a clock which nobody sets.
#[derive(Debug, Default)]
pub(crate) struct Again(BinaryHeap<Reverse<(Instant, [u8; 20])>>);

impl Again {
    /// A hash failed; `retry_at_ms` is the end of its cooldown, where it has one.
    pub(crate) fn failed(&mut self, infohash: NodeId, retry_at_ms: Option<i64>) {
        self.failed_at(infohash, retry_at_ms, now_ms());
    }

    fn failed_at(&mut self, infohash: NodeId, retry_at_ms: Option<i64>, now_ms: i64) {
        let wait = match retry_at_ms {
            Some(at_ms) => {
                Duration::from_millis(at_ms.saturating_sub(now_ms).try_into().unwrap_or(0))
            }
            None => PAUSE,
        };
        if self.0.len() < MOST
            && let Some(at) = Instant::now().checked_add(wait)
        {
            self.0.push(Reverse((at, infohash.0)));
        }
    }

    /// Takes out the hashes that may be tried again.
    pub(crate) fn due(&mut self) -> Vec<NodeId> {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(Reverse((at, infohash))) = self.0.peek()
            && *at <= now
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

    #[tokio::test(start_paused = true)]
    async fn a_hash_is_due_when_its_cooldown_is_over() {
        let mut again = Again::default();
        let [one, two, three] = [1, 2, 3].map(|number| NodeId([number; 20]));
        let advance = |ms| tokio::time::advance(Duration::from_millis(ms));
        again.failed_at(one, Some(1_005_000), 1_000_000);
        again.failed_at(two, Some(1_002_000), 1_000_000);
        again.failed_at(three, None, 1_000_000);
        advance(1_999).await;
        assert_eq!(again.due(), []);
        advance(3_001).await;
        assert_eq!(again.due(), [two, one]);
        advance(54_999).await;
        assert_eq!(again.due(), []);
        advance(1).await;
        assert_eq!(again.due(), [three]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_changes_nothing() {
        let mut again = Again::default();
        let hash = NodeId([1; 20]);
        // As the wall clock was; what it says later is not asked.
        again.failed_at(hash, Some(i64::MAX), i64::MAX - 60_000);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(again.due(), [hash]);
        again.failed_at(hash, Some(0), i64::MAX);
        assert_eq!(again.due(), [hash], "a time that has passed");
    }
}
