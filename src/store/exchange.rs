//! The data outside of a database: JSON lines, one object for each row with the name of its table, after
//! a line that says what follows.
//!
//! Hashes are hex and dictionaries base64; numbers of rows are left out, since each database gives its
//! own. `import_progress`, `applied_batch` and `daemon_state` stay: they are about
//! one database.

mod bytes;
mod export;
mod import;
mod keyed;
mod lines;
mod rows;
mod soundness;
mod torrents;

use std::io::BufRead;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::export::{Exported, TorrentExport};
pub use self::import::{Imported, Importer, Refused, Taking};
pub(super) use self::keyed::{Aged, Keyed, Portable};
pub(super) use self::lines::Lines;
pub(super) use self::rows::{
    AttemptRow, BlockedRow, FailedRow, FileRow, GroupRow, NodeRow, PeerRow, SaltRow, SessionRow,
    TorrentRow, TrackerRow, WantedRow,
};
pub(super) use self::soundness::Sound;

use self::lines::{Line, LineReader};
use super::DataError;

/// What the first line calls the format.
const FORMAT: &str = "metafetch-export";
/// The version of the format.
const VERSION: u32 = 1;

/// Rows that are read and written at a time.
pub(super) const PAGE: i64 = 500;

/// A table of an export.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Table {
    /// Resolved and pending torrents, with their dictionaries.
    TorrentMetadata,
    /// Their files.
    TorrentFile,
    /// Attempts at peers.
    MetadataRequest,
    /// Peers.
    PeerState,
    /// Peers by client, network, source and way.
    PeerGroup,
    /// Hashes that failed.
    FailedTorrent,
    /// Trackers.
    TrackerState,
    /// DHT nodes.
    DhtNodeState,
    /// Runs.
    CrawlSession,
    /// Salts of the blocklist.
    BlockedSalt,
    /// The blocklist.
    BlockedInfohash,
    /// Hashes that a service is asked for.
    WantedTorrent,
}

impl Table {
    /// Every table of an export, in its order: torrents before what refers to them.
    pub const ALL: [Self; 12] = [
        Self::TorrentMetadata,
        Self::TorrentFile,
        Self::MetadataRequest,
        Self::PeerState,
        Self::PeerGroup,
        Self::FailedTorrent,
        Self::TrackerState,
        Self::DhtNodeState,
        Self::CrawlSession,
        Self::BlockedSalt,
        Self::BlockedInfohash,
        Self::WantedTorrent,
    ];

    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TorrentMetadata => "torrent_metadata",
            Self::TorrentFile => "torrent_file",
            Self::MetadataRequest => "metadata_request",
            Self::PeerState => "peer_state",
            Self::PeerGroup => "peer_group",
            Self::FailedTorrent => "failed_torrent",
            Self::TrackerState => "tracker_state",
            Self::DhtNodeState => "dht_node_state",
            Self::CrawlSession => "crawl_session",
            Self::BlockedSalt => "blocked_salt",
            Self::BlockedInfohash => "blocked_infohash",
            Self::WantedTorrent => "wanted_torrent",
        }
    }
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    version: u32,
    /// The version of the schema that the rows have.
    schema: String,
    /// When it was written: UTC, milliseconds since 1970.
    written_at: i64,
}

impl Header {
    pub(super) fn new(written_at: i64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            schema: super::migration::newest(),
            written_at,
        }
    }

    /// Why these lines can't be read, if they can't.
    fn objection(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("it is of the format `{}`", self.format));
        }
        (self.version != VERSION).then(|| {
            format!(
                "it is of version {} of the format, and this program reads {VERSION}: use the newer \
                 program",
                self.version
            )
        })
    }
}

/// A line: a row, and of which table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "table", rename_all = "snake_case")]
pub(super) enum Row {
    TorrentMetadata(Box<TorrentRow>),
    TorrentFile(FileRow),
    MetadataRequest(Box<AttemptRow>),
    PeerState(Box<PeerRow>),
    PeerGroup(Box<GroupRow>),
    FailedTorrent(FailedRow),
    TrackerState(Box<TrackerRow>),
    DhtNodeState(Box<NodeRow>),
    CrawlSession(Box<SessionRow>),
    BlockedSalt(SaltRow),
    BlockedInfohash(BlockedRow),
    WantedTorrent(Box<WantedRow>),
}

impl Row {
    pub(super) fn table(&self) -> Table {
        match self {
            Self::TorrentMetadata(_) => Table::TorrentMetadata,
            Self::TorrentFile(_) => Table::TorrentFile,
            Self::MetadataRequest(_) => Table::MetadataRequest,
            Self::PeerState(_) => Table::PeerState,
            Self::PeerGroup(_) => Table::PeerGroup,
            Self::FailedTorrent(_) => Table::FailedTorrent,
            Self::TrackerState(_) => Table::TrackerState,
            Self::DhtNodeState(_) => Table::DhtNodeState,
            Self::CrawlSession(_) => Table::CrawlSession,
            Self::BlockedSalt(_) => Table::BlockedSalt,
            Self::BlockedInfohash(_) => Table::BlockedInfohash,
            Self::WantedTorrent(_) => Table::WantedTorrent,
        }
    }

