//! The store: what was resolved, what failed and when to try again, and what each peer did, in a
//! database that survives restarts.
//!
//! SQL stays in here. Reads run on a small pool of connections, all writes on one thread that writes
//! what waits in one transaction ([`Store::record`]). Times are UTC, in milliseconds since 1970.

mod applied_batch;
mod batch;
mod connection;
mod error;
mod failed_torrent;
pub mod journal;
mod metadata_request;
mod mysql;
mod peer_state;
#[cfg(test)]
mod plans;
mod postgres;
mod record;
mod schema;
mod server_url;
mod sqlite;
mod torrent_file;
mod torrent_metadata;
mod upsert;
mod url;
mod value;
mod worker;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use diesel::QueryResult;

pub use self::applied_batch::BatchId;
pub use self::error::StoreError;
pub use self::failed_torrent::FailedTorrent;
pub use self::record::{Record, RecordResult};
pub use self::server_url::ServerUrl;
pub use self::torrent_metadata::{ResolvedTorrent, StoredTorrent};
pub use self::url::{StoreUrl, StoreUrlError};
pub use self::writer::StoreHealth;

use self::connection::{Connection, ReadPool, STATEMENT_TIMEOUT, Target};
use self::writer::Writer;
use crate::history::PeerState;
use crate::torrent::{Infohash, PeerAddr};

/// How a store is opened. [`Default`] is right unless a measurement says otherwise.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How long to wait for another process's lock when opening and reading: 5 s.
    pub busy_timeout: Duration,
    /// For how long a write is tried again while the database is away and no journal can be written,
    /// and for how long the end waits for a database that is away: 5 s.
    pub retry_for: Duration,
    /// After how long records go to a journal while the database is away: 5 s. At most `retry_for`.
    pub spill_after: Duration,
    /// Where journals are: beside the file of a SQLite database, otherwise in the user's directory for
    /// state (on Linux `~/.local/state/metafetch`).
    pub journal_dir: Option<PathBuf>,
    /// The most bytes of the journals. Once they are full, records wait: 256 MiB.
    pub journal_limit: u64,
    /// How long a read waits for one of the connections: 10 s.
    pub read_timeout: Duration,
    /// Connections to read with: 4.
    pub readers: u32,
    /// The most bytes that the database file may grow to: unlimited.
    pub size_limit: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(5),
            spill_after: Duration::from_secs(5),
            journal_dir: None,
            journal_limit: 256 << 20,
            read_timeout: Duration::from_secs(10),
            readers: 4,
            size_limit: None,
        }
    }
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resolved torrents.
    pub torrents: u64,
    /// Their files.
    pub files: u64,
    /// Hashes that failed.
    pub failed_torrents: u64,
    /// Attempts at peers.
    pub attempts: u64,
    /// Peers.
    pub peers: u64,
}

/// A store that is open. Clones share it.
#[derive(Clone)]
pub struct Store {
    target: Target,
    readers: ReadPool,
    writer: Writer,
    read_timeout: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("database", &self.target.database)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, makes it where it is missing, brings its schema up to date, and makes sure
    /// that it can be written to. Blocks; each way to fail has its own [`StoreError`].
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        Self::open_with(url, &StoreOptions::default())
    }

    /// [`Store::open`] with other options.
    pub fn open_with(url: &StoreUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let target = Target::prepare(url, options)?;
        let _ = target.migrate()?;
        Ok(Self {
            readers: target.read_pool(options),
            writer: Writer::start(&target, url, options)?,
            target,
            read_timeout: options.read_timeout,
        })
    }

    /// The torrent with this hash: v1, v2, or v2 cut to 20 bytes as the DHT has it.
    pub async fn torrent(&self, infohash: &Infohash) -> Result<Option<StoredTorrent>, StoreError> {
        let infohash = *infohash;
        self.read(move |connection| torrent_metadata::find(connection, &infohash))
            .await
    }

    /// The files of the torrent with this hash, in order: path and length in bytes. Empty where the
    /// torrent is unknown.
    pub async fn files(&self, infohash: &Infohash) -> Result<Vec<(String, u64)>, StoreError> {
        let infohash = *infohash;
        self.read(move |connection| torrent_metadata::files(connection, &infohash))
            .await
    }

    /// Why this hash could not be resolved the last time; `None` where it did not fail, or was
    /// resolved since.
    pub async fn failed_torrent(
        &self,
        infohash: &Infohash,
    ) -> Result<Option<FailedTorrent>, StoreError> {
        let infohash = *infohash;
        self.read(move |connection| failed_torrent::find(connection, &infohash))
            .await
    }

    /// What is known of these peers; those that were never tried are missing.
    pub async fn peer_states(
        &self,
        peers: &[PeerAddr],
    ) -> Result<HashMap<PeerAddr, PeerState>, StoreError> {
        if peers.is_empty() {
            return Ok(HashMap::new());
        }
        let peers = peers.to_vec();
        self.read(move |connection| peer_state::of_peers(connection, &peers))
            .await
    }

    /// Up to `limit` peers that delivered this hash before, the latest first.
    pub async fn deliverers(
        &self,
        infohash: &Infohash,
        limit: u32,
    ) -> Result<Vec<PeerAddr>, StoreError> {
        let infohash = *infohash;
        self.read(move |connection| metadata_request::deliverers(connection, &infohash, limit))
            .await
    }

    /// Whether one of these peers was never tried for this hash.
    pub async fn has_untried(
        &self,
        infohash: &Infohash,
        peers: &[PeerAddr],
    ) -> Result<bool, StoreError> {
        let (infohash, peers) = (*infohash, peers.to_vec());
        self.read(move |connection| {
            for peer in &peers {
                if !metadata_request::was_tried(connection, &infohash, peer)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// How many rows there are. Reads every table's smallest index: not for every hash.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(|connection| {
            Ok(Counts {
                torrents: torrent_metadata::count(connection)?,
                files: torrent_file::count(connection)?,
                failed_torrents: failed_torrent::count(connection)?,
                attempts: metadata_request::count(connection)?,
                peers: peer_state::count(connection)?,
            })
        })
        .await
    }

    /// Stores a record, and returns when it is committed, or in a journal while the database is away:
    /// it then survives the death of this process (but the last moments may be lost where the whole
    /// host crashes). What is in a journal is not read until the database is back. Waits while the
    /// queue is full.
    /// A record is stored also where this future is dropped after it was queued.
    pub async fn record(&self, record: Record) -> Result<(), StoreError> {
        self.writer.record(record).await
    }

    /// How the writer is: what waits, and why.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.writer.health()
    }

    /// Writes what is queued, and ends the writer: records that come later, by way of a clone, are
    /// answered [`StoreError::Closed`]. Where the database is away, this waits
    /// [`StoreOptions::retry_for`] for it; what is then in the journal stays there, a warning says
    /// where, and the next [`Store::open`] stores it.
    pub async fn close(self) {
        self.writer.close().await;
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (readers, target) = (self.readers.clone(), self.target.clone());
        let database = target.database.clone();
        let read = move || {
            let mut connection = target.checkout(&readers)?;
            query(&mut connection).map_err(|error| target.error(&error))
        };
        // A server that vanished in the middle of a query is not waited for: the thread stays behind.
        let limit = self.read_timeout + 2 * STATEMENT_TIMEOUT;
        match tokio::time::timeout(limit, tokio::task::spawn_blocking(read)).await {
            Ok(Ok(answer)) => answer,
            // A panic of the query, or a runtime that shuts down.
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Unreachable {
                database,
                detail: format!("no answer within {} seconds", limit.as_secs()),
            }),
        }
    }
}
