//! Whether the clock can be trusted: cooldowns, intervals of DHT nodes and times in the store go by it. No
//! time server is asked.

use std::time::{Duration, Instant};

use super::Finding;
use crate::cli::time;

/// No host ran this program before: 2026-01-01.
const EARLIEST_MS: i64 = 1_767_225_600_000;
/// What other hosts that share a database may be ahead.
const TOLERATED_MS: i64 = 60_000;
/// What the clock may be off from the monotonic one while we look: it may be slewed.
const STEP_MS: i64 = 1_000;

/// Both clocks at one moment.
pub(super) struct Pace {
    monotonic: Instant,
    wall_ms: i64,
}

impl Pace {
    pub(super) fn start() -> Self {
        Self {
            monotonic: Instant::now(),
            wall_ms: time::now_ms(),
        }
    }
}

/// `latest_ms` is the latest time in the store.
pub(super) fn check(latest_ms: Option<i64>, pace: &Pace) -> Finding {
    let now = time::now_ms();
    judge(now, latest_ms, pace.wall_ms, pace.monotonic.elapsed())
}

fn judge(now: i64, latest_ms: Option<i64>, began_ms: i64, elapsed: Duration) -> Finding {
    let advice = "set the clock, and keep it by NTP: `timedatectl set-ntp true`";
    let at = time::at(now);
    if now < EARLIEST_MS {
        return Finding::fail("clock", format!("it says {at}, which is long past"), advice);
    }
    let ahead = latest_ms.map_or(0, |latest| latest.saturating_sub(now));
    if ahead > TOLERATED_MS {
        let seen = format!(
            "it says {at}, but the store has a time that is {} later",
            time::span(ahead)
        );
        return Finding::fail(
            "clock",
            seen,
            format!(
                "{advice}. If it is right now, it was wrong when that was stored: then wait, or \
                     delete what is of the future"
            ),
        );
    }
    let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    let step = now.saturating_sub(began_ms).saturating_sub(elapsed);
    if step.abs() > STEP_MS {
        let seen = format!(
            "it was set by {} while we looked",
            time::span(step.saturating_abs())
        );
        return Finding::warn(
            "clock",
            seen,
            "find out who sets it; one time service is enough",
        );
    }
    Finding::ok("clock", format!("{at}, and nothing in the store is later"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    const NOW: i64 = EARLIEST_MS + 1_000_000_000;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_that_is_wrong_is_found_out_by_what_there_is() {
        for (now, latest, began, verdict) in [
            (NOW, None, NOW - 1_000, Verdict::Ok),
            (NOW, Some(NOW + 5_000), NOW - 1_300, Verdict::Ok),
            (5, None, 5, Verdict::Fail),
            (NOW, Some(NOW + 7_200_000), NOW - 1_000, Verdict::Fail),
            (NOW, Some(i64::MAX), NOW - 1_000, Verdict::Fail),
            (NOW, None, NOW - 3_600_000, Verdict::Warn),
            (NOW, None, NOW + 3_600_000, Verdict::Warn),
        ] {
            let finding = judge(now, latest, began, SECOND);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
        }
    }
}
