//! `metafetch db migrate`: brings the schema up to date.

use super::{Failure, Work, print};
use crate::cli::Exit;
use crate::store::{Database, Schema};

/// Bring the schema up to date.
///
/// Every command does that when it opens a database. This one says what it did, and makes the index of
/// torrents from before there was a search, which others make bit by bit.
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
        if !args.dry_run {
            index(&mut work.open()?, work)?;
        }
        return Ok(Exit::Done);
    }
    for step in &before.pending {
        print(format_args!("pending {}", step.name))?;
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    let mut database = work.open()?;
    let after = Schema::of(&work.url)?;
    let to = after.version().unwrap_or("nothing");
    print(format_args!("brought the schema from {from} to {to}"))?;
    index(&mut database, work)?;
    Ok(Exit::Done)
}

/// Indexes the torrents that can't be searched yet.
fn index(database: &mut Database, work: &Work) -> Result<(), Failure> {
    let indexed = work.watched(|watch| database.index(watch))?;
    if indexed > 0 {
        print(format_args!("indexed {indexed} torrents"))?;
    }
    Ok(())
}
