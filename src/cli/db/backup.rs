//! `metafetch db backup`: a copy of the database.

use std::path::PathBuf;

use super::{Failure, Work, print};
use crate::cli::Exit;

/// Copy a SQLite database into a new file, while others go on working with it.
///
/// The file appears when it is whole, with the database as it was at one moment. To go back to it, end
/// whatever uses the database, and put the file in its place, without any `-wal` and `-shm` beside.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to, which must not be there yet
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

pub(super) fn run(args: &Args, work: &Work) -> Result<Exit, Failure> {
    work.open()?.backup(&args.to)?;
    let size = std::fs::metadata(&args.to)?.len();
    let size = bytesize::ByteSize(size).display().si();
    print(format_args!("copied {size} to {}", args.to.display()))?;
    Ok(Exit::Done)
}
