//! Rows that are made or replaced by their key: the statements whose syntax databases do not share.
//!
//! SQLite and MySQL have `REPLACE`: the rows are whole and nothing refers to them, so it comes to the
//! same as an update on conflict, which diesel would prepare anew for each row of SQLite.

use diesel::prelude::*;

use super::blocklist::{BlockedRow, SaltRow};
use super::connection::Connection;
use super::failed_torrent::FailedRow;
use super::peer_group::GroupRow;
use super::peer_state::PeerRow;
use super::schema::{
    blocked_infohash, blocked_salt, failed_torrent, peer_group, peer_state, tracker_state,
};
use super::tracker_state::TrackerRow;

macro_rules! replace {
    ($connection:expr, $table:ident, $key:expr, $row:expr) => {
        match $connection {
            Connection::Sqlite(connection) => diesel::replace_into($table::table)
                .values($row)
                .execute(connection),
            Connection::Mysql(connection) => diesel::replace_into($table::table)
                .values($row)
                .execute(connection),
            Connection::Postgres(connection) => diesel::insert_into($table::table)
                .values($row)
                .on_conflict($key)
                .do_update()
                .set($row)
                .execute(connection),
        }
        .map(drop)
    };
}

macro_rules! add {
    ($connection:expr, $table:ident, $rows:expr) => {
        match $connection {
            // By one prepared statement for each, which costs next to nothing without a server.
            Connection::Sqlite(connection) => $rows.iter().try_fold(0, |added, row| {
                diesel::insert_or_ignore_into($table::table)
                    .values(row)
                    .execute(connection)
                    .map(|one| added + one)
            }),
            Connection::Mysql(connection) => diesel::insert_or_ignore_into($table::table)
                .values($rows)
                .execute(connection),
            Connection::Postgres(connection) => diesel::insert_into($table::table)
                .values($rows)
                .on_conflict_do_nothing()
                .execute(connection),
        }
    };
}

/// Makes or replaces the row of a hash that failed.
pub(super) fn failed_torrent(connection: &mut Connection, row: &FailedRow<'_>) -> QueryResult<()> {
    replace!(connection, failed_torrent, failed_torrent::infohash, row)
}

/// Makes or replaces the row of a peer.
pub(super) fn peer_state(connection: &mut Connection, row: &PeerRow) -> QueryResult<()> {
    let key = (peer_state::peer_ip, peer_state::peer_port);
    replace!(connection, peer_state, key, row)
}

/// Makes or replaces the row of a tracker.
pub(super) fn tracker_state(connection: &mut Connection, row: &TrackerRow) -> QueryResult<()> {
    replace!(connection, tracker_state, tracker_state::tracker_url, row)
}

/// Makes or replaces the row of a group of peers.
pub(super) fn peer_group(connection: &mut Connection, row: &GroupRow) -> QueryResult<()> {
    let key = (peer_group::kind, peer_group::name);
    replace!(connection, peer_group, key, row)
}

/// Makes the rows of the blocklist that are not there yet. How many they were.
pub(super) fn blocked_infohashes(
    connection: &mut Connection,
    rows: &[BlockedRow<'_>],
) -> QueryResult<usize> {
    add!(connection, blocked_infohash, rows)
}

/// Makes the salts that are not there yet.
pub(super) fn blocked_salts(
    connection: &mut Connection,
    rows: &[SaltRow<'_>],
) -> QueryResult<usize> {
    add!(connection, blocked_salt, rows)
}
