//! Table `torrent_metadata`: one row for each resolved torrent, and for each that is known without its
//! metadata.
//!
//! | column | meaning |
//! |---|---|
//! | `id` | for `torrent_file` |
//! | `infohash` | SHA-1, 20 bytes; of a v2-only torrent SHA-256, 32 bytes |
//! | `infohash_v2` | SHA-256, of v2-only torrents and hybrids (BEP 52): a hybrid is found by either |
//! | `name` | at most 1,000 characters, with U+FFFD for NUL; `info` has all of it |
//! | `size`, `piece_length`, `metadata_size` | bytes |
//! | `pieces_count`, `files_count` | how many |
//! | `private` | BEP 27 |
//! | `trackers` | JSON list of URLs, from the magnet |
//! | `source` | the `source` key of the info dictionary, or empty; while it is pending, where another program heard of it |
//! | `arm`, `peer` | which arm got it, and from whom, where one peer gave it |
//! | `discovered_at` | start of the first attempt of the first time it was resolved |
//! | `resolved_at`, `last_seen_at` | when it was resolved last; when it was last seen |
//! | `info` | the info dictionary, byte for byte; empty while it is pending |
//! | `info_deflated` | whether `info` is compressed (zlib, RFC 1950): `metadata_size` is its length before |
//! | `validation_status` | `valid`: `info` has the hash. `pending`: only heard of, from another program's database or since its dictionary was damaged; it is fetched when it is asked for |
//! | `comment`, `created_by`, `encoding` | from imports; peers don't give them |
//!
//! Of a pending row, what is not known is 0 or empty, `resolved_at` too; what another program said of
//! it is not verified.
//!
//! Left out: creation date and web seeds stand outside of the info dictionary, which is all that peers
//! give; the file list is `torrent_file`; a quality score says nothing of a torrent that has the right
//! hash.

use std::borrow::Cow;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::pages::{At, in_steps};
use super::schema::torrent_metadata as table;
use super::value::{bounded, clamped, column, fits, keys, senseless, text, unsigned, v2_range};
use super::{StoreError, dictionary, search, torrent_file};
use crate::torrent::{Info, Infohash, PeerAddr};

/// The largest dictionary that is compressed, in bytes: the writer has one thread.
const DEFLATE_BELOW: usize = 256 * 1024;
/// Higher levels take longer and save next to nothing.
const DEFLATE_LEVEL: u8 = 6;

const NAME_CHARS: usize = 1_000;
/// The most characters of `source`.
pub(super) const SOURCE_CHARS: usize = 200;
/// The most characters of `arm`.
pub(super) const ARM_CHARS: usize = 20;
pub(super) const TRACKERS: usize = 100;
const TRACKER_CHARS: usize = 2_000;

/// The dictionary is there, and has the hash.
pub(super) const VALID: &str = "valid";
/// The dictionary is not there yet.
pub(super) const PENDING: &str = "pending";
/// The condition of the partial index of pending torrents: a bound text would not match it.
const IS_PENDING: &str = "validation_status = 'pending'";

/// A torrent that was just resolved and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedTorrent {
    /// The hash it was asked for by, or better.
    pub infohash: Infohash,
    /// SHA-256 of `info`, for v2-only torrents and hybrids.
    pub infohash_v2: Option<[u8; 32]>,
    /// The name; the first 1,000 characters are kept (`info` has the rest).
    pub name: String,
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u64,
    /// How many pieces there are.
    pub pieces_count: u64,
    /// Whether it is private (BEP 27).
    pub private: bool,
    /// The `source` key of the info dictionary, or empty; the first 200 characters are kept.
    pub source: String,
    /// The info dictionary, byte for byte.
    #[serde(with = "super::journal::base64")]
    pub info: Vec<u8>,
    /// Tracker URLs of the magnet; the first 100 are kept.
    pub trackers: Vec<String>,
    /// Path, joined by `/`, and length in bytes of each file, in the torrent's order.
    pub files: Vec<(String, u64)>,
    /// Which arm got it.
    pub arm: String,
    /// The peer that gave it, where it was one.
    pub peer: Option<PeerAddr>,
}

impl ResolvedTorrent {
    /// What is stored of this dictionary, which was checked, and whose bytes are `raw`: from no peer.
    #[must_use]
    pub fn of(infohash: Infohash, info: &Info, raw: Vec<u8>, trackers: Vec<String>) -> Self {
        Self {
            infohash,
            infohash_v2: infohash.v2().copied(),
            name: info.name.clone(),
            size: info.size,
            piece_length: info.piece_length,
            pieces_count: info.pieces,
            private: info.private,
            source: info.source.clone().unwrap_or_default(),
            info: raw,
            trackers,
            files: dictionary::files(info),
            arm: String::new(),
            peer: None,
        }
    }

