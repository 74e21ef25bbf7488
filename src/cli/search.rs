//! `metafetch search`: finds torrents that were resolved.

use std::time::Duration;

use bytesize::ByteSize;
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::listing::{Column, print_json, print_table};
use super::store::StoreArgs;
use super::{Exit, Stop, say, time};
use crate::engine::timestamp;
use crate::store::{SearchError, TorrentCursor, TorrentQuery, TorrentSort, TorrentSummary};
use crate::torrent::{ContentType, magnet_link};

/// The most torrents of one question to the store.
const PAGE: u32 = 1_000;
/// Characters of a name that are shown in a table.
const NAME: usize = 120;

/// Find torrents that were resolved, by words of their names and files.
///
/// All words must be there, in any order; case and diacritics do not matter. A `*` behind a word finds what
/// begins with it. Without words, all torrents are listed, the last resolved first.
///
/// Exit codes: 0 done, 2 wrong usage, 1 failed to run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Words to look for
    text: Vec<String>,
    /// Only torrents of this type (repeatable)
    #[arg(long = "type", value_name = "TYPE", value_parser = content_type)]
    content_types: Vec<ContentType>,
    /// Only torrents of this size or larger, as in 700MB or 4GiB
    #[arg(long, value_name = "SIZE")]
    min_size: Option<ByteSize>,
    /// Only torrents of this size or smaller
    #[arg(long, value_name = "SIZE")]
    max_size: Option<ByteSize>,
    /// Only torrents of so many files or more
    #[arg(long, value_name = "N")]
    min_files: Option<u64>,
    /// Only torrents of so many files or fewer
    #[arg(long, value_name = "N")]
    max_files: Option<u64>,
    /// Only private torrents (true), or only others (false)
    #[arg(long, value_name = "BOOL")]
    private: Option<bool>,
    /// Only torrents that were resolved in the last TIME, as in 7d or 12h
    #[arg(long, value_name = "TIME", value_parser = time::duration)]
    since: Option<Duration>,
    /// Only torrents that were resolved longer ago than TIME
    #[arg(long, value_name = "TIME", value_parser = time::duration)]
    until: Option<Duration>,
    /// In which order: by relevance, time (`resolved_at`), size or name
    #[arg(long, value_name = "ORDER", default_value = "relevance", value_parser = sort)]
    sort: TorrentSort,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// At most so many torrents
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Go on where a list ended that was cut by --limit
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<TorrentCursor>,
    /// Show also up to N files of each torrent: those that have one of the words
    #[arg(long, value_name = "N", num_args = 0..=1, default_value_t = 0, default_missing_value = "10", require_equals = true)]
    files: u32,
    /// A JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

fn content_type(text: &str) -> Result<ContentType, String> {
    let named = ContentType::ALL
        .into_iter()
        .find(|one| one.as_str() == text);
    named.ok_or_else(|| {
        let all = ContentType::ALL.map(ContentType::as_str).join(", ");
        format!("give one of {all}")
    })
}

fn sort(text: &str) -> Result<TorrentSort, String> {
    let named = TorrentSort::ALL
        .into_iter()
        .find(|one| one.as_str() == text);
    named.ok_or_else(|| {
        let all = TorrentSort::ALL.map(TorrentSort::as_str).join(", ");
        format!("give one of {all}")
    })
}

