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
    /// Whether somebody might pass now, without passing.
    pub(super) fn would_admit(&self, now: Instant) -> bool {
        // A probe that never reports must not keep the circuit open for ever.
        self.open.is_none_or(|(opened, pause)| {
            now >= opened + pause && self.probe.is_none_or(|since| now >= since + pause)
        })
    }

    /// Somebody passes. After the pause the first who does is the probe.
    pub(super) fn pass(&mut self, now: Instant) {
        if self.open.is_some() {
            self.probe = Some(now);
        }
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

    fn admits(breaker: &mut Breaker, now: Instant) -> bool {
        let admits = breaker.would_admit(now);
        if admits {
            breaker.pass(now);
        }
        admits
    }

    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for failure in 1..=FAILURES {
            assert!(admits(&mut breaker, now));
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
        assert!(admits(&mut breaker, now));
        assert!(!admits(&mut open(now), now));
    }

    #[test]
    fn one_probe_at_a_time_and_a_longer_pause_after_each_that_fails() {
        let now = Instant::now();
        let mut breaker = open(now);
        let later = now + FIRST_PAUSE;
        assert!(admits(&mut breaker, later));
        assert!(!admits(&mut breaker, later), "one probe is enough");
        breaker.failed(later);
        assert!(!admits(&mut breaker, later + FIRST_PAUSE));
        assert!(admits(&mut breaker, later + 2 * FIRST_PAUSE));
        assert!(breaker.succeeded());
        assert!(admits(&mut breaker, later) && admits(&mut breaker, later));
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = open(now);
        assert!(admits(&mut breaker, now + FIRST_PAUSE));
        assert!(admits(&mut breaker, now + 2 * FIRST_PAUSE));
    }
}