    /// Refuses sizes that no column holds, before the torrent is queued with others.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        fits(self.size, "the size of the torrent")?;
        fits(self.piece_length, "the piece length")?;
        fits(self.pieces_count, "the count of pieces")?;
        for (path, length) in &self.files {
            fits(
                *length,
                format_args!("the length of `{}`", bounded(path, 80)),
            )?;
        }
        Ok(())
    }

    /// All that is known of its identity.
    pub(super) fn identity(&self) -> Infohash {
        let v2 = self.infohash_v2.map(Infohash::V2);
        merged(self.infohash, v2.unwrap_or(self.infohash))
    }
}

/// A name as it is stored.
pub(super) fn bounded_name(name: &str) -> Cow<'_, str> {
    text(name, NAME_CHARS)
}

/// Both as one identity; the first where they contradict each other. 20 bytes that are the start of
/// the v2 hash are no v1 hash, but what the DHT calls a v2-only torrent.
pub(super) fn merged(one: Infohash, other: Infohash) -> Infohash {
    match one.merge(other) {
        Some(Infohash::Hybrid { v1, v2 }) if Infohash::V2(v2).wire_id() == v1 => Infohash::V2(v2),
        Some(both) => both,
        None => one,
    }
}

/// A torrent as it is stored. Times are UTC, in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTorrent {
    /// Its hash, or both.
    pub infohash: Infohash,
    /// The name.
    pub name: String,
    /// Bytes of all files.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u64,
    /// How many pieces there are.
    pub pieces_count: u64,
    /// How many files there are.
    pub files_count: u64,
    /// Whether it is private (BEP 27).
    pub private: bool,
    /// Bytes of the info dictionary.
    pub metadata_size: u64,
    /// Tracker URLs of the magnet.
    pub trackers: Vec<String>,
    /// The `source` key of the info dictionary, or empty.
    pub source: String,
    /// Which arm got it.
    pub arm: String,
    /// The peer that gave it, where it was one.
    pub peer: Option<PeerAddr>,
    /// When it was first heard of, as far as known.
    pub discovered_at_ms: i64,
    /// When it was last seen.
    pub last_seen_at_ms: i64,
    /// When it was resolved last.
    pub resolved_at_ms: i64,
    /// The info dictionary, byte for byte.
    pub info: Vec<u8>,
}

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = table, treat_none_as_null = true)]
struct WriteRow<'a> {
    infohash: &'a [u8],
    infohash_v2: Option<Vec<u8>>,
    name: Cow<'a, str>,
    size: i64,
    piece_length: i64,
    pieces_count: i64,
    files_count: i64,
    private: bool,
    metadata_size: i64,
    trackers: &'a str,
    source: Cow<'a, str>,
    arm: &'a str,
    peer: Option<String>,
    discovered_at: i64,
    last_seen_at: i64,
    resolved_at: i64,
    info: &'a [u8],
    info_deflated: bool,
    validation_status: &'static str,
}

/// When a torrent was heard of first and last, and when it was resolved: UTC, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) discovered: i64,
    pub(super) last_seen: i64,
    pub(super) resolved: i64,
}

/// Makes or replaces the torrent and its files, under all of its hashes. Returns its identity.
pub(super) fn put(
    connection: &mut Connection,
    torrent: &ResolvedTorrent,
    discovered_at: i64,
    resolved_at: i64,
) -> QueryResult<Infohash> {
    let times = Times {
        discovered: discovered_at,
        last_seen: resolved_at,
        resolved: resolved_at,
    };
    put_seen(connection, torrent, times)
}

