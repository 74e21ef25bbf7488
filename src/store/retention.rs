//! How long rows are kept, and how much room they may take. What is deleted can be kept as compressed
//! lines, which are written and on the disk before the first row goes.

mod archive;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use diesel::prelude::*;

use self::archive::Archive;
use super::database::{DataError, Database, Watch};
use super::exchange::{
    Aged, AttemptRow, FailedRow, GroupRow, NodeRow, PAGE, PeerRow, Portable, Row, SessionRow,
    Table, TorrentRow, TrackerRow,
};
use super::schema::applied_batch;
use super::upkeep;
use super::value::{millis, unsigned};

/// How long the rows of each table are kept; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Attempts, from their start: 30 days.
    pub attempts: Option<Duration>,
    /// Peers, and what they have in common, since they were last tried: 90 days.
    pub peers: Option<Duration>,
    /// Failures, since the time from which they were worth another try: 30 days.
    pub failed: Option<Duration>,
    /// Trackers, since they were last asked: 90 days.
    pub trackers: Option<Duration>,
    /// DHT nodes, since they were last seen: 30 days.
    pub nodes: Option<Duration>,
    /// Runs, from their start: 365 days.
    pub sessions: Option<Duration>,
    /// Torrents, since they were last seen: for ever.
    pub torrents: Option<Duration>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Retention {
    fn default() -> Self {
        Self {
            attempts: Some(30 * DAY),
            peers: Some(90 * DAY),
            failed: Some(30 * DAY),
            trackers: Some(90 * DAY),
            nodes: Some(30 * DAY),
            sessions: Some(365 * DAY),
            torrents: None,
        }
    }
}

/// What to prune, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneOptions {
    /// How long rows are kept.
    pub retention: Retention,
    /// The most bytes that the data may take: then more goes, the oldest and least useful first.
    pub max_bytes: Option<u64>,
    /// Where what is deleted is kept.
    pub archive: Option<PathBuf>,
    /// Only count.
    pub dry_run: bool,
    /// Write the whole database anew, so that it gives back all free room.
    pub vacuum: bool,
    /// Now: UTC, milliseconds since 1970.
    pub now_ms: i64,
}

impl PruneOptions {
    /// The time that rows of this table go before; `None` where they are kept for ever.
    fn kept_from(&self, table: Table) -> Option<i64> {
        let keep = &self.retention;
        let kept = match table {
            Table::MetadataRequest => keep.attempts,
            Table::PeerState | Table::PeerGroup => keep.peers,
            Table::FailedTorrent => keep.failed,
            Table::TrackerState => keep.trackers,
            Table::DhtNodeState => keep.nodes,
            Table::CrawlSession => keep.sessions,
            Table::TorrentMetadata => keep.torrents,
            Table::TorrentFile
            | Table::BlockedSalt
            | Table::BlockedInfohash
            | Table::WantedTorrent => None,
        };
        kept.map(|kept| self.now_ms.saturating_sub(millis(kept)))
    }
}

/// What was pruned, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// The files that they are kept in.
    pub archives: Vec<PathBuf>,
    /// Bytes that the data takes, before and after.
    pub bytes: (u64, u64),
    /// Whether it still takes more than it may: nothing else may be deleted.
    pub is_above_quota: bool,
}

/// Roughly the bytes that a row takes with its indexes, for how many rows are to go at a time.
const ATTEMPT_BYTES: u64 = 400;
const PEER_BYTES: u64 = 300;
const TORRENT_BYTES: u64 = 3_000;
/// The fewest rows that go at a time for the quota.
const QUOTA_ROWS: u64 = 1_000;

/// Runs a piece of code with `$Row` standing for the row of a table that is pruned.
macro_rules! with_aged {
    ($table:expr, $Row:ident => $body:expr, else $other:expr) => {
        match $table {
            Table::TorrentMetadata => {
                type $Row = TorrentRow;
                $body
            }
            Table::MetadataRequest => {
                type $Row = AttemptRow;
                $body
            }
            Table::PeerState => {
                type $Row = PeerRow;
                $body
            }
            Table::PeerGroup => {
                type $Row = GroupRow;
                $body
            }
            Table::FailedTorrent => {
                type $Row = FailedRow;
                $body
            }
            Table::TrackerState => {
                type $Row = TrackerRow;
                $body
            }
            Table::DhtNodeState => {
                type $Row = NodeRow;
                $body
            }
            Table::CrawlSession => {
                type $Row = SessionRow;
                $body
            }
            Table::TorrentFile
            | Table::BlockedSalt
            | Table::BlockedInfohash
            | Table::WantedTorrent => $other,
        }
    };
}

