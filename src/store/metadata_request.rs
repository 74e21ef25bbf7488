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
use std::net::IpAddr;
use std::time::Duration;

use diesel::dsl::{exists, max};
use diesel::prelude::*;

use super::connection::Connection;
use super::schema::metadata_request as table;
use super::upsert::insert_rows;
use super::value::{
    self, CLIENT_CHARS, DELIVERED, DETAIL_CHARS, WHY_CHARS, clamped, keys, millis, senseless, text,
    unsigned,
};
use crate::history::{Attempt, PastAttempt};
use crate::torrent::{Infohash, PeerAddr, Reason, Way};

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

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
struct ReadRow {
    infohash: Vec<u8>,
    peer_ip: String,
    peer_port: i32,
    source: String,
    arm: String,
    started_at: i64,
    duration_ms: i64,
    phase: String,
    outcome: String,
    detail: String,
    metadata_size: Option<i64>,
    client: Option<String>,
    transport: String,
    encrypted: bool,
    connect_ms: Option<i64>,
    why: String,
}

impl ReadRow {
    fn into_attempt(self) -> QueryResult<(Infohash, Attempt)> {
        let infohash = Infohash::from_bytes(&self.infohash)
            .ok_or_else(|| senseless("an infohash of another length than 20 or 32 bytes"))?;
        let duration = |ms: i64| unsigned(ms).map(Duration::from_millis);
        let attempt = Attempt {
            way: Way::new(
                value::arm(&self.arm)?,
                value::transport(&self.transport)?,
                self.encrypted,
            ),
            peer: value::peer(&self.peer_ip, self.peer_port)?,
            source: value::source(&self.source)?,
            started_at_ms: self.started_at,
            duration: duration(self.duration_ms)?,
            connect_time: self.connect_ms.map(duration).transpose()?,
            phase: value::phase(&self.phase)?,
            outcome: value::outcome(&self.outcome)?,
            detail: self.detail,
            why: self.why,
            metadata_size: self.metadata_size.map(unsigned).transpose()?,
            client: self.client,
        };
        Ok((infohash, attempt))
    }
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

#[derive(Queryable, Selectable)]
#[diesel(table_name = table)]
struct PastRow {
    peer_ip: String,
    peer_port: i32,
    arm: String,
    transport: String,
    encrypted: bool,
    phase: String,
    outcome: String,
    started_at: i64,
}

impl PastRow {
    fn into_attempt(self) -> QueryResult<PastAttempt> {
        let transport = value::transport(&self.transport)?;
        Ok(PastAttempt {
            peer: value::peer(&self.peer_ip, self.peer_port)?,
            way: Way::new(value::arm(&self.arm)?, transport, self.encrypted),
            phase: value::phase(&self.phase)?,
            outcome: value::outcome(&self.outcome)?,
            at_ms: self.started_at,
        })
    }
}

/// The latest attempts at this hash, the latest first.
pub(super) fn latest(
    connection: &mut Connection,
    infohash: &Infohash,
    limit: u32,
) -> QueryResult<Vec<PastAttempt>> {
    // Of most hashes there is none. SQLite compiles the statement below each time, for its limit and its
    // list, and these once.
    let mut is_known = false;
    for key in keys(infohash) {
        let attempts = table::table.filter(table::infohash.eq(key));
        is_known |= diesel::select(exists(attempts)).get_result::<bool>(connection)?;
    }
    if !is_known {
        return Ok(Vec::new());
    }
    let rows: Vec<PastRow> = table::table
        .filter(table::infohash.eq_any(keys(infohash)))
        .order(table::started_at.desc())
        .limit(limit.into())
        .select(PastRow::as_select())
        .load(connection)?;
    rows.into_iter().map(PastRow::into_attempt).collect()
}

/// Up to `limit` attempts at this hash, the latest first, each with its number: from the beginning, or those
/// that are before the one with this start and this number. There are as many as are kept of one hash, so that
/// they may be sorted.
pub(super) fn page(
    connection: &mut Connection,
    infohash: &Infohash,
    after: Option<(i64, i64)>,
    limit: u32,
) -> QueryResult<Vec<(i64, Attempt)>> {
    let mut query = table::table
        .filter(table::infohash.eq_any(keys(infohash)))
        .order((table::started_at.desc(), table::id.desc()))
        .limit(limit.into())
        .select((table::id, ReadRow::as_select()))
        .into_boxed();
    if let Some((started_at, id)) = after {
        query = query.filter(
            table::started_at
                .lt(started_at)
                .or(table::started_at.eq(started_at).and(table::id.lt(id))),
        );
    }
    let rows: Vec<(i64, ReadRow)> = query.load(connection)?;
    rows.into_iter()
        .map(|(id, row)| Ok((id, row.into_attempt()?.1)))
        .collect()
}

/// Up to `limit` attempts at this peer, or at all ports of its address, that started from the first to the
/// last of `between_ms`: the latest first.
///
/// There is no index by peer, which every attempt would pay for. This goes back through that time, and
/// ends as soon as `limit` attempts are found.
pub(super) fn of_peer(
    connection: &mut Connection,
    ip: IpAddr,
    port: Option<u16>,
    between_ms: (i64, i64),
    limit: u32,
) -> QueryResult<Vec<(Infohash, Attempt)>> {
    let mut query = table::table
        .filter(table::started_at.between(between_ms.0, between_ms.1))
        .filter(table::peer_ip.eq(ip.to_string()))
        .order(table::started_at.desc())
        .limit(limit.into())
        .select(ReadRow::as_select())
        .into_boxed();
    if let Some(port) = port {
        query = query.filter(table::peer_port.eq(i32::from(port)));
    }
    let rows = query.load(connection)?;
    rows.into_iter().map(ReadRow::into_attempt).collect()
}

/// Deletes attempts that started before a time (UTC, milliseconds since 1970), the oldest first, `most` at
/// most. How many that were.
pub(super) fn prune(connection: &mut Connection, before: i64, most: i64) -> QueryResult<usize> {
    let oldest: Vec<i64> = table::table
        .filter(table::started_at.lt(before))
        .order(table::started_at)
        .limit(most)
        .select(table::id)
        .load(connection)?;
    if oldest.is_empty() {
        return Ok(0);
    }
    diesel::delete(table::table.filter(table::id.eq_any(oldest))).execute(connection)
}

/// How many attempts started before a time.
pub(super) fn count_before(connection: &mut Connection, before: i64) -> QueryResult<u64> {
    let old = table::table.filter(table::started_at.lt(before));
    unsigned(old.count().get_result(connection)?)
}

/// How many attempts were made.
pub(super) fn count(connection: &mut Connection) -> QueryResult<u64> {
    unsigned(table::table.count().get_result(connection)?)
}
