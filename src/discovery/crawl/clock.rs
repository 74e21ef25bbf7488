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