/// [`put`], with all its times. It was first heard of at the earliest of all that is said, and last seen
/// at the latest. A row that was pending keeps the trackers it had.
pub(super) fn put_seen(
    connection: &mut Connection,
    torrent: &ResolvedTorrent,
    times: Times,
) -> QueryResult<Infohash> {
    let known = ids(connection, &torrent.identity())?;
    let mut identity = torrent.identity();
    let mut first = (times.discovered, times.last_seen);
    let mut trackers = torrent.trackers.clone();
    for row in &known {
        identity = merged(identity, row.identity()?);
        first = (
            first.0.min(row.discovered_at),
            first.1.max(row.last_seen_at),
        );
        if row.is_pending() {
            for tracker in trackers_of(connection, row.id)? {
                if !trackers.contains(&tracker) {
                    trackers.push(tracker);
                }
            }
        }
    }
    // More than one where a hybrid was stored under each hash on its own.
    let (kept, surplus) = known.split_first().unzip();
    for row in surplus.unwrap_or_default() {
        diesel::delete(table::table.find(row.id)).execute(connection)?;
    }
    let trackers = tracker_list(&trackers)?;
    let deflated = deflate(&torrent.info, torrent.pieces_count);
    let row = WriteRow {
        infohash: identity.as_bytes(),
        infohash_v2: identity.v2().map(|v2| v2.to_vec()),
        name: bounded_name(&torrent.name),
        size: column(torrent.size, "the size of the torrent")?,
        piece_length: column(torrent.piece_length, "the piece length")?,
        pieces_count: column(torrent.pieces_count, "the count of pieces")?,
        files_count: length(torrent.files.len()),
        private: torrent.private,
        metadata_size: length(torrent.info.len()),
        trackers: &trackers,
        source: text(&torrent.source, SOURCE_CHARS),
        arm: &torrent.arm,
        peer: torrent.peer.map(|peer| peer.to_string()),
        discovered_at: first.0,
        last_seen_at: first.1,
        resolved_at: times.resolved,
        info: deflated.as_deref().unwrap_or(&torrent.info),
        info_deflated: deflated.is_some(),
        validation_status: VALID,
    };
    let id = if let Some(Known { id, .. }) = kept {
        diesel::update(table::table.find(id))
            .set(&row)
            .execute(connection)?;
        torrent_file::delete(connection, *id)?;
        search::delete(connection, *id)?;
        *id
    } else {
        diesel::insert_into(table::table)
            .values(&row)
            .execute(connection)?;
        table::table
            .filter(table::infohash.eq(identity.as_bytes()))
            .select(table::id)
            .get_result(connection)?
    };
    torrent_file::insert(connection, id, &torrent.files)?;
    let facts = search::Facts {
        size: row.size,
        files_count: row.files_count,
        private: row.private,
        resolved_at: row.resolved_at,
    };
    let paths = torrent.files.iter().map(|(path, _)| path.as_str());
    // The name as it is stored: without what a database refuses.
    search::put(connection, id, &bounded_name(&torrent.name), paths, facts)?;
    Ok(identity)
}

/// What is known of a row without its dictionary.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = table)]
pub(super) struct Known {
    pub(super) id: i64,
    infohash: Vec<u8>,
    infohash_v2: Option<Vec<u8>>,
    pub(super) discovered_at: i64,
    pub(super) last_seen_at: i64,
    pub(super) resolved_at: i64,
    metadata_size: i64,
}

impl Known {
    /// Whether its dictionary is not there. The size tells, too, and stands before the dictionary: behind
    /// it, SQLite would have to read all of it.
    pub(super) fn is_pending(&self) -> bool {
        self.metadata_size == 0
    }

    /// All that the row says of the torrent's identity.
    pub(super) fn identity(&self) -> QueryResult<Infohash> {
        stored_identity(&self.infohash, self.infohash_v2.as_deref())
    }
}

