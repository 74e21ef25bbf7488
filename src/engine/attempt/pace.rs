//! How fast the peers of a hash are gone through.

use std::time::Duration;

use tokio::time::Instant;

/// The least pause after an attempt that is as good as sure to deliver, as a share of the stagger.
const LEAST_HEDGE: f64 = 0.15;

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
        let pause = self.stagger.mul_f64(chance.clamp(0.0, 1.0));
        // A peer that is known to be fast is late sooner; but not every hiccup is worth a second one.
        let late = (3 * expected).max(self.stagger.mul_f64(LEAST_HEDGE));
        self.next = now + pause.min(late);
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
        let slow = Duration::from_secs(2);
        assert_eq!(pause(0.0, slow), Duration::ZERO);
        assert_eq!(pause(0.1, slow), STAGGER / 10);
        assert_eq!(pause(1.0, slow), STAGGER);
        assert_eq!(pause(f64::INFINITY, slow), STAGGER);
    }

    #[test]
    fn a_fast_peer_is_late_sooner() {
        assert_eq!(
            pause(1.0, Duration::from_millis(20)),
            Duration::from_millis(60)
        );
        assert_eq!(pause(1.0, Duration::ZERO), Duration::from_millis(30));
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
