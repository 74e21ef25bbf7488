//! Rows that are made or replaced by their key: the statements whose syntax databases do not share.
//!
//! `REPLACE` is what SQLite and MySQL have in common. All rows are whole and nothing refers to them,
//! so it comes to the same as an update on conflict, which diesel would prepare anew for each row.

use diesel::prelude::*;

use super::connection::Connection;
use super::failed_torrent::FailedRow;
use super::peer_group::GroupRow;
use super::peer_state::PeerRow;
use super::schema::{failed_torrent, peer_group, peer_state};

/// Makes or replaces the row of a hash that failed.
pub(super) fn failed_torrent(connection: &mut Connection, row: &FailedRow<'_>) -> QueryResult<()> {
    diesel::replace_into(failed_torrent::table)
        .values(row)
        .execute(connection)
        .map(|_| ())
}

/// Makes or replaces the row of a peer.
pub(super) fn peer_state(connection: &mut Connection, row: &PeerRow) -> QueryResult<()> {
    diesel::replace_into(peer_state::table)
        .values(row)
        .execute(connection)
        .map(|_| ())
}

/// Makes or replaces the row of a group of peers.
pub(super) fn peer_group(connection: &mut Connection, row: &GroupRow) -> QueryResult<()> {
    diesel::replace_into(peer_group::table)
        .values(row)
        .execute(connection)
        .map(|_| ())
}