/// The rows under any of these hashes: one, or none; two where a hybrid was stored under each.
pub(super) fn ids(connection: &mut Connection, infohash: &Infohash) -> QueryResult<Vec<Known>> {
    let mut known = Vec::new();
    for key in keys(infohash) {
        let by_key: Vec<Known> = table::table
            .filter(table::infohash.eq(key))
            .select(Known::as_select())
            .load(connection)?;
        known.extend(by_key);
    }
    if let Some(v2) = infohash.v2() {
        let by_v2: Vec<Known> = table::table
            .filter(table::infohash_v2.eq(v2.as_slice()))
            .select(Known::as_select())
            .load(connection)?;
        known.extend(by_v2);
    } else {
        // A hash from the DHT may be a v2 hash cut to 20 bytes.
        let (from, to) = v2_range(&infohash.wire_id());
        let by_prefix: Vec<Known> = table::table
            .filter(table::infohash_v2.between(from, to))
            .select(Known::as_select())
            .load(connection)?;
        known.extend(by_prefix);
    }
    known.sort_by_key(|row| row.id);
    known.dedup_by_key(|row| row.id);
    Ok(known)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
struct ReadRow {
    infohash: Vec<u8>,
    infohash_v2: Option<Vec<u8>>,
    name: String,
    size: i64,
    piece_length: i64,
    pieces_count: i64,
    files_count: i64,
    private: bool,
    metadata_size: i64,
    trackers: String,
    source: String,
    arm: String,
    peer: Option<String>,
    discovered_at: i64,
    last_seen_at: i64,
    resolved_at: i64,
    info: Vec<u8>,
    info_deflated: bool,
}

/// The torrent with this hash: v1, v2, or v2 cut to 20 bytes. `None` too while it is pending.
pub(super) fn find(
    connection: &mut Connection,
    infohash: &Infohash,
) -> QueryResult<Option<StoredTorrent>> {
    let mut known = ids(connection, infohash)?.into_iter();
    let Some(Known { id, .. }) = known.find(|row| !row.is_pending()) else {
        return Ok(None);
    };
    let row = table::table
        .find(id)
        .filter(table::validation_status.eq(VALID))
        .select(ReadRow::as_select())
        .first(connection)
        .optional()?;
    row.map(ReadRow::into_torrent).transpose()
}

/// When the torrent with this hash was resolved last; `None` where it is unknown.
pub(super) fn resolved_at(
    connection: &mut Connection,
    infohash: &Infohash,
) -> QueryResult<Option<i64>> {
    let known = ids(connection, infohash)?;
    Ok(known.iter().map(|row| row.resolved_at).max())
}

/// The files of the torrent with this hash: path and length in bytes; none where it is unknown.
pub(super) fn files(
    connection: &mut Connection,
    infohash: &Infohash,
) -> QueryResult<Vec<(String, u64)>> {
    let known = ids(connection, infohash)?;
    // Of two rows, that with the dictionary knows better.
    let verified = known.iter().find(|row| !row.is_pending());
    match verified.or(known.first()) {
        Some(row) => torrent_file::of_torrent(connection, row.id),
        None => Ok(Vec::new()),
    }
}

/// How many torrents are resolved.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    let all = unsigned(table::table.count().get_result(connection)?)?;
    // Another process may write between the two.
    Ok(all.saturating_sub(count_pending(connection)?))
}

/// How many torrents are known without their metadata. There is an index of them.
pub(super) fn count_pending(connection: &mut Connection) -> QueryResult<u64> {
    let pending = table::table.filter(sql::<Bool>(IS_PENDING));
    unsigned(pending.count().get_result(connection)?)
}

/// Up to `limit` torrents that are known without their metadata, those that are known longest first: from the
/// beginning, or those after the one that is known since this time and has this number.
pub(super) fn pending_page(
    connection: &mut Connection,
    after: Option<(i64, i64)>,
    limit: u32,
) -> QueryResult<Vec<PendingTorrent>> {
    let rows: Vec<PendingRow> = in_steps(after, limit, |at, left| {
        let query = table::table
            .filter(sql::<Bool>(IS_PENDING))
            .order((table::discovered_at, table::id))
            .limit(left)
            .select(PendingRow::as_select())
            .into_boxed();
        match at {
            At::Start => query.load(connection),
            At::Among((discovered_at, id)) => query
                .filter(table::discovered_at.eq(discovered_at))
                .filter(table::id.gt(id))
                .load(connection),
            At::Behind((discovered_at, _)) => query
                .filter(table::discovered_at.gt(discovered_at))
                .load(connection),
        }
    })?;
    rows.into_iter().map(PendingRow::into_torrent).collect()
}

/// A torrent that is known without its metadata: of another program, or since what was stored is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingTorrent {
    /// Its number in the database, for [`Store::pending`](super::Store::pending).
    pub id: i64,
    /// Its hash, or both.
    pub infohash: Infohash,
    /// What it is said to be called; often empty.
    pub name: String,
    /// Trackers that are known of it.
    pub trackers: Vec<String>,
    /// When it was first heard of: UTC, milliseconds since 1970.
    pub discovered_at_ms: i64,
    /// When it was last heard of: UTC, milliseconds since 1970.
    pub last_seen_at_ms: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
struct PendingRow {
    id: i64,
    infohash: Vec<u8>,
    infohash_v2: Option<Vec<u8>>,
    name: String,
    trackers: String,
    discovered_at: i64,
    last_seen_at: i64,
}

impl PendingRow {
    fn into_torrent(self) -> QueryResult<PendingTorrent> {
        Ok(PendingTorrent {
            id: self.id,
            infohash: stored_identity(&self.infohash, self.infohash_v2.as_deref())?,
            name: self.name,
            trackers: serde_json::from_str(&self.trackers).unwrap_or_default(),
            discovered_at_ms: self.discovered_at,
            last_seen_at_ms: self.last_seen_at,
        })
    }
}

