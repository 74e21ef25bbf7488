//! `metafetch block`: the hashes that are never fetched.

mod import;

use serde::Serialize;

use super::listing::{Column, print_json, print_table};
use super::store::StoreArgs;
use super::{Exit, Stop, input, say, time};
use crate::engine::timestamp;
use crate::store::{BlockEntry, Blocked};
use crate::torrent::Infohash;

/// The blocklist: hashes that are never fetched.
///
/// Exit codes: 0 done, 3 a hash was not there, 2 wrong usage or input, 1 failed to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Block these hashes
    Add {
        /// Infohashes (hex, base32, btmh) or magnets
        #[arg(required = true, value_name = "HASH", value_parser = input::infohash)]
        hashes: Vec<Infohash>,
        /// The name of the list that they come with
        #[arg(long, value_name = "NAME", default_value = "default")]
        list: String,
    },
    /// Take hashes off the blocklist, whatever list they came with, or a whole list
    Remove {
        /// Infohashes (hex, base32, btmh) or magnets
        #[arg(required_unless_present = "list", value_name = "HASH", value_parser = input::infohash)]
        hashes: Vec<Infohash>,
        /// All that came with this list
        #[arg(long, value_name = "NAME", conflicts_with = "hashes")]
        list: Option<String>,
    },
    /// Block all hashes, or digests of hashes, of a file
    Import(import::Args),
    /// Show what is blocked
    List {
        /// Only what came with this list
        #[arg(long, value_name = "NAME")]
        list: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: u32,
        /// A JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Say whether a hash is blocked, and by which list
    Check {
        /// An infohash (hex, base32, btmh) or a magnet
        #[arg(value_name = "HASH", value_parser = input::infohash)]
        hash: Infohash,
        /// A JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let store = match &args.what {
        What::Add { .. } | What::Import(_) => args.store.open_or_make()?,
        What::Remove { .. } | What::List { .. } | What::Check { .. } => {
            args.store.open_existing()?
        }
    };
    let done = match args.what {
        What::Add { hashes, list } => {
            let entries = hashes.iter().flat_map(BlockEntry::of_hash).collect();
            store.block(entries, &list, time::now_ms()).await?;
            say(format_args!("{} blocked", hashes.len()));
            Exit::Done
        }
        What::Remove {
            list: Some(list), ..
        } => {
            let removed = store.unblock_list(&list).await?;
            say(format_args!("{removed} rows removed"));
            if removed > 0 {
                Exit::Done
            } else {
                Exit::Unresolved
            }
        }
        What::Remove { hashes, list: None } => {
            let missing = store.unblock(&hashes).await?;
            for hash in &missing {
                say(format_args!("{hash} was not blocked"));
            }
            let removed = hashes.len().saturating_sub(missing.len());
            say(format_args!("{removed} removed"));
            if missing.is_empty() {
                Exit::Done
            } else {
                Exit::Unresolved
            }
        }
        What::Import(args) => import::run(args, &store).await?,
        What::List { list, limit, json } => {
            let mut blocked = store
                .blocked(list.as_deref(), limit.saturating_add(1))
                .await?;
            let more = blocked.len() > limit as usize;
            blocked.truncate(limit as usize);
            print_rows(&blocked, json)?;
            if more {
                say(format_args!(
                    "there are more: --limit N shows more than {limit}"
                ));
            }
            Exit::Done
        }
        What::Check { hash, json } => {
            if let Some(row) = store.blocked_by(&hash).await? {
                print_rows(&[row], json)?;
                Exit::Done
            } else {
                say(format_args!("{hash} is not blocked"));
                Exit::Unresolved
            }
        }
    };
    store.close().await;
    Ok(done)
}

#[derive(Serialize)]
struct Line<'a> {
    value: String,
    salt: String,
    list: &'a str,
    added_at: Option<String>,
}

fn print_rows(blocked: &[Blocked], json: bool) -> Result<(), Stop> {
    use data_encoding::HEXLOWER;
    if json {
        return print_json(blocked.iter().map(|row| Line {
            value: HEXLOWER.encode(&row.value),
            salt: HEXLOWER.encode(&row.salt),
            list: &row.list,
            added_at: timestamp(row.added_at_ms),
        }));
    }
    let columns = [
        Column::Whole("HASH OR DIGEST"),
        Column::Text("SALT"),
        Column::Text("LIST"),
        Column::Text("ADDED"),
    ];
    let rows = blocked.iter().map(|row| {
        vec![
            HEXLOWER.encode(&row.value),
            HEXLOWER.encode(&row.salt),
            row.list.clone(),
            time::at(row.added_at_ms),
        ]
    });
    print_table(&columns, rows.collect())
}
