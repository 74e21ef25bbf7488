//! Table `dht_node_state`: the DHT nodes that a crawl knows, so that the next one needs no bootstrap, and
//! asks nobody sooner than he wants.
//!
//! | column | meaning |
//! |---|---|
//! | `node_ip`, `node_port` | the UDP endpoint, and the key |
//! | `node_id` | 20 bytes |
//! | `first_seen_at`, `last_seen_at` | when it was first met; when it last answered or asked |
//! | `queries`, `answers`, `failures_in_a_row` | queries to it, those that it answered, those since then that it did not |
//! | `avg_rtt_ms` | mean time of its answers; null before the first |
//! | `bep51_support` | whether it answers `sample_infohashes`; null while unknown |
//! | `next_sample_at` | when it may be asked for samples again (its BEP 51 `interval`) |
//!
//! A row is replaced as a whole: the process that crawls has read it at its start. Its times only grow: of
//! two crawls on one database, neither asks a node sooner than the other one knows that it may. Times that
//! only a clock that was wrong can have written do not stay.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::prelude::*;

use super::connection::Connection;
use super::exchange::NodeRow;
use super::schema::dht_node_state as table;
use super::upsert;
use super::value::{millis, peer, senseless};
use crate::torrent::PeerAddr;

/// Rows of one statement.
const CHUNK: usize = 500;

/// No time is farther ahead: a node without samples is left alone for three days, and no interval is longer
/// than that unless somebody asks for it.
const LONGEST_AHEAD_MS: i64 = 30 * 24 * 3_600_000;

/// What is remembered of a DHT node. Times are UTC, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DhtNode {
    /// Its UDP endpoint.
    pub addr: PeerAddr,
    /// Its id.
    pub id: [u8; 20],
    /// When it was first met.
    pub first_seen_ms: i64,
    /// When it was last heard of by itself.
    pub last_seen_ms: i64,
    /// Queries that were sent to it.
    pub queries: u32,
    /// Queries that it answered.
    pub answers: u32,
    /// Queries since its last answer.
    pub failures_in_a_row: u32,
    /// Mean round trip time, in milliseconds.
    pub avg_rtt_ms: Option<f32>,
    /// Whether it answers `sample_infohashes`.
    pub bep51: Option<bool>,
    /// When it may be asked for samples again.
    pub next_sample_at_ms: i64,
}

impl DhtNode {
    /// Whether any database takes it.
    fn is_storable(&self) -> bool {
        self.addr.port() != 0 && self.avg_rtt_ms.is_none_or(f32::is_finite)
    }

    fn row(&self) -> NodeRow {
        NodeRow {
            node_ip: self.addr.ip().to_string(),
            node_port: self.addr.port().into(),
            node_id: self.id.to_vec(),
            first_seen_at: self.first_seen_ms,
            last_seen_at: self.last_seen_ms,
            queries: self.queries.into(),
            answers: self.answers.into(),
            failures_in_a_row: self.failures_in_a_row.into(),
            avg_rtt_ms: self.avg_rtt_ms.map(f64::from),
            bep51_support: self.bep51,
            next_sample_at: self.next_sample_at_ms,
        }
    }

    fn from_row(row: &NodeRow) -> QueryResult<Self> {
        let count = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
        let id = row.node_id.as_slice().try_into();
        #[expect(clippy::cast_possible_truncation, reason = "a mean has no more digits")]
        let avg_rtt_ms = row.avg_rtt_ms.map(|mean| mean as f32);
        Ok(Self {
            addr: peer(&row.node_ip, row.node_port)?,
            id: id.map_err(|_| senseless("a DHT node's id that has not 20 bytes"))?,
            first_seen_ms: row.first_seen_at,
            last_seen_ms: row.last_seen_at,
            queries: count(row.queries),
            answers: count(row.answers),
            failures_in_a_row: count(row.failures_in_a_row),
            avg_rtt_ms,
            bep51: row.bep51_support,
            next_sample_at_ms: row.next_sample_at,
        })
    }
}

/// Makes or replaces the rows of these nodes.
pub(super) fn save(connection: &mut Connection, nodes: &[DhtNode]) -> QueryResult<()> {
    let storable = nodes.iter().filter(|node| node.is_storable());
    let rows: Vec<NodeRow> = storable.map(DhtNode::row).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since.map_or(i64::MAX, millis);
    for rows in rows.chunks(CHUNK) {
        let rows = with_later_times(connection, rows, now_ms)?;
        upsert::dht_node_state(connection, &rows)?;
    }
    Ok(())
}

/// The rows with the times that are stored, where those are later.
fn with_later_times(
    connection: &mut Connection,
    rows: &[NodeRow],
    now_ms: i64,
) -> QueryResult<Vec<NodeRow>> {
    let latest = now_ms.saturating_add(LONGEST_AHEAD_MS);
    let ips: Vec<&str> = rows.iter().map(|row| row.node_ip.as_str()).collect();
    let stored: Vec<((String, i32), i64, i64)> = table::table
        .filter(table::node_ip.eq_any(ips))
        .select((
            (table::node_ip, table::node_port),
            table::last_seen_at,
            table::next_sample_at,
        ))
        .load(connection)?;
    let mut times: HashMap<(String, i32), (i64, i64)> = (stored.into_iter())
        .filter(|(_, seen, sample)| *seen <= latest && *sample <= latest)
        .map(|(key, seen, sample)| (key, (seen, sample)))
        .collect();
    let rows = rows.iter().map(|row| {
        let key = (row.node_ip.clone(), row.node_port);
        let times = times.entry(key).or_insert((i64::MIN, i64::MIN));
        times.0 = times.0.max(row.last_seen_at);
        times.1 = times.1.max(row.next_sample_at);
        NodeRow {
            last_seen_at: times.0,
            next_sample_at: times.1,
            ..row.clone()
        }
    });
    Ok(rows.collect())
}

/// Deletes the nodes that were not seen for longest, until `keep` are left, but `most` at most. How many
/// that were.
pub(super) fn prune(connection: &mut Connection, keep: u64, most: i64) -> QueryResult<usize> {
    let count: i64 = table::table.count().get_result(connection)?;
    let excess = count.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX));
    if excess <= 0 {
        return Ok(0);
    }
    let oldest: Vec<(String, i32)> = table::table
        .order((table::last_seen_at, table::node_ip, table::node_port))
        .limit(excess.min(most))
        .select((table::node_ip, table::node_port))
        .load(connection)?;
    let mut deleted = 0;
    for key in oldest {
        deleted += diesel::delete(table::table.find(key)).execute(connection)?;
    }
    Ok(deleted)
}

/// Up to `limit` nodes: those without a failure since their last answer first, of them those that were
/// seen last. Rows that this program can't have written are left out.
pub(super) fn best(connection: &mut Connection, limit: u32) -> QueryResult<Vec<DhtNode>> {
    let rows: Vec<NodeRow> = table::table
        .order((table::failures_in_a_row, table::last_seen_at.desc()))
        .limit(limit.into())
        .select(NodeRow::as_select())
        .load(connection)?;
    Ok(rows
        .iter()
        .filter_map(|row| DhtNode::from_row(row).ok())
        .collect())
}
