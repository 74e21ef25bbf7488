//! The store: what was resolved, what failed and when to try again, and what each peer did, in a
//! database that survives restarts.
//!
//! SQL stays in here. Reads run on a small pool of connections, all writes on one thread that writes
//! what waits in one transaction ([`Store::record`]). Times are UTC, in milliseconds since 1970.

mod applied_batch;
mod backup;
mod batch;
mod blocklist;
mod connection;
mod crawl_session;
mod daemon_state;
mod database;
#[cfg(test)]
#[path = "../../tests/databases/mod.rs"]
mod databases;
mod dht_node_state;
mod dictionary;
pub mod disk;
mod error;
mod examine;
mod exchange;
mod failed_torrent;
mod integrity;
pub mod journal;
mod legacy;
mod legacy_import;
mod metadata_request;
mod migration;
mod mysql;
mod pages;
mod peer_group;
mod peer_state;
#[cfg(test)]
mod plans;
mod postgres;
mod pruning;
mod recall;
mod record;
mod retention;
mod schema;
mod search;
mod server_url;
mod sqlite;
mod statistics;
mod take;
mod torrent_file;
mod torrent_metadata;
mod tracker_state;
mod unresolved;
mod upkeep;
mod upsert;
mod url;
mod value;
mod wanted_torrent;
mod worker;
mod writer;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::QueryResult;

pub use self::applied_batch::BatchId;
pub use self::blocklist::{BlockEntry, Blocked, MAX_SALT_BYTES, MAX_SALTS};
pub use self::crawl_session::{CrawlSession, HEARTBEAT, SILENT_AFTER, SessionStatus};
pub use self::database::{DataError, Database, Watch};
pub use self::dht_node_state::DhtNode;
pub use self::error::StoreError;
pub use self::examine::Examined;
pub use self::exchange::{Exported, Imported, Importer, Refused, Table, Taking, TorrentExport};
pub use self::failed_torrent::{FailedFilter, FailedTorrent};
pub use self::integrity::{Checked, Damage, Remedy};
pub use self::legacy::{
    BacklogRow, Claimed, DiscoveredRow, Holdback, Holder, LegacyCleaner, LegacyLogin, LegacyPeer,
    LegacyRows, LegacyTables, LogRow, ReceivedRow, Severity, TablesHealth,
};
pub use self::legacy_import::{LegacyOptions, LegacyTable, LegacyUrl, Rejected};
pub use self::migration::{Schema, SchemaStep};
pub use self::pruning::Kept;
pub use self::recall::Recall;
pub use self::record::{Record, RecordResult};
pub use self::retention::{PruneOptions, Pruned, Retention};
pub use self::search::{
    CursorError, Indexing, SearchError, TorrentCursor, TorrentPage, TorrentQuery, TorrentSort,
    TorrentSummary,
};
pub use self::server_url::ServerUrl;
pub use self::statistics::{AttemptGroup, Funnel, Latencies};
pub use self::torrent_metadata::{PendingTorrent, ResolvedTorrent, StoredTorrent};
pub use self::url::{StoreUrl, StoreUrlError};
pub use self::wanted_torrent::{NowWanted, WantedTorrent};
pub use self::writer::StoreHealth;

use self::connection::{Connection, ReadPool, STATEMENT_TIMEOUT, Target, write_transaction};
use self::writer::Writer;
use crate::history::{Attempt, Group, GroupState, PeerState, TrackerState};
use crate::telemetry::catalogue::STORE_READ_TIME;
use crate::torrent::{Infohash, PeerAddr};

/// DHT nodes of one transaction: those who wait for a result are not held up for long.
const NODES_AT_ONCE: usize = 1_000;
/// Rows of one table that one transaction deletes.
const PRUNED_AT_ONCE: i64 = 500;

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
    /// Whether the database may have tables of other programs, beside which ours are made. Tables that are
    /// called like ours are refused all the same: not allowed.
    pub beside_others: bool,
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
            beside_others: false,
        }
    }
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resolved torrents.
    pub torrents: u64,
    /// Torrents that are known without their metadata, from an import.
    pub pending: u64,
    /// The files of both.
    pub files: u64,
    /// Hashes that failed.
    pub failed_torrents: u64,
    /// Attempts at peers.
    pub attempts: u64,
    /// Peers.
    pub peers: u64,
    /// Rows of the blocklist.
    pub blocked: u64,
}

