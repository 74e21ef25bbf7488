//! `metafetch failed`: the hashes that cool down after a failure.

use std::time::Duration;

use serde::Serialize;

use super::listing::{Column, print_json, print_table};
use super::store::StoreArgs;
use super::{Exit, Stop, input, say, time};
use crate::config::reason;
use crate::engine::timestamp;
use crate::store::{FailedFilter, FailedTorrent};
use crate::torrent::{Infohash, Phase, Reason};

/// Characters of a detail that are shown in a table.
const DETAIL: usize = 120;

/// Hashes that failed, and when they are tried again.
///
/// Exit codes: 0 done, 3 a hash was not there, 2 wrong usage, 1 failed to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show the hashes that cool down, the soonest to be tried again first
    List {
        /// Also those whose cooldown is over
        #[arg(long)]
        all: bool,
        /// Only those that failed for this reason
        #[arg(long, value_name = "REASON", value_parser = reason)]
        reason: Option<Reason>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
        /// A JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Forget that these hashes failed: they are tried again when they are asked for
    Remove {
        /// Infohashes (hex, base32, btmh) or magnets
        #[arg(required = true, value_name = "HASH", value_parser = input::infohash)]
        hashes: Vec<Infohash>,
    },
    /// Forget all failures, or those that the options name
    #[command(group(clap::ArgGroup::new("which").required(true).multiple(true)))]
    Clear {
        /// Only those that failed for this reason
        #[arg(long, value_name = "REASON", value_parser = reason, group = "which")]
        reason: Option<Reason>,
        /// Only those that failed so long ago, or longer
        #[arg(long, value_name = "TIME", value_parser = time::duration, group = "which")]
        older_than: Option<Duration>,
        /// All of them
        #[arg(long, group = "which", conflicts_with_all = ["reason", "older_than"])]
        all: bool,
    },
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let store = args.store.open_existing()?;
    let done = match args.what {
        What::List {
            all,
            reason,
            limit,
            json,
        } => {
            let now_ms = time::now_ms();
            let filter = FailedFilter {
                reason,
                cooling_at_ms: (!all).then_some(now_ms),
                ..FailedFilter::default()
            };
            // One more tells whether there are more.
            let mut failed = store
                .failed_torrents(&filter, limit.saturating_add(1))
                .await?;
            let more = failed.len() > limit as usize;
            failed.truncate(limit as usize);
            if json {
                print_json(failed.iter().map(|row| Line::new(row, now_ms)))?;
            } else {
                print_rows(&failed, now_ms)?;
            }
            if more {
                say(format_args!(
                    "there are more: --limit N shows more than {limit}"
                ));
            }
            Exit::Done
        }
        What::Remove { hashes } => {
            let missing = store.remove_failed(&hashes).await?;
            for hash in &missing {
                say(format_args!("{hash} is not among the failed hashes"));
            }
            let removed = hashes.len().saturating_sub(missing.len());
            say(format_args!("{removed} removed"));
            if missing.is_empty() {
                Exit::Done
            } else {
                Exit::Unresolved
            }
        }
        What::Clear {
            reason, older_than, ..
        } => {
            let filter = FailedFilter {
                reason,
                failed_before_ms: older_than.map(time::before_now),
                ..FailedFilter::default()
            };
            let removed = store.clear_failed(&filter).await?;
            say(format_args!("{removed} removed"));
            Exit::Done
        }
    };
    store.close().await;
    Ok(done)
}

fn print_rows(failed: &[(Infohash, FailedTorrent)], now_ms: i64) -> Result<(), Stop> {
    // The detail stands below its hash, and is wrapped to that.
    let width = failed.iter().map(|(hash, _)| 2 * hash.as_bytes().len());
    let columns = [
        Column::Fixed("INFOHASH, DETAIL", width.max().unwrap_or(40)),
        Column::Text("REASON"),
        Column::Text("FAILED"),
        Column::Text("RETRY"),
    ];
    let rows = failed.iter().map(|(infohash, failed)| {
        let times = match failed.failures {
            1 => "once".to_owned(),
            failures => format!("{failures} times"),
        };
        let retry = match failed.retry_at_ms {
            i64::MAX => "never".to_owned(),
            at => format!("{}\n{}", time::left(at, now_ms), time::at(at)),
        };
        let mut detail: String = failed.detail.chars().take(DETAIL).collect();
        if detail.len() < failed.detail.len() {
            detail.push('…');
        }
        vec![
            format!("{infohash}\n{detail}"),
            format!("{}\nin {}", failed.reason, failed.phase),
            format!("{times}, last\n{}", time::at(failed.failed_at_ms)),
            retry,
        ]
    });
    print_table(&columns, rows.collect())
}

#[derive(Serialize)]
struct Line<'a> {
    infohash: String,
    reason: Reason,
    phase: Phase,
    failures: u32,
    failed_at: Option<String>,
    retry_at: Option<String>,
    seconds_left: Option<i64>,
    detail: &'a str,
}

impl<'a> Line<'a> {
    fn new((infohash, failed): &'a (Infohash, FailedTorrent), now_ms: i64) -> Self {
        let left = failed.retry_at_ms.saturating_sub(now_ms).max(0);
        Self {
            infohash: infohash.to_string(),
            reason: failed.reason,
            phase: failed.phase,
            failures: failed.failures,
            failed_at: timestamp(failed.failed_at_ms),
            retry_at: timestamp(failed.retry_at_ms),
            seconds_left: (failed.retry_at_ms != i64::MAX).then_some(left / 1000),
            detail: &failed.detail,
        }
    }
}
