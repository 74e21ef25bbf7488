//! `metafetch db import-legacy`: the database of the old crawler.

use super::{Failure, Work, now_ms, print, say};
use crate::cli::Exit;
use crate::store::{LegacyOptions, LegacyUrl, Rejected};

/// How many of the rows that were not taken are named.
const NAMED: u64 = 100;

/// Take over an old crawler's database (MySQL).
///
/// It is only read. Its torrents have no info dictionary, so they are pending: they are fetched when
/// they are asked for. An import that was interrupted goes on where it ended.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The old crawler's database, as a store is named: mysql with user, host and database; the password
    /// from `METAFETCH_STORE_PASSWORD` or `?password_file=PATH`
    #[arg(value_name = "URL")]
    url: String,
    /// Read and judge everything, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Begin with the first row again, and take what has changed since
    #[arg(long, conflicts_with = "dry_run")]
    restart: bool,
}

pub(super) fn run(args: &Args, work: &Work) -> Result<Exit, Failure> {
    let url = LegacyUrl::new(&args.url)?;
    if url.has_password() {
        say(format_args!(
            "the password in the URL can be read in the list of processes: give it by \
             METAFETCH_STORE_PASSWORD or `?password_file=PATH`"
        ));
    }
    let mut database = work.open()?;
    let options = LegacyOptions {
        dry_run: args.dry_run,
        restart: args.restart,
        now_ms: now_ms(),
    };
    let mut count = 0_u64;
    let mut rejected = |rejected: Rejected| {
        count += 1;
        if count <= NAMED {
            let Rejected { table, id, why } = rejected;
            say(format_args!("left out {table} id {id}: {why}"));
        }
    };
    let tables =
        work.watched(|watch| database.import_legacy(&url, options, &mut rejected, watch))?;
    let mut mismatch = false;
    for table in tables {
        let rejected: u64 = table.rejected.values().sum();
        print(format_args!(
            "{}: {} rows, {} read before, {} added, {} merged, {rejected} rejected",
            table.name, table.rows, table.before, table.added, table.merged
        ))?;
        for (why, rows) in &table.rejected {
            print(format_args!("  {rows} rejected: {why}"))?;
        }
        if let Some(what) = table.mismatch() {
            mismatch = true;
            say(format_args!(
                "the counts do not add up: {what}; the old database has changed since the first run: \
                 run it again with --restart"
            ));
        }
    }
    Ok(if mismatch { Exit::Failed } else { Exit::Done })
}
