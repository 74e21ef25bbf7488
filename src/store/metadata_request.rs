//! Table `metadata_request`: one row for each attempt to get metadata from a peer.
//!
//! | column | meaning |
//! |---|---|
//! | `infohash` | 20 bytes, or 32 of a v2-only torrent |
//! | `peer_ip`, `peer_port` | whom we asked |
//! | `source` | where we heard of the peer, a name of `PeerSource` |
//! | `arm` | which arm asked, a name of `Arm` |
//! | `started_at`, `duration_ms` | when, and for how long |
//! | `phase` | how far it came, a name of `Phase` |
//! | `outcome` | `delivered`, or a name of `Reason` |
//! | `detail` | the particulars, at most 500 characters |
//! | `metadata_size` | bytes, as the peer claimed them |
//! | `client` | the name of the peer's software, at most 100 characters |
//! | `transport`, `encrypted` | `tcp` or `utp`; whether by MSE |
//! | `connect_ms` | how long the connection took; null where there was none |
//! | `why` | why this peer and this way were chosen, at most 200 characters |
//!
//! Left out, since nothing would ever stand there: a request id beside the row's own, an end time beside
//! the duration, a status and a retry count (each retry is a row), a quality score (it is computed
//! from the history when it is needed), and flags for the extension protocol (`phase` and `outcome`
//! say it).

use std::borrow::Cow;

use diesel::dsl::max;
use diesel::prelude::*;

use super::connection::Connection;
use super::schema::metadata_request as table;
use super::upsert::insert_rows;
use super::value::{
    self, CLIENT_CHARS, DELIVERED, DETAIL_CHARS, WHY_CHARS, clamped, keys, millis, text, unsigned,
};
use crate::history::Attempt;
use crate::torrent::{Infohash, PeerAddr, Reason};

/// The name of the outcome, as it is stored.
pub(super) fn outcome_name(attempt: &Attempt) -> &'static str {
    attempt.outcome.map_or(DELIVERED, Reason::as_str)
}

/// Rows of one statement on a server.
const CHUNK: usize = 500;

#[derive(Insertable)]
#[diesel(table_name = table, treat_none_as_default_value = false)]
struct AttemptRow<'a> {
    infohash: &'a [u8],
    peer_ip: String,
    peer_port: i32,
    source: &'static str,
    arm: &'static str,
    started_at: i64,
    duration_ms: i64,
    phase: &'static str,
    outcome: &'static str,
    detail: Cow<'a, str>,
    metadata_size: Option<i64>,
    client: Option<Cow<'a, str>>,
    transport: &'static str,
    encrypted: bool,
    connect_ms: Option<i64>,
    why: Cow<'a, str>,
}

/// Adds the attempts at a hash.
pub(super) fn insert(
    connection: &mut Connection,
    infohash: &Infohash,
    attempts: &[Attempt],
) -> QueryResult<()> {
    let rows = attempts.iter().map(|attempt| {
        let client = attempt.client.as_deref();
        AttemptRow {
            infohash: infohash.as_bytes(),
            peer_ip: attempt.peer.ip().to_string(),
            peer_port: attempt.peer.port().into(),
            source: attempt.source.as_str(),
            arm: attempt.way.arm.as_str(),
            started_at: attempt.started_at_ms,
            duration_ms: millis(attempt.duration),
            phase: attempt.phase.as_str(),
            outcome: outcome_name(attempt),
            detail: text(&attempt.detail, DETAIL_CHARS),
            metadata_size: attempt.metadata_size.map(clamped),
            client: client.map(|client| text(client, CLIENT_CHARS)),
            transport: value::transport_name(attempt.way.transport),
            encrypted: attempt.way.encrypted,
            connect_ms: attempt.connect_time.map(millis),
            why: text(&attempt.why, WHY_CHARS),
        }
    });
    let rows: Vec<AttemptRow<'_>> = rows.collect();
    insert_rows!(connection, table::table, rows, CHUNK)
}

/// Peers that delivered this hash, the latest first.
pub(super) fn deliverers(
    connection: &mut Connection,
    infohash: &Infohash,
    limit: u32,
) -> QueryResult<Vec<PeerAddr>> {
    let rows: Vec<(String, i32)> = table::table
        .filter(table::infohash.eq_any(keys(infohash)))
        .filter(table::outcome.eq(DELIVERED))
        .group_by((table::peer_ip, table::peer_port))
        .order(max(table::started_at).desc())
        .limit(limit.into())
        .select((table::peer_ip, table::peer_port))
        .load(connection)?;
    rows.iter()
        .map(|(ip, port)| value::peer(ip, *port))
        .collect()
}

/// Whether an attempt was made at this peer for this hash.
pub(super) fn was_tried(
    connection: &mut Connection,
    infohash: &Infohash,
    peer: &PeerAddr,
) -> QueryResult<bool> {
    let attempts = table::table
        .filter(table::infohash.eq_any(keys(infohash)))
        .filter(table::peer_ip.eq(peer.ip().to_string()))
        .filter(table::peer_port.eq(i32::from(peer.port())));
    diesel::select(diesel::dsl::exists(attempts)).get_result(connection)
}

/// How many attempts were made.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}