/// A store that is open. Clones share it.
#[derive(Clone)]
pub struct Store {
    target: Target,
    readers: ReadPool,
    writer: Writer,
    blocklist: blocklist::Snapshot,
    read_timeout: Duration,
    /// Where it writes on this host.
    directory: PathBuf,
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
            blocklist: blocklist::Snapshot::default(),
            target,
            read_timeout: options.read_timeout,
            directory: disk::directory(url),
        })
    }

    /// The directory that it writes to on this host: that of a SQLite file, or of the journals of a server's database.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The torrent with this hash: v1, v2, or v2 cut to 20 bytes as the DHT has it. `None` too where
    /// it is known, but not its metadata.
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

    /// What is known of groups of peers: up to `limit` of each kind, those with the most attempts
    /// first. Reads the whole table: for the start.
    pub async fn groups(&self, limit: u32) -> Result<Vec<(Group, GroupState)>, StoreError> {
        self.read(move |connection| peer_group::heaviest(connection, limit))
            .await
    }

    /// What is known of this hash, and of these peers, before it is worked on. With `refetch` it does
    /// not matter whether it was resolved before.
    pub async fn recall(
        &self,
        infohash: &Infohash,
        peers: Vec<PeerAddr>,
        refetch: bool,
    ) -> Result<Recall, StoreError> {
        let (blocklist, infohash) = (self.blocklist.clone(), *infohash);
        let read = self.read(move |connection| {
            recall::recall(connection, &blocklist, &infohash, peers, refetch)
        });
        read.await
    }

    /// What is known of this hash, without the attempts and the peers: a short read.
    pub async fn glance(&self, infohash: &Infohash) -> Result<Recall, StoreError> {
        let (blocklist, infohash) = (self.blocklist.clone(), *infohash);
        self.read(move |connection| recall::glance(connection, &blocklist, &infohash, false))
            .await
    }

    /// Whether nothing was blocked when the database was last read.
    #[must_use]
    pub fn blocklist_was_empty(&self) -> bool {
        self.blocklist.was_empty()
    }

    /// What is known of these trackers; those that were never asked are missing.
    pub async fn tracker_states(
        &self,
        urls: &[String],
    ) -> Result<HashMap<String, TrackerState>, StoreError> {
        let urls = urls.to_vec();
        self.read(move |connection| {
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            tracker_state::find(connection, &urls)
        })
        .await
    }

    /// Forgets that these hashes failed, each under any form of it. Those that had not.
    pub async fn remove_failed(
        &self,
        infohashes: &[Infohash],
    ) -> Result<Vec<Infohash>, StoreError> {
        let infohashes = infohashes.to_vec();
        self.write(move |connection| {
            let mut missing = Vec::new();
            for infohash in infohashes {
                if !failed_torrent::remove(connection, &infohash)? {
                    missing.push(infohash);
                }
            }
            Ok(missing)
        })
        .await
    }

    /// Forgets all failures that pass the filter. How many they were.
    pub async fn clear_failed(&self, filter: &FailedFilter) -> Result<u64, StoreError> {
        let filter = filter.clone();
        self.write(move |connection| failed_torrent::clear(connection, &filter))
            .await
    }

    /// Whether this hash is on the blocklist, in any form of it. Where the database can't be read, it
    /// is not if nothing was blocked when it was last read; otherwise that is an error.
    pub async fn is_blocked(&self, infohash: &Infohash) -> Result<bool, StoreError> {
        match self.blocked_by(infohash).await {
            Ok(row) => Ok(row.is_some()),
            Err(_) if self.blocklist.was_empty() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Those of these hashes that are on the blocklist, in any form of them.
    pub async fn blocked_among(
        &self,
        infohashes: &[Infohash],
    ) -> Result<Vec<Infohash>, StoreError> {
        let (blocklist, infohashes) = (self.blocklist.clone(), infohashes.to_vec());
        self.read(move |connection| {
            let mut blocked = Vec::new();
            for infohash in infohashes {
                if blocklist.find(connection, &infohash)?.is_some() {
                    blocked.push(infohash);
                }
            }
            Ok(blocked)
        })
        .await
    }

    /// The row of the blocklist that blocks this hash.
    pub async fn blocked_by(&self, infohash: &Infohash) -> Result<Option<Blocked>, StoreError> {
        let (blocklist, infohash) = (self.blocklist.clone(), *infohash);
        self.read(move |connection| blocklist.find(connection, &infohash))
            .await
    }

    /// Up to `limit` rows of the blocklist, of all lists or of this one.
    pub async fn blocked(
        &self,
        list: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Blocked>, StoreError> {
        let list = list.map(str::to_owned);
        self.read(move |connection| blocklist::list(connection, list.as_deref(), limit))
            .await
    }

    /// Every salt of the blocklist but the empty one.
    pub async fn block_salts(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(blocklist::salts).await
    }

    /// Adds to the blocklist what is not there yet, as of `at_ms` (UTC, milliseconds since 1970), in
    /// one transaction. How many rows that were.
    ///
    /// # Errors
    /// Also where there would be more than [`MAX_SALTS`] salts.
    pub async fn block(
        &self,
        entries: Vec<BlockEntry>,
        list: &str,
        at_ms: i64,
    ) -> Result<u64, StoreError> {
        let list = list.to_owned();
        self.write(move |connection| blocklist::add(connection, &entries, &list, at_ms))
            .await
    }

    /// Removes from the blocklist whatever blocks these hashes. Those that were not blocked.
    pub async fn unblock(&self, infohashes: &[Infohash]) -> Result<Vec<Infohash>, StoreError> {
        let infohashes = infohashes.to_vec();
        self.write(move |connection| {
            let mut missing = Vec::new();
            for infohash in infohashes {
                if !blocklist::remove(connection, &infohash)? {
                    missing.push(infohash);
                }
            }
            Ok(missing)
        })
        .await
    }

    /// Removes from the blocklist all that came with this list. How many rows they were.
    pub async fn unblock_list(&self, list: &str) -> Result<u64, StoreError> {
        let list = list.to_owned();
        self.write(move |connection| blocklist::remove_list(connection, &list))
            .await
    }

    /// Up to `limit` peers that delivered, those that did last first. Reads an index.
    pub async fn latest_deliverers(
        &self,
        limit: u32,
    ) -> Result<Vec<(PeerAddr, PeerState)>, StoreError> {
        self.read(move |connection| peer_state::latest_deliverers(connection, limit))
            .await
    }

    /// Up to `limit` peers that failed three times in a row or more, the most first. Reads an index.
    pub async fn most_failures(
        &self,
        limit: u32,
    ) -> Result<Vec<(PeerAddr, PeerState)>, StoreError> {
        self.read(move |connection| peer_state::most_failures(connection, limit))
            .await
    }

    /// What is known of the peers at this IP address, by port: of the one with this port, or of up to
    /// `limit`.
    pub async fn peers_at(
        &self,
        ip: IpAddr,
        port: Option<u16>,
        limit: u32,
    ) -> Result<Vec<(PeerAddr, PeerState)>, StoreError> {
        self.read(move |connection| peer_state::at(connection, ip, port, limit))
            .await
    }

    /// The latest attempts at this peer, or at all ports of this address, with the hashes: up to
    /// `limit`, from those that started `between_ms`. Goes back through that time until it has as
    /// many.
    pub async fn attempts_at(
        &self,
        ip: IpAddr,
        port: Option<u16>,
        between_ms: (i64, i64),
        limit: u32,
    ) -> Result<Vec<(Infohash, Attempt)>, StoreError> {
        self.read(move |connection| {
            metadata_request::of_peer(connection, ip, port, between_ms, limit)
        })
        .await
    }

    /// All attempts since this time (UTC, milliseconds since 1970) by way, phase and outcome. Reads
    /// each of them.
    pub async fn attempt_groups(&self, since_ms: i64) -> Result<Vec<AttemptGroup>, StoreError> {
        self.read(move |connection| statistics::attempts(connection, since_ms))
            .await
    }

    /// How far the hashes came that were asked for since this time. Reads each attempt.
    pub async fn funnel(&self, since_ms: i64) -> Result<Funnel, StoreError> {
        self.read(move |connection| statistics::funnel(connection, since_ms))
            .await
    }

    /// Durations of the latest attempts since this time: up to `limit` of each kind.
    pub async fn latencies(&self, since_ms: i64, limit: u32) -> Result<Latencies, StoreError> {
        self.read(move |connection| statistics::latencies(connection, since_ms, limit))
            .await
    }

    /// Bytes that the database takes, as it counts them.
    pub async fn size(&self) -> Result<u64, StoreError> {
        self.read(statistics::database_size).await
    }

    /// Bytes of the database that are in use: what was deleted from a SQLite file does not count.
    pub async fn used(&self) -> Result<u64, StoreError> {
        self.read(statistics::database_used).await
    }

    /// How many rows there are. Reads every table's smallest index: not for every hash.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(|connection| {
            Ok(Counts {
                torrents: torrent_metadata::count(connection)?,
                pending: torrent_metadata::count_pending(connection)?,
                files: torrent_file::count(connection)?,
                failed_torrents: failed_torrent::count(connection)?,
                attempts: metadata_request::count(connection)?,
                peers: peer_state::count(connection)?,
                blocked: blocklist::count(connection)?,
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

    /// Makes or replaces the rows of these DHT nodes, of whose times the later ones stay, and deletes those that were not seen for longest until
    /// `keep` are left. Returns when it is committed. Written once, without a journal: what is not
    /// stored now is stored the next time.
    pub async fn save_dht_nodes(&self, nodes: Vec<DhtNode>, keep: u64) -> Result<(), StoreError> {
        for chunk in nodes.chunks(NODES_AT_ONCE) {
            let chunk = chunk.to_vec();
            self.writer
                .save(Box::new(move |connection| {
                    dht_node_state::save(connection, &chunk)
                }))
                .await?;
        }
        let most = i64::try_from(NODES_AT_ONCE).unwrap_or(i64::MAX);
        let left = Arc::new(AtomicBool::new(true));
        while left.load(Ordering::Relaxed) {
            let left = Arc::clone(&left);
            self.writer
                .save(Box::new(move |connection| {
                    let pruned = dht_node_state::prune(connection, keep, most)?;
                    left.store(pruned == NODES_AT_ONCE, Ordering::Relaxed);
                    Ok(())
                }))
                .await?;
        }
        Ok(())
    }

    /// Deletes attempts that started before a time, and failures that were worth another try before a time
    /// (both UTC, milliseconds since 1970), the oldest first, some hundreds of each at most. Says whether
    /// more are left. Returns when it is committed; the writer does it between two batches.
    pub async fn prune_some(
        &self,
        attempts_before_ms: i64,
        failed_before_ms: i64,
    ) -> Result<bool, StoreError> {
        let left = Arc::new(AtomicBool::new(false));
        let more = Arc::clone(&left);
        self.writer
            .save(Box::new(move |connection| {
                let most = PRUNED_AT_ONCE;
                let attempts = metadata_request::prune(connection, attempts_before_ms, most)?;
                let failed = failed_torrent::prune(connection, failed_before_ms, most)?;
                let is_full = i64::try_from(attempts.max(failed)) == Ok(most);
                more.store(is_full, Ordering::Relaxed);
                Ok(())
            }))
            .await?;
        Ok(left.load(Ordering::Relaxed))
    }

    /// How many attempts and failures [`prune_some`](Self::prune_some) would delete in the end.
    pub async fn count_old(
        &self,
        attempts_before_ms: i64,
        failed_before_ms: i64,
    ) -> Result<(u64, u64), StoreError> {
        self.read(move |connection| {
            let attempts = metadata_request::count_before(connection, attempts_before_ms)?;
            let failed = failed_torrent::count_before(connection, failed_before_ms)?;
            Ok((attempts, failed))
        })
        .await
    }

    /// Up to `limit` DHT nodes, the best first: those that answered the last time, of them those that
    /// were seen last.
    pub async fn dht_nodes(&self, limit: u32) -> Result<Vec<DhtNode>, StoreError> {
        self.read(move |connection| dht_node_state::best(connection, limit))
            .await
    }

    /// Makes or replaces the row of a run, and marks runs as failed whose processes have not been heard of
    /// for [`SILENT_AFTER`]. Returns when it is committed. Written once, without a journal.
    pub async fn save_session(&self, session: &CrawlSession) -> Result<(), StoreError> {
        let session = session.clone();
        self.writer
            .save(Box::new(move |connection| {
                crawl_session::save(connection, &session)
            }))
            .await
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

    /// Writes on a connection of its own, in one transaction: for what an operator asks for. Waits
    /// for the lock as long as a read does.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let target = self.target.clone();
        let write = move || {
            let mut connection = target.connect()?;
            write_transaction(&mut connection, work).map_err(|error| target.error(&error))
        };
        tokio::task::spawn_blocking(write)
            .await
            .unwrap_or(Err(StoreError::Closed))
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
        let timer = STORE_READ_TIME.starts();
        let answer = tokio::time::timeout(limit, tokio::task::spawn_blocking(read)).await;
        timer.ends([if matches!(answer, Ok(Ok(Ok(_)))) {
            "ok"
        } else {
            "error"
        }]);
        match answer {
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
