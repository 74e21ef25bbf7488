//! Deletes what is too old while a process runs, so that the store grows by what was resolved.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::Store;

/// How often it is looked for, where rows are kept for long.
const EVERY: Duration = Duration::from_secs(60);
/// The pause between two batches: results go first.
const PAUSE: Duration = Duration::from_millis(200);

/// How long rows are kept that each hash leaves, also one that is never resolved; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Attempts, from their start.
    pub attempts: Option<Duration>,
    /// Failures, since they were worth another try.
    pub failed: Option<Duration>,
}

impl Kept {
    /// As long a hash is not tried again with peers that failed, which the attempts name: these are kept at
    /// least as long. Whether that is longer than they would be.
    pub fn at_least(&mut self, longest_cooldown: Duration) -> bool {
        match &mut self.attempts {
            Some(kept) if *kept < longest_cooldown => {
                *kept = longest_cooldown;
                true
            }
            _ => false,
        }
    }

    /// What started before the first time, and what was worth another try before the second, is too old:
    /// UTC, milliseconds since 1970.
    #[must_use]
    pub fn before(self) -> (i64, i64) {
        let now = jiff::Timestamp::now().as_millisecond();
        let before = |kept: Option<Duration>| match kept.map(|kept| kept.as_millis()) {
            Some(kept) => now.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX)),
            None => i64::MIN,
        };
        (before(self.attempts), before(self.failed))
    }

    fn every(self) -> Duration {
        let shortest = [self.attempts, self.failed].into_iter().flatten().min();
        shortest.map_or(EVERY, |shortest| {
            (shortest / 2).clamp(Duration::from_secs(1), EVERY)
        })
    }
}

impl Store {
    /// Deletes what is older than `kept` says, which is asked each time, until it is dropped.
    pub async fn prune_on(&self, kept: impl Fn() -> Kept + Send) -> Infallible {
        loop {
            sleep(kept().every()).await;
            let (attempts, failed) = kept().before();
            if (attempts, failed) == (i64::MIN, i64::MIN) {
                continue;
            }
            loop {
                match self.prune_some(attempts, failed).await {
                    Ok(true) => sleep(PAUSE).await,
                    Ok(false) => break,
                    Err(error) => {
                        // The next time it is tried again.
                        tracing::debug!(%error, "old rows were not deleted");
                        break;
                    }
                }
            }
        }
    }
}
