//! Rows that are added in numbers, and rows that are made or replaced by their key: the statements that
//! databases do not share.
//!
//! SQLite and MySQL have `REPLACE`: both rows are whole and nothing refers to them, so it comes to the
//! same as an update on conflict, which diesel would prepare anew for each row of SQLite.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::connection::Connection;
use super::failed_torrent::FailedRow;
use super::peer_state::PeerRow;
use super::schema::{failed_torrent, peer_state};

/// Inserts many rows: by one prepared statement for each in SQLite, where a statement costs next to
/// nothing, and by statements of up to `$chunk` rows on a server, where each is a message and its answer.
macro_rules! insert_rows {
    ($connection:expr, $table:expr, $rows:expr, $chunk:expr) => {{
        match $connection {
            Connection::Sqlite(connection) => {
                for row in &$rows {
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

/// Makes or replaces the rows of peers.
pub(super) fn peer_state(connection: &mut Connection, rows: &[PeerRow]) -> QueryResult<()> {
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
