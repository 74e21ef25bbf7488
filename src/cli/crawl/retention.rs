//! How long a crawl keeps what each hash leaves.

use std::time::Duration;

use humantime::format_duration;
use tokio::task::JoinHandle;

use crate::cli::say;
use crate::cli::time::{Kept, kept};
use crate::store::{self, Store};

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
    pub(super) fn start(self, store: Store, longest_cooldown: Duration) -> JoinHandle<()> {
        let mut kept = store::Kept {
            attempts: self.keep_attempts.0,
            failed: self.keep_failed.0,
        };
        let asked = kept.attempts.unwrap_or_default();
        if kept.at_least(longest_cooldown) {
            say(format_args!(
                "attempts are kept for {}, as long as hashes may cool down, and not for {}: --cooldown makes \
                 that shorter",
                format_duration(longest_cooldown),
                format_duration(asked),
            ));
        }
        tokio::spawn(async move {
            let (attempts, failed) = kept.before();
            if let Ok((attempts @ 1.., failed) | (attempts, failed @ 1..)) =
                store.count_old(attempts, failed).await
            {
                say(format_args!(
                    "{attempts} attempts and {failed} failures in the store are old, and are deleted meanwhile: \
                     --keep-attempts never and --keep-failed never keep them"
                ));
            }
            store.prune_on(|| kept).await;
        })
    }
}
