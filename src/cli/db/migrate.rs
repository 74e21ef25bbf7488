//! `metafetch db migrate`: brings the schema up to date.

use super::{Failure, Work, print};
use crate::cli::Exit;
use crate::store::Schema;

/// Bring the schema up to date.
///
/// Every command does that when it opens a database. This one says what it did.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only say what is to be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, work: &Work) -> Result<Exit, Failure> {
    let before = Schema::of(&work.url)?;
    let from = before.version().unwrap_or("nothing").to_owned();
    if before.pending.is_empty() {
        print(format_args!("the schema is up to date: {from}"))?;
        return Ok(Exit::Done);
    }
    for step in &before.pending {
        print(format_args!("pending {}", step.name))?;
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    drop(work.open()?);
    let after = Schema::of(&work.url)?;
    let to = after.version().unwrap_or("nothing");
    print(format_args!("brought the schema from {from} to {to}"))?;
    Ok(Exit::Done)
}
