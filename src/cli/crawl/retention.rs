//! Deletes what is too old while the crawl runs, so that the store grows by what was resolved.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cli::time::{Kept, kept, now_ms};
use crate::store::Store;

/// How often it is looked for, where rows are kept for long.
const EVERY: Duration = Duration::from_secs(60);
/// The pause between two batches: results go first.
const PAUSE: Duration = Duration::from_millis(200);

/// How long rows are kept that each hash leaves, also one that is never resolved.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Retention {
    /// How long attempts are kept, from their start, as in 30d or 12h; `never` deletes none
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = kept)]
    keep_attempts: Kept,
    /// How long failures are kept since they were worth another try; `never` deletes none
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = kept)]
    keep_failed: Kept,
}

impl Retention {
    /// Deletes until it is aborted.
    pub(super) fn start(self, store: Store) -> JoinHandle<()> {
        tokio::spawn(async move {
            let kept = [self.keep_attempts.0, self.keep_failed.0];
            let Some(shortest) = kept.into_iter().flatten().min() else {
                return;
            };
            let every = (shortest / 2).clamp(Duration::from_secs(1), EVERY);
            loop {
                sleep(every).await;
                self.prune(&store).await;
            }
        })
    }

    async fn prune(self, store: &Store) {
        let now = now_ms();
        let before = |kept: Kept| match kept.0 {
            Some(kept) => now.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)),
            None => i64::MIN,
        };
        let (attempts, failed) = (before(self.keep_attempts), before(self.keep_failed));
        loop {
            match store.prune_some(attempts, failed).await {
                Ok(true) => sleep(PAUSE).await,
                Ok(false) => return,
                Err(error) => {
                    // The next time it is tried again.
                    tracing::debug!(%error, "old rows were not deleted");
                    return;
                }
            }
        }
    }
}
