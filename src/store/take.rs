//! Takes a row that came from elsewhere: adds it, or lets the newer one win. Counts are never added up,
//! so that taking a row twice is the same as taking it once.

use diesel::prelude::*;

use super::connection::Connection;
use super::exchange::{FileRow, Portable, Row, SaltRow, TorrentRow};
use super::schema::{torrent_file, torrent_metadata as table};
use super::torrent_metadata::{self, Known, Times, ids, put_seen, stored_identity};
use super::value::{bounded, clamped, keys};
use super::{ResolvedTorrent, blocklist, failed_torrent};
use crate::torrent::Infohash;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Added,
    Updated,
    Unchanged,
}

/// A torrent with its dictionary, which was checked.
#[derive(Clone, Debug)]
pub(super) struct Torrent {
    pub(super) resolved: ResolvedTorrent,
    pub(super) times: Times,
    pub(super) comment: String,
    pub(super) created_by: String,
    pub(super) encoding: String,
}

/// The torrent that files were looked for last: files of one torrent follow each other.
#[derive(Default)]
pub(super) struct Torrents(Option<(Vec<u8>, Option<Known>)>);

impl Torrents {
    fn find(&mut self, connection: &mut Connection, hash: &[u8]) -> QueryResult<Option<Known>> {
        if let Some((last, known)) = &self.0
            && last == hash
        {
            return Ok(known.clone());
        }
        let identity = stored_identity(hash, None)?;
        let known = ids(connection, &identity)?.into_iter().next();
        self.0 = Some((hash.to_vec(), known.clone()));
        Ok(known)
    }
}

/// Takes a torrent with its dictionary. The dictionary is the same wherever it comes from; of the rest,
/// the one that was seen later wins.
pub(super) fn torrent(connection: &mut Connection, torrent: &Torrent) -> QueryResult<Taken> {
    let known = ids(connection, &torrent.resolved.identity())?;
    if let [row] = known.as_slice()
        && !row.is_pending()
        && row.last_seen_at >= torrent.times.last_seen
        && has(row, &torrent.resolved.infohash)?
    {
        return earlier(connection, row, torrent.times);
    }
    let resolved_at = known.iter().map(|row| row.resolved_at);
    let times = Times {
        resolved: resolved_at.fold(torrent.times.resolved, i64::max),
        ..torrent.times
    };
    let identity = put_seen(connection, &torrent.resolved, times)?;
    failed_torrent::delete(connection, &keys(&identity))?;
    let described = [&torrent.comment, &torrent.created_by, &torrent.encoding];
    if described.iter().any(|text| !text.is_empty()) {
        diesel::update(table::table.filter(table::infohash.eq(identity.as_bytes())))
            .set((
                table::comment.eq(&torrent.comment),
                table::created_by.eq(&torrent.created_by),
                table::encoding.eq(&torrent.encoding),
            ))
            .execute(connection)?;
    }
    Ok(if known.is_empty() {
        Taken::Added
    } else {
        Taken::Updated
    })
}

/// Whether the row is found under all of these hashes.
fn has(row: &Known, infohash: &Infohash) -> QueryResult<bool> {
    let stored = row.identity()?;
    Ok(torrent_metadata::merged(stored, *infohash) == stored)
}

/// Notes that a torrent was known earlier or later than its row says.
fn earlier(connection: &mut Connection, row: &Known, times: Times) -> QueryResult<Taken> {
    let (first, last) = (
        row.discovered_at.min(times.discovered),
        row.last_seen_at.max(times.last_seen),
    );
    if (first, last) == (row.discovered_at, row.last_seen_at) {
        return Ok(Taken::Unchanged);
    }
    diesel::update(table::table.find(row.id))
        .set((table::discovered_at.eq(first), table::last_seen_at.eq(last)))
        .execute(connection)?;
    Ok(Taken::Updated)
}

/// Takes a torrent whose dictionary is not known.
pub(super) fn pending(connection: &mut Connection, row: &TorrentRow) -> QueryResult<Taken> {
    let identity = stored_identity(&row.infohash, row.infohash_v2.as_deref())?;
    let times = Times {
        discovered: row.discovered_at,
        last_seen: row.last_seen_at,
        resolved: 0,
    };
    let Some(known) = ids(connection, &identity)?.into_iter().next() else {
        diesel::insert_into(table::table)
            .values(row)
            .execute(connection)?;
        return Ok(Taken::Added);
    };
    if !known.is_pending() || known.last_seen_at >= row.last_seen_at {
        return earlier(connection, &known, times);
    }
    diesel::update(table::table.find(known.id))
        .set((
            table::name.eq(&row.name),
            table::size.eq(row.size),
            table::piece_length.eq(row.piece_length),
            table::pieces_count.eq(row.pieces_count),
            table::files_count.eq(row.files_count),
            table::private.eq(row.private),
            table::trackers.eq(&row.trackers),
            table::source.eq(&row.source),
            table::comment.eq(&row.comment),
            table::created_by.eq(&row.created_by),
            table::encoding.eq(&row.encoding),
            table::discovered_at.eq(known.discovered_at.min(row.discovered_at)),
            table::last_seen_at.eq(row.last_seen_at),
        ))
        .execute(connection)?;
    Ok(Taken::Updated)
}

