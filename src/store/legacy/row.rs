//! What goes into the old tables, and what comes out of them, as the program has it.

use crate::torrent::{Infohash, PeerAddr};

/// A hash that was seen in the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredRow {
    /// The hash.
    pub infohash: Infohash,
    /// How it was seen: `DHT_ANNOUNCE`, `DHT_PEERS` or `DHT_SAMPLE`. Only for a new row.
    pub source: &'static str,
    /// Peers that are said to have it.
    pub peers: Vec<LegacyPeer>,
}

/// Metadata that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRow {
    /// The hash that was asked for.
    pub infohash: Infohash,
    /// The `info_hash` of the row to complete, as it stands there; `None` where the hash was not read out
    /// of the tables.
    pub row_key: Option<String>,
    /// How the hash was found. Only for a new row.
    pub source: &'static str,
    /// The name of the torrent.
    pub name: String,
    /// Bytes of all files.
    pub size: u64,
    /// Path and bytes of each file.
    pub files: Vec<(String, u64)>,
    /// How many files there are, where not all of them are named.
    pub file_count: usize,
    /// Bytes of a piece.
    pub piece_length: u64,
    /// How many pieces.
    pub pieces: u64,
    /// Whether it is private (BEP 27).
    pub private: bool,
    /// The magnet link.
    pub magnet_link: String,
    /// What kind of files they are.
    pub content_type: &'static str,
    /// Peers that have it.
    pub peers: Vec<LegacyPeer>,
}

/// A peer of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyPeer {
    /// Its address and port.
    pub addr: PeerAddr,
    /// How it was found. Only for a new row.
    pub source: &'static str,
    /// Its id, in hex.
    pub peer_id: Option<String>,
    /// Its program.
    pub client_name: Option<String>,
    /// The version of that.
    pub client_version: Option<String>,
    /// `tcp` or `utp`, where it was connected to.
    pub connection_type: Option<String>,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// What failed, by the names of the old program.
    pub function_name: &'static str,
    /// The server's number of the error, or -1.
    pub error_code: i32,
    /// What was said.
    pub error_message: String,
    /// How bad it is.
    pub severity: Severity,
    /// The hash that it is about, in hex.
    pub infohash: Option<String>,
}

/// How bad something is, by the words of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Severity {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Severity {
    /// The word of the column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

/// A row that waits for its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BacklogRow {
    /// The id.
    pub id: i64,
    /// The hash as it stands there: any text.
    pub info_hash: String,
    /// How it was found; empty where that is not known.
    pub source: String,
}

/// Rows that a holder has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The rows. Where they are none, all have been given out: `held_by_others` may still come back.
    pub rows: Vec<BacklogRow>,
    /// Rows that others hold at present, and that come back where those die. Counted only where `rows` is
    /// empty.
    pub held_by_others: u64,
}

impl Claimed {
    /// Whether nothing is left to wait for, but for what the holder itself still has.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.rows.is_empty() && self.held_by_others == 0
    }
}

/// Who holds rows: one run of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder(String);

impl Holder {
    /// A holder of its own.
    #[must_use]
    pub fn new() -> Self {
        let id: u128 = rand::random();
        Self(format!("{}-{id:032x}", std::process::id()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Holder {
    fn default() -> Self {
        Self::new()
    }
}
