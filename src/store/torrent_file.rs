//! Table `torrent_file`: the files of a torrent, in its order.
//!
//! The raw info dictionary has them too; the rows are there to find torrents by file without
//! decoding every dictionary, so they hold no more than path and length, keyed by torrent and
//! position without an index beside the table.
//!
//! | column | meaning |
//! |---|---|
//! | `torrent_id` | the torrent; its files are deleted with it |
//! | `position` | 0 for the first file |
//! | `path` | the path inside of the torrent, joined by `/`; at most 4,000 characters, with U+FFFD for NUL |
//! | `length` | bytes |

use std::borrow::Cow;

use diesel::prelude::*;

use super::connection::Connection;
use super::schema::torrent_file as table;
use super::upsert::insert_rows;
use super::value::{clamped, column, text, unsigned};

const PATH_CHARS: usize = 4_000;

/// Rows of one statement: 16 MB, where each path is as long as it may be, would be too much for a server.
const CHUNK: usize = 250;

#[derive(Insertable)]
#[diesel(table_name = table, treat_none_as_default_value = false)]
struct FileRow<'a> {
    torrent_id: i64,
    position: i64,
    path: Cow<'a, str>,
    length: i64,
}

/// Adds the files of a torrent that has none yet.
pub(super) fn insert(
    connection: &mut Connection,
    torrent_id: i64,
    files: &[(String, u64)],
) -> QueryResult<()> {
    let rows = (0..).zip(files).map(|(position, (path, length))| {
        Ok(FileRow {
            torrent_id,
            position: clamped(position),
            path: bounded_path(path),
            length: column(*length, "the length of a file")?,
        })
    });
    let rows: Vec<FileRow<'_>> = rows.collect::<QueryResult<_>>()?;
    insert_rows!(connection, table::table, rows, CHUNK)
}

/// A path as it is stored.
pub(super) fn bounded_path(path: &str) -> Cow<'_, str> {
    text(path, PATH_CHARS)
}

/// Deletes the files of a torrent.
pub(super) fn delete(connection: &mut Connection, torrent_id: i64) -> QueryResult<()> {
    diesel::delete(table::table.filter(table::torrent_id.eq(torrent_id)))
        .execute(connection)
        .map(|_| ())
}

/// The files of a torrent, in order: path and length in bytes.
pub(super) fn of_torrent(
    connection: &mut Connection,
    torrent_id: i64,
) -> QueryResult<Vec<(String, u64)>> {
    let rows: Vec<(String, i64)> = table::table
        .filter(table::torrent_id.eq(torrent_id))
        .order(table::position)
        .select((table::path, table::length))
        .load(connection)?;
    rows.into_iter()
        .map(|(path, length)| Ok((path, unsigned(length)?)))
        .collect()
}

/// The first `limit` files of a torrent: path and length in bytes.
pub(super) fn first_of_torrent(
    connection: &mut Connection,
    torrent_id: i64,
    limit: i64,
) -> QueryResult<Vec<(String, u64)>> {
    let rows: Vec<(String, i64)> = table::table
        .filter(table::torrent_id.eq(torrent_id))
        .order(table::position)
        .limit(limit)
        .select((table::path, table::length))
        .load(connection)?;
    rows.into_iter()
        .map(|(path, length)| Ok((path, unsigned(length)?)))
        .collect()
}

/// How many files there are.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}
