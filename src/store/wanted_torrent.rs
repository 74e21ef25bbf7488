//! Table `wanted_torrent`: hashes that the service was asked for and has no result of yet. They survive
//! a restart; the row goes when the result is stored.
//!
//! | column | meaning |
//! |---|---|
//! | `infohash` | 20 bytes, or 32 of a v2-only torrent |
//! | `infohash_v2` | of v2-only torrents and hybrids |
//! | `source` | who asked first, at most 20 characters |
//! | `precedence` | the priority with the other sign: the lowest goes first, so that one index serves on each database |
//! | `trackers`, `peers` | JSON lists of URLs and of `HOST:PORT`, to ask and to try |
//! | `requested_at` | when it was asked for first |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use diesel::prelude::*;

use super::connection::Connection;
use super::exchange::WantedRow;
use super::pages::{At, in_steps};
use super::schema::wanted_torrent as table;
use super::torrent_metadata::{TRACKERS, merged, stored_identity, tracker_list};
use super::upsert::insert_rows;
use super::value::{keys, text, unsigned};
use super::{Store, StoreError};
use crate::torrent::{Infohash, PeerHint};

/// The most characters of `source`.
pub(super) const SOURCE_CHARS: usize = 20;
/// The most peers that are kept of a hash.
const PEERS: usize = 100;
/// Hashes of one transaction, and of one question: each may be stored under three keys, and a question of
/// SQLite takes 1,000 levels.
const CHUNK: usize = 250;

/// A hash that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTorrent {
    /// The hash, or both.
    pub infohash: Infohash,
    /// Who asked for it first; 20 characters are kept.
    pub source: String,
    /// Those with a higher one go first; 0 is usual.
    pub priority: i16,
    /// Trackers to ask; 100 are kept.
    pub trackers: Vec<String>,
    /// Peers to try; 100 are kept.
    pub peers: Vec<PeerHint>,
    /// When it was asked for first: UTC, milliseconds since 1970.
    pub requested_at_ms: i64,
}

/// A hash that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NowWanted {
    /// Its row as it is stored.
    pub row: WantedTorrent,
    /// Whether nobody wanted it before.
    pub is_new: bool,
}

impl Store {
    /// Keeps these hashes until [`unwant`](Self::unwant). Returns when that is committed, with the row of
    /// each, in the same order. One that was wanted before keeps its source and its time, and gets the
    /// higher priority of both, and the trackers and peers of both.
    ///
    /// # Errors
    /// Some of them may be kept, the first ones.
    pub async fn want(&self, wanted: Vec<WantedTorrent>) -> Result<Vec<NowWanted>, StoreError> {
        let mut all = Vec::new();
        for chunk in wanted.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            let kept = self.saved(move |connection| add(connection, &chunk));
            all.extend(kept.await?);
        }
        Ok(all)
    }

    /// Up to `limit` wanted hashes of this source, those of the highest priority first, of them those that
    /// wait longest: from the beginning, or those after `after`. Reads an index.
    pub async fn wanted(
        &self,
        source: &str,
        after: Option<&WantedTorrent>,
        limit: u32,
    ) -> Result<Vec<WantedTorrent>, StoreError> {
        let (source, after) = (source.to_owned(), after.cloned());
        self.read(move |connection| page(connection, &source, after.as_ref(), limit))
            .await
    }

    /// The wanted hash that is this one, in any form of it.
    pub async fn wanted_torrent(
        &self,
        infohash: &Infohash,
    ) -> Result<Option<WantedTorrent>, StoreError> {
        let infohash = *infohash;
        self.read(move |connection| {
            let rows = find(connection, &[infohash])?;
            rows.into_iter().next().map(from_row).transpose()
        })
        .await
    }

    /// Forgets that these hashes were wanted, each under any form of it. Returns when that is committed,
    /// with how many were. Those that were not wanted are none the worse.
    pub async fn unwant(&self, infohashes: &[Infohash]) -> Result<u64, StoreError> {
        let mut removed = 0;
        for chunk in infohashes.chunks(CHUNK) {
            let keys: Vec<Vec<u8>> = chunk.iter().flat_map(keys).collect();
            let work = move |connection: &mut Connection| {
                diesel::delete(table::table.filter(table::infohash.eq_any(&keys)))
                    .execute(connection)
            };
            removed += self.saved(work).await? as u64;
        }
        Ok(removed)
    }

    /// How many hashes each source wants; those that want none are missing. Reads an index.
    pub async fn wanted_count(&self) -> Result<HashMap<String, u64>, StoreError> {
        self.read(|connection| {
            let counts: Vec<(String, i64)> = table::table
                .group_by(table::source)
                .select((table::source, diesel::dsl::count_star()))
                .load(connection)?;
            let counts = counts.into_iter();
            counts
                .map(|(source, count)| Ok((source, unsigned(count)?)))
                .collect()
        })
        .await
    }

    /// Runs `work` in a transaction of the writer, between two batches, and gives back what it did last.
    pub(super) async fn saved<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&mut Connection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = Arc::new(Mutex::new(None));
        let told = Arc::clone(&done);
        let save = move |connection: &mut Connection| {
            let did = work(connection)?;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(did);
            Ok(())
        };
        self.writer.save(Box::new(save)).await?;
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        done.take().ok_or(StoreError::Closed)
    }
}

