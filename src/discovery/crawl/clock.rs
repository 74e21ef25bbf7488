//! Time as the crawl has it: milliseconds that only go forward.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Reads as the wall clock did when the crawl started, and runs on evenly from there: a wall clock
/// that is set meanwhile makes no interval shorter or longer.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    started_ms: i64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            started_ms: wall_ms(),
        }
    }

    /// Now, in milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.started_ms.saturating_add(elapsed)
    }

    /// What must be added to a time of this clock to have that of the wall clock as it is now.
    pub(super) fn wall_offset_ms(&self) -> i64 {
        wall_ms().saturating_sub(self.now_ms())
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The paused clock goes on while the wall clock stands still: as if that were set back.
    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_jumps_shortens_and_lengthens_nothing() {
        let clock = Clock::start();
        let began = clock.now_ms();
        let hour = 3_600_000;
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clock.now_ms(), began + hour);
        // What is saved is of the wall clock as it is then.
        let saved = clock.now_ms() + clock.wall_offset_ms();
        assert!((began..began + hour / 2).contains(&saved), "{saved}");
    }
}
