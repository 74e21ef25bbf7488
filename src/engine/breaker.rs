//! A circuit breaker: what keeps failing is left alone for a while, is probed, and comes back.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which the circuit opens.
const FAILURES: u32 = 5;
/// How long it stays open the first time; each probe that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest that it stays open.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Closed (all may pass), open (nobody), or half open (one probe at a time).
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// When it opened the last time, and for how long.
    open: Option<(Instant, Duration)>,
    /// When a probe was let through that has not reported yet.
    probe: Option<Instant>,
}

impl Breaker {
    /// Whether somebody may pass now. After the pause the first who asks is the probe.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let Some((opened, pause)) = self.open else {
            return true;
        };
        if now < opened + pause {
            return false;
        }
        // A probe that never reports must not keep the circuit open for ever.
        if self.probe.is_some_and(|since| now < since + pause) {
            return false;
        }
        self.probe = Some(now);
        true
    }

    /// It worked. Says whether that closed the circuit.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.probe = None;
        self.open.take().is_some()
    }

    /// It failed. Says whether that opened the circuit.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let was_open = self.open.is_some();
        self.open = match self.open {
            None if self.failures < FAILURES => None,
            None => Some((now, FIRST_PAUSE)),
            // What was under way when it opened says nothing new.
            Some(open) if self.probe.is_none() => Some(open),
            Some((_, pause)) => Some((now, (pause * 2).min(LONGEST_PAUSE))),
        };
        self.probe = None;
        !was_open && self.open.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for failure in 1..=FAILURES {
            assert!(breaker.admits(now));
            assert_eq!(breaker.failed(now), failure == FAILURES);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            breaker.failed(now);
            breaker.failed(now);
            breaker.succeeded();
        }
        assert!(breaker.admits(now));
        assert!(!open(now).admits(now));
    }

    #[test]
    fn one_probe_at_a_time_and_a_longer_pause_after_each_that_fails() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + FIRST_PAUSE;
        assert!(breaker.admits(later));
        assert!(!breaker.admits(later), "one probe is enough");
        breaker.failed(later);
        assert!(!breaker.admits(later + FIRST_PAUSE));
        assert!(breaker.admits(later + 2 * FIRST_PAUSE));
        assert!(breaker.succeeded());
        assert!(breaker.admits(later) && breaker.admits(later));
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert!(breaker.admits(now + FIRST_PAUSE));
        assert!(breaker.admits(now + 2 * FIRST_PAUSE));
    }
}