/// Adds those that are not there, and adds to those that are.
pub(super) fn add(
    connection: &mut Connection,
    wanted: &[WantedTorrent],
) -> QueryResult<Vec<NowWanted>> {
    let hashes: Vec<Infohash> = wanted.iter().map(|wanted| wanted.infohash).collect();
    let mut changes = Changes::default();
    for row in find(connection, &hashes)? {
        let key = row.infohash.clone();
        changes.put(from_row(row)?, Some(key));
    }
    let kept: Vec<(usize, bool)> = wanted.iter().map(|wanted| changes.add(wanted)).collect();
    changes.write(connection)?;
    let rows = changes.rows;
    let kept = kept.into_iter().filter_map(|(index, is_new)| {
        let row = rows.get(index)?.wanted.clone();
        Some(NowWanted { row, is_new })
    });
    Ok(kept.collect())
}

/// Rows that are there or are to be.
#[derive(Default)]
struct Changes {
    rows: Vec<Change>,
    /// Which of them a hash is in any form.
    places: HashMap<Vec<u8>, usize>,
}

struct Change {
    wanted: WantedTorrent,
    /// Under which it is stored, where it is.
    key: Option<Vec<u8>>,
    is_changed: bool,
}

impl Changes {
    fn put(&mut self, wanted: WantedTorrent, key: Option<Vec<u8>>) -> usize {
        let index = self.rows.len();
        self.name(&wanted.infohash, index);
        self.rows.push(Change {
            wanted,
            is_changed: key.is_none(),
            key,
        });
        index
    }

    fn name(&mut self, infohash: &Infohash, index: usize) {
        for key in keys(infohash) {
            self.places.entry(key).or_insert(index);
        }
    }

    /// Its place, and whether it was not there.
    fn add(&mut self, other: &WantedTorrent) -> (usize, bool) {
        let keys = keys(&other.infohash);
        let place = keys.iter().find_map(|key| self.places.get(key).copied());
        let Some((index, change)) = place.and_then(|at| Some((at, self.rows.get_mut(at)?))) else {
            return (self.put(other.clone(), None), true);
        };
        change.is_changed |= join(&mut change.wanted, other);
        let infohash = change.wanted.infohash;
        self.name(&infohash, index);
        (index, false)
    }

    fn write(&mut self, connection: &mut Connection) -> QueryResult<()> {
        let mut rows = Vec::new();
        for change in self.rows.iter_mut().filter(|change| change.is_changed) {
            if let Some(key) = &change.key {
                diesel::delete(table::table.find(key)).execute(connection)?;
            }
            let row = row(&change.wanted)?;
            // As it is stored: within its bounds.
            change.wanted = from_row(row.clone())?;
            rows.push(row);
        }
        insert(connection, &rows)
    }
}

fn insert(connection: &mut Connection, rows: &[WantedRow]) -> QueryResult<()> {
    insert_rows!(connection, table::table, rows, CHUNK)
}

