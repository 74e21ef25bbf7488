//! What all of a run shares, and what becomes of one hash: asked for, stored, told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::block::{self, Layout, Received};
use super::console::{Console, complain};
use super::marks::Marks;
use super::peers::table_peers;
use super::statistics::{Statistics, Traffic};
use crate::engine::{Engine, Resolution, Resolved, Unresolved, Wanted};
use crate::store::{LegacyTables, LogRow, ReceivedRow, Severity, StoreError};
use crate::torrent::{ContentType, Infohash, Reason, SanitizedNames, magnet_link};

/// The pause after a hash that could not be tried since something of ours does not work.
const REPAIR: Duration = Duration::from_secs(2);

/// A run of the program. What happens to it is told on the console.
pub(super) struct Run {
    pub(super) engine: Engine,
    /// The tables and who marks rows in them; `None` in test mode.
    pub(super) database: Option<Database>,
    pub(super) console: Console,
    pub(super) statistics: Statistics,
    /// Cancelled when the run is to end.
    pub(super) stop: CancellationToken,
    /// Cancelled when nothing new is to begin: with `stop`, or when the time of a metadata mode is over.
    pub(super) ending: CancellationToken,
    /// Cancelled when what is not stored by then is given up.
    pub(super) given_up: CancellationToken,
    /// Hashes in work at a time.
    pub(super) jobs: usize,
    /// Where it was told to listen.
    pub(super) listen: String,
    /// The longest that a row which is most likely noise may take.
    pub(super) noise_timeout: Duration,
    /// Whether what was tried in vain is marked.
    pub(super) marks: bool,
    /// Rows of a claim.
    pub(super) page: u32,
}

/// Where rows go.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) tables: LegacyTables,
    pub(super) marks: Marks,
}

/// A hash that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The hash as it was given.
    pub(super) text: String,
    /// The id of its row, where that is claimed.
    pub(super) row: Option<i64>,
    /// How it was found, for a new row.
    pub(super) source: &'static str,
    /// Whether its row is to be taken once more where it could not be tried.
    pub(super) again: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Received,
    /// Its metadata came, and the database does not take it.
    Refused,
    TimedOut,
    /// It is on the blocklist.
    Blocked,
    /// It was not really tried.
    Untried,
    /// Nor was this one: its row, which has this id, is to be taken once more.
    Again(i64),
}

/// What became of a row that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    /// There is no database, or it was away at the end.
    No,
    Refused,
}

/// Priority and source of a request, as the log on metadata names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Urgency(pub(super) u8, pub(super) &'static str);

