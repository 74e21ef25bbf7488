//! `metafetch db clean-legacy`: what an old crawler has made up.

use std::path::PathBuf;

use super::{Failure, Work, print, say};
use crate::cli::Exit;
use crate::store::{LegacyCleaner, LegacyUrl};

/// Count what an old crawler's tables (MySQL) are worth, and delete what is provably dead.
///
/// The old crawler stored random targets of its own queries as torrents, with the source `DHT_ITEM`.
/// Provably dead is such a row without metadata, files and peers, with no name but `DHT Item`, that is
/// marked as timed out, was not seen again since, and that nobody works on. Nothing else is ever
/// deleted, and nothing at all without --delete and --yes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The old crawler's database, as a store is named: mysql with user, host and database; the password
    /// from `METAFETCH_STORE_PASSWORD` or `?password_file=PATH`
    #[arg(value_name = "URL")]
    url: String,
    /// Delete what is provably dead; needs --yes
    #[arg(long, requires = "yes")]
    delete: bool,
    /// Yes, delete
    #[arg(long, requires = "delete")]
    yes: bool,
    /// Append what is deleted to this file first, a JSON object with all columns to a line
    #[arg(long, value_name = "FILE", requires = "delete")]
    archive: Option<PathBuf>,
}

pub(super) fn run(args: &Args, work: &Work) -> Result<Exit, Failure> {
    let url = LegacyUrl::new(&args.url)?;
    if url.has_password() {
        say(format_args!(
            "the password in the URL can be read in the list of processes: give it by \
             METAFETCH_STORE_PASSWORD or `?password_file=PATH`"
        ));
    }
    let mut cleaner = LegacyCleaner::open(&url)?;
    let rows = work.watched(|watch| cleaner.count(watch))?;
    for (count, what) in [
        (rows.rows, "rows of discovered_torrents"),
        (rows.complete, "with their metadata"),
        (rows.waiting, "without, that wait for it"),
        (rows.timed_out, "without, that are marked as timed out"),
        (
            rows.made_up,
            "without, with the source DHT_ITEM: made up by the old crawler",
        ),
        (
            rows.hollow,
            "that are said to have metadata, but have no files",
        ),
        (rows.invalid, "whose hash is none"),
        (
            rows.other_forms,
            "whose hash is not written as 40 lower-case hex digits",
        ),
        (
            rows.duplicates,
            "of those whose hash another row has as well",
        ),
        (rows.dead, "provably dead"),
    ] {
        print(format_args!("{count:>12} {what}"))?;
    }
    if !args.delete {
        if rows.dead > 0 {
            say(format_args!(
                "nothing was deleted: --delete --yes deletes the {} provably dead rows, and \
                 --archive FILE keeps a copy of them",
                rows.dead
            ));
        }
        return Ok(Exit::Done);
    }
    let deleted = work.watched(|watch| cleaner.delete_dead(args.archive.as_deref(), watch))?;
    print(format_args!("deleted {deleted} rows"))?;
    if let Some(archive) = args.archive.as_ref().filter(|_| deleted > 0) {
        print(format_args!("kept them in {}", archive.display()))?;
    }
    Ok(Exit::Done)
}
