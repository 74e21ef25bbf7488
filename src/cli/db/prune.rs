//! `metafetch db prune`: how long rows are kept, and how much room they may take.

use std::path::PathBuf;

use bytesize::ByteSize;

use super::{Failure, Work, now_ms, print, say};
use crate::cli::Exit;
use crate::cli::time::{Kept, kept};
use crate::store::{PruneOptions, Retention};

/// Delete old rows, and what is above a quota.
///
/// Times are written as in 30d, 12h or 1y; `never` keeps a table as it is. Rows go in short
/// transactions, so that other processes go on meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long attempts are kept, from their start
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = kept)]
    attempts: Kept,
    /// How long peers are kept since they were last tried, and what they have in common
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = kept)]
    peers: Kept,
    /// How long failures are kept since they were worth another try
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = kept)]
    failed: Kept,
    /// How long trackers are kept since they were last asked
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = kept)]
    trackers: Kept,
    /// How long DHT nodes are kept since they were last seen
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = kept)]
    nodes: Kept,
    /// How long runs are kept, from their start
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = kept)]
    sessions: Kept,
    /// How long torrents are kept since they were last seen
    #[arg(long, value_name = "TIME", default_value = "never", value_parser = kept)]
    torrents: Kept,
    /// The most that the data may take, as in 10GB or 500MiB: beyond it go attempts, then peers that
    /// never delivered, then torrents if --torrents is given, the oldest first
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
    /// Keep what is deleted in this directory, as compressed lines that `db import` takes back
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Only count
    #[arg(long)]
    dry_run: bool,
    /// Write the whole database anew, so that it gives back all free room
    #[arg(long, conflicts_with = "dry_run")]
    vacuum: bool,
}

pub(super) fn run(args: Args, work: &Work) -> Result<Exit, Failure> {
    let options = PruneOptions {
        retention: Retention {
            attempts: args.attempts.0,
            peers: args.peers.0,
            failed: args.failed.0,
            trackers: args.trackers.0,
            nodes: args.nodes.0,
            sessions: args.sessions.0,
            torrents: args.torrents.0,
        },
        max_bytes: args.max_size.map(|size| size.as_u64()),
        archive: args.archive,
        dry_run: args.dry_run,
        vacuum: args.vacuum,
        now_ms: now_ms(),
    };
    let mut database = work.open()?;
    let pruned = work.watched(|watch| database.prune(&options, watch))?;
    let done = if args.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    for (table, rows) in &pruned.rows {
        print(format_args!("{done} {rows} rows of {table}"))?;
    }
    if pruned.rows.is_empty() {
        print(format_args!("nothing is to be deleted"))?;
    }
    for path in &pruned.archives {
        print(format_args!("kept them in {}", path.display()))?;
    }
    let (before, after) = pruned.bytes;
    print(format_args!(
        "the data takes {after} bytes, and took {before}"
    ))?;
    if pruned.is_above_quota {
        say(format_args!(
            "the data still takes more than --max-size: what is left may not be deleted; allow more, \
             or let torrents go with --torrents"
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}