/// The trackers that are known of a row.
fn trackers_of(connection: &mut Connection, id: i64) -> QueryResult<Vec<String>> {
    let list: Option<String> = table::table
        .find(id)
        .select(table::trackers)
        .first(connection)
        .optional()?;
    Ok(list
        .and_then(|list| serde_json::from_str(&list).ok())
        .unwrap_or_default())
}

impl ReadRow {
    fn into_torrent(self) -> QueryResult<StoredTorrent> {
        Ok(StoredTorrent {
            infohash: stored_identity(&self.infohash, self.infohash_v2.as_deref())?,
            name: self.name,
            size: unsigned(self.size)?,
            piece_length: unsigned(self.piece_length)?,
            pieces_count: unsigned(self.pieces_count)?,
            files_count: unsigned(self.files_count)?,
            private: self.private,
            metadata_size: unsigned(self.metadata_size)?,
            trackers: serde_json::from_str(&self.trackers).map_err(senseless)?,
            source: self.source,
            arm: self.arm,
            peer: match self.peer {
                Some(peer) => Some(peer.parse().map_err(senseless)?),
                None => None,
            },
            discovered_at_ms: self.discovered_at,
            last_seen_at_ms: self.last_seen_at,
            resolved_at_ms: self.resolved_at,
            info: if self.info_deflated {
                inflate(&self.info, self.metadata_size)?
            } else {
                self.info
            },
        })
    }
}

/// The dictionary, compressed; `None` where that saves nothing or takes long. The list of files shrinks to
/// a third, so that the row of a common torrent fits into a page of SQLite; the hashes of pieces, which are
/// most of a large dictionary, do not shrink.
fn deflate(info: &[u8], pieces: u64) -> Option<Vec<u8>> {
    let hashes = pieces.saturating_mul(20);
    let mostly_hashes = hashes.saturating_mul(2) > info.len() as u64;
    if info.len() > DEFLATE_BELOW || mostly_hashes {
        return None;
    }
    let deflated = miniz_oxide::deflate::compress_to_vec_zlib(info, DEFLATE_LEVEL);
    (deflated.len() < info.len()).then_some(deflated)
}

/// What [`deflate`] has made of that many bytes.
pub(super) fn inflate(deflated: &[u8], size: i64) -> QueryResult<Vec<u8>> {
    let size = usize::try_from(size).map_err(senseless)?;
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(deflated, size.min(DEFLATE_BELOW))
        .ok()
        .filter(|info| info.len() == size && size <= DEFLATE_BELOW)
        .ok_or_else(|| senseless("an info dictionary that cannot be decompressed"))
}

/// The two columns as one identity.
pub(super) fn stored_identity(
    infohash: &[u8],
    infohash_v2: Option<&[u8]>,
) -> QueryResult<Infohash> {
    let wrong = || senseless("an infohash of another length than 20 or 32 bytes");
    let first = Infohash::from_bytes(infohash).ok_or_else(wrong)?;
    match infohash_v2 {
        Some(v2) => Infohash::from_bytes(v2)
            .and_then(|v2| first.merge(v2))
            .ok_or_else(wrong),
        None => Ok(first),
    }
}

pub(super) fn tracker_list(trackers: &[String]) -> QueryResult<String> {
    let kept: Vec<&str> = trackers
        .iter()
        .take(TRACKERS)
        .filter(|url| bounded(url, TRACKER_CHARS).len() == url.len())
        .map(String::as_str)
        .collect();
    serde_json::to_string(&kept)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))
}

fn length(count: usize) -> i64 {
    clamped(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_compressed_where_it_pays() {
        let info = b"6:lengthi1000000e4:path".repeat(100);
        let deflated = deflate(&info, 1).unwrap();
        assert_eq!(
            deflate(&info, info.len() as u64),
            None,
            "nearly all of it hashes"
        );
        assert!(deflated.len() < info.len() / 10);
        let size = i64::try_from(info.len()).unwrap();
        assert_eq!(inflate(&deflated, size), Ok(info));
        assert_eq!(deflate(b"de", 0), None);
        assert_eq!(deflate(&vec![0; DEFLATE_BELOW + 1], 0), None);
        for (bytes, size) in [
            (deflated.as_slice(), size - 1),
            (&deflated, size + 1),
            (&deflated, -1),
            (b"de", 2),
        ] {
            assert!(inflate(bytes, size).is_err(), "{size}");
        }
    }
}
