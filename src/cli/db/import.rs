//! `metafetch db import`: exports, archives and `.torrent` files into the database.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::{Failure, Work, now_ms, print, printable, say};
use crate::cli::Exit;
use crate::store::{DataError, Importer, Refused, Watch};

/// Length of the longest `.torrent` file that is read, in bytes: a dictionary of 10 MiB, and as much
/// again for the piece layers of its files.
const MAX_TORRENT: u64 = 64 << 20;
/// How many of the lines that were not taken are named.
const NAMED: u64 = 100;

/// Take rows of an export, or .torrent files.
///
/// Every dictionary is checked against its hash. Taking the same twice changes nothing; of two rows
/// the one that was seen later wins. What is malformed is said, and left out.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of `db export` or of `db prune --archive` (compressed or not), .torrent files, directories
    /// with them, or - for an export on stdin
    #[arg(required = true, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Exit with 2 where something is malformed
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args, work: &Work) -> Result<Exit, Failure> {
    let mut database = work.open()?;
    let mut count = 0_u64;
    let mut refused = |refused: Refused| {
        count += 1;
        if count <= NAMED {
            let why = printable(&refused.why);
            say(format_args!("left out {}: {why}", refused.place));
        }
    };
    let mut importer = Importer::new(&mut database, &mut refused, now_ms());
    let read = work.watched(|watch| {
        args.from
            .iter()
            .try_for_each(|from| take(&mut importer, from, watch))
    });
    // What was read before an error is taken, too.
    let taken = importer.finish()?;
    for (table, taking) in &taken.tables {
        print(format_args!(
            "{}: {} added, {} updated, {} were there",
            table.as_str(),
            taking.added,
            taking.updated,
            taking.unchanged
        ))?;
    }
    if taken.refused > 0 {
        say(format_args!("left out {} lines or files", taken.refused));
    }
    read?;
    Ok(if args.strict && taken.refused > 0 {
        Exit::Usage
    } else {
        Exit::Done
    })
}

fn take(importer: &mut Importer<'_>, from: &Path, watch: &mut Watch<'_>) -> Result<(), DataError> {
    let failed = |error: io::Error| DataError::Read {
        file: from.display().to_string(),
        detail: error.to_string(),
    };
    if from.as_os_str() == "-" {
        return importer.lines(Path::new("stdin"), io::stdin().lock(), watch);
    }
    if from.is_dir() {
        return directory(importer, from, watch);
    }
    if is_torrent(from) {
        return torrent(importer, from);
    }
    let file = File::open(from).map_err(failed)?;
    importer.lines(from, BufReader::new(file), watch)
}

/// Every `.torrent` file in a directory and below, in the order of their names. Links to directories are
/// not followed: they may lead round in circles.
fn directory(
    importer: &mut Importer<'_>,
    top: &Path,
    watch: &mut Watch<'_>,
) -> Result<(), DataError> {
    let mut taken = 0;
    let mut waiting = vec![top.to_owned()];
    while let Some(directory) = waiting.pop() {
        let failed = |error: io::Error| DataError::Read {
            file: directory.display().to_string(),
            detail: error.to_string(),
        };
        let mut entries: Vec<_> = std::fs::read_dir(&directory)
            .map_err(failed)?
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                waiting.push(path);
            } else if is_torrent(&path) && (kind.is_file() || kind.is_symlink()) {
                torrent(importer, &path)?;
                taken += 1;
                watch.step("files", taken)?;
            }
        }
    }
    Ok(())
}

fn torrent(importer: &mut Importer<'_>, path: &Path) -> Result<(), DataError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_TORRENT + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => {
            importer.refuse(path.display().to_string(), error.to_string());
            Ok(())
        }
        Ok(length) if length as u64 > MAX_TORRENT => {
            let why = format!("it has more than {MAX_TORRENT} bytes");
            importer.refuse(path.display().to_string(), why);
            Ok(())
        }
        Ok(_) => importer.torrent_file(path, &bytes),
    }
}

fn is_torrent(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("torrent"))
}
