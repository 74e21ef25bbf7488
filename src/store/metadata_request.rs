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
//!
//! Left out, since nothing would ever stand there: a request id beside the row's own, an end time beside
//! the duration, a status and a retry count (each retry is a row), a quality score (it is computed
//! from the history when it is needed), and flags for the extension protocol (`phase` and `outcome`
//! say it).

use std::time::Duration;

use diesel::dsl::max;
use diesel::prelude::*;

use super::connection::Connection;
use super::schema::metadata_request as table;
use super::value::{
    self, CLIENT_CHARS, DELIVERED, DETAIL_CHARS, bounded, clamped, keys, millis, unsigned,
};
use crate::torrent::{Arm, Infohash, PeerAddr, PeerSource, Phase, Reason};

/// One attempt to get the metadata of a torrent from one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which arm made it.
    pub arm: Arm,
    /// Whom it asked.
    pub peer: PeerAddr,
    /// Where we heard of the peer.
    pub source: PeerSource,
    /// When it began: UTC, milliseconds since 1970.
    pub started_at_ms: i64,
    /// How long it took.
    pub duration: Duration,
    /// How far it came.
    pub phase: Phase,
    /// Why it failed; `None` where the peer delivered.
    pub outcome: Option<Reason>,
    /// The particulars, for a human reader; the first 500 characters are kept.
    pub detail: String,
    /// Bytes of metadata, as the peer claimed them.
    pub metadata_size: Option<u64>,
    /// The name of the peer's software; the first 100 characters are kept.
    pub client: Option<String>,
    /// Whether a connection came about.
    pub connected: bool,
}

impl Attempt {
    /// The name of the outcome, as it is stored.
    pub(super) fn outcome_name(&self) -> &'static str {
        self.outcome.map_or(DELIVERED, Reason::as_str)
    }
}

#[derive(Insertable)]
#[diesel(table_name = table)]
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
    detail: &'a str,
    metadata_size: Option<i64>,
    client: Option<&'a str>,
}

/// Adds the attempts at a hash.
pub(super) fn insert(
    connection: &mut Connection,
    infohash: &Infohash,
    attempts: &[Attempt],
) -> QueryResult<()> {
    for attempt in attempts {
        let client = attempt.client.as_deref();
        diesel::insert_into(table::table)
            .values(AttemptRow {
                infohash: infohash.as_bytes(),
                peer_ip: attempt.peer.ip().to_string(),
                peer_port: attempt.peer.port().into(),
                source: attempt.source.as_str(),
                arm: attempt.arm.as_str(),
                started_at: attempt.started_at_ms,
                duration_ms: millis(attempt.duration),
                phase: attempt.phase.as_str(),
                outcome: attempt.outcome_name(),
                detail: bounded(&attempt.detail, DETAIL_CHARS),
                metadata_size: attempt.metadata_size.map(clamped),
                client: client.map(|client| bounded(client, CLIENT_CHARS)),
            })
            .execute(connection)?;
    }
    Ok(())
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