impl Run {
    /// What the network has counted.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            queries: self.engine.dht().map_or(0, |dht| dht.counters().queries()),
            peers: self.engine.counters().peers,
        }
    }

    /// Takes a request in.
    pub(super) async fn queued(&self, hash: &Infohash, Urgency(priority, source): Urgency) {
        let number = self.statistics.requested.add(1);
        let (waiting, active) = (self.statistics.waiting(), self.statistics.active());
        let hash = block::short(&hex(hash));
        let jobs = self.jobs;
        self.console
            .metadata_log(&[
                format!("[MetadataManager] Metadata request #{number} for hash: {hash}"),
                format!(
                    "[MetadataDownloader] Queued metadata request for: {hash} (priority: \
                     {priority}, source: {source}, queue size: {waiting}, active: {active}, \
                     max: {jobs})"
                ),
            ])
            .await;
    }

    /// Notes that a request is in work now.
    pub(super) async fn begun(&self, hash: &Infohash, Urgency(priority, source): Urgency) {
        self.statistics.begun.add(1);
        let (waiting, active) = (self.statistics.waiting(), self.statistics.active());
        let hash = block::short(&hex(hash));
        self.console
            .metadata_log(&[
                format!(
                    "[MetadataDownloader] Started processing metadata request for: {hash} \
                     (priority: {priority}, source: {source}, active: {active})"
                ),
                format!(
                    "[MetadataDownloader] Processed 1 requests this round (queue: {waiting}, \
                     active: {active})"
                ),
            ])
            .await;
    }

    /// Fetches a hash, stores what came of it, and tells it.
    pub(super) async fn settle(self: Arc<Self>, job: Job, wanted: Wanted) -> Settled {
        let resolution = self.engine.resolve(wanted).await;
        self.finish(&job, &resolution).await
    }

    /// Stores what came of a hash, and tells it.
    pub(super) async fn finish(&self, job: &Job, resolution: &Resolution) -> Settled {
        let mut settled = match &resolution.result {
            Ok(resolved) => self.received(job, resolution, resolved).await,
            Err(unresolved) => self.unresolved(job, resolution, unresolved).await,
        };
        if let Some(id) = job.row {
            if job.again && settled == Settled::Untried {
                settled = Settled::Again(id);
            }
            self.release(id, settled == Settled::Again(id)).await;
        }
        settled
    }

    /// Gives a row back; with `again` it may be taken once more.
    pub(super) async fn release(&self, id: i64, again: bool) {
        if let Some(database) = &self.database {
            let released = database.marks.release(id, again);
            // What is not given back by the end is free a minute later.
            self.given_up.run_until_cancelled(released).await;
        }
    }

    /// Whether there is a DHT node, and no other node answers any more.
    pub(super) fn network_is_away(&self) -> bool {
        self.engine.dht().is_some_and(|dht| dht.is_away())
    }

    /// Whether the DHT is to be used, and no node of it has answered yet.
    pub(super) fn waits_for_dht(&self) -> bool {
        let health = self.engine.health();
        self.engine.dht().is_some() && !health.is_some_and(|health| health.dht.works())
    }

    async fn received(&self, job: &Job, resolution: &Resolution, resolved: &Resolved) -> Settled {
        let infohash = resolution.infohash;
        let names = names(resolved, &infohash);
        let paths = names.files.iter().map(|(path, _)| path.as_str());
        let content_type = ContentType::of_paths(paths);
        let hashes = Infohash::of(&resolved.raw, resolved.info.version);
        let (size, count) = (names.size, names.file_count);
        let magnet_link = magnet_link(hashes, &names.name);
        let row = Arc::new(ReceivedRow {
            infohash,
            row_key: job.row.is_some().then(|| job.text.clone()),
            source: job.source,
            name: names.name,
            size,
            files: names.files,
            file_count: count,
            piece_length: resolved.info.piece_length,
            pieces: resolved.info.pieces,
            private: resolved.info.private,
            magnet_link,
            content_type: content_type.as_str(),
            peers: table_peers(&resolution.peers),
        });
        let kept = self.store(&row).await;
        let stored = kept == Stored::Yes;
        let number = match kept {
            Stored::Refused => self.statistics.failed.add(1),
            Stored::Yes | Stored::No => self.statistics.successful.add(1),
        };
        let hash = hex(&infohash);
        let short = block::short(&hash);
        let log = self.console.wanted().metadata_log;
        let enhanced = format!("{count} files, 0 trackers, 0 web seeds");
        let block = block::received(
            &Received {
                hash: &hash,
                name: &row.name,
                size,
                files: &row.files,
                file_count: count,
                content_type,
                magnet_link: &row.magnet_link,
            },
            Layout { log, stored },
        );
        let mut lines = Vec::new();
        // Once for each torrent: otherwise it opens the block.
        if log || !stored {
            lines.push("*** METADATA RECEIVED ***".to_owned());
        }
        let notes = [
            format!(
                "[MetadataManager] Metadata {} #{number} for hash: {short}, size: {size} bytes",
                if kept == Stored::Refused {
                    "refused by the database"
                } else {
                    "success"
                },
            ),
            format!(
                "[MetadataDownloader] Metadata received and request removed for: {short} \
                 (success: 1)"
            ),
            format!(
                "[MetadataDownloader] Extracted comprehensive metadata for {short}: {enhanced}"
            ),
        ];
        lines.extend(self.console.in_metadata_log(&notes));
        lines.push(format!("Enhanced metadata extracted: {enhanced}"));
        if stored && job.row.is_some() {
            lines.push(format!("Updated database record for hash: {hash}"));
        }
        if log {
            lines.extend(self.console.in_metadata_log(&block));
        } else {
            lines.extend(block);
        }
        self.console.lines(lines).await;
        match kept {
            Stored::Refused => Settled::Refused,
            Stored::Yes | Stored::No => Settled::Received,
        }
    }

    /// Whether it is in the database.
    async fn store(&self, row: &Arc<ReceivedRow>) -> Stored {
        let Some(database) = &self.database else {
            return Stored::No;
        };
        let stored = self
            .in_time(database.tables.received(Arc::clone(row)))
            .await;
        match stored {
            Ok(()) => Stored::Yes,
            Err(StoreError::Closed) => {
                self.statistics.unstored.add(1);
                Stored::No
            }
            Err(error) => {
                self.could_not_store(&row.infohash, &error).await;
                Stored::Refused
            }
        }
    }

    /// Says that a row was not written, here and in the log of the database.
    pub(super) async fn could_not_store(&self, infohash: &Infohash, error: &StoreError) {
        complain(format_args!("Error storing torrent: {error}"));
        let message = error.to_string();
        self.log("MySQLConnection::storeTorrent", message, Some(infohash))
            .await;
    }

    /// Adds an error to the log of the database.
    pub(super) async fn log(
        &self,
        function_name: &'static str,
        error_message: String,
        infohash: Option<&Infohash>,
    ) {
        if let Some(database) = &self.database {
            let row = LogRow {
                function_name,
                // The client library's number does not come through.
                error_code: -1,
                error_message,
                severity: Severity::Error,
                infohash: infohash.map(hex),
            };
            database.tables.log(row).await;
        }
    }

    async fn unresolved(
        &self,
        job: &Job,
        resolution: &Resolution,
        unresolved: &Unresolved,
    ) -> Settled {
        let failure = &unresolved.failure;
        let hash = hex(&resolution.infohash);
        self.console.debug(format_args!("{hash}: {failure}"));
        if unresolved.says_nothing {
            // What was in work at the end is no failure.
            if failure.reason != Reason::Cancelled {
                self.statistics.failed.add(1);
            }
            if failure.reason == Reason::Internal {
                self.ending.run_until_cancelled(sleep(REPAIR)).await;
            }
            return match failure.reason {
                Reason::Blocked => Settled::Blocked,
                _ => Settled::Untried,
            };
        }
        let mut status = match self.database {
            None => "Not marked: test mode without database storage",
            Some(_) => "Not marked: the configuration says so",
        };
        let mut lines = Vec::new();
        if let Some(database) = self.database.as_ref().filter(|_| self.marks) {
            let key = match job.row {
                Some(_) => job.text.clone(),
                None => hash.clone(),
            };
            let marked = self.in_time(async { Ok(database.marks.timed_out(key).await) });
            match marked.await {
                Ok(Ok(())) => {
                    status = "Marked as timed out: later runs skip it";
                    lines.push(format!("Marking hash as timed out: {hash}"));
                }
                Ok(Err(why)) => {
                    complain(format_args!("Error marking torrent as timed out: {why}"));
                    let infohash = Some(&resolution.infohash);
                    self.log("MySQLConnection::markTorrentTimedOut", why, infohash)
                        .await;
                    status = "Not marked: the database refused it";
                }
                Err(_) => status = "Not marked: the database was away at the end",
            }
        }
        self.statistics.timed_out.add(1);
        if self.console.wanted().metadata_log {
            let block = block::timed_out(&hash, failure, resolution.elapsed, status);
            lines.extend(self.console.in_metadata_log(&block));
        }
        self.console.lines(lines).await;
        Settled::TimedOut
    }

    /// What the database says, for which nobody waits for ever once the run is to end.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.given_up.cancelled() => Err(StoreError::Closed),
        }
    }
}

/// Names as the tables have them.
fn names(resolved: &Resolved, infohash: &Infohash) -> SanitizedNames {
    SanitizedNames::from_info(&resolved.raw, infohash).unwrap_or_else(|error| {
        // Whatever one reader takes, the other does; but no torrent is to be lost by that.
        tracing::warn!("{infohash}: its names can't be read: {error}");
        let files = resolved.info.files.iter();
        let files: Vec<_> = files
            .map(|file| (file.path.join("/"), file.length))
            .collect();
        SanitizedNames {
            name: hex(infohash),
            file_count: files.len(),
            size: resolved.info.size,
            files,
        }
    })
}

/// The 40 hex digits of the tables.
pub(super) fn hex(infohash: &Infohash) -> String {
    Infohash::V1(infohash.wire_id()).to_string()
}
