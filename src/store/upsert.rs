//! Rows that are made or replaced by their key: the statements whose syntax databases do not share.
//!
//! SQLite and MySQL have `REPLACE`: both rows are whole and nothing refers to them, so it comes to the
//! same as an update on conflict, which diesel would prepare anew for each row of SQLite.

use diesel::prelude::*;

use super::connection::Connection;
use super::failed_torrent::FailedRow;
use super::peer_state::PeerRow;
use super::schema::{failed_torrent, peer_state};

/// Makes or replaces the row of a hash that failed.
pub(super) fn failed_torrent(connection: &mut Connection, row: &FailedRow<'_>) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(connection) => diesel::replace_into(failed_torrent::table)
            .values(row)
            .execute(connection),
        Connection::Mysql(connection) => diesel::replace_into(failed_torrent::table)
            .values(row)
            .execute(connection),
        Connection::Postgres(connection) => diesel::insert_into(failed_torrent::table)
            .values(row)
            .on_conflict(failed_torrent::infohash)
            .do_update()
            .set(row)
            .execute(connection),
    }
    .map(drop)
}

/// Makes or replaces the row of a peer.
pub(super) fn peer_state(connection: &mut Connection, row: &PeerRow) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(connection) => diesel::replace_into(peer_state::table)
            .values(row)
            .execute(connection),
        Connection::Mysql(connection) => diesel::replace_into(peer_state::table)
            .values(row)
            .execute(connection),
        Connection::Postgres(connection) => diesel::insert_into(peer_state::table)
            .values(row)
            .on_conflict((peer_state::peer_ip, peer_state::peer_port))
            .do_update()
            .set(row)
            .execute(connection),
    }
    .map(drop)
}