/// Takes a file of a pending torrent; those of the others stand in their dictionaries. `None` where
/// there is no such torrent.
pub(super) fn file(
    connection: &mut Connection,
    row: &FileRow,
    torrents: &mut Torrents,
) -> QueryResult<Option<Taken>> {
    let Some(known) = torrents.find(connection, &row.infohash)? else {
        return Ok(None);
    };
    if !known.is_pending() {
        return Ok(Some(Taken::Unchanged));
    }
    let stored = torrent_file::table
        .find((known.id, row.position))
        .select(torrent_file::position);
    if stored.first::<i64>(connection).optional()?.is_some() {
        return Ok(Some(Taken::Unchanged));
    }
    diesel::insert_into(torrent_file::table)
        .values((
            torrent_file::torrent_id.eq(known.id),
            torrent_file::position.eq(row.position),
            torrent_file::path.eq(&row.path),
            torrent_file::length.eq(row.length),
        ))
        .execute(connection)?;
    Ok(Some(Taken::Added))
}

/// Takes any other row. `None` where it belongs to a torrent that is not there.
pub(super) fn row(
    connection: &mut Connection,
    row: &Row,
    torrents: &mut Torrents,
) -> QueryResult<Option<Taken>> {
    match row {
        Row::TorrentMetadata(row) => pending(connection, row),
        Row::TorrentFile(row) => return file(connection, row, torrents),
        Row::MetadataRequest(row) => newer(connection, row.as_ref(), |_, _| None),
        Row::PeerState(row) => newer(connection, row.as_ref(), |stored, new| {
            (new.last_seen_at > stored.last_seen_at).then(|| {
                let mut merged = new.clone();
                merged.first_seen_at = merged.first_seen_at.min(stored.first_seen_at);
                merged
            })
        }),
        Row::PeerGroup(row) => newer(connection, row.as_ref(), |stored, new| {
            (new.weighed_at > stored.weighed_at).then(|| new.clone())
        }),
        Row::FailedTorrent(row) => {
            let identity = stored_identity(&row.infohash, None)?;
            let known = ids(connection, &identity)?;
            if known
                .iter()
                .any(|known| !known.is_pending() && known.resolved_at >= row.failed_at)
            {
                return Ok(Some(Taken::Unchanged));
            }
            newer(connection, row, |stored, new| {
                (new.failed_at > stored.failed_at).then(|| new.clone())
            })
        }
        Row::TrackerState(row) => newer(connection, row.as_ref(), |stored, new| {
            (new.last_announce_at > stored.last_announce_at).then(|| new.clone())
        }),
        Row::DhtNodeState(row) => newer(connection, row.as_ref(), |stored, new| {
            (new.last_seen_at > stored.last_seen_at).then(|| new.clone())
        }),
        Row::CrawlSession(row) => newer(connection, row.as_ref(), |stored, new| {
            ((new.ended_at, new.heartbeat_at) > (stored.ended_at, stored.heartbeat_at))
                .then(|| new.clone())
        }),
        // Who wants it already has asked here.
        Row::WantedTorrent(row) => newer(connection, row.as_ref(), |_, _| None),
        Row::BlockedSalt(row) => salt(connection, row),
        Row::BlockedInfohash(row) => {
            // Without its salt it would block nothing.
            if !row.salt.is_empty() {
                let row = SaltRow {
                    salt: row.salt.clone(),
                };
                salt(connection, &row)?;
            }
            newer(connection, row, |_, _| None)
        }
    }
    .map(Some)
}

/// Takes a salt, unless there are too many.
fn salt(connection: &mut Connection, row: &SaltRow) -> QueryResult<Taken> {
    let taken = newer(connection, row, |_, _| None)?;
    if taken == Taken::Added {
        blocklist::check_salts(connection)?;
    }
    Ok(taken)
}

/// Adds the row; where there is one, `choose` says by what to replace it, if at all.
fn newer<R: Portable>(
    connection: &mut Connection,
    row: &R,
    choose: impl FnOnce(&R, &R) -> Option<R>,
) -> QueryResult<Taken> {
    let Some(stored) = row.stored(connection)? else {
        row.insert(connection)?;
        return Ok(Taken::Added);
    };
    let Some(chosen) = choose(&stored, row) else {
        return Ok(Taken::Unchanged);
    };
    stored.delete(connection)?;
    chosen.insert(connection)?;
    Ok(Taken::Updated)
}

/// The size of a list, as a column holds it.
pub(super) fn length(count: usize) -> i64 {
    clamped(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A text from another program, cut, and without NULs, which not every database takes.
pub(super) fn cleaned(text: &str, chars: usize) -> String {
    bounded(&text.replace('\0', ""), chars).to_owned()
}