impl Database {
    /// Deletes what is older than it is to be kept, and what is above the quota.
    pub fn prune(
        &mut self,
        options: &PruneOptions,
        watch: &mut Watch<'_>,
    ) -> Result<Pruned, DataError> {
        let before = self.read(upkeep::room)?.bytes;
        let mut prune = Prune {
            database: self,
            options,
            pruned: Pruned::default(),
        };
        for table in [
            Table::MetadataRequest,
            Table::PeerState,
            Table::PeerGroup,
            Table::FailedTorrent,
            Table::TrackerState,
            Table::DhtNodeState,
            Table::CrawlSession,
            Table::TorrentMetadata,
        ] {
            if let Some(until) = options.kept_from(table) {
                prune.table(table, (until, false), u64::MAX, watch)?;
            }
        }
        prune.batches()?;
        if let Some(max_bytes) = options.max_bytes {
            prune.quota(max_bytes, watch)?;
        }
        let mut pruned = prune.pruned;
        if !options.dry_run {
            let vacuum = options.vacuum;
            self.read(|connection| upkeep::give_back(connection, vacuum))?;
        }
        pruned.bytes = (before, self.read(upkeep::room)?.bytes);
        Ok(pruned)
    }
}

struct Prune<'a> {
    database: &'a mut Database,
    options: &'a PruneOptions,
    pruned: Pruned,
}

