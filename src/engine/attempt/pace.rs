//! How fast the peers of a hash are gone through.

use std::time::Duration;

use tokio::time::Instant;

/// A peer is late after this many times what it is expected to take.
const LATE: u32 = 6;
/// But waited for no longer than this many times the stagger.
const PATIENCE: u32 = 5;

/// When the next attempt is due. The less likely what runs is to deliver, the sooner the next one
/// joins: among peers of whom nothing is known one in ten delivers, and a pause between each would
/// cost the hash seconds; beside a peer that delivered ten times, a second one is a waste.
pub(super) struct Pace {
    next: Instant,
    stagger: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant, stagger: Duration) -> Self {
        Self { next: now, stagger }
    }

    /// When the next peer may be tried.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// A peer is being tried. `chance` is the probability that something that runs now delivers, and
    /// `expected` how long the latest attempt should take.
    pub(super) fn tried(&mut self, now: Instant, chance: f64, expected: Duration) {
        let chance = chance.clamp(0.0, 1.0);
        // Where everything is slow, a second attempt beside a good peer makes it slower still. A peer
        // that is unlikely to deliver is not waited for, however long its like take to fail.
        let late = expected.saturating_mul(LATE);
        let late = late.clamp(self.stagger, self.stagger.saturating_mul(PATIENCE));
        let more = late.saturating_sub(self.stagger).mul_f64(chance * chance);
        self.next = now + (self.stagger + more).mul_f64(chance);
    }

    /// A peer failed: another one may take its turn at once.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGGER: Duration = Duration::from_millis(200);

    fn pause(chance: f64, expected: Duration) -> Duration {
        let now = Instant::now();
        let mut pace = Pace::new(now, STAGGER);
        assert_eq!(pace.due(), now);
        pace.tried(now, chance, expected);
        pace.due() - now
    }

    #[test]
    fn the_likelier_a_delivery_the_longer_the_pause() {
        let fast = Duration::from_millis(1);
        assert_eq!(pause(0.0, fast), Duration::ZERO);
        assert_eq!(pause(0.1, fast), STAGGER / 10);
        assert_eq!(pause(1.0, fast), STAGGER);
        assert_eq!(pause(f64::INFINITY, fast), STAGGER);
    }

    #[test]
    fn a_slow_peer_is_late_later_but_not_for_ever() {
        assert_eq!(pause(1.0, STAGGER), 5 * STAGGER);
        assert_eq!(pause(1.0, STAGGER / 4), STAGGER * 3 / 2);
        assert_eq!(pause(0.5, STAGGER), STAGGER);
        assert_eq!(pause(1.0, Duration::MAX), 5 * STAGGER);
    }

    #[test]
    fn a_failure_gives_the_next_one_its_turn() {
        let now = Instant::now();
        let mut pace = Pace::new(now, STAGGER);
        pace.tried(now, 1.0, STAGGER);
        pace.failed(now);
        assert_eq!(pace.due(), now);
    }
}