/// Runs the command.
pub(super) async fn run(args: Args) -> Result<Exit, Stop> {
    let store = args.store.open_existing()?;
    let (json, mut left) = (args.json, args.limit);
    let mut rows = Vec::new();
    let mut query = TorrentQuery {
        text: args.text.join(" "),
        content_types: args.content_types,
        min_size: args.min_size.map(|size| size.as_u64()),
        max_size: args.max_size.map(|size| size.as_u64()),
        min_files: args.min_files,
        max_files: args.max_files,
        private: args.private,
        resolved_since_ms: args.since.map(time::before_now),
        resolved_until_ms: args.until.map(time::before_now),
        sort: args.sort,
        reverse: args.reverse,
        after: args.cursor,
        limit: args.limit.min(PAGE),
        files: args.files,
    };
    let page = loop {
        let page = store.search(&query).await.map_err(|error| match error {
            SearchError::Query(text) => Stop::new(Exit::Usage, text),
            SearchError::Store(error) => error.into(),
        })?;
        left = left.saturating_sub(u32::try_from(page.torrents.len()).unwrap_or(u32::MAX));
        if json {
            print_json(page.torrents.iter().map(Line::of))?;
        } else {
            rows.extend(page.torrents.iter().flat_map(cells));
        }
        if page.next.is_none() || left == 0 {
            break page;
        }
        query.after = page.next;
        query.limit = left.min(PAGE);
    };
    if !json {
        print_table(&COLUMNS, rows)?;
    }
    if page.is_cut {
        say(format_args!(
            "so many torrents have these words that only those stored last were sorted: other words, or \
             `--sort relevance`, find the others"
        ));
    }
    if let Some(indexing) = store.indexing().await? {
        say(format_args!(
            "{} torrents are not indexed yet, and can't be found: `metafetch db migrate` does the rest at once",
            indexing.left
        ));
    }
    if let Some(next) = page.next {
        say(format_args!("there are more: --cursor {next}"));
    }
    store.close().await;
    Ok(Exit::Done)
}

const COLUMNS: [Column; 6] = [
    Column::Whole("INFOHASH"),
    Column::Number("SIZE"),
    Column::Number("FILES"),
    Column::Whole("TYPE"),
    Column::Fixed("RESOLVED", 10),
    Column::Text("NAME"),
];

/// The rows of a torrent: one, and one for each of its files that is told.
fn cells(torrent: &TorrentSummary) -> Vec<Vec<String>> {
    let size = |bytes: u64| ByteSize(bytes).display().si().to_string();
    let shown = |text: &str| text.chars().take(NAME).collect::<String>();
    let resolved_at = time::at(torrent.resolved_at_ms);
    let day = resolved_at.split(' ').next().unwrap_or_default();
    let mut rows = vec![vec![
        torrent.infohash.to_string(),
        size(torrent.size),
        torrent.files_count.to_string(),
        torrent.content_type.to_string(),
        day.to_owned(),
        shown(&torrent.name),
    ]];
    let files = torrent.files.iter();
    rows.extend(files.map(|(path, length)| {
        let none = String::new;
        vec![
            none(),
            size(*length),
            none(),
            none(),
            none(),
            format!("  {}", shown(path)),
        ]
    }));
    rows
}

/// A torrent as a JSON line.
#[derive(Serialize)]
struct Line<'a> {
    infohash: String,
    infohash_v2: Option<String>,
    name: &'a str,
    size: u64,
    files_count: u64,
    piece_length: u64,
    pieces_count: u64,
    private: bool,
    content_type: ContentType,
    metadata_size: u64,
    trackers: &'a [String],
    magnet: String,
    arm: &'a str,
    peer: Option<String>,
    discovered_at: Option<String>,
    last_seen_at: Option<String>,
    resolved_at: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    length: u64,
}

impl<'a> Line<'a> {
    fn of(torrent: &'a TorrentSummary) -> Self {
        let infohash = torrent.infohash;
        let files = torrent.files.iter();
        Self {
            infohash: HEXLOWER.encode(infohash.as_bytes()),
            infohash_v2: infohash.v2().map(|v2| HEXLOWER.encode(v2)),
            name: &torrent.name,
            size: torrent.size,
            files_count: torrent.files_count,
            piece_length: torrent.piece_length,
            pieces_count: torrent.pieces_count,
            private: torrent.private,
            content_type: torrent.content_type,
            metadata_size: torrent.metadata_size,
            trackers: &torrent.trackers,
            magnet: magnet_link(infohash, &torrent.name),
            arm: &torrent.arm,
            peer: torrent.peer.map(|peer| peer.to_string()),
            discovered_at: timestamp(torrent.discovered_at_ms),
            last_seen_at: timestamp(torrent.last_seen_at_ms),
            resolved_at: timestamp(torrent.resolved_at_ms),
            files: files
                .map(|(path, length)| File {
                    path,
                    length: *length,
                })
                .collect(),
        }
    }
}