    fn verdict(&self) -> soundness::Verdict {
        match self {
            Self::TorrentMetadata(row) => row.verdict(),
            Self::TorrentFile(row) => row.verdict(),
            Self::MetadataRequest(row) => row.verdict(),
            Self::PeerState(row) => row.verdict(),
            Self::PeerGroup(row) => row.verdict(),
            Self::FailedTorrent(row) => row.verdict(),
            Self::TrackerState(row) => row.verdict(),
            Self::DhtNodeState(row) => row.verdict(),
            Self::CrawlSession(row) => row.verdict(),
            Self::BlockedSalt(row) => row.verdict(),
            Self::BlockedInfohash(row) => row.verdict(),
            Self::WantedTorrent(row) => row.verdict(),
        }
    }
}

/// Gives every row of a file that this program has written to `work`.
pub(super) fn each_row(
    name: &Path,
    input: impl BufRead,
    mut work: impl FnMut(Row) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let failed = |error| DataError::read(name, error);
    let mut lines = LineReader::new(input).map_err(failed)?;
    while let Some((number, line)) = lines.next().map_err(failed)? {
        let Line::Whole(line) = line else { continue };
        if number > 1 {
            let row = serde_json::from_slice(&line).map_err(|error| failed(error.into()))?;
            work(row)?;
        }
    }
    Ok(())
}

/// Runs a piece of code with `$Row` standing for the row of a table, for each table but torrents.
macro_rules! with_row {
    ($table:expr, $Row:ident => $body:expr) => {
        match $table {
            $crate::store::exchange::Table::TorrentMetadata => {
                type $Row = $crate::store::exchange::TorrentRow;
                $body
            }
            $crate::store::exchange::Table::TorrentFile => {
                type $Row = $crate::store::exchange::FileRow;
                $body
            }
            $crate::store::exchange::Table::MetadataRequest => {
                type $Row = $crate::store::exchange::AttemptRow;
                $body
            }
            $crate::store::exchange::Table::PeerState => {
                type $Row = $crate::store::exchange::PeerRow;
                $body
            }
            $crate::store::exchange::Table::PeerGroup => {
                type $Row = $crate::store::exchange::GroupRow;
                $body
            }
            $crate::store::exchange::Table::FailedTorrent => {
                type $Row = $crate::store::exchange::FailedRow;
                $body
            }
            $crate::store::exchange::Table::TrackerState => {
                type $Row = $crate::store::exchange::TrackerRow;
                $body
            }
            $crate::store::exchange::Table::DhtNodeState => {
                type $Row = $crate::store::exchange::NodeRow;
                $body
            }
            $crate::store::exchange::Table::CrawlSession => {
                type $Row = $crate::store::exchange::SessionRow;
                $body
            }
            $crate::store::exchange::Table::BlockedSalt => {
                type $Row = $crate::store::exchange::SaltRow;
                $body
            }
            $crate::store::exchange::Table::BlockedInfohash => {
                type $Row = $crate::store::exchange::BlockedRow;
                $body
            }
            $crate::store::exchange::Table::WantedTorrent => {
                type $Row = $crate::store::exchange::WantedRow;
                $body
            }
        }
    };
}
pub(super) use with_row;

macro_rules! into_row {
    ($($row:ident => $variant:ident $(($boxed:ident))?),*) => {$(
        impl From<$row> for Row {
            fn from(row: $row) -> Self {
                Self::$variant(into_row!(@ $($boxed)? row))
            }
        }

        impl TryFrom<Row> for $row {
            type Error = Row;

            fn try_from(row: Row) -> Result<Self, Row> {
                match row {
                    Row::$variant(row) => Ok(into_row!(# $($boxed)? row)),
                    row => Err(row),
                }
            }
        }
    )*};
    (@ boxed $row:ident) => { Box::new($row) };
    (@ $row:ident) => { $row };
    (# boxed $row:ident) => { *$row };
    (# $row:ident) => { $row };
}
into_row!(
    TorrentRow => TorrentMetadata (boxed),
    FileRow => TorrentFile,
    AttemptRow => MetadataRequest (boxed),
    PeerRow => PeerState (boxed),
    GroupRow => PeerGroup (boxed),
    FailedRow => FailedTorrent,
    TrackerRow => TrackerState (boxed),
    NodeRow => DhtNodeState (boxed),
    SessionRow => CrawlSession (boxed),
    SaltRow => BlockedSalt,
    BlockedRow => BlockedInfohash,
    WantedRow => WantedTorrent (boxed)
);
