//! `metafetch db check`: is everything as it should be?

use super::{Failure, Work, print, printable};
use crate::cli::Exit;
use crate::store::{Damage, Remedy};

/// Check every dictionary against its hash, and every row against its dictionary.
///
/// One line for each damage. Exit code 3 where some is left.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Repair what can be: rows are made from their dictionaries again, torrents whose dictionary is
    /// damaged are fetched again when they are asked for, and rows of which nothing can be made are
    /// deleted
    #[arg(long)]
    repair: bool,
}

pub(super) fn run(args: &Args, work: &Work) -> Result<Exit, Failure> {
    let mut database = work.open()?;
    let mut unwritten = None;
    let checked = work.watched(|watch| {
        let mut report = |damage: &Damage| {
            if let Err(error) = print(format_args!("{}", line(damage))) {
                unwritten.get_or_insert(error);
            }
        };
        database.check(args.repair, &mut report, watch)
    })?;
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    print(format_args!(
        "checked {} torrents and {} other rows: {} damaged, {} repaired",
        checked.torrents, checked.rows, checked.damaged, checked.repaired
    ))?;
    Ok(if checked.damaged > checked.repaired {
        Exit::Unresolved
    } else {
        Exit::Done
    })
}

fn line(damage: &Damage) -> String {
    let remedy = match (damage.remedy, damage.repaired) {
        (Remedy::Rebuild, false) => "--repair makes it from its dictionary again",
        (Remedy::Rebuild, true) => "made from its dictionary again",
        (Remedy::Refetch, false) => "with --repair it is fetched again when it is asked for",
        (Remedy::Refetch, true) => "it is fetched again when it is asked for",
        (Remedy::Delete, false) => "--repair deletes it",
        (Remedy::Delete, true) => "deleted",
        (Remedy::None, _) => {
            "it can't be repaired from here: restore a copy, or export what is left and import it \
             into a new database"
        }
    };
    let place = match (damage.table, damage.row.as_str()) {
        ("", _) => "the database".to_owned(),
        (table, "") => table.to_owned(),
        (table, row) => format!("{table} {}", printable(row)),
    };
    format!("damaged {place}: {}; {remedy}", printable(&damage.what))
}
