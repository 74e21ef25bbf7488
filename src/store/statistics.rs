//! What all attempts, hashes and tables add up to.
//!
//! These read whole tables, or the part of them since some time: for an operator who asks, not for every
//! hash.

use diesel::dsl::{count, count_star, exists, max, min, not};
use diesel::prelude::*;

use super::connection::Connection;
use super::mysql;
use super::schema::{failed_torrent, metadata_request as table};
use super::value::{self, DELIVERED, unsigned};
use crate::torrent::{Phase, Reason, Way};

/// Attempts of the same way that ended in the same phase for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptGroup {
    /// The way they took.
    pub way: Way,
    /// How far they came.
    pub phase: Phase,
    /// Why they failed; `None` where they delivered.
    pub outcome: Option<Reason>,
    /// How many they are.
    pub attempts: u64,
    /// Start of the first and of the last: UTC, milliseconds since 1970.
    pub started_at_ms: (i64, i64),
}

/// How many hashes came how far, each counted at all the stages that it passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Funnel {
    /// Hashes with an attempt or a failure.
    pub asked: u64,
    /// A peer was tried.
    pub had_peers: u64,
    /// A peer was connected.
    pub connected: u64,
    /// A peer came through the handshake.
    pub handshake: u64,
    /// A peer came through the extension handshake, and can serve metadata.
    pub extension: u64,
    /// A peer sent all of its bytes.
    pub transfer: u64,
    /// The bytes were the right ones.
    pub verified: u64,
}

/// Durations of the latest attempts, in milliseconds and no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Of attempts that delivered, from their start.
    pub deliveries_ms: Vec<u64>,
    /// Of connections that came about.
    pub connects_ms: Vec<u64>,
}

/// Attempts since this time, by way, phase and outcome.
pub(super) fn attempts(
    connection: &mut Connection,
    since_ms: i64,
) -> QueryResult<Vec<AttemptGroup>> {
    type Row = (
        String,
        String,
        bool,
        String,
        String,
        i64,
        Option<i64>,
        Option<i64>,
    );
    let rows: Vec<Row> = table::table
        .filter(table::started_at.ge(since_ms))
        .group_by((
            table::arm,
            table::transport,
            table::encrypted,
            table::phase,
            table::outcome,
        ))
        .select((
            table::arm,
            table::transport,
            table::encrypted,
            table::phase,
            table::outcome,
            count_star(),
            min(table::started_at),
            max(table::started_at),
        ))
        .load(connection)?;
    rows.into_iter()
        .map(
            |(arm, transport, encrypted, phase, outcome, attempts, first, last)| {
                let transport = value::transport(&transport)?;
                Ok(AttemptGroup {
                    way: Way::new(value::arm(&arm)?, transport, encrypted),
                    phase: value::phase(&phase)?,
                    outcome: value::outcome(&outcome)?,
                    attempts: unsigned(attempts)?,
                    started_at_ms: (first.unwrap_or_default(), last.unwrap_or_default()),
                })
            },
        )
        .collect()
}

/// How far the hashes came that were asked for since this time.
pub(super) fn funnel(connection: &mut Connection, since_ms: i64) -> QueryResult<Funnel> {
    use Phase::{Extension, Handshake, Transfer, Verify};
    let had_peers: i64 = table::table
        .filter(table::started_at.ge(since_ms))
        .select(count(table::infohash).aggregate_distinct())
        .first(connection)?;
    let tried = table::table
        .filter(table::infohash.eq(failed_torrent::infohash))
        .filter(table::started_at.ge(since_ms));
    let without_attempts: i64 = failed_torrent::table
        .filter(failed_torrent::failed_at.ge(since_ms))
        .filter(not(exists(tried)))
        .count()
        .get_result(connection)?;
    // The phase is the one that an attempt failed in: it is through those before.
    let mut beyond = |phases: &[Phase]| -> QueryResult<u64> {
        let names: Vec<&str> = phases.iter().map(|phase| phase.as_str()).collect();
        let hashes: i64 = table::table
            .filter(table::started_at.ge(since_ms))
            .filter(table::phase.eq_any(names))
            .select(count(table::infohash).aggregate_distinct())
            .first(connection)?;
        unsigned(hashes)
    };
    let connected = beyond(&[Handshake, Extension, Transfer, Verify])?;
    let handshake = beyond(&[Extension, Transfer, Verify])?;
    let extension = beyond(&[Transfer, Verify])?;
    let transfer = beyond(&[Verify])?;
    let verified: i64 = table::table
        .filter(table::started_at.ge(since_ms))
        .filter(table::outcome.eq(DELIVERED))
        .select(count(table::infohash).aggregate_distinct())
        .first(connection)?;
    let had_peers = unsigned(had_peers)?;
    Ok(Funnel {
        asked: had_peers.saturating_add(unsigned(without_attempts)?),
        had_peers,
        connected,
        handshake,
        extension,
        transfer,
        verified: unsigned(verified)?,
    })
}

/// Durations of the latest attempts since this time: at most `limit` of each kind.
pub(super) fn latencies(
    connection: &mut Connection,
    since_ms: i64,
    limit: u32,
) -> QueryResult<Latencies> {
    let deliveries: Vec<i64> = table::table
        .filter(table::started_at.ge(since_ms))
        .filter(table::outcome.eq(DELIVERED))
        .order(table::started_at.desc())
        .limit(limit.into())
        .select(table::duration_ms)
        .load(connection)?;
    let connects: Vec<Option<i64>> = table::table
        .filter(table::started_at.ge(since_ms))
        .filter(table::connect_ms.is_not_null())
        .order(table::started_at.desc())
        .limit(limit.into())
        .select(table::connect_ms)
        .load(connection)?;
    Ok(Latencies {
        deliveries_ms: deliveries
            .into_iter()
            .map(unsigned)
            .collect::<Result<_, _>>()?,
        connects_ms: connects
            .into_iter()
            .flatten()
            .map(unsigned)
            .collect::<Result<_, _>>()?,
    })
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    bytes: i64,
}

/// Bytes of the database, without pages of a SQLite database that are free, which it fills before it grows.
pub(super) fn database_used(connection: &mut Connection) -> QueryResult<u64> {
    let Connection::Sqlite(connection) = connection else {
        return database_size(connection);
    };
    let size: Size = diesel::sql_query(
        "SELECT (page_count - freelist_count) * page_size AS bytes \
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .get_result(connection)?;
    unsigned(size.bytes)
}

/// Bytes that the database takes, as it counts them itself.
pub(super) fn database_size(connection: &mut Connection) -> QueryResult<u64> {
    let size: Size = match connection {
        Connection::Sqlite(connection) => diesel::sql_query(
            "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size",
        )
        .get_result(connection)?,
        Connection::Mysql(connection) => Size {
            bytes: mysql::size(connection)?,
        },
        Connection::Postgres(connection) => {
            diesel::sql_query("SELECT pg_database_size(current_database()) AS bytes")
                .get_result(connection)?
        }
    };
    unsigned(size.bytes)
}
