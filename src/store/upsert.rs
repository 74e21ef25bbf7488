//! Rows that are made or replaced by their key: the statements whose syntax databases do not share.

use diesel::prelude::*;

use super::connection::Connection;
use super::failed_torrent::FailedRow;
use super::peer_state::PeerRow;
use super::schema::{failed_torrent, peer_state};

/// Makes or replaces the row of a hash that failed.
pub(super) fn failed_torrent(connection: &mut Connection, row: &FailedRow<'_>) -> QueryResult<()> {
    diesel::insert_into(failed_torrent::table)
        .values(row)
        .on_conflict(failed_torrent::infohash)
        .do_update()
        .set(row)
        .execute(connection)
        .map(|_| ())
}

/// Makes or replaces the row of a peer.
pub(super) fn peer_state(connection: &mut Connection, row: &PeerRow) -> QueryResult<()> {
    diesel::insert_into(peer_state::table)
        .values(row)
        .on_conflict((peer_state::peer_ip, peer_state::peer_port))
        .do_update()
        .set(row)
        .execute(connection)
        .map(|_| ())
}
