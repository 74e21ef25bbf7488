//! `metafetch db export`: the data as JSON lines, or as `.torrent` files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Failure, Work, now_ms, print, printable, say};
use crate::cli::Exit;
use crate::cli::output::TorrentFiles;
use crate::engine::{Origin, Resolved};
use crate::store::{DataError, Exported, Table};

/// Write everything as JSON lines, or the torrents as files.
///
/// A line for each row, all as they are at one moment, for `db import` into any database. What is
/// written appears under its name only when it is whole.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write, compressed where its name ends in .gz, or - for stdout; with --format torrent
    /// a directory, or a path whose last part has {hash} or {name} in it
    #[arg(
        value_name = "FILE",
        default_value = "-",
        required_if_eq("format", "torrent")
    )]
    to: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Only this table (repeatable)
    #[arg(long, value_enum, value_name = "TABLE")]
    table: Vec<Table>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A JSON object for each row.
    Jsonl,
    /// A .torrent file for each resolved torrent.
    Torrent,
}

pub(super) fn run(args: Args, work: &Work) -> Result<Exit, Failure> {
    if args.format == Format::Torrent {
        if !args.table.is_empty() {
            let text = "--table can't be given with --format torrent";
            return Err(Failure::Usage(text.to_owned()));
        }
        return torrents(&args.to, work);
    }
    let tables = if args.table.is_empty() {
        Table::ALL.to_vec()
    } else {
        args.table
    };
    if args.to.as_os_str() == "-" {
        let (exported, mut stdout) = write(&args.to, &tables, io::stdout(), work)?;
        stdout.flush()?;
        say(format_args!("exported {}", summary(&exported)));
        return Ok(Exit::Done);
    }
    let failed = |error: io::Error| {
        Failure::from(DataError::Write {
            file: args.to.display().to_string(),
            detail: error.to_string(),
        })
    };
    let directory = match args.to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".metafetch-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)
        .map_err(failed)?;
    let (exported, file) = write(&args.to, &tables, file, work)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&args.to)
        .map_err(|error| failed(error.error))?;
    print(format_args!("exported {}", summary(&exported)))?;
    Ok(Exit::Done)
}

fn write<W: Write>(
    path: &Path,
    tables: &[Table],
    to: W,
    work: &Work,
) -> Result<(Exported, W), Failure> {
    let gzip = path.extension().is_some_and(|extension| extension == "gz");
    let mut database = work.open()?;
    Ok(work.watched(|watch| database.export(tables, to, (path, gzip), now_ms(), watch))?)
}

fn summary(exported: &Exported) -> String {
    let counts: Vec<String> = exported
        .iter()
        .map(|(table, rows)| format!("{rows} rows of {}", table.as_str()))
        .collect();
    counts.join(", ")
}

fn torrents(out: &Path, work: &Work) -> Result<Exit, Failure> {
    let failed = |error: io::Error| DataError::Write {
        file: out.display().to_string(),
        detail: error.to_string(),
    };
    let files = TorrentFiles::create(out).map_err(failed)?;
    let mut database = work.open()?;
    let (mut written, mut damaged) = (0_u64, 0_u64);
    work.watched(|watch| {
        database.export_torrents(
            |torrent| {
                match torrent.info {
                    Ok(info) => {
                        let resolved = Resolved {
                            info,
                            raw: torrent.raw,
                            trackers: torrent.trackers,
                            origin: Origin::Store,
                        };
                        files.write(torrent.infohash, &resolved).map_err(failed)?;
                        written += 1;
                    }
                    Err(error) => {
                        let hash = torrent.infohash;
                        say(format_args!("left out {hash}: {}", printable(&error)));
                        damaged += 1;
                    }
                }
                Ok(())
            },
            watch,
        )
    })?;
    print(format_args!("wrote {written} files"))?;
    if damaged > 0 {
        say(format_args!(
            "{damaged} torrents are damaged: see `metafetch db check`"
        ));
        return Ok(Exit::Unresolved);
    }
    Ok(Exit::Done)
}
