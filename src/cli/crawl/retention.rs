//! Deletes what is too old while the crawl runs, so that the store grows by what was resolved.

use std::time::Duration;

use humantime::format_duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cli::say;
use crate::cli::time::{Kept, before_now, kept};
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
    /// Deletes until it is aborted, and says first what will go. `longest_cooldown`: as long a hash is not
    /// tried again with peers that failed, which the attempts name.
    pub(super) fn start(mut self, store: Store, longest_cooldown: Duration) -> JoinHandle<()> {
        if let Kept(Some(kept)) = &mut self.keep_attempts
            && *kept < longest_cooldown
        {
            say(format_args!(
                "attempts are kept for {}, as long as hashes may cool down, and not for {}: --cooldown makes \
                 that shorter",
                format_duration(longest_cooldown),
                format_duration(*kept),
            ));
            *kept = longest_cooldown;
        }
        tokio::spawn(async move {
            let kept = [self.keep_attempts.0, self.keep_failed.0];
            let Some(shortest) = kept.into_iter().flatten().min() else {
                return;
            };
            let (attempts, failed) = self.before();
            if let Ok((attempts @ 1.., failed) | (attempts, failed @ 1..)) =
                store.count_old(attempts, failed).await
            {
                say(format_args!(
                    "{attempts} attempts and {failed} failures in the store are old, and are deleted meanwhile: \
                     --keep-attempts never and --keep-failed never keep them"
                ));
            }
            let every = (shortest / 2).clamp(Duration::from_secs(1), EVERY);
            loop {
                sleep(every).await;
                self.prune(&store).await;
            }
        })
    }

    /// What started before the first time, and what was worth another try before the second, goes.
    fn before(self) -> (i64, i64) {
        let before = |kept: Kept| kept.0.map_or(i64::MIN, before_now);
        (before(self.keep_attempts), before(self.keep_failed))
    }

    async fn prune(self, store: &Store) {
        let (attempts, failed) = self.before();
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