impl Prune<'_> {
    /// Deletes the old rows of a table, about `most` at most; says how many.
    fn table(
        &mut self,
        table: Table,
        old: (i64, bool),
        most: u64,
        watch: &mut Watch<'_>,
    ) -> Result<u64, DataError> {
        let rows = with_aged!(table, Rows => {
            if self.options.dry_run {
                let (before, useless) = old;
                let count = self
                    .database
                    .read(|connection| Rows::count_old(connection, before, useless))?;
                count.unsigned_abs()
            } else if self.options.archive.is_some() {
                self.archive_and_delete::<Rows>(table, old, most, watch)?
            } else {
                self.delete::<Rows>(table, old, most, watch)?
            }
        }, else 0);
        if rows > 0 {
            *self.pruned.rows.entry(table.as_str()).or_default() += rows;
        }
        Ok(rows)
    }

    /// Deletes page by page, each in a transaction of its own.
    fn delete<R: Aged + Clone>(
        &mut self,
        table: Table,
        old: (i64, bool),
        most: u64,
        watch: &mut Watch<'_>,
    ) -> Result<u64, DataError> {
        let mut deleted = 0;
        let mut after: Option<R> = None;
        loop {
            let page = self.database.write_politely(|connection| {
                let page = R::old_page(connection, after.as_ref(), old, PAGE)?;
                for row in &page {
                    row.delete(connection)?;
                }
                Ok(page)
            })?;
            let Some(last) = page.last() else {
                return Ok(deleted);
            };
            after = Some(last.clone());
            deleted += page.len() as u64;
            watch.step(table.as_str(), deleted)?;
            if deleted >= most {
                return Ok(deleted);
            }
        }
    }

    /// Writes all of them to a file, and when that is on the disk, deletes what stands in it.
    fn archive_and_delete<R>(
        &mut self,
        table: Table,
        old: (i64, bool),
        most: u64,
        watch: &mut Watch<'_>,
    ) -> Result<u64, DataError>
    where
        R: Aged + Portable + Clone + Into<Row> + TryFrom<Row>,
    {
        let Some(directory) = &self.options.archive else {
            return Ok(0);
        };
        let mut archive = Archive::create(directory, table, self.options.now_ms)?;
        let mut after: Option<R> = None;
        let mut written = 0;
        loop {
            let page = self
                .database
                .read(|connection| R::old_page(connection, after.as_ref(), old, PAGE))?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            for row in page {
                let row: Row = row.into();
                let files = self
                    .database
                    .read(|connection| archive::files(connection, &row))?;
                archive.row(&row)?;
                for file in files {
                    archive.row(&file.into())?;
                }
                written += 1;
            }
            watch.step("rows archived", written)?;
            if written >= most {
                break;
            }
        }
        if written == 0 {
            return Ok(0);
        }
        let path = archive.keep()?;
        self.pruned.archives.push(path.clone());
        let (before, _) = old;
        let mut deleted = 0;
        archive::each_batch(&path, |rows: Vec<R>| {
            // What has changed since is newer than what the file has: it stays, even where it would
            // still be old enough to go.
            deleted += self.database.write_politely(|connection| {
                let mut deleted = 0;
                for row in &rows {
                    if let Some(stored) = row.stored(connection)?
                        && stored.time() == row.time()
                        && stored.time() < before
                    {
                        stored.delete(connection)?;
                        deleted += 1;
                    }
                }
                Ok(deleted)
            })?;
            watch.step(table.as_str(), deleted)
        })?;
        Ok(deleted)
    }

    /// Which batches were applied is known for longer than any journal lives.
    fn batches(&mut self) -> Result<(), DataError> {
        let until = self
            .options
            .now_ms
            .saturating_sub(millis(super::applied_batch::KEPT));
        let dry_run = self.options.dry_run;
        let rows = self.database.write(|connection| {
            let old = applied_batch::table.filter(applied_batch::applied_at.lt(until));
            if dry_run {
                return unsigned(old.count().get_result(connection)?);
            }
            diesel::delete(old)
                .execute(connection)
                .map(|count| count as u64)
        })?;
        if rows > 0 {
            self.pruned.rows.insert("applied_batch", rows);
        }
        Ok(())
    }

    /// Deletes more until the data takes no more than it may: attempts, then peers that never delivered,
    /// then torrents, where these are not kept for ever; of each the oldest first.
    fn quota(&mut self, max_bytes: u64, watch: &mut Watch<'_>) -> Result<(), DataError> {
        let mut room = self.database.read(upkeep::room)?;
        let torrents = self.options.retention.torrents.is_some();
        for (table, useless, row_bytes) in [
            (Table::MetadataRequest, false, ATTEMPT_BYTES),
            (Table::PeerState, true, PEER_BYTES),
            (Table::TorrentMetadata, false, TORRENT_BYTES),
        ] {
            // Without a dry run, what goes by age is gone by now.
            let mut aged = 0;
            if self.options.dry_run {
                let rows = self.pruned.rows.get(table.as_str()).copied();
                let bytes = rows.unwrap_or(0).saturating_mul(row_bytes);
                room.bytes = room.bytes.saturating_sub(bytes);
                aged = self.aged(table, useless)?;
            }
            if table == Table::TorrentMetadata && !torrents {
                continue;
            }
            while room.bytes > max_bytes {
                let wanted = ((room.bytes - max_bytes) / row_bytes).max(QUOTA_ROWS);
                let oldest = self.oldest(table, useless, wanted.saturating_add(aged))?;
                let Some(until) = oldest else {
                    break;
                };
                let mut gone = self.table(table, (until, useless), wanted, watch)?;
                if aged > 0 {
                    // They were counted before.
                    let again = aged.min(gone);
                    gone -= again;
                    if let Some(rows) = self.pruned.rows.get_mut(table.as_str()) {
                        *rows = rows.saturating_sub(again);
                    }
                }
                if gone == 0 {
                    break;
                }
                if room.is_exact && !self.options.dry_run {
                    room = self.database.read(upkeep::room)?;
                } else {
                    room.bytes = room.bytes.saturating_sub(gone.saturating_mul(row_bytes));
                    if self.options.dry_run {
                        // The same rows would be counted again.
                        break;
                    }
                }
            }
        }
        self.pruned.is_above_quota = room.bytes > max_bytes;
        Ok(())
    }

    /// How many rows go by their age, of all or of the useless ones.
    fn aged(&mut self, table: Table, useless: bool) -> Result<u64, DataError> {
        let Some(until) = self.options.kept_from(table) else {
            return Ok(0);
        };
        with_aged!(table, Rows => {
            let count = self
                .database
                .read(|connection| Rows::count_old(connection, until, useless))?;
            Ok(count.unsigned_abs())
        }, else Ok(0))
    }

    /// The time that the `wanted` oldest rows are older than; `None` where there are no rows.
    fn oldest(
        &mut self,
        table: Table,
        useless: bool,
        wanted: u64,
    ) -> Result<Option<i64>, DataError> {
        let skipped = i64::try_from(wanted.saturating_sub(1)).unwrap_or(i64::MAX);
        with_aged!(table, Rows => {
            let time = self.database.read(|connection| {
                let time = Rows::time_of(connection, skipped, useless)?;
                // Fewer than that: then all of them.
                Ok(match time {
                    Some(time) => Some(time.saturating_add(1)),
                    None => Rows::time_of(connection, 0, useless)?.map(|_| i64::MAX),
                })
            })?;
            Ok(time)
        }, else Ok(None))
    }
}
