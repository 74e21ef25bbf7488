//! How fast an arm goes through the peers of a hash.

use std::time::Duration;

use tokio::time::Instant;

/// Peers that are tried at once; one alone would cost a pause wherever it is dead.
const BURST: usize = 2;

/// A few peers at once, the others one by one.
pub(super) struct Pace {
    burst: usize,
    next: Instant,
    interval: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant, interval: Duration) -> Self {
        Self {
            burst: BURST,
            next: now,
            interval,
        }
    }

    /// When the next peer may be tried.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// A peer is being tried.
    pub(super) fn tried(&mut self, now: Instant) {
        self.burst = self.burst.saturating_sub(1);
        if self.burst == 0 {
            self.next = now + self.interval;
        }
    }

    /// A peer failed: another one may take its turn at once.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_then_one_by_one_or_on_a_failure() {
        let now = Instant::now();
        let interval = Duration::from_millis(200);
        let mut pace = Pace::new(now, interval);
        pace.tried(now);
        assert_eq!(pace.due(), now);
        pace.tried(now);
        assert_eq!(pace.due(), now + interval);
        pace.tried(now + interval);
        assert_eq!(pace.due(), now + 2 * interval);
        pace.failed(now + interval);
        assert_eq!(pace.due(), now + interval);
    }
}