/// Adds to a row what another who wants the hash knows; whether that changes it.
fn join(row: &mut WantedTorrent, other: &WantedTorrent) -> bool {
    let before = row.clone();
    row.infohash = merged(row.infohash, other.infohash);
    row.priority = row.priority.max(other.priority);
    for tracker in other.trackers.iter().take(TRACKERS) {
        if row.trackers.len() < TRACKERS && !row.trackers.contains(tracker) {
            row.trackers.push(tracker.clone());
        }
    }
    for peer in other.peers.iter().take(PEERS) {
        if row.peers.len() < PEERS && !row.peers.contains(peer) {
            row.peers.push(peer.clone());
        }
    }
    *row != before
}

/// The rows under any form of these hashes.
fn find(connection: &mut Connection, infohashes: &[Infohash]) -> QueryResult<Vec<WantedRow>> {
    let keys: Vec<Vec<u8>> = infohashes.iter().flat_map(keys).collect();
    table::table
        .filter(table::infohash.eq_any(keys))
        .select(WantedRow::as_select())
        .load(connection)
}

/// The rows after `after`, in the order of the index.
pub(super) fn page(
    connection: &mut Connection,
    source: &str,
    after: Option<&WantedTorrent>,
    limit: u32,
) -> QueryResult<Vec<WantedTorrent>> {
    // Those of the same priority, and then the others.
    let rows: Vec<WantedRow> = in_steps(after, limit, |at, left| {
        let of_source = || {
            table::table
                .filter(table::source.eq(source))
                .order((table::precedence, table::requested_at, table::infohash))
                .select(WantedRow::as_select())
                .into_boxed()
        };
        match at {
            At::Start => of_source().limit(left).load(connection),
            At::Among(after) => {
                let most = u32::try_from(left).unwrap_or(u32::MAX);
                in_steps(Some(after), most, |at, left| {
                    let same = of_source()
                        .filter(table::precedence.eq(precedence(after)))
                        .limit(left);
                    match at {
                        At::Start => Ok(Vec::new()),
                        At::Among(after) => same
                            .filter(table::requested_at.eq(after.requested_at_ms))
                            .filter(table::infohash.gt(after.infohash.as_bytes()))
                            .load(connection),
                        At::Behind(after) => same
                            .filter(table::requested_at.gt(after.requested_at_ms))
                            .load(connection),
                    }
                })
            }
            At::Behind(after) => of_source()
                .filter(table::precedence.gt(precedence(after)))
                .limit(left)
                .load(connection),
        }
    })?;
    rows.into_iter().map(from_row).collect()
}

fn precedence(wanted: &WantedTorrent) -> i32 {
    -i32::from(wanted.priority)
}

fn row(wanted: &WantedTorrent) -> QueryResult<WantedRow> {
    let peers: Vec<String> = wanted
        .peers
        .iter()
        .take(PEERS)
        .map(PeerHint::to_string)
        .collect();
    Ok(WantedRow {
        infohash: wanted.infohash.as_bytes().to_vec(),
        infohash_v2: wanted.infohash.v2().map(|v2| v2.to_vec()),
        source: text(&wanted.source, SOURCE_CHARS).into_owned(),
        precedence: precedence(wanted),
        trackers: text(&tracker_list(&wanted.trackers)?, usize::MAX).into_owned(),
        peers: serde_json::to_string(&peers)
            .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?,
        requested_at: wanted.requested_at_ms,
    })
}

/// What cannot be read of the lists is left out: the hash is wanted all the same.
fn from_row(row: WantedRow) -> QueryResult<WantedTorrent> {
    let peers: Vec<String> = serde_json::from_str(&row.peers).unwrap_or_default();
    let priority = row.precedence.saturating_neg();
    Ok(WantedTorrent {
        infohash: stored_identity(&row.infohash, row.infohash_v2.as_deref())?,
        source: row.source,
        priority: i16::try_from(priority).unwrap_or(if priority > 0 { i16::MAX } else { i16::MIN }),
        trackers: serde_json::from_str(&row.trackers).unwrap_or_default(),
        peers: peers.iter().filter_map(|peer| peer.parse().ok()).collect(),
        requested_at_ms: row.requested_at,
    })
}
