//! Rows that are added in numbers, and rows that are made or replaced by their key: the statements that
//! databases do not share.
//!
//! SQLite and MySQL have `REPLACE`: the rows are whole and nothing refers to them, so it comes to the
//! same as an update on conflict, which diesel would prepare anew for each row of SQLite.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::blocklist::{BlockedRow, SaltRow};
use super::connection::Connection;
use super::exchange::{NodeRow, SessionRow};
use super::failed_torrent::FailedRow;
use super::peer_group::GroupRow;
use super::peer_state::PeerRow;
use super::schema::{
    blocked_infohash, blocked_salt, crawl_session, dht_node_state, failed_torrent, peer_group,
    peer_state, tracker_state,
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

/// Inserts many rows: by one prepared statement for each in SQLite, where a statement costs next to
/// nothing, and by statements of up to `$chunk` rows on a server, where each is a message and its answer.
macro_rules! insert_rows {
    ($connection:expr, $table:expr, $rows:expr, $chunk:expr) => {{
        match $connection {
            Connection::Sqlite(connection) => {
                for row in $rows.iter() {
                    diesel::insert_into($table)
                        .values(row)
                        .execute(connection)?;
                }
            }
            Connection::Mysql(connection) => {
                for rows in $rows.chunks($chunk) {
                    diesel::insert_into($table)
                        .values(rows)
                        .execute(connection)?;
                }
            }
            Connection::Postgres(connection) => {
                for rows in $rows.chunks($chunk) {
                    diesel::insert_into($table)
                        .values(rows)
                        .execute(connection)?;
                }
            }
        }
        Ok(())
    }};
}
pub(super) use insert_rows;

/// Makes or replaces the row of a hash that failed.
pub(super) fn failed_torrent(connection: &mut Connection, row: &FailedRow<'_>) -> QueryResult<()> {
    replace!(connection, failed_torrent, failed_torrent::infohash, row)
}

/// Makes the rows of peers that were just seen not to have one. SQLite keeps a copy of each page that a
/// `REPLACE` changes until the statement ends, and of none for an `INSERT` of one row. A server may have
/// got such a row meanwhile, and is told what to do then.
pub(super) fn new_peer_state(connection: &mut Connection, rows: &[PeerRow]) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(connection) => rows.iter().try_for_each(|row| {
            diesel::insert_into(peer_state::table)
                .values(row)
                .execute(connection)
                .map(drop)
        }),
        Connection::Mysql(_) | Connection::Postgres(_) => peer_state(connection, rows),
    }
}

/// Makes or replaces the rows of peers.
pub(super) fn peer_state(connection: &mut Connection, rows: &[PeerRow]) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match connection {
        Connection::Sqlite(connection) => {
            for row in rows {
                diesel::replace_into(peer_state::table)
                    .values(row)
                    .execute(connection)?;
            }
        }
        Connection::Mysql(connection) => {
            diesel::replace_into(peer_state::table)
                .values(rows)
                .execute(connection)?;
        }
        Connection::Postgres(connection) => {
            use peer_state as table;
            diesel::insert_into(peer_state::table)
                .values(rows)
                .on_conflict((table::peer_ip, table::peer_port))
                .do_update()
                .set((
                    table::client.eq(excluded(table::client)),
                    table::first_seen_at.eq(excluded(table::first_seen_at)),
                    table::last_seen_at.eq(excluded(table::last_seen_at)),
                    table::attempts.eq(excluded(table::attempts)),
                    table::connections.eq(excluded(table::connections)),
                    table::deliveries.eq(excluded(table::deliveries)),
                    table::failures.eq(excluded(table::failures)),
                    table::last_outcome.eq(excluded(table::last_outcome)),
                    table::last_arm.eq(excluded(table::last_arm)),
                    table::last_delivered_at.eq(excluded(table::last_delivered_at)),
                    table::avg_latency_ms.eq(excluded(table::avg_latency_ms)),
                    table::bep9_support.eq(excluded(table::bep9_support)),
                    table::needs_encryption.eq(excluded(table::needs_encryption)),
                    table::delivered_way.eq(excluded(table::delivered_way)),
                    table::failures_in_a_row.eq(excluded(table::failures_in_a_row)),
                    table::delivered_weight.eq(excluded(table::delivered_weight)),
                    table::unreachable_weight.eq(excluded(table::unreachable_weight)),
                    table::unserved_weight.eq(excluded(table::unserved_weight)),
                    table::misbehaved_weight.eq(excluded(table::misbehaved_weight)),
                    table::weighed_at.eq(excluded(table::weighed_at)),
                    table::latencies.eq(excluded(table::latencies)),
                    table::bep10_support.eq(excluded(table::bep10_support)),
                ))
                .execute(connection)?;
        }
    }
    Ok(())
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

/// Makes or replaces the row of a run.
pub(super) fn crawl_session(connection: &mut Connection, row: &SessionRow) -> QueryResult<()> {
    replace!(connection, crawl_session, crawl_session::session_id, row)
}

/// Makes or replaces the rows of DHT nodes.
pub(super) fn dht_node_state(connection: &mut Connection, rows: &[NodeRow]) -> QueryResult<()> {
    match connection {
        Connection::Sqlite(connection) => {
            for row in rows {
                diesel::replace_into(dht_node_state::table)
                    .values(row)
                    .execute(connection)?;
            }
        }
        Connection::Mysql(connection) => {
            diesel::replace_into(dht_node_state::table)
                .values(rows)
                .execute(connection)?;
        }
        Connection::Postgres(connection) => {
            use dht_node_state as table;
            // One statement may not meet a row twice.
            let mut last: HashMap<(&str, i32), &NodeRow> = HashMap::new();
            for row in rows {
                last.insert((&row.node_ip, row.node_port), row);
            }
            diesel::insert_into(dht_node_state::table)
                .values(last.into_values().collect::<Vec<_>>())
                .on_conflict((table::node_ip, table::node_port))
                .do_update()
                .set((
                    table::node_id.eq(excluded(table::node_id)),
                    table::first_seen_at.eq(excluded(table::first_seen_at)),
                    table::last_seen_at.eq(excluded(table::last_seen_at)),
                    table::queries.eq(excluded(table::queries)),
                    table::answers.eq(excluded(table::answers)),
                    table::failures_in_a_row.eq(excluded(table::failures_in_a_row)),
                    table::avg_rtt_ms.eq(excluded(table::avg_rtt_ms)),
                    table::bep51_support.eq(excluded(table::bep51_support)),
                    table::next_sample_at.eq(excluded(table::next_sample_at)),
                ))
                .execute(connection)?;
        }
    }
    Ok(())
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
